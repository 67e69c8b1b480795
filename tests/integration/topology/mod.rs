//! Redis in more than one process: Sentinel, and Redis Cluster.
//!
//! - [`starters`] what the tests start for it does what it says
//! - [`sentinel`] a store whose primary the Sentinels name; [`cluster`] one in a cluster
//! - [`approvals`] what is approved while slots move

mod approvals;
mod cluster;
mod sentinel;
mod starters;

use std::time::Duration;

use introspectd::config::RedisConfig;
use introspectd::store::redis::RedisStore;
use introspectd::store::{Insertion, StoreError, StoreErrorKind};
use introspectd::token::time::Clock;

use crate::support::redis::RedisServer;
use crate::support::{digest, eventually, record};

/// What a user of the service needs by the documentation of the store, and what a cluster asks for beside that.
const PERMISSIONS: &str = "+get +set +setrange +getrange +exists +del +unlink +pexpiretime +time +zadd +zrem +zrange \
                           +eval +evalsha +select +ping +unwatch +info +client|no-evict +client|tracking +config|get \
                           +wait +hget +hset +hdel +hgetall +cluster|myid +cluster|info +cluster|slots \
                           +cluster|nodes";

async fn open(config: RedisConfig) -> RedisStore {
    RedisStore::open(&config).await.unwrap()
}

/// The same settings for tests of servers that hang.
fn impatient(config: RedisConfig) -> RedisConfig {
    let limit = Duration::from_millis(500);
    RedisConfig { connect_timeout: limit, response_timeout: limit, ..config }
}

async fn insert(store: &RedisStore, number: u8) -> Result<(), StoreError> {
    let now = Clock::System.now();
    let tokens = [(digest(number), record(now.seconds().plus(600)))];
    store.insert(&tokens, None, now).await.map(|insertion| assert_eq!(insertion, Insertion::Done))
}

/// Whether a token is there. Nobody may say that it is not.
async fn reads(store: &RedisStore, number: u8) -> Result<(), StoreError> {
    let found = store.token(&[digest(number)]).await?;
    assert!(found.is_some(), "a token that was acknowledged is gone: {number}");
    Ok(())
}

async fn works(store: &RedisStore, number: u8) {
    eventually("the store works", async || insert(store, number).await.is_ok()).await;
    reads(store, number).await.unwrap();
}

/// Whether nothing can be said now, which is not to be confused with "no".
async fn is_at_a_loss(store: &RedisStore, number: u8) -> bool {
    reads(store, number).await.is_err_and(|error| error.kind() == StoreErrorKind::Unavailable)
}

/// Waits until it is known that a password is wrong, which is never shown.
async fn is_not_let_in(store: &RedisStore) {
    eventually("somebody says why", async || {
        let error = reads(store, 1).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
        error.to_string().contains("user name") || format!("{error:?}").contains("user name")
    })
    .await;
}

/// Makes a user that may do what is documented and nothing else.
async fn add_user(server: &RedisServer, name: &str, password: &str, keys: &str, permissions: &str) {
    let (password, keys) = (format!(">{password}"), format!("~{keys}*"));
    let mut words = vec!["ACL", "SETUSER", name, "on", &password, &keys, "-@all"];
    words.extend(permissions.split_whitespace());
    server.command::<()>(&words).await;
}

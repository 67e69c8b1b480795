//! The store contract, sentence by sentence: each file has a list of tests, and runs it over every store.
//!
//! - [`tokens`] tokens with a record; [`signed`] those without; [`clients`] clients; [`users`] users
//! - [`grants`] grants and rotation; [`marks`] what of a grant is revoked; [`epochs`] many tokens at once
//! - [`shared`] the clock, what was used once, the signing keys, closing
//!
//! A test sees a [`Subject`]: a store, and a clock that it can wait by. Over Redis the clock is the system's, and
//! waiting is real; over a store with a clock of its own it is a hand that is moved.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use introspectd::client::ClientId;
use introspectd::config::RedisConfig;
use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::redis::RedisStore;
use introspectd::store::{Around, Backend, ClientWrite, Insertion, Store, Transition};
use introspectd::token::grant::GrantMark;
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::time::{Clock, Now, Stamp, UnixSeconds};

use crate::support::redis::RedisServer;
use crate::support::{around, digest, eventually, grant};

/// Makes each test four: over the embedded store, over a Redis of its own, and, all together, over servers with
/// Sentinels and over a cluster, where each has a prefix of its own.
macro_rules! over_stores {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::stores::Subject::embedded().await).await; })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::stores::Subject::redis().await).await; })*
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn all_with_sentinels() {
            let set = $crate::support::sentinel::SentinelSet::start().await;
            // Side by side, because many of them wait for time to pass.
            tokio::join! { $(Box::pin(async {
                $name($crate::stores::Subject::shared(set.config(), stringify!($name)).await).await;
            })),* };
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn all_in_a_cluster() {
            let cluster = $crate::support::cluster::RedisCluster::start().await;
            // Side by side, because many of them wait for time to pass.
            tokio::join! { $(Box::pin(async {
                $name($crate::stores::Subject::shared(cluster.config(), stringify!($name)).await).await;
            })),* };
        }
    };
}

mod clients;
mod epochs;
mod grants;
mod marks;
mod shared;
mod signed;
mod tokens;
mod users;

/// A store under test.
struct Subject {
    store: Arc<Store>,
    clock: Clock,
    /// What the store lives in, and goes away after it.
    _keeper: Box<dyn Any + Send>,
}

impl Subject {
    #[allow(clippy::unused_async, reason = "the other store's has to wait")]
    async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(UnixSeconds(1_800_000_000));
        let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
        Self { store: Arc::new(Store::new(Backend::Embedded(store))), clock, _keeper: Box::new(folder) }
    }

    async fn redis() -> Self {
        let server = RedisServer::start().await;
        let store = Arc::new(Store::new(Backend::Redis(server.store().await)));
        Self { store, clock: Clock::System, _keeper: Box::new(server) }
    }

    /// In servers that others use as well.
    async fn shared(config: RedisConfig, name: &str) -> Self {
        let config = RedisConfig { key_prefix: format!("{name}:"), ..config };
        let store = Arc::new(Store::new(Backend::Redis(RedisStore::open(&config).await.unwrap())));
        // What cannot be reached yet a moment after it was started is of no interest here.
        eventually("the store is up", async || store.probe().await.is_ok()).await;
        Self { store, clock: Clock::System, _keeper: Box::new(()) }
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    /// The moment this many seconds from now.
    fn within(&self, seconds: u64) -> UnixSeconds {
        self.now().seconds().plus(seconds)
    }

    /// Lets time pass until this moment.
    async fn pass(&self, until: UnixSeconds) {
        let left = until.since(self.now().seconds());
        self.clock.advance(std::time::Duration::from_secs(left));
        eventually("time passes", async || self.now().seconds() >= until).await;
    }

    async fn insert(&self, number: u8, record: &Record) -> Insertion {
        self.store.insert(&[(digest(number), record.clone())], None, self.now()).await.unwrap()
    }

    async fn read(&self, number: u8) -> Option<Record> {
        let found = self.store.token(&[digest(number)]).await.unwrap();
        found.map(|(found, record)| {
            assert_eq!(found, digest(number));
            record
        })
    }

    async fn set_state(&self, number: u8, state: State) -> Transition {
        self.store.set_state(digest(number), state, self.now()).await.unwrap()
    }

    async fn create(&self, id: &ClientId, body: &'static str) -> ClientWrite {
        self.store.create_client(id, Bytes::from_static(body.as_bytes()), self.now()).await.unwrap()
    }

    async fn replace(&self, id: &ClientId, version: u64, body: &'static str) -> ClientWrite {
        let created = self.created(id).await;
        self.store.replace_client(id, version, created, Bytes::from_static(body.as_bytes())).await.unwrap()
    }

    /// When a client was created; a moment at which none was, if there is none.
    async fn created(&self, id: &ClientId) -> Stamp {
        self.store.client(id.as_str()).await.unwrap().map_or(Stamp(1), |document| document.created)
    }

    /// What surrounds a token of this grant.
    async fn mark(&self, number: u8) -> GrantMark {
        let id = grant(number, UnixSeconds(0)).id;
        let mark = self.store.grant_mark(id).await.unwrap();
        let around = Around { grant: Some(id), ..around() };
        assert_eq!(self.store.surroundings(around).await.unwrap().grant, mark);
        mark
    }
}

fn client_id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

/// A record without the part that the store writes.
fn unstamped(record: Record) -> Record {
    Record { stamp: Stamp(0), ..record }
}

const REQUESTED: State = State::Revoked(Reason::REQUESTED);

fn reason(byte: u8) -> Reason {
    Reason::from_byte(byte).unwrap()
}

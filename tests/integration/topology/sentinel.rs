//! A store whose primary the Sentinels name.

use std::time::{Duration, Instant};

use introspectd::client::secret::Secret;
use introspectd::config::RedisConfig;

use super::{PERMISSIONS, add_user, impatient, is_at_a_loss, is_not_let_in, open, reads, works};
use crate::redis::everything_works;
use crate::support::eventually;
use crate::support::redis::PREFIX;
use crate::support::sentinel::{SentinelOptions, SentinelSet};

/// How long a store may take to follow the Sentinels, on a machine that is busy.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_finds_the_primary_and_follows_it_through_every_kind_of_failover() {
    let mut set = SentinelSet::start().await;
    let store = open(impatient(set.config())).await;
    everything_works(&store).await;
    works(&store, 20).await;
    // Told to: nothing is lost, since the old primary lives.
    let second = set.failover().await;
    let begun = Instant::now();
    works(&store, 21).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    set.is_healthy().await;
    // Killed.
    set.servers[second].kill();
    let third = set.is_replaced(Some(second)).await;
    let begun = Instant::now();
    works(&store, 22).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    set.servers[second].launch().await;
    set.is_healthy().await;
    // Frozen, and there again as if nothing had happened: it still takes itself for the primary.
    set.servers[third].freeze();
    let fourth = set.is_replaced(Some(third)).await;
    works(&store, 23).await;
    set.servers[third].thaw();
    for _ in 0..50 {
        reads(&store, 23).await.unwrap();
    }
    set.is_healthy().await;
    assert_eq!(set.primary().await, Some(fourth));
    works(&store, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_of_the_sentinels_nothing_is_known() {
    let set = SentinelSet::start().await;
    let store = open(impatient(set.config())).await;
    works(&store, 1).await;
    set.sentinels[0].freeze();
    for _ in 0..20 {
        reads(&store, 1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    set.sentinels[1].freeze();
    eventually("nobody knows any more", async || is_at_a_loss(&store, 1).await).await;
    for _ in 0..3 {
        assert!(is_at_a_loss(&store, 1).await, "the Sentinels are still frozen");
    }
    set.sentinels[0].thaw();
    eventually("two know it", async || reads(&store, 1).await.is_ok()).await;
    set.sentinels[1].thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_restart_are_asked_again() {
    let mut set = SentinelSet::start().await;
    let store = open(impatient(set.config())).await;
    works(&store, 1).await;
    for index in 0..3 {
        set.sentinels[index].kill();
    }
    eventually("nobody knows any more", async || is_at_a_loss(&store, 1).await).await;
    for index in 0..3 {
        set.launch_sentinel(index).await;
    }
    eventually("they know it", async || reads(&store, 1).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_works_over_tls_with_users_and_passwords_of_both_kinds() {
    let set = SentinelSet::start_with(SentinelOptions {
        password: Some("hunter2"),
        sentinel_password: Some("hunter3"),
        encrypted: true,
        ..SentinelOptions::default()
    })
    .await;
    everything_works(&open(set.config()).await).await;
    // Users with a name, who may do no more than they have to.
    for server in &set.servers {
        add_user(server, "itd", "hunter4", PREFIX, PERMISSIONS).await;
    }
    for sentinel in &set.sentinels {
        add_user(sentinel, "itd", "hunter5", "", "+sentinel|get-master-addr-by-name +subscribe &+switch-master").await;
    }
    let named = |password: &str, sentinel_password: &str| RedisConfig {
        url: Secret::new(format!("rediss://itd:{password}@{}", set.addresses()[0])),
        sentinel_username: Some("itd".to_owned()),
        sentinel_password: Some(Secret::new(sentinel_password)),
        ..set.config()
    };
    let store = open(named("hunter4", "hunter5")).await;
    works(&store, 20).await;
    set.failover().await;
    works(&store, 21).await;
    for config in [named("hunter4", "wrong"), named("wrong", "hunter5")] {
        is_not_let_in(&open(impatient(config)).await).await;
    }
}

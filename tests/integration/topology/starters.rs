//! What the tests start does what it says: else a test that shows nothing would look like one that passes.

use std::time::{Duration, Instant};

use crate::support::cluster::{ClusterOptions, RedisCluster, Takeover};
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sentinel::{SentinelOptions, SentinelSet};

async fn write(server: &RedisServer, key: &str) {
    server.command::<()>(&["SET", key, "1"]).await;
}

async fn has(server: &RedisServer, key: &str) -> bool {
    server.try_command(&["EXISTS", key]).await.is_ok_and(|there: bool| there)
}

#[tokio::test]
async fn sentinels_replace_a_primary_that_was_killed_and_take_it_back_as_a_replica() {
    let mut set = SentinelSet::start().await;
    assert_eq!(set.primary().await, Some(0));
    write(&set.servers[0], "a").await;
    eventually("the replicas have it", async || has(&set.servers[1], "a").await && has(&set.servers[2], "a").await)
        .await;
    let begun = Instant::now();
    set.servers[0].kill();
    let primary = set.is_replaced(Some(0)).await;
    assert!(begun.elapsed() >= Duration::from_millis(400), "before it was held to be down");
    assert!(has(&set.servers[primary], "a").await);
    set.servers[0].launch().await;
    set.is_healthy().await;
    assert_eq!(set.primary().await, Some(primary));
}

#[tokio::test]
async fn sentinels_replace_a_primary_that_was_frozen_or_when_told() {
    let set = SentinelSet::start().await;
    set.servers[0].freeze();
    let second = set.is_replaced(Some(0)).await;
    set.servers[0].thaw();
    set.is_healthy().await;
    assert_ne!(set.failover().await, second);
    set.is_healthy().await;
}

#[tokio::test]
async fn sentinels_and_servers_speak_tls_and_have_passwords() {
    let set = SentinelSet::start_with(SentinelOptions {
        password: Some("hunter2"),
        sentinel_password: Some("hunter3"),
        encrypted: true,
        ..SentinelOptions::default()
    })
    .await;
    assert_ne!(set.failover().await, 0);
    set.is_healthy().await;
    let config = set.config();
    assert!(config.url.expose().starts_with("rediss://:hunter2@localhost:"), "{}", config.url.expose());
    assert_eq!(config.nodes, set.addresses()[1..]);
}

#[tokio::test]
async fn a_primary_that_forgets_its_data_comes_back_empty() {
    let mut set = SentinelSet::start().await;
    for sentinel in &mut set.sentinels {
        sentinel.kill();
    }
    write(&set.servers[0], "a").await;
    set.servers[0].kill();
    set.servers[0].launch().await;
    assert!(has(&set.servers[0], "a").await);
    set.servers[0].kill();
    set.servers[0].forget();
    set.servers[0].launch().await;
    assert!(!has(&set.servers[0], "a").await);
}

#[tokio::test]
async fn a_replica_takes_over_in_every_way() {
    let mut cluster = RedisCluster::start().await;
    let slot = cluster.slot("a").await;
    assert_eq!((slot, cluster.owner(slot).await), (15_495, Some(2)));
    write(&cluster.servers[2], "a").await;
    eventually("the replica has it", async || {
        let keys: u64 = cluster.servers[5].command(&["DBSIZE"]).await;
        keys == 1
    })
    .await;
    cluster.servers[2].kill();
    cluster.is_primary(5).await;
    assert!(has(&cluster.servers[5], "a").await);
    cluster.servers[2].launch().await;
    cluster.is_healthy().await;
    for (replica, takeover) in [(2, Takeover::Agreed), (5, Takeover::Forced), (2, Takeover::Alone)] {
        cluster.failover(replica, takeover).await;
        cluster.is_healthy().await;
        assert_eq!(cluster.owner(slot).await, Some(replica), "{takeover:?}");
    }
    assert!(has(&cluster.servers[2], "a").await);
}

#[tokio::test]
async fn a_slot_is_moved_with_its_keys() {
    let cluster = RedisCluster::start_with(ClusterOptions { password: Some("hunter2"), ..Default::default() }).await;
    let slot = cluster.slot("a").await;
    for key in ["{a}1", "{a}2", "{a}3"] {
        write(&cluster.servers[2], key).await;
    }
    cluster.begin_move(slot, 2, 0).await;
    assert_eq!(cluster.move_keys(slot, 2, 0, 2).await, 2);
    let elsewhere = cluster.servers[2].try_command::<u64>(&["EXISTS", "{a}4"]).await;
    assert_eq!(elsewhere.unwrap_err().code(), Some("ASK"));
    cluster.move_slot(slot, 2, 0).await;
    cluster.is_healthy().await;
    assert_eq!(cluster.owner(slot).await, Some(0));
    assert!(has(&cluster.servers[0], "{a}3").await);
    assert_eq!(cluster.servers[2].try_command::<u64>(&["EXISTS", "{a}1"]).await.unwrap_err().code(), Some("MOVED"));
}

#[tokio::test]
async fn nodes_of_a_cluster_speak_tls() {
    let cluster = RedisCluster::start_with(ClusterOptions { encrypted: true, ..ClusterOptions::default() }).await;
    cluster.failover(3, Takeover::Agreed).await;
    let slot = cluster.slot("b").await;
    write(&cluster.servers[3], "b").await;
    cluster.move_slot(slot, 3, 1).await;
    cluster.is_healthy().await;
    assert!(has(&cluster.servers[1], "b").await);
    assert_eq!(cluster.config().nodes, [cluster.servers[1].address(), cluster.servers[2].address()]);
}

//! A store in a Redis Cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use introspectd::client::secret::Secret;
use introspectd::config::RedisConfig;
use introspectd::store::StoreErrorKind;

use super::{PERMISSIONS, add_user, impatient, is_at_a_loss, is_not_let_in, open, reads, works};
use crate::redis::everything_works;
use crate::support::cluster::{ClusterOptions, RedisCluster, Takeover};
use crate::support::redis::PREFIX;
use crate::support::{digest, eventually};

/// The slot that a token is kept in.
async fn slot_of(cluster: &RedisCluster, number: u8) -> u16 {
    cluster.slot(&format!("{PREFIX}t:{{{}}}", digest(number).to_text())).await
}

/// Tokens that lie on different primaries of a cluster as it is at the start, one for each.
async fn one_on_each(cluster: &RedisCluster) -> [u8; 3] {
    let mut numbers = [None; 3];
    for number in 100..200 {
        let owner = cluster.owner(slot_of(cluster, number).await).await.unwrap();
        numbers[owner].get_or_insert(number);
    }
    numbers.map(Option::unwrap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_finds_all_nodes_and_follows_them_through_every_kind_of_failover() {
    let mut cluster = RedisCluster::start().await;
    let store = open(impatient(cluster.config())).await;
    everything_works(&store).await;
    let numbers = one_on_each(&cluster).await;
    for number in numbers {
        works(&store, number).await;
    }
    for (replica, takeover) in [(3, Takeover::Agreed), (4, Takeover::Forced), (5, Takeover::Alone)] {
        cluster.failover(replica, takeover).await;
        for number in numbers {
            eventually("it is read again", async || reads(&store, number).await.is_ok()).await;
        }
        cluster.is_healthy().await;
    }
    // Killed: until its replica takes over nothing is known of what it had, and everything of the rest.
    cluster.servers[3].kill();
    eventually("it is missed", async || is_at_a_loss(&store, numbers[0]).await).await;
    for number in [numbers[1], numbers[2]] {
        reads(&store, number).await.unwrap();
    }
    cluster.is_primary(0).await;
    for number in numbers {
        eventually("it is read again", async || reads(&store, number).await.is_ok()).await;
    }
    cluster.servers[3].launch().await;
    cluster.is_healthy().await;
    works(&store, 99).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_moved_under_load_and_nothing_is_ever_taken_to_be_missing() {
    let cluster = RedisCluster::start().await;
    let store = Arc::new(open(cluster.config()).await);
    let number = one_on_each(&cluster).await[2];
    works(&store, number).await;
    let slot = slot_of(&cluster, number).await;
    let over = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (store, over) = (Arc::clone(&store), Arc::clone(&over));
        async move {
            let mut good = 0;
            while !over.load(Ordering::Relaxed) {
                match reads(&store, number).await {
                    Ok(()) => good += 1,
                    Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}"),
                }
            }
            good
        }
    });
    for (from, to) in [(2, 0), (0, 1), (1, 2)] {
        cluster.begin_move(slot, from, to).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Its keys are here and there.
        cluster.move_keys(slot, from, to, 1).await;
        reads(&store, number).await.unwrap();
        cluster.move_slot(slot, from, to).await;
        eventually("it is read where it is now", async || reads(&store, number).await.is_ok()).await;
    }
    over.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_of_the_nodes_nothing_is_known() {
    let cluster = RedisCluster::start().await;
    let store = open(impatient(cluster.config())).await;
    let number = one_on_each(&cluster).await[0];
    works(&store, number).await;
    // Two replicas may be missed.
    for server in &cluster.servers[4..] {
        server.freeze();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..20 {
        reads(&store, number).await.unwrap();
    }
    // With half of the nodes gone, nobody can tell whether the rest are the cluster.
    cluster.servers[3].freeze();
    eventually("nobody knows any more", async || is_at_a_loss(&store, number).await).await;
    for server in &cluster.servers[3..] {
        server.thaw();
    }
    eventually("they know again", async || reads(&store, number).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_works_over_tls_with_users_and_passwords() {
    let options = ClusterOptions { password: Some("hunter2"), encrypted: true, ..ClusterOptions::default() };
    let cluster = RedisCluster::start_with(options).await;
    everything_works(&open(cluster.config()).await).await;
    // A user with a name, who may do no more than it has to.
    for server in &cluster.servers {
        add_user(server, "itd", "hunter4", PREFIX, PERMISSIONS).await;
    }
    let named = |password: &str| RedisConfig {
        url: Secret::new(format!("rediss://itd:{password}@{}", cluster.servers[0].address())),
        ..cluster.config()
    };
    let store = open(named("hunter4")).await;
    works(&store, 20).await;
    cluster.failover(3, Takeover::Agreed).await;
    works(&store, 21).await;
    is_not_let_in(&open(impatient(named("wrong"))).await).await;
}

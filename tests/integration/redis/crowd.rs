//! Many reads at once: those that arrive together travel together, and too many are turned away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use introspectd::store::StoreErrorKind;
use tokio::task::JoinSet;

use super::{insert, is_up};
use crate::support::redis::RedisServer;
use crate::support::{digest, eventually};

/// How often `GET` was carried out.
pub(super) async fn gets(server: &RedisServer) -> u64 {
    let statistics: String = server.command(&["INFO", "commandstats"]).await;
    let calls = |line: &str| line.strip_prefix("cmdstat_get:calls=")?.split(',').next()?.parse().ok();
    statistics.lines().find_map(calls).unwrap_or_default()
}

/// Each batch ends with one more read, by which batches are counted.
#[tokio::test]
async fn reads_that_arrive_together_travel_together() {
    let server = RedisServer::start().await;
    let store = Arc::new(server.store().await);
    insert(&store, 1).await.unwrap();
    let before = gets(&server).await;
    let mut calls = JoinSet::new();
    for _ in 0..500 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.token(&[digest(1)]).await.unwrap().is_some() });
    }
    assert!(calls.join_all().await.into_iter().all(|found| found));
    let batches = gets(&server).await - before - 500;
    assert!(batches < 100, "{batches} batches for 500 reads, renewals of the lease among them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_reads_than_can_wait_are_turned_away_at_once_and_the_rest_when_it_is_over() {
    let server = RedisServer::start().await;
    let store = Arc::new(server.store().await);
    insert(&store, 1).await.unwrap();
    server.freeze();
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..10_000 {
        let store = Arc::clone(&store);
        calls.spawn(async move { (store.token(&[digest(1)]).await, begun.elapsed()) });
    }
    // Most are told before anything could have been answered: the deadline is five seconds.
    let mut turned_away = 0;
    while turned_away < 5_000 {
        let (outcome, after) = calls.join_next().await.unwrap().unwrap();
        assert_eq!(outcome.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert!(after < Duration::from_secs(4), "told after {after:?}");
        turned_away += 1;
    }
    server.thaw();
    // Nothing is left over from the crowd: what was waiting is answered or gone.
    calls.join_all().await;
    eventually("the store is up", async || is_up(&store).await).await;
    assert!(store.token(&[digest(1)]).await.unwrap().is_some());
}

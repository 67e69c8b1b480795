//! A primary with two replicas, and three Sentinels that replace it.

use std::time::Duration;

use tokio::time::sleep;

use crate::is_full;
use crate::load::NODES;
use crate::site::{Setting, Site};
use crate::support::sentinel::{SERVICE, SentinelSet};
use crate::witness::nanoseconds;

impl Setting {
    /// The usual promise over a primary that Sentinels replace.
    pub(crate) fn sentinel(set: &SentinelSet) -> Self {
        let addresses = set.addresses();
        let variables = vec![
            ("INTROSPECTD_REDIS__URL", format!("redis://{}", addresses[0])),
            ("INTROSPECTD_REDIS__TOPOLOGY", "sentinel".to_owned()),
            ("INTROSPECTD_REDIS__NODES", addresses[1..].join(",")),
            ("INTROSPECTD_REDIS__SENTINEL_SERVICE", SERVICE.to_owned()),
        ];
        Self { redis: [(); NODES as usize].map(|()| variables.clone()), ..Self::standalone(Default::default()) }
    }
}

/// How far behind a replica may be that nothing holds up: what it has not got yet is lost with the primary.
pub(crate) const LAG: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_killed_frozen_and_replaced() {
    let mut set = SentinelSet::start().await;
    let mut site = Site::start(Setting::sentinel(&set)).await;
    site.begin_load().await;
    let lag = nanoseconds(LAG);

    // It is killed in [`crate::losses`] as well.
    if is_full() {
        let primary = set.primary().await.unwrap();
        let fault = site.begin("primary killed");
        let since = site.now().saturating_sub(lag);
        set.servers[primary].kill();
        set.is_replaced(Some(primary)).await;
        set.servers[primary].launch().await;
        set.is_healthy().await;
        site.end(fault.loses_since(since)).await;
    }

    for seconds in if is_full() { &[0.2, 2.0, 20.0][..] } else { &[2.0] } {
        let primary = set.primary().await.unwrap();
        let fault = site.begin(&format!("primary frozen for {seconds} s"));
        let since = site.now().saturating_sub(lag);
        set.servers[primary].freeze();
        sleep(Duration::from_secs_f64(*seconds)).await;
        set.servers[primary].thaw();
        set.is_healthy().await;
        site.end(fault.loses_since(since)).await;
    }

    let fault = site.begin("primary replaced on demand");
    let since = site.now().saturating_sub(lag);
    set.failover().await;
    set.is_healthy().await;
    site.end(fault.loses_since(since)).await;

    // Redis' own way, of which the Sentinels learn when it has happened.
    if is_full() {
        let primary = set.primary().await.unwrap();
        let fault = site.begin("primary steps down");
        let since = site.now().saturating_sub(lag);
        set.servers[primary].command::<()>(&["FAILOVER", "TIMEOUT", "2000"]).await;
        sleep(Duration::from_secs(3)).await;
        set.is_healthy().await;
        site.end(fault.loses_since(since)).await;
    }

    let fault = site.begin("a majority of the sentinels frozen");
    set.sentinels[0].freeze();
    set.sentinels[1].freeze();
    let from = site.now();
    sleep(Duration::from_millis(1200)).await;
    let to = site.now();
    set.sentinels[0].thaw();
    set.sentinels[1].thaw();
    site.end(fault.silent(from, to)).await;
    site.judge("sentinel").await;
}

/// Nobody who asks a node notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_and_a_sentinel_are_killed() {
    let mut set = SentinelSet::start().await;
    let mut site = Site::start(Setting::sentinel(&set)).await;
    site.begin_load().await;
    set.servers[1].kill();
    set.sentinels[2].kill();
    sleep(Duration::from_secs(2)).await;
    set.servers[1].launch().await;
    set.launch_sentinel(2).await;
    sleep(Duration::from_secs(1)).await;
    let verdict = site.judge("sentinel-replica").await;
    assert_eq!(verdict.counts.unavailable + verdict.counts.unanswered, 0);
}

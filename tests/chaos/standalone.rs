//! One Redis, and a network of its own for each node.

use std::time::Duration;

use tokio::time::sleep;

use crate::is_full;
use crate::load::NODES;
use crate::network::{Network, Way, Weather};
use crate::sentinel::LAG;
use crate::site::{Setting, Site};
use crate::support::redis::RedisServer;
use crate::witness::nanoseconds;

/// A Redis that keeps what it acknowledges.
async fn redis() -> RedisServer {
    RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
}

async fn networks(redis: &RedisServer) -> [Network; NODES as usize] {
    [Network::start(redis.port()).await, Network::start(redis.port()).await, Network::start(redis.port()).await]
}

async fn site(networks: &[Network; NODES as usize]) -> Site {
    let mut site = Site::start(Setting::standalone([0, 1, 2].map(|node: usize| networks[node].url()))).await;
    site.begin_load().await;
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_frozen_full_and_disturbed() {
    let mut redis = redis().await;
    let networks = networks(&redis).await;
    let site = site(&networks).await;

    for seconds in if is_full() { &[0.2, 2.0, 20.0][..] } else { &[0.2, 2.0] } {
        let fault = site.begin(&format!("redis frozen for {seconds} s"));
        redis.freeze();
        let from = site.now();
        sleep(Duration::from_secs_f64(*seconds)).await;
        let to = site.now();
        redis.thaw();
        site.end(fault.silent(from, to)).await;
    }

    // A node that has heard of an approval, but not what came of it, writes the revocation before it again.
    let fault = site.begin("redis killed");
    let since = site.now().saturating_sub(nanoseconds(LAG));
    redis.kill();
    let from = site.now();
    sleep(Duration::from_millis(700)).await;
    let to = site.now();
    redis.launch().await;
    site.end(fault.silent(from, to).loses_since(since)).await;

    let fault = site.begin("connections of clients ended by redis");
    for _ in 0..3 {
        redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        sleep(Duration::from_millis(100)).await;
    }
    site.end(fault).await;

    let fault = site.begin("clients made to wait by redis");
    redis.command::<()>(&["CLIENT", "PAUSE", "600", "ALL"]).await;
    sleep(Duration::from_millis(600)).await;
    site.end(fault).await;

    let fault = site.begin("redis out of memory");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    sleep(Duration::from_secs(1)).await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    site.end(fault).await;

    site.judge("standalone-redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_of_a_node_is_cut_slow_and_deaf() {
    let redis = redis().await;
    let networks = networks(&redis).await;
    let site = site(&networks).await;
    let hold = Duration::from_millis(if is_full() { 5000 } else { 1200 });

    let slow = Way::Slow(Duration::from_millis(40));
    for (node, what, weather) in [
        (0, "cut off", Weather { is_cut: true, ..Weather::default() }),
        (1, "hears nothing", Weather { to_node: Way::Stalled, ..Weather::default() }),
        (2, "is not heard", Weather { to_redis: Way::Stalled, ..Weather::default() }),
        (0, "loses what it is told", Weather { to_node: Way::Lost, ..Weather::default() }),
        (1, "loses what it says", Weather { to_redis: Way::Lost, ..Weather::default() }),
        (2, "hears late", Weather { to_node: slow, to_redis: slow, ..Weather::default() }),
    ] {
        let mut fault = site.begin(&format!("node {node} {what}")).nodes(&[node]);
        let network = &networks[usize::from(node)];
        network.set(weather);
        let from = site.now();
        sleep(hold).await;
        if weather.to_node != slow {
            fault = fault.silent(from, site.now());
        }
        network.clear();
        site.end(fault).await;
    }
    site.judge("standalone-network").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_killed_and_frozen() {
    let redis = redis().await;
    let networks = networks(&redis).await;
    let site = site(&networks).await;

    for (node, seconds) in if is_full() { &[(1, 0.2), (2, 2.0), (1, 20.0)][..] } else { &[(1, 0.2), (2, 1.5)] } {
        let fault = site.begin(&format!("node {node} frozen for {seconds} s")).nodes(&[*node]);
        site.freeze_node(*node);
        sleep(Duration::from_secs_f64(*seconds)).await;
        site.thaw_node(*node);
        site.end(fault).await;
    }
    let fault = site.begin("node 0 killed").nodes(&[0]);
    site.kill_node(0);
    sleep(Duration::from_millis(300)).await;
    site.restart_node(0).await;
    site.end(fault).await;
    site.judge("standalone-nodes").await;
}

/// Nothing that was known may be said to be over then: it is not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_emptied_while_it_runs() {
    let redis = redis().await;
    let networks = networks(&redis).await;
    let site = site(&networks).await;
    let fault = site.begin("redis emptied");
    redis.command::<()>(&["FLUSHALL"]).await;
    sleep(Duration::from_secs(2)).await;
    site.leave(fault);
    let verdict = site.judge("standalone-emptied").await;
    assert!(verdict.counts.unavailable > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_without_its_data() {
    let mut redis = redis().await;
    let networks = networks(&redis).await;
    let site = site(&networks).await;
    let fault = site.begin("redis lost its data");
    redis.kill();
    redis.forget();
    redis.launch().await;
    sleep(Duration::from_secs(2)).await;
    site.leave(fault);
    let verdict = site.judge("standalone-without-data").await;
    assert!(verdict.counts.unavailable > 0);
}

//! How many answered revocations are lost when the replica that takes over is behind.

use std::sync::Arc;
use std::time::Duration;

use checker::history::Moment;
use checker::history::mode::Durability;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::caller::{Caller, Wanted};
use crate::load::{CLIENTS, NODES, any_node};
use crate::site::{Setting, Site};
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sentinel::SentinelSet;
use crate::tokens::Token;
use crate::{is_full, say};

/// How many tokens are revoked around each failover, one after the other.
const REVOKED: usize = 60;
/// How many of them before the replicas fall behind.
const IN_STEP: usize = 10;
const PACE: Duration = Duration::from_millis(15);
/// How long the replicas have been behind when the primary is killed.
const BEHIND: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_primary_acknowledges_alone_is_lost_with_it() {
    let lost = fail_over_and_over(Durability::Primary, rounds(3)).await;
    assert!(lost > 0, "a test that loses nothing shows nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_is_not_lost() {
    assert_eq!(fail_over_and_over(Durability::Replicas, rounds(1)).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_nodes_replay_is_not_lost() {
    assert_eq!(fail_over_and_over(Durability::Replay, rounds(3)).await, 0);
}

/// How many failovers there are: this many, or as many as the promise was made for.
fn rounds(short: usize) -> usize {
    if is_full() { 30 } else { short }
}

/// How many revocations were lost.
async fn fail_over_and_over(durability: Durability, rounds: usize) -> usize {
    let mut set = SentinelSet::start().await;
    let site = Site::start(Setting { durability, ..Setting::sentinel(&set) }).await;
    for _ in 0..rounds {
        fail_over(&site, &mut set).await;
    }
    let mode = format!("{durability:?}").to_lowercase();
    let verdict = site.judge(&format!("losses-{mode}")).await;
    say(&format!(
        "proof: failovers, durability {mode}: {} of {} answered revocations lost in {rounds} failovers to a replica \
         that was behind",
        verdict.contradicted, verdict.counts.revoked
    ));
    verdict.contradicted
}

async fn fail_over(site: &Site, set: &mut SentinelSet) {
    let wanted = Wanted { client: CLIENTS[0].to_owned(), lifetime: 3600, ..Wanted::default() };
    let mut tokens = Vec::new();
    for _ in 0..REVOKED {
        let token = site.caller.issue_at_last(|| site.name(), &wanted).await;
        tokens.push(site.tokens.add(token));
    }
    let before = set.primary().await.unwrap();
    // What the replicas get in time is not lost in any mode.
    revoke(site.caller.clone(), tokens[..IN_STEP].to_vec()).await;
    everywhere(&set.servers[before]).await;

    let fault = site.begin("failover to a replica that is behind");
    let since: Moment = site.now();
    hold_up(&set.servers[before]).await;
    let revoking = tokio::spawn(revoke(site.caller.clone(), tokens[IN_STEP..].to_vec()));
    sleep(BEHIND).await;
    set.servers[before].kill();
    set.is_replaced(Some(before)).await;
    revoking.await.unwrap();
    set.servers[before].launch().await;
    set.is_healthy().await;
    site.end(fault.loses_since(since)).await;
    for token in &tokens {
        for node in 0..NODES {
            site.caller.introspect(node, token).await;
        }
    }
}

/// Revokes tokens at a steady rate, however long each takes.
async fn revoke(caller: Caller, tokens: Vec<Arc<Token>>) {
    let (mut ticks, mut all) = (interval(PACE), JoinSet::new());
    for token in tokens {
        ticks.tick().await;
        let caller = caller.clone();
        all.spawn(async move { caller.revoke(any_node(), &token).await });
    }
    all.join_all().await;
}

/// Waits until both replicas have all that was written so far.
async fn everywhere(primary: &RedisServer) {
    eventually("both replicas follow", async || {
        let mut commands = redis::pipe();
        commands.cmd("SET").arg("chaos").arg("").ignore().cmd("WAIT").arg(2).arg(200);
        let (reached,): (u64,) = primary.pipeline(&commands).await;
        reached == 2
    })
    .await;
}

/// Takes the replicas off the primary, which goes on alone and knows nothing of it.
async fn hold_up(primary: &RedisServer) {
    primary.command::<()>(&["ACL", "SETUSER", "default", "-psync", "-sync"]).await;
    primary.command::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]).await;
}

//! When the last node stops saying active, measured from the answer to the revocation on.

use std::sync::Arc;
use std::time::Duration;

use checker::Verdict;
use checker::history::event::Answer;
use checker::history::mode::Acknowledge;
use checker::verdict::{Invariant, Spread};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::caller::{Caller, Wanted};
use crate::load::{CLIENTS, NODES};
use crate::network::{Network, Way, Weather};
use crate::site::{Setting, Site};
use crate::support::redis::RedisServer;
use crate::tokens::Token;
use crate::witness::mode;
use crate::{is_full, say};

/// How many revocations go on at the same time.
const AT_ONCE: usize = 8;
/// How often each node is asked meanwhile.
const REST: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_says_active_after_the_answer() {
    let count = if is_full() { 10_000 } else { 300 };
    let redis = RedisServer::start().await;
    let site = Site::start(Setting::standalone([0, 1, 2].map(|_| redis.url()))).await;
    revoke(&site, count).await;
    let verdict = site.judge("visibility").await;
    assert_eq!(verdict.seen_everywhere.len(), count, "each of them was measured");
    assert_eq!(verdict.seen_active(), 0);
    say(&format!(
        "proof: visibility, acknowledge visible: {count} revocations on {NODES} nodes, {} of them seen active after \
         the answer; the last node's first inactive answer came after the answer: {}; after the request: {}",
        verdict.seen_active(),
        Spread(&verdict.seen_everywhere),
        Spread(&verdict.seen_since_asked)
    ));
}

/// Without the wait before the answer, a node that hears late says active after it, and is found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_late_is_found_out() {
    let redis = RedisServer::start().await;
    let late = Network::start(redis.port()).await;
    let slow = Way::Slow(Duration::from_millis(30));
    late.set(Weather { to_node: slow, ..Weather::default() });
    let setting = Setting::standalone([redis.url(), redis.url(), late.url()]);
    let mut site = Site::start(Setting { acknowledge: Acknowledge::Written, ..setting }).await;
    revoke(&site, 30).await;
    let (history, _) = site.finish().await;
    let kept = checker::judge(&history).unwrap();
    assert!(kept.holds(), "{kept}");
    let broken = judged_as_visible(&history).broken;
    assert!(broken.contains_key(&Invariant::Revoked), "{broken:?}");
    say(&format!(
        "proof: visibility, acknowledge written: {} of {} revocations seen active after the answer on a node that \
         hears 30 ms late, none of them a lease after it; the last active answer was asked for {}",
        kept.seen_active(),
        kept.still_active.len(),
        Spread(&kept.still_active)
    ));
}

/// The same history, were more promised than the nodes were told to keep.
fn judged_as_visible(history: &checker::History) -> Verdict {
    let mode = mode(Acknowledge::Visible, history.mode.durability);
    checker::judge(&checker::History { mode, ..history.clone() }).unwrap()
}

/// Issues tokens, lets every node know them, and revokes them while every node is asked.
async fn revoke(site: &Site, count: usize) {
    let (room, mut all) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for _ in 0..count {
        let turn = Arc::clone(&room).acquire_owned().await.unwrap();
        let (caller, names) = (site.caller.clone(), site.names());
        all.spawn(async move {
            let wanted = Wanted { client: CLIENTS[0].to_owned(), lifetime: 3600, ..Wanted::default() };
            let token = Arc::new(caller.issue_at_last(|| names.next(), &wanted).await);
            let mut watching = JoinSet::new();
            for node in 0..NODES {
                // Once from the store, and once from what the node remembers.
                caller.introspect(node, &token).await;
                watching.spawn(ask_until_inactive(caller.clone(), node, Arc::clone(&token)));
            }
            caller.revoke_at_last(&token).await;
            watching.join_all().await;
            for node in 0..NODES {
                caller.introspect(node, &token).await;
            }
            drop(turn);
        });
    }
    all.join_all().await;
}

async fn ask_until_inactive(caller: Caller, node: u16, token: Arc<Token>) {
    while caller.introspect(node, &token).await != Answer::Inactive {
        sleep(REST).await;
    }
}

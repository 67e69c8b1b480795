//! Approvals while slots of a cluster move: nodes remember what was revoked, and write it again where it may have been
//! lost.

use std::time::Duration;

use introspectd::config::{Durability, RedisConfig, RevocationConfig};
use introspectd::store::redis::RedisStore;
use introspectd::store::{Around, Signed, Transition};
use introspectd::token::record::{Reason, State};
use introspectd::token::time::{Clock, UnixSeconds};

use super::open;
use crate::support::cluster::RedisCluster;
use crate::support::redis::PREFIX;
use crate::support::{around, digest, eventually};

const NUMBER: u8 = 7;

fn tombstone() -> String {
    format!("{PREFIX}r:{{{}}}", digest(NUMBER).to_text())
}

/// A store that writes again what a primary may have lost.
async fn remembering(cluster: &RedisCluster) -> RedisStore {
    let config = cluster.config();
    let revocation = RevocationConfig { durability: Durability::Replay, ..config.revocation };
    open(RedisConfig { revocation, ..config }).await
}

async fn set(store: &RedisStore, state: State) -> Transition {
    let now = Clock::System.now();
    store.set_signed_state(digest(NUMBER), state, UnixSeconds(now.seconds().0 + 600), now).await.unwrap()
}

async fn is_revoked(store: &RedisStore) -> bool {
    let signed = Some(Signed { token: digest(NUMBER), key: "k" });
    eventually("it can be read", async || store.surroundings(Around { signed, ..around() }).await.is_ok()).await;
    store.surroundings(Around { signed, ..around() }).await.unwrap().revoked.is_some()
}

async fn has_read_everything(store: &RedisStore) {
    eventually("everything is read that was heard of", async || store.condition().unread == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_approved_while_its_slot_moves_stays_approved_when_it_has_moved() {
    let cluster = RedisCluster::start().await;
    let (store, other) = (remembering(&cluster).await, remembering(&cluster).await);
    assert_eq!(set(&store, State::Revoked(Reason::REQUESTED)).await, Transition::Changed);
    eventually("the other node remembers it", async || other.condition().remembered > 0).await;
    has_read_everything(&other).await;
    let slot = cluster.slot(&tombstone()).await;
    let from = cluster.owner(slot).await.unwrap();
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to).await;
    assert_eq!(set(&store, State::Approved).await, Transition::Changed);
    // The other node hears of it, and cannot read what became of it from a primary that sends it elsewhere.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(other.condition().unread > 0);
    // Nor does it hold up the rest.
    let now = Clock::System.now();
    let ended = store.set_signed_state(
        digest(NUMBER + 1),
        State::Revoked(Reason::REQUESTED),
        UnixSeconds(now.seconds().0 + 600),
        now,
    );
    assert_eq!(ended.await.unwrap(), Transition::Changed);
    let remembered = other.condition().remembered;
    eventually("what else was revoked is remembered", async || other.condition().remembered >= remembered.max(2)).await;
    cluster.end_move(slot, from, to).await;
    has_read_everything(&other).await;
    has_read_everything(&store).await;
    assert!(!is_revoked(&store).await && !is_revoked(&other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_another_node_undoes_is_made_once_more() {
    let cluster = RedisCluster::start().await;
    let store = remembering(&cluster).await;
    assert_eq!(set(&store, State::Revoked(Reason::REQUESTED)).await, Transition::Changed);
    let owner = &cluster.servers[cluster.owner(cluster.slot(&tombstone()).await).await.unwrap()];
    let (tombstone, kept) = (tombstone(), format!("kept:{}", tombstone()));
    assert_eq!(owner.command::<u8>(&["COPY", &tombstone, &kept]).await, 1);
    let undoing = async {
        eventually("it is approved", async || owner.command::<u8>(&["EXISTS", &tombstone]).await == 0).await;
        // As a node does that has not read of it: what it writes is what was there.
        owner.command::<()>(&["RENAME", &kept, &tombstone]).await;
    };
    let (approved, ()) = tokio::join!(set(&store, State::Approved), undoing);
    assert_eq!(approved, Transition::Changed);
    assert!(!is_revoked(&store).await);
    // What comes after an approval, and is no older than what it undid, holds.
    assert_eq!(set(&store, State::Revoked(Reason::REQUESTED)).await, Transition::Changed);
    assert!(is_revoked(&store).await);
}

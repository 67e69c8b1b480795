//! Epochs that are remembered, those of groups of users among them: what they spare, and what they must never hide.

use std::sync::Arc;
use std::time::Duration;

use introspectd::cache::observe::Unobserved;
use introspectd::coherence::name::{Name, UserGroup};
use introspectd::store::redis::{Outside, RedisStore, Remembering};
use introspectd::store::{Around, StoreErrorKind};
use introspectd::token::epoch::{Epoch, EpochAxis};
use introspectd::token::record::Reason;
use introspectd::token::time::Stamp;

use super::crowd::gets;
use super::{now, raise};
use crate::support::eventually;
use crate::support::redis::{PREFIX, RedisServer};

const PAIR: EpochAxis<'_> = EpochAxis::ClientUser { client_id: "app", subject: "alice" };

/// A store that remembers, and has a lease to do so.
async fn remembering(server: &RedisServer) -> RedisStore {
    let epochs = Some(Remembering { max_age: Duration::from_mins(1), observer: Arc::new(Unobserved) });
    let store = RedisStore::open_with(&server.config(), Outside { epochs, ..Outside::default() }).await.unwrap();
    eventually("a lease", async || store.coherence().has_lease(store.coherence().now())).await;
    store
}

/// A token of alice's, issued at that moment, of a client that is known.
fn of_alice(origin: Stamp) -> Around<'static> {
    let all = Around::of_client("app");
    Around { subject: Some("alice"), origin, with_client: false, from_memory: true, ..all }
}

/// Another user of the same group.
fn neighbour() -> String {
    let mut others = (0..).map(|number| format!("user {number}"));
    others.find(|other| UserGroup::of(other) == UserGroup::of("alice")).unwrap()
}

fn group_key() -> String {
    format!("{PREFIX}{}", Name::Users(UserGroup::of("alice")).text())
}

async fn user_epoch(store: &RedisStore, origin: Stamp) -> Option<Epoch> {
    store.surroundings(of_alice(origin)).await.unwrap().epochs.user
}

/// How many reads a hundred tokens cost. A lease that ends in between costs a few, and so does renewing it.
async fn reads_of_a_hundred(server: &RedisServer, store: &RedisStore, around: Around<'_>) -> u64 {
    let before = gets(server).await;
    for _ in 0..100 {
        store.surroundings(around).await.unwrap();
    }
    gets(server).await - before
}

#[tokio::test]
async fn what_is_remembered_is_not_read_again() {
    let server = RedisServer::start().await;
    let (store, other) = (remembering(&server).await, server.store().await);
    let forgetful = Around { from_memory: false, ..of_alice(Stamp(1)) };
    assert!(reads_of_a_hundred(&server, &store, forgetful).await >= 400);
    eventually("nothing is read", async || reads_of_a_hundred(&server, &store, of_alice(Stamp(1))).await < 50).await;
    // What ended the tokens of others costs two reads where it may have ended this one too, and none where it cannot.
    other
        .raise_epoch(EpochAxis::User(&neighbour()), None, Reason::BULK, now().seconds().plus(60), now())
        .await
        .unwrap();
    assert!(reads_of_a_hundred(&server, &store, of_alice(Stamp(1))).await >= 200);
    let later = store.clock(now()).await.unwrap();
    eventually("nothing is read of what came later", async || {
        reads_of_a_hundred(&server, &store, of_alice(later)).await < 50
    })
    .await;
}

#[tokio::test]
async fn what_another_node_ends_is_found_by_one_that_remembers() {
    let server = RedisServer::start().await;
    let (store, other) = (remembering(&server).await, server.store().await);
    for axis in [EpochAxis::User("alice"), PAIR, EpochAxis::Client("app"), EpochAxis::Issuer] {
        let issued = store.clock(now()).await.unwrap();
        let covering = async || store.surroundings(of_alice(issued)).await.unwrap().epochs.covering(issued);
        for _ in 0..3 {
            assert_eq!(covering().await, None, "{axis:?}");
        }
        assert!(raise(&other, axis).await.unwrap());
        // Until then a node may answer from memory under the lease that it had.
        other.visible().await.unwrap();
        assert!(covering().await.is_some(), "{axis:?}");
    }
}

/// In a cluster, word of a user's epoch may come before word of the group's. Here the group's never comes, as it has not
/// been raised at all.
#[tokio::test]
async fn what_was_read_of_a_user_counts_for_the_group_although_no_word_of_it_has_come() {
    let server = RedisServer::start().await;
    let store = remembering(&server).await;
    for axis in [EpochAxis::User("alice"), PAIR] {
        let issued = store.clock(now()).await.unwrap();
        eventually("the group is remembered", async || {
            reads_of_a_hundred(&server, &store, of_alice(issued)).await < 50
        })
        .await;
        let raised = Epoch { until: store.clock(now()).await.unwrap(), reason: Reason::BULK }.encode();
        let raised = raised.map(|byte| format!("\\{byte:03}")).concat();
        let script = format!("return redis.call('SET', KEYS[1], '{raised}', 'EX', 60)");
        server.command::<()>(&["EVAL", &script, "1", &format!("{PREFIX}{}", Name::Epoch(axis).text())]).await;
        let covering = async |around| store.surroundings(around).await.unwrap().epochs.covering(issued);
        let read = Around { from_memory: false, ..of_alice(issued) };
        assert!(covering(read).await.is_some(), "{axis:?}: who reads all finds it");
        assert!(covering(of_alice(issued)).await.is_some(), "{axis:?}: and from then on nobody else misses it");
    }
}

/// The epoch of all tokens lies on every primary of a cluster, and is raised on one after another. Here it is taken back, as
/// if the next question had gone to a primary on which it is still to be raised.
#[tokio::test]
async fn what_was_read_of_all_tokens_is_not_taken_back_by_a_marker_that_is_still_to_be_raised() {
    let server = RedisServer::start().await;
    let (store, other) = (remembering(&server).await, server.store().await);
    let issued = store.clock(now()).await.unwrap();
    let covering = async || store.surroundings(of_alice(issued)).await.unwrap().epochs.covering(issued);
    assert_eq!(covering().await, None);
    raise(&other, EpochAxis::Issuer).await.unwrap();
    other.visible().await.unwrap();
    assert!(covering().await.is_some());
    let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
        redis.call('SETRANGE', key, 22, string.rep('\\0', 9))
    end";
    server.command::<()>(&["EVAL", script, "0", &format!("{PREFIX}m:*")]).await;
    for _ in 0..20 {
        assert!(covering().await.is_some());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_node_hears_of_what_it_ends_itself_at_once() {
    let server = RedisServer::start().await;
    let store = remembering(&server).await;
    for axis in [EpochAxis::User("alice"), PAIR] {
        let issued = store.clock(now()).await.unwrap();
        assert_eq!(user_epoch(&store, issued).await, None);
        raise(&store, axis).await.unwrap();
        assert!(store.surroundings(of_alice(issued)).await.unwrap().epochs.covering(issued).is_some(), "{axis:?}");
    }
}

#[tokio::test]
async fn the_epoch_of_a_group_is_never_behind_that_of_a_user() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let mut last = 0;
    for (round, until) in [None, Some(Stamp(7)), None, Some(Stamp(u64::MAX / 2))].into_iter().enumerate() {
        for axis in [EpochAxis::User("alice"), PAIR] {
            last += 60;
            let end = now().seconds().plus(600 - last);
            let reason = Reason::BULK;
            store.raise_epoch(axis, until, reason, end, now()).await.unwrap();
            let key = format!("{PREFIX}{}", Name::Epoch(axis).text());
            let mut stored = Vec::new();
            let mut ends = Vec::new();
            for key in [&*key, &*group_key()] {
                stored.push(Epoch::decode(&server.command::<Vec<u8>>(&["GET", key]).await).unwrap().until);
                ends.push(server.command::<i64>(&["PEXPIRETIME", key]).await);
            }
            assert!(stored[0] <= stored[1], "round {round}: {stored:?}");
            assert!(ends[0] <= ends[1], "round {round}: {ends:?}");
        }
    }
}

#[tokio::test]
async fn a_group_that_cannot_be_read_is_damage_and_never_absence() {
    let server = RedisServer::start().await;
    raise(&server.store().await, EpochAxis::User("alice")).await.unwrap();
    for value in ["", "short", "12345678\u{0}", "far too long for it"] {
        server.command::<()>(&["SET", &group_key(), value, "EX", "60"]).await;
        let store = remembering(&server).await;
        let error = store.surroundings(of_alice(Stamp(1))).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{value:?}");
    }
}

//! What is kept under which key, until when, and that it goes.

use std::collections::BTreeMap;

use bytes::Bytes;
use introspectd::client::ClientId;
use introspectd::coherence::name::{Name, UserGroup};
use introspectd::config::RedisConfig;
use introspectd::store::redis::{CLOCK_GRACE, RedisStore};
use introspectd::store::{Insertion, Rotation, RotationOutcome};
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::GrantMark;
use introspectd::token::record::{Reason, State};
use introspectd::token::time::{Stamp, UnixSeconds};

use super::{
    ALICE, AXES, GRANT, REQUESTED, app, everything_works, fresh, insert, key, new_grant, now, revoked, rotation,
};
use crate::support::redis::{PREFIX, RedisServer};
use crate::support::{digest, eventually, record};

#[tokio::test]
async fn everything_that_is_kept_has_its_end_but_clients_and_signing_keys() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let now = now();
    let (token, family, end) = (now.seconds().plus(600), now.seconds().plus(900), now.seconds().plus(1200));
    store
        .insert(&[(digest(1), record(token)), (digest(2), record(token))], Some(&new_grant(family)), now)
        .await
        .unwrap();
    store.set_state(digest(1), REQUESTED, now).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, token, now).await.unwrap();
    let rotated = Rotation { keep_until: family.plus(1), ..rotation(token) };
    assert_eq!(store.rotate(&rotated, now).await.unwrap(), RotationOutcome::Done);
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), family).await.unwrap();
    for axis in AXES {
        // Once more with an earlier end changes nothing.
        for end in [end, token] {
            store.raise_epoch(axis, Some(Stamp(5)), Reason::BULK, end, now).await.unwrap();
        }
    }
    store.use_once([7; 32], token, now).await.unwrap();
    store.write_signing_keys(0, Bytes::from_static(b"{}")).await.unwrap();
    store.create_client(&app(), Bytes::from_static(b"{}"), now).await.unwrap();
    let mut expiries = BTreeMap::new();
    for key in server.keys().await {
        let expiry: i64 = server.command(&["PEXPIRETIME", &key]).await;
        expiries.insert(key, expiry);
    }
    let at = |second: UnixSeconds| i64::try_from(second.0).unwrap() * 1000;
    let grace = |second: UnixSeconds| at(second.plus(CLOCK_GRACE));
    let named = |name: &str| format!("{PREFIX}{name}");
    let digested = |kind: &str| {
        let start = named(kind);
        let mut found = expiries.keys().filter(|key| key.starts_with(&start));
        let name = found.next().unwrap().clone();
        assert!(found.next().is_none() && name.len() == start.len() + 32 + 1, "{name}");
        name
    };
    let expected = BTreeMap::from([
        (key("t", 1), at(token)),
        (key("t", 2), at(token)),
        (key("t", 60), at(token)),
        (key("r", 1), at(token)),
        (key("r", 9), grace(token)),
        (key("g", 1), at(family.plus(1))),
        (key("e:g", 1), grace(family)),
        (named("e:c:{YXBw}"), grace(end)),
        (digested("e:s:{"), grace(end)),
        (digested("e:cs:{"), grace(end)),
        (named(&Name::Users(UserGroup::of("alice")).text()), grace(end)),
        (named("e:k:{aw}"), grace(end)),
        (digested("j:{"), at(token)),
        (named("k:signing"), -1),
        (named("c:{YXBw}"), -1),
        (named("i:c"), -1),
    ]);
    assert_eq!(expiries, expected);
}

#[tokio::test]
async fn a_final_reason_replaces_another_in_the_record_and_in_the_tombstone() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    let reason = async || server.command::<Vec<u8>>(&["GET", &key("r", 1)]).await[8];
    for (asked, there) in [(Reason::REQUESTED, 1), (Reason::BULK, 3), (Reason::REUSED, 3), (Reason::REQUESTED, 3)] {
        store.set_state(digest(1), State::Revoked(asked), now()).await.unwrap();
        assert_eq!(reason().await, there);
        let record = store.token(&[digest(1)]).await.unwrap().unwrap().1;
        assert_eq!(record.state.to_byte(), there);
    }
    // Approving in vain leaves both as they are.
    store.set_state(digest(1), State::Approved, now()).await.unwrap();
    assert_eq!(reason().await, 3);
}

#[tokio::test]
async fn a_tombstone_says_when_and_why_and_goes_when_the_token_is_approved() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    let inserted = store.token(&[digest(1)]).await.unwrap().unwrap().1.stamp;
    let record_key = format!("{PREFIX}t:{{{}}}", digest(1).to_text());
    let expiry: i64 = server.command(&["PEXPIRETIME", &record_key]).await;
    let key = format!("{PREFIX}r:{{{}}}", digest(1).to_text());
    for _ in 0..3 {
        store.set_state(digest(1), REQUESTED, now()).await.unwrap();
        // A second one changes nothing.
        store.set_state(digest(1), REQUESTED, now()).await.unwrap();
        let tombstone: Vec<u8> = server.command(&["GET", &key]).await;
        let (stamp, reason) = tombstone.split_first_chunk().unwrap();
        let stamp = u64::from_be_bytes(*stamp);
        assert!(stamp > inserted.0 && stamp <= now().stamp().0 + 1_000_000, "{stamp}");
        assert_eq!(reason, [1]);
        store.set_state(digest(1), State::Approved, now()).await.unwrap();
        assert!(!server.command::<bool>(&["EXISTS", &key]).await);
        assert_eq!(server.command::<i64>(&["PEXPIRETIME", &record_key]).await, expiry);
    }
}

#[tokio::test]
async fn a_record_is_never_put_where_a_tombstone_stands() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    server.command::<()>(&["SET", &format!("{PREFIX}r:{{{}}}", digest(1).to_text()), "x"]).await;
    assert_eq!(insert(&store, 1).await.unwrap(), Insertion::Exists);
    assert_eq!(store.token(&[digest(1)]).await.unwrap(), None);
}

#[tokio::test]
async fn expired_keys_are_gone_from_redis() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let soon = now().seconds().plus(2);
    store.insert(&[(digest(1), record(soon))], Some(&new_grant(soon)), now()).await.unwrap();
    store.set_state(digest(1), REQUESTED, now()).await.unwrap();
    store.use_once([7; 32], soon, now()).await.unwrap();
    // What outlives its tokens by the grace, of tokens that ended that long ago.
    let (ending, now) = (UnixSeconds(soon.0 - CLOCK_GRACE), now());
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), ending).await.unwrap();
    store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, ending, now).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, ending, now).await.unwrap();
    assert_eq!(server.keys().await.len(), 6);
    eventually("nothing is left", async || server.keys().await.is_empty()).await;
    // What had passed already never comes in.
    store.insert(&[(digest(1), record(soon))], Some(&new_grant(soon)), now).await.unwrap();
    store.use_once([7; 32], soon, now).await.unwrap();
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), ending).await.unwrap();
    store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, ending, now).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, ending, now).await.unwrap();
    assert!(server.keys().await.is_empty());
}

/// The clock of a node may be behind that of Redis: by it, a token that is signed lives on, and has no record that
/// would be gone.
#[tokio::test]
async fn what_ends_a_signed_token_outlives_it_by_the_clock_of_redis() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let soon = now().seconds().plus(1);
    store.set_signed_state(digest(9), REQUESTED, soon, now()).await.unwrap();
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), soon).await.unwrap();
    store.raise_epoch(EpochAxis::Key("k"), None, Reason::KEY_REMOVED, soon, now()).await.unwrap();
    eventually("time passes", async || now().seconds() > soon).await;
    let surroundings = store.surroundings(ALICE).await.unwrap();
    assert_eq!((surroundings.revoked, surroundings.grant), (Some(Reason::REQUESTED), revoked()));
    assert!(surroundings.epochs.key.is_some());
}

#[tokio::test]
async fn stores_with_different_prefixes_do_not_see_each_other() {
    let server = RedisServer::start().await;
    let one = server.store().await;
    let other = RedisStore::open(&RedisConfig { key_prefix: "other:".to_owned(), ..server.config() }).await.unwrap();
    insert(&one, 1).await.unwrap();
    one.create_client(&app(), Bytes::new(), now()).await.unwrap();
    assert_eq!(other.token(&[digest(1)]).await.unwrap(), None);
    assert_eq!(other.clients(None, 10).await.unwrap(), []);
    everything_works(&other).await;
}

#[tokio::test]
async fn an_index_entry_without_a_client_is_passed_over() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    for id in ["b", "e"] {
        store.create_client(&ClientId::parse(id).unwrap(), Bytes::new(), now()).await.unwrap();
    }
    for id in ["a", "c", "d", "f"] {
        server.command::<()>(&["ZADD", &format!("{PREFIX}i:c"), "0", id]).await;
    }
    for limit in [1, 2, 3] {
        let listed = store.clients(None, limit).await.unwrap();
        let expected = ["b", "e"].into_iter().take(limit).collect::<Vec<_>>();
        assert_eq!(listed.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    everything_works(&store).await;
    for key in server.keys().await {
        server.command::<()>(&["DEL", &key]).await;
    }
    server.command::<()>(&["SCRIPT", "FLUSH"]).await;
    let pair = [(digest(7), fresh()), (digest(8), fresh())];
    assert_eq!(store.insert(&pair, None, now()).await.unwrap(), Insertion::Done);
    everything_works(&store).await;
}

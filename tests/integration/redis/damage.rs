//! What was not written by us: damage, and never absence.

use bytes::Bytes;
use introspectd::store::{Rotation, StoreError, StoreErrorKind};
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::GrantMark;
use introspectd::token::record::State;
use introspectd::token::time::Stamp;
use introspectd::user::id::UserId;

use super::{ALICE, AXES, GRANT, NAMES, REQUESTED, USER, app, key, mark, now, raise, revoked, rotation};
use crate::support::redis::{PREFIX, RedisServer};
use crate::support::{around, digest};

#[tokio::test]
async fn what_was_not_written_by_us_is_damaged_and_not_absent() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let kind = |outcome: Result<(), StoreError>| outcome.map_err(|error| error.kind());
    let damaged = Err(StoreErrorKind::Damaged);
    let token = format!("{PREFIX}t:{{{}}}", digest(1).to_text());
    for value in ["", "\u{1}", "no record of ours"] {
        server.command::<()>(&["SET", &token, value]).await;
        assert_eq!(kind(store.token(&[digest(1)]).await.map(drop)), damaged, "{value:?}");
    }
    for state in [REQUESTED, State::Approved] {
        assert_eq!(kind(store.set_state(digest(1), state, now()).await.map(drop)), damaged);
    }
    server.command::<()>(&["DEL", &token]).await;
    server.command::<()>(&["LPUSH", &token, "x"]).await;
    assert_eq!(kind(store.token(&[digest(1)]).await.map(drop)), damaged);
    assert_eq!(kind(store.token(&[digest(2), digest(1)]).await.map(drop)), damaged);
    let client = format!("{PREFIX}c:{{YXBw}}");
    server.command::<()>(&["SET", &client, "short"]).await;
    assert_eq!(kind(store.client("app").await.map(drop)), damaged);
    assert_eq!(kind(store.surroundings(around()).await.map(drop)), damaged);
    assert_eq!(kind(store.replace_client(&app(), 1, Stamp(1), Bytes::new()).await.map(drop)), damaged);
}

#[tokio::test]
async fn a_user_or_a_name_that_cannot_be_read_is_damage_and_never_absence() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let kind = |outcome: Result<(), StoreError>| outcome.map_err(|error| error.kind());
    let damaged = Err(StoreErrorKind::Damaged);
    store.create_user(USER, NAMES, Bytes::new(), now()).await.unwrap();
    let user = format!("{PREFIX}u:{{{}}}", USER.to_text());
    let whole: Vec<u8> = server.command(&["GET", &user]).await;
    let names: Vec<String> =
        server.keys().await.into_iter().filter(|key| key.starts_with(&format!("{PREFIX}l:"))).collect();
    assert_eq!(names.len(), 2);
    for length in 0..whole.len() {
        let cut = "\u{1}".repeat(length);
        server.command::<()>(&["SET", &user, &cut]).await;
        assert_eq!(kind(store.user(USER).await.map(drop)), damaged, "{length}");
        assert_eq!(kind(store.user_named(NAMES[0]).await.map(drop)), damaged, "{length}");
        assert_eq!(kind(store.users(None, 9).await.map(drop)), damaged, "{length}");
        if length > 0 {
            assert_eq!(kind(store.replace_user(USER, 1, Stamp(1), Bytes::new()).await.map(drop)), damaged, "{length}");
        }
    }
    let other = UserId([8; UserId::BYTES]);
    for value in ["", "short", "far too long for what says whose name it is", "\u{2}12345678abcdefghijklmnop"] {
        for name in &names {
            server.command::<()>(&["SET", name, value]).await;
        }
        for name in NAMES {
            assert_eq!(kind(store.user_named(name).await.map(drop)), damaged, "{value:?}");
        }
        assert_eq!(kind(store.create_user(other, NAMES, Bytes::new(), now()).await.map(drop)), damaged, "{value:?}");
    }
    for key in &names {
        server.command::<()>(&["DEL", key]).await;
        server.command::<()>(&["LPUSH", key, "x"]).await;
    }
    assert_eq!(kind(store.user_named(NAMES[0]).await.map(drop)), damaged);
    assert_eq!(kind(store.create_user(other, NAMES, Bytes::new(), now()).await.map(drop)), damaged);
    assert_eq!(store.user(other).await.unwrap(), None);
}

#[tokio::test]
async fn a_mark_an_epoch_or_a_tombstone_that_cannot_be_read_is_damage_and_never_absence() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let end = now().seconds().plus(60);
    for axis in AXES {
        raise(&store, axis).await.unwrap();
    }
    mark(&store, GRANT, &GrantMark::default(), &revoked()).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, end, now()).await.unwrap();
    let kind = |outcome: Result<(), StoreError>| outcome.map_err(|error| error.kind());
    let damaged = Err(StoreErrorKind::Damaged);
    let mut keys = server.keys().await;
    // The epoch of a group is read by those who remember it: see `groups`.
    keys.retain(|key| !key.contains("e:u:"));
    assert_eq!(keys.len(), 6);
    for key in keys {
        for value in ["", "short", "12345678\u{0}", "far too long for it"] {
            server.command::<()>(&["SET", &key, value, "EX", "60"]).await;
            // An empty mark is too short as well.
            assert_eq!(kind(store.surroundings(ALICE).await.map(drop)), damaged, "{key} {value:?}");
        }
        server.command::<()>(&["DEL", &key]).await;
        server.command::<()>(&["LPUSH", &key, "x"]).await;
        assert_eq!(kind(store.surroundings(ALICE).await.map(drop)), damaged, "{key}");
        server.command::<()>(&["DEL", &key]).await;
    }
    assert!(store.surroundings(ALICE).await.is_ok());
    // The scripts that write beside them say so too, instead of overwriting.
    let (epoch, tombstone, document) = (format!("{PREFIX}e:c:{{YXBw}}"), key("r", 9), format!("{PREFIX}k:signing"));
    for value in ["short", "12345678\u{0}", "no expiry"] {
        for key in [&epoch, &tombstone] {
            server.command::<()>(&["SET", key, value]).await;
        }
        assert_eq!(kind(raise(&store, EpochAxis::Client("app")).await.map(drop)), damaged, "{value:?}");
        for state in [REQUESTED, State::Approved] {
            assert_eq!(
                kind(store.set_signed_state(digest(9), state, end, now()).await.map(drop)),
                damaged,
                "{value:?}"
            );
        }
    }
    server.command::<()>(&["SET", &document, "short"]).await;
    assert_eq!(kind(store.signing_keys().await.map(drop)), damaged);
    assert_eq!(kind(store.write_signing_keys(1, Bytes::new()).await.map(drop)), damaged);
    // Neither a grant nor its mark is looked through.
    for (kept, mark) in [("short", None), ("no grant of ours, and long enough", Some("short"))] {
        server.command::<()>(&["SET", &key("g", 1), kept]).await;
        if let Some(mark) = mark {
            server.command::<()>(&["SET", &key("e:g", 1), mark]).await;
        }
        assert_eq!(kind(store.grant(GRANT).await.map(drop)), damaged);
        let rotated = store.rotate(&Rotation { access: None, ..rotation(end) }, now()).await;
        assert_eq!(kind(rotated.map(drop)), damaged, "{kept:?}");
    }
    assert_eq!(kind(store.grant_mark(GRANT).await.map(drop)), damaged);
}

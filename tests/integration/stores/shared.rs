//! What is about no token: the clock, what was used once, the signing keys, and closing.

use std::sync::Arc;

use bytes::Bytes;
use introspectd::store::{Document, NewGrant, Rotation, StoreErrorKind};
use introspectd::token::digest::GrantId;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::GrantMark;
use introspectd::token::record::Reason;
use introspectd::token::time::{Now, Stamp, UnixSeconds};
use introspectd::user::id::UserId;
use introspectd::user::name::{NameKind, UniqueName};
use tokio::task::JoinSet;

use super::{REQUESTED, Subject, client_id};
use crate::support::{around, digest, eventually, grant_record, record};

over_stores! {
    a_closed_store_is_unavailable
    of_fifty_users_of_one_thing_exactly_one_is_the_first
    of_keys_written_at_once_those_of_one_writer_are_there
    signing_keys_are_replaced_by_whoever_names_the_present_version
    the_clock_is_later_than_every_stamp_before_and_none_after
    what_has_expired_cannot_be_used_at_all
    what_was_used_is_forgotten_when_it_has_expired
}

// === the clock ===

async fn the_clock_is_later_than_every_stamp_before_and_none_after(subject: Subject) {
    let mut last = Stamp(0);
    for number in 0..60 {
        subject.insert(number, &record(subject.within(60))).await;
        let stamp = subject.read(number).await.unwrap().stamp;
        assert!(last <= stamp, "{last:?} {stamp:?}");
        let moment = subject.store.clock(subject.now()).await.unwrap();
        assert!(stamp < moment, "{stamp:?} {moment:?}");
        let (now, end) = (subject.now(), subject.within(60));
        subject.store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, end, now).await.unwrap();
        let epoch = subject.store.surroundings(around()).await.unwrap().epochs.issuer.unwrap().until;
        assert!(moment <= epoch, "{moment:?} {epoch:?}");
        last = subject.store.clock(subject.now()).await.unwrap();
        assert!(epoch < last, "{epoch:?} {last:?}");
    }
    assert!(last.0.abs_diff(subject.now().stamp().0) < 60_000_000, "of this clock, in microseconds");
}

// === what was used once ===

async fn of_fifty_users_of_one_thing_exactly_one_is_the_first(subject: Subject) {
    for thing in 0..5 {
        let mut uses = JoinSet::new();
        for _ in 0..50 {
            let (store, end, now) = (Arc::clone(&subject.store), subject.within(60), subject.now());
            uses.spawn(async move { store.use_once([thing; 32], end, now).await.unwrap() });
        }
        let firsts = uses.join_all().await.into_iter().filter(|first| *first).count();
        assert_eq!(firsts, 1);
    }
    // What differs in the last bit is something else.
    let mut other = [0; 32];
    other[31] = 1;
    assert!(subject.store.use_once(other, subject.within(60), subject.now()).await.unwrap());
}

async fn what_was_used_is_forgotten_when_it_has_expired(subject: Subject) {
    let end = subject.within(2);
    let use_it = async |end| subject.store.use_once([1; 32], end, subject.now()).await.unwrap();
    assert!(use_it(end).await);
    assert!(!use_it(subject.within(600)).await, "the first end stays");
    subject.pass(end).await;
    // Redis forgets a key in the millisecond after its end.
    eventually("it can be used again", async || use_it(subject.within(600)).await).await;
    assert!(!use_it(subject.within(600)).await);
}

async fn what_has_expired_cannot_be_used_at_all(subject: Subject) {
    let now = subject.now();
    for end in [now.seconds(), UnixSeconds(now.seconds().0 - 1), UnixSeconds(0)] {
        assert!(!subject.store.use_once([1; 32], end, now).await.unwrap());
    }
    // By the clock of the caller alone as well.
    let late = Now::from_unix(std::time::Duration::from_secs(subject.within(60).0));
    assert!(!subject.store.use_once([1; 32], late.seconds(), late).await.unwrap());
    assert!(subject.store.use_once([1; 32], subject.within(60), now).await.unwrap());
}

// === the signing keys ===

async fn signing_keys_are_replaced_by_whoever_names_the_present_version(subject: Subject) {
    let write =
        async |version, body| subject.store.write_signing_keys(version, Bytes::from_static(body)).await.unwrap();
    assert_eq!(subject.store.signing_keys().await.unwrap(), None);
    for version in [1, 2, u64::MAX] {
        assert!(!write(version, b"none").await, "there are none of version {version}");
    }
    assert!(write(0, b"first").await);
    assert!(!write(0, b"other").await);
    let first = Document { version: 1, body: Bytes::from_static(b"first") };
    assert_eq!(subject.store.signing_keys().await.unwrap(), Some(first));
    for version in 1..300 {
        assert!(write(version, b"\0next").await);
        assert!(!write(version, b"late").await);
    }
    let last = Document { version: 300, body: Bytes::from_static(b"\0next") };
    assert_eq!(subject.store.signing_keys().await.unwrap(), Some(last));
}

async fn of_keys_written_at_once_those_of_one_writer_are_there(subject: Subject) {
    for version in 0..5 {
        let mut writes = JoinSet::new();
        for writer in 0..16_u8 {
            let store = Arc::clone(&subject.store);
            let body = Bytes::from(writer.to_string());
            writes.spawn(async move { (store.write_signing_keys(version, body.clone()).await.unwrap(), body) });
        }
        let outcomes = writes.join_all().await;
        let done: Vec<_> = outcomes.into_iter().filter(|(done, _)| *done).collect();
        assert_eq!(done.len(), 1);
        let expected = Document { version: version + 1, body: done[0].1.clone() };
        assert_eq!(subject.store.signing_keys().await.unwrap(), Some(expected));
    }
}

// === the store itself ===

async fn a_closed_store_is_unavailable(subject: Subject) {
    let (store, now, id) = (&subject.store, subject.now(), client_id("app"));
    store.probe().await.unwrap();
    store.clock(now).await.unwrap();
    store.close().await;
    let (grant, end) = (GrantId([1; GrantId::BYTES]), subject.within(60));
    let kept = grant_record(1, end);
    let new = NewGrant { id: grant, record: kept.clone(), keep_until: end };
    let rotation = Rotation { grant, from: kept.current, to: kept, keep_until: end, access: None };
    let mark = GrantMark::default().revoked(Reason::REQUESTED);
    let user = UserId([1; UserId::BYTES]);
    let names = [NameKind::Username, NameKind::Email].map(|kind| UniqueName { kind, canonical: "alice" });
    let outcomes = [
        store.token(&[digest(1)]).await.map(drop),
        store.token(&[digest(1), digest(2)]).await.map(drop),
        store.surroundings(around()).await.map(drop),
        store.insert(&[(digest(1), record(end))], Some(&new), now).await.map(drop),
        store.set_state(digest(1), REQUESTED, now).await.map(drop),
        store.set_signed_state(digest(1), REQUESTED, end, now).await.map(drop),
        store.grant(grant).await.map(drop),
        store.rotate(&rotation, now).await.map(drop),
        store.grant_mark(grant).await.map(drop),
        store.mark_grant(grant, &GrantMark::default(), &mark, end).await.map(drop),
        store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, end, now).await.map(drop),
        store.clock(now).await.map(drop),
        store.use_once([1; 32], end, now).await.map(drop),
        store.signing_keys().await.map(drop),
        store.write_signing_keys(0, Bytes::new()).await.map(drop),
        store.client("app").await.map(drop),
        store.clients(None, 1).await.map(drop),
        store.create_client(&id, Bytes::new(), now).await.map(drop),
        store.replace_client(&id, 1, Stamp(1), Bytes::new()).await.map(drop),
        store.delete_client(&id).await.map(drop),
        store.user(user).await.map(drop),
        store.user_named(names[0]).await.map(drop),
        store.users(None, 1).await.map(drop),
        store.create_user(user, names, Bytes::new(), now).await.map(drop),
        store.replace_user(user, 1, Stamp(1), Bytes::new()).await.map(drop),
        store.delete_user(user, names).await.map(drop),
        store.probe().await,
    ];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap_err().kind(), StoreErrorKind::Unavailable, "{number}");
    }
    // Once more does no harm.
    store.close().await;
}

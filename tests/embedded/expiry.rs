//! Forgetting what has expired: by itself, completely, never early, and without the file growing for ever.

use std::fs;
use std::time::Duration;

use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{Insertion, NewGrant, Rotation, RotationOutcome, Transition};
use introspectd::token::digest::GrantId;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::GrantMark;
use introspectd::token::record::{Reason, State};
use introspectd::token::time::{Clock, Stamp, UnixSeconds};
use tempfile::TempDir;

use crate::common::{START, grant, token, until};

fn open() -> (TempDir, Clock, EmbeddedStore) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
    (folder, clock, store)
}

async fn revoke(store: &EmbeddedStore, id: GrantId, end: UnixSeconds) {
    let mark = GrantMark::default().revoked(Reason::REQUESTED);
    assert!(store.mark_grant(id, &GrantMark::default(), &mark, end).await.unwrap());
}

#[tokio::test]
async fn what_has_expired_is_forgotten_with_its_index_and_the_rest_stays() {
    let (_folder, clock, store) = open();
    let short: Vec<_> = (0..300).map(|number| token(number, START.plus(60))).collect();
    let long: Vec<_> = (300..400).map(|number| token(number, START.plus(3600))).collect();
    let mark = async |byte, lifetime| revoke(&store, GrantId([byte; 16]), START.plus(lifetime)).await;
    store.insert(&short, None, clock.now()).await.unwrap();
    store.insert(&long, None, clock.now()).await.unwrap();
    mark(1, 60).await;
    mark(2, 3600).await;

    clock.advance(Duration::from_secs(59));
    // A write makes the writer look at the clock; nothing is due yet.
    store.set_state(long[0].0, State::Revoked(Reason::REQUESTED), clock.now()).await.unwrap();
    assert_eq!(store.audit().unwrap().expiries, 402);
    assert_eq!(store.statistics().forgotten, 0);

    clock.advance(Duration::from_secs(1));
    until("300 tokens and one mark are forgotten", async || store.audit().unwrap().expiries == 101).await;
    let audit = store.audit().unwrap();
    assert!(audit.is_sound());
    assert_eq!((audit.tokens, audit.marks), (100, 1));
    assert_eq!(store.statistics().forgotten, 301);
    assert!(store.token(&[short[0].0]).await.unwrap().is_none());
    assert!(store.token(&[long[99].0]).await.unwrap().is_some());
    assert!(!store.grant_mark(GrantId([2; 16])).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_backlog_found_at_the_start_is_worked_off() {
    let (folder, clock, store) = open();
    let tokens: Vec<_> = (0..1000).map(|number| token(number, START.plus(60))).collect();
    store.insert(&tokens, None, clock.now()).await.unwrap();
    store.close().await;
    clock.advance(Duration::from_hours(1));
    let store = EmbeddedStore::open(folder.path(), clock).unwrap();
    until("the backlog is gone", async || store.audit().unwrap().expiries == 0).await;
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
async fn what_is_kept_again_ends_at_the_later_moment_and_has_one_expiry() {
    let (_folder, clock, store) = open();
    let id = GrantId([1; 16]);
    let mark = GrantMark::default().revoked(Reason::REQUESTED);
    revoke(&store, id, START.plus(60)).await;
    for lifetime in [600, 60] {
        assert!(store.mark_grant(id, &mark, &mark, START.plus(lifetime)).await.unwrap());
    }
    for (until, lifetime) in [(1, 60), (2, 600), (3, 60), (1, 90)] {
        let (until, end) = (Some(Stamp(until)), START.plus(lifetime));
        store.raise_epoch(EpochAxis::Issuer, until, Reason::BULK, end, clock.now()).await.unwrap();
    }
    let audit = store.audit().unwrap();
    assert!(audit.is_sound());
    assert_eq!((audit.marks, audit.epochs, audit.expiries), (1, 1, 2));
    let other = token(1, START.plus(60));
    store.insert(std::slice::from_ref(&other), None, clock.now()).await.unwrap();
    clock.advance(Duration::from_mins(1));
    until("the token is forgotten", async || store.statistics().forgotten == 1).await;
    assert_eq!(store.grant_mark(id).await.unwrap(), mark);
    clock.advance(Duration::from_mins(9));
    until("all is forgotten", async || store.statistics().forgotten == 3).await;
    assert!(store.grant_mark(id).await.unwrap().is_empty());
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
async fn a_grant_ends_when_its_longest_rotation_says_and_has_one_expiry() {
    let (_folder, clock, store) = open();
    let id = GrantId([1; 16]);
    let mut kept = grant(1, START.plus(60));
    let new = NewGrant { id, record: kept.clone(), keep_until: START.plus(60) };
    store.insert(&[], Some(&new), clock.now()).await.unwrap();
    for (number, lifetime) in [(2, 90), (3, 300), (4, 30), (5, 300)] {
        let to = grant(number, START.plus(lifetime));
        let keep_until = START.plus(lifetime);
        let rotation = Rotation { grant: id, from: kept.current, to: to.clone(), keep_until, access: None };
        assert_eq!(store.rotate(&rotation, clock.now()).await.unwrap(), RotationOutcome::Done);
        let audit = store.audit().unwrap();
        assert!(audit.is_sound(), "{audit:?}");
        assert_eq!((audit.grants, audit.expiries), (1, 1));
        kept = to;
    }
    clock.advance(Duration::from_secs(299));
    store.insert(&[token(1, START.plus(3600))], None, clock.now()).await.unwrap();
    assert_eq!(store.grant(id).await.unwrap(), Some(kept));
    clock.advance(Duration::from_secs(1));
    until("the grant is forgotten", async || store.statistics().forgotten == 1).await;
    assert_eq!(store.grant(id).await.unwrap(), None);
}

#[tokio::test]
async fn everything_that_ends_is_forgotten() {
    let (_folder, clock, store) = open();
    let (end, now) = (START.plus(60), clock.now());
    let new = NewGrant { id: GrantId([1; 16]), record: grant(1, end), keep_until: end };
    store.insert(&[token(1, end)], Some(&new), now).await.unwrap();
    revoke(&store, GrantId([1; 16]), end).await;
    store.raise_epoch(EpochAxis::User("alice"), None, Reason::BULK, end, now).await.unwrap();
    store.set_signed_state(token(2, end).0, State::Revoked(Reason::REQUESTED), end, now).await.unwrap();
    assert!(store.use_once([1; 32], end, now).await.unwrap());
    store.write_signing_keys(0, "{}".into()).await.unwrap();
    let audit = store.audit().unwrap();
    let kept = [audit.tokens, audit.grants, audit.marks, audit.epochs, audit.signed, audit.used, audit.expiries];
    assert_eq!(kept, [1, 1, 1, 1, 1, 1, 6]);
    assert!(audit.is_sound());
    clock.advance(Duration::from_mins(1));
    until("all is forgotten", async || store.audit().unwrap().expiries == 0).await;
    assert_eq!(store.audit().unwrap(), introspectd::store::embedded::audit::Audit::default());
    assert!(store.signing_keys().await.unwrap().is_some());
}

#[tokio::test]
async fn an_expired_token_is_absent_to_writes_and_its_digest_is_free_again() {
    let (_folder, clock, store) = open();
    let first = token(1, START.plus(60));
    store.insert(std::slice::from_ref(&first), None, clock.now()).await.unwrap();
    // The caller's moment decides, whether or not the entry is forgotten yet.
    let later = Clock::manual(START.plus(60)).now();
    assert_eq!(store.set_state(first.0, State::Approved, later).await.unwrap(), Transition::Absent);
    let again = token(1, START.plus(120));
    assert_eq!(store.insert(std::slice::from_ref(&again), None, later).await.unwrap(), Insertion::Done);
    let audit = store.audit().unwrap();
    assert!(audit.is_sound(), "{audit:?}");
    assert_eq!(audit.tokens, 1);
    clock.advance(Duration::from_secs(61));
    store.insert(&[token(2, START.plus(600))], None, clock.now()).await.unwrap();
    assert!(store.token(&[first.0]).await.unwrap().is_some(), "the old expiry took the new token");
}

#[tokio::test]
async fn a_token_that_has_expired_before_it_comes_is_accepted_and_not_kept() {
    let (_folder, clock, store) = open();
    assert_eq!(store.insert(&[token(1, START)], None, clock.now()).await.unwrap(), Insertion::Done);
    assert_eq!(store.audit().unwrap().tokens, 0);
}

#[tokio::test]
async fn writes_that_never_pause_do_not_keep_expired_tokens_alive() {
    let (_folder, clock, store) = open();
    let tokens: Vec<_> = (0..500).map(|number| token(number, START.plus(60))).collect();
    store.insert(&tokens, None, clock.now()).await.unwrap();
    clock.advance(Duration::from_mins(1));
    let before = store.statistics();
    let mut number = 1000;
    until("the expired ones are forgotten under load", async || {
        let group = (0..8).map(|task| token(number + task, START.plus(600))).collect::<Vec<_>>();
        number += 8;
        store.insert(&group, None, clock.now()).await.unwrap();
        store.statistics().forgotten == 500
    })
    .await;
    assert!(store.statistics().commits > before.commits);
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
async fn the_disk_stays_bounded_over_many_rounds_of_issue_and_expiry() {
    const ROUNDS: u64 = 40;
    const TOKENS: u64 = 1_000;
    let (folder, clock, store) = open();
    let size = || fs::metadata(folder.path().join("tokens.redb")).unwrap().len();
    let mut after_five = 0;
    for round in 0..ROUNDS {
        let expiry = clock.now().seconds().plus(60);
        for chunk in 0..10 {
            let numbers = round * TOKENS + chunk * (TOKENS / 10)..round * TOKENS + (chunk + 1) * (TOKENS / 10);
            let tokens: Vec<_> = numbers.map(|number| token(number, expiry)).collect();
            store.insert(&tokens, None, clock.now()).await.unwrap();
        }
        clock.advance(Duration::from_secs(61));
        until("the round is forgotten", async || store.statistics().forgotten == (round + 1) * TOKENS).await;
        if round == 4 {
            after_five = size();
        }
    }
    let (end, audit) = (size(), store.audit().unwrap());
    assert_eq!((audit.tokens, audit.expiries), (0, 0));
    assert!(end <= after_five * 3 / 2, "{after_five} bytes after five rounds, {end} after {ROUNDS}");
}

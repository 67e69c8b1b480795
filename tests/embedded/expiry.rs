//! Forgetting what has expired: by itself, completely, never early, and without the file growing for ever.

use std::fs;
use std::time::Duration;

use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{Insertion, Transition};
use introspectd::token::decision::Standing;
use introspectd::token::digest::GrantId;
use introspectd::token::record::{Grant, Reason, State};
use introspectd::token::time::Clock;
use tempfile::TempDir;

use crate::common::{START, token, until};

fn open() -> (TempDir, Clock, EmbeddedStore) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
    (folder, clock, store)
}

#[tokio::test]
async fn what_has_expired_is_forgotten_with_its_index_and_the_rest_stays() {
    let (_folder, clock, store) = open();
    let short: Vec<_> = (0..300).map(|number| token(number, START.plus(60))).collect();
    let long: Vec<_> = (300..400).map(|number| token(number, START.plus(3600))).collect();
    let grant = |byte, lifetime| Grant { id: GrantId([byte; 16]), expires_at: START.plus(lifetime) };
    store.insert(&short, clock.now()).await.unwrap();
    store.insert(&long, clock.now()).await.unwrap();
    store.revoke_grant(grant(1, 60), Reason::REQUESTED).await.unwrap();
    store.revoke_grant(grant(2, 3600), Reason::REQUESTED).await.unwrap();

    clock.advance(Duration::from_secs(59));
    // A write makes the writer look at the clock; nothing is due yet.
    store.set_state(long[0].0, State::Revoked(Reason::REQUESTED), clock.now()).await.unwrap();
    assert_eq!(store.audit().unwrap().expiries, 402);
    assert_eq!(store.statistics().forgotten, 0);

    clock.advance(Duration::from_secs(1));
    until("300 tokens and one mark are forgotten", async || store.audit().unwrap().expiries == 101).await;
    let audit = store.audit().unwrap();
    assert!(audit.is_sound());
    assert_eq!((audit.tokens, audit.grants), (100, 1));
    assert_eq!(store.statistics().forgotten, 301);
    assert!(store.token(&[short[0].0]).await.unwrap().is_none());
    assert!(store.token(&[long[99].0]).await.unwrap().is_some());
    assert_eq!(store.surroundings("app", Some(GrantId([2; 16]))).await.unwrap().grant, Standing::Revoked);
}

#[tokio::test]
async fn a_backlog_found_at_the_start_is_worked_off() {
    let (folder, clock, store) = open();
    let tokens: Vec<_> = (0..1000).map(|number| token(number, START.plus(60))).collect();
    store.insert(&tokens, clock.now()).await.unwrap();
    store.close().await;
    clock.advance(Duration::from_hours(1));
    let store = EmbeddedStore::open(folder.path(), clock).unwrap();
    until("the backlog is gone", async || store.audit().unwrap().expiries == 0).await;
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
async fn a_grant_marked_again_is_kept_until_the_later_expiry() {
    let (_folder, clock, store) = open();
    let grant = |lifetime| Grant { id: GrantId([1; 16]), expires_at: START.plus(lifetime) };
    for lifetime in [60, 600, 60] {
        store.revoke_grant(grant(lifetime), Reason::REQUESTED).await.unwrap();
    }
    let audit = store.audit().unwrap();
    assert!(audit.is_sound());
    assert_eq!((audit.grants, audit.expiries), (1, 1));
    let other = token(1, START.plus(60));
    store.insert(std::slice::from_ref(&other), clock.now()).await.unwrap();
    clock.advance(Duration::from_mins(1));
    until("the token is forgotten", async || store.statistics().forgotten == 1).await;
    assert_eq!(store.surroundings("app", Some(grant(0).id)).await.unwrap().grant, Standing::Revoked);
}

#[tokio::test]
async fn an_expired_token_is_absent_to_writes_and_its_digest_is_free_again() {
    let (_folder, clock, store) = open();
    let first = token(1, START.plus(60));
    store.insert(std::slice::from_ref(&first), clock.now()).await.unwrap();
    // The caller's moment decides, whether or not the entry is forgotten yet.
    let later = Clock::manual(START.plus(60)).now();
    assert_eq!(store.set_state(first.0, State::Approved, later).await.unwrap(), Transition::Absent);
    let again = token(1, START.plus(120));
    assert_eq!(store.insert(std::slice::from_ref(&again), later).await.unwrap(), Insertion::Done);
    let audit = store.audit().unwrap();
    assert!(audit.is_sound(), "{audit:?}");
    assert_eq!(audit.tokens, 1);
    clock.advance(Duration::from_secs(61));
    store.insert(&[token(2, START.plus(600))], clock.now()).await.unwrap();
    assert!(store.token(&[first.0]).await.unwrap().is_some(), "the old expiry took the new token");
}

#[tokio::test]
async fn a_token_that_has_expired_before_it_comes_is_accepted_and_not_kept() {
    let (_folder, clock, store) = open();
    assert_eq!(store.insert(&[token(1, START)], clock.now()).await.unwrap(), Insertion::Done);
    assert_eq!(store.audit().unwrap().tokens, 0);
}

#[tokio::test]
async fn writes_that_never_pause_do_not_keep_expired_tokens_alive() {
    let (_folder, clock, store) = open();
    let tokens: Vec<_> = (0..500).map(|number| token(number, START.plus(60))).collect();
    store.insert(&tokens, clock.now()).await.unwrap();
    clock.advance(Duration::from_mins(1));
    let before = store.statistics();
    let mut number = 1000;
    until("the expired ones are forgotten under load", async || {
        let group = (0..8).map(|task| token(number + task, START.plus(600))).collect::<Vec<_>>();
        number += 8;
        store.insert(&group, clock.now()).await.unwrap();
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
            store.insert(&tokens, clock.now()).await.unwrap();
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

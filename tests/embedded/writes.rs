//! Writes: grouped when many come at once, stamped in order, whatever the clock does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use introspectd::client::ClientId;
use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{Around, ClientWrite, Insertion, Transition};
use introspectd::token::epoch::EpochAxis;
use introspectd::token::record::{Reason, State};
use introspectd::token::time::{Clock, UnixSeconds};
use tokio::task::JoinSet;

use crate::common::{START, created, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_share_their_commits() {
    const WRITERS: u64 = 64;
    const WRITES: u64 = 50;
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = Arc::new(EmbeddedStore::open(folder.path(), clock.clone()).unwrap());
    let before = store.statistics();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, now) = (Arc::clone(&store), clock.now());
        writers.spawn(async move {
            for number in 0..WRITES {
                let token = [token(writer * WRITES + number, START.plus(600))];
                assert_eq!(store.insert(&token, None, now).await.unwrap(), Insertion::Done);
                assert!(store.token(&[token[0].0]).await.unwrap().is_some(), "an acknowledged write is read at once");
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let after = store.statistics();
    let (writes, commits) = (after.writes - before.writes, after.commits - before.commits);
    assert_eq!(writes, WRITERS * WRITES);
    assert!(commits * 4 < writes, "{commits} commits for {writes} writes");
    assert!(after.syncs - before.syncs >= commits, "{after:?}");
    assert_eq!(store.audit().unwrap().tokens, writes);
}

#[tokio::test]
async fn stamps_increase_also_across_a_restart_with_the_clock_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let client = ClientId::parse("app").unwrap();
    let mut last = None;
    let mut number = 0;
    for start in [START, UnixSeconds(START.0 - 86_400), UnixSeconds(START.0 - 172_800), START] {
        let clock = Clock::manual(start);
        let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
        for _ in 0..3 {
            number += 1;
            let token = [token(number, START.plus(600))];
            store.insert(&token, None, clock.now()).await.unwrap();
            let stamp = store.token(&[token[0].0]).await.unwrap().unwrap().1.stamp;
            assert!(Some(stamp) > last, "{stamp:?} after {last:?}");
            // What a signed token bears is written nowhere here.
            let moment = store.clock(clock.now()).await.unwrap();
            assert!(moment > stamp, "{moment:?} after {stamp:?}");
            last = Some(moment);
        }
        let (axis, end) = (EpochAxis::User("alice"), START.plus(600));
        assert!(store.raise_epoch(axis, None, Reason::BULK, end, clock.now()).await.unwrap());
        let around = Around { subject: Some("alice"), ..Around::of_client("app") };
        let epoch = store.surroundings(around).await.unwrap().epochs.user.unwrap();
        assert!(Some(epoch.until) > last, "it covers all that came before");
        last = Some(epoch.until);
        // A client created again must be younger than the tokens of the one before.
        store.create_client(&client, "{}".into(), clock.now()).await.unwrap();
        let created = store.client("app").await.unwrap().unwrap().created;
        assert!(Some(created) > last);
        store.delete_client(&client).await.unwrap();
        last = Some(store.clock(clock.now()).await.unwrap());
        assert!(last > Some(created));
    }
}

#[tokio::test]
async fn the_clock_is_asked_for_nothing_but_a_sync_now_and_then() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
    let before = store.statistics().commits;
    let mut last = None;
    for _ in 0..1_000 {
        clock.advance(Duration::from_millis(3));
        let moment = store.clock(clock.now()).await.unwrap();
        assert!(Some(moment) > last);
        last = Some(moment);
    }
    let commits = store.statistics().commits - before;
    assert!((1..=5).contains(&commits), "{commits} commits within three seconds");
}

#[tokio::test]
async fn an_existing_token_keeps_the_whole_call_out_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
    let first = token(1, START.plus(60));
    store.insert(std::slice::from_ref(&first), None, clock.now()).await.unwrap();
    store.set_state(first.0, State::Revoked(Reason::REQUESTED), clock.now()).await.unwrap();
    let both = [token(2, START.plus(60)), first.clone()];
    assert_eq!(store.insert(&both, None, clock.now()).await.unwrap(), Insertion::Exists);
    assert!(store.token(&[both[0].0]).await.unwrap().is_none());
    assert_ne!(store.token(&[first.0]).await.unwrap().unwrap().1.state, State::Approved);

    let twice = [token(3, START.plus(60)), token(3, START.plus(90))];
    assert_eq!(store.insert(&twice, None, clock.now()).await.unwrap(), Insertion::Exists);
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
async fn the_first_reason_of_a_revocation_stays() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
    let (first, now) = (token(1, START.plus(60)), clock.now());
    let other = State::Revoked(Reason::BULK);
    store.insert(std::slice::from_ref(&first), None, now).await.unwrap();
    assert_eq!(store.set_state(first.0, State::Approved, now).await.unwrap(), Transition::Unchanged);
    assert_eq!(store.set_state(first.0, other, now).await.unwrap(), Transition::Changed);
    let requested = State::Revoked(Reason::REQUESTED);
    assert_eq!(store.set_state(first.0, requested, now).await.unwrap(), Transition::Unchanged);
    assert_eq!(store.token(&[first.0]).await.unwrap().unwrap().1.state, other);
    let approved = store.set_state(first.0, State::Approved, now).await.unwrap();
    assert_eq!(approved, Transition::Final(Reason::BULK));
}

#[tokio::test]
async fn of_several_replacements_of_one_version_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
    let client = ClientId::parse("app").unwrap();
    store.create_client(&client, "{}".into(), clock.now()).await.unwrap();
    let created = created(&store, &client).await;
    let replace = |body: &'static str| store.replace_client(&client, 1, created, body.into());
    let (one, two, three) = tokio::join!(replace("1"), replace("2"), replace("3"));
    let outcomes = [one.unwrap(), two.unwrap(), three.unwrap()];
    let done = outcomes.iter().filter(|outcome| **outcome == ClientWrite::Done { version: 2 }).count();
    let conflicts = outcomes.iter().filter(|outcome| **outcome == ClientWrite::Conflict).count();
    assert_eq!((done, conflicts), (1, 2));
}

/// While a large backlog is being forgotten, a revoke still comes through: forgetting goes in small steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_does_not_wait_for_the_backlog_to_be_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
    let backlog: Vec<_> = (0..20_000).map(|number| token(number, START.plus(60))).collect();
    for chunk in backlog.chunks(2_000) {
        store.insert(chunk, None, clock.now()).await.unwrap();
    }
    let live = token(99_999, START.plus(3600));
    store.insert(std::slice::from_ref(&live), None, clock.now()).await.unwrap();
    clock.advance(Duration::from_secs(61));
    crate::common::until("forgetting has begun", async || store.statistics().forgotten > 0).await;

    let asked = Instant::now();
    store.set_state(live.0, State::Revoked(Reason::REQUESTED), clock.now()).await.unwrap();
    let (waited, forgotten) = (asked.elapsed(), store.statistics().forgotten);
    assert!(forgotten < 20_000, "the whole backlog came first, in {waited:?}");
}

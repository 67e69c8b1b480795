//! Tokens that have a record: kept, read, revoked, approved again, forgotten.

use std::sync::Arc;

use introspectd::store::{Insertion, Transition};
use introspectd::token::claims::Claims;
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Now, Stamp, UnixSeconds};
use tokio::task::JoinSet;

use super::{REQUESTED, Subject, client_id, reason, unstamped};
use crate::support::{digest, eventually, record};

over_stores! {
    a_token_that_was_revoked_twice_is_approved_at_once
    a_duplicate_is_refused_and_the_first_one_stays
    a_final_reason_is_never_undone
    a_final_reason_takes_the_place_of_one_that_could_be_undone
    a_record_that_cannot_be_stored_leaves_no_companion_behind
    a_stamp_that_a_record_has_already_stays
    a_token_is_read_back_as_it_was_put_in
    a_token_may_be_taken_over_revoked
    a_write_whose_caller_goes_away_is_done_or_not_done
    an_approved_token_can_be_revoked_again
    an_expired_record_is_accepted_and_forgotten
    an_expired_token_cannot_be_approved_and_can_still_be_revoked
    an_unknown_token_has_no_state
    nothing_is_found_under_no_digest
    of_approvals_beside_a_final_revocation_none_outlives_it
    of_concurrent_inserts_exactly_one_is_done
    of_several_digests_the_first_that_is_kept_is_found
    revoking_changes_the_state_and_nothing_else
    revoking_twice_keeps_the_first_reason
    stamps_follow_the_order_of_writes
    tokens_inserted_together_are_all_kept
    what_has_expired_is_forgotten_without_being_asked
}

async fn a_token_is_read_back_as_it_was_put_in(subject: Subject) {
    let full = record(subject.within(60));
    let bare = Record {
        not_before: None,
        subject: None,
        username: None,
        scope: Scope::default(),
        audience: vec![],
        grant: None,
        claims: Claims::default(),
        expires_at: UnixSeconds::MAX,
        ..full.clone()
    };
    for (number, record) in [(1, full), (2, bare)] {
        assert_eq!(subject.insert(number, &record).await, Insertion::Done);
        let read = subject.read(number).await.unwrap();
        assert_ne!(read.stamp, Stamp(0));
        assert_eq!(unstamped(read), record);
    }
    assert_eq!(subject.read(3).await, None);
}

async fn tokens_inserted_together_are_all_kept(subject: Subject) {
    let record = record(subject.within(60));
    let tokens: Vec<_> = (1..=5).map(|number| (digest(number), record.clone())).collect();
    assert_eq!(subject.store.insert(&tokens, None, subject.now()).await.unwrap(), Insertion::Done);
    for number in 1..=5 {
        assert_eq!(unstamped(subject.read(number).await.unwrap()), record);
    }
    assert_eq!(subject.store.insert(&[], None, subject.now()).await.unwrap(), Insertion::Done);
}

async fn nothing_is_found_under_no_digest(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    assert_eq!(subject.store.token(&[]).await.unwrap(), None);
}

async fn of_several_digests_the_first_that_is_kept_is_found(subject: Subject) {
    let record = record(subject.within(60));
    subject.insert(2, &record).await;
    subject.insert(4, &record).await;
    for (asked, found) in [([1, 2, 3, 4], Some(2)), ([4, 3, 2, 1], Some(4)), ([5, 6, 7, 8], None)] {
        let read = subject.store.token(&asked.map(digest)).await.unwrap();
        assert_eq!(read.map(|(digest, _)| digest), found.map(digest), "{asked:?}");
    }
}

async fn a_duplicate_is_refused_and_the_first_one_stays(subject: Subject) {
    let first = record(subject.within(60));
    assert_eq!(subject.insert(1, &first).await, Insertion::Done);
    let kept = subject.read(1).await.unwrap();
    let other = Record { client_id: "other".into(), expires_at: subject.within(600), ..first };
    assert_eq!(subject.insert(1, &other).await, Insertion::Exists);
    assert_eq!(subject.read(1).await.unwrap(), kept);
    // Neither in the company of a new one, nor once revoked.
    let pair = [(digest(2), other.clone()), (digest(1), other.clone())];
    assert_eq!(subject.store.insert(&pair, None, subject.now()).await.unwrap(), Insertion::Exists);
    subject.set_state(1, REQUESTED).await;
    assert_eq!(subject.insert(1, &other).await, Insertion::Exists);
    assert_eq!(subject.read(1).await.unwrap(), Record { state: REQUESTED, ..kept });
}

async fn of_concurrent_inserts_exactly_one_is_done(subject: Subject) {
    let record = record(subject.within(60));
    let mut inserts = JoinSet::new();
    for attempt in 0..16_u8 {
        let record = Record { client_id: attempt.to_string().into(), ..record.clone() };
        let (store, now) = (Arc::clone(&subject.store), subject.now());
        inserts.spawn(async move { (attempt, store.insert(&[(digest(1), record)], None, now).await.unwrap()) });
    }
    let outcomes = inserts.join_all().await;
    let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == Insertion::Done).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert_eq!(*subject.read(1).await.unwrap().client_id, winners[0].0.to_string());
}

async fn a_record_that_cannot_be_stored_leaves_no_companion_behind(subject: Subject) {
    let fits = record(subject.within(60));
    let huge = "x".repeat(40_000);
    for unfit in [
        Record { subject: Some(huge.clone().into()), ..fits.clone() },
        Record { audience: vec!["a".into(); 300], ..fits.clone() },
        Record { expires_at: UnixSeconds(u64::MAX), ..fits.clone() },
    ] {
        let pair = [(digest(1), fits.clone()), (digest(2), unfit)];
        let error = subject.store.insert(&pair, None, subject.now()).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        assert!(!error.to_string().contains("xxx"), "{error}");
        assert_eq!((subject.read(1).await, subject.read(2).await), (None, None));
    }
    let longest = Record { subject: Some(huge[..32_767].into()), ..fits };
    assert_eq!(subject.insert(3, &longest).await, Insertion::Done);
    assert_eq!(unstamped(subject.read(3).await.unwrap()), longest);
}

async fn a_write_whose_caller_goes_away_is_done_or_not_done(subject: Subject) {
    for round in 0..50_u8 {
        let numbers = [round * 2, round * 2 + 1];
        let pair = numbers.map(|number| (digest(number), record(subject.within(60))));
        let (store, now) = (Arc::clone(&subject.store), subject.now());
        let insert = tokio::spawn(async move { store.insert(&pair, None, now).await });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        insert.abort();
        let _ = insert.await;
        // What was on its way still arrives.
        eventually("both are kept or neither", async || {
            subject.read(numbers[0]).await.is_some() == subject.read(numbers[1]).await.is_some()
        })
        .await;
    }
}

async fn an_expired_record_is_accepted_and_forgotten(subject: Subject) {
    let now = subject.now().seconds();
    for (number, expires_at) in [(1, now), (2, UnixSeconds(now.0 - 1)), (3, UnixSeconds(0))] {
        assert_eq!(subject.insert(number, &record(expires_at)).await, Insertion::Done);
        assert_eq!(subject.set_state(number, REQUESTED).await, Transition::Absent);
        // Another takes its place.
        assert_eq!(subject.insert(number, &record(subject.within(60))).await, Insertion::Done);
        assert!(subject.read(number).await.is_some());
    }
}

async fn what_has_expired_is_forgotten_without_being_asked(subject: Subject) {
    let expires_at = subject.within(2);
    subject.insert(1, &record(expires_at)).await;
    subject.insert(2, &record(subject.within(600))).await;
    subject.set_state(1, REQUESTED).await;
    subject.pass(expires_at).await;
    // It may still be read for a while, but never as one that lives longer than it was given.
    assert!(subject.read(1).await.is_none_or(|read| read.expires_at == expires_at));
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Absent);
    assert!(subject.read(2).await.is_some());
}

async fn stamps_follow_the_order_of_writes(subject: Subject) {
    let id = client_id("app");
    subject.create(&id, "{}").await;
    let mut last = subject.store.client("app").await.unwrap().unwrap().created;
    assert_ne!(last, Stamp(0));
    for number in 0..100 {
        subject.insert(number, &record(subject.within(60))).await;
        let stamp = subject.read(number).await.unwrap().stamp;
        assert!(stamp > last, "{stamp:?} is not later than {last:?}");
        last = stamp;
    }
    // Of this clock, in microseconds.
    assert!(last.0.abs_diff(subject.now().stamp().0) < 60_000_000);
}

async fn an_unknown_token_has_no_state(subject: Subject) {
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Absent);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Absent);
    assert_eq!(subject.read(1).await, None);
    // Revoking what is not there leaves nothing that would stand in the way of a later token.
    assert_eq!(subject.insert(1, &record(subject.within(60))).await, Insertion::Done);
}

async fn an_expired_token_cannot_be_approved_and_can_still_be_revoked(subject: Subject) {
    let expires_at = subject.within(600);
    subject.insert(1, &record(expires_at)).await;
    let late = Now::from_unix(std::time::Duration::from_secs(expires_at.0));
    let approved = subject.store.set_state(digest(1), State::Approved, late).await.unwrap();
    assert_eq!(approved, Transition::Absent);
    // The clock of another node may be behind, and there it has not expired.
    assert_eq!(subject.store.set_state(digest(1), REQUESTED, late).await.unwrap(), Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap().state, REQUESTED);
}

async fn revoking_changes_the_state_and_nothing_else(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    let before = subject.read(1).await.unwrap();
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Unchanged);
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap(), Record { state: REQUESTED, ..before.clone() });
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap(), before);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Unchanged);
}

async fn revoking_twice_keeps_the_first_reason(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    let (first, second) = (State::Revoked(reason(10)), State::Revoked(reason(255)));
    assert_eq!(subject.set_state(1, first).await, Transition::Changed);
    assert_eq!(subject.set_state(1, second).await, Transition::Unchanged);
    assert_eq!(subject.set_state(1, first).await, Transition::Unchanged);
    assert_eq!(subject.read(1).await.unwrap().state, first);
}

async fn an_approved_token_can_be_revoked_again(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    for _ in 0..3 {
        assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Changed);
        assert_eq!(subject.read(1).await.unwrap().state, REQUESTED);
        assert_eq!(subject.set_state(1, State::Approved).await, Transition::Changed);
    }
    assert_eq!(subject.set_state(1, State::Revoked(reason(255))).await, Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap().state, State::Revoked(reason(255)));
}

async fn a_token_may_be_taken_over_revoked(subject: Subject) {
    let record = Record { state: REQUESTED, ..record(subject.within(60)) };
    assert_eq!(subject.insert(1, &record).await, Insertion::Done);
    assert_eq!(unstamped(subject.read(1).await.unwrap()), record);
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Unchanged);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap().state, State::Approved);
}

async fn a_stamp_that_a_record_has_already_stays(subject: Subject) {
    let dated = Record { stamp: Stamp(1_700_000_000_000_001), ..record(subject.within(60)) };
    assert_eq!(subject.insert(1, &dated).await, Insertion::Done);
    assert_eq!(subject.read(1).await.unwrap(), dated);
}

async fn a_final_reason_takes_the_place_of_one_that_could_be_undone(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    let last = State::Revoked(Reason::REUSED);
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Changed);
    assert_eq!(subject.set_state(1, last).await, Transition::Unchanged, "it was revoked already");
    assert_eq!(subject.read(1).await.unwrap().state, last);
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Unchanged);
    assert_eq!(subject.read(1).await.unwrap().state, last);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Final(Reason::REUSED));
}

async fn a_final_reason_is_never_undone(subject: Subject) {
    for (number, byte) in [2, 3, 6, 10, 127, 128, 255].into_iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        subject.insert(number, &record(subject.within(60))).await;
        assert_eq!(subject.set_state(number, State::Revoked(reason(byte))).await, Transition::Changed);
        for _ in 0..2 {
            assert_eq!(subject.set_state(number, State::Approved).await, Transition::Final(reason(byte)));
            assert_eq!(subject.read(number).await.unwrap().state, State::Revoked(reason(byte)));
        }
    }
    // One that was taken over in that state is no different.
    let taken_over = Record { state: State::Revoked(Reason::BULK), ..record(subject.within(60)) };
    subject.insert(50, &taken_over).await;
    assert_eq!(subject.set_state(50, State::Approved).await, Transition::Final(Reason::BULK));
}

async fn of_approvals_beside_a_final_revocation_none_outlives_it(subject: Subject) {
    for number in 0..20 {
        subject.insert(number, &record(subject.within(60))).await;
        subject.set_state(number, REQUESTED).await;
        let mut changes = JoinSet::new();
        for change in 0..9 {
            let (store, now) = (Arc::clone(&subject.store), subject.now());
            let state = if change == 4 { State::Revoked(Reason::REUSED) } else { State::Approved };
            changes.spawn(async move { store.set_state(digest(number), state, now).await.unwrap() });
        }
        changes.join_all().await;
        assert_eq!(subject.read(number).await.unwrap().state, State::Revoked(Reason::REUSED));
    }
}

async fn a_token_that_was_revoked_twice_is_approved_at_once(subject: Subject) {
    let (token, end) = (digest(9), subject.within(60));
    subject.insert(1, &record(end)).await;
    let signed = async |state| subject.store.set_signed_state(token, state, end, subject.now()).await.unwrap();
    for _ in 0..2 {
        for outcome in [Transition::Changed, Transition::Unchanged, Transition::Unchanged] {
            assert_eq!(subject.set_state(1, REQUESTED).await, outcome);
            assert_eq!(signed(REQUESTED).await, outcome);
        }
        for outcome in [Transition::Changed, Transition::Unchanged] {
            assert_eq!(subject.set_state(1, State::Approved).await, outcome);
            assert_eq!(signed(State::Approved).await, outcome);
        }
    }
}

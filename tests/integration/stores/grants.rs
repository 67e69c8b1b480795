//! Grants that can be refreshed: kept with their tokens, and one refresh token put in the place of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use introspectd::store::{Insertion, NewGrant, Rotation, RotationOutcome};
use introspectd::token::digest::GrantId;
use introspectd::token::grant::{GrantMark, GrantRecord, TokenFormat};
use introspectd::token::record::{Reason, Record};
use introspectd::token::time::{Stamp, UnixSeconds};
use tokio::task::JoinSet;

use super::{Subject, unstamped};
use crate::support::{digest, eventually, grant, grant_record, record};

over_stores! {
    a_grant_does_not_come_without_its_tokens
    a_grant_is_read_back_as_it_was_put_in
    a_grant_of_an_id_that_is_taken_is_refused_and_the_first_one_stays
    a_grant_that_cannot_be_stored_leaves_no_token_behind
    a_grant_whose_end_has_passed_is_accepted_and_forgotten
    a_mark_of_access_tokens_alone_does_not_stop_a_rotation
    a_revoked_refresh_token_is_not_rotated
    a_rotation_is_written_as_it_is_and_keeps_its_access_token
    a_rotation_moves_the_moment_at_which_the_grant_is_forgotten
    a_rotation_that_is_not_done_leaves_nothing_behind
    a_rotation_whose_access_token_is_signed_keeps_none
    an_access_token_that_is_there_already_is_a_fault_and_nothing_is_rotated
    no_rotation_is_done_after_the_revocation_was_acknowledged
    of_fifty_rotations_from_one_token_exactly_one_is_done
    there_is_nothing_to_rotate_in_an_unknown_or_expired_grant
}

const ID: GrantId = GrantId([1; GrantId::BYTES]);

impl Subject {
    /// A grant with its first tokens: access token 1, refresh token 2.
    async fn issue(&self, expires_at: UnixSeconds) -> GrantRecord {
        let kept = GrantRecord { access: digest(1), ..grant_record(2, expires_at) };
        let grant = NewGrant { id: ID, record: kept, keep_until: expires_at };
        let access = (digest(1), record(expires_at));
        assert_eq!(self.store.insert(&[access], Some(&grant), self.now()).await.unwrap(), Insertion::Done);
        self.kept().await.unwrap()
    }

    async fn kept(&self) -> Option<GrantRecord> {
        self.store.grant(ID).await.unwrap()
    }

    async fn rotate(&self, rotation: &Rotation) -> RotationOutcome {
        self.store.rotate(rotation, self.now()).await.unwrap()
    }
}

/// From the current refresh token to one of this number, with an access token of the number after it.
fn rotation(kept: &GrantRecord, number: u8) -> Rotation {
    let access = digest(number + 1);
    let to = GrantRecord { current: digest(number), previous: Some(kept.current), access, ..kept.clone() };
    let keep_until = kept.token.expires_at;
    Rotation { grant: ID, from: kept.current, to, keep_until, access: Some((access, record(keep_until))) }
}

async fn a_grant_is_read_back_as_it_was_put_in(subject: Subject) {
    assert_eq!(subject.kept().await, None);
    let expires_at = subject.within(60);
    let fresh = GrantRecord { format: TokenFormat::Jwt, previous: Some(digest(9)), ..grant_record(2, expires_at) };
    let dated = Record { stamp: Stamp(1_700_000_000_000_001), ..fresh.token.clone() };
    for (number, kept) in [(3, fresh.clone()), (4, GrantRecord { token: dated, ..fresh })] {
        let id = grant(number, expires_at).id;
        let new = NewGrant { id, record: kept.clone(), keep_until: expires_at };
        let outcome = subject.store.insert(&[(digest(number), record(expires_at))], Some(&new), subject.now()).await;
        assert_eq!(outcome.unwrap(), Insertion::Done);
        let read = subject.store.grant(id).await.unwrap().unwrap();
        let access = subject.read(number).await.unwrap();
        if kept.token.stamp == Stamp(0) {
            assert!(read.token.stamp.0.abs_diff(access.stamp.0) < 60_000_000, "stamped by the store's clock");
            assert_ne!(read.token.stamp, Stamp(0));
            assert_eq!(GrantRecord { token: unstamped(read.token.clone()), ..read }, kept);
        } else {
            assert_eq!(read, kept);
        }
    }
}

async fn a_grant_does_not_come_without_its_tokens(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    let new = NewGrant { id: ID, record: grant_record(2, subject.within(60)), keep_until: subject.within(60) };
    let tokens = [(digest(1), record(subject.within(60)))];
    assert_eq!(subject.store.insert(&tokens, Some(&new), subject.now()).await.unwrap(), Insertion::Exists);
    assert_eq!(subject.kept().await, None);
    // It may come alone: a signed access token has no record.
    assert_eq!(subject.store.insert(&[], Some(&new), subject.now()).await.unwrap(), Insertion::Done);
    assert!(subject.kept().await.is_some());
}

async fn a_grant_of_an_id_that_is_taken_is_refused_and_the_first_one_stays(subject: Subject) {
    let first = subject.issue(subject.within(60)).await;
    let other = NewGrant { id: ID, record: grant_record(7, subject.within(600)), keep_until: subject.within(600) };
    let tokens = [(digest(8), record(subject.within(60)))];
    assert_eq!(subject.store.insert(&tokens, Some(&other), subject.now()).await.unwrap(), Insertion::Exists);
    assert_eq!(subject.kept().await, Some(first));
}

async fn a_grant_that_cannot_be_stored_leaves_no_token_behind(subject: Subject) {
    let huge = Record { subject: Some("x".repeat(40_000).into()), ..grant_record(2, subject.within(60)).token };
    let unfit = GrantRecord { token: huge, ..grant_record(2, subject.within(60)) };
    let new = NewGrant { id: ID, record: unfit.clone(), keep_until: subject.within(60) };
    let tokens = [(digest(1), record(subject.within(60)))];
    assert!(!subject.store.insert(&tokens, Some(&new), subject.now()).await.unwrap_err().is_transient());
    assert_eq!((subject.read(1).await, subject.kept().await), (None, None));
    let kept = subject.issue(subject.within(60)).await;
    let rotation = Rotation { to: unfit, ..rotation(&kept, 3) };
    assert!(!subject.store.rotate(&rotation, subject.now()).await.unwrap_err().is_transient());
    assert_eq!((subject.read(4).await, subject.kept().await), (None, Some(kept)));
}

async fn a_grant_whose_end_has_passed_is_accepted_and_forgotten(subject: Subject) {
    let now = subject.now().seconds();
    for keep_until in [now, UnixSeconds(now.0 - 1), UnixSeconds(0)] {
        let new = NewGrant { id: ID, record: grant_record(2, keep_until), keep_until };
        assert_eq!(subject.store.insert(&[], Some(&new), subject.now()).await.unwrap(), Insertion::Done);
        assert_eq!(subject.kept().await, None);
    }
    subject.issue(subject.within(60)).await;
}

async fn a_rotation_is_written_as_it_is_and_keeps_its_access_token(subject: Subject) {
    let mut kept = subject.issue(subject.within(60)).await;
    for number in [10, 20, 30] {
        let rotation = rotation(&kept, number);
        assert_eq!(subject.rotate(&rotation).await, RotationOutcome::Done);
        assert_eq!(subject.kept().await.as_ref(), Some(&rotation.to));
        let access = subject.read(number + 1).await.unwrap();
        assert!(access.stamp > kept.token.stamp, "a new access token is stamped by the store's clock");
        assert_eq!(unstamped(access), rotation.access.as_ref().unwrap().1);
        kept = rotation.to;
    }
    assert!(subject.read(1).await.is_some(), "earlier access tokens stay");
}

async fn a_rotation_whose_access_token_is_signed_keeps_none(subject: Subject) {
    let kept = subject.issue(subject.within(60)).await;
    let rotation = Rotation { access: None, ..rotation(&kept, 3) };
    assert_eq!(subject.rotate(&rotation).await, RotationOutcome::Done);
    assert_eq!(subject.kept().await, Some(rotation.to));
    assert_eq!(subject.read(4).await, None);
}

async fn a_rotation_that_is_not_done_leaves_nothing_behind(subject: Subject) {
    let first = subject.issue(subject.within(60)).await;
    let second = rotation(&first, 10);
    subject.rotate(&second).await;
    // Again from the first one, and from one that never was.
    for from in [first.current, digest(77)] {
        let late = Rotation { from, ..rotation(&first, 20) };
        assert_eq!(subject.rotate(&late).await, RotationOutcome::Superseded);
        assert_eq!(subject.kept().await.as_ref(), Some(&second.to));
        assert_eq!(subject.read(21).await, None, "an access token that nobody was given");
    }
}

async fn there_is_nothing_to_rotate_in_an_unknown_or_expired_grant(subject: Subject) {
    let kept = grant_record(2, subject.within(60));
    assert_eq!(subject.rotate(&rotation(&kept, 3)).await, RotationOutcome::Absent);
    let expires_at = subject.within(2);
    let kept = subject.issue(expires_at).await;
    subject.pass(expires_at).await;
    let late = Rotation { keep_until: subject.within(60), ..rotation(&kept, 3) };
    assert_eq!(subject.rotate(&late).await, RotationOutcome::Absent);
    assert_eq!((subject.read(4).await, subject.read(3).await), (None, None));
}

async fn a_revoked_refresh_token_is_not_rotated(subject: Subject) {
    let kept = subject.issue(subject.within(60)).await;
    let nothing = GrantMark::default();
    for mark in [
        nothing.refresh_revoked(Reason::REQUESTED),
        nothing.refresh_revoked(Reason::from_byte(255).unwrap()),
        nothing.revoked(Reason::REUSED),
    ] {
        assert!(subject.store.mark_grant(ID, &nothing, &mark, subject.within(60)).await.unwrap());
        assert_eq!(subject.rotate(&rotation(&kept, 3)).await, RotationOutcome::Revoked);
        assert_eq!((subject.kept().await.as_ref(), subject.read(4).await), (Some(&kept), None));
        assert!(subject.store.mark_grant(ID, &mark, &nothing, subject.within(60)).await.unwrap());
    }
    assert_eq!(subject.rotate(&rotation(&kept, 3)).await, RotationOutcome::Done);
}

async fn a_mark_of_access_tokens_alone_does_not_stop_a_rotation(subject: Subject) {
    let kept = subject.issue(subject.within(60)).await;
    let revoked = GrantMark { refresh: None, ..GrantMark::default().revoked(Reason::REQUESTED) };
    assert!(subject.store.mark_grant(ID, &GrantMark::default(), &revoked, subject.within(60)).await.unwrap());
    assert_eq!(subject.rotate(&rotation(&kept, 3)).await, RotationOutcome::Done);
    assert_eq!(subject.mark(1).await, revoked);
}

async fn an_access_token_that_is_there_already_is_a_fault_and_nothing_is_rotated(subject: Subject) {
    let kept = subject.issue(subject.within(60)).await;
    subject.insert(4, &record(subject.within(60))).await;
    let there = subject.read(4).await;
    assert!(subject.store.rotate(&rotation(&kept, 3), subject.now()).await.is_err());
    assert_eq!((subject.kept().await, subject.read(4).await), (Some(kept), there));
}

async fn a_rotation_moves_the_moment_at_which_the_grant_is_forgotten(subject: Subject) {
    let (early, late) = (subject.within(2), subject.within(600));
    let kept = subject.issue(early).await;
    let longer = Rotation { keep_until: late, ..rotation(&kept, 3) };
    assert_eq!(subject.rotate(&longer).await, RotationOutcome::Done);
    subject.pass(early.plus(1)).await;
    assert_eq!(subject.kept().await.as_ref(), Some(&longer.to));
    let soon = subject.within(2);
    let shorter = Rotation { keep_until: soon, ..rotation(&longer.to, 5) };
    assert_eq!(subject.rotate(&shorter).await, RotationOutcome::Done);
    subject.pass(soon).await;
    assert_eq!(
        subject.kept().await,
        Some(shorter.to),
        "never to an earlier one: an older access token may live longer"
    );
}

async fn of_fifty_rotations_from_one_token_exactly_one_is_done(subject: Subject) {
    for round in 0..4 {
        let expires_at = subject.within(60);
        let id = grant(200 + round, expires_at).id;
        let kept = grant_record(255, expires_at);
        let new = NewGrant { id, record: kept, keep_until: expires_at };
        subject.store.insert(&[], Some(&new), subject.now()).await.unwrap();
        let kept = subject.store.grant(id).await.unwrap().unwrap();
        let mut rotations = JoinSet::new();
        for attempt in 0..50 {
            // Each with an access token of its own, 52 numbers per round.
            let access = digest(round * 52 + attempt);
            let to = GrantRecord { current: digest(attempt + 1), access, ..kept.clone() };
            let access = Some((access, record(expires_at)));
            let rotation = Rotation { grant: id, from: kept.current, to, keep_until: expires_at, access };
            let (store, now) = (Arc::clone(&subject.store), subject.now());
            rotations.spawn(async move { (store.rotate(&rotation, now).await.unwrap(), rotation) });
        }
        let outcomes = rotations.join_all().await;
        let (done, others): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(outcome, _)| *outcome == RotationOutcome::Done);
        assert_eq!(done.len(), 1);
        assert!(others.iter().all(|(outcome, _)| *outcome == RotationOutcome::Superseded));
        assert_eq!(subject.store.grant(id).await.unwrap().as_ref(), Some(&done[0].1.to));
        assert!(subject.read(done[0].1.access.as_ref().unwrap().0.0[0]).await.is_some());
        for (_, other) in others {
            assert_eq!(subject.read(other.access.unwrap().0.0[0]).await, None);
        }
    }
}

async fn no_rotation_is_done_after_the_revocation_was_acknowledged(subject: Subject) {
    let mut done = 0;
    for round in 0..40 {
        let expires_at = subject.within(60);
        let id = grant(round, expires_at).id;
        let new = NewGrant { id, record: grant_record(255, expires_at), keep_until: expires_at };
        subject.store.insert(&[], Some(&new), subject.now()).await.unwrap();
        let (acknowledged, rotated) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let rotating = tokio::spawn({
            let (store, now) = (Arc::clone(&subject.store), subject.now());
            let (acknowledged, rotated) = (Arc::clone(&acknowledged), Arc::clone(&rotated));
            async move {
                let mut kept = store.grant(id).await.unwrap().unwrap();
                // None is all zeros, which stands for none.
                for (done, number) in (1..250).cycle().enumerate() {
                    rotated.store(done, Ordering::SeqCst);
                    let to = GrantRecord { current: digest(number), previous: Some(kept.current), ..kept.clone() };
                    let rotation = Rotation { grant: id, from: kept.current, to, keep_until: expires_at, access: None };
                    let too_late = acknowledged.load(Ordering::SeqCst);
                    match store.rotate(&rotation, now).await.unwrap() {
                        RotationOutcome::Done => assert!(!too_late, "done after the revocation was acknowledged"),
                        outcome => {
                            assert_eq!(outcome, RotationOutcome::Revoked);
                            return (kept, done);
                        }
                    }
                    kept = rotation.to;
                }
                unreachable!("the revocation comes before that many rotations")
            }
        });
        // Half of the revocations surely come between two rotations, whatever else the machine does; the others about as
        // early as the first one.
        if round % 2 == 0 {
            eventually("a first rotation is done", async || rotated.load(Ordering::SeqCst) > 0).await;
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let revoked = GrantMark::default().revoked(Reason::REQUESTED);
        assert!(subject.store.mark_grant(id, &GrantMark::default(), &revoked, expires_at).await.unwrap());
        acknowledged.store(true, Ordering::SeqCst);
        let (last, rotations) = rotating.await.unwrap();
        assert_eq!(subject.store.grant(id).await.unwrap(), Some(last), "what was acknowledged last is what is there");
        done += rotations;
    }
    assert!(done > 0, "the two never met");
}

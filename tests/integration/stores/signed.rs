//! Signed tokens, which have no record: what is kept of them is that they are revoked.

use introspectd::store::{Around, Signed, Transition};
use introspectd::token::record::{Reason, State};
use introspectd::token::time::{Now, UnixSeconds};

use super::{REQUESTED, Subject, reason};
use crate::support::{around, digest, record};

over_stores! {
    a_final_reason_of_a_signed_token_is_never_undone
    a_final_reason_takes_the_place_of_a_requested_one
    a_revocation_ends_one_signed_token_and_no_other_token
    a_revocation_of_a_signed_token_is_forgotten_only_with_it
    a_signed_token_is_approved_until_it_is_revoked_and_again_afterwards
    what_has_expired_is_absent_to_a_revocation_and_unchanged_by_an_approval
}

async fn revoked(subject: &Subject, number: u8) -> Option<Reason> {
    let signed = Some(Signed { token: digest(number), key: "k" });
    subject.store.surroundings(Around { signed, ..around() }).await.unwrap().revoked
}

async fn set(subject: &Subject, number: u8, state: State) -> Transition {
    let expires_at = subject.within(60);
    subject.store.set_signed_state(digest(number), state, expires_at, subject.now()).await.unwrap()
}

async fn a_signed_token_is_approved_until_it_is_revoked_and_again_afterwards(subject: Subject) {
    assert_eq!(revoked(&subject, 1).await, None);
    assert_eq!(set(&subject, 1, State::Approved).await, Transition::Unchanged);
    for _ in 0..2 {
        assert_eq!(set(&subject, 1, REQUESTED).await, Transition::Changed);
        assert_eq!(revoked(&subject, 1).await, Some(Reason::REQUESTED));
        assert_eq!(set(&subject, 1, REQUESTED).await, Transition::Unchanged);
        assert_eq!(set(&subject, 1, State::Approved).await, Transition::Changed);
        assert_eq!(revoked(&subject, 1).await, None);
        assert_eq!(set(&subject, 1, State::Approved).await, Transition::Unchanged);
    }
}

async fn a_final_reason_of_a_signed_token_is_never_undone(subject: Subject) {
    for (number, byte) in [(1, 2), (2, 6), (3, 128), (4, 255)] {
        assert_eq!(set(&subject, number, State::Revoked(reason(byte))).await, Transition::Changed);
        assert_eq!(set(&subject, number, State::Approved).await, Transition::Final(reason(byte)));
        assert_eq!(set(&subject, number, REQUESTED).await, Transition::Unchanged);
        assert_eq!(set(&subject, number, State::Revoked(Reason::BULK)).await, Transition::Unchanged);
        assert_eq!(revoked(&subject, number).await, Some(reason(byte)), "the first one stays");
    }
}

async fn a_final_reason_takes_the_place_of_a_requested_one(subject: Subject) {
    set(&subject, 1, REQUESTED).await;
    assert_eq!(set(&subject, 1, State::Revoked(Reason::LOGGED_OUT)).await, Transition::Unchanged);
    assert_eq!(revoked(&subject, 1).await, Some(Reason::LOGGED_OUT));
    assert_eq!(set(&subject, 1, State::Approved).await, Transition::Final(Reason::LOGGED_OUT));
}

async fn a_revocation_ends_one_signed_token_and_no_other_token(subject: Subject) {
    subject.insert(2, &record(subject.within(60))).await;
    set(&subject, 1, REQUESTED).await;
    assert_eq!(revoked(&subject, 2).await, None);
    assert_eq!(subject.store.surroundings(around()).await.unwrap().revoked, None, "asked for no signed token");
    assert_eq!(subject.read(1).await, None, "there is still no record of it");
    assert_eq!(subject.read(2).await.unwrap().state, State::Approved);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Absent);
}

async fn a_revocation_of_a_signed_token_is_forgotten_only_with_it(subject: Subject) {
    let expires_at = subject.within(2);
    let now = subject.now();
    subject.store.set_signed_state(digest(1), REQUESTED, expires_at, now).await.unwrap();
    let almost = UnixSeconds(expires_at.0 - 1);
    subject.pass(almost).await;
    assert_eq!(revoked(&subject, 1).await, Some(Reason::REQUESTED));
}

async fn what_has_expired_is_absent_to_a_revocation_and_unchanged_by_an_approval(subject: Subject) {
    let long_ago = UnixSeconds(subject.now().seconds().0 - 3600);
    for expires_at in [long_ago, UnixSeconds(0)] {
        let set =
            async |state| subject.store.set_signed_state(digest(1), state, expires_at, subject.now()).await.unwrap();
        assert_eq!(set(REQUESTED).await, Transition::Absent);
        assert_eq!(set(State::Approved).await, Transition::Unchanged);
        assert_eq!(revoked(&subject, 1).await, None);
    }
    // A revocation in force is not undone by somebody whose clock says that the token has expired.
    let expires_at = subject.within(600);
    set(&subject, 2, REQUESTED).await;
    let late = Now::from_unix(std::time::Duration::from_secs(expires_at.0));
    let approved = subject.store.set_signed_state(digest(2), State::Approved, expires_at, late).await.unwrap();
    assert_eq!(approved, Transition::Unchanged);
    assert_eq!(revoked(&subject, 2).await, Some(Reason::REQUESTED));
}

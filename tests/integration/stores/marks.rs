//! What of a grant is revoked: replaced only by whoever knows what is there, and kept until the family ends.

use std::sync::Arc;

use introspectd::store::Around;
use introspectd::token::grant::{Cover, GrantMark};
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::time::{Stamp, UnixSeconds};
use tokio::task::JoinSet;

use super::{Subject, reason};
use crate::support::{around, digest, grant, record};

over_stores! {
    a_grant_without_a_mark_and_no_grant_at_all_have_an_empty_one
    a_mark_can_come_before_and_after_the_tokens
    a_mark_is_kept_until_the_latest_end_named
    a_mark_is_read_back_as_it_was_put_in
    a_mark_that_has_changed_is_not_replaced
    a_mark_that_was_renewed_is_another_one
    marking_an_ended_family_does_no_harm
    no_change_of_a_mark_is_lost_when_many_change_it_at_once
}

impl Subject {
    async fn change_mark(&self, number: u8, before: &GrantMark, after: &GrantMark) -> bool {
        let id = grant(number, UnixSeconds(0)).id;
        self.store.mark_grant(id, before, after, self.within(60)).await.unwrap()
    }
}

fn revoked() -> GrantMark {
    GrantMark::default().revoked(Reason::REQUESTED)
}

async fn a_grant_without_a_mark_and_no_grant_at_all_have_an_empty_one(subject: Subject) {
    assert_eq!(subject.mark(1).await, GrantMark::default());
    let surroundings = subject.store.surroundings(around()).await.unwrap();
    assert_eq!((surroundings.client, surroundings.grant), (None, GrantMark::default()));
}

async fn a_mark_is_read_back_as_it_was_put_in(subject: Subject) {
    let full = GrantMark {
        access: Some(Cover { until: Stamp(1_700_000_000_000_001), reason: reason(255) }),
        refresh: Some(Reason::REQUESTED),
        exempt: (0..32).map(digest).collect(),
        nonce: u64::MAX - 1,
    };
    let mut before = GrantMark::default();
    let of_refresh = GrantMark::default().refresh_revoked(Reason::REUSED);
    for mark in [revoked(), full, of_refresh, GrantMark::default(), revoked(), GrantMark::default()] {
        assert!(subject.change_mark(1, &before, &mark).await);
        assert_eq!(subject.mark(1).await, mark);
        assert_eq!(subject.mark(2).await, GrantMark::default(), "that of another grant");
        before = mark;
    }
}

async fn a_mark_that_has_changed_is_not_replaced(subject: Subject) {
    let final_one = GrantMark::default().revoked(Reason::REUSED);
    assert!(!subject.change_mark(1, &revoked(), &final_one).await, "there is none");
    assert_eq!(subject.mark(1).await, GrantMark::default());
    assert!(subject.change_mark(1, &GrantMark::default(), &revoked()).await);
    assert!(!subject.change_mark(1, &GrantMark::default(), &final_one).await, "there is one");
    assert!(!subject.change_mark(1, &final_one, &GrantMark::default()).await, "there is another");
    assert_eq!(subject.mark(1).await, revoked());
    assert!(subject.change_mark(1, &revoked(), &revoked()).await);
    // Somebody who read it before it became final cannot undo it any longer.
    assert!(subject.change_mark(1, &revoked(), &final_one).await);
    assert!(!subject.change_mark(1, &revoked(), &revoked().approved().unwrap()).await);
    assert_eq!(subject.mark(1).await, final_one);
}

async fn a_mark_that_was_renewed_is_another_one(subject: Subject) {
    let (first, second) = (revoked().renewed(1), revoked().renewed(2));
    let approved = first.approved().unwrap();
    assert!(subject.change_mark(1, &GrantMark::default(), &first).await);
    assert!(subject.change_mark(1, &first, &second).await);
    assert!(!subject.change_mark(1, &first, &approved).await, "revoked once more");
    assert!(subject.change_mark(1, &second, &second.approved().unwrap()).await);
    assert!(subject.change_mark(1, &GrantMark::default(), &second.clone().renewed(3)).await);
    assert!(!subject.change_mark(1, &first, &approved).await, "approved and revoked again");
    assert!(!subject.change_mark(1, &second, &approved).await, "approved and revoked again");
    assert!(subject.mark(1).await.revokes_the_same(&revoked()));
}

async fn a_mark_can_come_before_and_after_the_tokens(subject: Subject) {
    let expires_at = subject.within(60);
    let member = Record { grant: Some(grant(1, expires_at)), ..record(expires_at) };
    subject.insert(1, &member).await;
    assert!(subject.change_mark(1, &GrantMark::default(), &revoked()).await);
    // A token issued into it later is kept, and its grant says that it is dead.
    subject.insert(2, &member).await;
    for number in [1, 2] {
        let stamp = subject.read(number).await.unwrap().stamp;
        assert!(subject.mark(1).await.covers(digest(number), stamp));
        // The tokens themselves are as they were.
        assert_eq!(subject.read(number).await.unwrap().state, State::Approved);
    }
}

async fn a_mark_is_kept_until_the_latest_end_named(subject: Subject) {
    let (early, late) = (subject.within(2), subject.within(600));
    let stronger = GrantMark::default().revoked(Reason::REUSED);
    for (number, ends) in [(1, [early, late]), (2, [late, early])] {
        let id = grant(number, early).id;
        assert!(subject.store.mark_grant(id, &GrantMark::default(), &revoked(), ends[0]).await.unwrap());
        assert!(subject.store.mark_grant(id, &revoked(), &stronger, ends[1]).await.unwrap());
    }
    subject.pass(early.plus(1)).await;
    // Time enough for whatever forgets.
    for number in 0..20 {
        subject.insert(number, &record(subject.within(60))).await;
    }
    assert_eq!(subject.mark(1).await, stronger);
    assert_eq!(subject.mark(2).await, stronger);
}

async fn marking_an_ended_family_does_no_harm(subject: Subject) {
    let ended = UnixSeconds(subject.now().seconds().0 - 3600);
    for (number, end) in [(1, ended), (3, UnixSeconds(0))] {
        let id = grant(number, end).id;
        assert!(subject.store.mark_grant(id, &GrantMark::default(), &revoked(), end).await.unwrap());
    }
    // Nor does it end a mark that is there.
    assert!(subject.change_mark(2, &GrantMark::default(), &revoked()).await);
    let stronger = GrantMark::default().revoked(Reason::REUSED);
    assert!(subject.store.mark_grant(grant(2, ended).id, &revoked(), &stronger, ended).await.unwrap());
    assert!(!subject.mark(2).await.is_empty());
}

async fn no_change_of_a_mark_is_lost_when_many_change_it_at_once(subject: Subject) {
    let (id, end) = (grant(1, UnixSeconds(0)).id, subject.within(60));
    assert!(subject.change_mark(1, &GrantMark::default(), &revoked()).await);
    let mut changes = JoinSet::new();
    for number in 0..24 {
        let store = Arc::clone(&subject.store);
        changes.spawn(async move {
            let mut attempts = 1;
            loop {
                let before = store.grant_mark(id).await.unwrap();
                let after = before.exempted(digest(number), Stamp(5)).unwrap();
                if store.mark_grant(id, &before, &after, end).await.unwrap() {
                    return attempts;
                }
                attempts += 1;
            }
        });
    }
    let attempts = changes.join_all().await.into_iter().sum::<u32>();
    assert!(attempts > 24, "none ever met another");
    let mut exempt = subject.mark(1).await.exempt;
    exempt.sort();
    assert_eq!(exempt, (0..24).map(digest).collect::<Vec<_>>());
    let around = Around { grant: Some(id), ..around() };
    assert_eq!(subject.store.surroundings(around).await.unwrap().grant.exempt.len(), 24);
}

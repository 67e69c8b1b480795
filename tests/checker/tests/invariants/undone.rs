//! Approvals that a node undoes which had not heard of them: what that excuses, and what not.

use std::ops::Range;

use checker::history::Moment;
use checker::history::event::Outcome::Done;
use checker::history::event::Target;
use checker::history::fault::Fault;
use checker::verdict::Invariant;

use crate::story::{GRACE, Story, issued, token};
use crate::{lossy, written};

/// Another life of the primary from 100 to 200, before which not every node had heard of what was approved since 55.
fn undoing() -> Fault {
    Fault { begin: 100, end: Some(200), undoes_since: Some(55), ..Fault::default() }
}

fn approved(span: Range<Moment>) -> Story {
    Story::with_token().revoke(token(), 30..40, Done).approve(token(), span, Done)
}

/// A node that had not heard of the approval when another life began writes the revocation again.
#[test]
fn i5_not_when_a_node_may_have_undone_the_approval() {
    approved(50..60).fault(undoing()).active(0, 61..70).inactive(0, 300..310).inactive(1, 300..310).holds();
    approved(50..60).fault(undoing()).active(0, 300..310).active(1, 1000..1010).holds();
    approved(190..210).fault(undoing()).inactive(0, 300..310).holds();
    let other = Fault { undoes_since: None, ..undoing() };
    approved(50..60).fault(other).inactive(0, 201 + GRACE..300).breaks(Invariant::Guess);
}

#[test]
fn i5_an_approval_that_nobody_can_have_undone_counts() {
    let late = 201 + GRACE..300;
    // All had heard of it; it was answered afterwards; it was asked for before anything was undone.
    approved(50..54).fault(undoing()).inactive(0, late.clone()).breaks(Invariant::Guess);
    approved(201..210).fault(undoing()).inactive(0, late.clone()).breaks(Invariant::Guess);
    approved(50..60).fault(undoing()).inactive(0, 61..99).breaks(Invariant::Guess);
    // It was approved once more.
    let again = approved(50..60).approve(token(), 210..220, Done).fault(undoing());
    again.inactive(0, late.clone()).breaks(Invariant::Guess);
    // What was approved before is not revoked by an approval that was undone.
    let before = Story::with_token().revoke(token(), 30..40, Done).approve(token(), 42..48, Done);
    let before = before.approve(token(), 50..60, Done).fault(undoing());
    before.inactive(0, late.clone()).breaks(Invariant::Guess);
    // Nothing but an approval of itself is undone.
    Story::with_token().fault(undoing()).inactive(0, late.clone()).breaks(Invariant::Guess);
    let other = Story::with_token().revoke(Target::Client("other".into()), 30..40, Done);
    let other = other.approve(Target::Client("other".into()), 50..60, Done).fault(undoing());
    other.inactive(0, late).breaks(Invariant::Guess);
}

#[test]
fn undone_approvals_excuse_nothing_that_was_said_active_and_no_loss() {
    let revoked = |span| Story::with_token().revoke(token(), span, Done).fault(undoing());
    for story in [written, lossy, |story: Story| story] {
        story(revoked(60..70)).active(0, 300..310).breaks(Invariant::Revoked);
        story(revoked(150..160)).active(0, 300..310).breaks(Invariant::Revoked);
        // Approved before, whether that was undone or not.
        let again = approved(50..60).revoke(token(), 70..80, Done).fault(undoing());
        story(again).active(0, 300..310).breaks(Invariant::Revoked);
        let bulk = Story::with_token().revoke(issued(None, None), 60..70, Done).fault(undoing());
        story(bulk).active(0, 300..310).breaks(Invariant::Bulk);
    }
    // Nothing of what the failover may lose is lost with it.
    let issued = Story::new().issue("t", 60..70).fault(undoing());
    issued.inactive(0, 201 + GRACE..300).breaks(Invariant::Guess);
    // Once it was seen to be undone it stays so.
    approved(50..60).fault(undoing()).inactive(0, 300..310).active(0, 320..330).breaks(Invariant::Again);
}

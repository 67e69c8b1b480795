//! Each invariant by stories that break it, and by others that come near and do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod story;
mod undone;

use checker::history::event::Answer::{self, Active, Inactive, Unavailable};
use checker::history::event::Outcome::{self, Done, Unanswered};
use checker::history::event::{Issue, Target};
use checker::history::fault::Fault;
use checker::history::mode::{Acknowledge, Durability};
use checker::history::{Event, Moment};
use checker::verdict::Invariant;

use story::{EXPIRES, GRACE, LEASE, Story, issued, token};

fn written(story: Story) -> Story {
    story.mode(|mode| mode.acknowledge = Acknowledge::Written)
}

fn lossy(story: Story) -> Story {
    story.mode(|mode| mode.durability = Durability::Primary)
}

fn failover(begin: Moment, end: Moment) -> Fault {
    Fault { begin, end: Some(end), loses_since: Some(begin - 10), ..Fault::default() }
}

// --- I1 ---

#[test]
fn i1_active_after_the_answer_to_a_revocation() {
    Story::with_token().revoke(token(), 30..40, Done).active(0, 41..50).breaks(Invariant::Revoked);
    for target in [Target::Grant("gt".into()), Target::Client("app".into()), Target::User("ada".into())] {
        Story::with_token().revoke(target, 30..40, Done).active(1, 41..50).breaks(Invariant::Revoked);
    }
}

#[test]
fn i1_active_after_the_lease_of_a_written_revocation() {
    let story = written(Story::with_token()).revoke(token(), 30..40, Done);
    story.active(0, 41 + LEASE..200).breaks(Invariant::Revoked);
}

#[test]
fn i1_active_after_an_approval_that_was_over_before() {
    let story = Story::with_token().approve(token(), 22..25, Done).revoke(token(), 30..40, Done);
    story.active(0, 41..50).breaks(Invariant::Revoked);
}

/// An approval of something else brings nothing back.
#[test]
fn i1_active_after_the_approval_of_another_parent() {
    let story = Story::with_token().revoke(token(), 30..40, Done).approve(Target::Client("app".into()), 50..60, Done);
    story.active(0, 61..70).breaks(Invariant::Revoked);
}

#[test]
fn i1_not_when_the_request_began_before_the_answer() {
    Story::with_token().revoke(token(), 30..40, Done).active(0, 40..1000).holds();
    written(Story::with_token()).revoke(token(), 30..40, Done).active(0, 40 + LEASE..1000).holds();
}

#[test]
fn i1_not_when_the_revocation_was_not_answered() {
    for outcome in [Outcome::Unavailable, Unanswered] {
        let story = Story::with_token().fault(Fault { begin: 25, end: None, ..Fault::default() });
        story.revoke(token(), 30..40, outcome).active(0, 50..60).active(1, 90..95).inactive(1, 96..99).holds();
    }
}

#[test]
fn i1_not_when_an_approval_was_under_way() {
    let revoked = || Story::with_token().revoke(token(), 30..40, Done);
    revoked().approve(token(), 25..31, Done).active(0, 50..60).holds();
    revoked().approve(token(), 45..70, Done).active(0, 50..60).holds();
    revoked().approve(token(), 22..25, Unanswered).active(0, 50..60).holds();
    revoked().approve(token(), 55..70, Done).active(0, 50..60).holds();
    revoked().approve(token(), 61..70, Done).active(0, 50..60).breaks(Invariant::Revoked);
}

#[test]
fn i1_not_for_another_token() {
    let story = Story::with_token().issue("u", 10..20).revoke(token(), 30..40, Done);
    story.ask(0, 50..60, "u", Active).inactive(1, 50..60).holds();
}

// --- I2 ---

#[test]
fn i2_active_after_a_failover() {
    let story = Story::with_token().revoke(token(), 30..40, Done).fault(failover(45, 60));
    story.inactive(0, 41..43).active(1, 70..80).breaks(Invariant::Failover);
    let story = Story::with_token().revoke(issued(None, Some("ada")), 30..40, Done).fault(failover(45, 60));
    story.active(0, 70..80).breaks(Invariant::Failover);
}

/// Of what was written long before the failover nothing may be lost in any mode.
#[test]
fn i2_active_after_a_failover_that_could_not_lose_it() {
    for durability in [Durability::Primary, Durability::Replicas, Durability::Replay] {
        let story = Story::with_token().mode(|mode| mode.durability = durability);
        let story = story.revoke(token(), 30..40, Done).fault(failover(1000, 1100));
        story.active(0, 2000..2010).breaks(Invariant::Failover);
    }
}

#[test]
fn i2_losses_are_counted_where_the_mode_allows_them() {
    let story = lossy(Story::with_token()).issue("u", 10..20);
    let story = story.revoke(token(), 30..40, Done).fault(failover(45, 60)).active(0, 70..80).active(1, 75..80);
    let verdict = story.verdict();
    assert!(verdict.holds(), "{:?}", verdict.violations);
    assert_eq!((verdict.contradicted, verdict.lost), (1, 1), "one revocation, however often it was contradicted");
}

#[test]
fn i2_a_loss_is_none_before_the_failover() {
    let story = lossy(Story::with_token()).revoke(token(), 30..40, Done).fault(failover(45, 60));
    story.active(0, 41..44).breaks(Invariant::Revoked);
}

#[test]
fn i2_not_when_what_was_revoked_stays_so_or_is_approved() {
    let story = || Story::with_token().revoke(token(), 30..40, Done).fault(failover(45, 60));
    story().inactive(0, 70..80).inactive(1, 70..80).holds();
    story().approve(token(), 62..65, Done).active(0, 70..80).holds();
}

#[test]
fn i2_tokens_and_approvals_may_be_lost() {
    let story = Story::with_token().issue("u", 38..40).fault(failover(45, 60));
    let verdict = story.ask(0, 70..80, "u", Inactive).verdict();
    assert!(verdict.holds(), "{:?}", verdict.violations);
    assert_eq!(verdict.lost_tokens, 1);
    let approved = || Story::with_token().revoke(token(), 21..22, Done).approve(token(), 38..40, Done);
    approved().fault(failover(45, 60)).inactive(0, 70..80).holds();
    approved().fault(failover(45, 60)).inactive(0, 41..44).breaks(Invariant::Guess);
    Story::with_token().fault(failover(1000, 1100)).inactive(0, 1200..1210).breaks(Invariant::Guess);
}

// --- I3 ---

#[test]
fn i3_active_at_and_after_expiry() {
    for begin in [EXPIRES, EXPIRES + 1, EXPIRES + 1_000_000] {
        Story::with_token().active(0, begin..begin + 5).breaks(Invariant::Life);
    }
}

#[test]
fn i3_active_before_it_was_issued() {
    Story::with_token().active(0, 5..9).breaks(Invariant::Life);
}

#[test]
fn i3_not_around_the_moments() {
    Story::with_token().active(0, EXPIRES - 1..EXPIRES + 10).holds();
    Story::with_token().inactive(0, EXPIRES - 1..EXPIRES).inactive(0, EXPIRES..EXPIRES + 9).holds();
    Story::with_token().active(0, 5..10).inactive(1, 20..25).active(1, 21..25).holds();
}

// --- I4 ---

#[test]
fn i4_active_of_what_was_issued_before_in_every_scope() {
    for (client, user) in [(None, None), (Some("app"), None), (None, Some("ada")), (Some("app"), Some("ada"))] {
        let target = || issued(client, user);
        Story::with_token().revoke(target(), 30..40, Done).active(0, 41..50).breaks(Invariant::Bulk);
        Story::with_token().revoke(target(), 30..40, Done).inactive(0, 41..50).active(1, 40..50).holds();
        // No approval undoes it.
        let story = Story::with_token().revoke(target(), 30..40, Done).approve(token(), 42..44, Done);
        story.active(0, 45..50).breaks(Invariant::Bulk);
        let later = || Story::new().revoke(target(), 3..5, Done).issue("t", 10..20);
        later().inactive(0, 41..50).breaks(Invariant::Bulk);
        later().active(0, 41..50).holds();
    }
}

#[test]
fn i4_a_token_counts_as_issued_when_its_grant_was() {
    let family = |bulk| Story::new().issue_in("a", "g", 1..2).revoke(issued(None, None), bulk, Done);
    family(30..40).issue_in("t", "g", 50..60).active(0, 70..80).breaks(Invariant::Bulk);
    family(30..40).issue_in("t", "g", 50..60).inactive(0, 70..80).holds();
}

#[test]
fn i4_not_for_other_owners() {
    for (client, user) in [(Some("other"), None), (None, Some("bob")), (Some("app"), Some("bob"))] {
        let story = || Story::with_token().revoke(issued(client, user), 30..40, Done);
        story().active(0, 41..50).holds();
        story().inactive(0, 41..50).breaks(Invariant::Guess);
    }
}

#[test]
fn i4_not_for_what_was_issued_meanwhile_or_perhaps() {
    let meanwhile = || Story::new().revoke(issued(None, None), 15..30, Done).issue("t", 10..20);
    meanwhile().active(0, 41..50).holds();
    meanwhile().inactive(0, 41..50).holds();
    let perhaps =
        || Story::new().fault(Fault::default()).revoke(issued(None, None), 3..5, Unanswered).issue("t", 10..20);
    perhaps().active(0, 41..50).inactive(0, 51..60).holds();
    perhaps().inactive(0, 41..50).active(1, 41..50).holds();
}

// --- I5 ---

#[test]
fn i5_inactive_of_a_live_token() {
    Story::with_token().inactive(0, 30..40).breaks(Invariant::Guess);
    // A store that cannot be read, or was emptied, is no reason.
    Story::with_token()
        .fault(Fault { begin: 25, end: None, ..Fault::default() })
        .inactive(0, 30..40)
        .breaks(Invariant::Guess);
}

#[test]
fn i5_inactive_after_an_approval() {
    let story = || Story::with_token().revoke(token(), 30..40, Done).approve(token(), 50..60, Done);
    story().inactive(0, 61..70).breaks(Invariant::Guess);
    story().inactive(0, 60..70).holds();
    story().mode(|mode| mode.approved_within = 5).inactive(0, 65..70).holds();
    story().mode(|mode| mode.approved_within = 5).inactive(0, 66..70).breaks(Invariant::Guess);
}

/// What it has heard to be over a node may say to be over, for as long as a fault keeps it from hearing more.
#[test]
fn i5_not_when_a_fault_keeps_the_approval_from_the_node() {
    let fault = || Fault { begin: 45, end: Some(200), nodes: Some(vec![0]), ..Fault::default() };
    let story = || Story::with_token().revoke(token(), 30..40, Done).approve(token(), 50..60, Done).fault(fault());
    story().inactive(0, 150..160).active(0, 161..170).holds();
    story().inactive(1, 150..160).breaks(Invariant::Guess);
    story().inactive(0, 201 + GRACE..400).breaks(Invariant::Guess);
    let approved_before = Story::with_token().revoke(token(), 30..35, Done).approve(token(), 36..44, Done);
    approved_before.fault(fault()).inactive(0, 150..160).breaks(Invariant::Guess);
}

#[test]
fn i5_not_when_something_may_have_ended_it() {
    let broken = || Story::with_token().fault(Fault { begin: 25, end: None, ..Fault::default() });
    broken().revoke(token(), 30..40, Unanswered).inactive(0, 1000..1010).holds();
    broken().revoke(token(), 30..40, Unanswered).approve(token(), 50..60, Done).inactive(0, 1000..1010).holds();
    Story::with_token().revoke(token(), 38..60, Done).inactive(0, 30..40).holds();
    Story::with_token().revoke(token(), 41..60, Done).inactive(0, 30..40).breaks(Invariant::Guess);
}

#[test]
fn i5_refused_with_no_fault_under_way() {
    Story::with_token().refused(0, 30..40).breaks(Invariant::Guess);
    Story::with_token().ask(0, 30..40, "t", Answer::None).breaks(Invariant::Guess);
    let fault = || Story::with_token().fault(Fault { begin: 100, end: Some(200), ..Fault::default() });
    fault().refused(0, 90..99).breaks(Invariant::Guess);
    fault().refused(0, 201 + GRACE..400).breaks(Invariant::Guess);
    fault().refused(0, 90..100).refused(1, 150..160).refused(0, 200 + GRACE..400).holds();
}

#[test]
fn i5_refused_by_a_node_that_has_no_fault() {
    let fault = || Fault { begin: 100, end: Some(200), nodes: Some(vec![1]), ..Fault::default() };
    Story::with_token().fault(fault()).refused(0, 150..160).breaks(Invariant::Guess);
    Story::with_token().fault(fault()).refused(1, 150..160).holds();
}

#[test]
fn i5_changes_refused_with_no_fault_under_way() {
    Story::with_token().revoke(token(), 30..40, Outcome::Unavailable).breaks(Invariant::Guess);
    let (token, client) = ("u".to_owned(), "app".to_owned());
    let issue = Issue { begin: 30, end: 40, token, client, outcome: Unanswered, ..Issue::default() };
    Story::new().event(Event::Issue(issue.clone())).breaks(Invariant::Guess);
    let broken = Story::with_token().fault(Fault { begin: 25, end: None, ..Fault::default() });
    broken.event(Event::Issue(issue)).revoke(story::token(), 30..40, Unanswered).holds();
}

/// What nobody can have heard of for a lease may have been revoked elsewhere.
#[test]
fn i5_active_beyond_the_lease() {
    let silent = |shards: Option<&[u8]>, nodes: Option<&[u16]>| Fault {
        begin: 100,
        end: Some(1000),
        silent: Some((110, 900)),
        shards: shards.map(Into::into),
        nodes: nodes.map(Into::into),
        ..Fault::default()
    };
    let story = |fault| Story::with_token().keys("t", &[1]).fault(fault);
    story(silent(None, None)).active(0, 111 + LEASE..300).breaks(Invariant::Guess);
    story(silent(Some(&[0, 1]), Some(&[0]))).active(0, 111 + LEASE..300).breaks(Invariant::Guess);
    story(silent(None, None)).active(0, 110 + LEASE..300).active(0, 800..900).refused(1, 500..510).holds();
    story(silent(Some(&[0]), None)).active(0, 500..510).holds();
    story(silent(None, Some(&[1]))).active(0, 500..510).holds();
}

// --- I6 ---

#[test]
fn i6_active_again_with_no_approval() {
    let story = || {
        let story = Story::with_token().fault(Fault { begin: 25, end: None, ..Fault::default() });
        story.revoke(token(), 30..40, Unanswered)
    };
    story().inactive(0, 50..60).active(0, 61..70).breaks(Invariant::Again);
    story().active(0, 45..46).inactive(0, 50..60).active(1, 61..70).active(0, 60..70).holds();
    story().inactive(0, 50..60).active(1, 61..70).active(0, 71..80).breaks(Invariant::Again);
}

#[test]
fn i6_active_again_while_a_revocation_is_under_way() {
    let story = || Story::with_token().revoke(token(), 30..400, Done);
    story().inactive(1, 50..60).active(1, 61..70).breaks(Invariant::Again);
    story().inactive(1, 50..60).active(0, 61..70).inactive(0, 80..90).inactive(1, 80..90).holds();
}

#[test]
fn i6_an_approval_that_was_over_before_does_not_count() {
    let story = || Story::with_token().revoke(token(), 30..400, Done).inactive(1, 50..60);
    story().approve(token(), 40..49, Done).active(1, 61..70).breaks(Invariant::Again);
    story().approve(token(), 40..50, Done).active(1, 61..70).holds();
    story().approve(token(), 70..90, Done).active(1, 61..70).holds();
    story().approve(token(), 71..90, Done).active(1, 61..70).breaks(Invariant::Again);
    story().approve(token(), 22..25, Unanswered).active(1, 61..70).holds();
    // What nobody revoked brings nothing back.
    story().approve(Target::Client("app".into()), 55..58, Done).active(1, 61..70).breaks(Invariant::Again);
}

/// An approval counts from the last inactive answer on, not from the first.
#[test]
fn i6_an_approval_is_used_up_once_the_node_says_inactive_again() {
    let story = Story::with_token().revoke(token(), 30..400, Done).inactive(1, 50..60).approve(token(), 65..70, Done);
    story.inactive(1, 71..80).active(1, 81..90).breaks(Invariant::Again);
}

#[test]
fn i6_a_failover_may_undo_what_was_not_answered() {
    let story = |end| Story::with_token().revoke(token(), 30..end, Done).inactive(1, 50..60);
    story(400).fault(failover(62, 65)).active(1, 70..80).holds();
    story(400).active(1, 70..80).breaks(Invariant::Again);
    // Nor one that was over before, or one that had nothing to lose.
    story(400).fault(failover(32, 35)).inactive(1, 90..91).active(1, 92..95).breaks(Invariant::Again);
    story(400).fault(Fault { loses_since: None, ..failover(62, 65) }).active(1, 70..80).breaks(Invariant::Again);
    story(40).fault(failover(62, 65)).active(1, 70..80).breaks(Invariant::Failover);
}

// --- I7 ---

fn shard(shards: &[u8]) -> Fault {
    Fault { begin: 100, end: Some(1000), shards: Some(shards.into()), ..Fault::default() }
}

#[test]
fn i7_refused_for_a_fault_of_another_shard() {
    Story::with_token().keys("t", &[0, 2]).fault(shard(&[1])).refused(0, 500..510).breaks(Invariant::Shards);
    let story = Story::with_token().issue("u", 10..20).keys("t", &[0]).keys("u", &[1]).fault(shard(&[1, 3]));
    story.ask(0, 500..510, "u", Unavailable).refused(0, 500..510).breaks(Invariant::Shards);
}

#[test]
fn i7_not_for_its_own_shards_or_unknown_ones() {
    Story::with_token().keys("t", &[0, 1]).fault(shard(&[1])).refused(0, 500..510).holds();
    Story::with_token().fault(shard(&[1])).refused(0, 500..510).holds();
    // Keys that move count where they were and where they are.
    Story::with_token().keys("t", &[0]).keys("t", &[1]).fault(shard(&[1])).refused(0, 500..510).holds();
    let both = Story::with_token().keys("t", &[0]).fault(shard(&[1])).fault(shard(&[0]));
    both.refused(0, 500..510).holds();
}

#[test]
fn i7_not_while_it_is_being_made_out() {
    let story = || Story::with_token().keys("t", &[0]).fault(shard(&[1]));
    story().refused(0, 100 + GRACE..200).refused(0, 990..1000).refused(0, 1000 + GRACE..2000).holds();
    story().refused(0, 101 + GRACE..200).breaks(Invariant::Shards);
    story().refused(0, 990..999).breaks(Invariant::Shards);
}

// --- what else is told ---

#[test]
fn visibility_is_measured_from_the_answer_on() {
    let story = || written(Story::with_token()).revoke(token(), 30..40, Done);
    let verdict = story().active(0, 45..46).inactive(0, 50..60).inactive(1, 35..38).verdict();
    assert_eq!((verdict.seen_everywhere, verdict.still_active), (vec![20], vec![5]));
    assert_eq!(verdict.seen_since_asked, [30]);
    let verdict = story().inactive(0, 36..39).inactive(1, 35..38).verdict();
    assert_eq!((verdict.seen_everywhere, verdict.still_active), (vec![0], vec![0]));
    let verdict = story().inactive(0, 50..60).verdict();
    assert!(verdict.seen_everywhere.is_empty(), "node 1 was never asked");
    let verdict = story().approve(token(), 90..99, Done).inactive(0, 50..60).inactive(1, 50..60).verdict();
    assert!(verdict.seen_everywhere.is_empty(), "approved again");
}

#[test]
fn nonsense_is_refused() {
    let refused = |story: Story, message: &str| {
        let error = checker::judge(&story.into_history()).unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    };
    refused(Story::new().active(0, 1..2), "event 1: the token is never issued");
    refused(Story::new().revoke(token(), 1..2, Done), "event 1: the token is never issued");
    refused(Story::with_token().keys("u", &[1]), "event 2: the token is never issued");
    refused(Story::with_token().keys("t", &[64]), "event 2: shards are numbered from 0 to 63");
    refused(Story::with_token().fault(shard(&[64])), "event 2: shards are numbered from 0 to 63");
    refused(Story::with_token().issue("t", 30..40), "event 2: the token has been issued before");
    refused(Story::with_token().active(2, 30..40), "event 2: there are not so many nodes");
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is wrong with it")]
    refused(Story::with_token().active(0, 40..30), "event 2: it ends before it begins");
    refused(Story::with_token().approve(issued(None, None), 30..40, Done), "is revoked for good");
    let order = "event 2: a fault begins, is silent and ends in this order";
    refused(Story::with_token().fault(Fault { begin: 9, end: Some(8), ..Fault::default() }), order);
    refused(Story::with_token().fault(Fault { begin: 9, silent: Some((8, 10)), ..Fault::default() }), order);
    refused(Story::with_token().fault(Fault { begin: 9, silent: Some((12, 10)), ..Fault::default() }), order);
}

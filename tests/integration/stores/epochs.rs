//! Epochs: many tokens revoked by one write, of which the latest decides, in whatever order they come.

use std::sync::Arc;

use introspectd::store::{Around, Signed};
use introspectd::token::digest::TokenDigest;
use introspectd::token::epoch::{Epoch, EpochAxis, Epochs};
use introspectd::token::record::Reason;
use introspectd::token::time::{Stamp, UnixSeconds};
use proptest::prelude::{Strategy as _, any};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio::task::JoinSet;

use super::{Subject, reason};
use crate::support::{around, digest, record};

over_stores! {
    an_epoch_covers_what_was_taken_in_before_it_and_nothing_after
    an_epoch_is_kept_for_as_long_as_the_longest_was_to_be
    an_epoch_never_goes_back
    each_axis_has_an_epoch_of_its_own
    names_that_look_alike_are_not_taken_for_each_other
    of_two_epochs_of_one_moment_the_final_reason_stays
    raised_in_any_order_and_at_once_the_latest_is_there
}

const ALICE: Around<'static> = Around {
    subject: Some("alice"),
    signed: Some(Signed { token: TokenDigest([9; TokenDigest::BYTES]), key: "key one" }),
    ..Around::of_client("app")
};

impl Subject {
    async fn raise(&self, axis: EpochAxis<'_>, until: u64, reason: Reason) -> bool {
        self.store.raise_epoch(axis, Some(Stamp(until)), reason, self.within(600), self.now()).await.unwrap()
    }

    async fn epochs(&self, around: Around<'_>) -> Epochs {
        self.store.surroundings(around).await.unwrap().epochs
    }

    /// The epoch of a user.
    async fn of_user(&self, user: &str) -> Option<Epoch> {
        self.epochs(Around { subject: Some(user), ..around() }).await.user
    }
}

fn epoch(until: u64, reason: Reason) -> Epoch {
    Epoch { until: Stamp(until), reason }
}

fn app_and(subject: &str) -> EpochAxis<'_> {
    EpochAxis::ClientUser { client_id: "app", subject }
}

async fn each_axis_has_an_epoch_of_its_own(subject: Subject) {
    assert_eq!(subject.epochs(ALICE).await, Epochs::default());
    let axes = [
        EpochAxis::Issuer,
        EpochAxis::Client("app"),
        EpochAxis::User("alice"),
        app_and("alice"),
        EpochAxis::Key("key one"),
    ];
    for (axis, until) in axes.into_iter().zip(1..) {
        assert!(subject.raise(axis, until, reason(10 + u8::try_from(until).unwrap())).await);
    }
    let all = [1, 2, 3, 4, 5].map(|until| Some(epoch(until, reason(10 + u8::try_from(until).unwrap()))));
    let [issuer, client, user, client_user, key] = all;
    assert_eq!(subject.epochs(ALICE).await, Epochs { issuer, client, user, client_user, key });
    // Only those that a token can fall under.
    let alone = Epochs { issuer, client, ..Epochs::default() };
    assert_eq!(subject.epochs(around()).await, alone);
    let others = Around { client_id: "other", subject: Some("bob"), ..ALICE };
    assert_eq!(subject.epochs(others).await, Epochs { issuer, key, ..Epochs::default() });
    let elsewhere = Around { client_id: "other", signed: None, ..ALICE };
    assert_eq!(subject.epochs(elsewhere).await, Epochs { issuer, user, ..Epochs::default() });
}

async fn names_that_look_alike_are_not_taken_for_each_other(subject: Subject) {
    let pair = |client_id, subject| EpochAxis::ClientUser { client_id, subject };
    assert!(subject.raise(pair("ab", "c"), 7, Reason::BULK).await);
    assert!(subject.raise(EpochAxis::Client("x}"), 8, Reason::BULK).await);
    assert!(subject.raise(EpochAxis::User(""), 9, Reason::BULK).await);
    for (client_id, user) in [("a", "bc"), ("abc", ""), ("", "abc"), ("AB", "c"), ("x", "}"), ("s:{c", "*")] {
        let epochs = subject.epochs(Around { client_id, subject: Some(user), ..around() }).await;
        assert_eq!((epochs.client, epochs.client_user), (None, None), "{client_id} {user}");
        assert_eq!(epochs.user, user.is_empty().then_some(epoch(9, Reason::BULK)), "{client_id} {user}");
    }
    let long = "é".repeat(5_000);
    assert!(subject.raise(EpochAxis::User(&long), 1, Reason::BULK).await);
    assert_eq!(subject.of_user(&long).await, Some(epoch(1, Reason::BULK)));
}

async fn an_epoch_never_goes_back(subject: Subject) {
    let axis = EpochAxis::User("alice");
    assert!(subject.raise(axis, 500, Reason::BULK).await);
    for (until, raised) in [(499, false), (500, false), (0, false), (501, true), (255, false), (256, false)] {
        assert_eq!(subject.raise(axis, until, Reason::PASSWORD_CHANGED).await, raised, "{until}");
    }
    assert_eq!(subject.of_user("alice").await, Some(epoch(501, Reason::PASSWORD_CHANGED)), "the later one's reason");
    assert!(subject.raise(axis, u64::MAX, Reason::BULK).await);
    // The present is not later than the end of time.
    let now = subject.now();
    assert!(!subject.store.raise_epoch(axis, None, Reason::BULK, subject.within(600), now).await.unwrap());
    assert_eq!(subject.of_user("alice").await, Some(epoch(u64::MAX, Reason::BULK)));
}

async fn of_two_epochs_of_one_moment_the_final_reason_stays(subject: Subject) {
    for (user, first, second) in [("a", Reason::REQUESTED, Reason::BULK), ("b", Reason::BULK, Reason::REQUESTED)] {
        assert!(subject.raise(EpochAxis::User(user), 500, first).await);
        assert!(!subject.raise(EpochAxis::User(user), 500, second).await);
        assert_eq!(subject.of_user(user).await, Some(epoch(500, Reason::BULK)));
    }
    assert!(!subject.raise(EpochAxis::User("a"), 500, Reason::LOGGED_OUT).await);
    assert_eq!(subject.of_user("a").await, Some(epoch(500, Reason::BULK)), "of two final ones the first");
}

async fn an_epoch_covers_what_was_taken_in_before_it_and_nothing_after(subject: Subject) {
    for round in 0..10_u8 {
        let [before, after] = [round * 2, round * 2 + 1];
        subject.insert(before, &record(subject.within(60))).await;
        let (now, keep_until) = (subject.now(), subject.within(600));
        assert!(subject.store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, keep_until, now).await.unwrap());
        let epochs = subject.epochs(around()).await;
        subject.insert(after, &record(subject.within(60))).await;
        let [before, after] = [subject.read(before).await.unwrap(), subject.read(after).await.unwrap()];
        assert!(epochs.covering(before.stamp).is_some());
        assert_eq!(epochs.covering(after.stamp), None);
        let until = epochs.issuer.unwrap().until;
        assert!(until.0.abs_diff(subject.now().stamp().0) < 60_000_000, "of this clock, in microseconds");
    }
}

async fn an_epoch_is_kept_for_as_long_as_the_longest_was_to_be(subject: Subject) {
    let (early, late) = (subject.within(2), subject.within(600));
    // A later one with an earlier end, and one that does not raise it but has a later end.
    for (user, ends, until) in [("a", [late, early], [5, 6]), ("b", [early, late], [6, 5])] {
        for (end, until) in ends.into_iter().zip(until) {
            let (until, now) = (Some(Stamp(until)), subject.now());
            subject.store.raise_epoch(EpochAxis::User(user), until, Reason::BULK, end, now).await.unwrap();
        }
    }
    subject.pass(early.plus(1)).await;
    for number in 0..20 {
        subject.insert(number, &record(subject.within(60))).await;
    }
    for user in ["a", "b"] {
        assert_eq!(subject.of_user(user).await, Some(epoch(6, Reason::BULK)), "{user}");
    }
    // One whose end has passed does no harm, and none to what is there.
    let now = subject.now();
    for end in [UnixSeconds(0), UnixSeconds(now.seconds().0 - 3600)] {
        let axis = EpochAxis::User("a");
        subject.store.raise_epoch(axis, Some(Stamp(7)), Reason::BULK, end, now).await.unwrap();
    }
    assert_eq!(subject.of_user("a").await, Some(epoch(7, Reason::BULK)));
}

async fn raised_in_any_order_and_at_once_the_latest_is_there(subject: Subject) {
    let mut runner = TestRunner::deterministic();
    // Stamps that differ in any byte, equal ones, and the reason that can be undone among others.
    let stamp = any::<(u8, u8, u64)>().prop_map(|(low, shift, any)| match shift % 10 {
        9 => any,
        shift => u64::from(low % 3) << (8 * (shift % 8)),
    });
    let raises = proptest::collection::vec((0..5_usize, stamp, 1..4_u8), 1..30);
    let mut of_issuer = Vec::new();
    for case in 0..60 {
        let raises = raises.new_tree(&mut runner).unwrap().current();
        let (client_id, key) = (format!("client {case}"), format!("key {case}"));
        let user = format!("user {case}");
        let mut tasks = JoinSet::new();
        of_issuer.extend(raises.iter().filter(|raise| raise.0 == 0));
        for (axis, until, byte) in raises.clone() {
            let store = Arc::clone(&subject.store);
            let (client_id, user, key) = (client_id.clone(), user.clone(), key.clone());
            let (end, now) = (subject.within(600), subject.now());
            let raise = async move {
                let axis = match axis {
                    0 => EpochAxis::Issuer,
                    1 => EpochAxis::Client(&client_id),
                    2 => EpochAxis::User(&user),
                    3 => EpochAxis::ClientUser { client_id: &client_id, subject: &user },
                    _ => EpochAxis::Key(&key),
                };
                store.raise_epoch(axis, Some(Stamp(until)), reason(byte), end, now).await.unwrap()
            };
            // Every other case one by one, in the order in which they were made up.
            if case % 2 == 0 {
                raise.await;
            } else {
                tasks.spawn(raise);
            }
        }
        tasks.join_all().await;
        let signed = Signed { token: digest(9), key: &key };
        let around = Around { subject: Some(&user), signed: Some(signed), ..Around::of_client(&client_id) };
        let Epochs { issuer, client, user, client_user, key } = subject.epochs(around).await;
        for (axis, found) in [issuer, client, user, client_user, key].into_iter().enumerate() {
            // There is one issuer: what the cases before raised is still there.
            let all = if axis == 0 { &of_issuer } else { &raises };
            let of_axis = || all.iter().filter(|raise| raise.0 == axis);
            let latest = of_axis().map(|(_, until, _)| *until).max();
            let is_final = of_axis().any(|(_, until, byte)| Some(*until) == latest && reason(*byte).is_final());
            let expected = latest.map(|until| (Stamp(until), is_final));
            assert_eq!(found.map(|found| (found.until, found.reason.is_final())), expected, "{axis} of {raises:?}");
        }
    }
}

//! What is answered again, and what is not.

use std::time::Duration;

use super::super::sample::Sample;
use super::{Bench, MAX_AGE, token};
use crate::coherence::clock::Moment;
use crate::coherence::name::Name;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::EpochAxis;

const KEY: TokenDigest = TokenDigest([1; 16]);

impl Bench {
    fn sample(&self) -> Sample {
        Sample::take(&self.coherence, [Name::Token(KEY)])
    }

    fn heard(&self, name: Name<'_>) {
        self.coherence.heard(name.text().as_bytes());
    }
}

#[test]
fn what_was_read_is_answered_again_until_something_is_heard_of_it() {
    let bench = Bench::new();
    bench.keep(KEY, bench.sample(), 7);
    assert_eq!(bench.get(KEY), Some(7));
    bench.heard(Name::Token(token(2)));
    assert_eq!(bench.get(KEY), Some(7), "that was another one");
    bench.heard(Name::Token(KEY));
    assert_eq!(bench.get(KEY), None);
    bench.keep(KEY, bench.sample(), 8);
    assert_eq!(bench.get(KEY), Some(8));
}

/// Lettuce #3481: word of a change that comes between the read and keeping what it brought.
#[test]
fn word_that_comes_during_the_read_is_not_lost() {
    let bench = Bench::new();
    let sample = bench.sample();
    bench.heard(Name::Token(KEY));
    bench.keep(KEY, sample, 7);
    assert_eq!(bench.get(KEY), None);
}

/// Keys made by joining texts: two lists that read alike when joined were one entry.
#[test]
fn what_reads_alike_when_joined_is_not_the_same() {
    let bench = Bench::new();
    let mut other = KEY;
    other.0[15] ^= 1;
    bench.keep(KEY, bench.sample(), 7);
    assert_eq!(bench.get(other), None, "the whole digest counts");
    let one = Name::Epoch(EpochAxis::ClientUser { client_id: "ab", subject: "c" });
    let joined = Name::Epoch(EpochAxis::ClientUser { client_id: "a", subject: "bc" });
    let sample = Sample::take(&bench.coherence, [one]);
    bench.keep(other, sample, 8);
    bench.heard(joined);
    assert_eq!(bench.get(other), Some(8));
    bench.heard(one);
    assert_eq!(bench.get(other), None);
}

/// Redisson, rustis: still answering while disconnected, and after the connection is back, from what was kept before.
#[test]
fn nothing_is_answered_while_disconnected_nor_from_before_that() {
    let bench = Bench::new();
    bench.keep(KEY, bench.sample(), 7);
    bench.coherence.revoke_lease();
    assert_eq!(bench.get(KEY), None, "disconnected");
    bench.coherence.extend(Moment(u64::MAX));
    assert_eq!(bench.get(KEY), None, "nobody knows what was written meanwhile");
}

/// What is read while nobody listens rests on word that never comes.
#[test]
fn what_was_sampled_without_a_lease_is_never_answered_again() {
    let bench = Bench::new();
    bench.coherence.revoke_lease();
    let sample = bench.sample();
    bench.coherence.extend(Moment(u64::MAX));
    bench.keep(KEY, sample, 7);
    assert_eq!(bench.get(KEY), None);
    assert!(!sample.is_unchanged(&bench.coherence));
}

/// rustis `Cache::mget`: an answer that rests on many keys was kept without the check.
#[test]
fn each_name_of_many_is_checked() {
    let both = EpochAxis::ClientUser { client_id: "app", subject: "user" };
    let first = [Name::Token(KEY), Name::Token(token(2)), Name::Token(token(3)), Name::Token(token(4))];
    let further = [
        Name::Client("app"),
        Name::Grant(GrantId([7; 16])),
        Name::Epoch(EpochAxis::Issuer),
        Name::Epoch(EpochAxis::Client("app")),
        Name::Epoch(EpochAxis::User("user")),
        Name::Epoch(both),
    ];
    for changed in first.into_iter().chain(further) {
        for kept_before in [true, false] {
            let bench = Bench::new();
            let sample = Sample::take(&bench.coherence, first).further(&bench.coherence, further);
            if kept_before {
                bench.keep(KEY, sample, 7);
                assert_eq!(bench.get(KEY), Some(7));
            }
            bench.heard(changed);
            if !kept_before {
                bench.keep(KEY, sample, 7);
            }
            assert_eq!(bench.get(KEY), None, "{changed:?}");
        }
    }
}

/// A change of the first names between the two reads: what was noted of them is not noted anew.
#[test]
fn sampling_further_names_does_not_forget_the_first() {
    let bench = Bench::new();
    let sample = bench.sample();
    bench.heard(Name::Token(KEY));
    bench.keep(KEY, sample.further(&bench.coherence, [Name::Client("app")]), 7);
    assert_eq!(bench.get(KEY), None);
    let sample = bench.sample();
    bench.coherence.flush();
    bench.keep(KEY, sample.further(&bench.coherence, [Name::Client("app")]), 7);
    assert_eq!(bench.get(KEY), None);
}

/// A flush of everything while a read was under way, whose result was then kept.
#[test]
fn a_flush_ends_the_reads_under_way_too() {
    let bench = Bench::new();
    let sample = bench.sample();
    bench.coherence.flush();
    bench.keep(KEY, sample, 7);
    assert_eq!(bench.get(KEY), None);
}

#[test]
fn a_lease_that_has_run_out_ends_nothing_but_the_answers() {
    let bench = Bench::without_lease(100);
    let lease = Duration::from_millis(200);
    bench.coherence.extend(bench.coherence.now().plus(lease));
    bench.keep(KEY, bench.sample(), 7);
    bench.clock.advance(lease);
    assert_eq!(bench.get(KEY), None);
    bench.coherence.extend(bench.coherence.now().plus(lease));
    assert_eq!(bench.get(KEY), Some(7), "all has been heard meanwhile, and it was nothing");
}

#[test]
fn nothing_is_answered_beyond_its_age() {
    let bench = Bench::new();
    bench.keep(KEY, bench.sample(), 7);
    bench.clock.advance(MAX_AGE);
    assert_eq!(bench.get(KEY), Some(7));
    assert!(bench.cache.recall(&KEY, bench.coherence.now()).is_some());
    bench.clock.advance(Duration::from_nanos(1));
    assert_eq!(bench.get(KEY), None);
    assert!(bench.cache.recall(&KEY, bench.coherence.now()).is_none());
}

/// The age counts from before the read, however long that took.
#[test]
fn the_age_of_a_slow_read_counts_from_its_beginning() {
    let bench = Bench::new();
    let sample = bench.sample();
    bench.clock.advance(MAX_AGE);
    bench.keep(KEY, sample, 7);
    assert_eq!(bench.get(KEY), Some(7));
    bench.clock.advance(Duration::from_nanos(1));
    assert_eq!(bench.get(KEY), None);
}

#[test]
fn what_is_put_beside_an_entry_is_as_old_as_that() {
    let bench = Bench::new();
    bench.keep(KEY, bench.sample(), 7);
    let before = bench.cache.get(&KEY, bench.coherence.now()).unwrap();
    bench.heard(Name::Token(KEY));
    bench.cache.replace(KEY, &before, 8);
    assert_eq!(bench.get(KEY), None, "it rests on the same read");
    bench.keep(KEY, bench.sample(), 9);
    bench.cache.replace(KEY, &before, 8);
    assert_eq!(bench.get(KEY), Some(9), "it takes no other's place");
}

#[test]
fn the_weight_is_bounded() {
    let bench = Bench::without_lease(1000);
    bench.coherence.extend(Moment(u64::MAX));
    for number in 0..20_000_u64 {
        let mut key = TokenDigest([0; 16]);
        key.0[..8].copy_from_slice(&number.to_be_bytes());
        bench.keep(key, Sample::take(&bench.coherence, [Name::Token(key)]), number);
    }
    assert!(bench.cache.weight() <= 1000, "{}", bench.cache.weight());
    assert!(bench.cache.len() > 500);
}

//! Any order of reads, writes, word of them, leases and evictions: what is answered from memory is never older than a
//! write that was acknowledged before the question.
//!
//! A write is acknowledged when a lease has passed since it was made. Word of writes comes in their order over one
//! connection; the lease is renewed by a question over the same connection, and counts from when that was sent. While
//! there is no connection, word of what is written is never sent.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::super::sample::Sample;
use super::{Bench, token};
use crate::coherence::clock::Moment;
use crate::coherence::name::Name;

const KEYS: usize = 3;
const LEASE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Something changes in the store, and word of it goes out.
    Write(usize),
    /// Word of the oldest change arrives.
    Hear,
    /// The question that renews the lease is sent, and reaches the store.
    Ask,
    /// Its answer arrives, and all that was sent before it.
    Renew,
    /// A read begins with its sample.
    Sample(usize),
    /// The store answers a read.
    Read(usize),
    /// What the store answered arrives.
    Keep(usize),
    Advance(u64),
    Disconnect,
    Connect,
    Flush,
    Evict(usize),
    Get(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..KEYS).prop_map(Step::Write),
        4 => Just(Step::Hear),
        3 => Just(Step::Ask),
        3 => Just(Step::Renew),
        4 => (0..KEYS).prop_map(Step::Sample),
        4 => (0..4_usize).prop_map(Step::Read),
        4 => (0..4_usize).prop_map(Step::Keep),
        3 => (1..150_u64).prop_map(Step::Advance),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Connect),
        1 => Just(Step::Flush),
        1 => (0..KEYS).prop_map(Step::Evict),
        6 => (0..KEYS).prop_map(Step::Get),
    ];
    prop::collection::vec(step, 1..120)
}

struct Reading {
    key: usize,
    sample: Sample,
    value: Option<u64>,
}

struct World {
    bench: Bench,
    /// How often each key was written.
    store: [u64; KEYS],
    /// When, which key, and how often it had been written then.
    writes: Vec<(Moment, usize, u64)>,
    connected: bool,
    /// Keys, on their way to the node.
    wire: VecDeque<usize>,
    /// When the lease was last asked for, and how much was on the wire before the answer.
    asked: Option<(Moment, usize)>,
    readings: Vec<Reading>,
    hits: usize,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::without_lease(2),
            store: [0; KEYS],
            writes: Vec::new(),
            connected: false,
            wire: VecDeque::new(),
            asked: None,
            readings: Vec::new(),
            hits: 0,
        }
    }

    fn hear(&mut self) {
        let Some(key) = self.wire.pop_front() else { return };
        self.bench.coherence.heard(Name::Token(name(key)).text().as_bytes());
        self.asked = self.asked.map(|(sent, ahead)| (sent, ahead.saturating_sub(1)));
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.bench.coherence.now();
        match step {
            Step::Write(key) => {
                self.store[key] += 1;
                self.writes.push((now, key, self.store[key]));
                if self.connected {
                    self.wire.push_back(key);
                }
            }
            Step::Hear => self.hear(),
            Step::Ask if self.connected => self.asked = Some((now, self.wire.len())),
            Step::Renew => {
                if let Some((sent, ahead)) = self.asked.take() {
                    for _ in 0..ahead {
                        self.hear();
                    }
                    self.bench.coherence.extend(sent.plus(LEASE));
                }
            }
            Step::Sample(key) => {
                let sample = Sample::take(&self.bench.coherence, [Name::Token(name(key))]);
                self.readings.push(Reading { key, sample, value: None });
            }
            Step::Read(which) => {
                if let Some(reading) = self.readings.get_mut(which) {
                    reading.value = reading.value.or(Some(self.store[reading.key]));
                }
            }
            Step::Keep(which) => {
                if self.readings.get(which).is_some_and(|reading| reading.value.is_some()) {
                    let Reading { key, sample, value } = self.readings.remove(which);
                    self.bench.keep(name(key), sample, value.unwrap_or_default());
                }
            }
            Step::Advance(milliseconds) => self.bench.clock.advance(Duration::from_millis(milliseconds)),
            Step::Disconnect => {
                self.connected = false;
                self.wire.clear();
                self.asked = None;
                self.bench.coherence.revoke_lease();
            }
            Step::Connect => self.connected = true,
            Step::Flush => self.bench.coherence.flush(),
            Step::Evict(key) => self.bench.cache.forget(&name(key)),
            Step::Get(key) => return self.get(key, now),
            Step::Ask => {}
        }
        Ok(())
    }

    fn get(&mut self, key: usize, now: Moment) -> Result<(), TestCaseError> {
        let Some(value) = self.bench.get(name(key)) else { return Ok(()) };
        self.hits += 1;
        for (when, written, count) in &self.writes {
            let acknowledged = when.plus(LEASE) <= now;
            prop_assert!(
                *written != key || !acknowledged || *count <= value,
                "answered {value}, though {count} was written at {when:?} and acknowledged before {now:?}"
            );
        }
        Ok(())
    }
}

fn name(key: usize) -> crate::token::digest::TokenDigest {
    token(u8::try_from(key).unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_answered_that_is_older_than_an_acknowledged_write(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step)?;
        }
    }
}

/// The same by an order that must hit, so that the property says something.
#[test]
fn the_model_hits() {
    let mut world = World::new();
    let steps = [Step::Connect, Step::Ask, Step::Renew, Step::Write(0), Step::Hear];
    let rest = [Step::Sample(0), Step::Read(0), Step::Keep(0), Step::Advance(150), Step::Get(0)];
    for step in steps.into_iter().chain(rest) {
        world.step(step).unwrap();
    }
    assert_eq!(world.hits, 1);
}

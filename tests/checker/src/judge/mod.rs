//! The judge: every answer of a history held against what can have been true.
//!
//! - [`active`] answers that say active: I1 to I5; [`inactive`] those that say inactive: I4, I5
//! - [`again`] a node that says active after inactive: I6
//! - [`refused`] requests that were not answered: I5, I7
//! - [`visible`] how long a revocation takes until it is seen everywhere

pub mod active;
pub mod again;
pub mod inactive;
pub mod refused;
pub mod visible;

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::arrange::Nonsense;
use crate::facts::faults::Asked;
use crate::facts::{Facts, Read, Token};
use crate::history::event::{Answer, Outcome};
use crate::history::{Event, History};
use crate::verdict::{Counts, Invariant, Verdict, Violation};

/// How many violations of each invariant are told in words. All of them are counted.
const TOLD: u64 = 20;

/// Judges a history.
///
/// # Errors
/// [`Nonsense`] when it contradicts itself.
pub fn judge(history: &History) -> Result<Verdict, Nonsense> {
    let facts = Facts::new(history)?;
    let mut bench = Bench::new(&facts);
    for answers in facts.reads.chunk_by(|one, next| one.token == next.token) {
        let token = &facts.tokens[answers[0].token];
        let findings: Vec<_> = answers.iter().map(|read| bench.judge(token, read)).collect();
        again::judge(&mut bench, token, answers, &findings);
        visible::measure(&mut bench, token, answers);
    }
    refused::judge_changes(&mut bench);
    Ok(bench.finish())
}

/// What one answer was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// As it has to be.
    Right,
    /// Only because a failover may lose what was written.
    Lost,
    /// Broken, and written down.
    Broken,
}

/// The findings so far.
struct Bench<'f> {
    facts: &'f Facts<'f>,
    counts: Counts,
    broken: BTreeMap<Invariant, u64>,
    violations: Vec<Violation>,
    /// Answered revocations that were contradicted, by their events.
    contradicted: BTreeSet<usize>,
    /// Those of them that a failover can have undone.
    lost: BTreeSet<usize>,
    /// Tokens that a failover lost, by the events that issued them.
    lost_tokens: BTreeSet<usize>,
    seen_since_asked: Vec<u64>,
    seen_everywhere: Vec<u64>,
    still_active: Vec<u64>,
    has_silence: bool,
}

impl<'f> Bench<'f> {
    fn new(facts: &'f Facts<'f>) -> Self {
        Self {
            facts,
            counts: count(facts.history),
            broken: BTreeMap::new(),
            violations: Vec::new(),
            contradicted: BTreeSet::new(),
            lost: BTreeSet::new(),
            lost_tokens: BTreeSet::new(),
            seen_since_asked: Vec::new(),
            seen_everywhere: Vec::new(),
            still_active: Vec::new(),
            has_silence: facts.faults.has_silence(),
        }
    }

    fn judge(&mut self, token: &Token<'_>, read: &Read) -> Finding {
        match read.answer {
            Answer::Active => active::judge(self, token, read),
            Answer::Inactive => inactive::judge(self, token, read),
            Answer::Unavailable | Answer::None => refused::judge(self, token, read),
        }
    }

    /// Writes a violation down.
    fn broken(&mut self, invariant: Invariant, events: &[usize], words: impl FnOnce() -> String) -> Finding {
        let count = self.broken.entry(invariant).or_default();
        *count += 1;
        if *count <= TOLD {
            self.violations.push(Violation { invariant, words: words(), events: events.to_vec() });
        }
        Finding::Broken
    }

    fn finish(self) -> Verdict {
        let sorted = |mut times: Vec<u64>| {
            times.sort_unstable();
            times
        };
        Verdict {
            counts: self.counts,
            broken: self.broken,
            violations: self.violations,
            contradicted: self.contradicted.len(),
            lost: self.lost.len(),
            lost_tokens: self.lost_tokens.len(),
            seen_since_asked: sorted(self.seen_since_asked),
            seen_everywhere: sorted(self.seen_everywhere),
            still_active: sorted(self.still_active),
        }
    }
}

/// An answer as faults see it.
fn asked(token: &Token<'_>, read: &Read) -> Asked {
    Asked { begin: read.begin, end: read.end, node: read.node, shards: token.shards }
}

fn count(history: &History) -> Counts {
    let mut counts = Counts::default();
    for event in &history.events {
        match event {
            Event::Issue(_) => counts.issued += 1,
            Event::Revoke(change) if change.outcome == Outcome::Done => counts.revoked += 1,
            Event::Revoke(_) => counts.revoked_perhaps += 1,
            Event::Approve(change) if change.outcome == Outcome::Done => counts.approved += 1,
            Event::Approve(_) => counts.approved_perhaps += 1,
            Event::Introspect(read) => match read.answer {
                Answer::Active => counts.active += 1,
                Answer::Inactive => counts.inactive += 1,
                Answer::Unavailable => counts.unavailable += 1,
                Answer::None => counts.unanswered += 1,
            },
            Event::Fault(_) => counts.faults += 1,
            Event::Keys(_) => {}
        }
    }
    counts
}

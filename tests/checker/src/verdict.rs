//! What was found.

use std::collections::BTreeMap;
use std::fmt;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// I1: what was answered to be revoked is not active.
    Revoked,
    /// I2: nor after a failover.
    Failover,
    /// I3: nothing is active before it is issued, or once it has expired.
    Life,
    /// I4: a bulk revocation covers exactly what was issued before it.
    Bulk,
    /// I5: nobody guesses: not that a token is over, not that it lives, and nobody is refused without need.
    Guess,
    /// I6: what a node has said to be over stays so.
    Again,
    /// I7: a fault of a shard touches nothing that has no keys there.
    Shards,
}

impl Invariant {
    /// Its number, as documentation has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Revoked => "I1",
            Self::Failover => "I2",
            Self::Life => "I3",
            Self::Bulk => "I4",
            Self::Guess => "I5",
            Self::Again => "I6",
            Self::Shards => "I7",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// One answer, or none, that breaks the promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is broken.
    pub invariant: Invariant,
    /// How, in plain words.
    pub words: String,
    /// The events that show it: places in the history.
    pub events: Vec<usize>,
}

/// How much of everything there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens issued.
    pub issued: u64,
    /// Revocations that were answered.
    pub revoked: u64,
    /// Revocations that were not.
    pub revoked_perhaps: u64,
    /// Approvals that were answered.
    pub approved: u64,
    /// Approvals that were not.
    pub approved_perhaps: u64,
    /// Introspections answered with active.
    pub active: u64,
    /// With inactive.
    pub inactive: u64,
    /// With 503.
    pub unavailable: u64,
    /// Not at all.
    pub unanswered: u64,
    /// Faults.
    pub faults: u64,
}

/// What was found in a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How much of everything there was.
    pub counts: Counts,
    /// How often each invariant was broken.
    pub broken: BTreeMap<Invariant, u64>,
    /// How: the first of each.
    pub violations: Vec<Violation>,
    /// Answered revocations of which a node later said active.
    pub contradicted: usize,
    /// Those of them that a failover can have undone.
    pub lost: usize,
    /// Tokens that a failover lost, which no mode forbids.
    pub lost_tokens: usize,
    /// From the request for a revocation until the last node was first found to say inactive, in nanoseconds, sorted.
    pub seen_since_asked: Vec<u64>,
    /// From the answer to a revocation until the last node was first found to say inactive, in nanoseconds, sorted.
    pub seen_everywhere: Vec<u64>,
    /// From the answer to a revocation to the last request that was answered with active, in nanoseconds, sorted; 0
    /// when there was none after the answer.
    pub still_active: Vec<u64>,
}

impl Verdict {
    /// Whether the promise held.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// How many revocations there were after whose answer a node still said active.
    pub fn seen_active(&self) -> usize {
        self.still_active.iter().filter(|late| **late > 0).count()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        writeln!(
            to,
            "{} issued, {} revoked ({} more perhaps), {} approved ({} more perhaps), {} faults",
            counts.issued,
            counts.revoked,
            counts.revoked_perhaps,
            counts.approved,
            counts.approved_perhaps,
            counts.faults
        )?;
        writeln!(
            to,
            "introspections: {} active, {} inactive, {} with 503, {} not answered",
            counts.active, counts.inactive, counts.unavailable, counts.unanswered
        )?;
        writeln!(
            to,
            "revocations contradicted after their answer: {}, of which a failover can have undone {}; tokens lost: {}",
            self.contradicted, self.lost, self.lost_tokens
        )?;
        if !self.seen_everywhere.is_empty() {
            writeln!(to, "visibility of {} revocations:", self.seen_everywhere.len())?;
            writeln!(
                to,
                "  the last node's first inactive answer, after the answer: {}",
                Spread(&self.seen_everywhere)
            )?;
            writeln!(to, "  the same after the request: {}", Spread(&self.seen_since_asked))?;
            writeln!(to, "  the last active answer asked for, after the answer: {}", Spread(&self.still_active))?;
        }
        for violation in &self.violations {
            writeln!(to, "{}: {}", violation.invariant, violation.words)?;
        }
        match self.broken.iter().map(|(invariant, count)| format!("{invariant} {count}")).collect::<Vec<_>>() {
            broken if broken.is_empty() => writeln!(to, "the promise held"),
            broken => writeln!(to, "the promise was broken: {}", broken.join(", ")),
        }
    }
}

/// Times, sorted, told by how they are spread.
#[derive(Clone, Copy, Debug)]
pub struct Spread<'t>(pub &'t [u64]);

impl fmt::Display for Spread<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(longest) = self.0.last() else { return to.write_str("none") };
        let at = |part: usize, of: usize| time(self.0[(self.0.len() * part / of).min(self.0.len() - 1)]);
        let zeros = self.0.partition_point(|time| *time == 0);
        write!(
            to,
            "at once {zeros} of {}, p50 {}, p90 {}, p99 {}, p99.9 {}, longest {}",
            self.0.len(),
            at(50, 100),
            at(90, 100),
            at(99, 100),
            at(999, 1000),
            time(*longest)
        )
    }
}

/// A number of nanoseconds, for people.
pub fn time(nanoseconds: u64) -> String {
    let (unit, per) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => ("us", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000),
    };
    format!("{}.{} {unit}", nanoseconds / per, nanoseconds % per * 10 / per)
}

//! The clock of the store: each moment that it gives out is later than all before, also when the wall clock is set
//! back, and also after the process was killed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::token::time::{Now, Stamp};

/// How far ahead of the last stamp the next start is promised to begin, in microseconds, so that giving out a stamp
/// that is written nowhere costs one sync of the disk per second at most. After a start, stamps run ahead of the wall
/// clock by this much at most.
const AHEAD: u64 = 1_000_000;

/// The last stamp given out, and the stamp after which a new start begins.
#[derive(Debug)]
pub(super) struct Stamps {
    last: AtomicU64,
    durable: AtomicU64,
}

impl Stamps {
    /// Goes on after a stamp that is on disk.
    pub(super) fn after(durable: Stamp) -> Self {
        Self { last: AtomicU64::new(durable.0), durable: AtomicU64::new(durable.0) }
    }

    /// The wall clock as the caller read it, but never the same twice and never backwards.
    pub(super) fn next(&self, now: Now) -> Stamp {
        let after = |last: u64| now.stamp().0.max(last.saturating_add(1));
        let mut last = self.last.load(Ordering::Acquire);
        loop {
            let next = after(last);
            match self.last.compare_exchange_weak(last, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Stamp(next),
                Err(other) => last = other,
            }
        }
    }

    /// The last one given out.
    pub(super) fn last(&self) -> Stamp {
        Stamp(self.last.load(Ordering::Acquire))
    }

    /// Whether a new start would begin after this stamp.
    pub(super) fn outlives(&self, stamp: Stamp) -> bool {
        stamp <= self.durable()
    }

    /// The stamp after which a new start begins.
    pub(super) fn durable(&self) -> Stamp {
        Stamp(self.durable.load(Ordering::Acquire))
    }

    /// What to write to the disk so that those that are given out next need not be written.
    pub(super) fn reservation(&self) -> Stamp {
        Stamp(self.last().0.saturating_add(AHEAD))
    }

    /// This stamp is on disk.
    pub(super) fn committed(&self, stamp: Stamp) {
        self.durable.fetch_max(stamp.0, Ordering::AcqRel);
    }

    /// What the file says when it is opened again: at least that was given out.
    pub(super) fn resume(&self, durable: Stamp) {
        self.last.fetch_max(durable.0, Ordering::AcqRel);
        self.committed(durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::time::{Clock, UnixSeconds};

    #[test]
    fn stamps_never_repeat_and_never_go_back() {
        let (early, late) = (Clock::manual(UnixSeconds(10)).now(), Clock::manual(UnixSeconds(20)).now());
        let stamps = Stamps::after(Stamp(15_000_000));
        let given = [early, late, late, early].map(|now| stamps.next(now));
        assert_eq!(given, [15_000_001, 20_000_000, 20_000_001, 20_000_002].map(Stamp));
        assert_eq!(stamps.last(), given[3]);
    }

    #[test]
    fn a_reservation_covers_what_is_given_out_after_it_for_a_while() {
        let now = Clock::manual(UnixSeconds(10)).now();
        let stamps = Stamps::after(Stamp(0));
        let first = stamps.next(now);
        assert!(!stamps.outlives(first));
        stamps.committed(stamps.reservation());
        assert!(stamps.outlives(first) && stamps.outlives(stamps.next(now)));
        assert!(!stamps.outlives(stamps.next(Clock::manual(UnixSeconds(12)).now())));
    }
}

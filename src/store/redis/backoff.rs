//! How long to wait before the next attempt.

use std::time::Duration;

/// Twice as long each time, and a random part less, so that nodes that lost Redis together do not come back together.
pub(super) struct Backoff {
    longest_next: Duration,
    random: u64,
}

impl Backoff {
    pub(super) const SHORTEST: Duration = Duration::from_millis(50);
    pub(super) const LONGEST: Duration = Duration::from_secs(1);

    /// A new one; which part is taken off follows from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { longest_next: 2 * Self::SHORTEST, random: seed | 1 }
    }

    pub(super) fn next(&mut self) -> Duration {
        let longest = self.longest_next;
        self.longest_next = (longest * 2).min(Self::LONGEST);
        // Marsaglia's xorshift: nobody gains by guessing it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = f64::from(u32::try_from(self.random >> 32).unwrap_or_default()) / f64::from(u32::MAX);
        longest.mul_f64(0.5 + share / 2.0).max(Self::SHORTEST)
    }

    /// Begins with the shortest again.
    pub(super) fn reset(&mut self) {
        self.longest_next = 2 * Self::SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_the_shortest_to_the_longest_and_stay_there() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (Backoff::SHORTEST..=Backoff::LONGEST).contains(wait)), "{waits:?}");
        assert!(waits[0] <= 2 * Backoff::SHORTEST);
        assert!(waits[10..].iter().all(|wait| *wait >= Backoff::LONGEST / 2), "{waits:?}");
    }
}

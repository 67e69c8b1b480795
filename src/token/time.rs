//! Seconds, stamps, and the one place that reads the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Whole seconds since 1970-01-01T00:00:00Z: a `NumericDate` of RFC 7519 section 2, as `exp`, `iat` and `nbf` carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The last second that every reader of ours can hold: Dovecot parses `exp` into 32 unsigned bits.
    pub const MAX: Self = Self(u32::MAX as u64);

    /// This moment moved into the future by whole seconds; stays at [`UnixSeconds::MAX`] rather than wrap.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds).min(Self::MAX.0))
    }

    /// Seconds from `earlier` to this moment; 0 when `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same moment in milliseconds, as Redis' `PXAT` wants it.
    pub fn milliseconds(self) -> u64 {
        self.0.saturating_mul(1000)
    }
}

/// Microseconds since 1970: when a token was issued or an epoch raised, as the store's own clock said.
///
/// Never shown. It decides whether a token is older than a revocation that covers many, so it must be finer than `iat`
/// and finer than two requests can follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

/// A moment as the wall clock gives it, read once per request and handed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(Duration);

impl Now {
    /// A moment given as the time since 1970.
    pub fn from_unix(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The second this moment lies in.
    pub fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0.as_secs())
    }

    /// The same moment as a stamp.
    pub fn stamp(self) -> Stamp {
        Stamp(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX))
    }
}

/// Where the service takes its time from: the system, or a hand that tests move.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: UnixSeconds) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(start.milliseconds())))
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the edge where the clock is read")]
    pub fn now(&self) -> Now {
        match self {
            // A system clock before 1970 is a broken machine: 0 makes every token not yet valid, which is the safe
            // side.
            Self::System => Now(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Manual(hand) => Now(Duration::from_millis(hand.load(Ordering::Acquire))),
        }
    }

    /// Moves a manual clock forward; a system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(hand) = self {
            hand.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_moved() {
        let clock = Clock::manual(UnixSeconds(1_000));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now().seconds(), UnixSeconds(1_001));
        assert_eq!(clock.now().stamp(), Stamp(1_001_500_000));
    }

    #[test]
    fn adding_never_wraps() {
        assert_eq!(UnixSeconds(5).plus(u64::MAX), UnixSeconds::MAX);
    }
}

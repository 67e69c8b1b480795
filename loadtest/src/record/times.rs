//! A histogram of durations.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations from a nanosecond to an hour, with three digits kept.
#[derive(Debug)]
pub(crate) struct Times(Histogram<u64>);

/// An hour, in nanoseconds: longer ones count as this long.
const LONGEST: u64 = 3_600_000_000_000;

impl Times {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::with_digits(3)
    }

    /// One that takes less room, for windows: two digits.
    pub(crate) fn coarse() -> Self {
        Self::with_digits(2)
    }

    fn with_digits(digits: u8) -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, digits).expect("the bounds are constants that fit each other"))
    }

    /// Adds one.
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(LONGEST));
    }

    /// Takes in others.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many were added.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The duration that a share of all do not exceed; 0 when there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The longest; 0 when there are none.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// What it counts with.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_be_too_long_to_be_counted() {
        let mut times = Times::new();
        times.add(Duration::from_hours(10));
        assert_eq!(times.len(), 1);
        assert!(times.max() >= Duration::from_mins(59));
    }
}

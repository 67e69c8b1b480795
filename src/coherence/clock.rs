//! The clock that leases are measured by: it never jumps, and it goes on while the machine sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment, in nanoseconds since the machine was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment moved into the future.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this moment is; nothing when it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Where moments come from.
#[derive(Clone, Debug, Default)]
pub enum BootClock {
    /// `CLOCK_BOOTTIME`. The usual monotonic clock stops while a machine is suspended, and would find a lease still
    /// running that everybody else has long seen end.
    #[default]
    System,
    /// The clock of the tokio runtime, which a simulation moves.
    Runtime(tokio::time::Instant),
    /// Stands still until it is moved.
    Manual(Arc<AtomicU64>),
}

impl BootClock {
    /// A clock that stands still until [`BootClock::advance`] moves it.
    pub fn manual() -> Self {
        Self::Manual(Arc::new(AtomicU64::new(1)))
    }

    /// The clock of the tokio runtime that this is called in.
    pub fn of_runtime() -> Self {
        Self::Runtime(tokio::time::Instant::now())
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        let elapsed = match self {
            Self::System => {
                let time = clock_gettime(ClockId::Boottime);
                // Neither part is ever negative: the clock counts from the start of the machine.
                let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
                whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
            }
            // One nanosecond in, since the first moment of all stands for "never".
            Self::Runtime(start) => start.elapsed() + Duration::from_nanos(1),
            Self::Manual(hand) => return Moment(hand.load(Ordering::Acquire)),
        };
        Moment(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Moves a manual clock forward; the others stay as they are.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(hand) = self {
            hand.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_system_goes_on() {
        let clock = BootClock::default();
        let before = clock.now();
        assert!(before > Moment(0));
        assert!(clock.now() >= before);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_of_the_runtime_is_moved_by_it() {
        let clock = BootClock::of_runtime();
        let before = clock.now();
        tokio::time::advance(Duration::from_millis(3)).await;
        assert_eq!(clock.now().since(before), Duration::from_millis(3));
    }
}

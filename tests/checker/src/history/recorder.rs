//! Taking a history down while it happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::mode::Mode;
use super::{Event, History, Moment};

/// Takes down what happens, for any number of tasks.
#[derive(Debug)]
pub struct Recorder {
    mode: Mode,
    last: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// Nothing has happened yet.
    pub fn new(mode: Mode) -> Self {
        Self { mode, last: AtomicU64::new(0), events: Mutex::default() }
    }

    /// The moment to write down for `now`: the same, or as little later as makes it later than every one before.
    ///
    /// In virtual time a whole exchange takes no time at all, and a clock need not tick between two readings. What
    /// happened one after the other must be seen to have.
    pub fn moment(&self, now: Moment) -> Moment {
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        let last = last.unwrap_or_else(|last| last);
        now.max(last.saturating_add(1))
    }

    /// Takes down what has happened.
    pub fn record(&self, event: Event) {
        self.lock().push(event);
    }

    /// How many events have been taken down.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing has been taken down.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been taken down so far, and begins anew.
    pub fn take(&self) -> History {
        History { mode: self.mode.clone(), events: std::mem::take(&mut *self.lock()) }
    }

    /// What has been taken down so far.
    pub fn history(&self) -> History {
        History { mode: self.mode.clone(), events: self.lock().clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        // Pushing cannot leave the list half done.
        self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mode::{Acknowledge, Durability};
    use super::*;

    #[test]
    fn no_two_moments_are_alike_and_none_runs_ahead_for_long() {
        let mode = Mode {
            acknowledge: Acknowledge::Visible,
            durability: Durability::Replay,
            lease: 0,
            nodes: 1,
            grace: 0,
            approved_within: 0,
        };
        let recorder = Recorder::new(mode);
        let moments: Vec<_> = [5, 5, 5, 6, 20, 19].into_iter().map(|now| recorder.moment(now)).collect();
        assert_eq!(moments, [5, 6, 7, 8, 20, 21]);
    }
}

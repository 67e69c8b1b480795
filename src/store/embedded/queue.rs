//! Where writes wait for the writer: bounded, in order, and closed once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::write::Write;

/// How many writes may wait. At the few thousand durable writes per second that a common disk takes, this is about a
/// second's worth: whoever would wait longer is better told at once.
pub(super) const MAX_WAITING: usize = 4096;

/// The waiting writes.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    max_waiting: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Write>,
    closed: bool,
    reopen: bool,
}

/// Why a write was not taken. It comes back, untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
}

/// What the writer finds when it looks.
#[derive(Debug)]
pub(super) struct Taken {
    /// Writes in the order in which they came.
    pub(super) writes: Vec<Write>,
    /// No more will come, and none are left.
    pub(super) ended: bool,
    /// A reader met a fault that only reopening the file mends.
    pub(super) reopen: bool,
}

impl Queue {
    pub(super) fn new(max_waiting: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), max_waiting }
    }

    /// Puts a write at the end.
    pub(super) fn push(&self, write: Write) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.waiting.len() >= self.max_waiting {
            return Err(Refusal::Full);
        }
        state.waiting.push_back(write);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes up to `limit` writes; waits for the first one up to `patience`.
    pub(super) fn take(&self, limit: usize, patience: Duration) -> Taken {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed && !state.reopen;
        let (mut state, _) =
            self.changed.wait_timeout_while(self.lock(), patience, idle).unwrap_or_else(PoisonError::into_inner);
        let count = state.waiting.len().min(limit);
        let writes = state.waiting.drain(..count).collect();
        Taken { writes, ended: state.closed && state.waiting.is_empty(), reopen: std::mem::take(&mut state.reopen) }
    }

    /// Takes no more writes. Those that wait are still done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Whether it takes no more writes.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Asks the writer to close the file and open it again.
    pub(super) fn ask_to_reopen(&self) {
        self.lock().reopen = true;
        self.changed.notify_one();
    }

    /// A thread that panics while it holds the lock leaves at worst a write that nobody waits for.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

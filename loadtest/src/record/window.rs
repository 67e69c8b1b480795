//! Pieces of the measured time: what happened when.

use std::time::Duration;

use super::Verdict;
use super::times::Times;
use crate::number::index;

/// All windows of a run, in their order.
#[derive(Debug)]
pub(crate) struct Windows {
    length: Duration,
    all: Vec<Window>,
}

/// What happened to the requests that were meant to start within it.
#[derive(Debug)]
pub(crate) struct Window {
    /// From the intended start to the answer.
    pub(crate) latency: Times,
    /// Answers that were not true. One of them, and the window is worth nothing.
    pub(crate) wrong: u64,
    /// Requests without an answer of status 200.
    pub(crate) failed: u64,
}

/// More are not kept: what comes later goes into the last.
pub(crate) const MOST: usize = 3600;

impl Windows {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, all: Vec::new() }
    }

    /// How long each is.
    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    /// The window in which a moment lies, counted from the beginning of measuring.
    pub(crate) fn at(&mut self, at: Duration) -> &mut Window {
        let number = index(at.as_secs_f64() / self.length.as_secs_f64(), MOST);
        self.fill(number + 1);
        &mut self.all[number]
    }

    /// Each of them.
    pub(crate) fn all(&self) -> &[Window] {
        &self.all
    }

    /// Takes in what another thread saw at the same times.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.fill(other.all.len());
        for (window, other) in self.all.iter_mut().zip(&other.all) {
            window.latency.merge(&other.latency);
            window.wrong += other.wrong;
            window.failed += other.failed;
        }
    }

    fn fill(&mut self, count: usize) {
        while self.all.len() < count {
            self.all.push(Window { latency: Times::coarse(), wrong: 0, failed: 0 });
        }
    }
}

impl Window {
    /// How many requests were meant to start in it.
    pub(crate) fn requests(&self) -> u64 {
        self.latency.len()
    }

    /// Adds one.
    pub(crate) fn add(&mut self, latency: Duration, verdict: Verdict) {
        self.latency.add(latency);
        match verdict {
            Verdict::Right => {}
            Verdict::Wrong => self.wrong += 1,
            Verdict::Refused(_) | Verdict::Broken(_) | Verdict::Late => self.failed += 1,
        }
    }
}

//! What was seen: counts of everything, histograms of what was measured, and the same by windows of time. One for each
//! thread, merged at the end.
//!
//! - [`times`] a histogram of durations
//! - [`blob`] histograms in the format that other tools read
//! - [`window`] a piece of the measured time

pub(crate) mod blob;
pub(crate) mod times;
pub(crate) mod window;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Fault;
use times::Times;
use window::Windows;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer is true.
    Right,
    /// The answer is not true, or is no introspection answer.
    Wrong,
    /// Another status than 200.
    Refused(u16),
    /// No answer.
    Broken(Fault),
    /// No answer in time.
    Late,
}

/// What was changed while others read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changed {
    /// Revocations that were answered with success.
    pub(crate) revoked: u64,
    /// Tokens that were issued, and are asked since.
    pub(crate) issued: u64,
    /// Changes whose outcome is not known. Their tokens may be either from then on.
    pub(crate) failed: u64,
}

/// Counts and times of one thread, or of all.
#[derive(Debug)]
pub(crate) struct Record {
    /// Answers that were true, the warm-up's included.
    pub(crate) right: u64,
    /// Answers that were not.
    pub(crate) wrong: u64,
    /// The token that was answered wrongly first, from 0.
    pub(crate) first_wrong: Option<usize>,
    /// Answers of another status than 200, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Requests without an answer, by reason.
    pub(crate) broken: BTreeMap<Fault, u64>,
    /// Requests that were not answered in time.
    pub(crate) late: u64,
    /// Requests that ended while it was measured, however they ended.
    pub(crate) completed: u64,
    /// Starts of an open loop that never came, as no connection was free before the run was cut off.
    pub(crate) unsent: u64,
    /// Connections opened again after the server had closed them.
    pub(crate) reconnects: u64,
    /// From the intended start to the answer.
    pub(crate) latency: Times,
    /// From the actual start to the answer.
    pub(crate) service: Times,
    /// Opening a connection, where that is part of the work.
    pub(crate) connect: Times,
    /// From the intended start to the actual one, where a connection stood ready.
    pub(crate) start_lag: Times,
    /// How long somebody who is ready waits on a thread of ours.
    pub(crate) loop_lag: Times,
    /// The measured time by windows.
    pub(crate) windows: Windows,
    /// What was changed meanwhile.
    pub(crate) changes: Changed,
    /// The processor's time that the generator's threads took, the warm-up included.
    pub(crate) processor: Duration,
    /// The clock's time that they ran.
    pub(crate) ran: Duration,
}

/// When a request was meant to start, when it started, and when its answer was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    /// Meant to start.
    pub(crate) intended: Instant,
    /// Started.
    pub(crate) sent: Instant,
    /// Answered, or given up.
    pub(crate) ended: Instant,
}

impl Record {
    /// Nothing seen yet; with windows of this length.
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            right: 0,
            wrong: 0,
            first_wrong: None,
            refused: BTreeMap::new(),
            broken: BTreeMap::new(),
            late: 0,
            completed: 0,
            unsent: 0,
            reconnects: 0,
            latency: Times::new(),
            service: Times::new(),
            connect: Times::new(),
            start_lag: Times::new(),
            loop_lag: Times::new(),
            windows: Windows::new(window),
            changes: Changed::default(),
            processor: Duration::ZERO,
            ran: Duration::ZERO,
        }
    }

    /// Counts what became of a request for a token.
    pub(crate) fn count(&mut self, token: usize, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.right += 1,
            Verdict::Wrong => {
                self.wrong += 1;
                self.first_wrong.get_or_insert(token);
            }
            Verdict::Refused(status) => *self.refused.entry(status).or_default() += 1,
            Verdict::Broken(fault) => *self.broken.entry(fault).or_default() += 1,
            Verdict::Late => self.late += 1,
        }
    }

    /// Adds the times of a request, however it ended: leaving out the failed ones would flatter. It lies so far into
    /// the measured time.
    pub(crate) fn measure(&mut self, at: Duration, moments: Moments, verdict: Verdict) {
        let latency = moments.ended - moments.intended;
        self.latency.add(latency);
        self.service.add(moments.ended - moments.sent);
        self.windows.at(at).add(latency, verdict);
    }

    /// Adds a start that never came, with the time that it had waited by then.
    pub(crate) fn unsent(&mut self, at: Option<Duration>, waited: Duration) {
        self.unsent += 1;
        if let Some(at) = at {
            self.latency.add(waited);
            self.windows.at(at).add(waited, Verdict::Late);
        }
    }

    /// Takes in what another thread saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.first_wrong = self.first_wrong.or(other.first_wrong);
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        for (fault, count) in &other.broken {
            *self.broken.entry(*fault).or_default() += count;
        }
        self.late += other.late;
        self.completed += other.completed;
        self.unsent += other.unsent;
        self.reconnects += other.reconnects;
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.connect.merge(&other.connect);
        self.start_lag.merge(&other.start_lag);
        self.loop_lag.merge(&other.loop_lag);
        self.windows.merge(&other.windows);
        self.processor += other.processor;
        self.ran += other.ran;
    }

    /// All requests that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.right + self.wrong + self.failed()
    }

    /// Requests that got no answer of status 200.
    pub(crate) fn failed(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.broken.values().sum::<u64>() + self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_everything() {
        let second = Duration::from_secs(1);
        let (mut one, mut other) = (Record::new(second), Record::new(second));
        one.count(0, Verdict::Right);
        other.count(7, Verdict::Wrong);
        for verdict in [Verdict::Refused(503), Verdict::Broken(Fault::Closed), Verdict::Late] {
            one.count(0, verdict);
            other.count(0, verdict);
        }
        let begin = Instant::now();
        let moments = |milliseconds| Moments {
            intended: begin,
            sent: begin + Duration::from_millis(1),
            ended: begin + Duration::from_millis(milliseconds),
        };
        one.measure(Duration::ZERO, moments(2), Verdict::Right);
        other.measure(second, moments(10), Verdict::Wrong);
        other.unsent(Some(second), Duration::from_millis(20));
        other.unsent(None, Duration::from_millis(900));
        one.merge(&other);
        assert_eq!((one.right, one.wrong, one.failed(), one.first_wrong), (1, 1, 6, Some(7)));
        assert_eq!((one.latency.len(), one.service.len(), one.unsent, one.sent()), (3, 2, 2, 8));
        let close = |time: Duration, milliseconds: u64| time.as_millis().abs_diff(milliseconds.into()) <= 1;
        assert!(close(one.latency.max(), 20), "{:?}", one.latency.max());
        assert!(close(one.latency.quantile(0.5), 10), "{:?}", one.latency.quantile(0.5));
        let windows: Vec<_> =
            one.windows.all().iter().map(|window| (window.requests(), window.wrong, window.failed)).collect();
        assert_eq!(windows, [(1, 0, 0), (2, 1, 1)]);
    }
}

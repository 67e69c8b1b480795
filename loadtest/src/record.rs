//! What was seen: counts of everything, and histograms of what was measured. One for each thread, merged at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::Verdict;

/// Counts and times of one thread, or of all.
#[derive(Debug)]
pub(crate) struct Record {
    /// Answers that were true, the warm-up's included.
    pub(crate) right: u64,
    /// Answers that were not.
    pub(crate) wrong: u64,
    /// The question that was answered wrongly first, from 0.
    pub(crate) first_wrong: Option<usize>,
    /// Answers of another status than 200, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Requests whose connection broke.
    pub(crate) broken: u64,
    /// Requests that were not answered in time.
    pub(crate) late: u64,
    /// Requests that ended while it was measured, however they ended.
    pub(crate) completed: u64,
    /// Starts of the open mode that never came, as no connection was free before the run was cut off.
    pub(crate) unsent: u64,
    /// Connections opened again.
    pub(crate) reconnects: u64,
    /// From the intended start to the answer.
    pub(crate) latency: Times,
    /// From the actual start to the answer.
    pub(crate) service: Times,
    /// From the intended start to the actual one, where a connection stood ready.
    pub(crate) start_lag: Times,
    /// How long somebody who is ready waits on a thread of ours.
    pub(crate) loop_lag: Times,
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
    /// Nothing seen yet.
    pub(crate) fn new() -> Self {
        Self {
            right: 0,
            wrong: 0,
            first_wrong: None,
            refused: BTreeMap::new(),
            broken: 0,
            late: 0,
            completed: 0,
            unsent: 0,
            reconnects: 0,
            latency: Times::new(),
            service: Times::new(),
            start_lag: Times::new(),
            loop_lag: Times::new(),
        }
    }

    /// Counts what became of a request for a question.
    pub(crate) fn count(&mut self, question: usize, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.right += 1,
            Verdict::Wrong => {
                self.wrong += 1;
                self.first_wrong.get_or_insert(question);
            }
            Verdict::Refused(status) => *self.refused.entry(status.as_u16()).or_default() += 1,
            Verdict::Broken => self.broken += 1,
            Verdict::Late => self.late += 1,
        }
    }

    /// Adds the times of a request, however it ended: leaving out the failed ones would flatter.
    pub(crate) fn measure(&mut self, moments: Moments) {
        self.latency.add(moments.ended - moments.intended);
        self.service.add(moments.ended - moments.sent);
    }

    /// Adds a start that never came, with the time that it had waited by then.
    pub(crate) fn unsent(&mut self, waited: Duration) {
        self.unsent += 1;
        self.latency.add(waited);
    }

    /// Takes in what another thread saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.first_wrong = self.first_wrong.or(other.first_wrong);
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.broken += other.broken;
        self.late += other.late;
        self.completed += other.completed;
        self.unsent += other.unsent;
        self.reconnects += other.reconnects;
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.start_lag.merge(&other.start_lag);
        self.loop_lag.merge(&other.loop_lag);
    }

    /// Requests that got no answer of status 200.
    pub(crate) fn failed(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.broken + self.late
    }
}

/// A histogram of durations, with three digits kept.
#[derive(Debug)]
pub(crate) struct Times(Histogram<u64>);

/// An hour, in nanoseconds: longer ones count as this long.
const LONGEST: u64 = 3_600_000_000_000;

impl Times {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are constants that fit each other"))
    }

    /// Adds one.
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(LONGEST));
    }

    fn merge(&mut self, other: &Self) {
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
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn merging_adds_everything() {
        let (mut one, mut other) = (Record::new(), Record::new());
        one.count(0, Verdict::Right);
        other.count(7, Verdict::Wrong);
        for verdict in [Verdict::Refused(StatusCode::SERVICE_UNAVAILABLE), Verdict::Broken, Verdict::Late] {
            one.count(0, verdict);
            other.count(0, verdict);
        }
        let begin = Instant::now();
        let moments = |milliseconds| Moments {
            intended: begin,
            sent: begin + Duration::from_millis(1),
            ended: begin + Duration::from_millis(milliseconds),
        };
        one.measure(moments(2));
        other.measure(moments(10));
        other.unsent(Duration::from_millis(20));
        one.merge(&other);
        assert_eq!((one.right, one.wrong, one.failed(), one.first_wrong), (1, 1, 6, Some(7)));
        assert_eq!((one.latency.len(), one.service.len(), one.unsent), (3, 2, 1));
        let close = |time: Duration, milliseconds: u64| time.as_millis().abs_diff(milliseconds.into()) <= 1;
        assert!(close(one.latency.max(), 20), "{:?}", one.latency.max());
        assert!(close(one.latency.quantile(0.5), 10), "{:?}", one.latency.quantile(0.5));
    }

    #[test]
    fn nothing_can_be_too_long_to_be_counted() {
        let mut times = Times::new();
        times.add(Duration::from_hours(10));
        assert_eq!(times.len(), 1);
        assert!(times.max() >= Duration::from_mins(59));
    }
}

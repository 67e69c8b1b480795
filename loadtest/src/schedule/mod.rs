//! When each request is meant to start.
//!
//! In an open loop a request is meant to start when its schedule says so, whatever the server does, and any connection
//! that is free takes the next one. If none is free the request waits, and its latency counts from when it was meant to
//! start: that is what a user behind it would have felt. A generator that measured from when it could send would leave
//! out exactly the requests that a stall made wait ("coordinated omission").
//!
//! - [`arrivals`] the starts of one thread
//! - [`clock`] how a start is waited for

pub(crate) mod arrivals;
pub(crate) mod clock;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use arrivals::Arrivals;

/// From when to when, the same for all threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// When the first request starts.
    pub(crate) begin: Instant,
    /// When measuring begins.
    pub(crate) measured_from: Instant,
    /// When the last request has started.
    pub(crate) end: Instant,
}

impl Span {
    /// From `begin`, so long unmeasured, then so long measured.
    pub(crate) fn new(begin: Instant, warmup: Duration, duration: Duration) -> Self {
        let measured_from = begin + warmup;
        Self { begin, measured_from, end: measured_from + duration }
    }

    /// How far into the measured time a start lies; `None` before it.
    pub(crate) fn measured(&self, intended: Instant) -> Option<Duration> {
        intended.checked_duration_since(self.measured_from)
    }

    /// Whether an answer at that moment counts towards the throughput: what a server answers after the end, when nobody
    /// asks any more, does not.
    pub(crate) fn is_measured(&self, ended: Instant) -> bool {
        (self.measured_from..self.end).contains(&ended)
    }
}

/// The starts of one thread, shared by its connections.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// From when to when.
    pub(crate) span: Span,
    arrivals: Option<RefCell<Arrivals>>,
}

impl Schedule {
    /// By these arrivals; without any, as fast as answers come.
    pub(crate) fn new(span: Span, arrivals: Option<Arrivals>) -> Self {
        Self { span, arrivals: arrivals.map(RefCell::new) }
    }

    /// Whether the clock decides when a request starts.
    pub(crate) fn is_open(&self) -> bool {
        self.arrivals.is_some()
    }

    /// When the next request is meant to start; `None` when the time is over. In an open loop it may lie in the future.
    pub(crate) fn take(&self) -> Option<Instant> {
        let intended = match &self.arrivals {
            Some(arrivals) => self.span.begin + arrivals.borrow_mut().advance(),
            None => Instant::now(),
        };
        (intended < self.span.end).then_some(intended)
    }

    /// The requests of an open loop that nobody has taken. Taking them, this ends the run.
    pub(crate) fn take_rest(&self) -> impl Iterator<Item = Instant> {
        std::iter::from_fn(move || if self.is_open() { self.take() } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::arrivals::Shape;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(duration: Duration, rate: f64) -> Schedule {
        let arrivals = Arrivals::new(Shape::Constant { rate }, 0, 0, 1);
        Schedule::new(Span::new(Instant::now(), SECOND, duration), Some(arrivals))
    }

    #[test]
    fn the_last_start_lies_before_the_end() {
        let schedule = schedule(2 * SECOND, 3.0);
        let starts: Vec<Instant> = std::iter::from_fn(|| schedule.take()).collect();
        assert_eq!(starts.len(), 9);
        assert_eq!(starts[0], schedule.span.begin);
        assert_eq!(starts.iter().filter(|start| schedule.span.measured(**start).is_some()).count(), 6);
    }

    #[test]
    fn a_closed_schedule_starts_now_and_leaves_no_rest() {
        let span = Span::new(Instant::now(), Duration::ZERO, 60 * SECOND);
        let schedule = Schedule::new(span, None);
        assert!(schedule.take().unwrap() <= Instant::now());
        assert_eq!(schedule.take_rest().count(), 0);
        let over = Schedule::new(Span::new(Instant::now(), Duration::ZERO, Duration::ZERO), None);
        assert_eq!(over.take(), None);
    }

    #[test]
    fn what_nobody_took_is_the_rest() {
        let schedule = schedule(Duration::ZERO, 10.0);
        schedule.take();
        assert_eq!(schedule.take_rest().count(), 9);
        assert_eq!(schedule.take(), None);
    }
}

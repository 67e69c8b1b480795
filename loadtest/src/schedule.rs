//! When each request is meant to start.
//!
//! In the open mode the n-th request is meant to start at `n / rate`, whatever the server does, and any connection that is
//! free takes the next one. If none is free the request waits, and its latency counts from when it was meant to start: that
//! is what a user behind it would have felt. A generator that measured from when it could send would leave out exactly the
//! requests that a stall made wait ("coordinated omission").

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The plan of starts, shared by all connections.
#[derive(Debug)]
pub(crate) struct Schedule {
    begin: Instant,
    measured_from: Instant,
    end: Instant,
    rate: Option<u32>,
    taken: AtomicU64,
}

/// One request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Counts all requests from 0.
    pub(crate) number: u64,
    /// When it is meant to start; in the closed mode, now.
    pub(crate) intended: Instant,
}

impl Schedule {
    /// Starts at the constant `rate`, or as fast as answers come.
    pub(crate) fn new(begin: Instant, warmup: Duration, duration: Duration, rate: Option<u32>) -> Self {
        let measured_from = begin + warmup;
        Self { begin, measured_from, end: measured_from + duration, rate, taken: AtomicU64::new(0) }
    }

    /// The next request; `None` when the time is over. In the open mode it may lie in the future.
    pub(crate) fn take(&self) -> Option<Turn> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let intended = self.intended(number).unwrap_or_else(Instant::now);
        (intended < self.end).then_some(Turn { number, intended })
    }

    /// The requests of the open mode that nobody has taken. Taking them, this ends the run.
    pub(crate) fn take_rest(&self) -> impl Iterator<Item = Turn> {
        let open = self.rate.is_some();
        std::iter::from_fn(move || if open { self.take() } else { None })
    }

    /// Whether a request that was meant to start then belongs to what is measured.
    pub(crate) fn is_measured(&self, intended: Instant) -> bool {
        intended >= self.measured_from
    }

    /// Whether an answer at that moment counts towards the throughput: what a server answers after the end, when nobody
    /// asks any more, does not.
    pub(crate) fn is_in_window(&self, ended: Instant) -> bool {
        (self.measured_from..self.end).contains(&ended)
    }

    /// When the last request is meant to have started.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    fn intended(&self, number: u64) -> Option<Instant> {
        let rate = u64::from(self.rate?);
        // Seconds and the rest apart: no rounding that adds up, and no overflow.
        let rest = Duration::from_nanos((number % rate) * 1_000_000_000 / rate);
        Some(self.begin + Duration::from_secs(number / rate) + rest)
    }
}

/// Sleeps no longer than this before a start, and looks at the clock from then on: a timer of tokio can be this late.
const TIMER_ERROR: Duration = Duration::from_millis(2);

/// Waits until `moment`, while others on the thread go on. The last two milliseconds are spent looking at the clock.
pub(crate) async fn wait_until(moment: Instant) {
    if let Some(early) = moment.checked_sub(TIMER_ERROR)
        && early > Instant::now()
    {
        tokio::time::sleep_until(early.into()).await;
    }
    while Instant::now() < moment {
        tokio::task::yield_now().await;
    }
}

/// How long somebody who is ready on this thread waits for his turn: the lag that the generator adds to every answer.
pub(crate) async fn loop_lag() -> Duration {
    const PAUSE: Duration = Duration::from_millis(5);
    let begin = Instant::now();
    tokio::time::sleep(PAUSE).await;
    let awake = Instant::now();
    tokio::task::yield_now().await;
    // A sleep that is late beyond a timer's own error means that the whole thread stood still.
    awake.elapsed() + (awake - begin).saturating_sub(PAUSE + TIMER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_spread_evenly_and_the_last_lies_before_the_end() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let schedule = Schedule::new(begin, second, 2 * second, Some(3));
        let turns: Vec<Turn> = std::iter::from_fn(|| schedule.take()).collect();
        assert_eq!(turns.len(), 9);
        assert_eq!(turns[0].intended, begin);
        assert_eq!(turns[4].intended, begin + Duration::new(1, 333_333_333));
        assert_eq!(turns.iter().filter(|turn| schedule.is_measured(turn.intended)).count(), 6);
        assert!(turns.iter().zip(0..).all(|(turn, number)| turn.number == number));
    }

    #[test]
    fn a_closed_schedule_starts_now_and_leaves_no_rest() {
        let schedule = Schedule::new(Instant::now(), Duration::ZERO, Duration::from_mins(1), None);
        assert!(schedule.take().unwrap().intended <= Instant::now());
        assert_eq!(schedule.take_rest().count(), 0);
        let over = Schedule::new(Instant::now(), Duration::ZERO, Duration::ZERO, None);
        assert_eq!(over.take(), None);
    }

    #[test]
    fn what_nobody_took_is_the_rest() {
        let schedule = Schedule::new(Instant::now(), Duration::ZERO, Duration::from_secs(1), Some(10));
        schedule.take();
        assert_eq!(schedule.take_rest().count(), 9);
        assert_eq!(schedule.take(), None);
    }
}

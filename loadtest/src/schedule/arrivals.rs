//! The starts of one thread: its share of a constant rate, of a Poisson process, or of bursts.

use std::time::Duration;

use crate::random::Random;

/// How requests arrive, over all threads. Rates are requests a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One after another, all the same time apart.
    Constant {
        /// How many a second.
        rate: f64,
    },
    /// As they come from very many independent callers: the time between two of them is exponential.
    Poisson {
        /// How many a second, on average.
        rate: f64,
    },
    /// A constant rate, and periodically another one for a while.
    Burst {
        /// Between the bursts.
        base: f64,
        /// Within them.
        peak: f64,
        /// From the beginning of one to the beginning of the next.
        every: Duration,
        /// How long each lasts; the first begins after `every` less this.
        length: Duration,
    },
}

/// The starts of one thread, in their order.
#[derive(Debug)]
pub(crate) struct Arrivals {
    shape: Shape,
    /// How many requests were given out.
    count: u64,
    thread: u64,
    threads: u64,
    /// Seconds from the beginning to the next start, where starts depend on the one before.
    next: f64,
    random: Random,
}

/// Poisson arrivals have streams of their own, apart from those that choose tokens.
const STREAM: u64 = 1 << 32;

impl Arrivals {
    /// The share of thread `thread` of `threads`.
    pub(crate) fn new(shape: Shape, seed: u64, thread: u16, threads: u16) -> Self {
        let mut random = Random::new(seed, STREAM + u64::from(thread));
        let share = f64::from(threads);
        let next = match shape {
            Shape::Constant { .. } => 0.0,
            // The sum of independent Poisson processes is one of the sum of their rates.
            Shape::Poisson { rate } => random.exponential() * share / rate,
            // Bursts interleave as constant rates do, but for the rounding at their edges.
            Shape::Burst { base, .. } => f64::from(thread) / base,
        };
        Self { shape, count: 0, thread: thread.into(), threads: threads.into(), next, random }
    }

    /// When the next request is meant to start, counted from the beginning; and so on to the one after it.
    pub(crate) fn advance(&mut self) -> Duration {
        let now = self.next;
        let share = crate::number::fraction(self.threads);
        self.next = match self.shape {
            Shape::Constant { rate } => {
                // Each from the number of requests, not from the one before: no rounding that adds up.
                let number = self.thread + self.count * self.threads;
                self.count += 1;
                return after(number, rate);
            }
            Shape::Poisson { rate } => now + self.random.exponential() * share / rate,
            Shape::Burst { base, peak, every, length } => {
                let within = now % every.as_secs_f64();
                let calm = (every.saturating_sub(length)).as_secs_f64();
                if within >= calm {
                    now + share / peak
                } else {
                    // A slow rate must not step over the beginning of a burst.
                    (now + share / base).min(now - within + calm.max(within + share / peak))
                }
            }
        };
        Duration::from_secs_f64(now)
    }
}

fn after(number: u64, rate: f64) -> Duration {
    // Whole rates, which are the usual ones, exactly: seconds and the rest apart.
    if rate.fract() == 0.0 {
        let rate = crate::number::whole(rate);
        return Duration::from_secs(number / rate) + Duration::from_nanos(number % rate * 1_000_000_000 / rate);
    }
    Duration::from_secs_f64(crate::number::fraction(number) / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(shape: Shape, threads: u16, until: Duration) -> Vec<Duration> {
        let mut all = Vec::new();
        for thread in 0..threads {
            let mut arrivals = Arrivals::new(shape, 5, thread, threads);
            all.extend(std::iter::from_fn(|| Some(arrivals.advance()).filter(|start| *start < until)));
        }
        all.sort();
        all
    }

    #[test]
    fn a_constant_rate_is_even_whatever_the_threads() {
        for threads in [1, 3] {
            let starts = starts(Shape::Constant { rate: 3.0 }, threads, Duration::from_secs(3));
            assert_eq!(starts.len(), 9);
            assert_eq!((starts[0], starts[4]), (Duration::ZERO, Duration::new(1, 333_333_333)));
        }
        assert_eq!(starts(Shape::Constant { rate: 0.5 }, 1, Duration::from_secs(10)).len(), 5);
    }

    #[test]
    fn poisson_arrivals_have_the_moments_of_poisson() {
        for threads in [1, 2] {
            let starts = starts(Shape::Poisson { rate: 1000.0 }, threads, Duration::from_secs(100));
            // In each tenth of a second 100 on average, with a variance that is the same.
            let mut counts = vec![0.0_f64; 1000];
            for start in &starts {
                counts[usize::try_from(start.as_millis() / 100).unwrap()] += 1.0;
            }
            let mean = counts.iter().sum::<f64>() / 1000.0;
            let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 999.0;
            assert!((99.0..101.0).contains(&mean), "{mean}");
            assert!((88.0..112.0).contains(&variance), "{variance}");
        }
    }

    #[test]
    fn bursts_come_when_they_are_due() {
        let [every, length] = [1000, 200].map(Duration::from_millis);
        for threads in [1, 2] {
            let shape = Shape::Burst { base: 100.0, peak: 1000.0, every, length };
            let starts = starts(shape, threads, 2 * every);
            let between = |from, to| starts.iter().filter(|at| (from..to).contains(&at.as_millis())).count();
            for (count, due) in [
                (between(0, 800), 80),
                (between(800, 1000), 200),
                (between(1000, 1800), 80),
                (between(1800, 2000), 200),
            ] {
                assert!(count.abs_diff(due) <= 4, "{count} instead of {due}");
            }
        }
        // Slower than the bursts are apart, and yet none is missed.
        let slow = Shape::Burst { base: 0.1, peak: 100.0, every, length };
        assert!(starts(slow, 1, 2 * every).len() >= 40);
    }
}

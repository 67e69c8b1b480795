//! What can be seen of a run while it goes on: one line on standard error, written anew each second.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::number::{fraction, microseconds};
use crate::record::Verdict;

/// Counters of all threads. Each thread writes its own only, so that none waits for another.
#[derive(Debug)]
pub(crate) struct Progress(Vec<Counters>);

/// One thread's, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counters {
    right: AtomicU64,
    wrong: AtomicU64,
    failed: AtomicU64,
    /// The longest latency since somebody looked, in nanoseconds.
    worst: AtomicU64,
}

impl Progress {
    /// Nothing seen.
    pub(crate) fn new(threads: u16) -> Self {
        Self((0..threads).map(|_| Counters::default()).collect())
    }

    /// Adds one request of a thread.
    pub(crate) fn add(&self, thread: u16, verdict: Verdict, latency: Duration) {
        let counters = &self.0[usize::from(thread)];
        let counter = match verdict {
            Verdict::Right => &counters.right,
            Verdict::Wrong => &counters.wrong,
            _ => &counters.failed,
        };
        // Nobody else writes it, so that reading and writing need not be one.
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if nanoseconds > counters.worst.load(Ordering::Relaxed) {
            counters.worst.store(nanoseconds, Ordering::Relaxed);
        }
    }

    fn look(&self) -> (u64, u64, u64, Duration) {
        let sum = |of: fn(&Counters) -> &AtomicU64| self.0.iter().map(|one| of(one).load(Ordering::Relaxed)).sum();
        let worst = self.0.iter().map(|one| one.worst.swap(0, Ordering::Relaxed)).max().unwrap_or_default();
        (sum(|one| &one.right), sum(|one| &one.wrong), sum(|one| &one.failed), Duration::from_nanos(worst))
    }
}

/// Writes the line until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch(Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>);

/// Begins to write.
pub(crate) fn watch(progress: Arc<Progress>) -> Watch {
    let (stop, stopped) = mpsc::channel();
    let begin = Instant::now();
    let writing = thread::spawn(move || {
        let mut before = 0;
        while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            let (right, wrong, failed, worst) = progress.look();
            let all = right + wrong + failed;
            let line = line(begin.elapsed(), all - before, (right, wrong, failed), worst);
            before = all;
            // Somebody who looks no longer is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{line:<100}");
        }
        let _ = writeln!(std::io::stderr());
    });
    Watch(Some((stop, writing)))
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((stop, writing)) = self.0.take() {
            drop(stop);
            // A fault in it would be one of standard error's.
            let _ = writing.join();
        }
    }
}

fn line(elapsed: Duration, last: u64, (right, wrong, failed): (u64, u64, u64), worst: Duration) -> String {
    let worst = microseconds(worst) / 1000.0;
    let (seconds, last) = (elapsed.as_secs(), fraction(last));
    format!("{seconds:>4} s  {last:.0}/s  longest {worst:.1} ms  right {right}  wrong {wrong}  failed {failed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_adds_up_over_threads() {
        let progress = Progress::new(2);
        progress.add(0, Verdict::Right, Duration::from_millis(1));
        progress.add(1, Verdict::Right, Duration::from_millis(3));
        progress.add(1, Verdict::Wrong, Duration::from_millis(2));
        progress.add(0, Verdict::Late, Duration::from_millis(2));
        assert_eq!(progress.look(), (2, 1, 1, Duration::from_millis(3)));
        assert_eq!(progress.look().3, Duration::ZERO);
        let text = line(Duration::from_secs(7), 4, (2, 1, 1), Duration::from_millis(3));
        assert_eq!(text, "   7 s  4/s  longest 3.0 ms  right 2  wrong 1  failed 1");
    }
}

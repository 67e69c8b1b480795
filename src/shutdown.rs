//! How the service ends: the phases of a drain, its two deadlines, and the signals that begin it.
//!
//! ```text
//! Serving --signal--> Draining --min--> Closing --max--> Ending
//!                        |                 |               ^
//!                        +------- second signal -----------+
//! ```
//!
//! Load balancers learn of a node's end by asking its readiness, some seconds late. Until `drain.min` has passed the
//! node therefore goes on accepting, only telling each HTTP/1 peer to come back over another connection. A listener
//! that closed at once would refuse connections that a balancer still sends in good faith.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::config::DrainConfig;

/// How far the service is on its way out. Later phases are greater, and a phase never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Everything is as usual.
    Serving = 0,
    /// The node says that it is not ready, and still accepts. HTTP/1 answers carry `Connection: close`.
    Draining = 1,
    /// Nothing is accepted any more, idle connections are closed, HTTP/2 peers get GOAWAY; running requests finish.
    Closing = 2,
    /// What is still open is cut off.
    Ending = 3,
}

impl Phase {
    const fn from_stored(stored: u8) -> Self {
        match stored {
            0 => Self::Serving,
            1 => Self::Draining,
            2 => Self::Closing,
            _ => Self::Ending,
        }
    }
}

/// How a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every request that had begun was answered.
    Clean,
    /// Time was up, or a second signal came, while connections were still open.
    Forced {
        /// How many connections were cut off.
        connections: usize,
    },
}

/// The end of the service, as a handle: clones see the same phase.
///
/// Reading the phase is one atomic load, cheap enough for every request.
#[derive(Clone, Debug)]
pub struct Drain {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// A copy of what `changes` holds, because reading the channel takes a lock that all cores would share.
    phase: AtomicU8,
    changes: watch::Sender<Phase>,
    min: Duration,
    max: Duration,
}

impl Drain {
    /// A service in [`Phase::Serving`]. A `max` below `min` counts as `min`.
    pub fn new(config: &DrainConfig) -> Self {
        let shared = Shared {
            phase: AtomicU8::new(Phase::Serving as u8),
            changes: watch::Sender::new(Phase::Serving),
            min: config.min,
            max: config.max.max(config.min),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        Phase::from_stored(self.shared.phase.load(Ordering::Acquire))
    }

    /// Whether load balancers may send requests here: true in [`Phase::Serving`] alone.
    pub fn is_serving(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// What a signal does: the first call begins the drain, any later one ends the service at once.
    pub fn begin(&self) {
        let first = self.advance(Phase::Draining);
        if !first {
            self.advance(Phase::Ending);
        }
    }

    /// Waits until `phase`, or a later one, is reached.
    pub fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        // The clone keeps the sending half alive, so the wait can only end by the phase.
        let shared = Arc::clone(&self.shared);
        async move {
            let mut changes = shared.changes.subscribe();
            // An error would mean that the sender is gone, and `shared` holds it.
            let _ = changes.wait_for(|now| *now >= phase).await;
        }
    }

    /// Moves through the phases once the drain has begun. `Server::serve` drives this; it returns in
    /// [`Phase::Ending`].
    pub async fn conduct(&self) {
        self.reached(Phase::Draining).await;
        let begun = Instant::now();
        for (delay, next) in [(self.shared.min, Phase::Closing), (self.shared.max, Phase::Ending)] {
            tokio::select! {
                () = self.reached(Phase::Ending) => return,
                () = sleep_until(begun + delay) => self.advance(next),
            };
        }
    }

    /// Lets SIGTERM and SIGINT begin the drain. The signals are caught from this call on; the returned future never
    /// ends and has to be driven for them to have an effect.
    ///
    /// # Errors
    ///
    /// When the operating system refuses to install the signal handlers.
    pub fn on_signals(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let drain = self.clone();
        Ok(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if drain.is_serving() {
                    tracing::info!(signal = name, min = ?drain.shared.min, max = ?drain.shared.max, "draining");
                } else {
                    tracing::warn!(signal = name, "second signal: ending now");
                }
                drain.begin();
            }
        })
    }

    /// Goes on to `next`, unless it has already been reached. Whether it made a change.
    fn advance(&self, next: Phase) -> bool {
        self.shared.changes.send_if_modified(|now| {
            let later = next > *now;
            if later {
                *now = next;
                // Inside the channel's lock, so that the two never disagree about the order of two changes.
                self.shared.phase.store(next as u8, Ordering::Release);
            }
            later
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(5);
    const MAX: Duration = Duration::from_secs(30);

    fn drain(min: Duration, max: Duration) -> Drain {
        Drain::new(&DrainConfig { min, max })
    }

    #[tokio::test(start_paused = true)]
    async fn the_phases_follow_the_two_deadlines() {
        let drain = drain(MIN, MAX);
        let conductor = tokio::spawn({
            let drain = drain.clone();
            async move { drain.conduct().await }
        });
        assert!(drain.is_serving());
        let begun = Instant::now();
        drain.begin();
        assert_eq!(drain.phase(), Phase::Draining, "readiness turns at once, before anything else runs");
        drain.reached(Phase::Closing).await;
        assert_eq!(begun.elapsed().as_secs(), MIN.as_secs());
        assert_eq!(drain.phase(), Phase::Closing);
        drain.reached(Phase::Ending).await;
        assert_eq!(begun.elapsed().as_secs(), MAX.as_secs(), "max counts from the signal, not from min");
        conductor.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_at_once() {
        let drain = drain(MIN, MAX);
        let conductor = tokio::spawn({
            let drain = drain.clone();
            async move { drain.conduct().await }
        });
        let begun = Instant::now();
        drain.begin();
        drain.begin();
        assert_eq!(drain.phase(), Phase::Ending);
        conductor.await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_minimum_the_listeners_close_at_once() {
        let drain = drain(Duration::ZERO, MAX);
        tokio::spawn({
            let drain = drain.clone();
            async move { drain.conduct().await }
        });
        let begun = Instant::now();
        drain.begin();
        drain.reached(Phase::Closing).await;
        assert!(begun.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_maximum_below_the_minimum_counts_as_the_minimum() {
        let drain = drain(MIN, Duration::ZERO);
        tokio::spawn({
            let drain = drain.clone();
            async move { drain.conduct().await }
        });
        let begun = Instant::now();
        drain.begin();
        drain.reached(Phase::Ending).await;
        assert_eq!(begun.elapsed().as_secs(), MIN.as_secs());
    }

    #[tokio::test]
    async fn a_phase_never_goes_back() {
        let drain = drain(MIN, MAX);
        drain.begin();
        drain.begin();
        drain.begin();
        assert!(!drain.advance(Phase::Draining));
        assert_eq!(drain.phase(), Phase::Ending);
    }
}

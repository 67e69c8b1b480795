//! Where a connection or a stream stands, and the one timer that watches over it.
//!
//! hyper can time the reading of a head, but makes a timer for every request to do so, counts idle time as part of it,
//! and times nothing else. Here each connection has one timer for everything. It is left alone while requests come
//! and go: only when it fires does anybody look at what has happened since, and set it anew. A request whose answer
//! is ready at once therefore costs neither a timer nor a look at the clock.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::HttpConfig;

/// What is awaited, and so which limit applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// The next request: `idle_timeout`.
    Idle = 0,
    /// The rest of a head: `header_timeout`.
    Head = 1,
    /// The rest of a body: `body_timeout`.
    Body = 2,
    /// The handler: `request_timeout`.
    Handler = 3,
    /// Nothing that this timer limits: streams of HTTP/2 have their own.
    Streams = 4,
    /// The peer's end of a connection that we have ended: [`LINGER`].
    Farewell = 5,
}

impl Stage {
    const fn from_stored(stored: u8) -> Self {
        match stored {
            0 => Self::Idle,
            1 => Self::Head,
            2 => Self::Body,
            3 => Self::Handler,
            4 => Self::Streams,
            _ => Self::Farewell,
        }
    }
}

/// How long a peer may take to notice that we have closed. Long enough for a peer to read the last answer across an
/// ocean, short enough that a deaf one does not hold a connection permit.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Idle time is checked this often within `idle_timeout`, and so ends at most a quarter late.
const IDLE_CHECKS: u32 = 4;

/// The state of an HTTP/1 connection or an HTTP/2 stream, written by those who move it on and read by its timer.
///
/// All of them run in one task, so that relaxed atomics, which cost no more than plain fields, are enough.
#[derive(Debug)]
pub(super) struct Progress {
    stage: AtomicU8,
    requests: AtomicU32,
    body_late: AtomicBool,
    handler_late: AtomicBool,
    unread: AtomicBool,
}

impl Progress {
    pub(super) const fn new(stage: Stage) -> Self {
        Self {
            stage: AtomicU8::new(stage as u8),
            requests: AtomicU32::new(0),
            body_late: AtomicBool::new(false),
            handler_late: AtomicBool::new(false),
            unread: AtomicBool::new(false),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { stage: self.stage(), count: self.requests.load(Ordering::Relaxed) }
    }

    pub(super) fn stage(&self) -> Stage {
        Stage::from_stored(self.stage.load(Ordering::Relaxed))
    }

    /// Bytes came in. Between requests, they begin a head.
    pub(super) fn bytes_came(&self) {
        self.step(Stage::Idle, Stage::Head);
    }

    /// A head is complete.
    pub(super) fn request_came(&self, with_body: bool) {
        let stage = if with_body { Stage::Body } else { Stage::Handler };
        self.stage.store(stage as u8, Ordering::Relaxed);
        // Set for a request that was answered in the same moment, they would be taken for this one's.
        self.body_late.store(false, Ordering::Relaxed);
        self.handler_late.store(false, Ordering::Relaxed);
        self.requests.store(self.requests.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The body was read to its end.
    pub(super) fn body_came(&self) {
        self.step(Stage::Body, Stage::Handler);
    }

    /// Nobody will read the rest of the body, so the connection cannot carry another request.
    pub(super) fn leave_body(&self) {
        self.leave_unread();
        self.step(Stage::Body, Stage::Handler);
    }

    /// The peer may still send what nobody will read, also after we have closed.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// The answer is known. Whether the connection may carry another request.
    pub(super) fn answered(&self) -> bool {
        // A body that is still awaited now, in a task that outlives the answer, is as good as left.
        if self.stage() == Stage::Body {
            self.leave_body();
        }
        self.stage.store(Stage::Idle as u8, Ordering::Relaxed);
        !self.leaves_unread()
    }

    /// We have ended the connection and wait for the peer to do so.
    pub(super) fn farewell(&self) {
        self.stage.store(Stage::Farewell as u8, Ordering::Relaxed);
    }

    /// The body's time is up: whoever reads it is told so, and the time for the answer begins.
    pub(super) fn expire_body(&self) {
        self.body_late.store(true, Ordering::Relaxed);
        self.step(Stage::Body, Stage::Handler);
    }

    /// The handler's time is up. Whether this is news.
    pub(super) fn expire_handler(&self) -> bool {
        !self.handler_late.swap(true, Ordering::Relaxed)
    }

    pub(super) fn body_late(&self) -> bool {
        self.body_late.load(Ordering::Relaxed)
    }

    /// Whether the handler's time was up; asking clears it for the next request.
    pub(super) fn take_handler_late(&self) -> bool {
        self.handler_late.load(Ordering::Relaxed) && self.handler_late.swap(false, Ordering::Relaxed)
    }

    pub(super) fn leaves_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    fn step(&self, from: Stage, to: Stage) {
        // Not a plain store: a body that outlives its request must not disturb the next one.
        if self.stage() == from {
            self.stage.store(to as u8, Ordering::Relaxed);
        }
    }
}

/// A stage, and which of the many that looked the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) stage: Stage,
    pub(super) count: u32,
}

/// How long each stage may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    idle: Duration,
    head: Duration,
    body: Duration,
    handler: Duration,
}

impl Limits {
    pub(super) const fn new(config: &HttpConfig) -> Self {
        Self {
            idle: config.idle_timeout,
            head: config.header_timeout,
            body: config.body_timeout,
            handler: config.request_timeout,
        }
    }

    pub(super) const fn head(&self) -> Duration {
        self.head
    }

    const fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Idle | Stage::Streams => self.idle,
            Stage::Head => self.head,
            Stage::Body => self.body,
            Stage::Handler => self.handler,
            Stage::Farewell => LINGER,
        }
    }
}

/// The timer of an HTTP/1 connection, an HTTP/2 connection or an HTTP/2 stream.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    mark: Mark,
    /// Since when the mark has been the same, or none if the clock has not been asked.
    since: Option<Instant>,
    /// Made when first needed: most streams are answered without.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the timer will wake. Asking it again and again would cost a few atomic operations each time.
    waker: Option<Waker>,
}

impl Watch {
    /// Watches over something that is at `mark`, since a certain time or else since the first [`Watch::poll`].
    pub(super) const fn new(limits: Limits, mark: Mark, since: Option<Instant>) -> Self {
        Self { limits, mark, since, sleep: None, waker: None }
    }

    /// Ready with the stage that has taken too long. To be polled after everything else of the task is pending, with
    /// the mark reached by then.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, mark: Mark) -> Poll<Stage> {
        if mark != self.mark {
            self.mark = mark;
            self.since = None;
        }
        let limit = self.limits.of(mark.stage);
        let lenient = matches!(mark.stage, Stage::Idle | Stage::Streams);
        let due = match self.since {
            Some(since) => Some(after(since, limit)),
            None if lenient => None,
            None => {
                let now = Instant::now();
                self.since = Some(now);
                Some(after(now, limit))
            }
        };
        match (&self.sleep, due) {
            // Early is fine, the timer is then set again; late is not.
            (Some(sleep), Some(due)) if sleep.deadline() > due => self.set(due),
            (Some(_), _) => {}
            (None, due) => {
                let due = due.filter(|_| !lenient);
                self.set(due.unwrap_or_else(|| after(Instant::now(), limit / IDLE_CHECKS)));
            }
        }
        loop {
            let sleep = self.sleep.as_mut().expect("it was set above");
            let awaited = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
            if awaited && !sleep.is_elapsed() {
                return Poll::Pending;
            }
            if sleep.as_mut().poll(context).is_pending() {
                self.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            let now = Instant::now();
            if mark.stage == Stage::Streams {
                self.set(after(now, limit / IDLE_CHECKS));
                continue;
            }
            let due = after(*self.since.get_or_insert(now), limit);
            if now >= due {
                return Poll::Ready(mark.stage);
            }
            // Checked more often when idle, since only a check finds out when the idle time began.
            self.set(if lenient { due.min(after(now, limit / IDLE_CHECKS)) } else { due });
        }
    }

    fn set(&mut self, deadline: Instant) {
        self.waker = None;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(sleep_until(deadline))),
        }
    }
}

/// `start + duration`, or the far future when a setting means "never".
fn after(start: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    start + duration.min(FAR)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMITS: Limits = Limits {
        idle: Duration::from_mins(1),
        head: Duration::from_secs(10),
        body: Duration::from_secs(20),
        handler: Duration::from_secs(5),
    };

    async fn expiry(watch: &mut Watch, progress: &Progress) -> (Stage, Duration) {
        let begun = Instant::now();
        let stage = poll_fn(|context| watch.poll(context, progress.mark())).await;
        (stage, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn each_stage_has_its_own_limit() {
        let progress = Progress::new(Stage::Head);
        let mut watch = Watch::new(LIMITS, progress.mark(), None);
        let (stage, elapsed) = expiry(&mut watch, &progress).await;
        assert_eq!((stage, elapsed.as_secs()), (Stage::Head, 10));
        progress.request_came(true);
        let (stage, elapsed) = expiry(&mut watch, &progress).await;
        assert_eq!((stage, elapsed.as_secs()), (Stage::Body, 20));
        progress.expire_body();
        let (stage, elapsed) = expiry(&mut watch, &progress).await;
        assert_eq!((stage, elapsed.as_secs()), (Stage::Handler, 5));
        assert!(progress.body_late());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_ends_at_most_a_quarter_late() {
        let progress = Progress::new(Stage::Head);
        let mut watch = Watch::new(LIMITS, progress.mark(), None);
        progress.request_came(false);
        assert!(progress.answered());
        let (stage, elapsed) = expiry(&mut watch, &progress).await;
        assert_eq!(stage, Stage::Idle);
        assert!((60..=75).contains(&elapsed.as_secs()), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn every_request_begins_a_new_idle_time() {
        let progress = Progress::new(Stage::Idle);
        let mut watch = Watch::new(LIMITS, progress.mark(), None);
        for _ in 0..10 {
            progress.request_came(false);
            assert!(progress.answered());
            let quiet = tokio::time::timeout(Duration::from_secs(50), expiry(&mut watch, &progress)).await;
            assert!(quiet.is_err(), "fifty seconds of sixty");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_not_limited_by_the_connection() {
        let progress = Progress::new(Stage::Streams);
        let mut watch = Watch::new(LIMITS, progress.mark(), None);
        let quiet = tokio::time::timeout(Duration::from_hours(1), expiry(&mut watch, &progress)).await;
        assert!(quiet.is_err());
    }

    #[test]
    fn lateness_does_not_outlive_its_request() {
        let progress = Progress::new(Stage::Head);
        progress.request_came(true);
        progress.expire_body();
        assert!(progress.expire_handler());
        assert!(progress.answered());
        progress.request_came(true);
        assert!(!progress.body_late() && !progress.take_handler_late());
    }

    #[test]
    fn a_body_that_is_still_awaited_with_the_answer_closes_the_connection() {
        let progress = Progress::new(Stage::Head);
        progress.request_came(true);
        assert!(!progress.answered());
        progress.request_came(true);
        progress.body_came();
        assert_eq!(progress.stage(), Stage::Handler);
    }
}

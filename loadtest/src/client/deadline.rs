//! A timer that is set once in a while, not once a request.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

/// Bounds one wait after another.
///
/// To set a timer and take it away again costs more than reading an answer. This one stays where it was set, for an
/// earlier request, and is moved only when it fires: then it finds out whether the request of now is late.
pub(crate) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    allowed: Duration,
}

impl Deadline {
    /// Allows each wait so much time. Must be called on a runtime.
    pub(crate) fn new(allowed: Duration) -> Self {
        Self { sleep: Box::pin(sleep(allowed)), allowed }
    }

    /// What `work` results in; `None` when it takes longer than allowed, counted from `begin`.
    pub(crate) async fn bound<T>(&mut self, begin: Instant, work: impl Future<Output = T>) -> Option<T> {
        let due = begin + self.allowed;
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            while self.sleep.as_mut().poll(context).is_ready() {
                if Instant::now() >= due {
                    return Poll::Ready(None);
                }
                self.sleep.as_mut().reset(due.into());
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_takes_too_long_is_given_up_however_often_the_timer_was_used() {
        let allowed = Duration::from_millis(30);
        let mut deadline = Deadline::new(allowed);
        for _ in 0..3 {
            assert_eq!(deadline.bound(Instant::now(), async { 7 }).await, Some(7));
            assert_eq!(deadline.bound(Instant::now(), async { sleep(allowed / 3).await }).await, Some(()));
            let begin = Instant::now();
            assert_eq!(deadline.bound(begin, std::future::pending::<()>()).await, None);
            assert!(begin.elapsed() >= allowed);
        }
    }
}

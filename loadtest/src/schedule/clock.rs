//! Waiting for a start, precisely and without a core of one's own.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel. The runtime's own counts in milliseconds, which is longer than most answers take.
#[derive(Debug)]
pub(crate) struct Clock(AsyncFd<OwnedFd>);

/// So long before a start it wakes up, and looks at the clock from then on: waking up takes this long.
const WAKING: Duration = Duration::from_micros(60);

impl Clock {
    /// A timer on the current runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe; this timer is owned, and given away by nobody")]
        AsyncFd::new(timer).map(Self)
    }

    /// Waits until `moment`, while others on the thread go on. The last 60 microseconds are spent looking at the clock.
    pub(crate) async fn wait_until(&self, moment: Instant) -> io::Result<()> {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            match left.checked_sub(WAKING).filter(|sleep| !sleep.is_zero()) {
                Some(sleep) => self.sleep(sleep).await?,
                None => tokio::task::yield_now().await,
            }
        }
    }

    async fn sleep(&self, duration: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec::try_from(duration).map_err(io::Error::other)?,
        };
        // Setting it takes away what it had to say from before.
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(self.0.get_ref(), &mut count) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How long somebody who is ready on this thread waits for his turn: the lag that the generator adds to every answer.
pub(crate) async fn loop_lag() -> Duration {
    const PAUSE: Duration = Duration::from_millis(5);
    /// A timer of the runtime can be this late by itself.
    const TIMER_ERROR: Duration = Duration::from_millis(2);
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

    #[tokio::test(flavor = "current_thread")]
    async fn it_never_wakes_early_and_can_be_used_again() {
        let clock = Clock::new().unwrap();
        for micros in [0, 10, 500, 3000] {
            let moment = Instant::now() + Duration::from_micros(micros);
            clock.wait_until(moment).await.unwrap();
            assert!(Instant::now() >= moment);
        }
    }
}

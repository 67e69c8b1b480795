//! For how long what a primary says may be believed: until one lease after the moment at which it was last confirmed
//! that it still is the primary.
//!
//! Where nobody can replace the primary, it may be believed for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use crate::coherence::clock::Moment;
use crate::watch;

/// When the primaries were last confirmed.
pub(super) struct Fence {
    /// When the last good look began.
    confirmed: watch::Sender<Moment>,
    /// In nanoseconds; shorter than configured where the nodes have agreed on less.
    lease: AtomicU64,
    /// Whether there is nothing to confirm.
    endless: bool,
    /// Rung by those who wait for a look.
    wanted: Notify,
}

impl Fence {
    pub(super) fn new(lease: Duration, endless: bool) -> Self {
        let fence =
            Self { confirmed: watch::channel(Moment(0)).0, lease: AtomicU64::new(0), endless, wanted: Notify::new() };
        fence.set_lease(lease);
        fence
    }

    /// From now on the primaries may be believed for so long after they were confirmed.
    pub(super) fn set_lease(&self, lease: Duration) {
        self.lease.store(u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Whether there is nothing to confirm.
    pub(super) fn is_endless(&self) -> bool {
        self.endless
    }

    /// A look that began then was good.
    pub(super) fn confirm(&self, began: Moment) {
        self.confirmed.send_if_modified(|confirmed| {
            let later = began > *confirmed;
            *confirmed = began.max(*confirmed);
            later
        });
    }

    /// Until when the primaries may be believed.
    pub(super) fn until(&self) -> Moment {
        if self.endless { Moment(u64::MAX) } else { self.end_of(*self.confirmed.borrow()) }
    }

    /// Whether what was asked at `began` may be believed.
    pub(super) fn covers_now(&self, began: Moment) -> bool {
        began < self.until()
    }

    /// Returns when it may.
    pub(super) async fn covers(&self, began: Moment, deadline: Instant) -> Result<(), Fault> {
        if self.covers_now(began) {
            return Ok(());
        }
        self.wait(|confirmed| began < self.end_of(confirmed), deadline).await
    }

    /// Returns when a look was good that began at `moment` or later.
    pub(super) async fn passes(&self, moment: Moment, deadline: Instant) -> Result<(), Fault> {
        if self.endless {
            return Ok(());
        }
        self.wait(|confirmed| confirmed >= moment, deadline).await
    }

    /// Returns when somebody waits for a look.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Asks for a look.
    pub(super) fn ask(&self) {
        self.wanted.notify_one();
    }

    async fn wait(&self, good: impl Fn(Moment) -> bool, deadline: Instant) -> Result<(), Fault> {
        let mut confirmed = self.confirmed.subscribe();
        self.ask();
        match timeout_at(deadline, confirmed.wait_for(|confirmed| good(*confirmed))).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Fault::unavailable("it could not be confirmed that this Redis still is the primary")),
        }
    }

    fn end_of(&self, confirmed: Moment) -> Moment {
        if confirmed == Moment(0) {
            confirmed
        } else {
            confirmed.plus(Duration::from_nanos(self.lease.load(Ordering::Acquire)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_the_end_of_the_lease_is_believed() {
        let fence = Fence::new(Duration::from_nanos(100), false);
        assert!(fence.covers(Moment(1), soon()).await.is_err(), "nothing was ever confirmed");
        fence.confirm(Moment(1_000));
        assert!(fence.covers(Moment(1_099), soon()).await.is_ok());
        assert!(fence.covers(Moment(1_100), soon()).await.is_err());
        assert!(fence.passes(Moment(1_000), soon()).await.is_ok());
        assert!(fence.passes(Moment(1_001), soon()).await.is_err());
        fence.confirm(Moment(900));
        assert_eq!(fence.until(), Moment(1_100), "a late look takes nothing back");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_believes_longer_than_the_nodes_have_agreed_on() {
        let fence = Fence::new(Duration::from_nanos(100), false);
        fence.confirm(Moment(1_000));
        fence.set_lease(Duration::from_nanos(10));
        assert_eq!(fence.until(), Moment(1_010));
        assert!(fence.covers(Moment(1_010), soon()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_asks_for_a_look_and_is_woken_by_it() {
        let fence = Fence::new(Duration::from_nanos(100), false);
        let (covered, ()) = tokio::join!(fence.covers(Moment(5_000), soon()), async {
            fence.wanted().await;
            fence.confirm(Moment(5_001));
        });
        assert!(covered.is_ok());
    }

    #[tokio::test]
    async fn where_nobody_can_replace_the_primary_there_is_nothing_to_wait_for() {
        let fence = Fence::new(Duration::from_nanos(100), true);
        assert!(fence.covers(Moment(u64::MAX - 1), soon()).await.is_ok());
        assert!(fence.passes(Moment(u64::MAX), soon()).await.is_ok());
    }
}

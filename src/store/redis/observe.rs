//! What becomes of the connections to Redis, for counting.

use std::time::Duration;

/// Is told as it happens. Must not wait.
pub trait FleetObserver: std::fmt::Debug + Send + Sync {
    /// A primary has confirmed, so long after it was asked, that it had told everything: no word of a change came later
    /// than that.
    fn confirmed(&self, took: Duration);
    /// Revocations were written again that a primary had lost.
    fn replayed(&self, count: u64);
    /// A primary was found in another life, or others in its place.
    fn failed_over(&self);
    /// Too few replicas had a revocation in time.
    fn fell_short(&self);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl FleetObserver for Unobserved {
    fn confirmed(&self, _: Duration) {}
    fn replayed(&self, _: u64) {}
    fn failed_over(&self) {}
    fn fell_short(&self) {}
}

//! How a store stands at one moment, for readiness and for metrics.

use std::time::Duration;

/// What is known without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Whether what was read may be repeated at this moment.
    pub has_lease: bool,
    /// How long ago that was last confirmed; `None` where nothing has to be confirmed, or nothing was yet.
    pub lease_age: Option<Duration>,
    /// What in the settings of the store's servers is worth knowing.
    pub findings: Vec<Finding>,
    /// Epochs that are remembered so that they need not be read.
    pub epochs: usize,
    /// Revocations that are remembered to be written again.
    pub remembered: u64,
    /// Changes that were heard of and are still to be read. Until it has read them, this node may bring back after a
    /// failover what was approved again.
    pub unread: u64,
    /// Revocations that were not remembered for want of room.
    pub overlooked: u64,
}

/// Something in the settings of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A short name that stays the same from version to version.
    pub id: &'static str,
    /// Whether a revocation may be lost by it.
    pub is_unsafe: bool,
    /// What it is and what to do. Holds nothing secret.
    pub text: String,
}

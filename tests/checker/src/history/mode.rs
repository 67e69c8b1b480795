//! What was promised: the settings of the nodes that a history comes from.

use serde::{Deserialize, Serialize};

/// The settings under which the nodes ran, and what the judge grants them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// When a revocation is answered.
    pub acknowledge: Acknowledge,
    /// What an answered revocation survives.
    pub durability: Durability,
    /// How long a near cache is believed without word from the store, in nanoseconds.
    pub lease: u64,
    /// How many nodes there are. They are numbered from 0.
    pub nodes: u16,
    /// For how many nanoseconds after a fault a node may still answer 503.
    pub grace: u64,
    /// For how many nanoseconds after an approval was answered a node may still say inactive. One that a fault keeps
    /// from hearing of it may do so until the fault is over.
    pub approved_within: u64,
}

impl Mode {
    /// How many nanoseconds after the answer to a revocation a node may still say active.
    pub fn bound(&self) -> u64 {
        match self.acknowledge {
            Acknowledge::Visible => 0,
            Acknowledge::Written => self.lease,
        }
    }
}

/// When a revocation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// When no node can say active any longer.
    Visible,
    /// When it is written: nodes may say active for one lease more.
    Written,
}

/// What an answered revocation survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing beyond the primary: what a failover loses is counted, and not held against the nodes.
    Primary,
    /// The primary, as long as a replica that has it takes its place: counted as well.
    Replicas,
    /// Every failover: a loss breaks the promise.
    Replay,
}

impl Durability {
    /// Whether a failover may lose what was answered.
    pub fn may_lose(self) -> bool {
        self != Self::Replay
    }
}

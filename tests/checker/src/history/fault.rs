//! What was done to the machines and the network below the nodes.

use serde::{Deserialize, Serialize};

use super::Moment;

/// One fault, from before it was begun until after it was undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What was done, in words: `kill`, `freeze`, `failover`.
    pub fault: String,
    /// A moment before it was done.
    pub begin: Moment,
    /// A moment after everything works again as before, what the cluster does about the fault included; absent when
    /// that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Moment>,
    /// The shards that it hit: numbers below 64. Absent when it hit everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Vec<u8>>,
    /// The nodes that it hit. Absent when it hit all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<u16>>,
    /// From when to when nobody whom it hit can have heard anything of the shards that it hit, for certain: the first
    /// moment after it was done, and the last before it was undone. Whoever still says active a lease later guesses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<(Moment, Moment)>,
    /// The failover that comes with the fault may lose what was written since this moment. Absent when it loses nothing
    /// that the nodes do not notice, which is so for a store that is emptied: their answer to that is 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loses_since: Option<Moment>,
    /// The other life of a primary that comes with the fault may undo approvals that were answered since this moment: a
    /// node that had not heard of one by then writes the revocation again that it remembers. Such an approval may count
    /// for nothing once the fault has begun; no revocation and no token is undone by this. Absent when every node had
    /// heard of all, and when no primary begins another life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes_since: Option<Moment>,
}

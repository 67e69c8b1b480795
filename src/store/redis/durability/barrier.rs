//! Waiting for the other nodes: a primary is used by nobody before everybody who may remember something that it has
//! lost has written it again.
//!
//! Who is there the nodes tell each other in Redis itself, on each primary: a node says once a second that it lives,
//! and which incarnation of the primary it has caught up with. A new primary has a copy of that, in which every node
//! still stands with the incarnation before. Whoever was alive when that ended is waited for, up to a limit: a node that
//! does not come has died with the primary, or is cut off from it, and comes to nothing else before it has caught up.

use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, sleep};

use super::{Conversation, run};
use crate::store::redis::decimal;
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::{self, Incarnation};
use crate::store::redis::link::accept;
use crate::store::redis::scripts;

/// How often a node says that it lives.
pub(in super::super) const INTERVAL: Duration = Duration::from_secs(1);
/// For how long the others are waited for at most.
pub(in super::super) const LIMIT: Duration = Duration::from_secs(2);
/// A node that has said nothing for so long, when the others last did, is not waited for.
const ALIVE: Duration = Duration::from_secs(3);
/// A node that has said nothing for so long is no longer listed.
const FORGET: Duration = Duration::from_mins(1);
/// How often a waiting node looks who has come.
const POLL: Duration = Duration::from_millis(25);

/// This node's place among the nodes of one incarnation of a primary.
#[derive(Clone, Debug)]
pub(in super::super) struct Member {
    node: Box<str>,
    roster: Box<str>,
    incarnation: Incarnation,
}

/// Who has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Arrival {
    /// For how long the others were waited for.
    pub(in super::super) waited: Duration,
    /// Those who were taken for dead.
    pub(in super::super) absent: Vec<Box<str>>,
}

impl Member {
    /// `node` names this process, by a name that no other and no earlier one has. `roster` is the key, with prefix, of
    /// the list on this primary: in Redis Cluster one that lies there. Nobody must track it.
    pub(in super::super) fn new(node: &str, roster: &str, incarnation: Incarnation) -> Self {
        Self { node: node.into(), roster: roster.into(), incarnation }
    }

    /// Says that this node has caught up, and returns when all others have, or after `limit`.
    ///
    /// # Errors
    /// [`Fault`]: this node has not, or the primary is in another incarnation by now.
    pub(in super::super) async fn arrive(
        &self,
        conversation: &mut impl Conversation,
        limit: Duration,
        response_timeout: Duration,
    ) -> Result<Arrival, Fault> {
        let began = Instant::now();
        loop {
            let absent = self.refresh(conversation, Instant::now() + response_timeout).await?;
            let waited = began.elapsed();
            if absent.is_empty() || waited >= limit {
                return Ok(Arrival { waited, absent });
            }
            sleep(POLL.min(limit.saturating_sub(waited))).await;
        }
    }

    /// Says once more that this node lives; returns the nodes that have not caught up.
    ///
    /// # Errors
    /// As of [`Member::arrive`].
    pub(in super::super) async fn refresh(
        &self,
        conversation: &mut impl Conversation,
        deadline: Instant,
    ) -> Result<Vec<Box<str>>, Fault> {
        let arguments = [self.node.as_bytes().to_vec(), self.incarnation.name().into_bytes()];
        let limits = [ALIVE, FORGET].map(|limit| decimal(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)));
        let arrival = scripts::replay::ARRIVE.on([String::from(&*self.roster)], arguments.into_iter().chain(limits));
        let reply = run(conversation, &[arrival], None, deadline).await?.pop().ok_or_else(Fault::unexpected_reply)?;
        if matches!(&reply, Value::ServerError(error) if error.code() == scripts::replay::STALE) {
            return Err(incarnation::changed());
        }
        let Value::Array(missing) = accept(reply)? else { return Err(Fault::unexpected_reply()) };
        let name = |name| match name {
            Value::BulkString(name) => String::from_utf8(name).map(Box::from).map_err(|_| Fault::unexpected_reply()),
            _ => Err(Fault::unexpected_reply()),
        };
        missing.into_iter().map(name).collect()
    }

    /// Says that this node is going: nobody need wait for it. What it remembers it must have no duty to write again.
    ///
    /// # Errors
    /// [`Fault`]: the others will wait for it, up to the limit, should the primary end soon.
    pub(in super::super) async fn leave(
        &self,
        conversation: &mut impl Conversation,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let mut command = redis::cmd("HDEL");
        command.arg(&*self.roster).arg(&*self.node);
        let reply = conversation.pipeline(vec![command], deadline).await?.pop().ok_or_else(Fault::unexpected_reply)?;
        accept(reply).map(drop)
    }
}

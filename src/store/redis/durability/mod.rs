//! What a revocation survives: how none that was acknowledged is lost when a primary is.
//!
//! Redis acknowledges a write before its replicas have it, so a failover, or a restart without the last of what was on
//! disk, can bring back what was revoked. What ends tokens only ever grows until it expires or is approved again, so
//! whoever remembers it may write it again, in any order and as often as he likes.
//!
//! - [`key`] what is remembered, by its name; [`ring`] the memory: the latest known value of what was changed lately
//! - [`reading`] how it gets there: own changes and those of other nodes are read back in the same way
//! - [`reassert`] writing it again, to a primary that may have lost it; [`merge`] where that takes more than a script
//! - [`barrier`] waiting until the other nodes have done so, too
//! - [`group`] waiting until replicas have what was written
//!
//! The order in which a node takes a new primary into use: [`reassert::Replay::catch_up`], [`barrier::Member::arrive`],
//! and then only reads, leases and writes. Nothing is read back from a primary before it was caught up with: it would
//! be learnt from its gaps that what is missing there was approved.

pub(super) mod barrier;
pub(super) mod group;
pub(super) mod key;
pub(super) mod merge;
pub(super) mod reading;
pub(super) mod reassert;
pub(super) mod ring;

#[cfg(test)]
pub(super) mod tests;

use redis::{Cmd, ServerErrorKind, Value};
use tokio::time::Instant;

use super::fault::Fault;
use super::link::{Line, Link};
use super::scripts::Invocation;

/// A connection that was opened to one incarnation of a primary: it leads to no other process, but that may have stopped
/// being a primary since.
pub(super) trait Conversation: Send {
    /// Several commands in one round trip, by the deadline; their replies in order, errors of the server among them.
    fn pipeline(
        &mut self,
        commands: Vec<Cmd>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Value>, Fault>> + Send;
}

impl Conversation for Line {
    async fn pipeline(&mut self, commands: Vec<Cmd>, deadline: Instant) -> Result<Vec<Value>, Fault> {
        Self::pipeline(self, commands, deadline).await
    }
}

impl Conversation for Link {
    async fn pipeline(&mut self, commands: Vec<Cmd>, deadline: Instant) -> Result<Vec<Value>, Fault> {
        Self::pipeline(self, commands, deadline).await
    }
}

/// Sends scripts, and after them a question: replies in order, errors of the server among them. Scripts that Redis does
/// not know are sent again in full, and the question with them.
async fn run(
    conversation: &mut impl Conversation,
    invocations: &[Invocation],
    question: Option<Cmd>,
    deadline: Instant,
) -> Result<Vec<Value>, Fault> {
    let commands = invocations.iter().map(Invocation::by_hash).chain(question.clone()).collect();
    let mut replies = conversation.pipeline(commands, deadline).await?;
    let is_unknown =
        |reply: &Value| matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript));
    let mut unknown: Vec<_> = (0..invocations.len()).filter(|&index| is_unknown(&replies[index])).collect();
    if !unknown.is_empty() {
        let commands = unknown.iter().map(|&index| invocations[index].in_full()).chain(question).collect();
        let again = conversation.pipeline(commands, deadline).await?;
        unknown.extend(invocations.len()..replies.len());
        for (index, reply) in unknown.into_iter().zip(again) {
            replies[index] = reply;
        }
    }
    Ok(replies)
}

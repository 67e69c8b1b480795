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
use super::scripts::Invocation;

/// A connection to one server, of one owner.
pub(super) trait Conversation: Send {
    /// Several commands in one round trip, by the deadline; their replies in order, errors of the server among them.
    fn pipeline(
        &mut self,
        commands: Vec<Cmd>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Value>, Fault>> + Send;
}

/// One life of a primary: as long as it is the same, nothing that the primary has acknowledged is missing from it.
///
/// A process that restarts has another run id. One that stops being a primary and becomes one again has another
/// replication id, since each promotion makes a new one (`shiftReplicationId` in Redis' `replication.c`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incarnation {
    run_id: Box<str>,
    replication_id: Box<str>,
}

impl Incarnation {
    /// What to send for it.
    pub(super) fn question() -> Cmd {
        let mut command = redis::cmd("INFO");
        command.arg("server").arg("replication");
        command
    }

    /// Reads the reply.
    ///
    /// # Errors
    /// [`Fault::unavailable`] when it is not a primary.
    pub(super) fn of_reply(reply: Value) -> Result<Self, Fault> {
        let text = match accept(reply)? {
            Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::VerbatimString { text, .. } => text,
            _ => return Err(Fault::unexpected_reply()),
        };
        let line = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim_end().split_once(':'));
            lines.find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        let id = |name| {
            let is_id = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            line(name).filter(is_id).map(Box::from).ok_or_else(Fault::unexpected_reply)
        };
        match line("role") {
            Some("master") => Ok(Self { run_id: id("run_id")?, replication_id: id("master_replid")? }),
            Some(_) => Err(Fault::unavailable("this Redis is a replica")),
            None => Err(Fault::unexpected_reply()),
        }
    }

    /// Whether a reply to [`Incarnation::question`] that came after others says that these are of this incarnation.
    pub(super) fn expect(&self, reply: Value) -> Result<(), Fault> {
        if Self::of_reply(reply)? == *self { Ok(()) } else { Err(changed()) }
    }
}

/// What is said when the primary is not the one that was caught up with.
fn changed() -> Fault {
    Fault::unavailable("this Redis has been started or promoted again meanwhile")
}

/// Turns an error that Redis answered into a fault.
fn accept(reply: Value) -> Result<Value, Fault> {
    match reply {
        Value::ServerError(error) => Err(Fault::of_server(&error)),
        reply => Ok(reply),
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

//! Reading what was changed, by this node or another one, into the [`Ring`].

use redis::{Cmd, ServerErrorKind, Value};
use tokio::time::Instant;

use super::Conversation;
use super::key::Key;
use super::ring::{Answer, Reading, Ring, Seen, Source};
use crate::coherence::clock::Moment;
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::Incarnation;
use crate::store::redis::lane::sends_elsewhere;
use crate::store::redis::link::accept;
use crate::token::time::Stamp;

/// How many keys are read in one round trip.
const BATCH: usize = 256;

/// What is read from: an incarnation of a primary that this node has caught up with.
#[derive(Clone, Debug)]
pub(in super::super) struct Origin {
    pub(super) source: Source,
    pub(super) incarnation: Incarnation,
    pub(super) prefix: Box<str>,
}

impl Origin {
    /// Reads back what this node has just written. To be called after the primary has answered, and before anybody is
    /// told that it is done.
    ///
    /// # Errors
    /// [`Fault`]: it is not remembered, and what was written may be lost with the primary. It is still to be read.
    pub(in super::super) async fn read_back(
        &self,
        conversation: &mut impl Conversation,
        ring: &Ring,
        keys: Vec<Key>,
        now: impl Fn() -> Moment,
        deadline: Instant,
    ) -> Result<(), Fault> {
        match self.carry_out(conversation, ring.read(self.source, keys), now, deadline).await? {
            0 => Ok(()),
            _ => Err(Fault::unavailable("what was written is being moved to another Redis")),
        }
    }

    /// Reads some of what was heard of and lies on this primary; returns how many keys were read, none when there was
    /// nothing to read. What is being moved away waits, and nothing else waits for it.
    ///
    /// # Errors
    /// [`Fault`]: it is still to be read.
    pub(in super::super) async fn read_heard(
        &self,
        conversation: &mut impl Conversation,
        ring: &Ring,
        is_here: impl Fn(&Key) -> bool,
        now: impl Fn() -> Moment,
        deadline: Instant,
    ) -> Result<usize, Fault> {
        let Some(reading) = ring.read_unread(self.source, BATCH, is_here) else { return Ok(0) };
        let count = reading.keys().len();
        Ok(count - self.carry_out(conversation, reading, now, deadline).await?)
    }

    async fn carry_out(
        &self,
        conversation: &mut impl Conversation,
        reading: Reading<'_>,
        now: impl Fn() -> Moment,
        deadline: Instant,
    ) -> Result<usize, Fault> {
        let mut commands = Vec::with_capacity(2 * reading.keys().len() + 2);
        for key in reading.keys() {
            commands.extend(questions(&self.prefix, key));
        }
        commands.push(redis::cmd("TIME"));
        // Last: a server that was made a replica meanwhile may have lost what it is asked for.
        commands.push(Incarnation::ask_again());
        let mut replies = conversation.pipeline(commands, deadline).await?;
        self.incarnation.expect(replies.pop().ok_or_else(Fault::unexpected_reply)?)?;
        let at = stamp(replies.pop().ok_or_else(Fault::unexpected_reply)?)?;
        let mut replies = replies.into_iter();
        let mut answers = Vec::with_capacity(reading.keys().len());
        while let (Some(value), Some(expiry)) = (replies.next(), replies.next()) {
            answers.push(answer(value, expiry)?);
        }
        Ok(reading.learn(answers, at, now()))
    }
}

/// What the replies to `GET` and `PEXPIRETIME` say together. The key may have changed between the two: then it is named
/// once more.
pub(super) fn seen(value: Value, expiry: Value) -> Result<Seen, Fault> {
    if matches!(&value, Value::ServerError(error) if error.code() == "WRONGTYPE") {
        return Ok(Seen::Unreadable);
    }
    match (accept(value)?, accept(expiry)?) {
        (Value::Nil, _) | (Value::BulkString(_), Value::Int(-2)) => Ok(Seen::Absent),
        (Value::BulkString(value), Value::Int(expires_at)) => Ok(Seen::Present(value, u64::try_from(expires_at).ok())),
        _ => Err(Fault::unexpected_reply()),
    }
}

/// The same of a key whose slot may be on its way.
fn answer(value: Value, expiry: Value) -> Result<Answer, Fault> {
    let is_away =
        |reply: &Value| matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::Ask));
    if is_away(&value) && is_away(&expiry) {
        Ok(Answer::Away)
    } else if sends_elsewhere(&value) || sends_elsewhere(&expiry) {
        Ok(Answer::Elsewhere)
    } else {
        seen(value, expiry).map(Answer::Seen)
    }
}

/// What the reply to `TIME` says.
fn stamp(reply: Value) -> Result<Stamp, Fault> {
    let Value::Array(parts) = accept(reply)? else { return Err(Fault::unexpected_reply()) };
    let number = |part: &Value| match part {
        Value::BulkString(digits) => str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    match &parts[..] {
        [seconds, micros] => number(seconds)
            .zip(number(micros))
            .map(|(seconds, micros)| Stamp(seconds.saturating_mul(1_000_000).saturating_add(micros)))
            .ok_or_else(Fault::unexpected_reply),
        _ => Err(Fault::unexpected_reply()),
    }
}

/// What to ask for a key, whose replies [`seen`] makes sense of.
pub(super) fn questions(prefix: &str, key: &Key) -> [Cmd; 2] {
    let name = [prefix, &key.text()].concat();
    ["GET", "PEXPIRETIME"].map(|command| {
        let mut asked = redis::cmd(command);
        asked.arg(&name);
        asked
    })
}

//! Writing again what a primary may have lost.
//!
//! Everything is written so that it makes no difference whether the primary has it already, whether other nodes write
//! the same, or less, or more, and in which order: whatever anybody remembers to be revoked is revoked afterwards.
//!
//! What was approved again is not remembered as revoked, so it stays approved. Two things that the new primary knows
//! cannot be told from what it has lost, and are decided for the revocation: an approval that this node has not heard
//! of, and one token of a revoked grant that was approved alone where that approval was lost.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::key::Key;
use super::merge::union;
use super::reading::{Origin, questions, seen};
use super::ring::{Entry, Known, Ring, Seen};
use super::{Conversation, run};
use crate::store::redis::decimal;
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::Incarnation;
use crate::store::redis::link::accept;
use crate::store::redis::scripts::{self, Invocation};
use crate::store::stored_mark;
use crate::token::grant::GrantMark;

/// How many keys are written in one round trip.
const BATCH: usize = 256;
/// How often a mark is written that somebody else changes at the same time: other nodes do the same as this one, and
/// each attempt gets somebody through.
const ATTEMPTS: usize = 100;

/// Catching up with one incarnation of a primary.
#[derive(Debug)]
pub(in super::super) struct Replay {
    origin: Origin,
    /// How much of the ring has been written.
    done: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Replayed {
    /// Keys that were looked at.
    pub(in super::super) entries: usize,
    /// Keys that the primary had lost, wholly or in part.
    pub(in super::super) restored: usize,
    /// Keys that hold what was not written by us, here or there. They are left as they are.
    pub(in super::super) unreadable: usize,
}

/// A mark that is remembered.
struct Remembered<'a> {
    key: &'a Key,
    mark: GrantMark,
    expires_at: u64,
}

/// Marks that a primary lacks, or that it has less of, each with what writes it.
#[derive(Default)]
struct Compared<'a> {
    lacking: Vec<(Remembered<'a>, Invocation)>,
    unreadable: usize,
}

impl Replay {
    /// Nothing has been written to this incarnation yet.
    pub(in super::super) fn new(ring: &Ring, incarnation: Incarnation, prefix: &str) -> Self {
        Self { origin: Origin { source: ring.source(), incarnation, prefix: prefix.into() }, done: 0 }
    }

    /// What may be read from once it was caught up with.
    pub(in super::super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Writes everything that is remembered, lies on this primary and was not read from it.
    ///
    /// Done once more it writes what has come since: what a reading brought that was under way at the primary before
    /// this one.
    ///
    /// # Errors
    /// [`Fault`]: some of it is not written. The next call begins anew.
    pub(in super::super) async fn catch_up(
        &mut self,
        conversation: &mut impl Conversation,
        ring: &Ring,
        is_here: impl Fn(&Key) -> bool,
        response_timeout: Duration,
    ) -> Result<Replayed, Fault> {
        let mut replayed = Replayed::default();
        let mut next = self.done;
        while let Some((entries, after)) =
            ring.page(next, BATCH, |key, source| source != self.origin.source && is_here(key))
        {
            if !entries.is_empty() {
                replayed.add(self.write(conversation, &entries, response_timeout).await?);
            }
            next = after;
        }
        self.done = next;
        Ok(replayed)
    }

    /// The same for slots that have come to this primary, other than by being moved there key by key: everything is
    /// looked at once more.
    pub(in super::super) fn begin_anew(&mut self) {
        self.done = 0;
    }

    /// Writes these.
    pub(in super::super) async fn write(
        &self,
        conversation: &mut impl Conversation,
        entries: &[Entry],
        response_timeout: Duration,
    ) -> Result<Replayed, Fault> {
        let mut replayed = Replayed { entries: entries.len(), ..Replayed::default() };
        let (marks, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| matches!(entry.key, Key::Mark(_)));
        let invocations: Vec<_> = others.iter().filter_map(|entry| self.invocation(entry)).collect();
        if !invocations.is_empty() {
            for reply in self.run(conversation, &invocations, Instant::now() + response_timeout).await? {
                match outcome(reply)? {
                    Some(restored) => replayed.restored += usize::from(restored),
                    None => replayed.unreadable += 1,
                }
            }
        }
        replayed.add(self.write_marks(conversation, marks, response_timeout).await?);
        Ok(replayed)
    }

    /// Marks are compared here rather than in a script: what one is made of is known in one place.
    async fn write_marks(
        &self,
        conversation: &mut impl Conversation,
        entries: Vec<&Entry>,
        response_timeout: Duration,
    ) -> Result<Replayed, Fault> {
        let mut replayed = Replayed::default();
        let mut left = Vec::with_capacity(entries.len());
        for entry in entries {
            let (Known::Stored(stored), Some(expires_at)) = (&entry.known, entry.expires_at) else { continue };
            match GrantMark::decode(stored) {
                Ok(mark) => left.push(Remembered { key: &entry.key, mark, expires_at }),
                Err(_) => replayed.unreadable += 1,
            }
        }
        for _ in 0..ATTEMPTS {
            if left.is_empty() {
                return Ok(replayed);
            }
            let compared = self.compare(conversation, left, Instant::now() + response_timeout).await?;
            replayed.unreadable += compared.unreadable;
            left = Vec::new();
            let (writing, invocations): (Vec<_>, Vec<_>) = compared.lacking.into_iter().unzip();
            if invocations.is_empty() {
                continue;
            }
            let replies = self.run(conversation, &invocations, Instant::now() + response_timeout).await?;
            for (remembered, reply) in writing.into_iter().zip(replies) {
                match outcome(reply)? {
                    Some(true) => replayed.restored += 1,
                    Some(false) => left.push(remembered),
                    None => replayed.unreadable += 1,
                }
            }
        }
        Err(Fault::unavailable("the mark of a grant kept changing"))
    }

    /// Which marks the primary has lost something of, and what writes it again in the place of what it has.
    async fn compare<'a>(
        &self,
        conversation: &mut impl Conversation,
        marks: Vec<Remembered<'a>>,
        deadline: Instant,
    ) -> Result<Compared<'a>, Fault> {
        let questions = marks.iter().flat_map(|remembered| questions(&self.origin.prefix, remembered.key));
        let commands = questions.chain([Incarnation::ask_again()]).collect();
        let mut replies = conversation.pipeline(commands, deadline).await?;
        self.origin.incarnation.expect(replies.pop().ok_or_else(Fault::unexpected_reply)?)?;
        let mut replies = replies.into_iter();
        let mut compared = Compared::default();
        for remembered in marks {
            let (Some(value), Some(expiry)) = (replies.next(), replies.next()) else {
                return Err(Fault::unexpected_reply());
            };
            let found = match seen(value, expiry)? {
                Seen::Absent => Some((Vec::new(), GrantMark::default(), 0)),
                Seen::Present(value, Some(until)) => GrantMark::decode(&value).ok().map(|mark| (value, mark, until)),
                Seen::Present(_, None) | Seen::Unreadable => None,
            };
            let Some((before, theirs, until)) = found else {
                compared.unreadable += 1;
                continue;
            };
            let after = union(&remembered.mark, &theirs);
            if after != theirs || remembered.expires_at > until {
                let name = [&*self.origin.prefix, &remembered.key.text()].concat();
                let arguments = [before, stored_mark(&after), decimal(remembered.expires_at)];
                compared.lacking.push((remembered, scripts::grants::MARK.on([name], arguments)));
            }
        }
        Ok(compared)
    }

    /// Runs scripts; replies in order, errors of the server among them.
    async fn run(
        &self,
        conversation: &mut impl Conversation,
        invocations: &[Invocation],
        deadline: Instant,
    ) -> Result<Vec<Value>, Fault> {
        let mut replies = run(conversation, invocations, Some(Incarnation::ask_again()), deadline).await?;
        self.origin.incarnation.expect(replies.pop().ok_or_else(Fault::unexpected_reply)?)?;
        Ok(replies)
    }

    /// What writes an entry again; nothing when there is nothing to write.
    fn invocation(&self, entry: &Entry) -> Option<Invocation> {
        let name = |text: &str| [&*self.origin.prefix, text].concat();
        let key = name(&entry.key.text());
        match (&entry.key, &entry.known, entry.expires_at) {
            (Key::Tombstone(digest), Known::Epoch(tombstone), Some(expires_at)) => {
                // The record shares the slot of its tombstone.
                let record = name(&["t:{", digest.to_text().as_str(), "}"].concat());
                let arguments = [tombstone.encode().to_vec(), decimal(expires_at)];
                Some(scripts::replay::TOMBSTONE.on([record, key], arguments))
            }
            (Key::Epoch(_), Known::Epoch(epoch), Some(expires_at)) => {
                let moment = epoch.until.0.to_be_bytes().to_vec();
                let arguments = [moment, vec![epoch.reason.to_byte()], decimal(expires_at)];
                Some(scripts::shared::RAISE_EPOCH.on([key], arguments))
            }
            (Key::Client(_), Known::Stored(record), _) => Some(scripts::replay::CLIENT.on([key], [record.to_vec()])),
            (Key::Client(_), Known::Gone(at), _) => {
                Some(scripts::replay::CLIENT_GONE.on([key], [at.0.to_be_bytes().to_vec()]))
            }
            (Key::Document(_), Known::Stored(document), _) => {
                Some(scripts::replay::DOCUMENT.on([key], [document.to_vec()]))
            }
            (Key::Marker(_), Known::Stored(marker), _) => Some(scripts::replay::MARKER.on([key], [marker.to_vec()])),
            _ => None,
        }
    }
}

impl Replayed {
    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.restored += other.restored;
        self.unreadable += other.unreadable;
    }
}

/// Whether a script has written anything; `None` when it found what was not written by us.
fn outcome(reply: Value) -> Result<Option<bool>, Fault> {
    if matches!(&reply, Value::ServerError(error) if ["WRONGTYPE", scripts::DAMAGED].contains(&error.code())) {
        return Ok(None);
    }
    match accept(reply)? {
        Value::Int(scripts::DONE) => Ok(Some(true)),
        Value::Int(scripts::NOT_DONE) => Ok(Some(false)),
        _ => Err(Fault::unexpected_reply()),
    }
}

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
use super::ring::{Entry, Known, Ring, Seen, Source};
use super::{Conversation, run};
use crate::store::redis::decimal;
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::Incarnation;
use crate::store::redis::link::accept;
use crate::store::redis::scripts::{self, Invocation};
use crate::store::stored_mark;
use crate::token::grant::GrantMark;

/// How many keys are dealt with in one round trip.
const BATCH: usize = 1024;
/// How often a mark is written that somebody else changes at the same time: other nodes do the same as this one, and
/// each attempt gets somebody through.
const ATTEMPTS: usize = 100;

/// Catching up with one incarnation of a primary.
#[derive(Debug)]
pub(in super::super) struct Replay {
    origin: Origin,
    /// How much of the ring has been written.
    done: u64,
    /// Since when the primary has lost nothing, if it is caught up with for the sake of slots that have come to it.
    whole_since: Option<Source>,
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

/// What the primary has of an entry.
enum Compared {
    /// All of it.
    There,
    /// Less; this writes the rest.
    Lacking(Invocation),
    /// Something that was not written by us.
    Unreadable,
}

impl Replay {
    /// Nothing has been written to this incarnation yet.
    pub(in super::super) fn new(ring: &Ring, incarnation: Incarnation, prefix: &str) -> Self {
        Self {
            origin: Origin { source: ring.source(), incarnation, prefix: prefix.into() },
            done: 0,
            whole_since: None,
        }
    }

    /// For slots that have come to a primary that has lost nothing since it was caught up with.
    ///
    /// What is not there then, and was not where the slots were while these were moved, is nowhere: it was approved, and
    /// this node has not read that yet. Of everything else it is not known, and it is written again.
    pub(in super::super) fn of_slots(mut self, origin: &Origin) -> Self {
        self.whole_since = Some(origin.source);
        self
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
                let is_away = |key: &Key| self.whole_since.is_some_and(|since| ring.is_away(key, since));
                replayed.add(self.write_unless(is_away, conversation, &entries, response_timeout).await?);
            }
            next = after;
        }
        self.done = next;
        Ok(replayed)
    }

    /// Writes these, as far as the primary lacks them.
    #[cfg(test)]
    pub(in super::super) async fn write(
        &self,
        conversation: &mut impl Conversation,
        entries: &[Entry],
        response_timeout: Duration,
    ) -> Result<Replayed, Fault> {
        self.write_unless(|_| false, conversation, entries, response_timeout).await
    }

    /// Writes these, as far as the primary lacks them, but for those of which it has nothing and that `is_nowhere` says to
    /// be nowhere then.
    ///
    /// It is asked first: nearly always it has them, and that is much cheaper to find out than to write.
    async fn write_unless(
        &self,
        is_nowhere: impl Fn(&Key) -> bool,
        conversation: &mut impl Conversation,
        entries: &[Entry],
        response_timeout: Duration,
    ) -> Result<Replayed, Fault> {
        let mut replayed = Replayed { entries: entries.len(), ..Replayed::default() };
        let mut left: Vec<&Entry> = entries.iter().collect();
        for _ in 0..ATTEMPTS {
            if left.is_empty() {
                return Ok(replayed);
            }
            let answers = self.ask(conversation, &left, Instant::now() + response_timeout).await?;
            let mut lacking = Vec::new();
            let mut invocations = Vec::new();
            for (entry, seen) in left.into_iter().zip(answers) {
                if seen == Seen::Absent && is_nowhere(&entry.key) {
                    continue;
                }
                match self.compare(entry, seen) {
                    Compared::There => {}
                    Compared::Unreadable => replayed.unreadable += 1,
                    Compared::Lacking(invocation) => {
                        lacking.push(entry);
                        invocations.push(invocation);
                    }
                }
            }
            left = Vec::new();
            if invocations.is_empty() {
                continue;
            }
            let replies = self.run(conversation, &invocations, Instant::now() + response_timeout).await?;
            for (entry, reply) in lacking.into_iter().zip(replies) {
                match outcome(reply)? {
                    Some(true) => replayed.restored += 1,
                    // Somebody else has changed the mark meanwhile. The other scripts make sure by themselves.
                    Some(false) if matches!(entry.key, Key::Mark(_)) => left.push(entry),
                    Some(false) => {}
                    None => replayed.unreadable += 1,
                }
            }
        }
        Err(Fault::unavailable("the mark of a grant kept changing"))
    }

    /// What the primary has of some keys.
    async fn ask(
        &self,
        conversation: &mut impl Conversation,
        entries: &[&Entry],
        deadline: Instant,
    ) -> Result<Vec<Seen>, Fault> {
        let questions = entries.iter().flat_map(|entry| questions(&self.origin.prefix, &entry.key));
        let commands = questions.chain([Incarnation::ask_again()]).collect();
        let mut replies = conversation.pipeline(commands, deadline).await?;
        self.origin.incarnation.expect(replies.pop().ok_or_else(Fault::unexpected_reply)?)?;
        let mut replies = replies.into_iter();
        let pairs = std::iter::from_fn(|| replies.next().zip(replies.next()));
        let answers = pairs.map(|(value, expiry)| seen(value, expiry)).collect::<Result<Vec<_>, _>>()?;
        if answers.len() == entries.len() { Ok(answers) } else { Err(Fault::unexpected_reply()) }
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

    /// Whether the primary lacks something of an entry, and what writes it then.
    fn compare(&self, entry: &Entry, seen: Seen) -> Compared {
        if let (Key::Mark(_), Known::Stored(stored), Some(expires_at)) = (&entry.key, &entry.known, entry.expires_at) {
            return self.compare_mark(&entry.key, stored, expires_at, seen).unwrap_or(Compared::Unreadable);
        }
        let is_there = match (&entry.known, &seen) {
            (_, Seen::Unreadable) => return Compared::Unreadable,
            (Known::Gone(_), Seen::Absent) => true,
            (Known::Epoch(epoch), Seen::Present(value, until)) => {
                **value == epoch.encode() && until.is_some() && *until >= entry.expires_at
            }
            (Known::Stored(ours), Seen::Present(value, _)) => **value == **ours,
            _ => false,
        };
        if is_there {
            return Compared::There;
        }
        self.invocation(entry).map_or(Compared::There, Compared::Lacking)
    }

    /// Marks are compared here rather than in a script: what one is made of is known in one place.
    fn compare_mark(&self, key: &Key, stored: &[u8], expires_at: u64, seen: Seen) -> Option<Compared> {
        let ours = GrantMark::decode(stored).ok()?;
        let (before, theirs, until) = match seen {
            Seen::Absent => (Vec::new(), GrantMark::default(), 0),
            Seen::Present(value, Some(until)) => {
                let theirs = GrantMark::decode(&value).ok()?;
                (value, theirs, until)
            }
            Seen::Present(_, None) | Seen::Unreadable => return None,
        };
        let after = union(&ours, &theirs);
        if after == theirs && expires_at <= until {
            return Some(Compared::There);
        }
        let arguments = [before, stored_mark(&after), decimal(expires_at)];
        Some(Compared::Lacking(scripts::grants::MARK.on([self.name(&key.text())], arguments)))
    }

    /// A key with the prefix.
    fn name(&self, text: &str) -> String {
        [&*self.origin.prefix, text].concat()
    }

    /// What writes an entry again; nothing when there is nothing to write.
    fn invocation(&self, entry: &Entry) -> Option<Invocation> {
        let key = self.name(&entry.key.text());
        match (&entry.key, &entry.known, entry.expires_at) {
            (Key::Tombstone(digest), Known::Epoch(tombstone), Some(expires_at)) => {
                // The record shares the slot of its tombstone.
                let record = self.name(&["t:{", digest.to_text().as_str(), "}"].concat());
                let arguments = [tombstone.encode().to_vec(), decimal(expires_at)];
                Some(scripts::replay::TOMBSTONE.on([record, key], arguments))
            }
            (Key::Epoch(_), Known::Epoch(epoch), Some(expires_at)) => {
                let moment = epoch.until.0.to_be_bytes().to_vec();
                let arguments = [moment, vec![epoch.reason.to_byte()], decimal(expires_at)];
                Some(scripts::shared::RAISE_EPOCH.on([key], arguments))
            }
            (Key::Record(_), Known::Stored(record), _) => Some(scripts::replay::RECORD.on([key], [record.to_vec()])),
            // One with an end was only claimed: whoever did that finds out that it is lost.
            (Key::UserName(_), Known::Stored(name), None) => {
                Some(scripts::replay::USER_NAME.on([key], [name.to_vec()]))
            }
            (Key::Record(_), Known::Gone(at), _) => {
                Some(scripts::replay::RECORD_GONE.on([key], [at.0.to_be_bytes().to_vec()]))
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

//! The writes of the contract, applied to the tables of one open transaction.
//!
//! - `tokens` tokens, with a record and without; `grants` grants, rotation and marks
//! - `shared` epochs, what was used once, documents; `clients` clients; `users` users
//!
//! Each function decides before it writes, so that one that stops with an answer has changed nothing, and the other
//! writes of the transaction go on.

mod clients;
mod grants;
pub(super) mod shared;
pub(super) mod tokens;
mod users;

use redb::{Table, WriteTransaction};

use super::fault::{Fault, Stop};
use super::kept::Kept;
use super::stamps::Stamps;
use super::tables::{CLIENTS, DOCUMENTS, META, META_STAMP};
use super::write::Write;
use crate::coherence;
use crate::token::codec::STAMP_RANGE;
use crate::token::time::{Now, Stamp, UnixSeconds};

/// The tables of one transaction, and what has been done to them.
pub(super) struct Changes<'transaction> {
    transaction: &'transaction WriteTransaction,
    kept: Kept<'transaction>,
    clients: Table<'transaction, &'static [u8], &'static [u8]>,
    documents: Table<'transaction, &'static str, &'static [u8]>,
    meta: Table<'transaction, &'static str, u64>,
    stamps: &'transaction Stamps,
    changed: bool,
    reserving: bool,
    /// What is to be heard of once this is committed: the texts of names.
    announced: Vec<String>,
}

/// What a transaction has done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// Whether there is anything to commit.
    pub(super) changed: bool,
    /// The stamp after which a new start begins once this is committed.
    pub(super) stamp: Stamp,
    /// The second in which something expires first.
    pub(super) earliest: Option<u32>,
    /// How many expired tokens and entries were forgotten.
    pub(super) forgotten: usize,
    /// The names under which something was written that can end a token or bring it back.
    pub(super) announced: Vec<String>,
}

impl<'transaction> Changes<'transaction> {
    /// Opens the tables.
    pub(super) fn begin(
        transaction: &'transaction WriteTransaction,
        stamps: &'transaction Stamps,
    ) -> Result<Self, Fault> {
        Ok(Self {
            transaction,
            kept: Kept::open(transaction)?,
            clients: transaction.open_table(CLIENTS)?,
            documents: transaction.open_table(DOCUMENTS)?,
            meta: transaction.open_table(META)?,
            stamps,
            changed: false,
            reserving: false,
            announced: Vec::new(),
        })
    }

    /// Carries out one write and notes its outcome in it.
    pub(super) fn apply(&mut self, write: &mut Write) -> Result<(), Fault> {
        match write {
            Write::Insert { tokens, grant, now, reply } => {
                reply.set(Stop::answer(self.insert(tokens, grant.as_ref(), *now))?);
            }
            Write::SetState { digest, state, now, reply } => {
                reply.set(Stop::answer(self.set_state(*digest, *state, *now))?);
            }
            Write::SetSignedState { token, state, expires_at, now, reply } => {
                reply.set(Stop::answer(self.set_signed_state(*token, *state, *expires_at, *now))?);
            }
            Write::Rotate { from, to, access, now, reply } => {
                reply.set(Stop::answer(self.rotate(*from, to, access.as_ref(), *now))?);
            }
            Write::MarkGrant { grant, before, after, end, reply } => {
                reply.set(Stop::answer(self.mark_grant(*grant, before, after, *end))?);
            }
            Write::RaiseEpoch { name, announced, until, reason, end, now, reply } => {
                reply.set(Stop::answer(self.raise_epoch(*name, *until, *reason, *end, *now))?);
                self.announced.push(std::mem::take(announced));
            }
            Write::ReserveStamps { reply } => {
                self.reserving = true;
                reply.set(Ok(()));
            }
            Write::UseOnce { name, end, now, reply } => reply.set(Stop::answer(self.use_once(*name, *end, *now))?),
            Write::ReplaceDocument { name, version, body, reply } => {
                reply.set(Stop::answer(self.write_document(name, *version, body))?);
            }
            Write::CreateClient { id, body, now, reply } => {
                reply.set(Stop::answer(self.create_client(id, body, *now))?);
            }
            Write::ReplaceClient { id, version, created, body, reply } => {
                reply.set(Stop::answer(self.replace_client(id, *version, *created, body))?);
            }
            Write::DeleteClient { id, reply } => reply.set(Stop::answer(self.delete_client(id))?),
            Write::CreateUser { id, names, body, now, reply } => {
                reply.set(Stop::answer(self.create_user(*id, *names, body, *now))?);
            }
            Write::ReplaceUser { id, version, created, body, reply } => {
                reply.set(Stop::answer(self.replace_user(*id, *version, *created, body))?);
            }
            Write::DeleteUser { id, names, reply } => {
                reply.set(Stop::answer(self.delete_user(*id, *names))?);
            }
        }
        Ok(())
    }

    /// Notes that something was written which near caches must hear of.
    fn announce(&mut self, name: coherence::name::Name<'_>) {
        self.announced.push(name.text());
    }

    /// How many tokens and entries were put in so far.
    pub(super) fn put_in(&self) -> usize {
        self.kept.put_in()
    }

    /// Forgets up to `limit` expired tokens and entries, and closes the tables.
    pub(super) fn finish(mut self, now: UnixSeconds, limit: usize) -> Result<Done, Fault> {
        let forgotten = if limit == 0 { 0 } else { self.kept.forget(now, limit)? };
        let mut changed = self.changed || self.kept.changed();
        let (last, durable) = (self.stamps.last(), self.stamps.durable());
        // Nothing that this transaction or a caller rests on a stamp may meet the same stamp again after a restart: a
        // new client must be younger than every token of a deleted one of the same id.
        let stamp = match self.reserving && last > durable {
            true => self.stamps.reservation(),
            false if changed => last.max(durable),
            false => durable,
        };
        if stamp > durable {
            self.meta.insert(META_STAMP, stamp.0)?;
            changed = true;
        }
        Ok(Done { changed, stamp, earliest: self.kept.earliest()?, forgotten, announced: self.announced })
    }

    /// Writes the store's clock into an encoded record that has no stamp yet. The record begins at `start`.
    fn stamp(&self, bytes: &mut [u8], start: usize, now: Now) {
        if let Some(place) = bytes.get_mut(start..).and_then(|record| record.get_mut(STAMP_RANGE))
            && place.iter().all(|byte| *byte == 0)
        {
            place.copy_from_slice(&self.stamps.next(now).0.to_be_bytes());
        }
    }
}

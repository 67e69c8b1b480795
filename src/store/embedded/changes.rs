//! The writes of the contract, applied to the tables of one open transaction.
//!
//! Each function has two ways to fail. A [`StoreError`] inside is the answer to that one write, which then has changed
//! nothing; the other writes of the transaction go on. A [`Fault`] is about the file, and ends the transaction.

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::expiry::{self, Forgetting};
use super::fault::Fault;
use super::tables::{
    CLIENTS, EXPIRY, EXPIRY_KEY_BYTES, ExpiryKey, GRANTS, GrantMark, ID_BYTES, MARK_BYTES, META, META_STAMP, TOKENS,
    client_document, client_row, damaged,
};
use super::write::{NewToken, Write};
use crate::client::ClientId;
use crate::store::{ClientWrite, Insertion, StoreError, Transition};
use crate::token::codec;
use crate::token::digest::TokenDigest;
use crate::token::record::{Grant, Reason, Record, State};
use crate::token::time::{Now, Stamp, UnixSeconds};

type Applied<T> = Result<Result<T, StoreError>, Fault>;

/// The tables of one transaction, and what has been done to them.
pub(super) struct Changes<'transaction> {
    tokens: Table<'transaction, &'static [u8; ID_BYTES], &'static [u8]>,
    grants: Table<'transaction, &'static [u8; ID_BYTES], &'static [u8; MARK_BYTES]>,
    clients: Table<'transaction, &'static [u8], &'static [u8]>,
    expiry: Table<'transaction, &'static [u8; EXPIRY_KEY_BYTES], ()>,
    meta: Table<'transaction, &'static str, u64>,
    stamp: Stamp,
    stamped: bool,
    changed: bool,
    put_in: usize,
}

/// What a transaction has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Whether there is anything to commit.
    pub(super) changed: bool,
    /// The last stamp given out.
    pub(super) stamp: Stamp,
    /// The second in which something expires first.
    pub(super) earliest: Option<u32>,
    /// How many expired entries were forgotten.
    pub(super) forgotten: usize,
}

impl<'transaction> Changes<'transaction> {
    /// Opens the tables. `stamp` is the last one given out.
    pub(super) fn begin(transaction: &'transaction WriteTransaction, stamp: Stamp) -> Result<Self, Fault> {
        Ok(Self {
            tokens: transaction.open_table(TOKENS)?,
            grants: transaction.open_table(GRANTS)?,
            clients: transaction.open_table(CLIENTS)?,
            expiry: transaction.open_table(EXPIRY)?,
            meta: transaction.open_table(META)?,
            stamp,
            stamped: false,
            changed: false,
            put_in: 0,
        })
    }

    /// Carries out one write and notes its outcome in it.
    pub(super) fn apply(&mut self, write: &mut Write) -> Result<(), Fault> {
        match write {
            Write::Insert { tokens, now, reply } => reply.set(self.insert(tokens, *now)?),
            Write::SetState { digest, state, now, reply } => reply.set(self.set_state(*digest, *state, *now)?),
            Write::RevokeGrant { grant, reason, reply } => reply.set(self.revoke_grant(*grant, *reason)?),
            Write::CreateClient { id, body, now, reply } => reply.set(self.create_client(id, body, *now)?),
            Write::ReplaceClient { id, version, created, body, reply } => {
                reply.set(self.replace_client(id, *version, *created, body)?);
            }
            Write::DeleteClient { id, reply } => reply.set(self.delete_client(id)?),
        }
        Ok(())
    }

    /// How many tokens and marks were put in so far.
    pub(super) fn put_in(&self) -> usize {
        self.put_in
    }

    /// Forgets up to `limit` expired entries, and closes the tables.
    pub(super) fn finish(mut self, now: UnixSeconds, limit: usize) -> Result<Done, Fault> {
        let Self { tokens, grants, expiry, .. } = &mut self;
        let forgotten = if limit == 0 { 0 } else { Forgetting { tokens, grants, expiry }.forget(now, limit)? };
        if self.stamped {
            // Kept so that a clock which is set back while the process is down cannot give a stamp twice: a new client
            // must be younger than every token of a deleted one of the same id.
            self.meta.insert(META_STAMP, self.stamp.0)?;
        }
        Ok(Done {
            changed: self.changed || forgotten > 0,
            stamp: self.stamp,
            earliest: expiry::earliest(&self.expiry)?,
            forgotten,
        })
    }

    fn insert(&mut self, tokens: &[NewToken], now: Now) -> Applied<Insertion> {
        // All are looked up before the first is put in, so that an existing one leaves nothing of the others behind.
        let mut outlived = Vec::new();
        for token in tokens {
            match self.record(token.digest)? {
                Ok(Some(old)) if old.expires_at > now.seconds() => return Ok(Ok(Insertion::Exists)),
                Ok(Some(old)) => outlived.push(ExpiryKey::token(old.expires_at, token.digest.0)),
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        for key in outlived {
            self.tokens.remove(&key.id)?;
            self.expiry.remove(&key.to_bytes())?;
            self.changed = true;
        }
        for token in tokens.iter().filter(|token| token.expires_at > now.seconds()) {
            // Twice in the same call: the first one stays, with its one row in the expiry table.
            if self.tokens.get(&token.digest.0)?.is_some() {
                return Ok(Ok(Insertion::Exists));
            }
            let record = codec::with_stamp(token.record.clone(), self.next_stamp(now));
            self.tokens.insert(&token.digest.0, record.as_slice())?;
            self.expiry.insert(&ExpiryKey::token(token.expires_at, token.digest.0).to_bytes(), ())?;
            self.changed = true;
            self.put_in += 1;
        }
        Ok(Ok(Insertion::Done))
    }

    fn set_state(&mut self, digest: TokenDigest, state: State, now: Now) -> Applied<Transition> {
        let Some(stored) = self.tokens.get(&digest.0)?.map(|row| row.value().to_vec()) else {
            return Ok(Ok(Transition::Absent));
        };
        let record = match decode(&stored) {
            Ok(record) => record,
            Err(error) => return Ok(Err(error)),
        };
        // Only approving looks at the clock: a revocation holds whatever the clock says later.
        if state == State::Approved && record.expires_at <= now.seconds() {
            return Ok(Ok(Transition::Absent));
        }
        match (record.state, state) {
            // The first reason stays.
            (State::Approved, State::Approved) | (State::Revoked(_), State::Revoked(_)) => {
                return Ok(Ok(Transition::Unchanged));
            }
            (State::Approved, State::Revoked(_)) | (State::Revoked(_), State::Approved) => {}
        }
        self.tokens.insert(&digest.0, codec::with_state(stored, state).as_slice())?;
        self.changed = true;
        Ok(Ok(Transition::Changed))
    }

    fn revoke_grant(&mut self, grant: Grant, reason: Reason) -> Applied<()> {
        let before = match self.grants.get(&grant.id.0)?.map(|row| GrantMark::from_bytes(*row.value())).transpose() {
            Ok(before) => before,
            Err(error) => return Ok(Err(error)),
        };
        let expires_at = before.map_or(grant.expires_at, |mark| mark.expires_at.max(grant.expires_at));
        if before.is_some_and(|mark| mark.expires_at == expires_at) {
            return Ok(Ok(()));
        }
        if let Some(mark) = before {
            self.expiry.remove(&ExpiryKey::grant(mark.expires_at, grant.id.0).to_bytes())?;
        }
        // The first reason stays, as with a token.
        let mark = GrantMark { expires_at, reason: before.map_or(reason, |mark| mark.reason) };
        self.grants.insert(&grant.id.0, &mark.to_bytes())?;
        self.expiry.insert(&ExpiryKey::grant(expires_at, grant.id.0).to_bytes(), ())?;
        self.changed = true;
        self.put_in += 1;
        Ok(Ok(()))
    }

    fn create_client(&mut self, id: &ClientId, body: &[u8], now: Now) -> Applied<ClientWrite> {
        let key = id.as_str().as_bytes();
        if self.clients.get(key)?.is_some() {
            return Ok(Ok(ClientWrite::Conflict));
        }
        let created = self.next_stamp(now);
        self.clients.insert(key, client_row(1, created, body).as_slice())?;
        self.changed = true;
        Ok(Ok(ClientWrite::Done { version: 1 }))
    }

    fn replace_client(&mut self, id: &ClientId, version: u64, created: Stamp, body: &[u8]) -> Applied<ClientWrite> {
        let key = id.as_str().as_bytes();
        let document = match self.clients.get(key)?.map(|row| client_document(row.value())).transpose() {
            Ok(document) => document,
            Err(error) => return Ok(Err(error)),
        };
        // A deleted client and one created after it may have the same version, and never the same stamp.
        let Some(document) = document.filter(|document| (document.version, document.created) == (version, created))
        else {
            return Ok(Ok(ClientWrite::Conflict));
        };
        let version = document.version + 1;
        self.clients.insert(key, client_row(version, document.created, body).as_slice())?;
        self.changed = true;
        Ok(Ok(ClientWrite::Done { version }))
    }

    fn delete_client(&mut self, id: &ClientId) -> Applied<bool> {
        let existed = self.clients.remove(id.as_str().as_bytes())?.is_some();
        self.changed |= existed;
        Ok(Ok(existed))
    }

    fn record(&self, digest: TokenDigest) -> Applied<Option<Record>> {
        let row = self.tokens.get(&digest.0)?;
        Ok(row.map(|row| decode(row.value())).transpose())
    }

    /// The writer's clock: the time as the caller read it, but never the same twice and never backwards.
    fn next_stamp(&mut self, now: Now) -> Stamp {
        self.stamp = now.stamp().max(Stamp(self.stamp.0.saturating_add(1)));
        self.stamped = true;
        self.stamp
    }
}

/// Reads a stored record; one that cannot be read is damage, never absence.
pub(super) fn decode(row: &[u8]) -> Result<Record, StoreError> {
    codec::decode(row).map_err(|error| damaged(error.to_string()))
}

//! Tokens and entries with the one expiry row that each has: the only place that writes either.

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::expiry;
use super::fault::{Fault, Stop};
use super::tables::{
    ENTRIES, EXPIRY, EXPIRY_KEY_BYTES, Entry, ExpiryKey, ID_BYTES, Kind, NAME_BYTES, Name, TOKENS, damaged,
};
use crate::store::StoreError;
use crate::token::codec;
use crate::token::digest::TokenDigest;
use crate::token::record::Record;
use crate::token::time::UnixSeconds;

/// The tables, open in a transaction that writes.
pub(super) struct Kept<'transaction> {
    tokens: Table<'transaction, &'static [u8; ID_BYTES], &'static [u8]>,
    entries: Table<'transaction, &'static [u8; NAME_BYTES], &'static [u8]>,
    expiry: Table<'transaction, &'static [u8; EXPIRY_KEY_BYTES], ()>,
    put_in: usize,
    changed: bool,
}

impl<'transaction> Kept<'transaction> {
    pub(super) fn open(transaction: &'transaction WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            tokens: transaction.open_table(TOKENS)?,
            entries: transaction.open_table(ENTRIES)?,
            expiry: transaction.open_table(EXPIRY)?,
            put_in: 0,
            changed: false,
        })
    }

    /// How many tokens and entries were put in so far.
    pub(super) fn put_in(&self) -> usize {
        self.put_in
    }

    /// Whether there is anything to commit.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// A token's record, as it is stored and as it reads.
    pub(super) fn token(&self, digest: TokenDigest) -> Result<Option<(Vec<u8>, Record)>, Stop> {
        let Some(row) = self.tokens.get(&digest.0)?.map(|row| row.value().to_vec()) else { return Ok(None) };
        let record = decode(&row)?;
        Ok(Some((row, record)))
    }

    /// Keeps a token that is not there, or no longer: what is left of an expired one makes room.
    pub(super) fn put_token(&mut self, digest: TokenDigest, end: UnixSeconds, record: &[u8]) -> Result<(), Stop> {
        let name = Name::token(digest);
        if let Some((_, outlived)) = self.token(digest)? {
            self.expiry.remove(&ExpiryKey::new(outlived.expires_at, name).to_bytes())?;
        }
        self.tokens.insert(&digest.0, record)?;
        self.expiry.insert(&ExpiryKey::new(end, name).to_bytes(), ())?;
        self.put_in += 1;
        self.changed = true;
        Ok(())
    }

    /// Replaces a token's record by one that ends at the same moment.
    pub(super) fn replace_token(&mut self, digest: TokenDigest, record: &[u8]) -> Result<(), Stop> {
        self.tokens.insert(&digest.0, record)?;
        self.changed = true;
        Ok(())
    }

    /// An entry, expired or not.
    pub(super) fn entry(&self, name: Name) -> Result<Option<Entry>, Stop> {
        Ok(self.entries.get(&name.to_bytes())?.map(|row| Entry::from_row(row.value())).transpose()?)
    }

    /// Keeps an entry, in the place of the one of that name if there is one.
    pub(super) fn put(&mut self, name: Name, end: UnixSeconds, value: &[u8]) -> Result<(), Stop> {
        if let Some(before) = self.entry(name)? {
            self.expiry.remove(&ExpiryKey::new(before.end, name).to_bytes())?;
        }
        self.entries.insert(&name.to_bytes(), Entry::row(end, value).as_slice())?;
        self.expiry.insert(&ExpiryKey::new(end, name).to_bytes(), ())?;
        self.put_in += 1;
        self.changed = true;
        Ok(())
    }

    /// Removes an entry, if there is one.
    pub(super) fn remove(&mut self, name: Name) -> Result<(), Stop> {
        if let Some(before) = self.entry(name)? {
            self.expiry.remove(&ExpiryKey::new(before.end, name).to_bytes())?;
            self.entries.remove(&name.to_bytes())?;
            self.changed = true;
        }
        Ok(())
    }

    /// Forgets up to `limit` tokens and entries whose time has come, and says how many.
    pub(super) fn forget(&mut self, now: UnixSeconds, limit: usize) -> Result<usize, Fault> {
        let due: Vec<[u8; EXPIRY_KEY_BYTES]> = self
            .expiry
            .range::<&[u8; EXPIRY_KEY_BYTES]>(..=&ExpiryKey::last_expired(now))?
            .take(limit)
            .map(|entry| entry.map(|(key, _)| *key.value()))
            .collect::<Result<_, _>>()?;
        for bytes in &due {
            match ExpiryKey::from_bytes(bytes).map(|key| key.name) {
                Some(Name { kind: Kind::Token, id }) => drop(self.tokens.remove(&id)?),
                Some(name) => drop(self.entries.remove(&name.to_bytes())?),
                // Of no kind that this version knows, so about no row that it could remove.
                None => {}
            }
            self.expiry.remove(bytes)?;
        }
        self.changed |= !due.is_empty();
        Ok(due.len())
    }

    /// The second in which something expires first.
    pub(super) fn earliest(&self) -> Result<Option<u32>, Fault> {
        Ok(expiry::earliest(&self.expiry)?)
    }
}

/// Reads a stored record; one that cannot be read is damage, never absence.
pub(super) fn decode(row: &[u8]) -> Result<Record, StoreError> {
    codec::decode(row).map_err(|error| damaged(error.to_string()))
}

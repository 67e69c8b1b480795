//! Whether all rows of the file fit together: nothing half done.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTableMetadata as _};

use super::changes::shared::epoch;
use super::changes::tokens::signed_reason;
use super::fault::Stop;
use super::kept::decode;
use super::tables::{
    CLIENTS, DOCUMENTS, ENTRIES, EXPIRY, Entry, ExpiryKey, Kind, NAMES, Name, TOKENS, USERS, damaged, dated_document,
    document,
};
use crate::store::{NAME_DIGEST_BYTES, StoreError};
use crate::token::digest::TokenDigest;
use crate::token::grant::{GrantMark, GrantRecord};
use crate::user::id::UserId;

/// What a walk over the whole file found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Tokens, expired ones that are not forgotten yet included.
    pub tokens: u64,
    /// Grants that can be refreshed.
    pub grants: u64,
    /// Marks of grants of which something is revoked.
    pub marks: u64,
    /// Epochs.
    pub epochs: u64,
    /// Revocations of signed tokens.
    pub signed: u64,
    /// Notes of what was used once.
    pub used: u64,
    /// Clients.
    pub clients: u64,
    /// Users.
    pub users: u64,
    /// Names of users.
    pub names: u64,
    /// Names of nobody, and users without two names.
    pub misnamed: u64,
    /// Rows that say when to forget something.
    pub expiries: u64,
    /// Tokens and entries that nothing would ever forget.
    pub unforgettable: u64,
    /// Expiry rows of what is not there, or ends at another time.
    pub stray: u64,
}

impl Audit {
    /// Whether everything that ends has its one expiry row, and every expiry row its token or entry; and every user two
    /// names.
    pub fn is_sound(&self) -> bool {
        let ending = self.tokens + self.grants + self.marks + self.epochs + self.signed + self.used;
        self.unforgettable == 0 && self.stray == 0 && self.misnamed == 0 && self.expiries == ending
    }

    fn count(&mut self, kind: Kind) {
        let count = match kind {
            Kind::Token => &mut self.tokens,
            Kind::Grant => &mut self.grants,
            Kind::Mark => &mut self.marks,
            Kind::Epoch => &mut self.epochs,
            Kind::Signed => &mut self.signed,
            Kind::Used => &mut self.used,
        };
        *count += 1;
    }
}

/// Walks over all tables. Rows that cannot be read are an error, not a count.
pub(super) fn audit(transaction: &ReadTransaction) -> Result<Audit, Stop> {
    let tokens = transaction.open_table(TOKENS)?;
    let entries = transaction.open_table(ENTRIES)?;
    let clients = transaction.open_table(CLIENTS)?;
    let documents = transaction.open_table(DOCUMENTS)?;
    let expiry = transaction.open_table(EXPIRY)?;

    let mut audit = Audit { clients: clients.len()?, expiries: expiry.len()?, ..Audit::default() };
    let mut expected = Vec::new();
    for row in tokens.range::<&[u8; 16]>(..)? {
        let (digest, row) = row?;
        let name = Name::token(TokenDigest(*digest.value()));
        expected.push(ExpiryKey::new(decode(row.value())?.expires_at, name));
    }
    for row in entries.range::<&[u8; 17]>(..)? {
        let (name, row) = row?;
        let name = Name::from_bytes(name.value()).ok_or_else(|| damaged("an entry is of no known kind"))?;
        let entry = Entry::from_row(row.value())?;
        read(name.kind, &entry)?;
        expected.push(ExpiryKey::new(entry.end, name));
    }
    for row in clients.range::<&[u8]>(..)? {
        dated_document(row?.1.value())?;
    }
    for row in documents.range::<&str>(..)? {
        document(row?.1.value())?;
    }
    let mut named = BTreeMap::new();
    for row in transaction.open_table(USERS)?.range::<&[u8; UserId::BYTES]>(..)? {
        let (id, row) = row?;
        dated_document(row.value())?;
        named.insert(*id.value(), 0_u8);
        audit.users += 1;
    }
    for row in transaction.open_table(NAMES)?.range::<&[u8; NAME_DIGEST_BYTES]>(..)? {
        match named.get_mut(row?.1.value()) {
            Some(count) => *count = count.saturating_add(1),
            None => audit.misnamed += 1,
        }
        audit.names += 1;
    }
    audit.misnamed += named.into_values().map(|names| u64::from(names != 2)).sum::<u64>();
    for key in &expected {
        audit.count(key.name.kind);
        audit.unforgettable += u64::from(expiry.get(&key.to_bytes())?.is_none());
    }
    expected.sort();
    for row in expiry.range::<&[u8; 21]>(..)? {
        let key = ExpiryKey::from_bytes(row?.0.value());
        let found = key.is_some_and(|key| expected.binary_search(&key).is_ok());
        audit.stray += u64::from(!found);
    }
    Ok(audit)
}

/// Reads an entry as whoever asks for it does.
fn read(kind: Kind, entry: &Entry) -> Result<(), StoreError> {
    match kind {
        Kind::Token => Err(damaged("a token lies among the entries")),
        Kind::Grant => GrantRecord::decode(&entry.value).map(drop).map_err(|error| damaged(error.to_string())),
        Kind::Mark => GrantMark::decode(&entry.value).map(drop).map_err(|error| damaged(error.to_string())),
        Kind::Epoch => epoch(entry).map(drop),
        Kind::Signed => signed_reason(entry).map(drop),
        Kind::Used => Ok(()),
    }
}

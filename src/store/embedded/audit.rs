//! Whether all rows of the file fit together: nothing half done.

use redb::{ReadTransaction, ReadableTableMetadata as _};

use super::changes::decode;
use super::fault::Fault;
use super::tables::{CLIENTS, EXPIRY, ExpiryKey, GRANTS, GrantMark, Kind, TOKENS, client_document};
use crate::store::StoreError;

/// What a walk over the whole file found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Tokens, expired ones that are not forgotten yet included.
    pub tokens: u64,
    /// Marks of revoked grants.
    pub grants: u64,
    /// Clients.
    pub clients: u64,
    /// Rows that say when to forget a token or a mark.
    pub expiries: u64,
    /// Tokens and marks that nothing would ever forget.
    pub unforgettable: u64,
    /// Expiry rows of tokens and marks that are not there, or expire at another time.
    pub stray: u64,
}

impl Audit {
    /// Whether every token and mark has its one expiry row, and every expiry row its token or mark.
    pub fn is_sound(&self) -> bool {
        self.unforgettable == 0 && self.stray == 0 && self.expiries == self.tokens + self.grants
    }
}

/// Walks over all tables. Rows that cannot be read are an error, not a count.
pub(super) fn audit(transaction: &ReadTransaction) -> Result<Result<Audit, StoreError>, Fault> {
    let tokens = transaction.open_table(TOKENS)?;
    let grants = transaction.open_table(GRANTS)?;
    let clients = transaction.open_table(CLIENTS)?;
    let expiry = transaction.open_table(EXPIRY)?;

    let mut audit = Audit {
        tokens: tokens.len()?,
        grants: grants.len()?,
        clients: clients.len()?,
        expiries: expiry.len()?,
        ..Audit::default()
    };
    let mut expected = Vec::new();
    for entry in tokens.range::<&[u8; 16]>(..)? {
        let (digest, row) = entry?;
        match decode(row.value()) {
            Ok(record) => expected.push(ExpiryKey::token(record.expires_at, *digest.value())),
            Err(error) => return Ok(Err(error)),
        }
    }
    for entry in grants.range::<&[u8; 16]>(..)? {
        let (id, row) = entry?;
        match GrantMark::from_bytes(*row.value()) {
            Ok(mark) => expected.push(ExpiryKey::grant(mark.expires_at, *id.value())),
            Err(error) => return Ok(Err(error)),
        }
    }
    for entry in clients.range::<&[u8]>(..)? {
        if let Err(error) = client_document(entry?.1.value()) {
            return Ok(Err(error));
        }
    }
    for key in expected {
        audit.unforgettable += u64::from(expiry.get(&key.to_bytes())?.is_none());
    }
    for entry in expiry.range::<&[u8; 21]>(..)? {
        let key = ExpiryKey::from_bytes(entry?.0.value());
        let found = match key {
            Some(ExpiryKey { second, kind: Kind::Token, id }) => tokens
                .get(&id)?
                .and_then(|row| decode(row.value()).ok())
                .is_some_and(|record| record.expires_at.0 == u64::from(second)),
            Some(ExpiryKey { second, kind: Kind::Grant, id }) => grants
                .get(&id)?
                .and_then(|row| GrantMark::from_bytes(*row.value()).ok())
                .is_some_and(|mark| mark.expires_at.0 == u64::from(second)),
            None => false,
        };
        audit.stray += u64::from(!found);
    }
    Ok(Ok(audit))
}

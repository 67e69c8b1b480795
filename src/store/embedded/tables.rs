//! The layout: which tables there are, and the bytes of their keys and rows.
//!
//! ```text
//! tokens    digest (16)                                  -> record, as token::codec writes it
//! grants    grant id (16)                                -> expiry (4), reason (1): the grant is revoked
//! clients   client id                                    -> version (8), created (8), body
//! expiry    second (4), kind (1), digest or grant id (16) -> nothing: what to forget, soonest first
//! meta      "schema" -> version of this layout; "stamp" -> the last stamp given out
//! ```
//!
//! All numbers are big-endian, so that the order of the bytes is the order of the numbers. Every row of `tokens` and
//! `grants` has exactly one row in `expiry`, written and removed in the same transaction; [`super::audit`] checks it.

use bytes::Bytes;
use redb::TableDefinition;

use crate::store::{ClientDocument, StoreError, StoreErrorKind};
use crate::token::record::Reason;
use crate::token::time::{Stamp, UnixSeconds};

/// Version of the layout that this program reads and writes.
pub(super) const SCHEMA: u64 = 1;

pub(super) const TOKENS: TableDefinition<'static, &[u8; ID_BYTES], &[u8]> = TableDefinition::new("tokens");
pub(super) const GRANTS: TableDefinition<'static, &[u8; ID_BYTES], &[u8; MARK_BYTES]> = TableDefinition::new("grants");
pub(super) const CLIENTS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("clients");
pub(super) const EXPIRY: TableDefinition<'static, &[u8; EXPIRY_KEY_BYTES], ()> = TableDefinition::new("expiry");
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

pub(super) const META_SCHEMA: &str = "schema";
pub(super) const META_STAMP: &str = "stamp";

/// Size of a token's digest and of a grant's id.
pub(super) const ID_BYTES: usize = 16;
pub(super) const MARK_BYTES: usize = 5;
pub(super) const EXPIRY_KEY_BYTES: usize = 4 + 1 + ID_BYTES;

/// What a row of the expiry table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Token,
    Grant,
}

/// A key of the expiry table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExpiryKey {
    pub(super) second: u32,
    pub(super) kind: Kind,
    pub(super) id: [u8; ID_BYTES],
}

impl ExpiryKey {
    pub(super) fn token(expires_at: UnixSeconds, digest: [u8; ID_BYTES]) -> Self {
        Self { second: second(expires_at), kind: Kind::Token, id: digest }
    }

    pub(super) fn grant(expires_at: UnixSeconds, id: [u8; ID_BYTES]) -> Self {
        Self { second: second(expires_at), kind: Kind::Grant, id }
    }

    pub(super) fn to_bytes(self) -> [u8; EXPIRY_KEY_BYTES] {
        let mut bytes = [0; EXPIRY_KEY_BYTES];
        bytes[..4].copy_from_slice(&self.second.to_be_bytes());
        bytes[4] = match self.kind {
            Kind::Token => 0,
            Kind::Grant => 1,
        };
        bytes[5..].copy_from_slice(&self.id);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; EXPIRY_KEY_BYTES]) -> Option<Self> {
        let (second, rest) = bytes.split_first_chunk()?;
        let kind = match rest.first()? {
            0 => Kind::Token,
            1 => Kind::Grant,
            _ => return None,
        };
        Some(Self { second: u32::from_be_bytes(*second), kind, id: rest[1..].try_into().ok()? })
    }

    /// The last key that can stand for something that has expired at `now`.
    pub(super) fn last_expired(now: UnixSeconds) -> [u8; EXPIRY_KEY_BYTES] {
        let mut bytes = [0xFF; EXPIRY_KEY_BYTES];
        bytes[..4].copy_from_slice(&second(now).to_be_bytes());
        bytes
    }
}

/// A moment as the expiry table holds it. One beyond the year 2106 is kept as the last second there is: whatever is
/// stored expires there at the latest, because the codec refuses later ones.
pub(super) fn second(moment: UnixSeconds) -> u32 {
    u32::try_from(moment.0).unwrap_or(u32::MAX)
}

/// The row that revokes a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GrantMark {
    pub(super) expires_at: UnixSeconds,
    pub(super) reason: Reason,
}

impl GrantMark {
    pub(super) fn to_bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..4].copy_from_slice(&second(self.expires_at).to_be_bytes());
        bytes[4] = self.reason.to_byte();
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; MARK_BYTES]) -> Result<Self, StoreError> {
        let [expiry @ .., reason] = bytes;
        let reason = Reason::from_byte(reason).ok_or_else(|| damaged("the mark of a revoked grant has no reason"))?;
        Ok(Self { expires_at: UnixSeconds(u32::from_be_bytes(expiry).into()), reason })
    }
}

/// The row of a client.
pub(super) fn client_row(version: u64, created: Stamp, body: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(16 + body.len());
    row.extend(version.to_be_bytes());
    row.extend(created.0.to_be_bytes());
    row.extend(body);
    row
}

/// Reads the row of a client.
pub(super) fn client_document(row: &[u8]) -> Result<ClientDocument, StoreError> {
    let parts = row.split_first_chunk().and_then(|(version, rest)| Some((version, rest.split_first_chunk()?)));
    let (version, (created, body)) = parts.ok_or_else(|| damaged("the row of a client is cut short"))?;
    Ok(ClientDocument {
        version: u64::from_be_bytes(*version),
        created: Stamp(u64::from_be_bytes(*created)),
        body: Bytes::copy_from_slice(body),
    })
}

/// What was read is not what was written.
pub(super) fn damaged(detail: impl Into<Box<str>>) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_expiry_table_sort_by_time_and_read_back() {
        let early = ExpiryKey::grant(UnixSeconds(255), [9; 16]);
        let late = ExpiryKey::token(UnixSeconds(256), [0; 16]);
        assert!(early.to_bytes() < late.to_bytes());
        for key in [early, late] {
            assert_eq!(ExpiryKey::from_bytes(&key.to_bytes()), Some(key));
        }
        let bound = ExpiryKey::last_expired(UnixSeconds(255));
        assert!(early.to_bytes() <= bound && bound < late.to_bytes());
        assert_eq!(ExpiryKey::from_bytes(&[7; EXPIRY_KEY_BYTES]), None);
    }

    #[test]
    fn a_mark_without_a_reason_and_a_short_client_row_are_damage() {
        let mark = GrantMark { expires_at: UnixSeconds(7), reason: Reason::REQUESTED };
        assert_eq!(GrantMark::from_bytes(mark.to_bytes()).unwrap(), mark);
        assert_eq!(GrantMark::from_bytes([0; MARK_BYTES]).unwrap_err().kind(), StoreErrorKind::Damaged);

        let row = client_row(3, Stamp(5), b"{}");
        let document = client_document(&row).unwrap();
        assert_eq!((document.version, document.created, &*document.body), (3, Stamp(5), &b"{}"[..]));
        assert_eq!(client_document(&row[..15]).unwrap_err().kind(), StoreErrorKind::Damaged);
    }
}

//! The layout: which tables there are, and the bytes of their keys and rows.
//!
//! ```text
//! tokens     digest (16)                        -> record, as token::codec writes it
//! entries    kind (1), id (16)                  -> end (4), value: everything else that ends by itself, see [`Kind`]
//! clients    client id                          -> version (8), created (8), body
//! users      user id (16)                       -> version (8), created (8), body
//! names      digest of kind and name (24)       -> user id (16)
//! documents  name                               -> version (8), body
//! expiry     second (4), kind (1), id (16)      -> nothing: what to forget, soonest first
//! meta       "schema" -> version of this layout; "stamp" -> no stamp given out so far is later
//! ```
//!
//! All numbers are big-endian, so that the order of the bytes is the order of the numbers. Every row of `tokens` and
//! `entries` has exactly one row in `expiry`, written and removed in the same transaction; [`super::audit`] checks it.
//!
//! The tables of users came later than the others, and are made when a folder is opened that has none.
//!
//! One table for all entries, because opening a table costs every transaction about as much as reading from it.

use bytes::Bytes;
use redb::TableDefinition;

use crate::coherence::name::fingerprint;
use crate::store::{self, DatedDocument, Document, StoreError, StoreErrorKind};
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::EpochAxis;
use crate::token::time::{Stamp, UnixSeconds};
use crate::user::id::UserId;

/// Version of the layout that this program reads and writes.
pub(super) const SCHEMA: u64 = 2;

pub(super) const TOKENS: TableDefinition<'static, &[u8; ID_BYTES], &[u8]> = TableDefinition::new("tokens");
pub(super) const ENTRIES: TableDefinition<'static, &[u8; NAME_BYTES], &[u8]> = TableDefinition::new("entries");
pub(super) const CLIENTS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("clients");
pub(super) const USERS: TableDefinition<'static, &[u8; UserId::BYTES], &[u8]> = TableDefinition::new("users");
pub(super) const NAMES: TableDefinition<'static, &[u8; store::NAME_DIGEST_BYTES], &[u8; UserId::BYTES]> =
    TableDefinition::new("names");
pub(super) const DOCUMENTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("documents");
pub(super) const EXPIRY: TableDefinition<'static, &[u8; EXPIRY_KEY_BYTES], ()> = TableDefinition::new("expiry");
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

pub(super) const META_SCHEMA: &str = "schema";
pub(super) const META_STAMP: &str = "stamp";

/// The row of `documents` that holds the signing keys.
pub(super) const SIGNING_KEYS: &str = "signing keys";

/// Size of a token's digest and of every other id.
pub(super) const ID_BYTES: usize = 16;
pub(super) const NAME_BYTES: usize = 1 + ID_BYTES;
pub(super) const EXPIRY_KEY_BYTES: usize = 4 + NAME_BYTES;

/// What ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A token, by its digest. The one kind that is no entry: its record says itself when it ends.
    Token,
    /// What is kept of a grant, by its id: as `token::grant` writes it.
    Grant,
    /// What of a grant is revoked, by its id: as `token::grant` writes it.
    Mark,
    /// An epoch, by a digest of what it is about: as `token::epoch` writes it.
    Epoch,
    /// Why a signed token is revoked, by its digest: one byte.
    Signed,
    /// Something was used, by a digest of it: nothing.
    Used,
}

impl Kind {
    /// All kinds, each at the place that is its stored number.
    const ALL: [Self; 6] = [Self::Token, Self::Grant, Self::Mark, Self::Epoch, Self::Signed, Self::Used];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// What a row is about: the key of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) kind: Kind,
    pub(super) id: [u8; ID_BYTES],
}

impl Name {
    pub(super) fn token(digest: TokenDigest) -> Self {
        Self { kind: Kind::Token, id: digest.0 }
    }

    pub(super) fn grant(id: GrantId) -> Self {
        Self { kind: Kind::Grant, id: id.0 }
    }

    pub(super) fn mark(id: GrantId) -> Self {
        Self { kind: Kind::Mark, id: id.0 }
    }

    pub(super) fn epoch(axis: EpochAxis<'_>) -> Self {
        let id = match axis {
            EpochAxis::Issuer => fingerprint(&[b"issuer"]),
            EpochAxis::Client(client_id) => fingerprint(&[b"client", client_id.as_bytes()]),
            EpochAxis::User(subject) => fingerprint(&[b"user", subject.as_bytes()]),
            EpochAxis::ClientUser { client_id, subject } => {
                fingerprint(&[b"client and user", client_id.as_bytes(), subject.as_bytes()])
            }
            EpochAxis::Key(kid) => fingerprint(&[b"key", kid.as_bytes()]),
        };
        Self { kind: Kind::Epoch, id }
    }

    pub(super) fn signed(token: TokenDigest) -> Self {
        Self { kind: Kind::Signed, id: token.0 }
    }

    pub(super) fn used(what: &[u8; 32]) -> Self {
        Self { kind: Kind::Used, id: fingerprint(&[what]) }
    }

    pub(super) fn to_bytes(self) -> [u8; NAME_BYTES] {
        let mut bytes = [0; NAME_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1..].copy_from_slice(&self.id);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; NAME_BYTES]) -> Option<Self> {
        let (kind, id) = bytes.split_first()?;
        Some(Self { kind: Kind::from_byte(*kind)?, id: id.try_into().ok()? })
    }
}

/// A key of the expiry table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExpiryKey {
    pub(super) second: u32,
    pub(super) name: Name,
}

impl ExpiryKey {
    pub(super) fn new(end: UnixSeconds, name: Name) -> Self {
        Self { second: second(end), name }
    }

    pub(super) fn to_bytes(self) -> [u8; EXPIRY_KEY_BYTES] {
        let mut bytes = [0; EXPIRY_KEY_BYTES];
        bytes[..4].copy_from_slice(&self.second.to_be_bytes());
        bytes[4..].copy_from_slice(&self.name.to_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; EXPIRY_KEY_BYTES]) -> Option<Self> {
        let (second, name) = bytes.split_first_chunk()?;
        Some(Self { second: u32::from_be_bytes(*second), name: Name::from_bytes(name.try_into().ok()?)? })
    }

    /// The last key that can stand for something that has expired at `now`.
    pub(super) fn last_expired(now: UnixSeconds) -> [u8; EXPIRY_KEY_BYTES] {
        let mut bytes = [0xFF; EXPIRY_KEY_BYTES];
        bytes[..4].copy_from_slice(&second(now).to_be_bytes());
        bytes
    }
}

/// A moment as the tables hold it. One beyond the year 2106 is kept as the last second there is: whatever is stored
/// ends there at the latest, because the codec refuses later ones.
pub(super) fn second(moment: UnixSeconds) -> u32 {
    u32::try_from(moment.0).unwrap_or(u32::MAX)
}

/// The row of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it is to be forgotten.
    pub(super) end: UnixSeconds,
    pub(super) value: Vec<u8>,
}

impl Entry {
    pub(super) fn row(end: UnixSeconds, value: &[u8]) -> Vec<u8> {
        [&second(end).to_be_bytes()[..], value].concat()
    }

    pub(super) fn from_row(row: &[u8]) -> Result<Self, StoreError> {
        let (end, value) = row.split_first_chunk().ok_or_else(|| damaged("the row of an entry is cut short"))?;
        Ok(Self { end: UnixSeconds(u32::from_be_bytes(*end).into()), value: value.to_vec() })
    }
}

/// The row of a client or a user.
pub(super) fn dated_row(version: u64, created: Stamp, body: &[u8]) -> Vec<u8> {
    [&version.to_be_bytes()[..], &created.0.to_be_bytes(), body].concat()
}

/// Reads the row of a client or a user.
pub(super) fn dated_document(row: &[u8]) -> Result<DatedDocument, StoreError> {
    let parts = row.split_first_chunk().and_then(|(version, rest)| Some((version, rest.split_first_chunk()?)));
    let (version, (created, body)) = parts.ok_or_else(|| damaged("the row of a client or a user is cut short"))?;
    Ok(DatedDocument {
        version: u64::from_be_bytes(*version),
        created: Stamp(u64::from_be_bytes(*created)),
        body: Bytes::copy_from_slice(body),
    })
}

/// The row of a document.
pub(super) fn document_row(version: u64, body: &[u8]) -> Vec<u8> {
    [&version.to_be_bytes()[..], body].concat()
}

/// Reads the row of a document.
pub(super) fn document(row: &[u8]) -> Result<Document, StoreError> {
    let (version, body) = row.split_first_chunk().ok_or_else(|| damaged("the row of a document is cut short"))?;
    Ok(Document { version: u64::from_be_bytes(*version), body: Bytes::copy_from_slice(body) })
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
        let early = ExpiryKey::new(UnixSeconds(255), Name::used(&[9; 32]));
        let late = ExpiryKey::new(UnixSeconds(256), Name::token(TokenDigest([0; 16])));
        assert!(early.to_bytes() < late.to_bytes());
        for key in [early, late] {
            assert_eq!(ExpiryKey::from_bytes(&key.to_bytes()), Some(key));
        }
        let bound = ExpiryKey::last_expired(UnixSeconds(255));
        assert!(early.to_bytes() <= bound && bound < late.to_bytes());
        assert_eq!(ExpiryKey::from_bytes(&[7; EXPIRY_KEY_BYTES]), None);
    }

    #[test]
    fn every_kind_reads_back_under_its_number() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            let name = Name { kind, id: [3; ID_BYTES] };
            assert_eq!(Name::from_bytes(&name.to_bytes()), Some(name));
        }
    }

    #[test]
    fn no_two_axes_share_an_epoch() {
        let pair = |client_id, subject| EpochAxis::ClientUser { client_id, subject };
        let axes = [
            EpochAxis::Issuer,
            EpochAxis::Client(""),
            EpochAxis::Client("a"),
            EpochAxis::User("a"),
            EpochAxis::Key("a"),
            pair("a", ""),
            pair("", "a"),
            pair("ab", "c"),
            pair("a", "bc"),
        ];
        for (place, axis) in axes.into_iter().enumerate() {
            for other in &axes[place + 1..] {
                assert_ne!(Name::epoch(axis), Name::epoch(*other), "{axis:?} {other:?}");
            }
        }
    }

    #[test]
    fn rows_read_back_and_short_ones_are_damage() {
        let entry = Entry { end: UnixSeconds(7), value: vec![1, 2] };
        let row = Entry::row(entry.end, &entry.value);
        assert_eq!(Entry::from_row(&row).unwrap(), entry);
        assert_eq!(Entry::from_row(&row[..3]).unwrap_err().kind(), StoreErrorKind::Damaged);

        let row = dated_row(3, Stamp(5), b"{}");
        let client = dated_document(&row).unwrap();
        assert_eq!((client.version, client.created, &*client.body), (3, Stamp(5), &b"{}"[..]));
        assert_eq!(dated_document(&row[..15]).unwrap_err().kind(), StoreErrorKind::Damaged);

        let row = document_row(4, b"keys");
        assert_eq!(document(&row).unwrap(), Document { version: 4, body: Bytes::from_static(b"keys") });
        assert_eq!(document(&row[..7]).unwrap_err().kind(), StoreErrorKind::Damaged);
    }
}

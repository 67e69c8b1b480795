//! The stored form of a record: versioned, packed, and bounded in size.
//!
//! ```text
//! 0        version
//! 1        state: 0 approved, else the reason of the revocation  - at a fixed place, so that a store can change it alone
//! 2..10    stamp, microseconds, big-endian                       - at a fixed place, so that a store can write its clock
//! 10       flags: which optional parts follow
//! 11..15   iat      15..19  exp                                   - seconds, big-endian
//! 19..27   creation of the owner, microseconds, big-endian
//! 27..     [nbf] [grant id, grant exp, grant birth] client_id [sub] [username] [scope] [count, aud...] [claims]
//! ```
//!
//! Texts are preceded by their length: one byte up to 127, else two bytes with the top bit set.

use super::claims::Claims;
use super::digest::GrantId;
use super::record::{Grant, Record, State};
use super::scope::Scope;
use super::time::{Stamp, UnixSeconds};
use super::value::TokenKind;

/// The form written today. A reader refuses any other rather than guess at it.
pub const VERSION: u8 = 2;
/// Where the state lies.
pub const STATE_OFFSET: usize = 1;
/// Where the stamp lies.
pub const STAMP_RANGE: std::ops::Range<usize> = 2..10;

const REFRESH: u8 = 1;
const NOT_BEFORE: u8 = 1 << 1;
const GRANT: u8 = 1 << 2;
const SUBJECT: u8 = 1 << 3;
const USERNAME: u8 = 1 << 4;
const SCOPE: u8 = 1 << 5;
const AUDIENCE: u8 = 1 << 6;
const CLAIMS: u8 = 1 << 7;

/// A text too long to be stored, by the name of the part it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is too long to be stored")]
pub struct EncodeError(pub &'static str);

/// Stored bytes that no version of ours wrote, or a newer one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a version that this one does not know.
    #[error("record has version {0}, this program reads {VERSION}")]
    Version(u8),
    /// Cut short, overlong or not text where text must be.
    #[error("record is damaged")]
    Damaged,
}

/// Writes the stored form.
///
/// # Errors
/// [`EncodeError`] when a text or a list does not fit its length field.
pub fn encode(record: &Record) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(128 + record.claims.as_str().len());
    bytes.push(VERSION);
    bytes.push(record.state.to_byte());
    bytes.extend(record.stamp.0.to_be_bytes());
    let present = [
        (NOT_BEFORE, record.not_before.is_some()),
        (GRANT, record.grant.is_some()),
        (SUBJECT, record.subject.is_some()),
        (USERNAME, record.username.is_some()),
        (SCOPE, !record.scope.is_empty()),
        (AUDIENCE, !record.audience.is_empty()),
        (CLAIMS, !record.claims.is_empty()),
        (REFRESH, record.kind == TokenKind::Refresh),
    ];
    bytes.push(present.iter().filter(|(_, is)| *is).fold(0, |flags, (flag, _)| flags | flag));
    bytes.extend(seconds(record.issued_at, "iat")?);
    bytes.extend(seconds(record.expires_at, "exp")?);
    bytes.extend(record.owner_created.0.to_be_bytes());
    if let Some(not_before) = record.not_before {
        bytes.extend(seconds(not_before, "nbf")?);
    }
    if let Some(grant) = &record.grant {
        bytes.extend(grant.id.0);
        bytes.extend(seconds(grant.expires_at, "grant expiry")?);
        bytes.extend(grant.born.0.to_be_bytes());
    }
    text(&mut bytes, "client_id", &record.client_id)?;
    for (name, value) in [("sub", &record.subject), ("username", &record.username)] {
        if let Some(value) = value {
            text(&mut bytes, name, value)?;
        }
    }
    if !record.scope.is_empty() {
        text(&mut bytes, "scope", record.scope.as_str())?;
    }
    if !record.audience.is_empty() {
        bytes.push(u8::try_from(record.audience.len()).map_err(|_| EncodeError("aud"))?);
        for audience in &record.audience {
            text(&mut bytes, "aud", audience)?;
        }
    }
    if !record.claims.is_empty() {
        text(&mut bytes, "claims", record.claims.as_str())?;
    }
    Ok(bytes)
}

/// Reads the stored form.
///
/// # Errors
/// [`DecodeError`]; a record that cannot be read is a fault of the store, never an inactive token.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut reader = Reader(bytes);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let state = State::from_byte(reader.byte()?);
    let stamp = Stamp(u64::from_be_bytes(reader.array()?));
    let flags = reader.byte()?;
    let has = |flag| flags & flag != 0;
    let record = Record {
        state,
        stamp,
        kind: if has(REFRESH) { TokenKind::Refresh } else { TokenKind::Access },
        issued_at: reader.seconds()?,
        expires_at: reader.seconds()?,
        owner_created: Stamp(u64::from_be_bytes(reader.array()?)),
        not_before: has(NOT_BEFORE).then(|| reader.seconds()).transpose()?,
        grant: has(GRANT)
            .then(|| {
                Ok(Grant {
                    id: GrantId(reader.array()?),
                    expires_at: reader.seconds()?,
                    born: Stamp(u64::from_be_bytes(reader.array()?)),
                })
            })
            .transpose()?,
        client_id: reader.text()?.into(),
        subject: has(SUBJECT).then(|| reader.text().map(Into::into)).transpose()?,
        username: has(USERNAME).then(|| reader.text().map(Into::into)).transpose()?,
        scope: if has(SCOPE) {
            Scope::parse(reader.text()?).map_err(|_| DecodeError::Damaged)?
        } else {
            Scope::default()
        },
        audience: if has(AUDIENCE) {
            let count = reader.byte()?;
            (0..count).map(|_| reader.text().map(Into::into)).collect::<Result<_, _>>()?
        } else {
            Vec::new()
        },
        claims: if has(CLAIMS) {
            Claims::from_rendered(reader.text()?.into()).ok_or(DecodeError::Damaged)?
        } else {
            Claims::default()
        },
    };
    if reader.0.is_empty() { Ok(record) } else { Err(DecodeError::Damaged) }
}

/// The stored bytes with another state, as a store writes them when it revokes or approves.
pub fn with_state(mut bytes: Vec<u8>, state: State) -> Vec<u8> {
    if let Some(byte) = bytes.get_mut(STATE_OFFSET) {
        *byte = state.to_byte();
    }
    bytes
}

pub(super) fn seconds(moment: UnixSeconds, name: &'static str) -> Result<[u8; 4], EncodeError> {
    u32::try_from(moment.0).map(u32::to_be_bytes).map_err(|_| EncodeError(name))
}

fn text(bytes: &mut Vec<u8>, name: &'static str, value: &str) -> Result<(), EncodeError> {
    match u16::try_from(value.len()) {
        Ok(length @ 0..=0x7F) => bytes.extend(&length.to_be_bytes()[1..]),
        Ok(length @ 0x80..=0x7FFF) => bytes.extend((length | 0x8000).to_be_bytes()),
        _ => return Err(EncodeError(name)),
    }
    bytes.extend(value.as_bytes());
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N).map(|taken| taken.try_into().expect("taken at this size"))
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    fn seconds(&mut self) -> Result<UnixSeconds, DecodeError> {
        self.array().map(|bytes| UnixSeconds(u32::from_be_bytes(bytes).into()))
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let first = self.byte()?;
        let length = if first & 0x80 == 0 {
            usize::from(first)
        } else {
            usize::from(u16::from_be_bytes([first & 0x7F, self.byte()?]))
        };
        str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::Reason;
    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let moment = || (0..=u64::from(u32::MAX)).prop_map(UnixSeconds);
        let label = || "\\PC{0,200}".prop_map(|label| Box::from(label.as_str()));
        let grant = (any::<[u8; 16]>(), moment(), any::<u64>()).prop_map(|(id, expires_at, born)| Grant {
            id: GrantId(id),
            expires_at,
            born: Stamp(born),
        });
        (
            (any::<u8>(), any::<[u64; 2]>(), any::<bool>(), moment(), proptest::option::of(moment()), moment()),
            (label(), proptest::option::of(label()), proptest::option::of(label())),
            ("([a-z]{1,9}( [A-Z]{1,9}){0,5})?", proptest::collection::vec(label(), 0..5)),
            proptest::option::of(grant),
            "(\"a\":[0-9]{1,300})?",
        )
            .prop_map(|(fixed, names, sets, grant, claims)| Record {
                state: State::from_byte(fixed.0),
                stamp: Stamp(fixed.1[0]),
                owner_created: Stamp(fixed.1[1]),
                kind: if fixed.2 { TokenKind::Refresh } else { TokenKind::Access },
                issued_at: fixed.3,
                not_before: fixed.4,
                expires_at: fixed.5,
                client_id: names.0,
                subject: names.1,
                username: names.2,
                scope: Scope::parse(&sets.0).unwrap(),
                audience: sets.1,
                grant,
                claims: Claims::from_rendered(claims.into()).unwrap(),
            })
    }

    proptest! {
        #[test]
        fn every_record_reads_back(record in any_record()) {
            prop_assert_eq!(decode(&encode(&record).unwrap()), Ok(record));
        }

        #[test]
        fn a_cut_record_is_damaged_and_never_another_record(record in any_record(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&record).unwrap();
            let cut = cut.index(bytes.len());
            prop_assert_eq!(decode(&bytes[..cut]), Err(DecodeError::Damaged));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn state_and_stamp_are_changed_alone(record in any_record(), stamp: u64) {
            let revoked = State::Revoked(Reason::REQUESTED);
            let mut bytes = with_state(encode(&record).unwrap(), revoked);
            bytes[STAMP_RANGE].copy_from_slice(&stamp.to_be_bytes());
            prop_assert_eq!(decode(&bytes), Ok(Record { state: revoked, stamp: Stamp(stamp), ..record }));
        }
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(decode(&[9, 0, 0]), Err(DecodeError::Version(9)));
    }
}

//! The stored form of a record: versioned, packed, and bounded in size.
//!
//! ```text
//! 0        low four bits: version; high four bits: which of the usual parts follow
//! 1        state: 0 approved, else the reason of the revocation  - at a fixed place, so that a store can change it alone
//! 2..10    stamp, microseconds, big-endian                       - at a fixed place, so that a store can write its clock
//! 10..14   exp, seconds, big-endian
//! 14       how long before that iat is: 1 to 127 minutes, or 1 to 128 hours (127 less than the byte);
//!          0: iat stands here, in four more bytes
//! 15..     [flags: which other parts follow] profile, [sub] [user name] [nbf] [grant id, grant exp, grant birth]
//!          [claims]
//! ```
//!
//! The profile is what the record is likely to share with others: see [`super::profile`]. It stands in the record, or
//! its name in eight bytes does, and then the end of the user name is left out too. Texts are as in `token/packed.rs`.
//!
//! So a token for a user of up to 20 characters takes 44 bytes, which is what Redis 7.0 keeps in one piece of memory.

use super::claims::Claims;
use super::digest::GrantId;
use super::packed::{Reader, seconds, text};
use super::profile::{Profile, ProfileId, split_username};
use super::record::{Grant, Record, State};
use super::time::{Stamp, UnixSeconds};
use super::value::TokenKind;

/// The form written today. A reader refuses any other rather than guess at it.
pub const VERSION: u8 = 3;
/// Where the state lies.
pub const STATE_OFFSET: usize = 1;
/// Where the stamp lies.
pub const STAMP_RANGE: std::ops::Range<usize> = 2..10;

/// The bits of the first byte that say which version it is.
const VERSION_BITS: u8 = 0x0F;

const NAMED: u8 = 1 << 4;
const SUBJECT: u8 = 1 << 5;
const USERNAME: u8 = 1 << 6;
const MORE: u8 = 1 << 7;

const REFRESH: u8 = 1;
const NOT_BEFORE: u8 = 1 << 1;
const GRANT: u8 = 1 << 2;
const CLAIMS: u8 = 1 << 3;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const MOST_MINUTES: u64 = 127;

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

/// Writes the stored form, with everything in it.
///
/// # Errors
/// [`EncodeError`] when a text or a list does not fit its length field.
pub fn encode(record: &Record) -> Result<Vec<u8>, EncodeError> {
    write(record, None)
}

/// Writes the stored form with the name of the record's profile in place of the profile.
///
/// # Errors
/// [`EncodeError`] as of [`encode`].
pub fn encode_named(record: &Record, profile: ProfileId) -> Result<Vec<u8>, EncodeError> {
    write(record, Some(profile))
}

fn write(record: &Record, named: Option<ProfileId>) -> Result<Vec<u8>, EncodeError> {
    let more = flags([
        (REFRESH, record.kind == TokenKind::Refresh),
        (NOT_BEFORE, record.not_before.is_some()),
        (GRANT, record.grant.is_some()),
        (CLAIMS, !record.claims.is_empty()),
    ]);
    let usual = flags([
        (NAMED, named.is_some()),
        (SUBJECT, record.subject.is_some()),
        (USERNAME, record.username.is_some()),
        (MORE, more != 0),
    ]);
    let mut bytes = Vec::with_capacity(128 + record.claims.as_str().len());
    bytes.push(VERSION | usual);
    bytes.push(record.state.to_byte());
    bytes.extend(record.stamp.0.to_be_bytes());
    bytes.extend(seconds(record.expires_at, "exp")?);
    let short = record.expires_at.0.checked_sub(record.issued_at.0).and_then(pack_lifetime);
    bytes.push(short.unwrap_or(0));
    if short.is_none() {
        bytes.extend(seconds(record.issued_at, "iat")?);
    }
    if more != 0 {
        bytes.push(more);
    }
    match named {
        Some(profile) => bytes.extend(profile.0),
        None => Profile::of(record).encode_into(&mut bytes)?,
    }
    if let Some(subject) = &record.subject {
        text(&mut bytes, "sub", subject)?;
    }
    if let Some(username) = &record.username {
        text(&mut bytes, "username", split_username(username).0)?;
    }
    if let Some(not_before) = record.not_before {
        bytes.extend(seconds(not_before, "nbf")?);
    }
    if let Some(grant) = &record.grant {
        bytes.extend(grant.id.0);
        bytes.extend(seconds(grant.expires_at, "grant expiry")?);
        bytes.extend(grant.born.0.to_be_bytes());
    }
    if !record.claims.is_empty() {
        text(&mut bytes, "claims", record.claims.as_str())?;
    }
    Ok(bytes)
}

fn flags<const N: usize>(present: [(u8, bool); N]) -> u8 {
    present.iter().filter(|(_, is)| *is).fold(0, |flags, (flag, _)| flags | flag)
}

/// One byte for a lifetime in whole minutes or hours; none for another, or a longer one.
fn pack_lifetime(seconds: u64) -> Option<u8> {
    let packed = match seconds {
        0 => return None,
        _ if seconds.is_multiple_of(MINUTE) && seconds <= MOST_MINUTES * MINUTE => seconds / MINUTE,
        _ if seconds.is_multiple_of(HOUR) => seconds / HOUR + MOST_MINUTES,
        _ => return None,
    };
    u8::try_from(packed).ok()
}

fn unpack_lifetime(packed: u8) -> u64 {
    match u64::from(packed) {
        minutes @ 0..=MOST_MINUTES => minutes * MINUTE,
        hours => (hours - MOST_MINUTES) * HOUR,
    }
}

/// The profile that a stored record names; none when it keeps that to itself.
///
/// # Errors
/// [`DecodeError`] as of [`decode`].
pub fn profile_of(bytes: &[u8]) -> Result<Option<ProfileId>, DecodeError> {
    let (_, profile, _) = head(bytes)?;
    match profile {
        Source::Named(id) => Ok(Some(id)),
        Source::Own => Ok(None),
    }
}

/// Reads the stored form of a record that has everything in it.
///
/// # Errors
/// [`DecodeError`]; a record that cannot be read is a fault of the store, never an inactive token.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let (head, source, mut reader) = head(bytes)?;
    match source {
        Source::Own => {
            let profile = Profile::decode_from(&mut reader)?;
            head.complete(profile, reader)
        }
        Source::Named(_) => Err(DecodeError::Damaged),
    }
}

/// Reads the stored form of a record that names this profile, as [`profile_of`] says.
///
/// # Errors
/// [`DecodeError`] as of [`decode`].
pub fn decode_named(bytes: &[u8], profile: &Profile) -> Result<Record, DecodeError> {
    let (head, source, reader) = head(bytes)?;
    match source {
        Source::Own => Err(DecodeError::Damaged),
        Source::Named(_) => head.complete(profile.clone(), reader),
    }
}

/// What stands before the profile.
struct Head {
    usual: u8,
    more: u8,
    state: State,
    stamp: Stamp,
    issued_at: UnixSeconds,
    expires_at: UnixSeconds,
}

/// Where the profile is to be had.
enum Source {
    /// It comes next.
    Own,
    /// It is kept under this name.
    Named(ProfileId),
}

fn head(bytes: &[u8]) -> Result<(Head, Source, Reader<'_>), DecodeError> {
    let mut reader = Reader(bytes);
    let usual = reader.byte()?;
    if usual & VERSION_BITS != VERSION {
        return Err(DecodeError::Version(usual & VERSION_BITS));
    }
    let state = State::from_byte(reader.byte()?);
    let stamp = Stamp(u64::from_be_bytes(reader.array()?));
    let expires_at = reader.seconds()?;
    let issued_at = match reader.byte()? {
        0 => reader.seconds()?,
        lifetime => UnixSeconds(expires_at.0.checked_sub(unpack_lifetime(lifetime)).ok_or(DecodeError::Damaged)?),
    };
    let more = if usual & MORE == 0 { 0 } else { reader.byte()? };
    if more & !(REFRESH | NOT_BEFORE | GRANT | CLAIMS) != 0 {
        return Err(DecodeError::Damaged);
    }
    let source = if usual & NAMED == 0 { Source::Own } else { Source::Named(ProfileId(reader.array()?)) };
    Ok((Head { usual, more, state, stamp, issued_at, expires_at }, source, reader))
}

impl Head {
    /// The record of this head, this profile, and the rest.
    fn complete(self, profile: Profile, mut reader: Reader<'_>) -> Result<Record, DecodeError> {
        let usual = |flag| self.usual & flag != 0;
        let more = |flag| self.more & flag != 0;
        let Profile { client_id, owner_created, scope, audience, realm } = profile;
        let record = Record {
            state: self.state,
            stamp: self.stamp,
            owner_created,
            kind: if more(REFRESH) { TokenKind::Refresh } else { TokenKind::Access },
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            client_id,
            scope,
            audience,
            subject: usual(SUBJECT).then(|| reader.text()).transpose()?,
            username: usual(USERNAME)
                .then(|| reader.text().map(|own| if realm.is_empty() { own } else { [own, realm].concat().into() }))
                .transpose()?,
            not_before: more(NOT_BEFORE).then(|| reader.seconds()).transpose()?,
            grant: more(GRANT)
                .then(|| {
                    Ok(Grant {
                        id: GrantId(reader.array()?),
                        expires_at: reader.seconds()?,
                        born: Stamp(u64::from_be_bytes(reader.array()?)),
                    })
                })
                .transpose()?,
            claims: if more(CLAIMS) {
                Claims::from_rendered(reader.text()?).ok_or(DecodeError::Damaged)?
            } else {
                Claims::default()
            },
        };
        reader.end().map(|()| record)
    }
}

/// The stored bytes with another state, as a store writes them when it revokes or approves.
pub fn with_state(mut bytes: Vec<u8>, state: State) -> Vec<u8> {
    if let Some(byte) = bytes.get_mut(STATE_OFFSET) {
        *byte = state.to_byte();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::Reason;
    use super::super::scope::Scope;
    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let moment = || (0..=u64::from(u32::MAX)).prop_map(UnixSeconds);
        let label = || "\\PC{0,200}|[a-z0-9]{1,20}(@[a-z.]{1,9})?".prop_map(|label| Box::from(label.as_str()));
        // From when it was issued, or at any moment.
        let expiry = || prop_oneof![moment().prop_map(Err), (0..300_u64).prop_map(|units| Ok(units * 1800))];
        let grant = (any::<[u8; 16]>(), moment(), any::<u64>()).prop_map(|(id, expires_at, born)| Grant {
            id: GrantId(id),
            expires_at,
            born: Stamp(born),
        });
        (
            (any::<u8>(), any::<[u64; 2]>(), any::<bool>(), moment(), proptest::option::of(moment()), expiry()),
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
                expires_at: fixed.5.map_or_else(|end| end, |lifetime| fixed.3.plus(lifetime)),
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
        fn every_record_reads_back_with_its_profile_kept_elsewhere(record in any_record(), id: [u8; 8]) {
            let bytes = encode_named(&record, ProfileId(id)).unwrap();
            prop_assert_eq!(profile_of(&bytes), Ok(Some(ProfileId(id))));
            prop_assert_eq!(decode(&bytes), Err(DecodeError::Damaged), "it is not all there");
            let profile = Profile::decode(&Profile::of(&record).encode().unwrap()).unwrap();
            prop_assert_eq!(decode_named(&bytes, &profile), Ok(record.clone()));
            let whole = encode(&record).unwrap();
            prop_assert_eq!(profile_of(&whole), Ok(None));
            prop_assert_eq!(decode_named(&whole, &profile), Err(DecodeError::Damaged), "it has its own");
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode_named(&bytes[..cut], &profile), Err(DecodeError::Damaged));
            }
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
            let versioned = [&[VERSION | bytes.first().unwrap_or(&0) & !VERSION_BITS], &*bytes].concat();
            let _ = (decode(&versioned), profile_of(&versioned), Profile::decode(&bytes));
        }

        #[test]
        fn state_and_stamp_are_changed_alone(record in any_record(), stamp: u64) {
            let revoked = State::Revoked(Reason::REQUESTED);
            let mut bytes = with_state(encode(&record).unwrap(), revoked);
            bytes[STAMP_RANGE].copy_from_slice(&stamp.to_be_bytes());
            prop_assert_eq!(decode(&bytes), Ok(Record { state: revoked, stamp: Stamp(stamp), ..record.clone() }));
            let mut bytes = with_state(encode_named(&record, ProfileId([7; 8])).unwrap(), revoked);
            bytes[STAMP_RANGE].copy_from_slice(&stamp.to_be_bytes());
            let changed = Record { state: revoked, stamp: Stamp(stamp), ..record.clone() };
            prop_assert_eq!(decode_named(&bytes, &Profile::of(&record)), Ok(changed));
        }
    }

    fn usual(subject: &str, username: Option<&str>, lifetime: u64) -> Record {
        Record {
            state: State::Approved,
            stamp: Stamp(1_800_000_000_000_000),
            owner_created: Stamp(1_700_000_000_000_000),
            kind: TokenKind::Access,
            issued_at: UnixSeconds(1_800_000_000),
            not_before: None,
            expires_at: UnixSeconds(1_800_000_000 + lifetime),
            client_id: "app".into(),
            subject: Some(subject.into()),
            username: username.map(Into::into),
            scope: Scope::parse("read write").unwrap(),
            audience: vec!["https://api.example.com".into()],
            grant: None,
            claims: Claims::default(),
        }
    }

    /// `OBJ_ENCODING_EMBSTR_SIZE_LIMIT` of Redis: a longer text takes a second piece of memory.
    const EMBEDDED: usize = 44;

    #[test]
    fn a_usual_record_is_kept_by_redis_in_one_piece() {
        let size = |record| encode_named(&record, ProfileId([7; 8])).unwrap().len();
        for (subject, username) in [
            ("20 Characters |: Abc", None),
            ("thirty-of-the-usual-characters", None),
            ("550e8400-e29b-41d4-a716-446655440000", None),
            ("user-00000001", Some("user00000001@example.com")),
        ] {
            let size = size(usual(subject, username, 3600));
            assert!(size <= EMBEDDED, "{subject}: {size}");
        }
        let plain = |length: usize| usual(&"A".repeat(length), None, 3600);
        assert_eq!(size(plain(20)), EMBEDDED);
        assert_eq!(size(plain(40)), EMBEDDED + 20, "no jump");
        assert_eq!(size(usual("A", None, 3601)), size(plain(1)) + 4);
    }

    #[test]
    fn a_lifetime_in_minutes_or_hours_takes_one_byte_and_any_other_reads_back_too() {
        for (lifetime, packed) in [
            (0, None),
            (59, None),
            (60, Some(1)),
            (61, None),
            (3600, Some(60)),
            (127 * 60, Some(127)),
            (128 * 60, None),
            (3 * 3600, Some(130)),
            (128 * 3600, Some(255)),
            (129 * 3600, None),
            (30 * 24 * 3600, None),
        ] {
            assert_eq!(pack_lifetime(lifetime), packed, "{lifetime}");
            if let Some(packed) = packed {
                assert_eq!(unpack_lifetime(packed), lifetime);
            }
            let record = usual("alice", None, lifetime);
            assert_eq!(decode(&encode(&record).unwrap()), Ok(record));
        }
        // Issued before 1970, by what is stored.
        let mut bytes = encode(&usual("alice", None, 3600)).unwrap();
        bytes[10..14].fill(0);
        assert_eq!(decode(&bytes), Err(DecodeError::Damaged));
    }

    #[test]
    fn another_version_is_refused() {
        for version in [1, 2, 4, 9] {
            assert_eq!(decode(&[version, 0, 0]), Err(DecodeError::Version(version)));
            assert_eq!(profile_of(&[version | NAMED, 0, 0]), Err(DecodeError::Version(version)));
        }
    }
}

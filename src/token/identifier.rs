//! The `jti` of a signed token: all that revoking it needs, so that it needs no record in a store.
//!
//! ```text
//! 0..12    random                                    - no two tokens have the same name
//! 12..20   stamp of the token, microseconds          - what epochs and marks are compared with
//! 20..28   creation of the owner, microseconds       - a client that comes later under the same id is another one
//! 28..32   exp, seconds                              - how long a revocation must be kept
//! [ ..     grant id (16), its expiry (4), its birth (8) ]
//! ..       check value (6)                           - nobody but us can make one
//! ```
//!
//! Numbers are big-endian, the text is base64url: 51 characters, 88 with a grant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::digest::{GrantId, TokenDigest};
use super::keyring::{Key, KeyRing};
use super::record::Grant;
use super::time::{Stamp, UnixSeconds};
use super::value::CheckValue;

/// What the `jti` of a signed token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// When the token was taken in, by the store's clock.
    pub stamp: Stamp,
    /// When the client was created to which it was issued.
    pub owner_created: Stamp,
    /// `exp`.
    pub expires_at: UnixSeconds,
    /// The family that it belongs to.
    pub grant: Option<Grant>,
}

const RANDOM_BYTES: usize = 12;
const ALONE_BYTES: usize = RANDOM_BYTES + 8 + 8 + 4;
const GRANT_BYTES: usize = GrantId::BYTES + 4 + 8;
const MAX_BYTES: usize = ALONE_BYTES + GRANT_BYTES + CheckValue::BYTES;

impl Identifier {
    /// The longest text form, in characters.
    pub const MAX_LENGTH: usize = MAX_BYTES.div_ceil(3) * 4;

    fn write(&self, random: [u8; RANDOM_BYTES]) -> Vec<u8> {
        // Seconds of ours end with 32 bits, as records do.
        let seconds = |moment: UnixSeconds| u32::try_from(moment.0).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = Vec::with_capacity(MAX_BYTES);
        bytes.extend(random);
        bytes.extend(self.stamp.0.to_be_bytes());
        bytes.extend(self.owner_created.0.to_be_bytes());
        bytes.extend(seconds(self.expires_at));
        if let Some(grant) = &self.grant {
            bytes.extend(grant.id.0);
            bytes.extend(seconds(grant.expires_at));
            bytes.extend(grant.born.0.to_be_bytes());
        }
        bytes
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (_, rest) = body.split_first_chunk::<RANDOM_BYTES>()?;
        let (stamp, rest) = rest.split_first_chunk()?;
        let (owner_created, rest) = rest.split_first_chunk()?;
        let (expires_at, rest) = rest.split_first_chunk()?;
        let seconds = |bytes: &[u8; 4]| UnixSeconds(u32::from_be_bytes(*bytes).into());
        let grant = if rest.is_empty() {
            None
        } else {
            let (id, rest) = rest.split_first_chunk()?;
            let (end, rest) = rest.split_first_chunk()?;
            let born = Stamp(u64::from_be_bytes(rest.try_into().ok()?));
            Some(Grant { id: GrantId(*id), expires_at: seconds(end), born })
        };
        Some(Self {
            stamp: Stamp(u64::from_be_bytes(*stamp)),
            owner_created: Stamp(u64::from_be_bytes(*owner_created)),
            expires_at: seconds(expires_at),
            grant,
        })
    }
}

impl KeyRing {
    /// A new `jti` that says this, and the digest that a store knows the token by.
    ///
    /// # Errors
    /// The generator's own, when the operating system has no randomness to give.
    pub fn identify(&self, identifier: &Identifier) -> Result<(String, TokenDigest), getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let mut bytes = identifier.write(random);
        let (digest, check) = digest_and_check(self.active(), &bytes);
        bytes.extend(check);
        Ok((URL_SAFE_NO_PAD.encode(bytes), digest))
    }

    /// Reads a `jti` of a signed token, made under any of the keys; `None` for every text that is not one.
    pub fn read_identifier(&self, text: &str) -> Option<(Identifier, TokenDigest)> {
        if text.len() > Identifier::MAX_LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, check) = bytes.split_last_chunk::<{ CheckValue::BYTES }>()?;
        if ![ALONE_BYTES, ALONE_BYTES + GRANT_BYTES].contains(&body.len()) {
            return None;
        }
        let made_with = |key: &Key| {
            let (digest, expected) = digest_and_check(key, body);
            bool::from(expected.ct_eq(check)).then_some(digest)
        };
        let digest = self.keys().find_map(made_with)?;
        Some((Identifier::read(body)?, digest))
    }
}

/// As of an opaque token: one keyed hash gives the digest and, behind it, the check value.
fn digest_and_check(key: &Key, body: &[u8]) -> (TokenDigest, [u8; CheckValue::BYTES]) {
    let mut output = [0; TokenDigest::BYTES + CheckValue::BYTES];
    blake3::Hasher::new_keyed(&key.identifiers).update(body).finalize_xof().fill(&mut output);
    let (digest, check) = output.split_at(TokenDigest::BYTES);
    (TokenDigest(digest.try_into().expect("split at its size")), check.try_into().expect("the rest is the check value"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::identity;
    use super::super::keyring::KeyId;
    use super::*;

    fn key(id: &str, byte: u8) -> Key {
        Key::derive(KeyId::from_bytes(id.as_bytes()).unwrap(), &[byte; 32]).unwrap()
    }

    fn ring() -> KeyRing {
        KeyRing::new(key("01", 1), vec![], false).unwrap()
    }

    fn any_identifier() -> impl Strategy<Value = Identifier> {
        let moment = || (0..=u64::from(u32::MAX)).prop_map(UnixSeconds);
        let grant = (any::<[u8; 16]>(), moment(), any::<u64>()).prop_map(|(id, expires_at, born)| Grant {
            id: GrantId(id),
            expires_at,
            born: Stamp(born),
        });
        (any::<[u64; 2]>(), moment(), proptest::option::of(grant)).prop_map(|(stamps, expires_at, grant)| Identifier {
            stamp: Stamp(stamps[0]),
            owner_created: Stamp(stamps[1]),
            expires_at,
            grant,
        })
    }

    fn alone() -> Identifier {
        Identifier { stamp: Stamp(1), owner_created: Stamp(2), expires_at: UnixSeconds(3), grant: None }
    }

    #[test]
    fn rfc7519_4_1_7_no_two_tokens_have_one_name() {
        let ring = ring();
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let (text, digest) = ring.identify(&alone()).unwrap();
            assert_eq!(text.len(), 51);
            assert!(seen.insert(text) && seen.insert(digest.to_text().to_string()));
        }
    }

    #[test]
    fn a_rotated_key_reads_on_and_a_dropped_one_does_not() {
        let (text, digest) = ring().identify(&alone()).unwrap();
        let rotated = KeyRing::new(key("02", 2), vec![key("01", 1)], false).unwrap();
        assert_eq!(rotated.read_identifier(&text), Some((alone(), digest)));
        let dropped = KeyRing::new(key("02", 2), vec![], false).unwrap();
        assert_eq!(dropped.read_identifier(&text), None);
    }

    #[test]
    fn any_changed_character_makes_it_nobodys() {
        let ring = ring();
        let (text, _) = ring.identify(&alone()).unwrap();
        for position in 0..text.len() {
            for with in ["A", "B", "_", "="] {
                let mut altered = text.clone();
                altered.replace_range(position..=position, with);
                assert!(altered == text || ring.read_identifier(&altered).is_none(), "at {position}");
            }
        }
        let (other, _) = ring.identify(&alone()).unwrap();
        assert_eq!(ring.read_identifier(&format!("{}{}", &text[..40], &other[40..])), None);
    }

    proptest! {
        #[test]
        fn every_identifier_reads_back_and_is_no_name_of_another_kind(identifier in any_identifier()) {
            let (text, digest) = ring().identify(&identifier).unwrap();
            prop_assert_eq!(text.len(), if identifier.grant.is_some() { 88 } else { 51 });
            prop_assert!(text.len() <= Identifier::MAX_LENGTH);
            prop_assert_eq!(identity::from_text(&text), None);
            prop_assert_eq!(ring().read_identifier(&text), Some((identifier, digest)));
        }

        #[test]
        fn no_text_makes_reading_panic(text in any::<String>(), plausible in "[A-Za-z0-9_-]{51}|[A-Za-z0-9_-]{88}") {
            prop_assert_eq!(ring().read_identifier(&text), None);
            prop_assert_eq!(ring().read_identifier(&plausible), None);
        }
    }
}

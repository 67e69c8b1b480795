//! What many tokens have in common: kept once, and named in each of their records.
//!
//! ```text
//! 0        version
//! 1        flags: which optional parts follow
//! 2..10    creation of the owner, microseconds, big-endian
//! 10..     client_id [scope] [count, aud...] [end of the user name]
//! ```
//!
//! Texts are as in `token/packed.rs`. In a record that keeps its profile to itself the version is left out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::codec::{DecodeError, EncodeError};
use super::packed::{Reader, text};
use super::record::Record;
use super::scope::Scope;
use super::time::Stamp;

/// The form written today.
const VERSION: u8 = 1;

const SCOPE: u8 = 1;
const AUDIENCE: u8 = 1 << 1;
const REALM: u8 = 1 << 2;

/// The part of a record that other records are likely to share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `client_id`.
    pub client_id: Box<str>,
    /// When that client was created.
    pub owner_created: Stamp,
    /// `scope`.
    pub scope: Scope,
    /// `aud`.
    pub audience: Vec<Box<str>>,
    /// The end of `username`, from its last `@` on; empty when it has none.
    pub realm: Box<str>,
}

/// Names a profile by its content: 64 bits of a hash.
///
/// The dataset goes into the hash. It is a random number, so that nobody who does not know it can look for two
/// profiles of one name; that two have one by chance is not to be expected below 2^30 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProfileId(pub [u8; Self::BYTES]);

impl ProfileId {
    /// Size of the binary form.
    pub const BYTES: usize = 8;

    /// The name of a stored profile in a dataset.
    pub fn of(dataset: &[u8; 16], stored: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("introspectd 2026-11 profile of tokens");
        hasher.update(dataset).update(stored);
        let mut id = [0; Self::BYTES];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }

    /// Eleven characters, used as key in a store.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for ProfileId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_text())
    }
}

impl Profile {
    /// The profile of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            client_id: record.client_id.clone(),
            owner_created: record.owner_created,
            scope: record.scope.clone(),
            audience: record.audience.clone(),
            realm: record.username.as_deref().map_or("", |name| split_username(name).1).into(),
        }
    }

    /// Writes the stored form.
    ///
    /// # Errors
    /// [`EncodeError`] when a text or a list does not fit its length field.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = vec![VERSION];
        self.encode_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let profile = Self::decode_from(&mut reader)?;
        reader.end().map(|()| profile)
    }

    pub(super) fn encode_into(&self, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        let present =
            [(SCOPE, !self.scope.is_empty()), (AUDIENCE, !self.audience.is_empty()), (REALM, !self.realm.is_empty())];
        bytes.push(present.iter().filter(|(_, is)| *is).fold(0, |flags, (flag, _)| flags | flag));
        bytes.extend(self.owner_created.0.to_be_bytes());
        text(bytes, "client_id", &self.client_id)?;
        if !self.scope.is_empty() {
            text(bytes, "scope", self.scope.as_str())?;
        }
        if !self.audience.is_empty() {
            bytes.push(u8::try_from(self.audience.len()).map_err(|_| EncodeError("aud"))?);
            for audience in &self.audience {
                text(bytes, "aud", audience)?;
            }
        }
        if !self.realm.is_empty() {
            text(bytes, "username", &self.realm)?;
        }
        Ok(())
    }

    pub(super) fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.byte()?;
        if flags & !(SCOPE | AUDIENCE | REALM) != 0 {
            return Err(DecodeError::Damaged);
        }
        let has = |flag| flags & flag != 0;
        Ok(Self {
            owner_created: Stamp(u64::from_be_bytes(reader.array()?)),
            client_id: reader.text()?,
            scope: if has(SCOPE) {
                Scope::parse(&reader.text()?).map_err(|_| DecodeError::Damaged)?
            } else {
                Scope::default()
            },
            audience: if has(AUDIENCE) {
                (0..reader.byte()?).map(|_| reader.text()).collect::<Result<_, _>>()?
            } else {
                Vec::new()
            },
            realm: if has(REALM) { reader.text()? } else { Box::default() },
        })
    }
}

/// The part of a user name that is the user's own, and the part from its last `@` on, which many users share.
pub(super) fn split_username(username: &str) -> (&str, &str) {
    username.rfind('@').map_or((username, ""), |place| username.split_at(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile {
            client_id: "app".into(),
            owner_created: Stamp(7),
            scope: Scope::parse("read write").unwrap(),
            audience: vec!["https://api.example.com".into(), "b".into()],
            realm: "@example.com".into(),
        }
    }

    /// Profiles that differ from the one above in one part each.
    fn others() -> [Profile; 7] {
        let profile = profile();
        [
            Profile { client_id: "App".into(), ..profile.clone() },
            Profile { owner_created: Stamp(8), ..profile.clone() },
            Profile { scope: Scope::parse("write read").unwrap(), ..profile.clone() },
            Profile { scope: Scope::default(), ..profile.clone() },
            Profile { audience: vec!["https://api.example.com".into()], ..profile.clone() },
            Profile { audience: vec![], ..profile.clone() },
            Profile { realm: Box::default(), ..profile },
        ]
    }

    #[test]
    fn no_two_profiles_and_no_two_datasets_have_one_name() {
        let id = |dataset: u8, profile: &Profile| ProfileId::of(&[dataset; 16], &profile.encode().unwrap());
        let own = id(1, &profile());
        assert_eq!(own, id(1, &profile()));
        assert_ne!(own, id(2, &profile()));
        assert_eq!(own.to_text().len(), 11);
        for other in others() {
            assert_ne!(own, id(1, &other), "{other:?}");
            assert_eq!(Profile::decode(&other.encode().unwrap()), Ok(other));
        }
    }

    #[test]
    fn what_is_cut_longer_or_of_another_version_is_refused() {
        let mut bytes = profile().encode().unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(Profile::decode(&bytes[..cut]), Err(DecodeError::Damaged));
        }
        bytes.push(0);
        assert_eq!(Profile::decode(&bytes), Err(DecodeError::Damaged));
        bytes.pop();
        bytes[1] |= 1 << 7;
        assert_eq!(Profile::decode(&bytes), Err(DecodeError::Damaged));
        bytes[0] = VERSION + 1;
        assert_eq!(Profile::decode(&bytes), Err(DecodeError::Version(VERSION + 1)));
    }

    #[test]
    fn a_user_name_ends_where_its_last_sign_is() {
        for (name, parts) in [
            ("alice", ("alice", "")),
            ("alice@example.com", ("alice", "@example.com")),
            ("a@b@c", ("a@b", "@c")),
            ("@", ("", "@")),
            ("", ("", "")),
        ] {
            assert_eq!(split_username(name), parts);
        }
    }
}

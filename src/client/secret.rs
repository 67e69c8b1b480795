//! Client secrets: how one is made, how it is kept, and how a presented one is compared.
//!
//! A secret made here has 256 random bits, so one keyed BLAKE3 keeps it safe at rest and costs nothing per request. One
//! that was brought along may be a word from a dictionary, so it is kept as argon2id (RFC 9106).

use std::fmt;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::token::keyring::{KeyId, KeyRing};
use crate::token::time::UnixSeconds;

/// A secret in the clear, on its way in or out. Wiped when dropped, and never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The shortest secret that may be brought along, in bytes.
    pub const MIN_BYTES: usize = 8;
    /// The longest secret taken, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Takes over a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// 256 bits from the operating system's generator, as 43 characters that no encoding changes.
    ///
    /// # Errors
    /// The generator's own.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(random.as_mut_slice())?;
        Ok(Self::new(URL_SAFE_NO_PAD.encode(random.as_slice())))
    }

    /// The text, for comparing and for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}

/// A secret at rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSecret {
    /// What is kept of it.
    pub hash: SecretHash,
    /// When it was made or brought along.
    pub created_at: UnixSeconds,
    /// From when on it no longer works; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixSeconds>,
}

impl StoredSecret {
    /// Whether it works at `now`.
    pub fn is_live(&self, now: UnixSeconds) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// What is kept of a secret.
#[derive(Clone, PartialEq)]
pub enum SecretHash {
    /// Keyed BLAKE3 of a secret made here.
    Keyed {
        /// The key it was made with.
        key: KeyId,
        /// The digest.
        digest: [u8; 32],
    },
    /// argon2id of a secret brought along, as a PHC string.
    Argon2id(Box<str>),
}

impl SecretHash {
    /// The digest of a secret made here.
    pub fn keyed(keys: &KeyRing, secret: &Secret) -> Self {
        let (key, digest) = keys.digest_secret(secret.expose());
        Self::Keyed { key, digest }
    }

    /// The argon2id hash of a secret brought along: tens of milliseconds and [`MEMORY_KIB`] of memory, so run it on the
    /// hashing pool.
    ///
    /// # Errors
    /// The library's own, when there is no randomness for a salt.
    pub fn argon2id(secret: &Secret) -> Result<Self, argon2::password_hash::Error> {
        let hash = hasher().hash_password(secret.expose().as_bytes())?;
        Ok(Self::Argon2id(hash.to_string().into()))
    }

    /// Whether `secret` is the one kept. Slow for [`SecretHash::Argon2id`]: run that on the hashing pool.
    pub fn matches(&self, keys: &KeyRing, secret: &str) -> bool {
        match self {
            Self::Keyed { key, digest } => keys.secret_matches(*key, digest, secret),
            Self::Argon2id(phc) => {
                PasswordHash::new(phc).is_ok_and(|hash| hasher().verify_password(secret.as_bytes(), &hash).is_ok())
            }
        }
    }

    /// Whether comparing is slow on purpose.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Argon2id(_))
    }
}

/// Memory of one argon2id hash, in KiB: the floor of the OWASP cheat sheet for two passes and one lane.
pub const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).expect("the constants lie in the allowed ranges");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash(redacted)")
    }
}

const KEYED_PREFIX: &str = "$blake3-keyed$";

/// `$blake3-keyed$<key id>$<digest, base64url>`, or a PHC string as it is.
impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keyed { key, digest } => {
                serializer.collect_str(&format_args!("{KEYED_PREFIX}{key}${}", URL_SAFE_NO_PAD.encode(digest)))
            }
            Self::Argon2id(phc) => serializer.serialize_str(phc),
        }
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let invalid = || de::Error::custom("not the hash of a secret");
        if let Some(rest) = text.strip_prefix(KEYED_PREFIX) {
            let (key, digest) = rest.split_once('$').ok_or_else(invalid)?;
            let key = KeyId::from_bytes(key.as_bytes()).ok_or_else(invalid)?;
            let digest = URL_SAFE_NO_PAD.decode(digest).map_err(|_| invalid())?;
            Ok(Self::Keyed { key, digest: digest.try_into().map_err(|_| invalid())? })
        } else if text.starts_with("$argon2id$") && PasswordHash::new(&text).is_ok() {
            Ok(Self::Argon2id(text.into()))
        } else {
            Err(invalid())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::keyring::Key;

    fn keys() -> KeyRing {
        let key = Key::derive(KeyId::from_bytes(b"01").unwrap(), &[7; 32]).unwrap();
        KeyRing::new(key, vec![], true).unwrap()
    }

    #[test]
    fn both_kinds_of_hash_match_their_secret_and_read_back() {
        let keys = keys();
        let secret = Secret::generate().unwrap();
        assert_eq!(secret.expose().len(), 43);
        for hash in [SecretHash::keyed(&keys, &secret), SecretHash::argon2id(&secret).unwrap()] {
            let text = serde_json::to_string(&hash).unwrap();
            assert!(!text.contains(secret.expose()));
            let back: SecretHash = serde_json::from_str(&text).unwrap();
            assert_eq!(back, hash);
            assert!(back.matches(&keys, secret.expose()));
            assert!(!back.matches(&keys, "wrong"));
        }
    }

    #[test]
    fn nothing_but_the_two_forms_is_read() {
        for text in
            ["\"\"", "\"plain\"", "\"$blake3-keyed$01$short\"", "\"$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA\""]
        {
            assert!(serde_json::from_str::<SecretHash>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let keys = keys();
        let secret = Secret::new("hunter2-hunter2");
        let hash = SecretHash::keyed(&keys, &secret);
        assert!(!format!("{secret:?} {hash:?}").contains("hunter2"));
    }
}

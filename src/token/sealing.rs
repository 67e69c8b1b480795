//! Secrets that a store may hold: encrypted under a key that the store never sees (AES-256-GCM, NIST SP 800-38D).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::keyring::{Key, KeyId, KeyRing};

/// An encrypted secret, and the id of the key that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Names the server key that it was sealed under.
    pub key: KeyId,
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Why a sealed secret was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was sealed under a key that this node does not have.
    #[error("it was sealed under the key {0}, which this node does not have")]
    UnknownKey(KeyId),
    /// It was altered, or belongs to another context.
    #[error("it was altered, or is another one's")]
    Damaged,
}

/// The library failed, or the operating system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret could not be sealed")]
pub struct SealError;

impl KeyRing {
    /// Encrypts a secret under the active key. It opens only together with the same `context`, which is not encrypted:
    /// what it is, and whose.
    ///
    /// The nonce is random: one key seals far fewer than the 2^32 secrets after which two could be alike.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Sealed, SealError> {
        let key = self.active();
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError)?;
        let mut text = Zeroizing::new(secret.to_vec());
        let nonce_of_text = Nonce::assume_unique_for_key(nonce);
        let tag = cipher(key).and_then(|cipher| {
            cipher.seal_in_place_separate_tag(nonce_of_text, Aad::from(context), &mut text).map_err(|_| SealError)
        })?;
        let bytes = [nonce.as_slice(), &text, tag.as_ref()].concat();
        Ok(Sealed { key: key.id(), bytes })
    }

    /// Decrypts a secret that was sealed under any of the keys, in this context.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, context: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let key = self.key(sealed.key).ok_or(OpenError::UnknownKey(sealed.key))?;
        let (nonce, text) = sealed.bytes.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let cipher = cipher(key).map_err(|_| OpenError::Damaged)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length =
            cipher.open_in_place(nonce, Aad::from(context), text.as_mut_slice()).map_err(|_| OpenError::Damaged)?.len();
        text.truncate(length);
        Ok(text)
    }

    /// The id of the key that secrets are sealed under.
    pub fn active_id(&self) -> KeyId {
        self.active().id()
    }
}

fn cipher(key: &Key) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key.sealing.as_slice()).map(LessSafeKey::new).map_err(|_| SealError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> Key {
        Key::derive(KeyId::from_bytes(id.as_bytes()).unwrap(), &[byte; 32]).unwrap()
    }

    fn ring() -> KeyRing {
        KeyRing::new(key("01", 1), vec![], false).unwrap()
    }

    #[test]
    fn a_secret_opens_in_its_context_only() {
        let sealed = ring().seal(b"kid-1", b"a private key").unwrap();
        assert!(!sealed.bytes.windows(7).any(|window| window == b"private"));
        assert_eq!(*ring().open(b"kid-1", &sealed).unwrap(), b"a private key");
        assert_eq!(ring().open(b"kid-2", &sealed), Err(OpenError::Damaged));
        assert_ne!(ring().seal(b"kid-1", b"a private key").unwrap(), sealed, "no nonce is used twice");
    }

    #[test]
    fn what_was_altered_does_not_open() {
        let sealed = ring().seal(b"kid-1", b"a private key").unwrap();
        for position in 0..sealed.bytes.len() {
            let mut altered = sealed.clone();
            altered.bytes[position] ^= 1;
            assert_eq!(ring().open(b"kid-1", &altered), Err(OpenError::Damaged), "at {position}");
        }
        for length in [0, 11, 12, 27] {
            let cut = Sealed { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() };
            assert_eq!(ring().open(b"kid-1", &cut), Err(OpenError::Damaged), "{length}");
        }
    }

    #[test]
    fn a_rotated_key_opens_on_and_a_dropped_one_does_not() {
        let sealed = ring().seal(b"kid-1", b"a private key").unwrap();
        let rotated = KeyRing::new(key("02", 2), vec![key("01", 1)], false).unwrap();
        assert!(rotated.open(b"kid-1", &sealed).is_ok());
        assert_eq!(rotated.seal(b"kid-1", b"x").unwrap().key, rotated.active_id());
        let dropped = KeyRing::new(key("02", 2), vec![], false).unwrap();
        assert_eq!(dropped.open(b"kid-1", &sealed), Err(OpenError::UnknownKey(sealed.key)));
        let other = KeyRing::new(key("01", 9), vec![], false).unwrap();
        assert_eq!(other.open(b"kid-1", &sealed), Err(OpenError::Damaged));
    }
}

//! The keys behind token digests and secret digests, and their rotation by key id.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::digest::{GrantId, TokenDigest};
pub use super::key::{Key, KeyId};
use super::value::{CheckValue, Form, Presented, REFRESH_RANDOM_BYTES, TokenValue};

/// All keys that are still in use: one makes new digests, the others recognise older ones.
pub struct KeyRing {
    active: Key,
    retired: Vec<Key>,
    imports: bool,
}

/// Why a set of keys cannot work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// Two keys under one id.
    #[error("two keys have the id {0}")]
    Repeated(KeyId),
    /// More than [`KeyRing::MAX_KEYS`]: an imported token is looked up once per key.
    #[error("more than {} keys", KeyRing::MAX_KEYS)]
    TooMany,
}

/// What a presented token can be, as far as keys alone tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Not made by us, or altered: inactive without a look-up.
    Garbage,
    /// It has the form of ours, and names a key that is not in the ring: whether it is one cannot be told here.
    UnknownKey(KeyId),
    /// An access token of ours: at most one record can exist for it.
    One(TokenDigest),
    /// A refresh token of ours: what is known of it is kept with its grant.
    Refresh {
        /// The grant that it names.
        grant: GrantId,
        /// Its digest: the token works as long as the grant says that this is the current one.
        digest: TokenDigest,
    },
    /// Possibly imported, under any of the keys: newest first, at most [`KeyRing::MAX_KEYS`].
    Imported(Vec<TokenDigest>),
}

impl Candidates {
    /// The digests under which an access token's record may be found.
    pub fn digests(&self) -> &[TokenDigest] {
        match self {
            Self::Garbage | Self::UnknownKey(_) | Self::Refresh { .. } => &[],
            Self::One(digest) => std::slice::from_ref(digest),
            Self::Imported(digests) => digests,
        }
    }
}

impl KeyRing {
    /// The most keys that may be in use at once.
    pub const MAX_KEYS: usize = 4;

    /// A ring that makes digests with `active` and recognises those of `retired` too.
    ///
    /// `imports` says whether tokens made elsewhere may exist; if not, every text without our prefix is garbage.
    ///
    /// # Errors
    /// [`KeyRingError`] when ids repeat or there are too many keys.
    pub fn new(active: Key, retired: Vec<Key>, imports: bool) -> Result<Self, KeyRingError> {
        if retired.len() >= Self::MAX_KEYS {
            return Err(KeyRingError::TooMany);
        }
        let ring = Self { active, retired, imports };
        for (position, key) in ring.keys().enumerate() {
            if ring.keys().skip(position + 1).any(|other| other.id() == key.id()) {
                return Err(KeyRingError::Repeated(key.id()));
            }
        }
        Ok(ring)
    }

    /// A new access token: 256 bits from the operating system's generator, under the active key.
    ///
    /// # Errors
    /// The generator's own, when the operating system has no randomness to give.
    pub fn mint(&self) -> Result<(TokenValue, TokenDigest), getrandom::Error> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(random.as_mut_slice())?;
        Ok(finish(&self.active, TokenValue::access_body(self.active.id(), &random)))
    }

    /// The first refresh token of a grant: 192 bits from the operating system's generator, under the active key.
    ///
    /// # Errors
    /// As of [`KeyRing::mint`].
    pub fn mint_refresh(&self, grant: GrantId) -> Result<(TokenValue, TokenDigest), getrandom::Error> {
        let mut random = Zeroizing::new([0; REFRESH_RANDOM_BYTES]);
        getrandom::fill(random.as_mut_slice())?;
        Ok(finish(&self.active, TokenValue::refresh_body(self.active.id(), grant, &random)))
    }

    /// The refresh token that takes the place of `predecessor`.
    ///
    /// It is derived from the predecessor's text with a key that only the server has. So it can be given again to a
    /// client that never received it, without having been kept anywhere.
    pub fn successor(&self, predecessor: Presented<'_>, grant: GrantId) -> (TokenValue, TokenDigest) {
        successor(&self.active, predecessor, grant)
    }

    /// The successor of `predecessor` that has this digest, made by any of the keys; `None` when none of them made it.
    pub fn find_successor(
        &self,
        predecessor: Presented<'_>,
        grant: GrantId,
        digest: TokenDigest,
    ) -> Option<TokenValue> {
        let mut made = self.keys().map(|key| successor(key, predecessor, grant));
        made.find(|(_, made)| *made == digest).map(|(value, _)| value)
    }

    /// The digest under which an imported token is kept: that of the active key.
    pub fn digest_of_import(&self, value: &TokenValue) -> TokenDigest {
        digest_of_import(&self.active, value.expose())
    }

    /// Whether tokens made elsewhere are taken.
    pub fn takes_imports(&self) -> bool {
        self.imports
    }

    /// Tells what a presented token can be: one keyed compression, and no look-up.
    pub fn recognise(&self, presented: Presented<'_>) -> Candidates {
        match presented.form() {
            Form::Foreign if self.imports => {
                Candidates::Imported(self.keys().map(|key| digest_of_import(key, presented.text())).collect())
            }
            Form::Broken | Form::Foreign => Candidates::Garbage,
            Form::Ours { body, key, grant, check } => {
                let id = key;
                let Some(key) = self.key(id) else { return Candidates::UnknownKey(id) };
                let (digest, expected) = digest_and_check(key, body);
                match grant {
                    _ if !bool::from(expected.ct_eq(&check.0)) => Candidates::Garbage,
                    Some(grant) => Candidates::Refresh { grant, digest },
                    None => Candidates::One(digest),
                }
            }
        }
    }

    /// The keyed digest of a generated client secret, and the id of the key it was made with.
    pub fn digest_secret(&self, secret: &str) -> (KeyId, [u8; 32]) {
        (self.active.id(), digest_of_secret(&self.active, secret))
    }

    /// Whether `secret` has this digest under the key `id`; in constant time, and false when the key is gone.
    pub fn secret_matches(&self, id: KeyId, digest: &[u8; 32], secret: &str) -> bool {
        // An unknown key costs the same as a known one, so that time does not tell which keys are in use.
        let (key, known) = self.key(id).map_or((&self.active, false), |key| (key, true));
        bool::from(digest_of_secret(key, secret).ct_eq(digest)) & known
    }

    /// What stands for a text that must not be written down, as 22 characters: the same for the same text as long as
    /// the key is the same. Nothing else is named or found by it.
    pub fn pseudonym(&self, text: &str) -> String {
        let digest = blake3::keyed_hash(&self.active.names, text.as_bytes());
        URL_SAFE_NO_PAD.encode(&digest.as_bytes()[..16])
    }

    /// Whether digests made under this key id can be recognised.
    pub fn knows(&self, id: KeyId) -> bool {
        self.key(id).is_some()
    }

    pub(super) fn active(&self) -> &Key {
        &self.active
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.active).chain(&self.retired)
    }

    pub(super) fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys().find(|key| key.id() == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.keys().map(Key::id)).finish()
    }
}

/// Adds the check value to the body of a token, and gives its digest.
fn finish(key: &Key, mut value: TokenValue) -> (TokenValue, TokenDigest) {
    let (digest, check) = digest_and_check(key, value.expose().as_bytes());
    value.push_check(check);
    (value, digest)
}

fn successor(key: &Key, predecessor: Presented<'_>, grant: GrantId) -> (TokenValue, TokenDigest) {
    let mut random = Zeroizing::new([0; REFRESH_RANDOM_BYTES]);
    let mut hasher = blake3::Hasher::new_keyed(&key.successors);
    hasher.update(predecessor.text().as_bytes()).finalize_xof().fill(random.as_mut_slice());
    finish(key, TokenValue::refresh_body(key.id(), grant, &random))
}

/// One compression yields both: the first 16 bytes of the output name the token in the store, the next 6 are its check
/// value. Outputs of a keyed hash are independent, so the published check value says nothing about the digest.
fn digest_and_check(key: &Key, body: &[u8]) -> (TokenDigest, [u8; CheckValue::BYTES]) {
    let output = blake3::keyed_hash(&key.tokens, body);
    let (digest, rest) = output.as_bytes().split_at(TokenDigest::BYTES);
    let digest = TokenDigest(digest.try_into().expect("split at its size"));
    (digest, *rest.first_chunk().expect("32 bytes are longer than both"))
}

fn digest_of_import(key: &Key, text: &str) -> TokenDigest {
    let mut digest = [0; TokenDigest::BYTES];
    blake3::Hasher::new_keyed(&key.imports).update(text.as_bytes()).finalize_xof().fill(&mut digest);
    TokenDigest(digest)
}

fn digest_of_secret(key: &Key, secret: &str) -> [u8; 32] {
    *blake3::keyed_hash(&key.secrets, secret.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn key(id: &str, byte: u8) -> Key {
        Key::derive(KeyId::from_bytes(id.as_bytes()).unwrap(), &[byte; 32]).unwrap()
    }

    fn ring() -> KeyRing {
        KeyRing::new(key("01", 1), vec![], true).unwrap()
    }

    #[test]
    fn a_minted_token_is_recognised_and_matches_the_scanner_pattern() {
        let (value, digest) = ring().mint().unwrap();
        assert_eq!(ring().recognise(value.as_presented()), Candidates::One(digest));
        assert_eq!(value.expose().len(), TokenValue::LENGTH);
        assert!(value.expose().starts_with("itd_at_01"));
        assert!(value.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    }

    /// RFC 6749 section 10.10: not guessable; here as no repeats and 43 characters of randomness.
    #[test]
    fn rfc6749_10_10_minted_tokens_are_unique() {
        let ring = ring();
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            let (value, digest) = ring.mint().unwrap();
            assert!(seen.insert(digest));
            assert_eq!(value.expose().len(), 60);
            let (value, digest) = ring.mint_refresh(GrantId([7; 16])).unwrap();
            assert!(seen.insert(digest));
            assert_eq!(value.expose().len(), 71);
        }
    }

    #[test]
    fn any_changed_character_makes_garbage() {
        let ring = ring();
        let (value, _) = ring.mint().unwrap();
        for position in 0..value.expose().len() {
            for with in ["A", "B", "_"] {
                let mut altered = value.expose().to_owned();
                altered.replace_range(position..=position, with);
                if altered != value.expose() && altered.starts_with("itd_") && altered[4..].starts_with("at_") {
                    let candidates = ring.recognise(Presented::new(&altered));
                    assert!(candidates.digests().is_empty(), "at {position}: {candidates:?}");
                }
            }
        }
    }

    #[test]
    fn an_access_token_cannot_be_relabelled_as_a_refresh_token() {
        let ring = ring();
        let (value, _) = ring.mint().unwrap();
        let relabelled = value.expose().replacen("itd_at_", "itd_rt_", 1);
        assert_eq!(ring.recognise(Presented::new(&relabelled)), Candidates::Garbage);
    }

    #[test]
    fn a_refresh_token_names_its_grant_and_its_successor_can_be_found_again_under_any_key() {
        let ring = ring();
        let grant = GrantId([0xA7; 16]);
        let (first, digest) = ring.mint_refresh(grant).unwrap();
        assert_eq!(ring.recognise(first.as_presented()), Candidates::Refresh { grant, digest });
        let (second, second_digest) = ring.successor(first.as_presented(), grant);
        assert_eq!(ring.recognise(second.as_presented()), Candidates::Refresh { grant, digest: second_digest });
        assert_ne!(first, second);
        let rotated = KeyRing::new(key("02", 2), vec![key("01", 1)], true).unwrap();
        assert_eq!(rotated.find_successor(first.as_presented(), grant, second_digest), Some(second));
        assert_eq!(rotated.find_successor(first.as_presented(), grant, digest), None);
        let (other, _) = rotated.successor(first.as_presented(), grant);
        assert!(other.expose().starts_with("itd_rt_02"), "made with the active key");
    }

    #[test]
    fn rotation_recognises_old_tokens_until_the_key_is_dropped() {
        let (old, digest) = ring().mint().unwrap();
        let rotated = KeyRing::new(key("02", 2), vec![key("01", 1)], true).unwrap();
        assert_eq!(rotated.recognise(old.as_presented()), Candidates::One(digest));
        let dropped = KeyRing::new(key("02", 2), vec![], true).unwrap();
        let id = KeyId::from_bytes(b"01").unwrap();
        assert_eq!(dropped.recognise(old.as_presented()), Candidates::UnknownKey(id));
    }

    #[test]
    fn imports_are_looked_up_under_each_key_and_not_at_all_when_off() {
        let import = TokenValue::import("made-elsewhere").unwrap();
        let made_with = ring().digest_of_import(&import);
        let rotated = KeyRing::new(key("02", 2), vec![key("01", 1)], true).unwrap();
        assert!(rotated.recognise(import.as_presented()).digests().contains(&made_with));
        let without = KeyRing::new(key("01", 1), vec![], false).unwrap();
        assert_eq!(without.recognise(import.as_presented()), Candidates::Garbage);
    }

    #[test]
    fn secrets_match_under_their_key_only() {
        let (id, digest) = ring().digest_secret("s3cret");
        assert!(ring().secret_matches(id, &digest, "s3cret"));
        assert!(!ring().secret_matches(id, &digest, "other"));
        let other = KeyRing::new(key("01", 9), vec![], true).unwrap();
        assert!(!other.secret_matches(id, &digest, "s3cret"));
        let gone = KeyRing::new(key("02", 1), vec![], true).unwrap();
        assert!(!gone.secret_matches(id, &digest, "s3cret"));
    }

    #[test]
    fn keys_must_have_distinct_ids_enough_material_and_a_bounded_number() {
        assert_eq!(
            KeyRing::new(key("01", 1), vec![key("01", 2)], true).unwrap_err(),
            KeyRingError::Repeated(KeyId::from_bytes(b"01").unwrap())
        );
        assert!(Key::derive(KeyId::from_bytes(b"01").unwrap(), &[0; 31]).is_none());
        let many = ["02", "03", "04", "05"].map(|id| key(id, 1)).into();
        assert_eq!(KeyRing::new(key("01", 1), many, true).unwrap_err(), KeyRingError::TooMany);
    }

    proptest! {
        #[test]
        fn no_text_makes_recognition_fail(text in any::<String>(), tail in "[A-Za-z0-9_-]{51}") {
            let ring = ring();
            let _ = ring.recognise(Presented::new(&text));
            let ours = format!("itd_at_01{tail}");
            prop_assert_eq!(ring.recognise(Presented::new(&ours)), Candidates::Garbage);
            let mixed = format!("itd_at_{text}");
            prop_assert_eq!(ring.recognise(Presented::new(&mixed)), Candidates::Garbage);
        }
    }
}

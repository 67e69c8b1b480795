//! The signing keys as one node holds them: parsed, and opened where it can.

use std::sync::Arc;

use serde_json::{Value, json};

use super::document::{KeyDocument, Phase, Purpose, StoredKey};
use crate::jose::algorithm::Algorithm;
use crate::jose::key::PublicKey;
use crate::jose::signing::SigningKey;
use crate::store::{Document, StoreError, StoreErrorKind};
use crate::token::keyring::KeyRing;
use crate::token::time::UnixSeconds;

/// A key that is published, and that this node may be able to sign with.
#[derive(Debug)]
pub struct PublishedKey {
    pub(super) stored: StoredKey,
    public: PublicKey,
    private: Option<SigningKey>,
}

impl PublishedKey {
    /// Its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.stored.kid
    }

    /// What it signs.
    pub fn purpose(&self) -> Purpose {
        self.stored.purpose
    }

    /// What its signatures are verified with.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn private(&self) -> Option<&SigningKey> {
        self.private.as_ref()
    }

    /// What an operator sees of it. Nothing in it is secret.
    pub fn describe(&self, now: UnixSeconds) -> Value {
        let StoredKey { kid, alg, purpose, created_at, signs_from, retires_at, verifies_until, sealed_by, .. } =
            &self.stored;
        json!({
            "kid": kid,
            "algorithm": alg,
            "use": purpose,
            "state": self.stored.phase(now),
            "created_at": created_at,
            "signs_from": signs_from,
            "retires_at": retires_at,
            "verifies_until": verifies_until,
            "sealed_by": sealed_by,
            "usable": self.private.is_some(),
        })
    }
}

/// All keys as they were when the store was last read.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The version that a change must name; 0 when there is no document yet.
    pub(super) version: u64,
    pub(super) keys: Vec<Arc<PublishedKey>>,
}

impl Snapshot {
    /// Parses and opens a document. What was opened before is taken over from `known`.
    ///
    /// A key that cannot be opened verifies all the same. It is said once, and not at each reading.
    pub(super) fn open(document: Option<&Document>, ring: &KeyRing, known: &Self) -> Result<Self, StoreError> {
        let Some(Document { version, body }) = document else { return Ok(Self::default()) };
        let parsed: KeyDocument = serde_json::from_slice(body).map_err(|_| damaged("the signing keys do not parse"))?;
        let keys = parsed.keys.into_iter().map(|stored| {
            let same = |key: &&Arc<PublishedKey>| {
                key.stored.kid == stored.kid && key.stored == StoredKey { usable: key.stored.usable, ..stored.clone() }
            };
            match known.keys.iter().find(same) {
                Some(key) => Ok(Arc::clone(key)),
                None => open_key(stored, ring).map(Arc::new),
            }
        });
        Ok(Self { version: *version, keys: keys.collect::<Result<_, _>>()? })
    }

    pub(super) fn find(&self, kid: &str) -> Option<&Arc<PublishedKey>> {
        self.keys.iter().find(|key| *key.stored.kid == *kid)
    }

    /// The key to sign with: of those that are active and can be opened here, the one that came last.
    pub(super) fn signer(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        now: UnixSeconds,
    ) -> Option<&Arc<PublishedKey>> {
        let signs = |key: &&Arc<PublishedKey>| {
            let stored = &key.stored;
            stored.purpose == purpose
                && stored.alg == algorithm
                && key.private.is_some()
                && stored.phase(now) == Phase::Active
        };
        self.keys.iter().filter(signs).max_by_key(|key| (key.stored.signs_from, &key.stored.kid))
    }

    /// The document, for a change to be made to it.
    pub(super) fn to_document(&self) -> KeyDocument {
        let stored = |key: &Arc<PublishedKey>| StoredKey { usable: key.private.is_some(), ..key.stored.clone() };
        KeyDocument { keys: self.keys.iter().map(stored).collect() }
    }
}

fn open_key(stored: StoredKey, ring: &KeyRing) -> Result<PublishedKey, StoreError> {
    let public =
        PublicKey::from_jwk(&stored.jwk, Some(stored.alg)).map_err(|_| damaged("a signing key does not parse"))?;
    // A key under another's name would be trusted in its place.
    if public.thumbprint() != *stored.kid {
        return Err(damaged("a signing key is not the one that it is named after"));
    }
    let private = match stored.open(ring) {
        Ok(private) => Some(private),
        Err(error) => {
            tracing::warn!(kid = %stored.kid, %error, "a signing key cannot be opened: it only verifies");
            None
        }
    };
    Ok(PublishedKey { stored, public, private })
}

fn damaged(detail: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, detail)
}

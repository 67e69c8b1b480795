//! The document that all nodes share: every signing key with its life so far, the private half sealed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SigningError;
use crate::jose::algorithm::Algorithm;
use crate::jose::signing::SigningKey;
use crate::token::keyring::{KeyId, KeyRing};
use crate::token::sealing::{OpenError, Sealed};
use crate::token::time::UnixSeconds;

/// What a key signs. No key signs both: one kind of text can then never be taken for the other (RFC 8725 section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Access tokens (RFC 9068).
    AccessToken,
    /// Introspection answers (RFC 9701).
    Introspection,
}

impl Purpose {
    /// Its name, as operators write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::Introspection => "introspection",
        }
    }
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Published, and not in use before somebody rotates.
    Standby,
    /// Published, and in use from a moment on that is still to come.
    Scheduled,
    /// Signs.
    Active,
    /// Signs no more; what it has signed is valid.
    Retired,
}

/// All signing keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct KeyDocument {
    pub(super) keys: Vec<StoredKey>,
}

/// One key, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredKey {
    /// Its RFC 7638 thumbprint.
    pub(super) kid: Box<str>,
    pub(super) alg: Algorithm,
    #[serde(rename = "use")]
    pub(super) purpose: Purpose,
    /// The public half, as it is published from the moment of the key's creation on.
    pub(super) jwk: Value,
    pub(super) created_at: UnixSeconds,
    /// From when on it signs; `None` for a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signs_from: Option<UnixSeconds>,
    /// From when on it signs no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retires_at: Option<UnixSeconds>,
    /// When the last text that it can have signed ends: the key is dropped then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verifies_until: Option<UnixSeconds>,
    /// The id of the digest key that the private half is sealed under.
    pub(super) sealed_by: Box<str>,
    /// The private half, base64url.
    pub(super) sealed: Box<str>,
    /// Whether this node can sign with it.
    #[serde(skip)]
    pub(super) usable: bool,
}

impl StoredKey {
    /// A key that is published from now on, its private half sealed.
    pub(super) fn new(
        purpose: Purpose,
        key: &SigningKey,
        ring: &KeyRing,
        now: UnixSeconds,
    ) -> Result<Self, SigningError> {
        let kid = key.public().thumbprint();
        let sealed = ring.seal(&context(purpose, &kid), &key.to_pkcs8()?)?;
        Ok(Self {
            alg: key.public().algorithm(),
            purpose,
            jwk: key.public().to_jwk(Some(&kid)),
            created_at: now,
            signs_from: None,
            retires_at: None,
            verifies_until: None,
            sealed_by: sealed.key.as_str().into(),
            sealed: URL_SAFE_NO_PAD.encode(sealed.bytes).into(),
            kid: kid.into(),
            usable: true,
        })
    }

    /// The private half; an error when it is sealed under a key that this node does not have, or was altered.
    pub(super) fn open(&self, ring: &KeyRing) -> Result<SigningKey, OpenError> {
        let key = KeyId::from_bytes(self.sealed_by.as_bytes()).ok_or(OpenError::Damaged)?;
        let bytes = URL_SAFE_NO_PAD.decode(&*self.sealed).map_err(|_| OpenError::Damaged)?;
        let pkcs8 = ring.open(&context(self.purpose, &self.kid), &Sealed { key, bytes })?;
        let private = SigningKey::from_pkcs8(self.alg, &pkcs8).map_err(|_| OpenError::Damaged)?;
        if private.public().thumbprint() == *self.kid { Ok(private) } else { Err(OpenError::Damaged) }
    }

    /// Seals the private half anew if it lies under a key that is not the active one, so that no key is needed for
    /// longer than until the next change.
    pub(super) fn reseal(&mut self, ring: &KeyRing) -> Result<(), SigningError> {
        if !self.usable || *self.sealed_by == *ring.active_id().as_str() {
            return Ok(());
        }
        let Ok(private) = self.open(ring) else { return Ok(()) };
        let sealed = ring.seal(&context(self.purpose, &self.kid), &private.to_pkcs8()?)?;
        self.sealed_by = sealed.key.as_str().into();
        self.sealed = URL_SAFE_NO_PAD.encode(sealed.bytes).into();
        Ok(())
    }

    /// Where it is in its life.
    pub(super) fn phase(&self, now: UnixSeconds) -> Phase {
        match (self.signs_from, self.retires_at) {
            (None, _) => Phase::Standby,
            (Some(from), _) if from > now => Phase::Scheduled,
            (_, Some(end)) if end <= now => Phase::Retired,
            _ => Phase::Active,
        }
    }

    /// Whether a text that it has signed can still be valid.
    pub(super) fn is_published(&self, now: UnixSeconds) -> bool {
        self.verifies_until.is_none_or(|end| now < end)
    }
}

/// What a private key is sealed together with: it cannot be put in another's place, nor be used for something else.
fn context(purpose: Purpose, kid: &str) -> Vec<u8> {
    format!("{} {kid}", purpose.name()).into_bytes()
}

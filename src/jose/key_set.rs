//! The public keys that a client has registered (`jwks`, RFC 7591 section 2).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::compact::{Compact, Header};
use super::error::KeyError;
use super::key::PublicKey;

/// At least one key, each with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwkSet(Vec<NamedKey>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedKey {
    kid: Box<str>,
    key: PublicKey,
}

/// Why a set was not taken. Keys are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkSetError {
    /// It is not an object with an array `keys` of 1 to [`JwkSet::MAX_KEYS`] elements.
    #[error("jwks must be an object with a keys array of 1 to {} keys", JwkSet::MAX_KEYS)]
    Form,
    /// This key cannot be taken.
    #[error("jwks: key {0}: {1}")]
    Key(usize, KeyError),
    /// `kid` is not a text of 1 to [`Compact::MAX_KID_BYTES`] bytes.
    #[error("jwks: key {0}: kid must be a text of 1 to {max} bytes", max = Compact::MAX_KID_BYTES)]
    Kid(usize),
    /// Two keys of one algorithm have the same `kid`.
    #[error("jwks: key {0}: another key has the same kid")]
    Repeated(usize),
    /// Every key is of a type that is not used here.
    #[error("jwks: no key is of a supported type (P-256, Ed25519, RSA) and for signatures")]
    NoneUsable,
}

impl JwkSet {
    /// The most keys that a set may have.
    pub const MAX_KEYS: usize = 16;

    /// Reads a set.
    ///
    /// A key of a type, a curve, an algorithm or a use that is not ours is passed over, as RFC 7517 section 5 asks; one
    /// that claims to be ours and is wrong is refused, and a private one always.
    ///
    /// # Errors
    /// [`JwkSetError`].
    pub fn parse(jwks: &Value) -> Result<Self, JwkSetError> {
        let keys = jwks.get("keys").and_then(Value::as_array).ok_or(JwkSetError::Form)?;
        if !(1..=Self::MAX_KEYS).contains(&keys.len()) {
            return Err(JwkSetError::Form);
        }
        let mut set: Vec<NamedKey> = Vec::with_capacity(keys.len());
        for (position, jwk) in keys.iter().enumerate() {
            let key = match PublicKey::from_jwk(jwk, None) {
                Ok(key) => key,
                Err(KeyError::Unsupported | KeyError::Member("use" | "key_ops")) => continue,
                Err(error) => return Err(JwkSetError::Key(position, error)),
            };
            let kid = match jwk.get("kid") {
                None => key.thumbprint(),
                Some(Value::String(kid)) if (1..=Compact::MAX_KID_BYTES).contains(&kid.len()) => kid.clone(),
                Some(_) => return Err(JwkSetError::Kid(position)),
            };
            if set.iter().any(|other| *other.kid == *kid && other.key.algorithm() == key.algorithm()) {
                return Err(JwkSetError::Repeated(position));
            }
            set.push(NamedKey { kid: kid.into(), key });
        }
        if set.is_empty() { Err(JwkSetError::NoneUsable) } else { Ok(Self(set)) }
    }

    /// The keys that may have signed a text with this header: those of its algorithm, and of these the one that `kid`
    /// names if there is one. A key that was registered without a name has its thumbprint for one.
    pub fn find<'a>(&'a self, header: &Header<'a>) -> impl Iterator<Item = &'a PublicKey> + use<'a> {
        let Header { algorithm, kid, .. } = *header;
        let wanted =
            move |named: &&NamedKey| named.key.algorithm() == algorithm && kid.is_none_or(|kid| *named.kid == *kid);
        self.0.iter().filter(wanted).map(|named| &named.key)
    }

    /// Whether one of the keys is for this algorithm.
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|named| named.key.algorithm() == algorithm)
    }

    /// The set as it is shown and kept.
    pub fn to_json(&self) -> Value {
        let keys: Vec<Value> = self.0.iter().map(|named| named.key.to_jwk(Some(&named.kid))).collect();
        json!({ "keys": keys })
    }
}

impl Serialize for JwkSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JwkSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signing::SigningKey;
    use super::*;

    fn jwk(algorithm: Algorithm, kid: Option<&str>) -> (SigningKey, Value) {
        let key = SigningKey::generate(algorithm).unwrap();
        let mut jwk = key.public().to_jwk(kid);
        if kid.is_none() {
            jwk.as_object_mut().unwrap().remove("kid");
        }
        (key, jwk)
    }

    fn found(set: &JwkSet, key: &SigningKey, kid: &str) -> usize {
        let text = key.sign("JWT", kid, b"{}").unwrap();
        let compact = Compact::parse(&text).unwrap();
        set.find(&compact.header()).filter(|key| compact.verify(key).is_ok()).count()
    }

    #[test]
    fn a_key_is_found_by_its_name_or_by_its_thumbprint() {
        let (named, first) = jwk(Algorithm::Es256, Some("2026"));
        let (unnamed, second) = jwk(Algorithm::Es256, None);
        let set = JwkSet::parse(&json!({"keys": [first, second]})).unwrap();
        assert_eq!(found(&set, &named, "2026"), 1);
        assert_eq!(found(&set, &unnamed, &unnamed.public().thumbprint()), 1);
        assert_eq!(found(&set, &unnamed, "2026"), 0);
        assert_eq!(found(&set, &named, "other"), 0);
        assert!(set.supports(Algorithm::Es256) && !set.supports(Algorithm::Rs256));
    }

    #[test]
    fn without_a_name_every_key_of_the_algorithm_is_tried() {
        let (one, first) = jwk(Algorithm::Es256, Some("a"));
        let (_, second) = jwk(Algorithm::Es256, Some("b"));
        let (_, third) = jwk(Algorithm::EdDsa, Some("a"));
        let set = JwkSet::parse(&json!({"keys": [first, second, third]})).unwrap();
        let header = Header { algorithm: Algorithm::Es256, typ: None, kid: None, jwk: None };
        assert_eq!(set.find(&header).count(), 2);
        assert_eq!(found(&set, &one, "a"), 1, "a name stands for one key of each algorithm");
    }

    #[test]
    fn rfc7517_5_unknown_keys_are_passed_over_and_wrong_ones_refused() {
        let (_, good) = jwk(Algorithm::Es256, Some("a"));
        let p521 = json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"});
        let encryption = json!({"kty": "RSA", "use": "enc", "n": "AA", "e": "AQAB"});
        let set = JwkSet::parse(&json!({"keys": [p521, encryption, good]})).unwrap();
        assert_eq!(set.to_json()["keys"].as_array().unwrap().len(), 1);
        let refused = |keys: &Value| JwkSet::parse(&json!({ "keys": keys })).unwrap_err();
        assert_eq!(refused(&json!([p521])), JwkSetError::NoneUsable);
        assert_eq!(refused(&json!([])), JwkSetError::Form);
        assert_eq!(refused(&json!(vec![good.clone(); 17])), JwkSetError::Form);
        assert_eq!(refused(&json!({"0": good})), JwkSetError::Form);
        assert_eq!(JwkSet::parse(&json!([good])).unwrap_err(), JwkSetError::Form);
        assert_eq!(refused(&json!([good, good])), JwkSetError::Repeated(1));
        let mut private = good.clone();
        private["d"] = json!("AA");
        assert_eq!(refused(&json!([good, private])), JwkSetError::Key(1, KeyError::Private));
        let mut unnamed = good.clone();
        for kid in [json!(""), json!(1), json!("k".repeat(257))] {
            unnamed["kid"] = kid;
            assert_eq!(refused(&json!([unnamed])), JwkSetError::Kid(0));
        }
    }

    #[test]
    fn a_set_is_kept_as_json() {
        let (_, good) = jwk(Algorithm::Ps256, Some("a"));
        let set = JwkSet::parse(&json!({"keys": [good]})).unwrap();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<JwkSet>(&text).unwrap(), set);
        assert!(serde_json::from_str::<JwkSet>("{}").is_err());
    }
}

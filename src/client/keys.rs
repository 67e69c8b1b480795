//! A client's public keys, given by value (RFC 7591 section 2, RFC 7517 section 5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jose::key_set::{JwkSet, JwkSetError};

/// A registered `jwks`: keys that assertions are signed with, and certificates (`x5c`). Nothing in it is secret: a
/// private key is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct ClientKeys {
    document: Map<String, Value>,
    signers: Option<JwkSet>,
    certificates: Vec<Box<[u8]>>,
}

/// Why keys were not taken. Quotes nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeysError {
    /// Not a set of 1 to [`ClientKeys::MAX_KEYS`] objects.
    #[error("jwks must be an object with a keys array of 1 to {} objects", ClientKeys::MAX_KEYS)]
    Form,
    /// Longer than [`ClientKeys::MAX_BYTES`].
    #[error("jwks must not be longer than {} bytes", ClientKeys::MAX_BYTES)]
    TooLong,
    /// The certificate of this key, counted from 0, cannot be read.
    #[error("jwks: key {0}: x5c must be an array of certificates in base64")]
    Certificate(usize),
    /// A key cannot be taken.
    #[error(transparent)]
    Key(#[from] JwkSetError),
}

impl ClientKeys {
    /// The most keys that a client may register. It bounds what one assertion can cost.
    pub const MAX_KEYS: usize = 8;
    /// The longest set, as JSON: it is read with the client for each of its requests.
    pub const MAX_BYTES: usize = 32 * 1024;

    /// Reads a key set. A key of a type that is not used here is passed over (RFC 7517 section 5), as long as there is
    /// one that is, or a certificate.
    ///
    /// # Errors
    /// [`ClientKeysError`].
    pub fn parse(document: Map<String, Value>) -> Result<Self, ClientKeysError> {
        let keys = document.get("keys").and_then(Value::as_array).ok_or(ClientKeysError::Form)?;
        if !(1..=Self::MAX_KEYS).contains(&keys.len()) || !keys.iter().all(Value::is_object) {
            return Err(ClientKeysError::Form);
        }
        let whole = Value::Object(document.clone());
        if whole.to_string().len() > Self::MAX_BYTES {
            return Err(ClientKeysError::TooLong);
        }
        let mut certificates = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            if let Some(chain) = key.get("x5c") {
                certificates.push(first_certificate(chain).ok_or(ClientKeysError::Certificate(position))?);
            }
        }
        let signers = match JwkSet::parse(&whole) {
            Ok(set) => Some(set),
            Err(JwkSetError::NoneUsable) if !certificates.is_empty() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { document, signers, certificates })
    }

    /// As it was registered.
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }

    /// The keys that assertions may be signed with; `None` when all are of types that are not used here.
    pub fn signers(&self) -> Option<&JwkSet> {
        self.signers.as_ref()
    }

    /// The client's own certificates in DER: the first of each `x5c` (RFC 8705 section 2.2.2).
    pub fn certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.certificates.iter().map(AsRef::as_ref)
    }
}

/// RFC 7517 section 4.7: base64, and not base64url; the key's own certificate comes first.
fn first_certificate(chain: &Value) -> Option<Box<[u8]>> {
    let der = STANDARD.decode(chain.as_array()?.first()?.as_str()?).ok()?;
    let (rest, _) = x509_parser::parse_x509_certificate(&der).ok()?;
    rest.is_empty().then(|| der.clone().into())
}

impl TryFrom<Map<String, Value>> for ClientKeys {
    type Error = ClientKeysError;

    fn try_from(document: Map<String, Value>) -> Result<Self, Self::Error> {
        Self::parse(document)
    }
}

impl From<ClientKeys> for Map<String, Value> {
    fn from(keys: ClientKeys) -> Self {
        keys.document
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(keys: &Value) -> Result<ClientKeys, ClientKeysError> {
        let Value::Object(document) = json!({ "keys": keys }) else { unreachable!() };
        ClientKeys::parse(document)
    }

    fn ed25519() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    #[test]
    fn rfc7517_5_keys_of_other_types_are_passed_over() {
        let other = json!({"kty": "OKP", "crv": "X25519", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"});
        assert!(parse(&json!([ed25519(), other])).unwrap().signers().is_some());
        assert_eq!(parse(&json!([other])).unwrap_err(), ClientKeysError::Key(JwkSetError::NoneUsable));
    }

    #[test]
    fn rfc8705_2_2_2_the_first_certificate_of_a_chain_is_the_clients() {
        let own = rcgen::generate_simple_self_signed(["app.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let encode = |certificate: &rcgen::Certificate| STANDARD.encode(certificate.der());
        // A curve that assertions are not signed with here, and that TLS knows.
        let key = json!({
            "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "x5c": [encode(&own.cert), encode(&other.cert)]
        });
        let keys = parse(&json!([key])).unwrap();
        assert!(keys.signers().is_none());
        assert_eq!(keys.certificates().collect::<Vec<_>>(), [&**own.cert.der()]);
        let stored = serde_json::to_string(&keys).unwrap();
        assert_eq!(serde_json::from_str::<ClientKeys>(&stored).unwrap(), keys);
    }

    #[test]
    fn what_is_no_set_of_public_keys_is_refused() {
        let with = |name: &str, value: Value| {
            let mut key = ed25519();
            key[name] = value;
            json!([key])
        };
        for bad in [
            json!([]),
            json!("keys"),
            json!([1]),
            Value::from(vec![ed25519(); ClientKeys::MAX_KEYS + 1]),
            json!([{"kty": "oct", "k": "AAAA"}]),
            with("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")),
            with("x5c", json!([])),
            with("x5c", json!("AAAA")),
            with("x5c", json!(["AAAA"])),
            with("note", json!("x".repeat(ClientKeys::MAX_BYTES))),
        ] {
            assert!(parse(&bad).is_err(), "{:.80}", bad.to_string());
        }
    }
}

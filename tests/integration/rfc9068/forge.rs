//! Tokens as an attacker would make them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use introspectd::jose::algorithm::Algorithm;
use introspectd::jose::signing::SigningKey;
use introspectd::token::keyring::KeyId;
use introspectd::token::sealing::Sealed;
use jsonwebtoken::EncodingKey;
use serde_json::Value;

use crate::support::node::Node;

pub(super) fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A text with these parts, whatever they are.
pub(super) fn text(header: &str, claims: &str, signature: &[u8]) -> String {
    format!("{}.{}.{}", encode(header), encode(claims), encode(signature))
}

/// A text with an HMAC over it: what a key can be misused for that is public.
pub(super) fn with_hmac(header: &str, claims: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

/// A private key of the node itself, as nobody else has it: what is forged with it differs from a token in one point
/// only.
pub(super) struct Stolen {
    pub(super) kid: String,
    pub(super) pkcs8: Vec<u8>,
}

impl Stolen {
    /// The key of this name, unsealed with the node's own digest key.
    pub(super) async fn from(node: &Node, kid: &str) -> Self {
        let document = node.service.store.signing_keys().await.unwrap().unwrap();
        let document: Value = serde_json::from_slice(&document.body).unwrap();
        let key = document["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap();
        let text = |name: &str| key[name].as_str().unwrap();
        let sealed = Sealed {
            key: KeyId::from_bytes(text("sealed_by").as_bytes()).unwrap(),
            bytes: URL_SAFE_NO_PAD.decode(text("sealed")).unwrap(),
        };
        let context = format!("{} {kid}", text("use"));
        let pkcs8 = node.service.keys.open(context.as_bytes(), &sealed).unwrap().to_vec();
        Self { kid: kid.to_owned(), pkcs8 }
    }

    /// Signs any two parts with ES256, by another library than the server's.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        format!("{signed}.{}", self.signature(&signed))
    }

    pub(super) fn signature(&self, signed: &str) -> String {
        let key = EncodingKey::from_ec_der(&self.pkcs8);
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).unwrap()
    }

    /// The same key for another algorithm.
    pub(super) fn misused_for(&self, algorithm: Algorithm) -> SigningKey {
        SigningKey::from_pkcs8(algorithm, &self.pkcs8).unwrap()
    }
}

//! Texts signed by a client of ours, whatever their header and claims say: by our own keys, and not by our own writer.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use introspectd::jose::algorithm::Algorithm;
use introspectd::jose::signing::SigningKey;
use serde_json::{Value, json};

use super::node::Node;

/// What a node of the tests is called.
pub(crate) const ISSUER: &str = "https://as.example.com";

/// A key, and what it signs.
pub(crate) struct Signer {
    algorithm: Algorithm,
    /// What it writes into headers.
    name: &'static str,
    key: SigningKey,
}

impl Signer {
    /// A new key on P-256.
    pub(crate) fn new() -> Self {
        Self::of(Algorithm::Es256)
    }

    /// A new key for this algorithm.
    pub(crate) fn of(algorithm: Algorithm) -> Self {
        Self { algorithm, name: algorithm.name(), key: SigningKey::generate(algorithm).unwrap() }
    }

    /// A new key for the algorithm that others call so.
    pub(crate) fn called(name: &'static str) -> Self {
        Self { name, ..Self::of(Algorithm::of_name_of_others(name).unwrap()) }
    }

    /// The public key.
    pub(crate) fn jwk(&self) -> Value {
        self.key.public().to_jwk(None)
    }

    /// A set of this key alone.
    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    /// The RFC 7638 thumbprint of the key.
    pub(crate) fn thumbprint(&self) -> String {
        self.key.public().thumbprint()
    }

    /// The compact form of a signed text; `alg` is the key's own unless the header says otherwise.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let mut complete = json!({"alg": self.name});
        complete.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&complete), encode(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.signature(signed.as_bytes())))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let (random, private) = (SystemRandom::new(), self.key.to_pkcs8().unwrap());
        let rsa = |encoding| {
            let key = RsaKeyPair::from_pkcs8(&private).unwrap();
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, message, &mut signature).unwrap();
            signature
        };
        match self.algorithm {
            Algorithm::Es256 => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private).unwrap();
                key.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(&private).unwrap().sign(message).as_ref().to_vec(),
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
        }
    }

    /// An assertion by which `client_id` authenticates to the node (RFC 7523 section 3), with members in place of
    /// others; one that is `null` is left out.
    pub(crate) fn assertion(&self, node: &Node, client_id: &str, members: &Value) -> String {
        let claims =
            json!({"iss": client_id, "sub": client_id, "aud": ISSUER, "exp": node.now() + 60, "jti": unique()});
        self.sign(&json!({}), &with(&claims, members))
    }

    /// A proof of possession for a request to the node's token endpoint (RFC 9449 section 4.2), with members in place
    /// of others.
    pub(crate) fn proof(&self, node: &Node, members: &Value) -> String {
        let claims = json!({"htm": "POST", "htu": format!("{ISSUER}/token"), "iat": node.now(), "jti": unique()});
        self.sign(&json!({"typ": "dpop+jwt", "jwk": self.public_members()}), &with(&claims, members))
    }

    fn public_members(&self) -> Value {
        with(&self.jwk(), &json!({"alg": null, "use": null, "kid": null}))
    }
}

/// The same object with some members in place of others; a member that is `null` is taken away.
pub(crate) fn with(object: &Value, members: &Value) -> Value {
    let mut changed = object.as_object().unwrap().clone();
    changed.extend(members.as_object().unwrap().clone());
    changed.retain(|_, value| !value.is_null());
    changed.into()
}

/// A text that no other call gives.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

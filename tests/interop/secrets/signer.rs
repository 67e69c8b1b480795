//! A client that has a key: what it signs, as any library would write it.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{ISSUER, Run};

/// A key on P-256.
pub(super) struct Signer {
    key: EcdsaKeyPair,
    /// How much was signed: nothing is signed twice.
    count: AtomicU32,
}

impl Signer {
    pub(super) fn new() -> Self {
        Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), count: AtomicU32::new(0) }
    }

    pub(super) fn jwk(&self) -> Value {
        // An uncompressed point: a byte that says so, and two numbers.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
    }

    fn sign(&self, run: &Run, name: &str, header: &Value, mut claims: Value) -> String {
        claims["jti"] = json!(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        claims["iat"] = json!(seconds());
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        run.keep(name, &text);
        text
    }

    /// By which a client authenticates (RFC 7523 section 3), as two parameters of a form.
    pub(super) fn assertion(&self, run: &Run, client: &str) -> String {
        let claims = json!({"iss": client, "sub": client, "aud": ISSUER, "exp": seconds() + 60});
        let text = self.sign(run, "a client assertion", &json!({"alg": "ES256"}), claims);
        let kind = introspectd::form::encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        format!("client_assertion_type={kind}&client_assertion={text}")
    }

    /// That the key is at hand (RFC 9449 section 4.2).
    pub(super) fn proof(&self, run: &Run) -> String {
        let header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.jwk()});
        let claims = json!({"htm": "POST", "htu": format!("{ISSUER}/token")});
        self.sign(run, "a DPoP proof", &header, claims)
    }
}

fn seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

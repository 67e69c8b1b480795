//! Private keys, and what is signed with them.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::error::KeyError;
use super::key::PublicKey;

/// A private key and its public half. Never printed; the library wipes it.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// As strong as RFC 7518 section 3.3 asks for, and a third of the cost of the next size. A key is replaced long before
/// the size is outdated.
const RSA_SIZE: KeySize = KeySize::Rsa2048;

impl SigningKey {
    /// A new key. One for RSA takes up to a second of one core: not to be made on a thread that answers requests.
    ///
    /// # Errors
    /// [`KeyError::Backend`] when the library has no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let backend = |_| KeyError::Backend;
        let pair = match algorithm {
            Algorithm::Es256 => Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(backend)?),
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().map_err(backend)?),
            Algorithm::Rs256 | Algorithm::Ps256 => Pair::Rsa(RsaKeyPair::generate(RSA_SIZE).map_err(backend)?),
        };
        Self::of(algorithm, pair)
    }

    /// Reads what [`SigningKey::to_pkcs8`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Invalid`].
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Pair::P256),
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).map(Pair::Ed25519),
            Algorithm::Rs256 | Algorithm::Ps256 => RsaKeyPair::from_pkcs8(pkcs8).map(Pair::Rsa),
        };
        Self::of(algorithm, pair.map_err(|_| KeyError::Invalid)?)
    }

    fn of(algorithm: Algorithm, pair: Pair) -> Result<Self, KeyError> {
        let public = match &pair {
            Pair::P256(pair) => PublicKey::p256(pair.public_key().as_ref())?,
            Pair::Ed25519(pair) => PublicKey::ed25519(pair.public_key().as_ref())?,
            Pair::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref()).ok_or(KeyError::Invalid)?;
                PublicKey::rsa(algorithm, n, e)?
            }
        };
        Ok(Self { pair, public })
    }

    /// The private key as PKCS #8 (RFC 5208), to be sealed and kept.
    ///
    /// # Errors
    /// [`KeyError::Backend`].
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.pair {
            Pair::P256(pair) => pair.to_pkcs8v1().map(|document| Zeroizing::new(document.as_ref().to_vec())),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|document| Zeroizing::new(document.as_ref().to_vec())),
            Pair::Rsa(pair) => pair.as_der().map(|document: Pkcs8V1Der<'_>| Zeroizing::new(document.as_ref().to_vec())),
        };
        document.map_err(|_| KeyError::Backend)
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs claims: the compact form (RFC 7515 section 7.1) with a header of `alg`, `typ` and `kid`.
    ///
    /// `claims` is the JSON text of an object; it is signed as it is.
    ///
    /// # Errors
    /// [`KeyError::Backend`].
    pub fn sign(&self, typ: &str, kid: &str, claims: &[u8]) -> Result<String, KeyError> {
        let header = json!({"alg": self.public.algorithm().name(), "kid": kid, "typ": typ}).to_string();
        let mut text = String::with_capacity(4 * (header.len() + claims.len() + 256) / 3 + 8);
        URL_SAFE_NO_PAD.encode_string(header, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = self.signature(text.as_bytes()).map_err(|_| KeyError::Backend)?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        // The library takes its randomness from its own generator; the argument is there for compatibility only.
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Ed25519(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                match self.public.algorithm() {
                    Algorithm::Ps256 => pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature)?,
                    _ => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?,
                }
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({:?})", self.public)
    }
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1), which the library gives in DER only.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let (numbers, []) = element(der, SEQUENCE)? else { return None };
    let (n, rest) = element(numbers, INTEGER)?;
    let (e, []) = element(rest, INTEGER)? else { return None };
    // A leading zero keeps an integer with its top bit set from being negative.
    let unsigned = |number: &'_ [u8]| number.first() == Some(&0);
    Some((if unsigned(n) { &n[1..] } else { n }, if unsigned(e) { &e[1..] } else { e }))
}

/// The content of the first element, which must have this tag, and what follows it.
fn element(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&first, der) = der.split_first()?;
    let (length, der) = match first {
        0..=0x7F => (usize::from(first), der),
        0x81 => der.split_first().map(|(&length, der)| (usize::from(length), der))?,
        0x82 => der.split_first_chunk().map(|(length, der)| (usize::from(u16::from_be_bytes(*length)), der))?,
        _ => return None,
    };
    if tag == expected { der.split_at_checked(length) } else { None }
}

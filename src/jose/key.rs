//! Public keys (RFC 7517), each for exactly one algorithm, and the thumbprints that name them (RFC 7638).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value, json};

use super::algorithm::Algorithm;
use super::error::KeyError;

/// A public key, bound to the one algorithm that it verifies with.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    material: Material,
    verifier: DecodingKey,
}

/// The numbers that make the key, big-endian.
#[derive(Clone, PartialEq, Eq)]
enum Material {
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519 { x: [u8; 32] },
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
}

/// Members that only the owner of a key may have (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl PublicKey {
    /// Sizes, in bits, that an RSA modulus may have (RFC 7518 section 3.3 asks for 2048 or more).
    pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
    /// The longest RSA exponent, in bytes. 65537 takes three; more than the library takes is refused by it.
    const MAX_EXPONENT_BYTES: usize = 5;

    /// Reads a JWK.
    ///
    /// The algorithm is what `alg` says; without one, what `algorithm` says; without either, the usual one of the key's
    /// type, RS256 for RSA.
    ///
    /// # Errors
    /// [`KeyError`]: for a key that has a private member above all, and for one that says it is for something else than
    /// verifying signatures.
    pub fn from_jwk(jwk: &Value, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let members = jwk.as_object().ok_or(KeyError::Member("form"))?;
        if PRIVATE.iter().any(|&name| members.contains_key(name)) {
            return Err(KeyError::Private);
        }
        if members.get("use").is_some_and(|purpose| purpose != "sig") {
            return Err(KeyError::Member("use"));
        }
        let verifies = |operations: &Value| {
            operations.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
        };
        if members.get("key_ops").is_some_and(|operations| !verifies(operations)) {
            return Err(KeyError::Member("key_ops"));
        }
        let named = match members.get("alg") {
            None => None,
            Some(name) => Some(name.as_str().and_then(Algorithm::of_name_of_others).ok_or(KeyError::Unsupported)?),
        };
        if named.is_some_and(|named| algorithm.is_some_and(|algorithm| algorithm != named)) {
            return Err(KeyError::Algorithm);
        }
        let algorithm = named.or(algorithm);
        let material = Material::from_jwk(members)?;
        Self::new(algorithm.unwrap_or(material.usual_algorithm()), material)
    }

    /// The key on P-256 with this point, uncompressed as in SEC 1 section 2.3.3.
    pub(super) fn p256(point: &[u8]) -> Result<Self, KeyError> {
        let (x, y) = point.strip_prefix(&[4]).and_then(|point| point.split_at_checked(32)).ok_or(KeyError::Invalid)?;
        let coordinate = |bytes: &[u8]| bytes.try_into().map_err(|_| KeyError::Invalid);
        Self::new(Algorithm::Es256, Material::P256 { x: coordinate(x)?, y: coordinate(y)? })
    }

    /// The Ed25519 key of these 32 bytes (RFC 8032 section 5.1.5).
    pub(super) fn ed25519(point: &[u8]) -> Result<Self, KeyError> {
        let x = point.try_into().map_err(|_| KeyError::Invalid)?;
        Self::new(Algorithm::EdDsa, Material::Ed25519 { x })
    }

    /// The RSA key of this modulus and exponent, big-endian without leading zeros.
    pub(super) fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        Self::new(algorithm, Material::Rsa { n: n.into(), e: e.into() })
    }

    /// A key that is none, as a point beside the curve, is refused here and not at the first signature.
    fn new(algorithm: Algorithm, material: Material) -> Result<Self, KeyError> {
        let (parsed, verifier) = match (algorithm, &material) {
            (Algorithm::Es256, Material::P256 { x, y }) => {
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                (ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point), DecodingKey::from_ec_der(&point))
            }
            (Algorithm::EdDsa, Material::Ed25519 { x }) => {
                (ParsedPublicKey::new(&ED25519, x), DecodingKey::from_ed_der(x))
            }
            (Algorithm::Rs256 | Algorithm::Ps256, Material::Rsa { n, e }) => {
                check_rsa(n, e)?;
                let parameters = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                let parsed = RsaPublicKeyComponents { n: &**n, e: &**e }.to_parsed_public_key(parameters);
                (parsed, DecodingKey::from_rsa_raw_components(n, e))
            }
            _ => return Err(KeyError::Algorithm),
        };
        parsed.map_err(|_| KeyError::Invalid)?;
        Ok(Self { algorithm, material, verifier })
    }

    /// The one algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its RFC 7638 thumbprint over SHA-256, base64url: 43 characters that name it and no other key. The `jkt` of RFC
    /// 9449 section 6.1.
    pub fn thumbprint(&self) -> String {
        // Section 3.2 asks for the required members alone, in the order of their names and without white space: that is
        // how a map of them is written.
        let canonical = Value::Object(self.material.members()).to_string();
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }

    /// The JWK as it is published, public members only: `kid` is given, or the thumbprint.
    pub fn to_jwk(&self, kid: Option<&str>) -> Value {
        let mut members = self.material.members();
        members.insert("alg".into(), self.algorithm.name().into());
        members.insert("use".into(), "sig".into());
        members.insert("kid".into(), kid.map_or_else(|| self.thumbprint(), str::to_owned).into());
        Value::Object(members)
    }

    /// Whether this is its signature over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        // A DER signature is never this long by accident: fixed length comes first (RFC 7518 section 3.4).
        let length = match &self.material {
            Material::P256 { .. } | Material::Ed25519 { .. } => 64,
            Material::Rsa { n, .. } => n.len(),
        };
        let algorithm = match self.algorithm {
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        };
        // The library takes the signature in the form in which it stands in a text.
        let encoded = URL_SAFE_NO_PAD.encode(signature);
        let verified = || jsonwebtoken::crypto::verify(&encoded, message, &self.verifier, algorithm);
        signature.len() == length && verified().unwrap_or(false)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.material == other.material
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({} {})", self.algorithm.name(), self.thumbprint())
    }
}

impl Material {
    fn from_jwk(members: &Map<String, Value>) -> Result<Self, KeyError> {
        let text = |name: &'static str| members.get(name).and_then(Value::as_str).ok_or(KeyError::Member(name));
        let bytes = |name: &'static str| {
            let text = text(name)?;
            // Enough for the largest modulus, of which each letter holds six bits.
            if text.len() > PublicKey::RSA_BITS.end() / 4 {
                return Err(KeyError::Member(name));
            }
            URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Member(name))
        };
        let coordinate = |name| bytes(name)?.try_into().map_err(|_| KeyError::Member(name));
        match (text("kty")?, members.get("crv").and_then(Value::as_str)) {
            ("EC", Some("P-256")) => Ok(Self::P256 { x: coordinate("x")?, y: coordinate("y")? }),
            ("OKP", Some("Ed25519")) => Ok(Self::Ed25519 { x: coordinate("x")? }),
            ("RSA", _) => Ok(Self::Rsa { n: bytes("n")?.into(), e: bytes("e")?.into() }),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn usual_algorithm(&self) -> Algorithm {
        match self {
            Self::P256 { .. } => Algorithm::Es256,
            Self::Ed25519 { .. } => Algorithm::EdDsa,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// What a thumbprint is made of.
    fn members(&self) -> Map<String, Value> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let members = match self {
            Self::P256 { x, y } => json!({"crv": "P-256", "kty": "EC", "x": text(x), "y": text(y)}),
            Self::Ed25519 { x } => json!({"crv": "Ed25519", "kty": "OKP", "x": text(x)}),
            Self::Rsa { n, e } => json!({"e": text(e), "kty": "RSA", "n": text(n)}),
        };
        match members {
            Value::Object(members) => members,
            _ => unreachable!("each of them is written as an object"),
        }
    }
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), KeyError> {
    // A number has one form: without leading zeros (RFC 7518 section 2). Even ones are no modulus and no exponent.
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let plain = |number: &[u8]| number.first().is_some_and(|&byte| byte != 0);
    if !plain(n) || !odd(n) {
        return Err(KeyError::Member("n"));
    }
    if !plain(e) || !odd(e) || e == [1] || e.len() > PublicKey::MAX_EXPONENT_BYTES {
        return Err(KeyError::Member("e"));
    }
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    if PublicKey::RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyError::Size) }
}

#[cfg(test)]
mod tests {
    use super::super::compact::Compact;
    use super::super::signing::SigningKey;
    use super::*;

    const RFC7638_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKR\
                             XjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAta\
                             Sqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksI\
                             NHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn ec() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
               "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"})
    }

    fn with(mut jwk: Value, members: &Value) -> Result<PublicKey, KeyError> {
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        PublicKey::from_jwk(&jwk, None)
    }

    #[test]
    fn rfc7638_3_1_and_rfc9449_6_1_thumbprints() {
        let rsa = json!({"kty": "RSA", "n": RFC7638_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        let rsa = PublicKey::from_jwk(&rsa, None).unwrap();
        assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ec = PublicKey::from_jwk(&ec(), None).unwrap();
        assert_eq!(ec.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }

    #[test]
    fn rfc8037_appendix_a_a_signature_made_elsewhere_verifies() {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = PublicKey::from_jwk(&jwk, None).unwrap();
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d\
                    WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(Compact::parse(text).unwrap().verify(&key), Ok(()));
    }

    #[test]
    fn rfc7515_appendix_a_3_a_signature_made_elsewhere_verifies() {
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                         "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        let key = PublicKey::from_jwk(&jwk, None).unwrap();
        let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
                    b290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        assert_eq!(Compact::parse(text).unwrap().verify(&key), Ok(()));
    }

    #[test]
    fn rfc7518_6_private_and_secret_keys_are_refused() {
        for name in PRIVATE {
            assert_eq!(with(ec(), &json!({ name: "AQAB" })).unwrap_err(), KeyError::Private, "{name}");
        }
        let oct = json!({"kty": "oct", "k": "c2VjcmV0"});
        assert_eq!(PublicKey::from_jwk(&oct, None).unwrap_err(), KeyError::Private);
    }

    #[test]
    fn rfc7517_4_members_must_fit_together() {
        assert_eq!(with(ec(), &json!({"alg": "ES256", "use": "sig", "key_ops": ["verify"]})).map(|_| ()), Ok(()));
        for (members, error) in [
            (json!({"use": "enc"}), KeyError::Member("use")),
            (json!({"use": 1}), KeyError::Member("use")),
            (json!({"key_ops": ["sign"]}), KeyError::Member("key_ops")),
            (json!({"key_ops": "verify"}), KeyError::Member("key_ops")),
            (json!({"alg": "RS256"}), KeyError::Algorithm),
            (json!({"alg": "ES384"}), KeyError::Unsupported),
            (json!({"alg": 5}), KeyError::Unsupported),
            (json!({"crv": "P-384"}), KeyError::Unsupported),
            (json!({"crv": "secp256k1"}), KeyError::Unsupported),
            (json!({"kty": "OKP"}), KeyError::Unsupported),
            (json!({"kty": 1}), KeyError::Member("kty")),
            (json!({"x": "AAAA"}), KeyError::Member("x")),
            (json!({"x": 1}), KeyError::Member("x")),
            (json!({"y": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"}), KeyError::Invalid),
            (json!({"x": URL_SAFE_NO_PAD.encode([0; 32]), "y": URL_SAFE_NO_PAD.encode([0; 32])}), KeyError::Invalid),
            (json!({"y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA="}), KeyError::Member("y")),
        ] {
            assert_eq!(with(ec(), &members).unwrap_err(), error, "{members}");
        }
        assert_eq!(PublicKey::from_jwk(&json!("x"), None).unwrap_err(), KeyError::Member("form"));
        assert_eq!(PublicKey::from_jwk(&ec(), Some(Algorithm::Rs256)).unwrap_err(), KeyError::Algorithm);
    }

    #[test]
    fn rfc7518_3_3_rsa_numbers_have_their_size_and_one_form() {
        let rsa = || json!({"kty": "RSA", "n": RFC7638_N, "e": "AQAB"});
        assert_eq!(with(rsa(), &json!({})).unwrap().algorithm(), Algorithm::Rs256);
        assert_eq!(with(rsa(), &json!({"alg": "PS256"})).unwrap().algorithm(), Algorithm::Ps256);
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let modulus = URL_SAFE_NO_PAD.decode(RFC7638_N).unwrap();
        let even = [&modulus[..255], &[2]].concat();
        for (members, error) in [
            (json!({"n": number(&[&[0x81], &modulus[129..]].concat())}), KeyError::Size),
            (json!({"n": number(&[&[0x7F], &modulus[1..]].concat())}), KeyError::Size),
            (json!({"n": number(&[255; 1025])}), KeyError::Size),
            (json!({"n": number(&[255; 4000])}), KeyError::Member("n")),
            (json!({"n": number(&[&[0], &modulus[..]].concat())}), KeyError::Member("n")),
            (json!({"n": number(&even)}), KeyError::Member("n")),
            (json!({"n": ""}), KeyError::Member("n")),
            (json!({"e": "AQ"}), KeyError::Member("e")),
            (json!({"e": "Ag"}), KeyError::Member("e")),
            (json!({"e": ""}), KeyError::Member("e")),
            (json!({"e": number(&[255; 6])}), KeyError::Member("e")),
        ] {
            assert_eq!(with(rsa(), &members).unwrap_err(), error, "{members}");
        }
    }

    #[test]
    fn what_is_published_is_read_back_and_has_no_private_member() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let jwk = key.public().to_jwk(None);
            assert_eq!(PublicKey::from_jwk(&jwk, None).as_ref(), Ok(key.public()));
            assert_eq!(jwk["kid"], json!(key.public().thumbprint()));
            assert!(PRIVATE.iter().all(|&name| jwk.get(name).is_none()));
            let again = SigningKey::from_pkcs8(algorithm, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(again.public(), key.public());
        }
    }
}

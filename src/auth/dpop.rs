//! Proofs that the sender of a request has a key: DPoP (RFC 9449 section 4). Pure: the time is an argument, and whether
//! a proof was shown before is the store's to say.

use http::HeaderMap;
use serde_json::Value;

use super::endpoints::Endpoints;
use super::single_use::SingleUse;
use crate::jose::compact::{Compact, numeric_date};
use crate::jose::key::PublicKey;
use crate::token::time::{Now, UnixSeconds};

/// A proof that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The RFC 7638 thumbprint of the key: the `jkt` of the token that is asked for.
    pub thumbprint: String,
    /// It must not have been used before.
    pub single_use: SingleUse,
}

/// Why a proof was refused. The peer is told: it wrote the proof, and learns nothing of anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// More than one header line, or one that is not text.
    #[error("There must be exactly one DPoP header")]
    Header,
    /// Too long, not the compact form, or an algorithm that is not ours.
    #[error("The DPoP proof is malformed or its algorithm is not supported")]
    Form,
    /// `typ` is not `dpop+jwt`.
    #[error("The typ of the DPoP proof must be dpop+jwt")]
    Type,
    /// `jwk` is missing, holds a private key, or is not a key for the algorithm.
    #[error("The jwk of the DPoP proof must be a public key for its algorithm")]
    Key,
    /// The key has not signed the proof.
    #[error("The signature of the DPoP proof does not match its key")]
    Signature,
    /// `htm` is not the method.
    #[error("The htm of the DPoP proof is not the method of the request")]
    Method,
    /// `htu` is not the token endpoint.
    #[error("The htu of the DPoP proof is not the URL of the token endpoint")]
    Target,
    /// `iat` is missing, too old or ahead.
    #[error("The iat of the DPoP proof is missing or too far from the present")]
    Time,
    /// `jti` is missing or too long.
    #[error("The jti of the DPoP proof is missing or too long")]
    Id,
    /// It was shown before.
    #[error("The DPoP proof was used before")]
    Replayed,
}

impl Proof {
    /// The header that carries it.
    pub const HEADER: &'static str = "dpop";
    /// How far `iat` may be from our clock, in seconds, either way.
    pub const WINDOW: u64 = 60;
    /// The longest `jti` taken, in bytes.
    pub const MAX_ID_BYTES: usize = 256;

    /// Checks the proof of a request to the token endpoint, which is a POST; `None` when it has none.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn of_token_request(headers: &HeaderMap, endpoints: &Endpoints, now: Now) -> Result<Option<Self>, ProofError> {
        let mut lines = headers.get_all(Self::HEADER).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        let text = line.to_str().ok().filter(|_| lines.next().is_none()).ok_or(ProofError::Header)?;
        Self::verify(text, endpoints, now).map(Some)
    }

    /// The checks of section 4.3, the cheap ones before the signature.
    fn verify(text: &str, endpoints: &Endpoints, now: Now) -> Result<Self, ProofError> {
        let compact = Compact::parse(text).map_err(|_| ProofError::Form)?;
        let header = compact.header();
        if !header.is_typ("dpop+jwt") {
            return Err(ProofError::Type);
        }
        let claims = compact.claims().map_err(|_| ProofError::Form)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("htm") != Some("POST") {
            return Err(ProofError::Method);
        }
        if !text("htu").is_some_and(|url| endpoints.is_token(url)) {
            return Err(ProofError::Target);
        }
        let issued_at = numeric_date(&claims, "iat").ok().flatten().ok_or(ProofError::Time)?;
        if issued_at.abs_diff(now.seconds().0) > Self::WINDOW {
            return Err(ProofError::Time);
        }
        let id = text("jti").filter(|id| (1..=Self::MAX_ID_BYTES).contains(&id.len())).ok_or(ProofError::Id)?;
        let key = header.jwk.ok_or(ProofError::Key)?;
        let key = PublicKey::from_jwk(key, Some(header.algorithm)).map_err(|_| ProofError::Key)?;
        compact.verify(&key).map_err(|_| ProofError::Signature)?;
        let thumbprint = key.thumbprint();
        // Named with the key as well: nobody can use up the identifiers of somebody else's proofs.
        let until = UnixSeconds(issued_at).plus(Self::WINDOW);
        let single_use = SingleUse::new("DPoP proof for the token endpoint", &thumbprint, id, until);
        Ok(Self { thumbprint, single_use })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::auth::signer::{Signer, with};

    const NOW: u64 = 1_790_000_000;

    fn header(signer: &Signer) -> Value {
        json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": signer.jwk()})
    }

    fn claims() -> Value {
        json!({"htm": "POST", "htu": "https://as.example/token", "iat": NOW, "jti": "1"})
    }

    fn check(lines: &[&str]) -> Result<Option<Proof>, ProofError> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(Proof::HEADER, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let now = Now::from_unix(Duration::from_secs(NOW));
        Proof::of_token_request(&headers, &Endpoints::new("https://as.example"), now)
    }

    fn with_claims(members: &Value) -> Result<Option<Proof>, ProofError> {
        let signer = Signer::new();
        check(&[&signer.sign(&header(&signer), &with(&claims(), members))])
    }

    #[test]
    fn rfc9449_4_3_a_proof_names_its_key() {
        let signer = Signer::new();
        let proof = check(&[&signer.sign(&header(&signer), &claims())]).unwrap().unwrap();
        assert_eq!(proof.thumbprint, PublicKey::from_jwk(&signer.jwk(), None).unwrap().thumbprint());
        assert!(proof.single_use.until >= UnixSeconds(NOW + 2 * Proof::WINDOW));
        let again = check(&[&signer.sign(&header(&signer), &with(&claims(), &json!({"iat": NOW - 1})))]);
        assert_eq!(again.unwrap().unwrap().single_use.name, proof.single_use.name, "the same jti");
        assert_ne!(with_claims(&json!({})).unwrap().unwrap().single_use.name, proof.single_use.name, "another key");
        assert_eq!(check(&[]), Ok(None));
    }

    #[test]
    fn rfc9449_4_3_exactly_one_header() {
        let signer = Signer::new();
        let text = signer.sign(&header(&signer), &claims());
        assert_eq!(check(&[&text, &text]), Err(ProofError::Header));
        assert_eq!(check(&["\u{e9}"]), Err(ProofError::Header));
        let joined = format!("{text}, {text}");
        for bad in ["", "x", "a.b.c", joined.as_str()] {
            assert_eq!(check(&[bad]), Err(ProofError::Form), "{bad}");
        }
        let long = signer.sign(&header(&signer), &with(&claims(), &json!({"x": "x".repeat(16_384)})));
        assert_eq!(check(&[&long]), Err(ProofError::Form));
    }

    #[test]
    fn rfc9449_4_3_the_header_of_the_proof() {
        let signer = Signer::new();
        let changed = |members: Value| check(&[&signer.sign(&with(&header(&signer), &members), &claims())]);
        for typ in [json!(null), json!("JWT"), json!("at+jwt"), json!("client-authentication+jwt")] {
            assert_eq!(changed(json!({"typ": typ})), Err(ProofError::Type), "{typ}");
        }
        for algorithm in ["none", "HS256", "ES384"] {
            assert_eq!(changed(json!({"alg": algorithm})), Err(ProofError::Form), "{algorithm}");
        }
        let private = with(&signer.jwk(), &json!({"d": "AAAA"}));
        for jwk in [json!(null), json!("x"), json!({"kty": "oct", "k": "AAAA"}), private] {
            assert_eq!(changed(json!({"jwk": jwk})), Err(ProofError::Key), "{jwk}");
        }
        assert_eq!(changed(json!({"alg": "EdDSA"})), Err(ProofError::Key));
        assert_eq!(changed(json!({"jwk": Signer::new().jwk()})), Err(ProofError::Signature));
    }

    #[test]
    fn rfc9449_4_3_the_claims_of_the_proof() {
        for method in [json!(null), json!("GET"), json!("post")] {
            assert_eq!(with_claims(&json!({"htm": method})), Err(ProofError::Method), "{method}");
        }
        for target in
            [json!(null), json!("https://other.example/token"), json!("https://as.example/introspect"), json!(1)]
        {
            assert_eq!(with_claims(&json!({"htu": target})), Err(ProofError::Target), "{target}");
        }
        for moment in [NOW - Proof::WINDOW, NOW + Proof::WINDOW] {
            assert!(with_claims(&json!({"iat": moment})).is_ok(), "{moment}");
        }
        for moment in [json!(null), json!(NOW - Proof::WINDOW - 1), json!(NOW + Proof::WINDOW + 1), json!("now")] {
            assert_eq!(with_claims(&json!({"iat": moment})), Err(ProofError::Time), "{moment}");
        }
        for id in [json!(null), json!(""), json!(1), json!("x".repeat(Proof::MAX_ID_BYTES + 1))] {
            assert_eq!(with_claims(&json!({"jti": id})), Err(ProofError::Id), "{id:.40}");
        }
    }
}

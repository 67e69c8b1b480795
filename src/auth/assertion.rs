//! Assertions that a client has signed: `private_key_jwt` (RFC 7521 section 4.2, RFC 7523 sections 2.2 and 3, and what
//! its revision rfc7523bis narrows). Pure: the time is an argument, and whether an assertion was shown before is the
//! store's to say.

use serde_json::{Map, Value};

use super::endpoints::Endpoints;
use super::single_use::SingleUse;
use crate::client::{Client, ClientId};
use crate::jose::compact::{Compact, numeric_date};
use crate::token::time::{Now, UnixSeconds};

/// An assertion that has the right form. Nothing of it is believed yet.
#[derive(Clone, Debug)]
pub struct Assertion<'a> {
    compact: Compact<'a>,
    claims: Map<String, Value>,
    client_id: ClientId,
}

/// Why an assertion was refused: for the log alone, the peer is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// `typ` says that it is something else.
    #[error("typ names another kind of text")]
    Type,
    /// Not an algorithm that this client may use.
    #[error("the client may not use this algorithm")]
    Algorithm,
    /// None of the client's keys has signed it.
    #[error("no registered key has signed it")]
    Signature,
    /// `aud` is missing, not ours, or not the only one.
    #[error("aud is not the issuer identifier alone")]
    Audience,
    /// `exp` is missing, of the wrong type, past, or too far ahead.
    #[error("exp is missing, past or too far ahead")]
    Expiry,
    /// `iat` or `nbf` lies ahead, or is of the wrong type.
    #[error("iat or nbf lies ahead or is not a number")]
    NotYet,
    /// `jti` is not a text.
    #[error("jti is not a text")]
    Id,
    /// It was shown before.
    #[error("it was used before")]
    Replayed,
}

impl<'a> Assertion<'a> {
    /// The `client_assertion_type` of these assertions (RFC 7523 section 2.2).
    pub const TYPE: &'static str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    /// How far ahead `exp` may lie, in seconds. An hour is what common libraries write.
    pub const MAX_LIFETIME: u64 = 3600;
    /// How far the clock of a client may be ahead of ours, in seconds.
    pub const CLOCK_SKEW: u64 = 60;

    /// Reads an assertion, and of whom it is: `iss` and `sub` name the same client (RFC 7523 section 3), and
    /// `client_id`, if the request has one, names it too (RFC 7521 section 4.2). `None` when it is malformed or does
    /// not.
    pub fn parse(text: &'a str, client_id: Option<&str>) -> Option<Self> {
        let compact = Compact::parse(text).ok()?;
        let claims = compact.claims().ok()?;
        let subject = claims.get("sub")?.as_str()?;
        let agreed = claims.get("iss")?.as_str() == Some(subject) && client_id.is_none_or(|id| id == subject);
        let client_id = ClientId::parse(subject).filter(|_| agreed)?;
        Some(Self { compact, claims, client_id })
    }

    /// The client that it speaks of.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Decides whether `client`, which must be the one of [`Assertion::client_id`], made this assertion for us and for
    /// now. What is returned must not have been used before; `None` for an assertion without `jti`.
    ///
    /// Costs a signature check for each of the client's keys that could have made it, one as a rule.
    ///
    /// # Errors
    /// [`AssertionError`].
    pub fn verify(
        &self,
        client: &Client,
        endpoints: &Endpoints,
        now: Now,
    ) -> Result<Option<SingleUse>, AssertionError> {
        let header = self.compact.header();
        let usual = header.typ.is_none() || header.is_typ("JWT") || header.is_typ("client-authentication+jwt");
        if !usual {
            return Err(AssertionError::Type);
        }
        if client.token_endpoint_auth_signing_alg.is_some_and(|registered| registered != header.algorithm) {
            return Err(AssertionError::Algorithm);
        }
        let expires_at = self.check_times(now)?;
        if !self.is_for_us(client, endpoints) {
            return Err(AssertionError::Audience);
        }
        let id = match self.claims.get("jti") {
            None => None,
            Some(Value::String(id)) => Some(id.as_str()),
            Some(_) => return Err(AssertionError::Id),
        };
        let keys = client.jwks.as_ref().and_then(|keys| keys.signers()).ok_or(AssertionError::Signature)?;
        if !keys.find(&header).any(|key| self.compact.verify(key).is_ok()) {
            return Err(AssertionError::Signature);
        }
        Ok(id.map(|id| SingleUse::new("client assertion", client.client_id.as_str(), id, expires_at)))
    }

    fn check_times(&self, now: Now) -> Result<UnixSeconds, AssertionError> {
        let now = now.seconds().0;
        let exp = numeric_date(&self.claims, "exp").ok().flatten().ok_or(AssertionError::Expiry)?;
        if exp <= now || exp > now + Self::MAX_LIFETIME + Self::CLOCK_SKEW {
            return Err(AssertionError::Expiry);
        }
        for name in ["iat", "nbf"] {
            let moment = numeric_date(&self.claims, name).map_err(|_| AssertionError::NotYet)?;
            if moment.is_some_and(|moment| moment > now + Self::CLOCK_SKEW) {
                return Err(AssertionError::NotYet);
            }
        }
        Ok(UnixSeconds(exp))
    }

    /// The issuer identifier as the sole audience (rfc7523bis): with the URL of an endpoint, or beside others, it could
    /// have been made for somebody else, who could now use it here.
    fn is_for_us(&self, client: &Client, endpoints: &Endpoints) -> bool {
        let audience = match self.claims.get("aud") {
            Some(Value::String(audience)) => Some(audience.as_str()),
            Some(Value::Array(audiences)) => match audiences.as_slice() {
                [audience] => audience.as_str(),
                _ => None,
            },
            _ => None,
        };
        audience.is_some_and(|audience| {
            audience == endpoints.issuer() || client.assertion_audience_endpoints && endpoints.holds(audience)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::auth::signer::{Signer, with};
    use crate::client::AuthenticationMethod;
    use crate::client::keys::ClientKeys;
    use crate::client::metadata::blank;
    use crate::jose::algorithm::Algorithm;

    const NOW: u64 = 1_790_000_000;
    const ISSUER: &str = "https://as.example";

    struct Case {
        signer: Signer,
        client: Client,
    }

    impl Case {
        fn new() -> Self {
            let signer = Signer::new();
            let jwks = json!({"keys": [signer.jwk()]});
            let client = Client {
                authentication: Some(AuthenticationMethod::PrivateKeyJwt),
                jwks: Some(ClientKeys::parse(jwks.as_object().unwrap().clone()).unwrap()),
                ..blank(ClientId::parse("app").unwrap(), UnixSeconds(0))
            };
            Self { signer, client }
        }

        fn claims() -> Value {
            json!({"iss": "app", "sub": "app", "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "1"})
        }

        fn verify(&self, text: &str) -> Option<Result<Option<SingleUse>, AssertionError>> {
            let endpoints = Endpoints::new(ISSUER);
            let now = Now::from_unix(Duration::from_secs(NOW));
            Assertion::parse(text, None).map(|assertion| assertion.verify(&self.client, &endpoints, now))
        }

        fn with_claims(&self, members: &Value) -> Option<Result<Option<SingleUse>, AssertionError>> {
            self.verify(&self.signer.sign(&json!({"alg": "ES256"}), &with(&Self::claims(), members)))
        }

        fn with_header(&self, header: &Value) -> Option<Result<Option<SingleUse>, AssertionError>> {
            self.verify(&self.signer.sign(header, &Self::claims()))
        }
    }

    #[test]
    fn rfc7523_3_an_assertion_of_the_client_for_us_and_for_now_is_accepted() {
        let case = Case::new();
        let single_use = case.with_claims(&json!({})).unwrap().unwrap().unwrap();
        assert!(single_use.until > UnixSeconds(NOW + 60));
        for members in [
            json!({"aud": [ISSUER]}),
            json!({"exp": NOW + Assertion::MAX_LIFETIME}),
            json!({"exp": NOW + 1}),
            json!({"nbf": NOW, "iat": null}),
            json!({"nbf": NOW + Assertion::CLOCK_SKEW}),
            json!({"scope": "ignored"}),
        ] {
            assert!(case.with_claims(&members).unwrap().is_ok(), "{members}");
        }
        assert_eq!(case.with_claims(&json!({"jti": null})).unwrap(), Ok(None), "jti is optional");
    }

    #[test]
    fn rfc7523_3_1_issuer_and_subject_are_the_client() {
        let case = Case::new();
        for members in [
            json!({"iss": "other"}),
            json!({"sub": "other"}),
            json!({"iss": null}),
            json!({"sub": null}),
            json!({"sub": 1, "iss": 1}),
            json!({"sub": "", "iss": ""}),
            json!({"sub": "a".repeat(129), "iss": "a".repeat(129)}),
        ] {
            assert!(case.with_claims(&members).is_none(), "{members}");
        }
        let text = case.signer.sign(&json!({"alg": "ES256"}), &Case::claims());
        assert!(Assertion::parse(&text, Some("app")).is_some());
        assert!(Assertion::parse(&text, Some("other")).is_none());
    }

    #[test]
    fn rfc7523bis_the_issuer_identifier_is_the_sole_audience() {
        let mut case = Case::new();
        for audience in [
            json!(null),
            json!("https://other.example"),
            json!("https://as.example/"),
            json!("https://as.example/token"),
            json!("https://as.example/introspect"),
            json!([ISSUER, "https://other.example"]),
            json!([ISSUER, ISSUER]),
            json!([]),
            json!([[ISSUER]]),
            json!(7),
            json!({"a": ISSUER}),
        ] {
            assert_eq!(
                case.with_claims(&json!({"aud": audience})).unwrap(),
                Err(AssertionError::Audience),
                "{audience}"
            );
        }
        case.client.assertion_audience_endpoints = true;
        for audience in
            ["https://as.example/token", "https://as.example/introspect", "https://as.example/revoke", ISSUER]
        {
            assert!(case.with_claims(&json!({"aud": audience})).unwrap().is_ok(), "{audience}");
        }
        for audience in [json!("https://other.example/token"), json!([ISSUER, "https://as.example/token"])] {
            assert_eq!(
                case.with_claims(&json!({"aud": audience})).unwrap(),
                Err(AssertionError::Audience),
                "{audience}"
            );
        }
    }

    #[test]
    fn rfc7523bis_typ_is_absent_or_says_what_it_is() {
        let case = Case::new();
        for typ in ["JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"] {
            assert!(case.with_header(&json!({"alg": "ES256", "typ": typ})).unwrap().is_ok(), "{typ}");
        }
        for typ in ["at+jwt", "dpop+jwt", "token-introspection+jwt", "logout+jwt", ""] {
            let outcome = case.with_header(&json!({"alg": "ES256", "typ": typ}));
            assert_eq!(outcome.unwrap(), Err(AssertionError::Type), "{typ}");
        }
    }

    #[test]
    fn rfc7523_3_6_times_are_checked() {
        let case = Case::new();
        for exp in [
            json!(null),
            json!(NOW),
            json!(NOW - 1),
            json!(NOW + Assertion::MAX_LIFETIME + Assertion::CLOCK_SKEW + 1),
            json!((NOW + 60).to_string()),
            json!(-1),
            json!(1.5),
        ] {
            assert_eq!(case.with_claims(&json!({"exp": exp})).unwrap(), Err(AssertionError::Expiry), "{exp}");
        }
        for name in ["iat", "nbf"] {
            for moment in [json!(NOW + Assertion::CLOCK_SKEW + 1), json!("now"), json!(-1)] {
                assert_eq!(case.with_claims(&json!({name: moment})).unwrap(), Err(AssertionError::NotYet), "{moment}");
            }
        }
        assert_eq!(case.with_claims(&json!({"jti": 1})).unwrap(), Err(AssertionError::Id));
    }

    #[test]
    fn rfc7523_3_9_only_registered_keys_count() {
        let mut case = Case::new();
        let other = Signer::new();
        let foreign = other.sign(&json!({"alg": "ES256"}), &Case::claims());
        assert_eq!(case.verify(&foreign).unwrap(), Err(AssertionError::Signature));
        // A key that the assertion brings along proves nothing.
        let brought = other.sign(&json!({"alg": "ES256", "jwk": other.jwk()}), &Case::claims());
        assert_eq!(case.verify(&brought).unwrap(), Err(AssertionError::Signature));
        let unknown = case.with_header(&json!({"alg": "ES256", "kid": "'; DROP"}));
        assert_eq!(unknown.unwrap(), Err(AssertionError::Signature));
        for header in [json!({"alg": "none"}), json!({"alg": "HS256"}), json!({"alg": "ES384"}), json!({})] {
            assert!(case.with_header(&header).is_none(), "{header}");
        }
        for algorithm in ["EdDSA", "RS256", "PS256"] {
            let outcome = case.with_header(&json!({"alg": algorithm}));
            assert_eq!(outcome.unwrap(), Err(AssertionError::Signature), "{algorithm}");
        }
        case.client.token_endpoint_auth_signing_alg = Some(Algorithm::Rs256);
        assert_eq!(case.with_claims(&json!({})).unwrap(), Err(AssertionError::Algorithm));
        case.client.jwks = None;
        case.client.token_endpoint_auth_signing_alg = None;
        assert_eq!(case.with_claims(&json!({})).unwrap(), Err(AssertionError::Signature));
    }
}

//! What a request carries to say who sent it: parsed, not yet believed.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Refusal;
use super::assertion::Assertion;
use crate::client::is_vschar;
use crate::server::PeerCertificate;
use crate::token::value::Presented;

/// Credentials as presented. Borrowed from the request where possible, and never printed.
pub enum Credentials<'a> {
    /// A client identifier with a secret in the header.
    Basic {
        /// What the header holds.
        pair: BasicPair,
        /// Whether the body holds the same once more, as lua-resty-openidc sends it; only clients that are registered
        /// for it may (RFC 6749 section 2.3 allows one mechanism).
        repeated: bool,
    },
    /// A client identifier with a secret in the body.
    Post {
        /// `client_id`.
        id: &'a str,
        /// `client_secret`.
        secret: &'a str,
    },
    /// What a client has signed.
    Assertion(Box<Assertion<'a>>),
    /// A client identifier alone, over a connection with a certificate. Whether it matters is a matter of registration:
    /// a certificate may be there for reasons of its own.
    Certificate {
        /// `client_id`.
        id: &'a str,
        /// The certificate.
        certificate: &'a PeerCertificate,
    },
    /// A client identifier alone.
    IdOnly(&'a str),
    /// An access token in the header.
    Bearer(Presented<'a>),
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Basic { .. } => "Basic(redacted)",
            Self::Post { .. } => "Post(redacted)",
            Self::Assertion(_) => "Assertion(redacted)",
            Self::Certificate { .. } => "Certificate",
            Self::IdOnly(_) => "IdOnly",
            Self::Bearer(_) => "Bearer(redacted)",
        })
    }
}

/// The parts of a request's body that have to do with the caller.
#[derive(Clone, Copy, Default)]
pub struct BodyCredentials<'a> {
    /// `client_id`.
    pub client_id: Option<&'a str>,
    /// `client_secret`.
    pub client_secret: Option<&'a str>,
    /// `client_assertion`.
    pub assertion: Option<&'a str>,
    /// `client_assertion_type`.
    pub assertion_type: Option<&'a str>,
    /// The certificate of the connection.
    pub certificate: Option<&'a PeerCertificate>,
}

impl BodyCredentials<'_> {
    /// Whether the body says nothing about the caller.
    pub fn is_silent(&self) -> bool {
        self.client_id.is_none()
            && self.client_secret.is_none()
            && self.assertion.is_none()
            && self.assertion_type.is_none()
    }

    /// Whether the body names a client and proves nothing.
    pub fn is_name_alone(&self) -> bool {
        self.client_id.is_some()
            && self.client_secret.is_none()
            && self.assertion.is_none()
            && self.assertion_type.is_none()
    }
}

impl<'a> Credentials<'a> {
    /// Finds the one mechanism that a request uses (RFC 6749 section 2.3).
    ///
    /// # Errors
    /// [`Refusal::Missing`] without any, [`Refusal::BadRequest`] with several or [`Refusal::BadBearerRequest`] if
    /// one of them is a Bearer token, [`Refusal::InvalidClient`] for a Basic header that cannot be decoded: it is a
    /// failed attempt like any other.
    pub fn find(headers: &'a HeaderMap, body: BodyCredentials<'a>) -> Result<Self, Refusal> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let line = lines.next();
        if lines.next().is_some() {
            const REPEATED: &str = "more than one Authorization header";
            let bearer = headers.get_all(AUTHORIZATION).iter().any(|line| is_bearer(scheme_of(line.as_bytes())));
            return Err(if bearer { Refusal::BadBearerRequest(REPEATED) } else { Refusal::BadRequest(REPEATED) });
        }
        if body.assertion.is_some() || body.assertion_type.is_some() {
            if line.is_some() || body.client_secret.is_some() {
                return Err(SEVERAL);
            }
            return Self::assertion(body);
        }
        let Some(line) = line else {
            return match (body.client_id, body.client_secret) {
                (Some(id), Some(secret)) => Ok(Self::Post { id, secret }),
                (Some(id), None) => Ok(match body.certificate {
                    Some(certificate) => Self::Certificate { id, certificate },
                    None => Self::IdOnly(id),
                }),
                (None, Some(_)) => Err(Refusal::BadRequest("client_secret without client_id")),
                (None, None) => Err(Refusal::Missing),
            };
        };
        let line = line.to_str().map_err(|_| Refusal::InvalidClient)?;
        let (scheme, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start_matches(' ');
        if scheme.eq_ignore_ascii_case("basic") {
            // Base64 has no comma: this is a list, as a proxy makes of two header lines.
            if rest.contains(',') {
                return Err(SEVERAL);
            }
            let pair = BasicPair::decode(rest).ok_or(Refusal::InvalidClient)?;
            let repeated = match (body.client_id, body.client_secret) {
                (_, None) => false,
                (Some(id), Some(secret)) if pair.forms().any(|form| form.is(id, secret)) => true,
                _ => return Err(SEVERAL),
            };
            if body.client_id.is_some_and(|id| !pair.names(id)) {
                return Err(Refusal::BadRequest("client_id differs from the one in the Authorization header"));
            }
            Ok(Self::Basic { pair, repeated })
        } else if is_bearer(scheme.as_bytes()) {
            if body.client_secret.is_some() {
                return Err(Refusal::BadBearerRequest(SEVERAL_TEXT));
            }
            if rest.is_empty() || rest.contains([' ', ',']) {
                return Err(Refusal::BadBearerRequest("malformed Bearer credentials"));
            }
            Ok(Self::Bearer(Presented::new(rest)))
        } else {
            Err(Refusal::InvalidClient)
        }
    }

    /// RFC 7521 section 4.2: an assertion and what kind it is of. One that is malformed is a failed attempt.
    fn assertion(body: BodyCredentials<'a>) -> Result<Self, Refusal> {
        let (Some(text), Some(kind)) = (body.assertion, body.assertion_type) else {
            return Err(Refusal::BadRequest("client_assertion and client_assertion_type belong together"));
        };
        if kind != Assertion::TYPE {
            return Err(Refusal::InvalidClient);
        }
        let assertion = Assertion::parse(text, body.client_id).ok_or(Refusal::InvalidClient)?;
        Ok(Self::Assertion(Box::new(assertion)))
    }

    /// The client that the credentials speak of, as far as they name one.
    pub fn claimed_id(&self) -> Option<&str> {
        match self {
            Self::Basic { pair, .. } => Some(pair.forms().next().map_or("", |form| form.id)),
            Self::Assertion(assertion) => Some(assertion.client_id().as_str()),
            Self::Post { id, .. } | Self::IdOnly(id) | Self::Certificate { id, .. } => Some(id),
            Self::Bearer(_) => None,
        }
    }
}

pub(super) const SEVERAL: Refusal = Refusal::BadRequest(SEVERAL_TEXT);
const SEVERAL_TEXT: &str = "more than one way of client authentication";

fn scheme_of(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b' ').next().unwrap_or_default()
}

fn is_bearer(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"bearer")
}

/// The content of a Basic header, in the one or two ways that it can be meant.
///
/// RFC 6749 section 2.3.1 wants identifier and secret form-encoded before they are joined. About half of all client
/// libraries leave that out, and then a `%` or `+` in a secret stands for itself. So the decoded form is tried first,
/// and the raw one only where decoding changed something or failed; both together are one attempt.
pub struct BasicPair {
    decoded: Option<(Zeroizing<String>, Zeroizing<String>)>,
    raw: Option<(Zeroizing<String>, Zeroizing<String>)>,
}

/// One way to read a Basic header.
#[derive(Clone, Copy)]
pub struct BasicForm<'a> {
    /// The client identifier.
    pub id: &'a str,
    /// The secret.
    pub secret: &'a str,
}

impl BasicForm<'_> {
    /// Whether it is this pair; in constant time for a secret of the same length.
    fn is(self, id: &str, secret: &str) -> bool {
        self.id == id && bool::from(self.secret.as_bytes().ct_eq(secret.as_bytes()))
    }
}

/// Some senders leave the padding out; what remains is still unambiguous.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl BasicPair {
    /// Decodes what follows the scheme; `None` when it is not base64 of printable ASCII or UTF-8 with a colon in it.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
        let pair = str::from_utf8(&bytes).ok()?;
        if pair.chars().any(char::is_control) {
            return None;
        }
        let (id, secret) = pair.split_once(':')?;
        let decoded =
            form_decode(id).zip(form_decode(secret)).filter(|(id, secret)| is_vschar(id) && is_vschar(secret));
        let changed =
            decoded.as_ref().is_none_or(|(decoded_id, decoded_secret)| *decoded_id != id || *decoded_secret != secret);
        let own = |text: &str| Zeroizing::new(text.to_owned());
        Some(Self {
            decoded: decoded.map(|(id, secret)| (own(&id), own(&secret))),
            raw: changed.then(|| (own(id), own(secret))),
        })
    }

    /// The ways to read it, the one of the RFC first.
    pub fn forms(&self) -> impl Iterator<Item = BasicForm<'_>> {
        [&self.decoded, &self.raw].into_iter().flatten().map(|(id, secret)| BasicForm { id, secret })
    }

    fn names(&self, id: &str) -> bool {
        self.forms().any(|form| form.id == id)
    }

    /// Encodes a pair as RFC 6749 section 2.3.1 wants it: what a client of ours sends.
    pub fn encode(id: &str, secret: &str) -> String {
        STANDARD.encode(format!("{}:{}", crate::form::encode(id), crate::form::encode(secret)))
    }
}

fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    crate::form::decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn basic(header: &str) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        match Credentials::find(&headers, BodyCredentials::default()) {
            Ok(Credentials::Basic { pair, .. }) => {
                pair.forms().map(|form| (form.id.into(), form.secret.into())).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn refused(header: &str) -> Refusal {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(header.as_bytes()).unwrap());
        Credentials::find(&headers, BodyCredentials::default()).unwrap_err()
    }

    /// The vectors of RFC 6749 section 2.3.1 and appendix B.
    #[test]
    fn rfc6749_2_3_1_vectors() {
        let first = |header: &str| basic(header).remove(0);
        assert_eq!(first("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"), ("s6BhdRkqt3".into(), "gX1fBat3bV".into()));
        let long = ("1PpG/Q 1".to_owned(), "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=".to_owned());
        let plus =
            "MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA==";
        let space =
            "MVBwRyUyRlElMjAxOnolMkZ0WjlWd0ZacUFwbUlRJTJCWkgxSTVwTGslMkZ1QjR1ZCUzQVgyJTJGOGJMJTJCd2ZGVHQxckZ3JTNE";
        assert_eq!(first(&format!("Basic {plus}")), long);
        assert_eq!(first(&format!("basic   {space}")), long);
        let dashes = ("rs-1.a_b~c".to_owned(), "s-e.c_r~t".to_owned());
        assert_eq!(first("BASIC cnMlMkQxJTJFYSU1RmIlN0VjOnMlMkRlJTJFYyU1RnIlN0V0"), dashes);
        assert_eq!(first("Basic cnMtMS5hX2J+YzpzLWUuY19yfnQ="), dashes);
        assert_eq!(format!("Basic {}", BasicPair::encode(&long.0, &long.1)), format!("Basic {plus}"));
    }

    #[test]
    fn an_unencoded_pair_is_read_raw_only_where_decoding_changes_it() {
        let encode = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(basic(&encode("rs:plain")), [("rs".into(), "plain".into())]);
        assert_eq!(basic(&encode("rs:a+b")), [("rs".into(), "a b".into()), ("rs".into(), "a+b".into())]);
        assert_eq!(basic(&encode("rs:50%")), [("rs".into(), "50%".into())]);
        assert_eq!(basic(&encode("rs:a:b")), [("rs".into(), "a:b".into())]);
    }

    #[test]
    fn what_cannot_be_decoded_is_a_failed_attempt() {
        for header in ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Basic //79Og==", "Basic YQE6Yg==", "Digest x", ""] {
            assert!(matches!(refused(header), Refusal::InvalidClient), "{header:?}");
        }
        assert!(matches!(refused("Bearer"), Refusal::BadBearerRequest(_)));
        assert!(matches!(refused("Bearer a, Basic b"), Refusal::BadBearerRequest(_)));
        assert!(matches!(refused("Basic bm9jb2xvbg==, Bearer b"), Refusal::BadRequest(_)));
    }

    #[test]
    fn rfc6749_2_3_one_mechanism_only() {
        let mut headers = HeaderMap::new();
        let id = Some("s6BhdRkqt3");
        let post = BodyCredentials { client_id: id, client_secret: Some("x"), ..BodyCredentials::default() };
        assert!(matches!(Credentials::find(&headers, post), Ok(Credentials::Post { .. })));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"));
        assert!(matches!(Credentials::find(&headers, post), Err(Refusal::BadRequest(_))));
        let same = BodyCredentials { client_id: id, ..BodyCredentials::default() };
        assert!(matches!(Credentials::find(&headers, same), Ok(Credentials::Basic { repeated: false, .. })));
        let twice = BodyCredentials { client_id: id, client_secret: Some("gX1fBat3bV"), ..BodyCredentials::default() };
        assert!(matches!(Credentials::find(&headers, twice), Ok(Credentials::Basic { repeated: true, .. })));
        let other = BodyCredentials { client_id: Some("other"), ..BodyCredentials::default() };
        assert!(matches!(Credentials::find(&headers, other), Err(Refusal::BadRequest(_))));
        let assertion = BodyCredentials { assertion: Some("x"), ..BodyCredentials::default() };
        assert!(matches!(Credentials::find(&headers, assertion), Err(Refusal::BadRequest(_))));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"));
        assert!(matches!(Credentials::find(&headers, same), Err(Refusal::BadRequest(_))));
    }
}

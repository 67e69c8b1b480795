//! `application/x-www-form-urlencoded` as OAuth uses it (RFC 6749 appendix B): strict, and without a copy where nothing
//! is escaped.

use std::borrow::Cow;
use std::fmt::Write as _;

use memchr::{memchr, memchr2};

/// Why a form was refused. Nothing of the form is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// `%` without two hexadecimal digits behind it.
    #[error("malformed percent-encoding")]
    Escape,
    /// A known parameter given twice (RFC 6749 section 3.2).
    #[error("a parameter is repeated")]
    Repeated,
    /// Not UTF-8 after decoding.
    #[error("not UTF-8")]
    Text,
    /// More than [`MAX_PARAMETERS`].
    #[error("too many parameters")]
    TooMany,
}

/// The most parameters looked at, known or not.
pub const MAX_PARAMETERS: usize = 256;

/// Every parameter that any endpoint knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `audience`: at introspection, one that the token must be made for (ours).
    Audience,
    /// `authorization_details` (RFC 9396).
    AuthorizationDetails,
    /// `client_assertion` (RFC 7521).
    ClientAssertion,
    /// `client_assertion_type` (RFC 7521).
    ClientAssertionType,
    /// `client_id`.
    ClientId,
    /// `client_secret`.
    ClientSecret,
    /// `expires_in`: at introspection, whether to answer for how long the token is active (ours).
    ExpiresIn,
    /// `grant_type`.
    GrantType,
    /// `minimal`: at introspection, whether to answer `active` and nothing else (ours).
    Minimal,
    /// `refresh_token`.
    RefreshToken,
    /// `scope`.
    Scope,
    /// `token`.
    Token,
    /// `token_type_hint`.
    TokenTypeHint,
}

const KNOWN: [(&str, Parameter); 13] = [
    ("audience", Parameter::Audience),
    ("authorization_details", Parameter::AuthorizationDetails),
    ("client_assertion", Parameter::ClientAssertion),
    ("client_assertion_type", Parameter::ClientAssertionType),
    ("client_id", Parameter::ClientId),
    ("client_secret", Parameter::ClientSecret),
    ("expires_in", Parameter::ExpiresIn),
    ("grant_type", Parameter::GrantType),
    ("minimal", Parameter::Minimal),
    ("refresh_token", Parameter::RefreshToken),
    ("scope", Parameter::Scope),
    ("token", Parameter::Token),
    ("token_type_hint", Parameter::TokenTypeHint),
];

/// The one parameter that may be repeated (RFC 8707 section 2).
const RESOURCE: &str = "resource";

/// A parsed form: the known parameters, each at most once, and every `resource`.
#[derive(Default)]
pub struct Form<'a> {
    values: [Option<Cow<'a, str>>; KNOWN.len()],
    resources: Vec<Cow<'a, str>>,
}

impl<'a> Form<'a> {
    /// Reads a form. Unknown parameters are ignored once they decode (RFC 6749 section 3.2).
    ///
    /// # Errors
    /// [`FormError`] on anything malformed or repeated.
    pub fn parse(body: &'a [u8]) -> Result<Self, FormError> {
        let mut form = Self::default();
        for (count, pair) in body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).enumerate() {
            if count == MAX_PARAMETERS {
                return Err(FormError::TooMany);
            }
            let (name, value) = match memchr(b'=', pair) {
                Some(position) => (&pair[..position], &pair[position + 1..]),
                None => (pair, &[][..]),
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if name == RESOURCE {
                form.resources.push(value);
            } else if let Some((_, parameter)) = KNOWN.iter().find(|(known, _)| *known == name) {
                let place = &mut form.values[*parameter as usize];
                if place.is_some() {
                    return Err(FormError::Repeated);
                }
                *place = Some(value);
            }
        }
        Ok(form)
    }

    /// The value of a parameter; one without a value counts as absent (RFC 6749 section 3.2).
    pub fn get(&self, parameter: Parameter) -> Option<&str> {
        self.values[parameter as usize].as_deref().filter(|value| !value.is_empty())
    }

    /// Every `resource` that has a value.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|resource| &**resource).filter(|resource| !resource.is_empty())
    }
}

/// The name of every parameter that any endpoint knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name).chain([RESOURCE])
}

impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Form(redacted)")
    }
}

/// Decodes one name or value: `+` is a space, `%XX` a byte.
///
/// # Errors
/// [`FormError::Escape`] or [`FormError::Text`].
pub fn decode(encoded: &[u8]) -> Result<Cow<'_, str>, FormError> {
    if memchr2(b'+', b'%', encoded).is_none() {
        return str::from_utf8(encoded).map(Cow::Borrowed).map_err(|_| FormError::Text);
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let [high, low, tail @ ..] = rest else { return Err(FormError::Escape) };
                rest = tail;
                hexadecimal(*high)? << 4 | hexadecimal(*low)?
            }
            other => *other,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| FormError::Text)
}

/// Encodes one name or value as RFC 6749 appendix B does.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("writing into memory cannot fail"),
        }
    }
    encoded
}

fn hexadecimal(digit: u8) -> Result<u8, FormError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(FormError::Escape),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(body: &str) -> Result<Option<String>, FormError> {
        Form::parse(body.as_bytes()).map(|form| form.get(Parameter::Token).map(str::to_owned))
    }

    /// RFC 6749 appendix B.
    #[test]
    fn rfc6749_appendix_b_vector() {
        let text = " %&+\u{a3}\u{20ac}";
        let encoded = "+%25%26%2B%C2%A3%E2%82%AC";
        assert_eq!(encode(text), encoded);
        assert_eq!(decode(encoded.as_bytes()).unwrap(), text);
    }

    #[test]
    fn decoding_is_strict() {
        assert_eq!(token("token=a%2Bb%2bc+d"), Ok(Some("a+b+c d".into())));
        for bad in ["token=%", "token=%G1", "token=%4", "x=%zz&token=a", "%=1"] {
            assert_eq!(token(bad), Err(FormError::Escape), "{bad}");
        }
        for bad in ["token=%FF", "token=%C0%80", "%FF=1"] {
            assert_eq!(token(bad), Err(FormError::Text), "{bad}");
        }
    }

    #[test]
    fn names_and_separators() {
        assert_eq!(token("%74oken=a"), Ok(Some("a".into())));
        assert_eq!(token("Token=a"), Ok(None));
        assert_eq!(token("a=b&&token=c&"), Ok(Some("c".into())));
        assert_eq!(token("a=b;token=c"), Ok(None));
        assert_eq!(token("token"), Ok(None));
        assert_eq!(token("token="), Ok(None));
        assert_eq!(token("token=a=b"), Ok(Some("a=b".into())));
    }

    /// RFC 6749 section 3.2: not more than once, even with equal or empty values.
    #[test]
    fn rfc6749_3_2_repeats_are_refused() {
        for (name, _) in KNOWN {
            for body in [format!("{name}=a&{name}=a"), format!("{name}=&{name}=a")] {
                assert_eq!(Form::parse(body.as_bytes()).unwrap_err(), FormError::Repeated, "{body}");
            }
        }
        let form = Form::parse(b"resource=a&resource=b&resource=&other=1&other=2").unwrap();
        assert_eq!(form.resources().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn parameters_are_bounded_in_number() {
        assert!(Form::parse("a=1&".repeat(MAX_PARAMETERS).as_bytes()).is_ok());
        assert_eq!(Form::parse("a=1&".repeat(MAX_PARAMETERS + 1).as_bytes()).unwrap_err(), FormError::TooMany);
    }

    #[test]
    fn what_needs_no_decoding_is_not_copied() {
        assert!(matches!(decode(b"plain-text"), Ok(Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn encoding_reads_back(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert_eq!(decode(encoded.as_bytes()).unwrap(), text);
        }

        #[test]
        fn no_bytes_make_parsing_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Form::parse(&body);
        }
    }
}

//! The text of a token: how one is written, and how one presented by a peer is told from garbage.
//!
//! ```text
//! itd_at_ 01 kV3…(43 characters)…w  9fJ2_aQx
//! |       |  |                      `- check value, 48 bits of keyed BLAKE3: garbage costs no look-up
//! |       |  `- 256 random bits, base64url
//! |       `- id of the key that the digest and the check value were made with
//! `- prefix for secret scanners: itd_at_ access token, itd_rt_ refresh token
//! ```
//!
//! A refresh token is 71 characters long, because it names its grant: the first 128 bits of what is base64url are the
//! grant's id, the other 192 are random, or derived from its predecessor with the server's key.
//!
//! A scanner finds ours with `itd_at_[0-9A-Za-z]{2}[0-9A-Za-z_-]{51}` and `itd_rt_[0-9A-Za-z]{2}[0-9A-Za-z_-]{62}`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::digest::GrantId;
use super::keyring::KeyId;

/// What a token may be used for. RFC 7662 and RFC 7009 call it the token type of the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// Shown to resource servers.
    Access,
    /// Shown to the token endpoint only, by the client it was issued to.
    Refresh,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "itd_at_",
            Self::Refresh => "itd_rt_",
        }
    }
}

const PREFIX_LENGTH: usize = 7;
const RANDOM_BYTES: usize = 32;
const RANDOM_LENGTH: usize = 43;
/// Random bytes of a refresh token, beside the 16 of its grant's id: beyond the 160 bits of RFC 6749 section 10.10.
pub(super) const REFRESH_RANDOM_BYTES: usize = 24;
const REFRESH_BYTES: usize = GrantId::BYTES + REFRESH_RANDOM_BYTES;
const REFRESH_LENGTH: usize = 54;
const CHECK_LENGTH: usize = 8;
/// Where the random part begins.
const HEAD_LENGTH: usize = PREFIX_LENGTH + KeyId::LENGTH;
/// Length of the part of an access token that is hashed: one BLAKE3 block holds it.
const BODY_LENGTH: usize = HEAD_LENGTH + RANDOM_LENGTH;
const REFRESH_BODY_LENGTH: usize = HEAD_LENGTH + REFRESH_LENGTH;

/// A token's text in our hands, made here or taken over from elsewhere. Wiped when dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenValue(Zeroizing<String>);

impl TokenValue {
    /// Length of every access token made here, in characters.
    pub const LENGTH: usize = BODY_LENGTH + CHECK_LENGTH;
    /// Length of every refresh token, in characters.
    pub const REFRESH_LENGTH: usize = REFRESH_BODY_LENGTH + CHECK_LENGTH;
    /// Sizes, in bytes, that a token made elsewhere may have.
    pub const IMPORT_BYTES: std::ops::RangeInclusive<usize> = 8..=4096;

    /// Writes everything but the check value: prefix, key id, random bits.
    pub(super) fn access_body(key: KeyId, random: &[u8; RANDOM_BYTES]) -> Self {
        Self::body(TokenKind::Access, key, random, Self::LENGTH)
    }

    /// The same of a refresh token, which names its grant.
    pub(super) fn refresh_body(key: KeyId, grant: GrantId, random: &[u8; REFRESH_RANDOM_BYTES]) -> Self {
        let mut bytes = Zeroizing::new([0; REFRESH_BYTES]);
        bytes[..GrantId::BYTES].copy_from_slice(&grant.0);
        bytes[GrantId::BYTES..].copy_from_slice(random);
        Self::body(TokenKind::Refresh, key, bytes.as_slice(), Self::REFRESH_LENGTH)
    }

    fn body(kind: TokenKind, key: KeyId, bytes: &[u8], length: usize) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(kind.prefix());
        text.push_str(key.as_str());
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Self(text)
    }

    pub(super) fn push_check(&mut self, check: [u8; CheckValue::BYTES]) {
        URL_SAFE_NO_PAD.encode_string(check, &mut self.0);
    }

    /// Takes over a token that was made elsewhere.
    ///
    /// # Errors
    /// [`ImportError`] when the text cannot be sent as a Bearer token (RFC 6750 section 2.1), is too short or too long,
    /// or starts with a prefix of ours, where it would be refused for want of a check value.
    pub fn import(text: &str) -> Result<Self, ImportError> {
        if !Self::IMPORT_BYTES.contains(&text.len()) {
            return Err(ImportError::Length);
        }
        let unpadded = text.trim_end_matches('=');
        if !unpadded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)) {
            return Err(ImportError::Syntax);
        }
        if has_prefix(text) {
            return Err(ImportError::Prefix);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Takes a signed token that was made here.
    pub fn signed(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one answer that hands it out and for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The same text as a peer would present it.
    pub fn as_presented(&self) -> Presented<'_> {
        Presented(&self.0)
    }
}

impl fmt::Debug for TokenValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenValue(redacted)")
    }
}

/// Why a token made elsewhere was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Outside [`TokenValue::IMPORT_BYTES`].
    #[error("token must have {} to {} characters", TokenValue::IMPORT_BYTES.start(), TokenValue::IMPORT_BYTES.end())]
    Length,
    /// It begins like a token of ours.
    #[error("token begins with a prefix that is reserved for tokens made here")]
    Prefix,
    /// Not a `b64token` of RFC 6750 section 2.1.
    #[error("token must consist of letters, digits and -._~+/, with = only at its end")]
    Syntax,
}

/// A token's text as a peer sent it: any text at all. Borrowed from the request, and never printed.
#[derive(Clone, Copy)]
pub struct Presented<'a>(&'a str);

impl<'a> Presented<'a> {
    /// Wraps what a peer sent as a token.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Whether it is this text; in constant time for texts of the same length.
    pub fn is(self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }

    pub(super) fn text(self) -> &'a str {
        self.0
    }

    /// The text, where it has the outer form of a signed token: it must be read to be verified.
    pub fn as_signed(self) -> Option<&'a str> {
        self.looks_signed().then_some(self.0)
    }

    /// Whether it has the outer form of a signed token: an encoded JSON object, and three parts.
    pub fn looks_signed(self) -> bool {
        self.0.starts_with("eyJ") && self.0.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Cuts the text into the parts that a token made here has; tells foreign texts from broken ones of ours.
    pub(super) fn form(self) -> Form<'a> {
        if !has_prefix(self.0) {
            return Form::Foreign;
        }
        // A prefix of ours is ASCII, but the rest may be anything: cut bytes, not characters.
        let bytes = self.0.as_bytes();
        let refresh = self.0.starts_with(TokenKind::Refresh.prefix());
        let body_length = if refresh { REFRESH_BODY_LENGTH } else { BODY_LENGTH };
        if bytes.len() != body_length + CHECK_LENGTH {
            return Form::Broken;
        }
        let (body, check) = bytes.split_at(body_length);
        let Some(key) = KeyId::from_bytes(&body[PREFIX_LENGTH..HEAD_LENGTH]) else {
            return Form::Broken;
        };
        let mut value = [0; CheckValue::BYTES];
        if URL_SAFE_NO_PAD.decode_slice(check, &mut value) != Ok(CheckValue::BYTES) {
            return Form::Broken;
        }
        let grant = if refresh {
            let mut named = [0; REFRESH_BYTES];
            if URL_SAFE_NO_PAD.decode_slice(&body[HEAD_LENGTH..], &mut named) != Ok(REFRESH_BYTES) {
                return Form::Broken;
            }
            named.first_chunk().copied().map(GrantId)
        } else {
            None
        };
        Form::Ours { body, key, grant, check: CheckValue(value) }
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Presented(redacted)")
    }
}

/// What a presented text looks like before any key is used.
pub(super) enum Form<'a> {
    /// Has a prefix of ours but not the rest: never one of our tokens.
    Broken,
    /// Made elsewhere, or garbage: only a look-up can tell.
    Foreign,
    /// All parts are there; the check value is still to be compared.
    Ours { body: &'a [u8], key: KeyId, grant: Option<GrantId>, check: CheckValue },
}

pub(super) struct CheckValue(pub(super) [u8; Self::BYTES]);

impl CheckValue {
    pub(super) const BYTES: usize = 6;
}

/// Whether there is anything in `text` that has the form of a token of ours, opaque or signed, or of most of one.
///
/// For texts that are to be written down: whoever sends one may have put a token where something else belongs.
pub fn holds_token(text: &str) -> bool {
    let encoded =
        |rest: &str| rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count();
    let opaque = [TokenKind::Access, TokenKind::Refresh]
        .iter()
        .flat_map(|kind| text.split(kind.prefix()).skip(1))
        .any(|rest| encoded(rest) >= MOST_OF_A_TOKEN);
    // An object in base64url, and what it says of another part.
    let signed = text.match_indices("eyJ").any(|(start, _)| {
        let rest = &text[start..];
        let header = encoded(rest);
        rest.as_bytes().get(header) == Some(&b'.') && encoded(&rest[header + 1..]) >= MOST_OF_A_TOKEN
    });
    opaque || signed
}

/// So many characters of a token may tell what the others are; no name that begins like one has as many by chance.
const MOST_OF_A_TOKEN: usize = 16;

fn has_prefix(text: &str) -> bool {
    [TokenKind::Access, TokenKind::Refresh].iter().any(|kind| text.starts_with(kind.prefix()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn import_takes_bearer_syntax_only() {
        assert!(TokenValue::import("legacy-token.1~+/==").is_ok());
        assert_eq!(TokenValue::import("short"), Err(ImportError::Length));
        assert_eq!(TokenValue::import(&"a".repeat(4097)), Err(ImportError::Length));
        assert_eq!(TokenValue::import("with space"), Err(ImportError::Syntax));
        assert_eq!(TokenValue::import("pad=in=middle"), Err(ImportError::Syntax));
        assert_eq!(TokenValue::import("itd_at_whatever"), Err(ImportError::Prefix));
    }

    #[test]
    fn a_token_is_never_printed() {
        let value = TokenValue::import("legacy-token-1").unwrap();
        assert!(!format!("{value:?} {:?}", value.as_presented()).contains("legacy"));
    }
}

//! The name under which a store knows a token: 128 bits of a keyed hash, never the token itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The first 16 bytes of keyed BLAKE3 over a token's text.
///
/// Also the token's public identifier: its 22 base64url characters are the `jti` of an opaque token, so that an
/// operator can revoke by `jti` with no index. Nothing about the token can be learnt from it without the server's key,
/// and a guess hits one of 2^30 live tokens with a chance of 2^-98.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; Self::BYTES]);

impl TokenDigest {
    /// Size of the binary form.
    pub const BYTES: usize = 16;
    /// Length of the text form, base64url without padding.
    pub const TEXT_LENGTH: usize = 22;

    /// The 22 characters used as key in a store and as `jti`.
    pub fn to_text(self) -> DigestText {
        DigestText::of(&self.0)
    }

    /// Reads the text form back; `None` unless it is exactly what [`TokenDigest::to_text`] writes.
    pub fn from_text(text: &str) -> Option<Self> {
        decode_16(text).map(Self)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.to_text().as_str())
    }
}

/// Names the grant that a refresh token, its successors and their access tokens belong to (the family).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub [u8; Self::BYTES]);

impl GrantId {
    /// Size of the binary form.
    pub const BYTES: usize = 16;

    /// The 22 characters shown as `grant_id`.
    pub fn to_text(self) -> DigestText {
        DigestText::of(&self.0)
    }

    /// Reads the text form back; `None` unless it is exactly what [`GrantId::to_text`] writes.
    pub fn from_text(text: &str) -> Option<Self> {
        decode_16(text).map(Self)
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.to_text().as_str())
    }
}

/// The base64url text of 16 bytes, held without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestText([u8; TokenDigest::TEXT_LENGTH]);

impl DigestText {
    pub(crate) fn of(bytes: &[u8; 16]) -> Self {
        Self(base64url(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("base64 text is ASCII")
    }
}

impl fmt::Display for DigestText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The base64url text of some bytes without padding: of an array, since for a few bytes at a time all the care that a
/// general encoder takes costs more than encoding does.
pub fn base64url<const BYTES: usize, const LENGTH: usize>(bytes: &[u8; BYTES]) -> [u8; LENGTH] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const { assert!(LENGTH == (BYTES * 8).div_ceil(6), "six bits to a character") };
    let mut text = [0; LENGTH];
    for (group, characters) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for (place, character) in characters.iter_mut().enumerate() {
            *character = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
        }
    }
    text
}

pub(crate) fn decode_16(text: &str) -> Option<[u8; 16]> {
    if text.len() != TokenDigest::TEXT_LENGTH {
        return None;
    }
    let mut bytes = [0; 18];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(16) => bytes[..16].try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_text_that_everybody_else_writes() {
        for seed in 0..=255_u8 {
            let mut next = seed;
            let bytes: [u8; 24] = std::array::from_fn(|_| {
                next = next.wrapping_mul(31).wrapping_add(37);
                next
            });
            assert_eq!(base64url::<24, 32>(&bytes)[..], *URL_SAFE_NO_PAD.encode(bytes).as_bytes());
            let (sixteen, one) = (bytes.first_chunk::<16>().unwrap(), bytes.first_chunk::<1>().unwrap());
            assert_eq!(base64url::<16, 22>(sixteen)[..], *URL_SAFE_NO_PAD.encode(sixteen).as_bytes());
            assert_eq!(base64url::<1, 2>(one)[..], *URL_SAFE_NO_PAD.encode(one).as_bytes());
        }
    }

    #[test]
    fn the_text_form_reads_back_and_nothing_else_does() {
        let digest = TokenDigest([0xA7; 16]);
        let text = digest.to_text();
        assert_eq!(TokenDigest::from_text(text.as_str()), Some(digest));
        for bad in ["", "short", "=====================", "p6enp6enp6enp6enp6enp!", &format!("{text}A")] {
            assert_eq!(TokenDigest::from_text(bad), None, "{bad}");
        }
        // Trailing bits that encode nothing would give one digest two names.
        let mut other = text.as_str().to_owned();
        other.replace_range(21.., "x");
        assert_eq!(TokenDigest::from_text(&other), None);
    }
}

//! Texts and numbers in stored bytes, the texts in the shortest of four forms.
//!
//! | first byte | what follows |
//! |---|---|
//! | `00`-`3F` | a text of that many bytes, as it is |
//! | `41`-`7E` | a text of 1 to 62 characters from [`ALPHABET`], three in two bytes |
//! | `7F` | a UUID as RFC 9562 section 4 writes it, in lower case: 16 bytes |
//! | `80`-`FF` | with the next byte, less the top bit, the length of a text, as it is |
//!
//! Names of users are most of what is kept of a usual token, and most of them are lower-case letters and digits.

use super::codec::{DecodeError, EncodeError};
use super::time::UnixSeconds;

/// The characters that are packed: three of forty have fewer than 2^16 combinations.
const ALPHABET: &[u8; BASE as usize] = b"abcdefghijklmnopqrstuvwxyz0123456789-_.@";
const BASE: u16 = 40;

/// The longest text with one byte before it.
const SHORT: usize = 0x3F;
/// Added to the length of a packed text, of which [`MOST_PACKED`] is the greatest.
const PACKED: u8 = 0x40;
const MOST_PACKED: usize = 62;
const UUID: u8 = 0x7F;
const LONG: u16 = 0x8000;
/// Where a UUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const UUID_LENGTH: usize = 36;

/// The four bytes of a moment.
pub(super) fn seconds(moment: UnixSeconds, name: &'static str) -> Result<[u8; 4], EncodeError> {
    u32::try_from(moment.0).map(u32::to_be_bytes).map_err(|_| EncodeError(name))
}

/// Writes a text; `name` says which, should it be too long.
pub(super) fn text(bytes: &mut Vec<u8>, name: &'static str, value: &str) -> Result<(), EncodeError> {
    if let Some(uuid) = pack_uuid(value) {
        bytes.push(UUID);
        bytes.extend(uuid);
    } else if let Some((head, packed)) = pack(value) {
        bytes.push(head);
        bytes.extend(packed);
    } else {
        match u16::try_from(value.len()) {
            Ok(length) if value.len() <= SHORT => bytes.extend(&length.to_be_bytes()[1..]),
            Ok(length) if length < LONG => bytes.extend((length | LONG).to_be_bytes()),
            _ => return Err(EncodeError(name)),
        }
        bytes.extend(value.as_bytes());
    }
    Ok(())
}

/// The first byte and the packed form, where that is shorter.
fn pack(value: &str) -> Option<(u8, Vec<u8>)> {
    let size = value.len().div_ceil(3) * 2;
    if value.len() > MOST_PACKED || size >= value.len() {
        return None;
    }
    let mut packed = Vec::with_capacity(size);
    for group in value.as_bytes().chunks(3) {
        let mut number = 0;
        for place in 0..3 {
            let digit = group.get(place).map_or(Some(0), |character| digit_of(*character))?;
            number = number * BASE + digit;
        }
        packed.extend(number.to_be_bytes());
    }
    Some((PACKED + u8::try_from(value.len()).ok()?, packed))
}

fn digit_of(character: u8) -> Option<u16> {
    let digit = match character {
        b'a'..=b'z' => character - b'a',
        b'0'..=b'9' => character - b'0' + 26,
        b'-' => 36,
        b'_' => 37,
        b'.' => 38,
        b'@' => 39,
        _ => return None,
    };
    Some(digit.into())
}

fn unpack(packed: &[u8], length: usize) -> Option<String> {
    let mut text = Vec::with_capacity(packed.len() * 2);
    for pair in packed.chunks_exact(2) {
        let number = u16::from_be_bytes([pair[0], pair[1]]);
        for digit in [number / (BASE * BASE), number / BASE % BASE, number % BASE] {
            text.push(*ALPHABET.get(usize::from(digit))?);
        }
    }
    // Only what pads the last group may go.
    if text.get(length..)?.iter().any(|padding| *padding != ALPHABET[0]) {
        return None;
    }
    text.truncate(length);
    String::from_utf8(text).ok()
}

fn pack_uuid(value: &str) -> Option<[u8; 16]> {
    let value = value.as_bytes();
    if value.len() != UUID_LENGTH || HYPHENS.iter().any(|place| value[*place] != b'-') {
        return None;
    }
    let mut digits =
        value.iter().enumerate().filter(|(place, _)| !HYPHENS.contains(place)).map(|(_, digit)| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        });
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = (digits.next()?? << 4) | digits.next()??;
    }
    Some(uuid)
}

fn unpack_uuid(uuid: [u8; 16]) -> String {
    let mut text = format!("{:032x}", u128::from_be_bytes(uuid));
    for place in HYPHENS {
        text.insert(place, '-');
    }
    text
}

/// What is left to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N).map(|taken| taken.try_into().expect("taken at this size"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn seconds(&mut self) -> Result<UnixSeconds, DecodeError> {
        self.array().map(|bytes| UnixSeconds(u32::from_be_bytes(bytes).into()))
    }

    pub(super) fn text(&mut self) -> Result<Box<str>, DecodeError> {
        let first = self.byte()?;
        let length = match first {
            UUID => return Ok(unpack_uuid(self.array()?).into()),
            PACKED..UUID => {
                let length = usize::from(first - PACKED);
                let text = unpack(self.take(length.div_ceil(3) * 2)?, length);
                return text.map(Into::into).ok_or(DecodeError::Damaged);
            }
            0x80.. => usize::from(u16::from_be_bytes([first & 0x7F, self.byte()?])),
            _ => usize::from(first),
        };
        str::from_utf8(self.take(length)?).map(Into::into).map_err(|_| DecodeError::Damaged)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        text(&mut bytes, "text", value).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Box<str>, DecodeError> {
        let mut reader = Reader(bytes);
        let text = reader.text()?;
        reader.end().map(|()| text)
    }

    proptest! {
        #[test]
        fn every_text_reads_back_and_never_takes_more_than_it_is(
            value in "\\PC{0,200}|[-a-z0-9_.@]{0,80}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        ) {
            let bytes = written(&value);
            prop_assert!(bytes.len() <= value.len() + 2);
            prop_assert_eq!(read(&bytes), Ok(value.into()));
        }
    }

    #[test]
    fn usual_names_are_short() {
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        for (value, size) in [("", 1), ("al", 3), ("alice", 5), ("user-00000001", 11), ("Alice", 6), (uuid, 17)] {
            assert_eq!(written(value).len(), size, "{value}");
            assert_eq!(read(&written(value)), Ok(value.into()));
        }
        assert_eq!(written(&uuid.to_uppercase()).len(), 37, "another text");
        for (length, size) in [(62, 43), (63, 64), (64, 66), (0x7FFF, 0x8001)] {
            assert_eq!(written(&"a".repeat(length)).len(), size);
        }
        assert_eq!(text(&mut Vec::new(), "sub", &"a".repeat(0x8000)), Err(EncodeError("sub")));
    }

    #[test]
    fn what_is_cut_or_no_packed_text_is_damaged() {
        for value in ["", "al", "alice", "550e8400-e29b-41d4-a716-446655440000", &"x".repeat(300)] {
            let bytes = written(value);
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Err(DecodeError::Damaged));
            }
        }
        // Beyond the last of 40^3 combinations, and something where there is padding.
        for bytes in [[PACKED + 3, 0xFA, 0x00], [PACKED + 1, 0, 1]] {
            assert_eq!(read(&bytes), Err(DecodeError::Damaged));
        }
    }
}

//! What a user is known by, whatever names change.

use std::fmt;

use crate::token::digest::DigestText;

/// Names a user: the `sub` of every token of theirs. Drawn at random, and never given to anybody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub [u8; Self::BYTES]);

impl UserId {
    /// Size of the binary form.
    pub const BYTES: usize = 16;

    /// A new one, of 128 random bits.
    ///
    /// # Errors
    /// The generator's own.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut id = [0; Self::BYTES];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }

    /// The 22 base64url characters shown as `sub`.
    pub fn to_text(self) -> DigestText {
        DigestText::of(&self.0)
    }

    /// Reads the text form back; `None` unless it is exactly what [`UserId::to_text`] writes.
    pub fn from_text(text: &str) -> Option<Self> {
        crate::token::digest::decode_16(text).map(Self)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.to_text().as_str())
    }
}

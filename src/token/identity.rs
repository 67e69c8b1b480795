//! What a token is called without showing it: the `jti` of every form of token, and the digest that stores know it by.

use super::digest::{GrantId, TokenDigest};

/// The name of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An opaque access token: the text of its digest, 22 characters.
    Opaque(TokenDigest),
    /// A refresh token: its grant, and its digest, 44 characters.
    Refresh {
        /// The grant that it names.
        grant: GrantId,
        /// Its digest.
        digest: TokenDigest,
    },
    /// A signed access token: its `jti` claim.
    Signed {
        /// The claim.
        identifier: Box<str>,
        /// Its digest.
        digest: TokenDigest,
        /// The `kid` of the key that signed it; `None` when the token is known by its `jti` alone.
        key: Option<Box<str>>,
    },
}

impl Identity {
    /// What a store knows the token by.
    pub fn digest(&self) -> TokenDigest {
        match self {
            Self::Opaque(digest) | Self::Refresh { digest, .. } | Self::Signed { digest, .. } => *digest,
        }
    }

    /// Writes the `jti`.
    pub fn write(&self, text: &mut String) {
        match self {
            Self::Opaque(digest) => text.push_str(digest.to_text().as_str()),
            Self::Refresh { grant, digest } => {
                text.push_str(grant.to_text().as_str());
                text.push_str(digest.to_text().as_str());
            }
            Self::Signed { identifier, .. } => text.push_str(identifier),
        }
    }

    /// The `jti`.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(2 * TokenDigest::TEXT_LENGTH);
        self.write(&mut text);
        text
    }
}

/// The token that a `jti` of an opaque or a refresh token names; `None` for any other text.
pub fn from_text(text: &str) -> Option<Identity> {
    if text.len() == TokenDigest::TEXT_LENGTH {
        return TokenDigest::from_text(text).map(Identity::Opaque);
    }
    let (grant, digest) = text.split_at_checked(TokenDigest::TEXT_LENGTH)?;
    Some(Identity::Refresh { grant: GrantId::from_text(grant)?, digest: TokenDigest::from_text(digest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_nothing_else_does() {
        let digest = TokenDigest([7; 16]);
        for identity in [Identity::Opaque(digest), Identity::Refresh { grant: GrantId([9; 16]), digest }] {
            let text = identity.to_text();
            assert_eq!(from_text(&text), Some(identity));
            assert_eq!(from_text(&text[1..]), None);
            assert_eq!(from_text(&format!("{text}A")), None);
        }
        for bad in ["", "\u{e9}", &"\u{e9}".repeat(22), &"=".repeat(44)] {
            assert_eq!(from_text(bad), None);
        }
    }
}

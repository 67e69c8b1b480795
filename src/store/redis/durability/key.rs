//! The names of what is written again.

use crate::coherence::name::Name;
use crate::token::digest::{GrantId, TokenDigest};

/// A key of something that ends tokens, or says who may log in, without the configured prefix: see
/// [`crate::coherence::name`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) enum Key {
    /// The tombstone of a token.
    Tombstone(TokenDigest),
    /// The mark of a grant.
    Mark(GrantId),
    /// An epoch.
    Epoch(Box<str>),
    /// The record of a client or a user.
    Record(Box<str>),
    /// Whose a user's name is.
    UserName(Box<str>),
    /// A marker of the dataset, which carries the epoch of all tokens.
    Marker(Box<str>),
    /// A document that has a version and belongs to nobody: the signing keys.
    Document(Box<str>),
}

impl Key {
    /// Reads a key as a server names it, less the prefix; `None` when it is of nothing that is written again.
    pub(in super::super) fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        if let Some(digest) = tag(text, "r:") {
            return TokenDigest::from_text(digest).map(Self::Tombstone);
        }
        if let Some(grant) = tag(text, "e:g:") {
            return GrantId::from_text(grant).map(Self::Mark);
        }
        match text.split_once(':')?.0 {
            // Any other key below it is of no grant.
            "e" if !text.starts_with("e:g:") => Some(Self::Epoch(text.into())),
            "c" | "u" => Some(Self::Record(text.into())),
            "l" => Some(Self::UserName(text.into())),
            "m" => Some(Self::Marker(text.into())),
            "k" => Some(Self::Document(text.into())),
            _ => None,
        }
    }

    /// The key as text, without the prefix.
    pub(in super::super) fn text(&self) -> String {
        match self {
            Self::Tombstone(digest) => Name::Token(*digest).text(),
            Self::Mark(grant) => Name::Grant(*grant).text(),
            Self::Epoch(text)
            | Self::Record(text)
            | Self::UserName(text)
            | Self::Marker(text)
            | Self::Document(text) => String::from(&**text),
        }
    }

    /// Whether what is kept under it always has an end.
    pub(in super::super) fn expires(&self) -> bool {
        matches!(self, Self::Tombstone(_) | Self::Mark(_) | Self::Epoch(_))
    }

    /// How many bytes of memory it takes beside its own size.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Tombstone(_) | Self::Mark(_) => 0,
            Self::Epoch(text)
            | Self::Record(text)
            | Self::UserName(text)
            | Self::Marker(text)
            | Self::Document(text) => text.len(),
        }
    }
}

/// What stands between the braces.
fn tag<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    text.strip_prefix(kind)?.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::epoch::EpochAxis;

    #[test]
    fn every_name_reads_back_as_the_key_that_it_is() {
        let (token, grant) = (TokenDigest([7; 16]), GrantId([8; 16]));
        let names = [
            (Name::Token(token), Key::Tombstone(token)),
            (Name::Grant(grant), Key::Mark(grant)),
            (Name::Client("{app}"), Key::Record(Name::Client("{app}").text().into())),
            (Name::Epoch(EpochAxis::Issuer), Key::Epoch("e:i".into())),
            (Name::Epoch(EpochAxis::User("g:")), Key::Epoch(Name::Epoch(EpochAxis::User("g:")).text().into())),
            (Name::SigningKeys, Key::Document("k:signing".into())),
        ];
        for (name, key) in names {
            assert_eq!(Key::parse(name.text().as_bytes()), Some(key.clone()), "{name:?}");
            assert_eq!(key.text(), name.text());
        }
        for (text, key) in [
            ("m:{17}", Key::Marker("m:{17}".into())),
            ("u:{x}", Key::Record("u:{x}".into())),
            ("l:{x}", Key::UserName("l:{x}".into())),
        ] {
            assert_eq!((Key::parse(text.as_bytes()), key.text()), (Some(key.clone()), text.to_owned()));
        }
    }

    #[test]
    fn other_keys_are_nobodys() {
        let others: [&[u8]; 13] = [
            b"",
            b"r",
            b"r:",
            b"r:{}",
            b"r:{short}",
            b"r:BwcHBwcHBwcHBwcHBwcHBw",
            b"e:g:{x}",
            b"t:{BwcHBwcHBwcHBwcHBwcHBw}",
            b"g:{BwcHBwcHBwcHBwcHBwcHBw}",
            b"i:c",
            b"i:u:{1}",
            b"f:{1}",
            b"\xFF:{1}",
        ];
        for other in others {
            assert_eq!(Key::parse(other), None, "{other:?}");
        }
    }
}

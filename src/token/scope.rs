//! Scope sets (RFC 6749 section 3.3).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A set of scope tokens in the order they were given, without repeats; possibly empty.
///
/// Kept as the text that the `scope` member carries: names separated by one space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(Box<str>);

/// A scope text that RFC 6749 section 3.3 does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A character outside `%x21 / %x23-5B / %x5D-7E`, or spaces that are not single separators.
    #[error("scope holds a character or spacing that RFC 6749 section 3.3 does not allow")]
    Syntax,
    /// More than [`Scope::MAX_BYTES`].
    #[error("scope is longer than {} bytes", Scope::MAX_BYTES)]
    TooLong,
}

impl Scope {
    /// The longest scope text taken, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Reads `scope-token *( SP scope-token )`; the empty text is the empty set. A repeated name counts once.
    ///
    /// # Errors
    /// [`ScopeError`] names which rule of RFC 6749 section 3.3 is broken.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > Self::MAX_BYTES {
            return Err(ScopeError::TooLong);
        }
        let mut names: Vec<&str> = Vec::new();
        for name in text.split(' ') {
            if name.is_empty() || !name.bytes().all(is_scope_character) {
                return Err(ScopeError::Syntax);
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self(names.join(" ").into()))
    }

    /// The text form, names separated by one space.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no scope is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    /// Whether `name` is one of the set; names are case-sensitive.
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|held| held == name)
    }

    /// Whether each name of this set is also in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.names().all(|name| other.contains(name))
    }

    /// The names that both sets hold, in this set's order.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.filtered(|name| other.contains(name))
    }

    /// The names that `keep` accepts.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept: Vec<&str> = self.names().filter(|name| keep(name)).collect();
        Self(kept.join(" ").into())
    }
}

fn is_scope_character(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6749_3_3_syntax() {
        for good in ["", "a", "a b", "read:users write", "!#[]~"] {
            assert_eq!(Scope::parse(good).unwrap().as_str(), good);
        }
        for bad in [" a", "a ", "a  b", "a\tb", "a\"b", "a\\b", "\u{e9}", "a\u{7f}", "a\nb"] {
            assert_eq!(Scope::parse(bad), Err(ScopeError::Syntax), "{bad:?}");
        }
        assert_eq!(Scope::parse(&"a".repeat(Scope::MAX_BYTES + 1)), Err(ScopeError::TooLong));
    }

    #[test]
    fn a_repeated_name_counts_once_and_case_matters() {
        assert_eq!(Scope::parse("a b a").unwrap().as_str(), "a b");
        assert!(!Scope::parse("Read").unwrap().contains("read"));
    }

    #[test]
    fn set_operations() {
        let wide = Scope::parse("a b c").unwrap();
        let narrow = Scope::parse("c a").unwrap();
        assert!(narrow.is_subset_of(&wide));
        assert!(!wide.is_subset_of(&narrow));
        assert_eq!(wide.intersection(&narrow).as_str(), "a c");
        assert!(Scope::default().is_subset_of(&narrow));
    }
}

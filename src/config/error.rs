//! What is wrong with the settings: all of it, at once, without one secret.

use std::fmt;

use super::tree::Origin;

/// Everything that is wrong; never empty. Shown with one mistake per line.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Which setting; `None` when it is about a whole file or a variable that names no setting.
    pub key: Option<String>,
    /// Who set it; [`Origin::Default`] when nobody did.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl ConfigErrors {
    /// `Err` with the mistakes, or `Ok` when there are none.
    pub(super) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// One mistake alone.
    pub(super) fn one(error: ConfigError) -> Self {
        Self(vec![error])
    }

    /// The mistakes, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(formatter, "{}: ", self.origin)?;
        }
        if let Some(key) = &self.key {
            write!(formatter, "{key}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            let line_break = if position > 0 { "\n" } else { "" };
            write!(formatter, "{line_break}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

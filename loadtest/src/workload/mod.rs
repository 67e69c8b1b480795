//! What is asked: which kinds of tokens, how many of each, and how often.
//!
//! - [`mod@file`] the workload as people write it, in TOML
//! - [`tokens`] a list of tokens with what is true of them, one JSON object a line
//! - [`seeding`] makes such a list through introspectd's admin API
//! - [`population`] the tokens of a run, and [`zipf`] how one is chosen

pub(crate) mod file;
pub(crate) mod population;
pub(crate) mod seeding;
pub(crate) mod tokens;
pub(crate) mod zipf;

use serde::{Deserialize, Serialize};

/// What a token is, which decides what is true of it and what it costs to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Live, and asked again and again: a cache's best case.
    ActiveHot,
    /// Live, and each asked once before any is asked again: a cache's worst case.
    ActiveCold,
    /// Its time is over.
    Expired,
    /// Revoked before the run.
    Revoked,
    /// Well formed, and never issued.
    Unknown,
    /// Nothing that anybody would issue.
    Malformed,
    /// Live, and signed (RFC 9068).
    Jwt,
    /// Live, but made for an audience that the caller does not serve: inactive for this caller.
    WrongClient,
}

impl Kind {
    /// Each of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::ActiveHot,
        Self::ActiveCold,
        Self::Expired,
        Self::Revoked,
        Self::Unknown,
        Self::Malformed,
        Self::Jwt,
        Self::WrongClient,
    ];

    /// Its place in a list of all.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Whether its tokens are active for the caller.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::ActiveHot | Self::ActiveCold | Self::Jwt)
    }
}

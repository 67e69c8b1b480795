//! What a store that failed says: one thing for counting, one for the log.

use std::fmt;

/// A fault of the store. Nothing can be concluded about any token from it.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    detail: Box<str>,
}

/// What kind of fault, for counting and for whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// Not reachable, not answering in time, or closed. May pass by itself.
    Unavailable,
    /// Reachable and refusing: out of memory, read-only, misconfigured, disk full. May pass when an operator acts.
    Refused,
    /// What was read is not what was written.
    Damaged,
}

impl StoreError {
    /// A fault with what the log should say of it. `detail` must not hold a key, a value or a password.
    pub fn new(kind: StoreErrorKind, detail: impl Into<Box<str>>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What kind of fault.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StoreErrorKind::Unavailable => "store unavailable",
            StoreErrorKind::Refused => "store refused",
            StoreErrorKind::Damaged => "store damaged",
        };
        write!(formatter, "{what}: {}", self.detail)
    }
}

impl std::error::Error for StoreError {}

//! What is true of a token, while it changes; and [`answer`], which judges what was said of it.
//!
//! A token that is being revoked is either, from the sending of its revocation until that is answered: the server may
//! have done it or not. Every request sent after that answer must be told that it is inactive. States only go forward,
//! so looking before a request is sent and after its answer is there is enough.

pub(crate) mod answer;

use std::sync::atomic::{AtomicU8, Ordering};

/// What is true of one token.
#[derive(Debug)]
pub(crate) struct Truth(AtomicU8);

const ACTIVE: u8 = 0;
const REVOKING: u8 = 1;
const INACTIVE: u8 = 2;

/// What an answer may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing but active.
    Active,
    /// Nothing but inactive.
    Inactive,
    /// The token was being revoked while it was asked.
    Either,
}

/// What was true when a request was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before(u8);

impl Truth {
    /// A token that is active, or is not.
    pub(crate) fn new(active: bool) -> Self {
        Self(AtomicU8::new(if active { ACTIVE } else { INACTIVE }))
    }

    /// To be called before a request is sent.
    pub(crate) fn before(&self) -> Before {
        Before(self.0.load(Ordering::Acquire))
    }

    /// What an answer may say that has come by now.
    pub(crate) fn expected(&self, before: Before) -> Expected {
        match (before.0, self.0.load(Ordering::Acquire)) {
            (INACTIVE, _) => Expected::Inactive,
            (ACTIVE, ACTIVE) => Expected::Active,
            _ => Expected::Either,
        }
    }

    /// To be called before a revocation is sent; `false` when it was sent before.
    pub(crate) fn begin_revocation(&self) -> bool {
        self.0.compare_exchange(ACTIVE, REVOKING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// To be called when a revocation has been answered with success. If it never is, the token stays either.
    pub(crate) fn end_revocation(&self) {
        self.0.store(INACTIVE, Ordering::Release);
    }
}

impl Expected {
    /// Whether an answer may say this.
    pub(crate) fn allows(self, active: bool) -> bool {
        match self {
            Self::Active => active,
            Self::Inactive => !active,
            Self::Either => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_either_only_while_it_is_being_revoked() {
        let truth = Truth::new(true);
        let long_before = truth.before();
        assert_eq!(truth.expected(long_before), Expected::Active);
        assert!(truth.begin_revocation() && !truth.begin_revocation());
        assert_eq!(truth.expected(long_before), Expected::Either);
        let meanwhile = truth.before();
        assert_eq!(truth.expected(meanwhile), Expected::Either);
        truth.end_revocation();
        assert_eq!(truth.expected(long_before), Expected::Either);
        assert_eq!(truth.expected(meanwhile), Expected::Either);
        assert_eq!(truth.expected(truth.before()), Expected::Inactive);
        assert!(!Truth::new(false).begin_revocation());
    }

    #[test]
    fn what_may_be_said() {
        let allowed = |expected: Expected| (expected.allows(true), expected.allows(false));
        assert_eq!(allowed(Expected::Active), (true, false));
        assert_eq!(allowed(Expected::Inactive), (false, true));
        assert_eq!(allowed(Expected::Either), (true, true));
    }
}

//! Labels as closed sets: each value is a variant, so a series is an index and the number of series is known.

use crate::cache::observe::{CacheName, CacheResult};
use crate::store::{StoreErrorKind, StoreOperation};
use crate::token::decision::Inactive;
use crate::token::value::TokenKind;

/// One label with all the values it can have.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// The text of each value, in the order of [`Label::position`].
    const VALUES: &'static [&'static str];

    /// Which of the values this is.
    fn position(self) -> usize;

    /// The text of this value.
    fn value(self) -> &'static str {
        Self::VALUES[self.position()]
    }
}

/// The labels of one metric: none, one, or two.
pub trait Labels: Copy + 'static {
    /// Each label's name and values.
    const LABELS: &'static [(&'static str, &'static [&'static str])];
    /// How many series there are: the product of the numbers of values.
    const SERIES: usize;

    /// Which of the series this is.
    fn position(self) -> usize;
}

impl Labels for () {
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[];
    const SERIES: usize = 1;

    fn position(self) -> usize {
        0
    }
}

impl<A: Label> Labels for A {
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[(A::NAME, A::VALUES)];
    const SERIES: usize = A::VALUES.len();

    #[inline]
    fn position(self) -> usize {
        Label::position(self)
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[(A::NAME, A::VALUES), (B::NAME, B::VALUES)];
    const SERIES: usize = A::VALUES.len() * B::VALUES.len();

    #[inline]
    fn position(self) -> usize {
        Label::position(self.0) * B::VALUES.len() + Label::position(self.1)
    }
}

/// Makes an enum whose variants are the values of one label.
macro_rules! label {
    (
        $(#[$about:meta])*
        $type:ident is $name:literal { $($(#[$what:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$what])* $variant,)+ }

        impl $type {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The text of this value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl Label for $type {
            const NAME: &'static str = $name;
            const VALUES: &'static [&'static str] = &[$($text,)+];

            #[inline]
            fn position(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// What was asked for. Every path that no route answers counts as one.
    Endpoint is "endpoint" {
        /// `POST /introspect`.
        Introspect = "introspect",
        /// `POST /introspect/batch`.
        Batch = "introspect_batch",
        /// `/forward-auth`.
        ForwardAuth = "forward_auth",
        /// `POST /revoke`.
        Revoke = "revoke",
        /// `POST /token`.
        Token = "token",
        /// `POST /register`.
        Register = "register",
        /// `POST /login`.
        Login = "login",
        /// `POST /logout`.
        Logout = "logout",
        /// `POST /refresh`.
        Refresh = "refresh",
        /// `POST /password/change`.
        PasswordChange = "password_change",
        /// `GET /sessions` and `DELETE /sessions/{id}`.
        Sessions = "sessions",
        /// The published metadata and keys.
        Metadata = "metadata",
        /// Everything of the admin listener but health and metrics.
        Admin = "admin",
        /// Health and metrics.
        Operations = "operations",
        /// No route of ours.
        Unknown = "unknown",
    }
}

label! {
    /// How a request ended.
    Outcome is "outcome" {
        /// The token is active.
        Active = "active",
        /// The token is not active, for whatever reason.
        Inactive = "inactive",
        /// Done, at endpoints that have no token to judge.
        Done = "done",
        /// The request was malformed or asked for what does not exist.
        BadRequest = "bad_request",
        /// The caller did not prove who it is.
        Unauthorized = "unauthorized",
        /// The caller may not do this.
        Forbidden = "forbidden",
        /// Too many wrong secrets.
        RateLimited = "rate_limited",
        /// Too much to do, or too late.
        Overloaded = "overloaded",
        /// The store could not be read or written.
        StoreError = "store_error",
        /// A fault of ours.
        InternalError = "internal_error",
    }
}

label! {
    /// The HTTP version of a connection.
    Protocol is "protocol" {
        /// HTTP/1.1, and 1.0.
        Http1 = "h1",
        /// HTTP/2.
        Http2 = "h2",
    }
}

label! {
    /// How a call of the store ended.
    StoreResult is "result" {
        /// With an answer, absence included.
        Answered = "answered",
        /// With a fault.
        Failed = "failed",
    }
}

label! {
    /// What became of a span of a trace.
    SpanResult is "result" {
        /// The collector has it.
        Exported = "exported",
        /// Too much was waiting, or its request had too many.
        Dropped = "dropped",
        /// It was sent, and the collector did not take it.
        Failed = "failed",
    }
}

label! {
    /// How a caller tried to prove who it is.
    ClientAuthMethod is "method" {
        /// `Authorization: Basic`.
        Basic = "client_secret_basic",
        /// Secret in the body.
        Post = "client_secret_post",
        /// What the client has signed.
        Assertion = "private_key_jwt",
        /// A certificate of the connection.
        Certificate = "tls_client_auth",
        /// `Authorization: Bearer`.
        Bearer = "bearer",
        /// Not at all: a public client names itself.
        None = "none",
    }
}

label! {
    /// How that ended.
    ClientAuthResult is "result" {
        /// The caller is known.
        Accepted = "accepted",
        /// It is not.
        Rejected = "rejected",
        /// It was told to wait before it tries again.
        Limited = "limited",
        /// There was no slot left for a slow comparison, or the store failed.
        Unavailable = "unavailable",
    }
}

label! {
    /// What a user asked for.
    AccountAction is "action" {
        /// A new account.
        Register = "register",
        /// A session.
        Login = "login",
        /// The end of one.
        Logout = "logout",
        /// Another password.
        PasswordChange = "password_change",
    }
}

label! {
    /// How that ended.
    AccountResult is "result" {
        /// It was done.
        Done = "done",
        /// It was refused: a wrong password, or a name that is taken.
        Refused = "refused",
        /// The user was told to wait before trying again.
        Limited = "limited",
        /// There was no slot left for hashing a password.
        Overloaded = "overloaded",
    }
}

label! {
    /// What became of a line of the audit log.
    AuditResult is "result" {
        /// It was handed to the operating system.
        Written = "written",
        /// It was not, and will not be.
        Lost = "lost",
    }
}

label! {
    /// What came of reading the settings anew.
    ReloadResult is "result" {
        /// They were taken over.
        Done = "done",
        /// Something was wrong with them, and nothing was taken over.
        Refused = "refused",
    }
}

label! {
    /// Which limit turned a caller away.
    LimitedBy is "by" {
        /// Wrong secrets for one client.
        Client = "client",
        /// Wrong secrets from one source.
        Source = "source",
        /// Questions about unknown tokens by one caller.
        UnknownTokens = "unknown_tokens",
        /// Wrong passwords for one account.
        Account = "account",
        /// Wrong passwords from one source.
        LoginSource = "login_source",
        /// Wrong passwords of all accounts from all sources.
        Logins = "logins",
        /// Registrations from one source.
        Registrations = "registrations",
    }
}

label! {
    /// What became of a refresh token that was presented.
    RefreshResult is "result" {
        /// Exchanged.
        Rotated = "rotated",
        /// Used just before, and answered with the same successor.
        Repeated = "repeated",
        /// Used before: its grant was ended.
        Reused = "reused",
        /// Not valid, or not for what was asked.
        Refused = "refused",
    }
}

impl Label for CacheName {
    const NAME: &'static str = "content";
    const VALUES: &'static [&'static str] = &["tokens", "unknown_tokens", "clients", "epochs"];

    #[inline]
    fn position(self) -> usize {
        self as usize
    }
}

impl Label for CacheResult {
    const NAME: &'static str = "result";
    const VALUES: &'static [&'static str] = &["hit", "miss", "stale", "aged", "no_lease"];

    #[inline]
    fn position(self) -> usize {
        self as usize
    }
}

impl Label for Inactive {
    const NAME: &'static str = "reason";
    const VALUES: &'static [&'static str] = &[
        "malformed",
        "unknown",
        "expired",
        "not_yet_valid",
        "revoked",
        "spent",
        "parent_revoked",
        "not_for_caller",
        "insufficient",
    ];

    #[inline]
    fn position(self) -> usize {
        match self {
            Self::Malformed => 0,
            Self::Unknown => 1,
            Self::Expired => 2,
            Self::NotYetValid => 3,
            Self::Revoked => 4,
            Self::Spent => 5,
            Self::ParentRevoked => 6,
            Self::NotForCaller => 7,
            Self::Insufficient => 8,
        }
    }
}

impl Label for TokenKind {
    const NAME: &'static str = "kind";
    const VALUES: &'static [&'static str] = &["access", "refresh"];

    #[inline]
    fn position(self) -> usize {
        match self {
            Self::Access => 0,
            Self::Refresh => 1,
        }
    }
}

impl Label for StoreOperation {
    const NAME: &'static str = "operation";
    const VALUES: &'static [&'static str] = &[
        "token",
        "surroundings",
        "grant",
        "insert",
        "set_state",
        "rotate",
        "mark_grant",
        "raise_epoch",
        "use_once",
        "clock",
        "read_keys",
        "write_keys",
        "read_client",
        "write_client",
        "read_user",
        "write_user",
        "probe",
    ];

    #[inline]
    fn position(self) -> usize {
        match self {
            Self::Token => 0,
            Self::Surroundings => 1,
            Self::Grant => 2,
            Self::Insert => 3,
            Self::SetState => 4,
            Self::Rotate => 5,
            Self::MarkGrant => 6,
            Self::RaiseEpoch => 7,
            Self::UseOnce => 8,
            Self::Clock => 9,
            Self::ReadKeys => 10,
            Self::WriteKeys => 11,
            Self::ReadClient => 12,
            Self::WriteClient => 13,
            Self::ReadUser => 14,
            Self::WriteUser => 15,
            Self::Probe => 16,
        }
    }
}

impl Label for StoreErrorKind {
    const NAME: &'static str = "kind";
    const VALUES: &'static [&'static str] = &["unavailable", "refused", "damaged"];

    #[inline]
    fn position(self) -> usize {
        match self {
            Self::Unavailable => 0,
            Self::Refused => 1,
            Self::Damaged => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_pair_of_labels_has_its_own_position() {
        let mut seen = BTreeSet::new();
        for &endpoint in Endpoint::ALL {
            for &outcome in Outcome::ALL {
                assert!(seen.insert(Labels::position((endpoint, outcome))));
            }
        }
        assert_eq!(seen.len(), <(Endpoint, Outcome)>::SERIES);
        assert_eq!(seen.last(), Some(&(seen.len() - 1)));
    }

    #[test]
    fn each_operation_of_the_store_has_its_own_position_and_text() {
        let positions: Vec<_> = StoreOperation::ALL.into_iter().map(Label::position).collect();
        assert_eq!(positions, (0..StoreOperation::VALUES.len()).collect::<Vec<_>>());
        assert_eq!(StoreOperation::VALUES.iter().collect::<BTreeSet<_>>().len(), positions.len());
    }
}

//! Who is calling. The only room that makes a [`Caller`], and it gives one answer for every failure.
//!
//! - [`budget`] how often somebody may guess at tokens, or register
//! - [`credentials`] what a request carries, parsed
//! - [`throttle`] who has failed too often and must wait, [`login_throttle`] the same of users; `failures` what both
//!   count
//! - [`memory`] slow comparisons that have been passed before
//! - [`assertion`] what a client has signed, [`certificate`] what it has presented
//! - [`dpop`] proofs that come with a request for a token
//! - [`endpoints`] where both must have been made for, [`single_use`] that each works once
//! - [`users`] a name and a password to a user
//! - [`verify`] credentials to a caller; `proven` what a connection need not prove again

pub mod assertion;
pub mod budget;
pub mod certificate;
pub mod credentials;
pub mod dpop;
pub mod endpoints;
mod failures;
pub mod login_throttle;
pub mod memory;
mod proven;
#[cfg(test)]
mod signer;
pub mod single_use;
pub mod throttle;
pub mod users;
pub mod verify;

use std::sync::Arc;

use crate::client::{Client, Right};
use crate::service::hashing::Busy;
use crate::store::StoreError;
use crate::token::scope::Scope;

/// An authenticated client, and how far it may act in this request.
#[derive(Clone, Debug)]
pub struct Caller {
    client: Arc<Client>,
    method: Method,
}

/// How a caller proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// By its secret in the `Authorization` header.
    SecretBasic,
    /// By its secret in the body.
    SecretPost,
    /// By an assertion that it has signed.
    Assertion,
    /// By its certificate.
    Certificate,
    /// Not at all: a public client that named itself.
    Public,
    /// By an access token of this scope.
    Bearer(Scope),
}

impl Caller {
    /// The client's record.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How it proved who it is.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it may use this right now: its client has it, and a Bearer token carries the scope for it.
    pub fn has(&self, right: Right) -> bool {
        let carried = match &self.method {
            Method::Bearer(scope) => scope.contains(right.scope()),
            Method::SecretBasic | Method::SecretPost | Method::Assertion | Method::Certificate => true,
            Method::Public => false,
        };
        carried && self.client.rights.contains(right)
    }
}

/// Why a request has no caller.
#[derive(Debug)]
pub enum Refusal {
    /// The request carries no credentials at all.
    Missing,
    /// It carries them in a way that no client may: twice, or malformed where that is not a failed attempt.
    BadRequest(&'static str),
    /// The same of a Bearer token, which has an answer of its own (RFC 6750 section 3.1).
    BadBearerRequest(&'static str),
    /// Unknown client, wrong secret, wrong method, revoked client: all the same.
    InvalidClient,
    /// The Bearer token is not an active access token.
    InvalidToken,
    /// Too many failures before; even the right secret is refused for so many seconds.
    Throttled {
        /// Whole seconds until the next attempt is looked at.
        seconds: u64,
    },
    /// The queue for slow comparisons is full.
    Busy,
    /// Whether the credentials are right could not be read.
    Unavailable(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<Busy> for Refusal {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

//! What the product does, in terms of the rooms below it: no HTTP here, and no status codes.
//!
//! - [`lookup`] a presented token to its record, if it is active; [`remembered`] what is kept of that
//! - [`introspect`] what a caller may see of it; [`signed_answer`] the same, signed
//! - [`access_token`] signed tokens, written and verified; [`signing`] the keys that they are signed with
//! - [`issue`] new tokens; [`import`] tokens from elsewhere; [`refresh`] exchanging a refresh token
//! - [`revoke`] ending them; [`approve`] bringing them back; [`bulk`] ending many at once
//! - [`registry`] clients, declared or stored
//! - [`clients`] creating, changing and deleting them
//! - [`accounts`] first-party users, their sessions and passwords
//! - [`hashing`] the bounded pool for hashes that are slow on purpose

pub mod access_token;
pub mod accounts;
pub mod approve;
pub mod bulk;
pub mod clients;
pub mod hashing;
pub mod import;
pub mod introspect;
pub mod issue;
pub mod lookup;
pub mod refresh;
pub mod registry;
pub mod remembered;
pub mod revoke;
pub mod signed_answer;
pub mod signing;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::TokensConfig;
use crate::store::Store;
use crate::token::keyring::KeyRing;
use crate::token::time::{Clock, Now, UnixSeconds};

use self::access_token::VerifiedTexts;
use self::accounts::Accounts;
use self::hashing::HashingPool;
use self::registry::Registry;
use self::remembered::RememberedTokens;
use self::signed_answer::SignedAnswers;
use self::signing::SigningKeys;

/// Everything that answering a request needs. One for the whole process, shared by all connections.
#[derive(Debug)]
pub struct Service {
    /// Where tokens and clients are kept.
    pub store: Arc<Store>,
    /// The clients.
    pub registry: Registry,
    /// What digests are made with.
    pub keys: Arc<KeyRing>,
    /// What is signed with.
    pub signing: Arc<SigningKeys>,
    /// The signed tokens that were verified lately.
    pub verified: VerifiedTexts,
    /// The tokens that were looked up lately.
    pub remembered: RememberedTokens,
    /// The signed answers that were given lately.
    pub signed_answers: SignedAnswers,
    /// Whose turn it is to read for a batch: as many permits as [`introspect::BATCH_READS`].
    pub batch_reads: Semaphore,
    /// Where slow hashes of clients' secrets are computed.
    pub hashing: HashingPool,
    /// Users who log in here; none when there are to be none.
    pub accounts: Option<Accounts>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Lifetimes.
    pub tokens: TokensConfig,
    /// `iss`.
    pub issuer: Box<str>,
}

/// How far the clocks of two nodes, or of a node and its store, may be apart, in seconds.
///
/// What revokes a token is kept for so long beyond the token's end. A signed token is judged by the node's clock and
/// its revocation forgotten by the store's: were they kept equally long, a node whose clock is late would take a
/// revoked token for active again just before it ends.
const CLOCK_SKEW: u64 = 300;

/// Until when to keep what revokes a token that ends at `expires_at`.
fn kept_until(expires_at: UnixSeconds) -> UnixSeconds {
    expires_at.plus(CLOCK_SKEW)
}

impl Service {
    /// The present moment: read once per request, at the edge, and handed down.
    pub fn now(&self) -> Now {
        self.clock.now()
    }
}

//! Where tokens, grants and clients are kept. One contract, two stores, one list of tests over both.
//!
//! # The contract
//!
//! - Keys are digests and ids. No method is ever given a token, a secret or a password.
//! - A write has happened for good when its method returns `Ok`: it is read by every later read on every node, and it
//!   survives the end of our process by `kill -9`. That it survives the end of Redis rests on Redis' own settings. When a
//!   method returns `Err`, the write may or may not have happened.
//! - A read returns what is there, or `Err`. Absence is an answer (`None`), never a way to report a fault: callers turn
//!   absence into `active:false` and a fault into 503.
//! - A store forgets a token's record, and whatever it keeps beside it, when the token's `exp` has passed. That frees
//!   memory; it decides nothing. It may still return an expired record, and callers check `exp` themselves.
//! - A store may not forget anything earlier, and there is no way to clear it.
//! - A revocation takes effect on whatever is still kept, and the caller's clock has no say in it: the clock of another
//!   node, or of this one later, may be behind.
//! - [`Stamp`]s are written by the store with its own clock, in the order in which it took the writes in.
//! - Every method is bounded in time: beyond the deadline of the configuration it returns
//!   [`StoreErrorKind::Unavailable`].
//! - Dropping the future of a read is harmless. Dropping that of a write leaves the write either done or not done,
//!   never half done; of several tokens put in together, that holds for each.
//! - A caller checks that a record can be encoded before it asks a store to keep it.

pub mod embedded;
pub mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::ClientId;
use crate::token::decision::Standing;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::record::{Grant, Reason, Record, State};
use crate::token::time::{Now, Stamp};

use self::embedded::EmbeddedStore;
use self::redis::RedisStore;

/// The store that the configuration chose.
pub struct Store {
    backend: Backend,
    observer: Option<Arc<dyn StoreObserver>>,
}

/// The two stores.
#[derive(Debug)]
pub enum Backend {
    /// One process, one folder, nothing else to run.
    Embedded(EmbeddedStore),
    /// Redis: any number of nodes.
    Redis(RedisStore),
}

/// Is told of every call, when it has ended.
pub trait StoreObserver: Send + Sync {
    /// A call ended after `duration`, with or without a fault.
    fn observed(&self, operation: StoreOperation, error: Option<StoreErrorKind>, duration: Duration);
}

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreOperation {
    /// Read a token.
    Token,
    /// Read what surrounds a token.
    Surroundings,
    /// Keep new tokens.
    Insert,
    /// Revoke or approve a token.
    SetState,
    /// End a grant.
    RevokeGrant,
    /// Read or list clients.
    ReadClient,
    /// Create, replace or delete a client.
    WriteClient,
    /// Ask whether it is there.
    Probe,
}

impl StoreOperation {
    /// Everything that it can be asked to do.
    pub const ALL: [Self; 8] = [
        Self::Token,
        Self::Surroundings,
        Self::Insert,
        Self::SetState,
        Self::RevokeGrant,
        Self::ReadClient,
        Self::WriteClient,
        Self::Probe,
    ];
}

/// A client's record as the store holds it: opaque to the store but for what it needs to replace it safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDocument {
    /// Counts the writes to this client, from 1: a replacement must name the version that it replaces.
    pub version: u64,
    /// When the client was created: with its id, what tells it from a deleted client of the same id.
    pub created: Stamp,
    /// The record as JSON.
    pub body: Bytes,
}

/// What ends a token from outside, read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The client that owns the token; `None` when there is none of that id.
    pub client: Option<ClientDocument>,
    /// The grant; approved when the token belongs to none.
    pub grant: Standing,
}

/// How putting tokens in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// All are kept.
    Done,
    /// One of the digests was there already; it is unchanged, and none of the others can be relied on.
    Exists,
}

/// How changing a token's state ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It was in another state before.
    Changed,
    /// It was in that state already.
    Unchanged,
    /// There is no such token, or it has expired.
    Absent,
}

/// How writing a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientWrite {
    /// Written, with this version.
    Done {
        /// The version to name in the next replacement.
        version: u64,
    },
    /// Not written: there is one of that id (creation), or it has another version or is gone (replacement).
    Conflict,
}

impl Store {
    /// A store of which nobody is told.
    pub fn new(backend: Backend) -> Self {
        Self { backend, observer: None }
    }

    /// The same store, with somebody who is told of every call.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn StoreObserver>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The record of the first of `digests` that is kept, with its digest.
    ///
    /// `digests` has at most [`crate::token::keyring::KeyRing::MAX_KEYS`] elements and is read in one round trip.
    pub async fn token(&self, digests: &[TokenDigest]) -> Result<Option<(TokenDigest, Record)>, StoreError> {
        self.observed(StoreOperation::Token, async {
            match &self.backend {
                Backend::Embedded(store) => store.token(digests).await,
                Backend::Redis(store) => store.token(digests).await,
            }
        })
        .await
    }

    /// What surrounds a token of this client and grant, read in one round trip.
    pub async fn surroundings(&self, client_id: &str, grant: Option<GrantId>) -> Result<Surroundings, StoreError> {
        self.observed(StoreOperation::Surroundings, async {
            match &self.backend {
                Backend::Embedded(store) => store.surroundings(client_id, grant).await,
                Backend::Redis(store) => store.surroundings(client_id, grant).await,
            }
        })
        .await
    }

    /// Keeps new tokens until their `exp`, each stamped with the store's clock. A record whose `exp` has passed is
    /// accepted and forgotten at once.
    pub async fn insert(&self, tokens: &[(TokenDigest, Record)], now: Now) -> Result<Insertion, StoreError> {
        self.observed(StoreOperation::Insert, async {
            match &self.backend {
                Backend::Embedded(store) => store.insert(tokens, now).await,
                Backend::Redis(store) => store.insert(tokens, now).await,
            }
        })
        .await
    }

    /// Sets the state of a token, leaving everything else and its expiry as they are.
    ///
    /// With [`State::Revoked`] on a token that is revoked already, the first reason stays. What has expired by `now` cannot
    /// be approved.
    pub async fn set_state(&self, digest: TokenDigest, state: State, now: Now) -> Result<Transition, StoreError> {
        self.observed(StoreOperation::SetState, async {
            match &self.backend {
                Backend::Embedded(store) => store.set_state(digest, state, now).await,
                Backend::Redis(store) => store.set_state(digest, state, now).await,
            }
        })
        .await
    }

    /// Ends a grant with all its tokens, those not yet issued included: one write, kept until the grant's expiry.
    pub async fn revoke_grant(&self, grant: Grant, reason: Reason) -> Result<(), StoreError> {
        self.observed(StoreOperation::RevokeGrant, async {
            match &self.backend {
                Backend::Embedded(store) => store.revoke_grant(grant, reason).await,
                Backend::Redis(store) => store.revoke_grant(grant, reason).await,
            }
        })
        .await
    }

    /// One client's record.
    pub async fn client(&self, client_id: &str) -> Result<Option<ClientDocument>, StoreError> {
        self.observed(StoreOperation::ReadClient, async {
            match &self.backend {
                Backend::Embedded(store) => store.client(client_id).await,
                Backend::Redis(store) => store.client(client_id).await,
            }
        })
        .await
    }

    /// Up to `limit` clients in the order of their ids, those after `after`; fewer only when there are no more.
    pub async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        self.observed(StoreOperation::ReadClient, async {
            match &self.backend {
                Backend::Embedded(store) => store.clients(after, limit).await,
                Backend::Redis(store) => store.clients(after, limit).await,
            }
        })
        .await
    }

    /// Keeps a new client, with version 1 and created now.
    pub async fn create_client(&self, id: &ClientId, body: Bytes, now: Now) -> Result<ClientWrite, StoreError> {
        self.observed(StoreOperation::WriteClient, async {
            match &self.backend {
                Backend::Embedded(store) => store.create_client(id, body, now).await,
                Backend::Redis(store) => store.create_client(id, body, now).await,
            }
        })
        .await
    }

    /// Replaces a client's record if it still has this version and creation stamp; the creation stamp stays.
    pub async fn replace_client(
        &self,
        id: &ClientId,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<ClientWrite, StoreError> {
        self.observed(StoreOperation::WriteClient, async {
            match &self.backend {
                Backend::Embedded(store) => store.replace_client(id, version, created, body).await,
                Backend::Redis(store) => store.replace_client(id, version, created, body).await,
            }
        })
        .await
    }

    /// Deletes a client; `false` when there was none.
    pub async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        self.observed(StoreOperation::WriteClient, async {
            match &self.backend {
                Backend::Embedded(store) => store.delete_client(id).await,
                Backend::Redis(store) => store.delete_client(id).await,
            }
        })
        .await
    }

    /// Whether the store answers at this moment: for readiness.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.observed(StoreOperation::Probe, async {
            match &self.backend {
                Backend::Embedded(store) => store.probe().await,
                Backend::Redis(store) => store.probe().await,
            }
        })
        .await
    }

    /// Finishes what is under way and lets go of files and connections. Later calls return
    /// [`StoreErrorKind::Unavailable`].
    pub async fn close(&self) {
        match &self.backend {
            Backend::Embedded(store) => store.close().await,
            Backend::Redis(store) => store.close().await,
        }
    }
}

impl Store {
    async fn observed<T>(
        &self,
        operation: StoreOperation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(observer) = &self.observer else { return call.await };
        let started = Instant::now();
        let outcome = call.await;
        observer.observed(operation, outcome.as_ref().err().map(StoreError::kind), started.elapsed());
        outcome
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(formatter)
    }
}

/// A fault of the store. Nothing can be concluded about any token from it.
#[derive(Debug)]
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

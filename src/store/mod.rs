//! Where tokens, grants, clients and users are kept. One contract, two stores, one list of tests over both.
//!
//! # The contract
//!
//! - Keys are digests and ids. No method is ever given a token, a secret or a password.
//! - A write has happened for good when its method returns `Ok`: it is read by every later read on every node, and it
//!   survives the end of our process by `kill -9`. That it survives the end of Redis rests on Redis' own settings. When
//!   a method returns `Err`, the write may or may not have happened.
//! - A read returns what is there, or `Err`. Absence is an answer (`None`), never a way to report a fault: callers turn
//!   absence into `active:false` and a fault into 503.
//! - A store forgets a token's record, and whatever it keeps beside it, when the token's `exp` has passed. That frees
//!   memory; it decides nothing. It may still return an expired record, and callers check `exp` themselves.
//! - A store may not forget anything earlier, and there is no way to clear it.
//! - A revocation takes effect on whatever is still kept, and the caller's clock has no say in it: the clock of another
//!   node, or of this one later, may be behind.
//! - [`Stamp`]s are written by the store with its own clock, in the order in which it took the writes in.
//! - Every method is bounded in time: beyond the deadline of the configuration, or twice that where calls wait for each
//!   other, it returns [`StoreErrorKind::Unavailable`].
//! - Dropping the future of a read is harmless. Dropping that of a write leaves the write either done or not done,
//!   never half done; of several tokens put in together, that holds for each.
//! - A caller checks that a record can be encoded before it asks a store to keep it.
//! - A revocation in force can only be undone by the method that says so, and never when its reason is final
//!   ([`Reason::is_final`]): the store compares in the same step in which it writes.
//! - A write whose method returned `Err` may be carried out later, when others have been acknowledged. One that ends
//!   something does no harm then. One that brings something back names what it undoes, and finds that it has been
//!   overtaken.

pub mod condition;
pub mod embedded;
mod error;
pub mod redis;
mod values;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::ClientId;
use crate::coherence::Coherence;
use crate::coherence::name::fingerprint;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::EpochAxis;
use crate::token::grant::{GrantMark, GrantRecord};
use crate::token::record::{Reason, Record, State};
use crate::token::time::{Now, Stamp, UnixSeconds};
use crate::user::id::UserId;
use crate::user::name::{NameKind, UniqueName};

use self::condition::Condition;
use self::embedded::EmbeddedStore;
use self::redis::RedisStore;

pub use self::error::{StoreError, StoreErrorKind};
pub use self::values::{
    Around, ClientDocument, ClientWrite, DatedDocument, Document, DocumentWrite, Insertion, NewGrant, Rotation,
    RotationOutcome, Signed, Surroundings, Transition, UserCreation, UserDocument,
};

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
    /// Read a grant.
    Grant,
    /// Keep new tokens.
    Insert,
    /// Revoke or approve a token.
    SetState,
    /// Put one refresh token in the place of another.
    Rotate,
    /// Revoke or approve what belongs to a grant.
    MarkGrant,
    /// Revoke many tokens at once.
    RaiseEpoch,
    /// Note that something was used once.
    UseOnce,
    /// Read the store's clock.
    Clock,
    /// Read the signing keys.
    ReadKeys,
    /// Replace the signing keys.
    WriteKeys,
    /// Read or list clients.
    ReadClient,
    /// Create, replace or delete a client.
    WriteClient,
    /// Read or list users.
    ReadUser,
    /// Create, replace or delete a user.
    WriteUser,
    /// Ask whether it is there.
    Probe,
}

impl StoreOperation {
    /// Everything that it can be asked to do.
    pub const ALL: [Self; 17] = [
        Self::Token,
        Self::Surroundings,
        Self::Grant,
        Self::Insert,
        Self::SetState,
        Self::Rotate,
        Self::MarkGrant,
        Self::RaiseEpoch,
        Self::UseOnce,
        Self::Clock,
        Self::ReadKeys,
        Self::WriteKeys,
        Self::ReadClient,
        Self::WriteClient,
        Self::ReadUser,
        Self::WriteUser,
        Self::Probe,
    ];

    /// Whether it changes what is kept.
    pub fn is_write(self) -> bool {
        match self {
            Self::Insert
            | Self::SetState
            | Self::Rotate
            | Self::MarkGrant
            | Self::RaiseEpoch
            | Self::UseOnce
            | Self::WriteKeys
            | Self::WriteClient
            | Self::WriteUser => true,
            Self::Token
            | Self::Surroundings
            | Self::Grant
            | Self::Clock
            | Self::ReadKeys
            | Self::ReadClient
            | Self::ReadUser
            | Self::Probe => false,
        }
    }
}

/// Hands a call to the backend, and its end to the observer.
macro_rules! call {
    ($store:ident, $operation:ident, $method:ident($($argument:expr),*)) => {
        $store
            .observed(StoreOperation::$operation, async {
                match &$store.backend {
                    Backend::Embedded(store) => store.$method($($argument),*).await,
                    Backend::Redis(store) => store.$method($($argument),*).await,
                }
            })
            .await
    };
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

    // --- tokens ---

    /// The record of the first of `digests` that is kept, with its digest.
    ///
    /// `digests` has at most [`crate::token::keyring::KeyRing::MAX_KEYS`] elements and is read in one round trip.
    pub async fn token(&self, digests: &[TokenDigest]) -> Result<Option<(TokenDigest, Record)>, StoreError> {
        call!(self, Token, token(digests))
    }

    /// What surrounds a token, read in one round trip.
    pub async fn surroundings(&self, around: Around<'_>) -> Result<Surroundings, StoreError> {
        call!(self, Surroundings, surroundings(around))
    }

    /// Keeps new tokens until their `exp`, and a grant with them. A record whose stamp is 0 is stamped with the store's
    /// clock. One whose `exp` has passed is accepted and forgotten at once.
    ///
    /// The grant is kept after the tokens or together with them: no refresh token works whose access token is not
    /// there.
    pub async fn insert(
        &self,
        tokens: &[(TokenDigest, Record)],
        grant: Option<&NewGrant>,
        now: Now,
    ) -> Result<Insertion, StoreError> {
        call!(self, Insert, insert(tokens, grant, now))
    }

    /// Sets the state of a token, leaving everything else and its expiry as they are.
    ///
    /// With [`State::Revoked`] on a token that is revoked already, the first reason stays, unless the new one is final
    /// and the first is not. [`State::Approved`] undoes a reason that is not final, and only before the token has
    /// expired.
    ///
    /// An approval that is carried out late, its caller long gone, never undoes a revocation that was acknowledged
    /// since it began, though that one found the token revoked and changed nothing.
    pub async fn set_state(&self, digest: TokenDigest, state: State, now: Now) -> Result<Transition, StoreError> {
        call!(self, SetState, set_state(digest, state, now))
    }

    /// The same of a signed token, which has no record: a revocation is kept until `expires_at`, approving removes it.
    /// Reasons are treated as by [`Store::set_state`]. Never [`Transition::Absent`], but for revoking what has expired.
    pub async fn set_signed_state(
        &self,
        token: TokenDigest,
        state: State,
        expires_at: UnixSeconds,
        now: Now,
    ) -> Result<Transition, StoreError> {
        call!(self, SetState, set_signed_state(token, state, expires_at, now))
    }

    // --- grants ---

    /// What is kept of a grant that can be refreshed.
    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantRecord>, StoreError> {
        call!(self, Grant, grant(id))
    }

    /// Puts one refresh token in the place of another: in one step with the check that nobody else has, and that the
    /// refresh token is not revoked. The access token is kept before that or together with it.
    pub async fn rotate(&self, rotation: &Rotation, now: Now) -> Result<RotationOutcome, StoreError> {
        call!(self, Rotate, rotate(rotation, now))
    }

    /// The mark of a grant; empty when there is none.
    pub async fn grant_mark(&self, id: GrantId) -> Result<GrantMark, StoreError> {
        call!(self, Grant, grant_mark(id))
    }

    /// Puts `after` in the place of the grant's mark if that still is `before`; `false` when it is not. An empty mark
    /// stands for none. A mark is kept until `expires_at`, the end of the family.
    pub async fn mark_grant(
        &self,
        id: GrantId,
        before: &GrantMark,
        after: &GrantMark,
        expires_at: UnixSeconds,
    ) -> Result<bool, StoreError> {
        call!(self, MarkGrant, mark_grant(id, before, after, expires_at))
    }

    // --- many at once ---

    /// Revokes all tokens of an axis that are stamped at or before `until`; without `until`, all that were taken in so
    /// far. One write, whatever their number. `false` when an epoch at least as late is there already; an epoch never
    /// goes back.
    ///
    /// It is kept until `keep_until`, or for as long as an earlier one was to be kept.
    pub async fn raise_epoch(
        &self,
        axis: EpochAxis<'_>,
        until: Option<Stamp>,
        reason: Reason,
        keep_until: UnixSeconds,
        now: Now,
    ) -> Result<bool, StoreError> {
        call!(self, RaiseEpoch, raise_epoch(axis, until, reason, keep_until, now))
    }

    /// The present moment by the clock that stamps are taken from: later than every stamp given out so far, and not
    /// later than any that is given out after it.
    pub async fn clock(&self, now: Now) -> Result<Stamp, StoreError> {
        call!(self, Clock, clock(now))
    }

    // --- what all nodes share ---

    /// Notes that `what` was used; `false` when it was noted before. Forgotten at `expires_at`. Of any number of
    /// callers on any node exactly one is told `true`. What has expired already cannot be noted, and is `false` to all.
    pub async fn use_once(&self, what: [u8; 32], expires_at: UnixSeconds, now: Now) -> Result<bool, StoreError> {
        call!(self, UseOnce, use_once(what, expires_at, now))
    }

    /// The signing keys, sealed; `None` as long as there are none.
    pub async fn signing_keys(&self) -> Result<Option<Document>, StoreError> {
        call!(self, ReadKeys, signing_keys())
    }

    /// Replaces the signing keys if they still have this version, 0 when there are none; `false` when they do not.
    pub async fn write_signing_keys(&self, version: u64, body: Bytes) -> Result<bool, StoreError> {
        call!(self, WriteKeys, write_signing_keys(version, body))
    }

    // --- clients ---

    /// One client's record.
    pub async fn client(&self, client_id: &str) -> Result<Option<ClientDocument>, StoreError> {
        call!(self, ReadClient, client(client_id))
    }

    /// Up to `limit` clients in the order of their ids, those after `after`; fewer only when there are no more.
    pub async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        call!(self, ReadClient, clients(after, limit))
    }

    /// Keeps a new client, with version 1 and created now.
    pub async fn create_client(&self, id: &ClientId, body: Bytes, now: Now) -> Result<ClientWrite, StoreError> {
        call!(self, WriteClient, create_client(id, body, now))
    }

    /// Replaces a client's record if it still has this version and creation stamp; the creation stamp stays.
    pub async fn replace_client(
        &self,
        id: &ClientId,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<ClientWrite, StoreError> {
        call!(self, WriteClient, replace_client(id, version, created, body))
    }

    /// Deletes a client; `false` when there was none.
    pub async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        call!(self, WriteClient, delete_client(id))
    }

    // --- users ---

    /// Keeps a new user, with version 1 and created now, under both names: one of each [`NameKind`], so that a username
    /// and an address that read alike are two names. Either both become this user's, or nothing is kept.
    ///
    /// Of any number of creations with one name, on any nodes, at most one is done; exactly one when that name is all
    /// that they contend for. Ids are drawn at random and never used again: one that is there already is a fault
    /// ([`StoreErrorKind::Refused`]).
    pub async fn create_user(
        &self,
        id: UserId,
        names: [UniqueName<'_>; 2],
        body: Bytes,
        now: Now,
    ) -> Result<UserCreation, StoreError> {
        call!(self, WriteUser, create_user(id, names, body, now))
    }

    /// One user's record.
    pub async fn user(&self, id: UserId) -> Result<Option<UserDocument>, StoreError> {
        call!(self, ReadUser, user(id))
    }

    /// The user who has a name, read from the store and never from memory. A name that nobody has takes as many steps
    /// as one that somebody has.
    pub async fn user_named(&self, name: UniqueName<'_>) -> Result<Option<(UserId, UserDocument)>, StoreError> {
        call!(self, ReadUser, user_named(name))
    }

    /// Replaces a user's record if it still has this version and creation stamp; the creation stamp stays. Names stay
    /// as they are.
    ///
    /// It lasts as long as a revocation does, since this is how a password is changed and an account disabled. There is
    /// one way for all replacements, also for a login that adds a session: which of them ends something, the store
    /// cannot tell, and that a login was taken in is then as certain as what it may have to be checked against.
    pub async fn replace_user(
        &self,
        id: UserId,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<DocumentWrite, StoreError> {
        call!(self, WriteUser, replace_user(id, version, created, body))
    }

    /// Deletes a user, and then these names if they still are this user's; `false` when there was no such user. To be
    /// called again after an `Err`: names of a user who is gone can be taken by others all the same.
    pub async fn delete_user(&self, id: UserId, names: [UniqueName<'_>; 2]) -> Result<bool, StoreError> {
        call!(self, WriteUser, delete_user(id, names))
    }

    /// Up to `limit` users in the order of the bytes of their ids (not of their texts), those after `after`; fewer only
    /// when there are no more.
    pub async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<(UserId, UserDocument)>, StoreError> {
        call!(self, ReadUser, users(after, limit))
    }

    // --- near caches ---

    /// What this node has heard of changes, and until when it can have missed none.
    pub fn coherence(&self) -> &Arc<Coherence> {
        match &self.backend {
            Backend::Embedded(store) => store.coherence(),
            Backend::Redis(store) => store.coherence(),
        }
    }

    /// Returns when no node can rely any longer on what was so before the writes that were acknowledged so far: to be
    /// awaited before the end of a token is answered, also when somebody else has written it.
    pub async fn visible(&self) -> Result<(), StoreError> {
        match &self.backend {
            // Its only reader has heard of a write before it was acknowledged.
            Backend::Embedded(_) => Ok(()),
            Backend::Redis(store) => store.visible().await,
        }
    }

    // --- operation ---

    /// How it stands at this moment, without asking anybody.
    pub fn condition(&self) -> Condition {
        match &self.backend {
            Backend::Embedded(_) => Condition { has_lease: true, ..Condition::default() },
            Backend::Redis(store) => store.condition(),
        }
    }

    /// Whether the store answers at this moment: for readiness.
    pub async fn probe(&self) -> Result<(), StoreError> {
        call!(self, Probe, probe())
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

/// The stored form of a mark; nothing for one that revokes nothing, which is not kept.
fn stored_mark(mark: &GrantMark) -> Vec<u8> {
    if mark.is_empty() { Vec::new() } else { mark.encode() }
}

/// Size of what stands for a user's name.
const NAME_DIGEST_BYTES: usize = 24;

/// What a user's name is kept by: a digest, so that names of any size fit, and the two kinds stay apart.
fn name_digest(name: UniqueName<'_>) -> [u8; NAME_DIGEST_BYTES] {
    let kind: &[u8] = match name.kind {
        NameKind::Username => b"username",
        NameKind::Email => b"email",
    };
    fingerprint(&[kind, name.canonical.as_bytes()])
}

/// Who is looked for where nobody has a name: somebody who is not there, and another one for each name.
fn nobody(name: UniqueName<'_>) -> UserId {
    UserId(*name_digest(name).first_chunk().expect("a digest of a name is longer than an id"))
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

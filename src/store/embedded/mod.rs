//! The embedded store: one folder, one process, nothing else to run. Durable: an acknowledged write survives `kill -9`.
//!
//! ```text
//! reads   caller's thread -> redb read transaction (1 to 2 us)
//! writes  caller's task -> queue -> writer thread: all that wait, one transaction, one sync -> answers
//! ```
//!
//! - [`key`] the digest key that the folder keeps when the configuration gives none
//! - `open` the folder and its file; `tables` the layout of the file; `backend` the file under redb
//! - `queue`, `write`, `writer`, `changes`, `kept` the way of a write; `expiry` forgetting what has expired
//! - `reads` the way of a read; `stamps` the store's clock
//! - [`audit`] whether all rows fit together
//!
//! Why redb, and what was measured: `docs/decisions/embedded-store.md`.
//!
//! # What durable means here
//!
//! A write is acknowledged after redb's commit with `Durability::Immediate`, which ends with `fdatasync`. That a killed
//! process loses nothing is shown by killing it a thousand times (`tests/embedded/kill.rs`). A killed process leaves
//! the kernel's cache behind, so this does not show what a power loss does: there the promise rests on `fdatasync`
//! coming before the acknowledgement, which a test checks, and on a disk that does what it is told by it.

mod backend;
mod changes;
mod expiry;
mod fault;
mod kept;
mod open;
mod queue;
mod reads;
mod shared;
mod stamps;
mod tables;
#[cfg(test)]
mod tests;
mod write;
mod writer;

pub mod audit;
pub mod key;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    ClientWrite, DocumentWrite, Insertion, NewGrant, Rotation, RotationOutcome, StoreError, StoreErrorKind, Transition,
    UserCreation, stored_mark,
};
use crate::client::ClientId;
use crate::coherence::clock::{BootClock, Moment};
use crate::coherence::{self, Coherence};
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::EpochAxis;
use crate::token::grant::GrantMark;
use crate::token::record::{Reason, Record, State};
use crate::token::time::{Clock, Now, Stamp, UnixSeconds};
use crate::user::id::UserId;
use crate::user::name::UniqueName;

use self::audit::Audit;
use self::backend::Traffic;
use self::open::Opened;
use self::queue::{MAX_WAITING, Queue, Refusal};
use self::shared::{Access, Counts, Shared};
use self::stamps::Stamps;
use self::tables::{Name, SIGNING_KEYS};
use self::write::{NewEntry, NewToken, Reply, UserName, Write};
use self::writer::Writer;

pub use self::open::OpenError;
pub use self::shared::Statistics;

/// How long a write may take, waiting included. A group commit takes milliseconds; a disk that needs this long is sick,
/// and the caller's client has gone.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// How much may be under way.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_waiting: usize,
    write_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_waiting: MAX_WAITING, write_deadline: WRITE_DEADLINE }
    }
}

/// A store in a folder of this process alone.
///
/// Dropping it finishes the writes that wait and blocks meanwhile; [`EmbeddedStore::close`] does the same without
/// blocking.
pub struct EmbeddedStore {
    folder: PathBuf,
    shared: Arc<Shared>,
    write_deadline: Duration,
    writer: Option<JoinHandle<()>>,
    ended: watch::Receiver<()>,
}

impl EmbeddedStore {
    /// Opens the store in the folder at `path`, creating both when missing: the folder for its owner alone (0700), the
    /// file likewise (0600). `clock` decides when expired entries are forgotten.
    ///
    /// After a crash redb checks the whole file first: about a quarter of a second per million tokens.
    ///
    /// # Errors
    /// [`OpenError`] names the folder or file and what to do about it.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, OpenError> {
        Self::open_with(path, clock, Limits::default())
    }

    fn open_with(path: &Path, clock: Clock, limits: Limits) -> Result<Self, OpenError> {
        open::create_folder(path)?;
        let traffic = Arc::new(Traffic::default());
        let Opened { database, stamp, earliest } = open::open_or_create(path, &traffic)?;
        // Nobody else writes here, so that nothing can be missed.
        let coherence = Arc::new(Coherence::new(BootClock::System));
        coherence.extend(Moment(u64::MAX));
        let shared = Arc::new(Shared {
            coherence,
            access: RwLock::new(Access::Open(database)),
            queue: Queue::new(limits.max_waiting),
            stamps: Stamps::after(stamp),
            traffic,
            statistics: Counts::default(),
        });
        let (ending, ended) = watch::channel(());
        let writer = Writer::new(path.to_owned(), clock, Arc::clone(&shared), earliest, ending);
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::System { path: path.to_owned(), source })?;
        Ok(Self { folder: path.to_owned(), shared, write_deadline: limits.write_deadline, writer: Some(writer), ended })
    }

    /// See [`crate::store::Store::coherence`].
    pub fn coherence(&self) -> &Arc<Coherence> {
        &self.shared.coherence
    }

    /// What it has done since it was opened.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// Reads every row and checks that all fit together. Takes a second per million tokens or so, on the calling
    /// thread.
    pub fn audit(&self) -> Result<Audit, StoreError> {
        self.shared.read(audit::audit)
    }

    /// Queues a write and waits until it is on disk.
    ///
    /// A full queue refuses at once instead of letting the caller wait for a place: it holds about a second's work, so
    /// whoever waited would be late anyway, and would keep a request open to no purpose.
    async fn write<T>(&self, write: impl FnOnce(Reply<T>) -> Write) -> Result<T, StoreError> {
        let (reply, answer) = Reply::new();
        let unavailable = |detail| StoreError::new(StoreErrorKind::Unavailable, detail);
        self.shared.queue.push(write(reply)).map_err(|refusal| match refusal {
            Refusal::Full => unavailable("too many writes wait for the disk"),
            Refusal::Closed => unavailable("the store is closed"),
        })?;
        match tokio::time::timeout(self.write_deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unavailable("the writer has ended")),
            Err(_) => Err(unavailable("the disk did not take the write in time")),
        }
    }
}

/// The writes of the contract: what each does is said at [`super::Store`].
#[allow(missing_docs, reason = "documented once, at the contract")]
impl EmbeddedStore {
    pub async fn insert(
        &self,
        tokens: &[(TokenDigest, Record)],
        grant: Option<&NewGrant>,
        now: Now,
    ) -> Result<Insertion, StoreError> {
        let tokens = tokens.iter().map(|(digest, record)| NewToken::new(*digest, record));
        let tokens = tokens.collect::<Result<_, StoreError>>()?;
        let grant = grant.map(|grant| NewEntry::grant(grant.id, &grant.record, grant.keep_until)).transpose()?;
        self.write(|reply| Write::Insert { tokens, grant, now, reply }).await
    }

    pub async fn set_state(&self, digest: TokenDigest, state: State, now: Now) -> Result<Transition, StoreError> {
        self.write(|reply| Write::SetState { digest, state, now, reply }).await
    }

    pub async fn set_signed_state(
        &self,
        token: TokenDigest,
        state: State,
        expires_at: UnixSeconds,
        now: Now,
    ) -> Result<Transition, StoreError> {
        self.write(|reply| Write::SetSignedState { token, state, expires_at, now, reply }).await
    }

    pub async fn rotate(&self, rotation: &Rotation, now: Now) -> Result<RotationOutcome, StoreError> {
        let from = rotation.from;
        let to = NewEntry::grant(rotation.grant, &rotation.to, rotation.keep_until)?;
        let access = rotation.access.as_ref().map(|(digest, record)| NewToken::new(*digest, record)).transpose()?;
        self.write(|reply| Write::Rotate { from, to, access, now, reply }).await
    }

    pub async fn mark_grant(
        &self,
        id: GrantId,
        before: &GrantMark,
        after: &GrantMark,
        expires_at: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let (before, after) = (stored_mark(before), stored_mark(after));
        self.write(|reply| Write::MarkGrant { grant: id, before, after, end: expires_at, reply }).await
    }

    pub async fn raise_epoch(
        &self,
        axis: EpochAxis<'_>,
        until: Option<Stamp>,
        reason: Reason,
        keep_until: UnixSeconds,
        now: Now,
    ) -> Result<bool, StoreError> {
        let name = Name::epoch(axis);
        let announced = coherence::name::Name::Epoch(axis).text();
        self.write(|reply| Write::RaiseEpoch { name, announced, until, reason, end: keep_until, now, reply }).await
    }

    /// A write only when the last one that reserved stamps was too long ago.
    pub async fn clock(&self, now: Now) -> Result<Stamp, StoreError> {
        let stamp = self.shared.stamps.next(now);
        if self.shared.queue.is_closed() || !self.shared.stamps.outlives(stamp) {
            self.write(|reply| Write::ReserveStamps { reply }).await?;
        }
        Ok(stamp)
    }

    pub async fn use_once(&self, what: [u8; 32], expires_at: UnixSeconds, now: Now) -> Result<bool, StoreError> {
        let name = Name::used(&what);
        self.write(|reply| Write::UseOnce { name, end: expires_at, now, reply }).await
    }

    pub async fn write_signing_keys(&self, version: u64, body: Bytes) -> Result<bool, StoreError> {
        self.write(|reply| Write::ReplaceDocument { name: SIGNING_KEYS, version, body, reply }).await
    }

    pub async fn create_client(&self, id: &ClientId, body: Bytes, now: Now) -> Result<ClientWrite, StoreError> {
        self.write(|reply| Write::CreateClient { id: id.clone(), body, now, reply }).await
    }

    pub async fn replace_client(
        &self,
        id: &ClientId,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<ClientWrite, StoreError> {
        self.write(|reply| Write::ReplaceClient { id: id.clone(), version, created, body, reply }).await
    }

    pub async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        self.write(|reply| Write::DeleteClient { id: id.clone(), reply }).await
    }

    pub async fn create_user(
        &self,
        id: UserId,
        names: [UniqueName<'_>; 2],
        body: Bytes,
        now: Now,
    ) -> Result<UserCreation, StoreError> {
        let names = names.map(UserName::new);
        self.write(|reply| Write::CreateUser { id, names, body, now, reply }).await
    }

    pub async fn replace_user(
        &self,
        id: UserId,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<DocumentWrite, StoreError> {
        self.write(|reply| Write::ReplaceUser { id, version, created, body, reply }).await
    }

    pub async fn delete_user(&self, id: UserId, names: [UniqueName<'_>; 2]) -> Result<bool, StoreError> {
        let names = names.map(UserName::new);
        self.write(|reply| Write::DeleteUser { id, names, reply }).await
    }

    pub async fn close(&self) {
        self.shared.queue.close();
        // Nothing is ever sent: this ends when the writer has, and with it its hold on the file.
        while self.ended.clone().changed().await.is_ok() {}
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // It catches the panics of the library it calls; one of its own has been printed by now.
            drop(writer.join());
        }
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EmbeddedStore")
            .field("folder", &self.folder)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

//! The embedded store: one folder, one process, nothing else to run. Durable: an acknowledged write survives `kill -9`.
//!
//! ```text
//! reads   caller's thread -> redb read transaction (1 to 2 us)
//! writes  caller's task -> queue -> writer thread: all that wait, one transaction, one sync -> answers
//! ```
//!
//! - [`key`] the digest key that the folder keeps when the configuration gives none
//! - `open` the folder and its file; `tables` the layout of the file; `backend` the file under redb
//! - `queue`, `write`, `writer`, `changes` the way of a write; `expiry` forgetting what has expired
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
mod open;
mod queue;
mod shared;
mod tables;
#[cfg(test)]
mod tests;
mod write;
mod writer;

pub mod audit;
pub mod key;

use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use redb::ReadTransaction;
use tokio::sync::watch;

use super::{ClientDocument, ClientWrite, Insertion, StoreError, StoreErrorKind, Surroundings, Transition};
use crate::client::ClientId;
use crate::token::codec;
use crate::token::decision::Standing;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::record::{Grant, Reason, Record, State};
use crate::token::time::{Clock, Now, Stamp};

use self::audit::Audit;
use self::backend::Traffic;
use self::changes::decode;
use self::fault::Fault;
use self::open::Opened;
use self::queue::{MAX_WAITING, Queue, Refusal};
use self::shared::{Access, Counts, Shared};
use self::tables::{CLIENTS, GRANTS, META, META_SCHEMA, TOKENS, client_document, damaged};
use self::write::{NewToken, Reply, Write};
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
        let shared = Arc::new(Shared {
            access: RwLock::new(Access::Open(database)),
            queue: Queue::new(limits.max_waiting),
            traffic,
            statistics: Counts::default(),
        });
        let (ending, ended) = watch::channel(());
        let writer = Writer::new(path.to_owned(), clock, Arc::clone(&shared), (stamp, earliest), ending);
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::System { path: path.to_owned(), source })?;
        Ok(Self { folder: path.to_owned(), shared, write_deadline: limits.write_deadline, writer: Some(writer), ended })
    }

    /// What it has done since it was opened.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// Reads every row and checks that all fit together. Takes a second per million tokens or so, on the calling thread.
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

/// The contract: what each does is said at [`super::Store`].
///
/// Reads run right here, on the thread that asks. They take 1 to 2 us, a page that is not in memory included as long as
/// the kernel has it; handing each to a thread for blocking work would cost ten times as much and help only while a
/// cold file is read from a slow disk for the first time.
#[expect(clippy::unused_async, reason = "the contract is asynchronous, for the store that talks to another process")]
#[allow(missing_docs, reason = "documented once, at the contract")]
impl EmbeddedStore {
    pub async fn token(&self, digests: &[TokenDigest]) -> Result<Option<(TokenDigest, Record)>, StoreError> {
        self.shared.read(|transaction| {
            let tokens = transaction.open_table(TOKENS)?;
            for digest in digests {
                if let Some(row) = tokens.get(&digest.0)? {
                    return Ok(decode(row.value()).map(|record| Some((*digest, record))));
                }
            }
            Ok(Ok(None))
        })
    }

    pub async fn surroundings(&self, client_id: &str, grant: Option<GrantId>) -> Result<Surroundings, StoreError> {
        self.shared.read(|transaction| {
            let client = match read_client(transaction, client_id)? {
                Ok(client) => client,
                Err(error) => return Ok(Err(error)),
            };
            let revoked = match grant {
                Some(grant) => transaction.open_table(GRANTS)?.get(&grant.0)?.is_some(),
                None => false,
            };
            Ok(Ok(Surroundings { client, grant: if revoked { Standing::Revoked } else { Standing::Approved } }))
        })
    }

    pub async fn insert(&self, tokens: &[(TokenDigest, Record)], now: Now) -> Result<Insertion, StoreError> {
        let encode = |(digest, record): &(TokenDigest, Record)| {
            let bytes =
                codec::encode(record).map_err(|error| StoreError::new(StoreErrorKind::Refused, error.to_string()))?;
            Ok(NewToken { digest: *digest, expires_at: record.expires_at, record: bytes })
        };
        let tokens = tokens.iter().map(encode).collect::<Result<_, StoreError>>()?;
        self.write(|reply| Write::Insert { tokens, now, reply }).await
    }

    pub async fn set_state(&self, digest: TokenDigest, state: State, now: Now) -> Result<Transition, StoreError> {
        self.write(|reply| Write::SetState { digest, state, now, reply }).await
    }

    pub async fn revoke_grant(&self, grant: Grant, reason: Reason) -> Result<(), StoreError> {
        self.write(|reply| Write::RevokeGrant { grant, reason, reply }).await
    }

    pub async fn client(&self, client_id: &str) -> Result<Option<ClientDocument>, StoreError> {
        self.shared.read(|transaction| read_client(transaction, client_id))
    }

    pub async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        self.shared.read(|transaction| {
            let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str().as_bytes()));
            let clients = transaction.open_table(CLIENTS)?;
            let mut page = Vec::new();
            for entry in clients.range::<&[u8]>((start, Bound::Unbounded))?.take(limit) {
                let (id, row) = entry?;
                let id = str::from_utf8(id.value()).ok().and_then(ClientId::parse);
                let parts = id
                    .ok_or_else(|| damaged("the id of a client is not one"))
                    .and_then(|id| Ok((id, client_document(row.value())?)));
                match parts {
                    Ok(client) => page.push(client),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(page))
        })
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

    /// Answers as long as reads work and the writer lives. It does not write: readiness is asked for every second or so,
    /// and a full disk must not take a node away that can still introspect.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if self.shared.queue.is_closed() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is closed"));
        }
        self.shared.read(|transaction| {
            let layout = transaction.open_table(META)?.get(META_SCHEMA)?;
            Ok(layout.map(drop).ok_or_else(|| damaged("the layout version is gone")))
        })
    }

    pub async fn close(&self) {
        self.shared.queue.close();
        // Nothing is ever sent: this ends when the writer has, and with it its hold on the file.
        while self.ended.clone().changed().await.is_ok() {}
    }
}

fn read_client(
    transaction: &ReadTransaction,
    client_id: &str,
) -> Result<Result<Option<ClientDocument>, StoreError>, Fault> {
    let row = transaction.open_table(CLIENTS)?.get(client_id.as_bytes())?;
    Ok(row.map(|row| client_document(row.value())).transpose())
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

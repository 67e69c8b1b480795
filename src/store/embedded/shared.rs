//! What readers and the writer share: the open database, the queue, the clock, and the counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::backend::Traffic;
use super::fault::{Fault, Stop};
use super::queue::Queue;
use super::stamps::Stamps;
use crate::coherence::Coherence;
use crate::store::StoreError;

/// Shared by the store's handle and its writer.
#[derive(Debug)]
pub(super) struct Shared {
    /// Hears of every write that can end a token, before it is answered.
    pub(super) coherence: Arc<Coherence>,
    pub(super) access: RwLock<Access>,
    pub(super) queue: Queue,
    pub(super) stamps: Stamps,
    pub(super) traffic: Arc<Traffic>,
    pub(super) statistics: Counts,
}

/// The database, or why there is none at the moment.
#[derive(Debug)]
pub(super) enum Access {
    /// In use.
    Open(Database),
    /// Between a fault and opening the file again.
    Faulty(Fault),
    /// For good.
    Closed,
}

impl Shared {
    /// Reads in one transaction: everything `read` sees belongs to the same moment.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Stop>) -> Result<T, StoreError> {
        // Only replacing the database takes this lock alone, for a moment. Waiting for that would be waiting for a
        // repair that may take seconds, on a thread that serves other requests too.
        let Ok(access) = self.access.try_read() else {
            return Err(Fault::unavailable("the file is being opened or closed").to_error());
        };
        let fault = match &*access {
            Access::Open(database) => match database.begin_read().map_err(Stop::from).and_then(|open| read(&open)) {
                Ok(answer) => return Ok(answer),
                Err(Stop::Answer(error)) => return Err(error),
                Err(Stop::Fault(fault)) => fault,
            },
            Access::Faulty(fault) => return Err(fault.to_error()),
            Access::Closed => return Err(Fault::unavailable("the store is closed").to_error()),
        };
        if fault.needs_reopening() {
            self.queue.ask_to_reopen();
        }
        Err(fault.to_error())
    }

    /// Puts another database in place, or none, when the last read of the old one has ended.
    pub(super) fn replace(&self, access: Access) {
        let old = std::mem::replace(&mut *self.access.write().unwrap_or_else(PoisonError::into_inner), access);
        // Closing writes and syncs; readers need not wait for that.
        drop(old);
    }
}

/// The counts behind [`Statistics`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    writes: AtomicU64,
    commits: AtomicU64,
    forgotten: AtomicU64,
}

impl Counts {
    pub(super) fn count_writes(&self, writes: usize) {
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_commit(&self, forgotten: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.forgotten.fetch_add(forgotten as u64, Ordering::Relaxed);
    }
}

/// What the store has done since it was opened, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Writes that were answered, those that changed nothing included.
    pub writes: u64,
    /// Transactions that were committed to disk. Far fewer than writes when many come at once.
    pub commits: u64,
    /// Times the file was synced: at least once per commit.
    pub syncs: u64,
    /// Expired tokens and entries that were forgotten.
    pub forgotten: u64,
}

impl Shared {
    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            writes: self.statistics.writes.load(Ordering::Relaxed),
            commits: self.statistics.commits.load(Ordering::Relaxed),
            syncs: self.traffic.syncs(),
            forgotten: self.statistics.forgotten.load(Ordering::Relaxed),
        }
    }
}

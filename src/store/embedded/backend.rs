//! The database file as redb sees it, with its syncs counted.
//!
//! redb does the reading, writing and locking; this layer only watches. What it sees is how an operator learns the
//! price of durability (syncs per commit), how the tests fill the disk, and how they prove that what is acknowledged
//! would outlast a power loss.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

/// What went to the disk since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    syncs: AtomicU64,
    #[cfg(test)]
    pub(super) hands: super::tests::Hands,
}

impl Traffic {
    /// How often the file was synced.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// redb's own file backend, watched.
#[derive(Debug)]
pub(super) struct WatchedFile {
    file: FileBackend,
    traffic: Arc<Traffic>,
}

impl WatchedFile {
    pub(super) fn new(file: File, traffic: Arc<Traffic>) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, traffic })
    }
}

impl StorageBackend for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        #[cfg(test)]
        self.traffic.hands.read()?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(test)]
        self.traffic.hands.set_len(len)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        #[cfg(test)]
        self.traffic.hands.sync();
        self.traffic.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.traffic.hands.write(offset, data)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // The locks are what keeps a second process out, and the trait's own versions of these say "not supported".

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

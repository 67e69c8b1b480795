//! The one thread that writes: it takes all writes that wait, applies them in one transaction, commits that to disk,
//! and only then answers each of them.
//!
//! A durable commit costs a sync of the disk whatever it holds, so the more callers there are, the less each of them
//! pays. With one caller this is one sync per write; with many it is one sync for all that came in during the last one.
//!
//! # When a commit fails
//!
//! redb cannot say then whether the changes are on disk, and takes no further writes. So everybody in the group is told
//! that it failed (which the contract allows to be untrue), and the file is closed and opened again, which finds out.
//! Until that has worked, every write is answered with the fault at once.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redb::Durability;
use tokio::sync::watch;

use super::changes::{Changes, Done};
use super::expiry::{BUSY_CHUNK, IDLE_CHUNK, look_interval};
use super::fault::Fault;
use super::open::{self, Opened};
use super::shared::{Access, Shared};
use super::tables::second;
use super::write::Write;
use crate::token::time::{Clock, Stamp};

/// The most writes that share a transaction: bounds how long the first of them waits for the last.
const MAX_GROUP: usize = 512;

/// How long to wait before opening the file is tried again. A full disk does not get emptier faster by being asked.
const REOPEN_INTERVAL: Duration = Duration::from_millis(500);

/// The thread's own state.
pub(super) struct Writer {
    folder: PathBuf,
    clock: Clock,
    shared: Arc<Shared>,
    stamp: Stamp,
    earliest: Option<u32>,
    broken: Option<(Fault, Instant)>,
    /// Its end tells whoever waits in `close` that the file has been let go of. Dropped last.
    _ended: watch::Sender<()>,
}

impl Writer {
    /// A writer that goes on after `stamp`, over a database whose first entry expires at `earliest`.
    pub(super) fn new(
        folder: PathBuf,
        clock: Clock,
        shared: Arc<Shared>,
        (stamp, earliest): (Stamp, Option<u32>),
        ended: watch::Sender<()>,
    ) -> Self {
        Self { folder, clock, shared, stamp, earliest, broken: None, _ended: ended }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let patience = if self.is_behind() { Duration::ZERO } else { look_interval(&self.clock) };
            let taken = self.shared.queue.take(MAX_GROUP, patience);
            if taken.reopen && self.broken.is_none() {
                self.reopen(Fault::unavailable("the file is being opened again after a failed read"));
            }
            if !taken.writes.is_empty() || self.is_behind() {
                self.turn(taken.writes);
            }
            if taken.ended {
                return;
            }
        }
    }

    /// Whether something has expired and could be forgotten now.
    fn is_behind(&self) -> bool {
        self.broken.is_none() && self.earliest.is_some_and(|earliest| earliest <= second(self.clock.now().seconds()))
    }

    /// One group of writes, from the queue to the answers.
    fn turn(&mut self, mut writes: Vec<Write>) {
        self.try_to_mend();
        let result = match &self.broken {
            Some((fault, _)) => Err(fault.clone()),
            // A panic inside redb ends this group only: the file is opened anew, which finds damage if there is any.
            None => panic::catch_unwind(AssertUnwindSafe(|| self.commit(&mut writes)))
                .unwrap_or_else(|_| Err(Fault::panicked())),
        };
        if result.is_ok() {
            self.shared.statistics.count_writes(writes.len());
        }
        for write in writes {
            write.answer(result.as_ref().err());
        }
        if let Err(fault) = result
            && self.broken.is_none()
        {
            self.reopen(fault);
        }
    }

    /// Applies the writes, forgets a little of what has expired, and commits.
    fn commit(&mut self, writes: &mut [Write]) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let access = shared.access.read().unwrap_or_else(PoisonError::into_inner);
        let Access::Open(database) = &*access else {
            return Err(Fault::unavailable("the store is closed"));
        };
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut changes = Changes::begin(&transaction, self.stamp)?;
        for write in writes.iter_mut() {
            changes.apply(write)?;
        }
        let limit = match (self.is_behind(), writes.is_empty()) {
            (false, _) => 0,
            (true, true) => IDLE_CHUNK,
            (true, false) => changes.put_in() + BUSY_CHUNK,
        };
        let Done { changed, stamp, earliest, forgotten } = changes.finish(self.clock.now().seconds(), limit)?;
        if changed {
            transaction.commit()?;
            // Holds in every test that writes anything: what is about to be acknowledged is not in a cache only.
            debug_assert!(!shared.traffic.is_unsynced(), "a commit ends with a sync");
            shared.statistics.count_commit(forgotten);
        } else {
            // Every answer rests on what earlier transactions have made durable.
            transaction.abort()?;
        }
        self.stamp = stamp;
        self.earliest = earliest;
        Ok(())
    }

    /// Closes the file and opens it again. `fault` is what everybody is told until that has worked.
    fn reopen(&mut self, fault: Fault) {
        tracing::error!(fault = fault.detail(), "store: opening the file again after a fault");
        self.shared.replace(Access::Faulty(fault.clone()));
        self.broken = Some((fault, Instant::now()));
        self.try_to_mend_now();
    }

    fn try_to_mend(&mut self) {
        if self.broken.as_ref().is_some_and(|(_, tried)| tried.elapsed() >= REOPEN_INTERVAL) {
            self.try_to_mend_now();
        }
    }

    fn try_to_mend_now(&mut self) {
        match open::open_database(&self.folder, &self.shared.traffic) {
            Ok(Opened { database, stamp, earliest }) => {
                self.stamp = self.stamp.max(stamp);
                self.earliest = earliest;
                self.broken = None;
                self.shared.replace(Access::Open(database));
                tracing::info!("store: the file is open again");
            }
            Err(error) => {
                let fault = Fault::not_reopened(&error);
                self.shared.replace(Access::Faulty(fault.clone()));
                self.broken = Some((fault, Instant::now()));
            }
        }
    }
}

impl Drop for Writer {
    /// Also when the thread panics: nobody may wait for a writer that is gone, nor the file stay locked.
    fn drop(&mut self) {
        self.shared.queue.close();
        let fault = Fault::unavailable("the store is closed");
        for write in self.shared.queue.take(usize::MAX, Duration::ZERO).writes {
            write.answer(Some(&fault));
        }
        self.shared.replace(Access::Closed);
    }
}

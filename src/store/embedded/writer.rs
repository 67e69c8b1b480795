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
use crate::token::time::Clock;

/// The most writes that share a transaction: bounds how long the first of them waits for the last.
const MAX_GROUP: usize = 512;

/// How long writes are refused after a fault before the next one is tried, and how long to wait before a file that did
/// not open is tried again. While a disk is full, each try costs the readers the time that opening the file takes.
const REST: Duration = Duration::from_millis(500);

/// After a fault.
struct Trouble {
    /// What everybody who writes is told.
    fault: Fault,
    /// When the file was last tried.
    since: Instant,
    /// Whether it could be opened again, so that reads work.
    is_open: bool,
}

/// The thread's own state.
pub(super) struct Writer {
    folder: PathBuf,
    clock: Clock,
    shared: Arc<Shared>,
    earliest: Option<u32>,
    trouble: Option<Trouble>,
    /// Its end tells whoever waits in `close` that the file has been let go of. Dropped last.
    _ended: watch::Sender<()>,
}

impl Writer {
    /// A writer over a database in which something expires first at `earliest`.
    pub(super) fn new(
        folder: PathBuf,
        clock: Clock,
        shared: Arc<Shared>,
        earliest: Option<u32>,
        ended: watch::Sender<()>,
    ) -> Self {
        Self { folder, clock, shared, earliest, trouble: None, _ended: ended }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let patience = if self.is_behind() { Duration::ZERO } else { look_interval(&self.clock) };
            let taken = self.shared.queue.take(MAX_GROUP, patience);
            self.mend();
            if taken.reopen && self.trouble.is_none() {
                self.reopen(Fault::unavailable("the file was opened again after a failed read"));
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
        self.trouble.is_none() && self.earliest.is_some_and(|earliest| earliest <= second(self.clock.now().seconds()))
    }

    /// One group of writes, from the queue to the answers.
    fn turn(&mut self, mut writes: Vec<Write>) {
        let result = match &self.trouble {
            Some(trouble) => Err(trouble.fault.clone()),
            // A panic inside redb ends this group only: the file is opened anew, which finds damage if there is any.
            None => panic::catch_unwind(AssertUnwindSafe(|| self.commit(&mut writes)))
                .unwrap_or_else(|_| Err(Fault::panicked()))
                // What was written is not known, and may be there already.
                .inspect_err(|_| self.shared.coherence.flush()),
        };
        if result.is_ok() {
            self.shared.statistics.count_writes(writes.len());
        }
        #[cfg(test)]
        self.shared.traffic.hands.answer(&writes, result.is_ok());
        for write in writes {
            write.answer(result.as_ref().err());
        }
        if let Err(fault) = result
            && self.trouble.is_none()
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
        let mut changes = Changes::begin(&transaction, &shared.stamps)?;
        for write in writes.iter_mut() {
            changes.apply(write)?;
        }
        let limit = match (self.is_behind(), writes.is_empty()) {
            (false, _) => 0,
            (true, true) => IDLE_CHUNK,
            (true, false) => changes.put_in() + BUSY_CHUNK,
        };
        let Done { changed, stamp, earliest, forgotten, announced } =
            changes.finish(self.clock.now().seconds(), limit)?;
        if changed {
            transaction.commit()?;
            shared.stamps.committed(stamp);
            shared.statistics.count_commit(forgotten);
            // Whoever is answered after this never again hears what was so before.
            for name in announced {
                shared.coherence.heard(name.as_bytes());
            }
        } else {
            // Every answer rests on what earlier transactions have made durable.
            transaction.abort()?;
        }
        self.earliest = earliest;
        Ok(())
    }

    /// Closes the file and opens it again. `fault` is what everybody who writes is told for a while.
    fn reopen(&mut self, fault: Fault) {
        tracing::error!(fault = fault.detail(), "store: opening the file again after a fault");
        self.shared.replace(Access::Faulty(fault.clone()));
        let is_open = self.open();
        self.trouble = Some(Trouble { fault, since: Instant::now(), is_open });
    }

    /// Ends the trouble when it has lasted long enough and the file is open.
    fn mend(&mut self) {
        let Some(trouble) = self.trouble.take_if(|trouble| trouble.since.elapsed() >= REST) else { return };
        if !trouble.is_open && !self.open() {
            self.trouble = Some(Trouble { since: Instant::now(), ..trouble });
        }
    }

    fn open(&mut self) -> bool {
        match open::open_existing(&self.folder, &self.shared.traffic) {
            Ok(Opened { database, stamp, earliest }) => {
                self.shared.stamps.resume(stamp);
                self.earliest = earliest;
                // Writes of which nobody could say whether they had happened may be there now. Nothing has been read
                // since the file was closed.
                self.shared.coherence.flush();
                self.shared.replace(Access::Open(database));
                tracing::info!("store: the file is open again");
                true
            }
            Err(error) => {
                tracing::error!(%error, "store: the file does not open");
                self.shared.replace(Access::Faulty(Fault::not_reopened(&error)));
                false
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

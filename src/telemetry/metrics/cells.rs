//! Where counts are kept: one array of atomics per shard, and a shard per thread, or nearly.
//!
//! Threads that count the same thing write to different cache lines, so a count costs one uncontended add. Reading adds
//! the shards up, which happens once per scrape.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// All counts of one registry.
pub(super) struct Cells {
    shards: Box<[Box<[Line]>]>,
}

/// Two cache lines: processors fetch the neighbour of a line too, so 64 bytes would not keep shards apart.
#[derive(Default)]
#[repr(align(128))]
struct Line([AtomicU64; CELLS_PER_LINE]);

const CELLS_PER_LINE: usize = 16;

/// Beyond this many cores, several threads to a shard cost less than the memory of further shards.
const MAX_SHARDS: usize = 64;

static THREADS: AtomicUsize = AtomicUsize::new(0);

const UNNUMBERED: usize = usize::MAX;

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(UNNUMBERED) };
}

impl Cells {
    /// Room for `count` counts, all zero.
    pub(super) fn new(count: usize) -> Self {
        // Twice the cores: worker threads are not the only ones that are numbered.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (2 * cores).next_power_of_two().min(MAX_SHARDS);
        let lines = count.div_ceil(CELLS_PER_LINE);
        Self { shards: (0..shards).map(|_| (0..lines).map(|_| Line::default()).collect()).collect() }
    }

    /// Adds to one count. It wraps, which takes the nanoseconds of a histogram five centuries.
    #[inline]
    pub(super) fn add(&self, cell: usize, amount: u64) {
        let shard = &self.shards[thread_number() & (self.shards.len() - 1)];
        shard[cell / CELLS_PER_LINE].0[cell % CELLS_PER_LINE].fetch_add(amount, Ordering::Relaxed);
    }

    /// One count over all shards.
    pub(super) fn sum(&self, cell: usize) -> u64 {
        let counts = self.shards.iter().map(|shard| &shard[cell / CELLS_PER_LINE].0[cell % CELLS_PER_LINE]);
        counts.fold(0, |sum, count| sum.wrapping_add(count.load(Ordering::Relaxed)))
    }
}

#[inline]
fn thread_number() -> usize {
    THREAD.with(|number| {
        if number.get() == UNNUMBERED {
            number.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_many_threads_add_up() {
        const THREADS: u64 = 8;
        const TIMES: u64 = 100_000;
        let cells = Cells::new(40);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for time in 0..TIMES {
                        cells.add(usize::try_from(time % 40).unwrap(), 1);
                    }
                });
            }
        });
        let total: u64 = (0..40).map(|cell| cells.sum(cell)).sum();
        assert_eq!(total, THREADS * TIMES);
    }

    #[test]
    fn shards_share_no_cache_line() {
        assert_eq!(size_of::<Line>(), 128);
        assert_eq!(align_of::<Line>(), 128);
    }
}

//! The near cache under the interleavings of its threads: fill, word of changes, flush, eviction, hit, lease.
//!
//! The sources of the two rooms are built once more here, over atomics that let a scheduler choose which thread takes
//! the next step. Each check is run many thousand times, by chance and by a scheduler that prefers rare orders. That
//! the checks find something is shown by variants with a mistake in them, which must fail.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "what the program needs of these rooms, and these checks do not"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod checks;

#[path = "../../src/cache/mod.rs"]
mod cache;
#[path = "../../src/coherence/mod.rs"]
mod coherence;
#[path = "../../src/watch.rs"]
mod watch;

/// In the place of the crate's own.
mod atomics {
    pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

/// As the two rooms know it.
mod token {
    pub(crate) use introspectd::token::{digest, epoch};
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};

/// One of the checks.
struct Check {
    name: &'static str,
    run: fn(),
    /// Whether there is a mistake in it that must be found.
    mistaken: bool,
}

const ITERATIONS: usize = 4_000;

/// How many times a thread that goes first may be overtaken in the orders that are looked for.
const DEPTH: usize = 4;

fn main() {
    // As with the usual harness: what stands on the command line chooses by name.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for check in checks::ALL.iter().filter(|check| check.name.contains(&wanted)) {
        if check.mistaken {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| {}));
            let found = catch_unwind(AssertUnwindSafe(|| explore(check, FailurePersistence::None))).is_err();
            std::panic::set_hook(hook);
            assert!(found, "{}: the mistake was not found", check.name);
        } else {
            explore(check, FailurePersistence::Print);
        }
        println!("test {} ... ok", check.name);
    }
}

/// Runs a check in many orders, and panics in the first that it does not pass; `Print` says how to replay that one.
fn explore(check: &Check, failure_persistence: FailurePersistence) {
    let mut config = Config::default();
    config.failure_persistence = failure_persistence;
    // It treats all orders of atomics as the strictest. That the weaker ones are enough is argued where they stand.
    config.silence_warnings = true;
    Runner::new(RandomScheduler::new(ITERATIONS), config.clone()).run(check.run);
    Runner::new(PctScheduler::new(DEPTH, ITERATIONS), config).run(check.run);
}

//! What only the embedded store promises: one process, one folder, `kill -9` survived, the disk bounded.
//!
//! What it promises as any other store does is tested in `tests/integration/stores.rs`, over both.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod child;
mod common;
mod expiry;
mod folder;
mod key;
mod kill;
mod writes;

//! One binary for all integration tests: real servers on free ports, started and stopped by the tests themselves.
//!
//! - [`stores`] the store contract: one list of tests, run over every store
//! - [`redis`] what only the Redis store has to show: expiry in Redis, outages, permissions, encryption
//! - [`support`] servers, records, waiting

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod redis;
mod stores;
mod support;

//! One binary for all integration tests: real servers on free ports, started and stopped by the tests themselves.
//!
//! - [`stores`] the store contract: one list of tests, run over every store
//! - [`outage`] a node whose Redis is away, hangs, is killed and comes back
//! - [`redis`] what only the Redis store has to show: expiry in Redis, outages, permissions, encryption
//! - [`rfc6750`] Bearer tokens as credentials, sentence by sentence, over a real server
//! - [`rfc7009`] revocation, sentence by sentence, over a real server
//! - [`rfc7662`] introspection, sentence by sentence, over a real server
//! - [`support`] servers, records, waiting

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[macro_use]
mod support;

mod outage;
mod redis;
mod rfc6750;
mod rfc7009;
mod rfc7662;
mod stores;

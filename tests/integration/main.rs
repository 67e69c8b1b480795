//! One binary for all integration tests: real servers on free ports, started and stopped by the tests themselves.
//!
//! - [`access_log`] lines of requests, and the audit log of the built program
//! - [`accounts`] users who register and log in here
//! - [`admin`] the admin listener: clients, tokens, health, metrics, draining
//! - [`approval`] revoking tokens and bringing them back
//! - [`audit`] who did what is recorded, and never a secret
//! - [`authentication`] guessing and slow hashes: who must wait, and what a flood can reach
//! - [`bulk`] revoking many tokens at once
//! - [`command`] the command line: the built program in a process of its own
//! - [`documents`] the pages that name tests
//! - [`forward_auth`] gateways that ask whether a request may pass
//! - [`gaps`] what is said of a revocation when a node or Redis has missed a part
//! - [`interleaving`] what refreshes, revocations and approvals do to each other in every order
//! - [`kill`] the node and Redis killed at any moment: what was acknowledged holds, and every grant goes on
//! - [`matrix`] what each kind of request is answered in each kind of trouble, row by row
//! - [`openapi`] what both listeners say that they answer
//! - [`outage`] a node whose Redis is away, hangs, is killed and comes back
//! - [`proven`] connections that need not prove again who is calling
//! - [`redis`] what only the Redis store has to show: expiry in Redis, outages, permissions, encryption
//! - [`reload`] settings that are taken over while the service runs
//! - [`regression`] defects that somebody found by breaking the service
//! - [`remembered`] what a node answers from memory, and when it does not
//! - [`rfc6749`] what all endpoints share, client authentication, and the token endpoint
//! - [`rfc6750`] Bearer tokens as credentials, sentence by sentence, over a real server
//! - [`rfc7009`] revocation, sentence by sentence, over a real server
//! - [`rfc7523`] clients that sign assertions
//! - [`rfc7662`] introspection, sentence by sentence, over a real server
//! - [`rfc8414`] metadata: what is published, and that all of it is true
//! - [`rfc8705`] clients that present certificates, and tokens that are bound to them
//! - [`rfc9068`] signed access tokens and the keys behind them: every forgery that is known, rotation, removal
//! - [`rfc9110`] HTTP hygiene: methods, media types, sizes, headers
//! - [`rfc9449`] proofs of possession, and tokens that are bound to their keys
//! - [`rfc9700`] rotation of refresh tokens, and what is made of one that is used twice
//! - [`rfc9701`] signed introspection answers
//! - [`scale`] what holds at any number of tokens: bulk revocation, and memory that comes back
//! - [`stores`] the store contract: one list of tests, run over every store
//! - [`support`] servers, records, waiting
//! - [`topology`] Redis in more than one process: Sentinel, and Redis Cluster
//! - [`traces`] which requests a collector is told of, and what

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[macro_use]
mod support;

mod access_log;
mod accounts;
mod admin;
mod approval;
mod audit;
mod authentication;
mod bulk;
mod command;
mod documents;
mod forward_auth;
mod gaps;
mod interleaving;
mod kill;
mod matrix;
mod openapi;
mod outage;
mod proven;
mod redis;
mod regression;
mod reload;
mod remembered;
mod rfc6749;
mod rfc6750;
mod rfc7009;
mod rfc7523;
mod rfc7662;
mod rfc8414;
mod rfc8705;
mod rfc9068;
mod rfc9110;
mod rfc9449;
mod rfc9700;
mod rfc9701;
mod scale;
mod stores;
mod topology;
mod traces;

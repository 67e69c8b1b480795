//! The token service of a fleet of APIs: issue, introspect (RFC 7662) and revoke (RFC 7009) at the cost of answering a
//! constant.
//!
//! # One request
//!
//! ```text
//!            socket              request                 (caller, token)
//! [server] ----------> [http] ------------> [auth] -----------------------> [service] ---> [store]
//!  TLS, HTTP/1 and 2    routes, forms,       who is calling, and             what the       embedded
//!  time and size        statuses             how often it failed             product does   or Redis
//!                       [admin]                                                  |
//!                       the other listener            [client] records, rights, policy
//!                                                     [token]  text, digest, record, decision: pure
//! ```
//!
//! Arrows point one way: sockets know HTTP, HTTP knows the service, the service knows the store and what is remembered
//! of it, all know [`client`] and [`token`]. A client knows [`token`] and [`jose`], and these two know nobody but
//! [`json`]. The store tells [`coherence`] what it hears, and the near cache asks it; the two do not know each other.
//!
//! ```text
//! [token], [jose] <- [client], [coherence] <- [cache], [store] <- [service] <- [auth] <- [http] <- [admin]
//! ```
//!
//! # The rooms
//!
//! - [`token`] what a token is, and whether it is alive
//! - [`client`] who may ask, and for what; [`user`] who logs in here
//! - [`coherence`] until when, and unless what is heard of, something that was read may be answered again: pure
//! - [`cache`] what a node remembers of what it has read, and never believes by itself
//! - [`store`] where tokens, clients and users are kept: one contract, an embedded store, and Redis alone, with
//!   Sentinels or as a cluster
//! - [`service`] what can be done with them
//! - [`auth`] who is calling
//! - [`form`] the one wire format that all of OAuth shares, [`json`] the one that its texts are written in
//! - [`jose`] signed texts: keys and signatures, pure
//! - [`http`] the public face, [`admin`] the operators' face
//! - [`openapi`] what both of them answer, written down
//! - [`server`] bytes and connections, [`shutdown`] how they end
//! - [`config`] what can be set, [`telemetry`] what can be seen
//! - [`watch`] one value that many tasks wait for
//! - [`reload`] what of it can be changed while it runs, [`supervisor`] who started it and wants to know how it fares
//! - [`app`] puts it together, [`command`] is the command line

pub mod admin;
pub mod app;
mod atomics;
pub mod auth;
pub mod cache;
pub mod client;
pub mod coherence;
pub mod command;
pub mod config;
pub mod form;
pub mod http;
pub mod jose;
pub mod json;
pub mod openapi;
pub mod reload;
pub mod server;
pub mod service;
pub mod shutdown;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod threads;
pub mod token;
pub mod user;
pub mod watch;

//! The server's behaviour on the wire, byte by byte, with a small handler in the place of the real ones.
//!
//! Names begin with the section of the RFC that asks for the behaviour, where there is one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod certificates;
mod connections;
mod draining;
mod framing;
mod harness;
mod heads;
mod http2;
mod sockets;
mod time;
mod tls;

//! A Redis that is made of values: servers, Sentinels and a cluster, without a socket or a clock.
//!
//! - [`resp`] what goes over the wire; [`keyspace`] what is kept; [`commands`] what can be done with it
//! - [`scripts`] scripts, in real Lua; [`server`] a process; [`sentinel`], [`cluster`] what it may be besides
//! - [`deployment`] several of them together; [`failover`] how a primary is replaced, and how slots move

pub(crate) mod cluster;
pub(crate) mod commands;
pub(crate) mod deployment;
mod failover;
pub(crate) mod keyspace;
pub(crate) mod resp;
pub(crate) mod scripts;
pub(crate) mod sentinel;
pub(crate) mod server;

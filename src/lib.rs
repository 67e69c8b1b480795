//! introspectd
pub mod client;
pub mod config;
pub mod service;
pub mod store;
pub mod token;

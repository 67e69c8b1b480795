//! introspectd
pub mod client;
pub mod config;
pub mod store;
pub mod telemetry;
pub mod token;

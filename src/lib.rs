//! introspectd
pub mod client;
pub mod config;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod token;

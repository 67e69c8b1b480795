//! introspectd
pub mod auth;
pub mod client;
pub mod config;
pub mod form;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod token;

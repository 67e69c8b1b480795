//! What operators see of a running process: log lines and numbers.
//!
//! - [`audit`] who did what, for those who have to know
//! - [`logging`] the format and the levels of log lines, and what is never in one
//! - [`metrics`] every number, its name and labels, and the page that shows them
//! - [`traces`] what single requests did, for a collector

pub mod audit;
pub mod logging;
pub mod metrics;
pub mod traces;

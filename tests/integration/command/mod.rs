//! The command line: the built program in a process of its own, as people and scripts run it.
//!
//! - [`serve`] the service: how it starts, what it prints, how it ends
//! - [`settings`] what is wrong with a configuration, and what is in force
//! - [`verbs`] the verbs that talk to a running service
//! - [`supervisor`] what the service tells systemd
//! - [`import`] clients and tokens from files
//! - [`pages`] completions, manual and help

mod import;
mod pages;
mod serve;
mod settings;
mod supervisor;
mod verbs;

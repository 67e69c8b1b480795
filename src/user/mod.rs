//! First-party users: who logs in here with a name and a password. No I/O, no clock, no HTTP.
//!
//! - [`id`] what a user is known by for good
//! - [`record`] what is kept of a user
//! - [`name`] usernames and email addresses, and the one form in which each is unique
//! - [`password`] which passwords are taken, and which may be chosen; `common` those that are guessed first
//! - [`hash`] passwords at rest

mod common;
pub mod hash;
pub mod id;
pub mod name;
pub mod password;
pub mod record;

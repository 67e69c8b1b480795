//! What a token is: its text, its digest, its record, and whether it is alive.
//!
//! The heart of the product, and the room that depends on no other: no input or output, no clock, no HTTP. Time is an
//! argument everywhere here.
//!
//! - [`value`] the text of a token, as made here and as presented by a peer
//! - [`key`] one key behind digests and check values, [`keyring`] all of them and their rotation
//! - [`digest`] the name under which a store knows a token; [`identity`] its `jti`, [`identifier`] that of a signed one
//! - [`sealing`] secrets that a store may hold
//! - [`record`] what is known of a token; [`codec`] its stored form, [`profile`] the part that many share
//! - [`grant`] the family of a refresh token, and what of it is revoked; [`epoch`] revoking many at once
//! - [`decision`] the one rule that says whether a token is active
//! - [`answer`] what introspection says of an active token
//! - [`claims`] registered and extra claims; [`scope`] scope sets; [`time`] seconds, stamps and the clock

pub mod answer;
pub mod claims;
pub mod codec;
pub mod decision;
pub mod digest;
pub mod epoch;
pub mod grant;
pub mod identifier;
pub mod identity;
pub mod key;
pub mod keyring;
mod packed;
pub mod profile;
pub mod record;
pub mod scope;
pub mod sealing;
pub mod time;
pub mod value;

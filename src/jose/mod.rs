//! Signed texts (JOSE): keys, algorithms, and the one compact form that is read and written.
//!
//! Knows nothing of tokens, clients or stores: bytes and keys in, bytes and verdicts out.
//!
//! - [`algorithm`] what is signed and verified with
//! - [`compact`] a signed text as a peer presents it, read strictly
//! - [`key`] public keys, and the thumbprints that name them; [`signing`] private ones
//! - [`key_set`] the public keys that a client has registered
//! - [`error`] why any of them was refused
//!
//! Signatures are made and checked by aws-lc-rs. No JWT library stands between: each brings defaults of its own about
//! what to accept, and the parser here is shorter than the list of them.

pub mod algorithm;
pub mod compact;
pub mod error;
pub mod key;
pub mod key_set;
pub mod signing;

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
//! Every signature is made and checked by aws-lc-rs; checked by way of the crate `jsonwebtoken`, made directly, because
//! that crate reads the private key anew for each signature. What a text may look like is decided here alone and by no
//! library's defaults: the parser is shorter than the list of them.

pub mod algorithm;
pub mod compact;
pub mod error;
pub mod key;
pub mod key_set;
pub mod signing;

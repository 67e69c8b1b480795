//! Signed texts (JOSE): keys, algorithms, and the one compact form that is read and written.
//!
//! Knows nothing of tokens, clients or stores: bytes and keys in, bytes and verdicts out.

pub mod algorithm;

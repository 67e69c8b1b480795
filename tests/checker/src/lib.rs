//! Says whether a cluster of introspection nodes kept its promise, from what it was asked and what it answered.
//!
//! Nothing is assumed of how the nodes work. Every request is known by the moment at which it was begun and the one at
//! which it was answered; what it does takes effect somewhere between the two. One that was refused with 503 or not
//! answered may take effect at any time later, or never. An answer is held to be right when there is any order of
//! effects in which it is; so whatever is called broken is broken.
//!
//! | | what must hold |
//! |---|---|
//! | I1 | no `active` to a request that began after a revocation was answered (with `written`: and a lease had run) |
//! | I2 | the same after a failover; where the mode allows losses they are counted |
//! | I3 | no `active` for a token that is not issued yet, or at or after its expiry |
//! | I4 | a bulk revocation covers every token issued before it began, and none issued after it was answered |
//! | I5 | no `inactive` for what nothing can have ended; 503 only around faults; no `active` nobody can vouch for |
//! | I6 | a node that has said `inactive` does not say `active` again, unless an approval can have come between |
//! | I7 | 503 only for tokens that have keys on a shard with a fault |
//!
//! An approval changes all of this: after it has begun the token may be active, and after it was answered it must be,
//! unless something else ends it.
//!
//! What is not checked: a token that was approved by itself while its grant stays revoked. Histories must not do that.
//!
//! - [`history`] what happened, as a text and in memory
//! - [`facts`] the same, arranged for questions
//! - [`mod@judge`] the invariants; [`verdict`] what is found

pub mod facts;
pub mod history;
pub mod judge;
pub mod verdict;

pub use history::History;
pub use judge::judge;
pub use verdict::Verdict;

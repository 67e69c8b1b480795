//! The atomics of what is checked under every interleaving: where that is done, others stand in this place.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

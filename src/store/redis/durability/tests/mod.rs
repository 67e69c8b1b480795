//! What the rooms of this folder do together, over a real Redis.

mod failover;
mod rosters;
pub(in crate::store::redis) mod server;
mod states;
mod waits;

use proptest::prelude::*;

use crate::token::digest::TokenDigest;
use crate::token::grant::{Cover, GrantMark};
use crate::token::record::Reason;
use crate::token::time::Stamp;

/// Any reason, those that matter more often than others.
pub(super) fn any_reason() -> impl Strategy<Value = Reason> {
    prop_oneof![Just(1), Just(1), 2..6_u8].prop_map(|byte| Reason::from_byte(byte).expect("not 0"))
}

/// Any mark that can be stored; tokens are few, so that two marks have some in common.
pub(super) fn any_mark() -> impl Strategy<Value = GrantMark> {
    let until = prop_oneof![Just(u64::MAX), 0..100_u64].prop_map(Stamp);
    let cover = (until, any_reason()).prop_map(|(until, reason)| Cover { until, reason });
    (
        proptest::option::of(cover),
        proptest::option::of(any_reason()),
        proptest::collection::btree_set((0..4_u8).prop_map(|token| TokenDigest([token; 16])), 0..4),
        0..4_u64,
    )
        .prop_map(|(access, refresh, exempt, nonce)| {
            let exempt = if access.is_some() { exempt.into_iter().collect() } else { Vec::new() };
            GrantMark { access, refresh, exempt, nonce }
        })
}

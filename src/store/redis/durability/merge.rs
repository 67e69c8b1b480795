//! What of a grant is revoked when two servers disagree: whatever either of them says is.

use std::collections::BTreeSet;

use crate::token::grant::{Cover, GrantMark};
use crate::token::record::Reason;

/// The mark that revokes what either of two revokes. Whichever is first, and however often it is done, it comes to the
/// same mark.
///
/// A token that was approved alone stays so only if neither mark covers it: an approval that one of them has not heard
/// of is lost rather than a revocation.
pub(in super::super) fn union(one: &GrantMark, other: &GrantMark) -> GrantMark {
    let access = match (one.access, other.access) {
        (Some(one), Some(other)) => {
            Some(Cover { until: one.until.max(other.until), reason: stronger(one.reason, other.reason) })
        }
        (one, other) => one.or(other),
    };
    let refresh = match (one.refresh, other.refresh) {
        (Some(one), Some(other)) => Some(stronger(one, other)),
        (one, other) => one.or(other),
    };
    let approved = |mark: &GrantMark| mark.exempt.iter().copied().collect::<BTreeSet<_>>();
    let exempt = match (one.access, other.access) {
        (Some(_), Some(_)) => &approved(one) & &approved(other),
        (Some(_), None) => approved(one),
        (None, Some(_)) => approved(other),
        (None, None) => BTreeSet::new(),
    };
    GrantMark { access, refresh, exempt: exempt.into_iter().collect(), nonce: one.nonce.max(other.nonce) }
}

/// Of two reasons the final one. Of two of the same kind it makes no difference to anybody which, but all must choose
/// the same: which of them was the first, nobody knows any more.
fn stronger(one: Reason, other: Reason) -> Reason {
    let smaller = if one.to_byte() <= other.to_byte() { one } else { other };
    let greater = if smaller == one { other } else { one };
    smaller.or(greater)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::redis::durability::tests::any_mark;
    use crate::token::digest::TokenDigest;
    use crate::token::time::Stamp;

    proptest! {
        #[test]
        fn the_order_makes_no_difference(one in any_mark(), two in any_mark(), three in any_mark()) {
            prop_assert_eq!(union(&one, &two), union(&two, &one));
            prop_assert_eq!(union(&union(&one, &two), &three), union(&one, &union(&two, &three)));
        }

        #[test]
        fn doing_it_twice_changes_nothing(one in any_mark(), two in any_mark()) {
            let both = union(&one, &two);
            prop_assert_eq!(union(&both, &one), both.clone());
            prop_assert_eq!(union(&both, &both), both);
        }

        #[test]
        fn nothing_that_either_revokes_is_spared(one in any_mark(), two in any_mark(), token in 0..4_u8, stamp: u64) {
            let both = union(&one, &two);
            let token = TokenDigest([token; 16]);
            for mark in [&one, &two] {
                prop_assert!(!mark.covers(token, Stamp(stamp)) || both.covers(token, Stamp(stamp)));
                prop_assert!(mark.refresh.is_none() || both.refresh.is_some());
                let is_final = |reason: Option<Reason>| reason.is_some_and(Reason::is_final);
                prop_assert!(!is_final(mark.refresh) || is_final(both.refresh));
                let reason = |mark: &GrantMark| mark.access.map(|cover| cover.reason);
                prop_assert!(!is_final(reason(mark)) || is_final(reason(&both)));
            }
        }

        #[test]
        fn a_token_that_nobody_approved_alone_is_revoked_if_either_revokes_it(one in any_mark(), two in any_mark(), token: [u8; 16], stamp: u64) {
            let both = union(&one, &two);
            let token = TokenDigest(token);
            let covered = one.covers(token, Stamp(stamp)) || two.covers(token, Stamp(stamp));
            prop_assert_eq!(both.covers(token, Stamp(stamp)), covered);
        }
    }
}

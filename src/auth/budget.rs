//! How many tokens that turn out not to be active somebody may show: the defence against token scanning (RFC 7662
//! section 4).
//!
//! The budget is spent on answers that a guess would get, and when it is gone those alone become 429, all alike. A
//! resource server that is being flooded with garbage therefore still learns of every live token that it is active.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::token::time::Now;

/// One budget for each caller, or for each source of Bearer tokens.
///
/// What is kept of a caller is the moment at which its budget will be whole again, in microseconds: each question moves
/// it on, and one that would move it further than a whole budget from now is refused.
#[derive(Debug)]
pub struct Budget<Key> {
    whole_at: Cache<Key, Arc<AtomicU64>>,
    /// What one question costs, in microseconds; 0 for no limit.
    cost: u64,
}

/// The budget of so many seconds may be spent at once.
const BURST_SECONDS: u64 = 10;
const CALLERS: usize = 10_000;
const SECOND: u64 = 1_000_000;

impl<Key: Clone + Eq + Hash> Budget<Key> {
    /// A budget of so many unknown tokens a second for each caller, ten times that at once; 0 for no limit.
    pub fn new(per_second: u32) -> Self {
        Self { whole_at: Cache::new(CALLERS), cost: SECOND.checked_div(per_second.into()).unwrap_or(0) }
    }

    /// Takes one from the caller's budget.
    ///
    /// # Errors
    /// When it is spent: the whole seconds to wait.
    pub fn spend(&self, caller: &Key, now: Now) -> Result<(), u64> {
        if self.cost == 0 {
            return Ok(());
        }
        let now = now.stamp().0;
        let whole_at = match self.whole_at.get(caller) {
            Some(whole_at) => whole_at,
            None => self
                .whole_at
                .get_or_insert_with(caller, || Ok::<_, std::convert::Infallible>(Arc::default()))
                .unwrap_or_default(),
        };
        let moved = |whole_at: u64| {
            let next = whole_at.max(now) + self.cost;
            (next - now <= BURST_SECONDS * SECOND).then_some(next)
        };
        whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved).map(|_| ()).map_err(|_| 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::ClientId;

    #[test]
    fn a_spent_budget_refills_with_time_and_is_each_callers_own() {
        let budget = Budget::new(5);
        let (one, other) = (ClientId::parse("one").unwrap(), ClientId::parse("other").unwrap());
        let at = |milliseconds: u64| Now::from_unix(Duration::from_millis(1_000_000 + milliseconds));
        let accepted = (0..60).filter(|_| budget.spend(&one, at(0)).is_ok()).count();
        assert_eq!(accepted, 50);
        assert_eq!(budget.spend(&one, at(0)), Err(1));
        assert_eq!(budget.spend(&other, at(0)), Ok(()));
        assert_eq!(budget.spend(&one, at(1_000)), Ok(()));
        let unlimited = Budget::new(0);
        assert!((0..1_000).all(|_| unlimited.spend(&one, at(0)).is_ok()));
    }
}

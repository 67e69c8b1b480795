//! How often somebody may do something: so many at once, which come back with time.
//!
//! The budget for tokens that turn out not to be active is the defence against token scanning (RFC 7662 section 4). It
//! is spent on answers that a guess would get, and when it is gone those alone become 429, all alike. A resource server
//! that is being flooded with garbage therefore still learns of every live token that it is active.
//!
//! The budget for registrations is each source's, and spent on every one that is looked at.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::failures::whole_seconds;
use crate::token::time::Now;

/// One budget for each caller, or for each source.
///
/// What is kept of a caller is the moment at which its budget will be whole again, in microseconds: each question moves
/// it on, and one that would move it further than a whole budget from now is refused.
#[derive(Debug)]
pub struct Budget<Key> {
    whole_at: Cache<Key, Arc<AtomicU64>>,
    /// What one question costs, in microseconds; 0 for no limit.
    cost: u64,
    /// What may be spent at once, in microseconds.
    whole: u64,
}

/// The budget of so many seconds may be spent at once.
const BURST_SECONDS: u64 = 10;
const CALLERS: usize = 10_000;
const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600 * SECOND;

impl<Key: Clone + Eq + Hash> Budget<Key> {
    /// A budget of so many unknown tokens a second for each caller, ten times that at once; 0 for no limit.
    pub fn new(per_second: u32) -> Self {
        Self::of(SECOND, per_second, BURST_SECONDS * SECOND)
    }

    /// A budget of so many an hour for each, all of which may be spent at once; 0 for no limit.
    pub fn per_hour(times: u32) -> Self {
        Self::of(HOUR, times, HOUR)
    }

    fn of(period: u64, times: u32, whole: u64) -> Self {
        Self { whole_at: Cache::new(CALLERS), cost: period.checked_div(times.into()).unwrap_or(0), whole }
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
            (next - now <= self.whole).then_some(next)
        };
        let spent = whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
        spent.map(|_| ()).map_err(|whole_at| {
            let missing = Duration::from_micros((whole_at.max(now) + self.cost).saturating_sub(now + self.whole));
            whole_seconds(missing).unwrap_or(1)
        })
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_budget_by_the_hour_may_be_spent_at_once_and_says_when_there_is_some_again() {
        let budget = Budget::per_hour(6);
        let at = |seconds: u64| Now::from_unix(Duration::from_secs(1_000_000 + seconds));
        assert_eq!((0..60).filter(|_| budget.spend(&"one", at(0)).is_ok()).count(), 6);
        assert_eq!(budget.spend(&"one", at(0)), Err(600));
        assert_eq!(budget.spend(&"one", at(599)), Err(1));
        assert_eq!(budget.spend(&"other", at(599)), Ok(()));
        assert_eq!(budget.spend(&"one", at(600)), Ok(()));
        assert_eq!(budget.spend(&"one", at(600)), Err(600));
        let unlimited = Budget::per_hour(0);
        assert!((0..1_000).all(|_| unlimited.spend(&"one", at(0)).is_ok()));
    }
}

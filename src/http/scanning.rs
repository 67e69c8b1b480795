//! How many unknown tokens a caller may ask about: the defence against token scanning (RFC 7662 section 4).
//!
//! The budget is spent only on texts that are no token at all or unknown, and only those are refused when it is gone. A
//! resource server that is being flooded with garbage therefore still learns of every live token that it is active, and of
//! every revoked one that it is not.

use quick_cache::sync::Cache;

use crate::client::ClientId;
use crate::token::time::Now;

/// One bucket of tokens for each caller.
#[derive(Debug)]
pub struct ScanningBudget {
    buckets: Cache<ClientId, Bucket>,
    per_second: u32,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    filled: u64,
}

/// The bucket holds the budget of so many seconds.
const BURST_SECONDS: u32 = 10;
const CALLERS: usize = 10_000;

impl ScanningBudget {
    /// A budget of so many unknown tokens a second for each caller, ten times that at once; 0 for no limit.
    pub fn new(per_second: u32) -> Self {
        Self { buckets: Cache::new(CALLERS), per_second }
    }

    /// Takes one from the caller's budget.
    ///
    /// # Errors
    /// When it is spent: the whole seconds to wait.
    pub fn spend(&self, caller: &ClientId, now: Now) -> Result<(), u64> {
        if self.per_second == 0 {
            return Ok(());
        }
        let (rate, most) = (f64::from(self.per_second), f64::from(self.per_second.saturating_mul(BURST_SECONDS)));
        let now = now.stamp().0;
        let mut bucket = self.buckets.get(caller).unwrap_or(Bucket { left: most, filled: now });
        #[expect(clippy::cast_precision_loss, reason = "microseconds between two requests are far below 2^52")]
        let passed = now.saturating_sub(bucket.filled) as f64 / 1e6;
        bucket = Bucket { left: (bucket.left + passed * rate).min(most), filled: now };
        let enough = bucket.left >= 1.0;
        if enough {
            bucket.left -= 1.0;
        }
        self.buckets.insert(caller.clone(), bucket);
        if enough { Ok(()) } else { Err(1) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_spent_budget_refills_with_time_and_is_each_callers_own() {
        let budget = ScanningBudget::new(5);
        let (one, other) = (ClientId::parse("one").unwrap(), ClientId::parse("other").unwrap());
        let at = |milliseconds: u64| Now::from_unix(Duration::from_millis(1_000_000 + milliseconds));
        let accepted = (0..60).filter(|_| budget.spend(&one, at(0)).is_ok()).count();
        assert_eq!(accepted, 50);
        assert_eq!(budget.spend(&one, at(0)), Err(1));
        assert_eq!(budget.spend(&other, at(0)), Ok(()));
        assert_eq!(budget.spend(&one, at(1_000)), Ok(()));
        let unlimited = ScanningBudget::new(0);
        assert!((0..1_000).all(|_| unlimited.spend(&one, at(0)).is_ok()));
    }
}

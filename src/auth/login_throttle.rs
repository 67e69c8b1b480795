//! Who has guessed at passwords too often and must wait: per account and source, per source, per account, and overall.
//!
//! Accounts are counted by the name that was typed, whether or not anybody has it: an answer to a throttled login says
//! nothing about who exists. The counters are a node's own and bounded in number. Four of them watch each attempt:
//!
//! - **account and source**: one peer guessing at one account.
//! - **source**: one peer guessing at many accounts. Time forgets these failures, since a success proves nothing about
//!   the neighbours behind the same address.
//! - **account**: many peers guessing at one account.
//! - **overall**: many peers guessing once at each of many accounts. While failures come faster than the limit allows,
//!   logins are let in at the rate of the limit.
//!
//! The last three do not hold up a user at a source from which the account has been logged in to before. So nobody can
//! lock users out where they are known, neither by failing in their name from elsewhere nor by failing in other names.
//! The counters of an account are reset by a login to it and by nothing else; waits end by themselves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::failures::{COUNTERS, Counters, FORGOTTEN_AFTER, NameKey, Rule, elapsed, name_key, pair_key, whole_seconds};
use super::throttle::{Limit, Source, Wait};
use crate::token::time::Now;

/// From how many failures on logins have to wait. A limit of 0 never makes anybody wait, but for the ceiling of
/// [`LoginThrottle::CEILING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// For one account from one source.
    pub per_account_and_source: u32,
    /// From one source, for any account.
    pub per_source: u32,
    /// For one account, from any source.
    pub per_account: u32,
    /// For all accounts from all sources, within a minute.
    pub overall_per_minute: u32,
    /// The longest wait.
    pub max_wait: Duration,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            per_account_and_source: 5,
            per_source: 50,
            per_account: 50,
            overall_per_minute: 600,
            max_wait: Duration::from_mins(15),
        }
    }
}

/// Counts failed logins and says who must wait.
#[derive(Debug)]
pub struct LoginThrottle {
    pairs: Counters<NameKey>,
    sources: Counters<Source>,
    accounts: Counters<NameKey>,
    /// Accounts at sources from which they have been logged in to.
    known: Cache<NameKey, ()>,
    /// Held while counters change, so that failures at the same moment all count.
    overall: Mutex<Overall>,
}

impl LoginThrottle {
    /// After so many failures in a row for an account, each further one costs the longest wait, whatever the limits say
    /// (NIST SP 800-63B-4 section 3.2.2: no more than 100).
    pub const CEILING: u32 = 100;

    /// Counters with these limits.
    pub fn new(limits: LoginLimits) -> Self {
        let LoginLimits { per_account_and_source, per_source, per_account, overall_per_minute, max_wait } = limits;
        let of_an_account = |limit| Rule { limit, ceiling: Some(Self::CEILING), max_wait, forgotten_after: None };
        let of_a_source = Rule { limit: per_source, ceiling: None, max_wait, forgotten_after: Some(FORGOTTEN_AFTER) };
        Self {
            pairs: Counters::new(of_an_account(per_account_and_source)),
            sources: Counters::new(of_a_source),
            accounts: Counters::new(of_an_account(per_account)),
            known: Cache::new(COUNTERS),
            overall: Mutex::new(Overall::new(overall_per_minute)),
        }
    }

    /// Whether a login to `account` may be looked at now. Ask before the password is compared, and once more when its
    /// turn on the hashing pool has come: others may have failed meanwhile.
    ///
    /// `account` is the name that was typed, in its one form ([`crate::user::name::LoginName::throttle_key`]).
    ///
    /// # Errors
    /// [`Wait`], the longest there is, when it may not: then the password must not be compared, and a right one is
    /// refused like a wrong one.
    pub fn check(&self, account: &str, source: Source, now: Now) -> Result<(), Wait> {
        let now = elapsed(now);
        let pair = pair_key(account, source);
        let mut waits = [
            (Limit::Account, self.pairs.wait(&pair, now)),
            (Limit::Source, None),
            (Limit::Account, None),
            (Limit::Overall, None),
        ];
        if self.known.get(&pair).is_none() {
            waits[1].1 = self.sources.wait(&source, now);
            waits[2].1 = self.accounts.wait(&name_key(account), now);
            waits[3].1 = self.overall.lock().unwrap_or_else(PoisonError::into_inner).wait(now);
        }
        let longest = waits
            .into_iter()
            .filter_map(|(limit, seconds)| Some(Wait { seconds: seconds?, limit }))
            .max_by_key(|wait| wait.seconds);
        longest.map_or(Ok(()), Err)
    }

    /// Counts a failed login, also one to an account that does not exist or may not be used. One that was refused by
    /// [`LoginThrottle::check`] is not counted.
    pub fn failed(&self, account: &str, source: Source, now: Now) {
        let now = elapsed(now);
        let mut overall = self.overall.lock().unwrap_or_else(PoisonError::into_inner);
        overall.add(now);
        self.pairs.add(pair_key(account, source), now);
        self.sources.add(source, now);
        self.accounts.add(name_key(account), now);
    }

    /// Forgets the failures of an account, and remembers that it was logged in to from this source.
    pub fn succeeded(&self, account: &str, source: Source) {
        let pair = pair_key(account, source);
        // Or a failure that is being counted would bring back what is forgotten here.
        let _counting = self.overall.lock().unwrap_or_else(PoisonError::into_inner);
        self.known.insert(pair, ());
        self.pairs.forget(&pair);
        self.accounts.forget(&name_key(account));
    }
}

/// Failures of all accounts, as a level that each raises and time lowers by the limit each minute.
#[derive(Debug)]
struct Overall {
    /// What one failure raises the level by; zero for no limit.
    cost: Duration,
    /// When the level is down to nothing again.
    calm_at: Duration,
}

/// The level that the limit of a minute's failures makes.
const MINUTE: Duration = Duration::from_mins(1);

impl Overall {
    fn new(per_minute: u32) -> Self {
        Self { cost: MINUTE.checked_div(per_minute).unwrap_or_default(), calm_at: Duration::ZERO }
    }

    fn add(&mut self, now: Duration) {
        if self.cost > Duration::ZERO {
            // However many come at once, it takes no more than a minute until logins are let in again.
            self.calm_at = self.calm_at.max(now).saturating_add(self.cost).min(now.saturating_add(2 * MINUTE));
        }
    }

    fn wait(&self, now: Duration) -> Option<u64> {
        whole_seconds(self.calm_at.checked_sub(now)?.checked_sub(MINUTE)?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const LIMITS: LoginLimits = LoginLimits {
        per_account_and_source: 3,
        per_source: 7,
        per_account: 20,
        overall_per_minute: 0,
        max_wait: Duration::from_mins(15),
    };

    fn throttle() -> LoginThrottle {
        LoginThrottle::new(LIMITS)
    }

    fn at(seconds: u64) -> Now {
        Now::from_unix(Duration::from_secs(1_000_000 + seconds))
    }

    fn source(number: u16) -> Source {
        let [high, low] = number.to_be_bytes();
        Source::of(Some(IpAddr::from([10, 0, high, low])))
    }

    fn wait(throttle: &LoginThrottle, account: &str, from: Source, now: u64) -> Option<(u64, Limit)> {
        throttle.check(account, from, at(now)).err().map(|wait| (wait.seconds, wait.limit))
    }

    #[test]
    fn asvs_6_3_1_waits_start_at_a_second_and_double_up_to_a_quarter_of_an_hour() {
        let throttle = throttle();
        for _ in 0..2 {
            throttle.failed("a", source(1), at(0));
        }
        assert_eq!(wait(&throttle, "a", source(1), 0), None);
        let mut now = 0;
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            // From another source each, so that only the pair counts up to its end.
            throttle.pairs.add(pair_key("a", source(1)), elapsed(at(now)));
            assert_eq!(wait(&throttle, "a", source(1), now), Some((expected, Limit::Account)));
            assert!(wait(&throttle, "a", source(1), now + expected - 1).is_some());
            assert_eq!(wait(&throttle, "a", source(1), now + expected), None);
            now += expected;
        }
    }

    #[test]
    fn asvs_6_3_1_only_success_resets_the_counters_of_an_account() {
        let throttle = throttle();
        for _ in 0..2 {
            throttle.failed("a", source(1), at(0));
        }
        let a_month = 30 * 24 * 3600;
        throttle.failed("a", source(1), at(a_month));
        assert_eq!(wait(&throttle, "a", source(1), a_month), Some((1, Limit::Account)));
        throttle.succeeded("a", source(1));
        assert_eq!(wait(&throttle, "a", source(1), a_month), None);
        for _ in 0..2 {
            throttle.failed("a", source(1), at(a_month));
        }
        assert_eq!(wait(&throttle, "a", source(1), a_month), None);
        for number in 10..30 {
            throttle.failed("b", source(number), at(0));
        }
        assert_eq!(wait(&throttle, "b", source(99), 0), Some((1, Limit::Account)));
        throttle.failed("b", source(31), at(a_month));
        assert_eq!(wait(&throttle, "b", source(99), a_month), Some((2, Limit::Account)));
        throttle.succeeded("b", source(1));
        assert_eq!(wait(&throttle, "b", source(99), a_month), None);
    }

    #[test]
    fn time_forgets_the_failures_of_a_source() {
        let throttle = throttle();
        for account in ["a", "b", "c", "d", "e", "f", "g"] {
            throttle.failed(account, source(1), at(0));
        }
        assert_eq!(wait(&throttle, "h", source(1), 0), Some((1, Limit::Source)));
        assert_eq!(wait(&throttle, "h", source(2), 0), None);
        throttle.failed("h", source(1), at(901));
        assert_eq!(wait(&throttle, "i", source(1), 901), None);
    }

    #[test]
    fn nobody_can_lock_a_user_out_where_the_user_is_known() {
        let throttle = LoginThrottle::new(LoginLimits { overall_per_minute: 10, ..LIMITS });
        throttle.succeeded("a", source(1));
        for number in 0..300 {
            throttle.failed("a", source(1_000 + number), at(0));
            throttle.failed("other", source(1), at(0));
        }
        assert_eq!(wait(&throttle, "a", source(1), 0), None);
        assert_eq!(wait(&throttle, "a", source(2), 0), Some((900, Limit::Account)));
        assert_eq!(wait(&throttle, "new", source(1), 0), Some((900, Limit::Source)));
        assert_eq!(wait(&throttle, "new", source(2), 0), Some((60, Limit::Overall)));
        // Guesses at the account from there make it wait all the same.
        for _ in 0..3 {
            throttle.failed("a", source(1), at(0));
        }
        assert_eq!(wait(&throttle, "a", source(1), 0), Some((1, Limit::Account)));
    }

    #[test]
    fn nist_no_more_than_a_hundred_failures_before_each_further_one_costs_the_longest_wait() {
        for limit in [0, 99, 5_000] {
            let limits = LoginLimits { per_account_and_source: limit, per_account: limit, per_source: 0, ..LIMITS };
            let (many, one) = (LoginThrottle::new(limits), LoginThrottle::new(limits));
            for number in 0..LoginThrottle::CEILING {
                assert!(wait(&many, "a", source(9_999), u64::from(number) * 10).is_none());
                many.failed("a", source(u16::try_from(number).unwrap()), at(u64::from(number) * 10));
                one.failed("a", source(1), at(u64::from(number) * 10));
            }
            assert_eq!(wait(&many, "a", source(9_999), 990), Some((900, Limit::Account)));
            one.succeeded("b", source(1));
            assert_eq!(wait(&one, "a", source(1), 990), Some((900, Limit::Account)));
        }
    }

    #[test]
    fn owasp_one_guess_at_each_of_many_accounts_from_many_sources_is_slowed() {
        let throttle = LoginThrottle::new(LoginLimits { overall_per_minute: 60, ..LIMITS });
        throttle.succeeded("known", source(1));
        for number in 0..60 {
            assert_eq!(wait(&throttle, "next", source(5_000), 0), None);
            throttle.failed(&format!("user {number}"), source(number), at(0));
        }
        throttle.failed("one too many", source(60), at(0));
        assert_eq!(wait(&throttle, "next", source(5_000), 0), Some((1, Limit::Overall)));
        assert_eq!(wait(&throttle, "known", source(1), 0), None);
        assert_eq!(wait(&throttle, "next", source(5_000), 1), None);
        for number in 0..10_000 {
            throttle.failed(&format!("user {number}"), source(number), at(1));
        }
        assert_eq!(wait(&throttle, "next", source(50_000), 1), Some((60, Limit::Overall)));
        assert_eq!(wait(&throttle, "next", source(50_000), 61), None);
    }

    #[test]
    fn owasp_accounts_that_do_not_exist_are_throttled_alike() {
        use crate::user::name::LoginName;
        let throttle = throttle();
        let impossible = "\u{0}".repeat(10_000);
        for typed in ["alice", "nobody", "nobody@example.org", impossible.as_str()] {
            let account = LoginName::throttle_key(typed);
            for _ in 0..4 {
                throttle.failed(&account, source(1), at(0));
            }
            assert_eq!(throttle.pairs.wait(&pair_key(&account, source(1)), elapsed(at(0))), Some(2), "{typed}");
        }
    }

    #[test]
    fn waits_are_told_in_whole_seconds() {
        let throttle = throttle();
        for _ in 0..3 {
            throttle.failed("a", source(1), at(0));
        }
        let shortly_before = Now::from_unix(Duration::from_millis(1_000_000_999));
        assert_eq!(throttle.check("a", source(1), shortly_before), Err(Wait { seconds: 1, limit: Limit::Account }));
        assert_eq!(throttle.check("a", source(1), at(1)), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_makes_nobody_wait_longer_than_before() {
        let throttle = LoginThrottle::new(LoginLimits { overall_per_minute: 1, ..LIMITS });
        throttle.failed("a", source(1), at(1_000));
        throttle.failed("a", source(1), at(0));
        assert!(wait(&throttle, "b", source(2), 0).is_some_and(|(seconds, _)| seconds <= 60));
    }

    #[test]
    fn counters_are_bounded_in_number() {
        let throttle = LoginThrottle::new(LoginLimits { per_source: 1, ..LIMITS });
        for number in 0..(COUNTERS + COUNTERS / 2) {
            throttle.pairs.add(name_key(&number.to_string()), elapsed(at(0)));
        }
        let kept = (0..(COUNTERS + COUNTERS / 2))
            .filter(|number| throttle.pairs.knows(&name_key(&number.to_string())))
            .count();
        assert!(kept <= COUNTERS, "{kept}");
    }
}

//! Counters of failures, bounded in number, that make whoever they stand for wait longer and longer.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::throttle::Source;
use crate::token::time::Now;

/// Failures are forgotten when none has been added for so long, where time forgets them.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
/// How many counters of each kind are kept: enough for a large fleet, little enough to be filled by anybody.
pub(super) const COUNTERS: usize = 65_536;

/// From when on failures make somebody wait, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// From so many on each failure costs a second, doubling with each; 0 for never.
    pub(super) limit: u32,
    /// From so many on each failure costs `max_wait` at once, whatever `limit` says.
    pub(super) ceiling: Option<u32>,
    /// The longest wait.
    pub(super) max_wait: Duration,
    /// After how long without a failure those before are forgotten; `None` for never.
    pub(super) forgotten_after: Option<Duration>,
}

impl Rule {
    fn wait(&self, count: u32) -> Option<Duration> {
        if self.ceiling.is_some_and(|ceiling| count >= ceiling) {
            return Some(self.max_wait);
        }
        let beyond = count.checked_sub(self.limit).filter(|_| self.limit > 0)?;
        let doubled = Duration::from_secs(1).saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
        Some(doubled.min(self.max_wait))
    }

    fn counts(&self) -> bool {
        self.limit > 0 || self.ceiling.is_some()
    }
}

/// Failures counted by what they are laid to, at most [`COUNTERS`].
#[derive(Debug)]
pub(super) struct Counters<Key> {
    failures: Cache<Key, Failures>,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    last: Duration,
    blocked_until: Duration,
}

impl<Key: Clone + Eq + Hash> Counters<Key> {
    pub(super) fn new(rule: Rule) -> Self {
        Self { failures: Cache::new(COUNTERS), rule }
    }

    /// Counts a failure. Two at the same moment may count as one, so callers hold a lock of theirs.
    pub(super) fn add(&self, key: Key, now: Duration) {
        if !self.rule.counts() {
            return;
        }
        let mut failures = self.failures.get(&key).unwrap_or_default();
        let age = now.saturating_sub(failures.last);
        if self.rule.forgotten_after.is_some_and(|forgotten_after| age > forgotten_after) {
            failures = Failures::default();
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if let Some(wait) = self.rule.wait(failures.count) {
            failures.blocked_until = now.saturating_add(wait);
        }
        self.failures.insert(key, failures);
    }

    /// How long to wait from `now` on, in whole seconds; `None` for not at all.
    pub(super) fn wait(&self, key: &Key, now: Duration) -> Option<u64> {
        self.failures.get(key).and_then(|failures| whole_seconds(failures.blocked_until.checked_sub(now)?))
    }

    #[cfg(test)]
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.failures.peek(key).is_some()
    }

    pub(super) fn forget(&self, key: &Key) {
        // Reads are cheaper than writes here, and nearly every request is a success after a success.
        if self.failures.get(key).is_some() {
            self.failures.remove(key);
        }
    }
}

/// Seconds that are at least as long as `remaining`; `None` for none.
pub(super) fn whole_seconds(remaining: Duration) -> Option<u64> {
    (!remaining.is_zero()).then(|| remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0))
}

pub(super) fn elapsed(now: Now) -> Duration {
    Duration::from_micros(now.stamp().0)
}

/// Stands for a name of any length: a peer cannot choose how much memory a counter takes.
pub(super) type NameKey = [u8; 32];

pub(super) fn name_key(name: &str) -> NameKey {
    *blake3::hash(name.as_bytes()).as_bytes()
}

/// Stands for a name at a source.
pub(super) fn pair_key(name: &str, source: Source) -> NameKey {
    let mut hasher = blake3::Hasher::new();
    match source.address() {
        None => hasher.update(&[0]),
        Some(IpAddr::V4(address)) => hasher.update(&[4]).update(&address.octets()),
        Some(IpAddr::V6(address)) => hasher.update(&[6]).update(&address.octets()),
    };
    *hasher.update(name.as_bytes()).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_holds_whatever_the_limit_is() {
        let seconds = |limit, ceiling, count| {
            let rule = Rule { limit, ceiling, max_wait: Duration::from_mins(15), forgotten_after: None };
            rule.wait(count).map(|wait| wait.as_secs())
        };
        assert_eq!(
            [49, 50, 51, 59, 60, 1_000].map(|count| seconds(50, None, count)),
            [None, Some(1), Some(2), Some(512), Some(900), Some(900)]
        );
        assert_eq!([99, 100].map(|count| seconds(0, Some(100), count)), [None, Some(900)]);
        assert_eq!([99, 100].map(|count| seconds(5_000, Some(100), count)), [None, Some(900)]);
        assert_eq!(seconds(0, None, u32::MAX), None);
    }
}

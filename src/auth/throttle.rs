//! Who has failed too often and must wait: per client and source, per source, and per client.
//!
//! The counters are a node's own and bounded in number. Three of them watch each attempt:
//!
//! - **client and source**: one peer guessing at one client. A few failures, then it waits a second, doubling.
//! - **source**: one peer guessing at many clients. Attempts that are refused by the first counter are not counted
//!   here, so one program with a wrong secret does not stop its neighbours behind the same address.
//! - **client**: many peers guessing at one client.
//!
//! The last two do not hold up a client at a source from which it has authenticated before. So nobody can lock it out
//! there, neither by failing in its name from elsewhere nor by failing in other names behind the same address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use quick_cache::sync::Cache;

use super::failures::{COUNTERS, Counters, FORGOTTEN_AFTER, NameKey, Rule, elapsed, name_key, pair_key};
use crate::config::AuthenticationConfig;
use crate::token::time::Now;

/// Counts failures and says who must wait.
#[derive(Debug)]
pub struct Throttle {
    pairs: Counters<NameKey>,
    sources: Counters<Source>,
    clients: Counters<NameKey>,
    known: Cache<NameKey, ()>,
    /// Held while counters are raised, so that failures at the same moment all count. A failure costs a slow hash; this
    /// lock is nothing beside it, and no success takes it.
    counting: Mutex<()>,
    /// How many failures have been counted.
    failures: AtomicU64,
}

/// Where an attempt comes from: an IPv4 address, an IPv6 /64 (what one subscriber gets), or the unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(Option<IpAddr>);

impl Source {
    /// The source that stands for an address; `None` is a unix socket.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        }))
    }

    /// The address, or the first of those that it stands for; `None` for a unix socket.
    pub(super) fn address(self) -> Option<IpAddr> {
        self.0
    }
}

/// Which counter made somebody wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Failures for a client.
    Client,
    /// Failures from a source.
    Source,
    /// Failures for a user's account.
    Account,
    /// Failures for all accounts together.
    Overall,
}

/// Somebody must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Whole seconds, at least one.
    pub seconds: u64,
    /// Which counter says so.
    pub limit: Limit,
}

/// A client's own counter trips this many times later than one source's: it is there for attacks from many sources.
const CLIENT_FACTOR: u32 = 100;

impl Throttle {
    /// Counters with the limits of the configuration; a limit of 0 never makes anybody wait.
    pub fn new(config: &AuthenticationConfig) -> Self {
        let counters =
            |limit| Rule { limit, ceiling: None, max_wait: config.max_wait, forgotten_after: Some(FORGOTTEN_AFTER) };
        Self {
            pairs: Counters::new(counters(config.failures_per_client)),
            sources: Counters::new(counters(config.failures_per_source)),
            clients: Counters::new(counters(config.failures_per_client.saturating_mul(CLIENT_FACTOR))),
            known: Cache::new(COUNTERS),
            counting: Mutex::new(()),
            failures: AtomicU64::new(0),
        }
    }

    /// Whether an attempt may be looked at now.
    ///
    /// # Errors
    /// [`Wait`] when it may not: then the secret must not be compared, and a right one is refused like a wrong one.
    pub fn check(&self, client_id: &str, source: Source, now: Now) -> Result<(), Wait> {
        let now = elapsed(now);
        let pair = pair_key(client_id, source);
        let unless_known = |wait: Option<u64>| wait.filter(|_| self.known.get(&pair).is_none());
        let waits = [
            (Limit::Client, self.pairs.wait(&pair, now)),
            (Limit::Source, unless_known(self.sources.wait(&source, now))),
            (Limit::Client, unless_known(self.clients.wait(&name_key(client_id), now))),
        ];
        let first = waits.into_iter().find_map(|(limit, seconds)| Some(Wait { seconds: seconds?, limit }));
        first.map_or(Ok(()), Err)
    }

    /// Counts a failed attempt.
    pub fn failed(&self, client_id: &str, source: Source, now: Now) {
        let now = elapsed(now);
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        self.pairs.add(pair_key(client_id, source), now);
        self.sources.add(source, now);
        self.clients.add(name_key(client_id), now);
        // After them: whoever sees the number sees the counters.
        self.failures.fetch_add(1, Ordering::Release);
    }

    /// How many failures have been counted. As long as there are no more, nobody has to wait who had not to.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Forgets the failures of a client from a source: it has proved who it is.
    pub fn succeeded(&self, client_id: &str, source: Source) {
        let pair = pair_key(client_id, source);
        // Reads are cheaper than writes here, and nearly every request is a success after a success.
        if self.known.get(&pair).is_none() {
            self.known.insert(pair, ());
        }
        self.pairs.forget(&pair);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(&AuthenticationConfig {
            failures_per_client: 3,
            failures_per_source: 7,
            max_wait: Duration::from_mins(1),
            hashing_threads: 1,
            hashing_queue: 1,
            secret_overlap: Duration::ZERO,
            bearer_may_ask_about_itself: false,
            unknown_tokens_per_second: 0,
            trusted_proxies: vec![],
            certificate_proxies: vec![],
            client_ca_file: None,
        })
    }

    fn at(seconds: u64) -> Now {
        Now::from_unix(Duration::from_secs(1_000_000 + seconds))
    }

    fn source(last: u8) -> Source {
        Source::of(Some(IpAddr::from([10, 0, 0, last])))
    }

    fn wait(throttle: &Throttle, client: &str, from: Source, now: Now) -> Option<u64> {
        throttle.check(client, from, now).err().map(|wait| wait.seconds)
    }

    #[test]
    fn waits_start_at_a_second_and_double_up_to_the_limit() {
        let throttle = throttle();
        for _ in 0..2 {
            throttle.failed("a", source(1), at(0));
        }
        assert_eq!(wait(&throttle, "a", source(1), at(0)), None);
        let mut now = 0;
        for expected in [1, 2, 4, 8] {
            throttle.failed("a", source(1), at(now));
            assert_eq!(wait(&throttle, "a", source(1), at(now)), Some(expected));
            assert_eq!(wait(&throttle, "a", source(1), at(now + expected)), None);
            now += expected;
        }
        for _ in 0..40 {
            throttle.failed("a", source(1), at(now));
        }
        assert_eq!(wait(&throttle, "a", source(1), at(now)), Some(60));
    }

    #[test]
    fn other_clients_and_other_sources_are_not_held_up() {
        let throttle = throttle();
        for _ in 0..3 {
            throttle.failed("a", source(1), at(0));
        }
        assert_eq!(wait(&throttle, "a", source(1), at(0)), Some(1));
        assert_eq!(wait(&throttle, "b", source(1), at(0)), None);
        assert_eq!(wait(&throttle, "a", source(2), at(0)), None);
    }

    #[test]
    fn one_source_guessing_at_many_clients_must_wait() {
        let throttle = throttle();
        for client in ["a", "b", "c", "d", "e", "f", "g"] {
            throttle.failed(client, source(1), at(0));
        }
        assert_eq!(throttle.check("h", source(1), at(0)).unwrap_err().limit, Limit::Source);
        assert_eq!(wait(&throttle, "h", source(2), at(0)), None);
    }

    #[test]
    fn a_client_that_is_known_at_a_source_is_not_held_up_by_its_neighbours() {
        let throttle = throttle();
        throttle.succeeded("mine", source(1));
        for client in ["a", "b", "c", "d", "e", "f", "g"] {
            throttle.failed(client, source(1), at(0));
        }
        assert_eq!(wait(&throttle, "h", source(1), at(0)), Some(1));
        assert_eq!(wait(&throttle, "mine", source(1), at(0)), None);
    }

    #[test]
    fn many_sources_cannot_lock_out_a_client_where_it_is_known() {
        let throttle = throttle();
        throttle.succeeded("a", source(250));
        for number in 0..300_u16 {
            let [high, low] = number.to_be_bytes();
            throttle.failed("a", Source::of(Some(IpAddr::from([10, 1, high, low]))), at(0));
        }
        assert!(wait(&throttle, "a", source(1), at(0)).is_some());
        assert_eq!(wait(&throttle, "a", source(250), at(0)), None);
        assert_eq!(wait(&throttle, "b", source(1), at(0)), None);
    }

    #[test]
    fn success_and_time_forget_failures() {
        let throttle = throttle();
        for _ in 0..2 {
            throttle.failed("a", source(1), at(0));
        }
        throttle.succeeded("a", source(1));
        throttle.failed("a", source(1), at(0));
        assert_eq!(wait(&throttle, "a", source(1), at(0)), None);
        throttle.failed("a", source(1), at(0));
        throttle.failed("a", source(1), at(16 * 60 + 1));
        assert_eq!(wait(&throttle, "a", source(1), at(16 * 60 + 1)), None);
    }

    #[test]
    fn addresses_of_one_subscriber_are_one_source() {
        let parse = |text: &str| Source::of(Some(text.parse().unwrap()));
        assert_eq!(parse("2001:db8:1:2::1"), parse("2001:db8:1:2:ffff::9"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }
}

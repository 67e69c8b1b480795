//! A near cache over a store that the tests make up.
//!
//! - `believing` what is answered again, and what is not: the bugs that near caches of other clients had
//! - `model` any order of reads, writes, word of them, leases and evictions
//! - `sharing` reads that are under way

mod believing;
mod model;
mod sharing;

use std::sync::Arc;
use std::time::Duration;

use super::near::{Kept, Limits, NearCache, Weigh};
use super::observe::{CacheName, Unobserved};
use super::sample::Sample;
use crate::coherence::Coherence;
use crate::coherence::clock::{BootClock, Moment};
use crate::token::digest::TokenDigest;

const MAX_AGE: Duration = Duration::from_secs(30);

/// Enough that no two names of a test meet: they are always the same names.
const STRIPES: usize = 4096;

impl Weigh for u64 {
    fn weight(&self) -> u64 {
        1
    }
}

fn token(number: u8) -> TokenDigest {
    TokenDigest([number; TokenDigest::BYTES])
}

/// A cache of numbers, and what it goes by.
struct Bench {
    coherence: Arc<Coherence>,
    clock: BootClock,
    cache: NearCache<TokenDigest, u64>,
}

impl Bench {
    /// With a lease that never ends.
    fn new() -> Self {
        let bench = Self::without_lease(100);
        bench.coherence.extend(Moment(u64::MAX));
        bench
    }

    fn without_lease(capacity: u64) -> Self {
        let clock = BootClock::manual();
        let coherence = Arc::new(Coherence::of_stripes(STRIPES, clock.clone()));
        let limits = Limits { capacity, usual: 1, max_age: MAX_AGE };
        let cache = NearCache::new(CacheName::Tokens, limits, Arc::clone(&coherence), Arc::new(Unobserved));
        Self { coherence, clock, cache }
    }

    fn keep(&self, key: TokenDigest, sample: Sample, value: u64) {
        self.cache.keep(key, Arc::new(Kept { sample, value }));
    }

    fn get(&self, key: TokenDigest) -> Option<u64> {
        self.cache.get(&key, self.coherence.now()).map(|kept| kept.value)
    }
}

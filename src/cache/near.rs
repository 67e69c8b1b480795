//! The map: bounded by the weight of what it holds, shared by all threads.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use super::observe::{CacheName, CacheObserver, CacheResult};
use super::sample::Sample;
use crate::coherence::Coherence;
use crate::coherence::clock::Moment;

/// Something that a near cache can hold.
pub trait Weigh {
    /// What it takes, in the unit of the cache's capacity: bytes on the heap and in place, or 1 for whatever is merely
    /// counted.
    fn weight(&self) -> u64;
}

/// What was read, and how far that can be believed.
#[derive(Debug)]
pub struct Kept<V> {
    /// What was known of its names before it was read.
    pub sample: Sample,
    /// What was read.
    pub value: V,
}

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The sum of all weights.
    pub capacity: u64,
    /// The weight of a usual value, from which the number of values is estimated.
    pub usual: u64,
    /// For how long something is answered again at most, whatever was heard.
    pub max_age: Duration,
}

/// What was read lately, to be answered again while it is certain that it is still so.
///
/// What is kept is never looked at to find out what has changed: [`Coherence`] knows. So a change of anything at all is
/// one addition, and a flush of everything is one too. What no longer holds is replaced when it is asked for, or pushed
/// out by what is used more.
pub struct NearCache<K, V> {
    name: CacheName,
    map: Map<K, V>,
    coherence: Arc<Coherence>,
    max_age: Duration,
    observer: Arc<dyn CacheObserver>,
}

type Map<K, V> = Cache<K, Arc<Kept<V>>, Weights, DefaultHashBuilder, Evictions>;

impl<K: Eq + Hash, V: Weigh> NearCache<K, V> {
    /// Nothing kept.
    pub fn new(name: CacheName, limits: Limits, coherence: Arc<Coherence>, observer: Arc<dyn CacheObserver>) -> Self {
        let Limits { capacity, usual, max_age } = limits;
        let values = usize::try_from(capacity / usual.max(1)).unwrap_or(usize::MAX);
        let evictions = Evictions { name, observer: Arc::clone(&observer) };
        let map = Cache::with(values, capacity, Weights, DefaultHashBuilder::default(), evictions);
        Self { name, map, coherence, max_age, observer }
    }

    /// What is kept of `key`, if that is still so at `at`: a moment read by [`Coherence::now`] after the question was
    /// asked.
    pub fn get(&self, key: &K, at: Moment) -> Option<Arc<Kept<V>>> {
        let kept = self.map.get(key);
        let result = kept.as_ref().map_or(CacheResult::Miss, |kept| self.judge(kept, at));
        self.observer.asked(self.name, result);
        kept.filter(|_| result == CacheResult::Hit)
    }

    /// Whether what was got before is still so at `at`. It counts as another question.
    pub fn again(&self, kept: &Kept<V>, at: Moment) -> bool {
        let result = self.judge(kept, at);
        self.observer.asked(self.name, result);
        result == CacheResult::Hit
    }

    /// What is kept of `key` and was read not too long ago, whether or not it can still be believed.
    pub fn recall(&self, key: &K, at: Moment) -> Option<Arc<Kept<V>>> {
        self.map.get(key).filter(|kept| kept.sample.age(at) <= self.max_age)
    }

    /// Whether this is still so at `at`.
    pub fn holds(&self, kept: &Kept<V>, at: Moment) -> bool {
        self.judge(kept, at) == CacheResult::Hit
    }

    fn judge(&self, kept: &Kept<V>, at: Moment) -> CacheResult {
        if kept.sample.age(at) > self.max_age {
            CacheResult::Aged
        } else if kept.sample.holds(&self.coherence, at) {
            CacheResult::Hit
        } else if self.coherence.has_lease(at) {
            CacheResult::Stale
        } else {
            CacheResult::NoLease
        }
    }

    /// Keeps what was read after its sample was taken, if it is still so.
    pub fn keep(&self, key: K, kept: Arc<Kept<V>>) {
        // It would be found out at the next question too. This keeps out what nobody can be given any more.
        if self.holds(&kept, self.coherence.now()) {
            self.map.insert(key, kept);
        }
    }

    /// Puts `after` in the place of `before`, from the same read; nothing happens when something else is kept by now.
    pub fn replace(&self, key: K, before: &Arc<Kept<V>>, after: V) {
        let unchanged = self.map.peek(&key).is_some_and(|kept| Arc::ptr_eq(&kept, before));
        if unchanged {
            // Whatever is put in between the two lines is lost, which costs one read.
            self.map.insert(key, Arc::new(Kept { sample: before.sample, value: after }));
        }
    }

    /// Forgets what is kept of `key`.
    pub fn forget(&self, key: &K) {
        self.map.remove(key);
    }

    /// How many values are kept, those included that no longer hold.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// What they weigh.
    pub fn weight(&self) -> u64 {
        self.map.weight()
    }
}

impl<K: Eq + Hash, V: Weigh> fmt::Debug for NearCache<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NearCache")
            .field("name", &self.name)
            .field("kept", &self.len())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
struct Weights;

impl<K, V: Weigh> Weighter<K, Arc<Kept<V>>> for Weights {
    fn weight(&self, _: &K, kept: &Arc<Kept<V>>) -> u64 {
        // What weighs nothing is never pushed out.
        kept.value.weight().max(1)
    }
}

/// Counts what is pushed out.
#[derive(Clone)]
struct Evictions {
    name: CacheName,
    observer: Arc<dyn CacheObserver>,
}

impl<K, V> Lifecycle<K, Arc<Kept<V>>> for Evictions {
    /// What is pushed out is let go of when the shard's lock has been.
    type RequestState = <DefaultLifecycle<K, Arc<Kept<V>>> as Lifecycle<K, Arc<Kept<V>>>>::RequestState;

    fn on_evict(&self, state: &mut Self::RequestState, key: K, kept: Arc<Kept<V>>) {
        self.observer.evicted(self.name);
        DefaultLifecycle::default().on_evict(state, key, kept);
    }
}

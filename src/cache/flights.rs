//! One read for all who ask for the same at the same time.
//!
//! A read that is under way may have begun before a change that was acknowledged before somebody else asked. Whoever
//! joins it may therefore use what it brings only if that is still so; otherwise the joiner waits for a read that began
//! after it had asked. Of all who wait, one reads, so that nobody waits for more than two reads.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::watch;

/// Locks: enough that two cores seldom want the same one.
const SHARDS: usize = 32;

/// The reads that are under way.
pub struct Flights<K, T> {
    shards: Box<[Mutex<Board<K, T>>]>,
    hasher: RandomState,
}

/// Those of one shard.
type Board<K, T> = HashMap<K, Joined<T>>;

type Joined<T> = watch::Receiver<Option<T>>;

/// How an outcome came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Read for this question.
    Led,
    /// Read for another.
    Joined,
}

/// What a question finds.
enum Role<'a, K: Eq + Hash, T> {
    Lead(Flight<'a, K, T>),
    Join(Joined<T>),
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    /// Nothing under way.
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Reads what `key` stands for, or waits for a read of it that is under way.
    ///
    /// `is_current` says of the outcome of a read that began before this question whether it may answer it all the
    /// same. A read whose future is dropped leaves nothing behind: one of those who wait for it reads instead.
    pub async fn share<R: Future<Output = T>>(
        &self,
        key: &K,
        is_current: impl Fn(&T) -> bool,
        read: impl FnOnce() -> R,
    ) -> (T, Way) {
        // Whatever is under way now may have begun before the question. What is found after it has ended has not: it is
        // taken out before it is known to have ended.
        let mut may_be_early = true;
        loop {
            match self.board(key) {
                Role::Lead(flight) => {
                    let outcome = read().await;
                    flight.land(outcome.clone());
                    return (outcome, Way::Led);
                }
                Role::Join(mut flight) => {
                    if let Ok(outcome) = flight.wait_for(Option::is_some).await
                        && let Some(outcome) = outcome.as_ref()
                        && (!may_be_early || is_current(outcome))
                    {
                        return (outcome.clone(), Way::Joined);
                    }
                    may_be_early = false;
                }
            }
        }
    }

    /// How many reads are under way.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn board(&self, key: &K) -> Role<'_, K, T> {
        let mut flights = self.shard(key);
        if let Some(flight) = flights.get(key) {
            return Role::Join(flight.clone());
        }
        let (outcome, joined) = watch::channel(None);
        flights.insert(key.clone(), joined);
        drop(flights);
        Role::Lead(Flight { flights: self, key: key.clone(), outcome, landed: None })
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    fn shard(&self, key: &K) -> MutexGuard<'_, Board<K, T>> {
        let place = usize::try_from(self.hasher.hash_one(key)).unwrap_or_default() % SHARDS;
        lock(&self.shards[place])
    }
}

/// A thread that panics while it holds a lock leaves a map that is still whole.
fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash + Clone, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// A read under way. However it ends, it is taken out first, and those who wait learn of it after that: so nobody who
/// has waited for it finds it again, and nobody who comes later waits for one that has ended.
struct Flight<'a, K: Eq + Hash, T> {
    flights: &'a Flights<K, T>,
    key: K,
    outcome: watch::Sender<Option<T>>,
    landed: Option<T>,
}

impl<K: Eq + Hash, T> Flight<'_, K, T> {
    fn land(mut self, outcome: T) {
        self.landed = Some(outcome);
    }
}

impl<K: Eq + Hash, T> Drop for Flight<'_, K, T> {
    fn drop(&mut self) {
        self.flights.shard(&self.key).remove(&self.key);
        if let Some(outcome) = self.landed.take() {
            self.outcome.send_replace(Some(outcome));
        }
    }
}

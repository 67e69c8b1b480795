//! Which map the near cache is made of: the same look-ups and fills over three of them.
//!
//! - `quick` `quick_cache`: shards, each with a lock and a policy of what gives way; what the service uses
//! - `papaya` a table without locks, and without a policy: it would have to be bounded by something else
//! - `shards` the standard table in shards, each with a lock, and without a policy
//!
//! The two without a policy are given more than they can do: they never let go of anything.

mod support;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use criterion::{Criterion, criterion_group, criterion_main};
use introspectd::token::digest::TokenDigest;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use support::Numbers;

/// What an entry holds, about: a record and an answer.
type Value = Arc<[u8; 1024]>;

/// Tokens that are asked about: as many as the service remembers by default.
const TOKENS: usize = 50_000;

const SHARDS: usize = 64;

trait Map: Sync {
    fn find(&self, key: &TokenDigest) -> Option<Value>;
    fn put(&self, key: TokenDigest, value: Value);
}

#[derive(Clone)]
struct Bytes;

impl Weighter<TokenDigest, Value> for Bytes {
    fn weight(&self, _: &TokenDigest, value: &Value) -> u64 {
        value.len() as u64 + 96
    }
}

impl Map for Cache<TokenDigest, Value, Bytes> {
    fn find(&self, key: &TokenDigest) -> Option<Value> {
        self.get(key)
    }

    fn put(&self, key: TokenDigest, value: Value) {
        self.insert(key, value);
    }
}

impl Map for papaya::HashMap<TokenDigest, Value> {
    fn find(&self, key: &TokenDigest) -> Option<Value> {
        self.pin().get(key).cloned()
    }

    fn put(&self, key: TokenDigest, value: Value) {
        self.pin().insert(key, value);
    }
}

struct Shards {
    shards: Vec<RwLock<HashMap<TokenDigest, Value>>>,
    hasher: RandomState,
}

impl Shards {
    fn shard(&self, key: &TokenDigest) -> &RwLock<HashMap<TokenDigest, Value>> {
        let place = usize::try_from(self.hasher.hash_one(key)).unwrap_or_default() % SHARDS;
        &self.shards[place]
    }
}

impl Map for Shards {
    fn find(&self, key: &TokenDigest) -> Option<Value> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: TokenDigest, value: Value) {
        self.shard(&key).write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }
}

/// The maps, each with all the tokens in it.
fn maps(keys: &[TokenDigest]) -> Vec<(&'static str, Box<dyn Map>)> {
    let room = 2 * TOKENS as u64 * 1120;
    let maps: Vec<(&'static str, Box<dyn Map>)> = vec![
        ("quick", Box::new(Cache::<_, _, Bytes>::with_weighter(2 * TOKENS, room, Bytes))),
        ("papaya", Box::new(papaya::HashMap::<TokenDigest, Value>::new())),
        (
            "shards",
            Box::new(Shards { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }),
        ),
    ];
    for (_, map) in &maps {
        for key in keys {
            map.put(*key, Arc::new([0; 1024]));
        }
    }
    maps
}

fn cache(criterion: &mut Criterion) {
    let mut numbers = Numbers::new();
    let keys: Vec<TokenDigest> = (0..TOKENS).map(|_| numbers.digest()).collect();
    let others: Vec<TokenDigest> = (0..TOKENS).map(|_| numbers.digest()).collect();
    for (name, map) in maps(&keys) {
        let map = &*map;
        criterion.bench_function(&format!("cache/hit/{name}"), |bencher| {
            bencher.iter(|| assert!(map.find(black_box(&keys[numbers.below(TOKENS)])).is_some()));
        });
        criterion.bench_function(&format!("cache/miss/{name}"), |bencher| {
            bencher.iter(|| assert!(map.find(black_box(&others[numbers.below(TOKENS)])).is_none()));
        });
        let value: Value = Arc::new([1; 1024]);
        criterion.bench_function(&format!("cache/insert/{name}"), |bencher| {
            bencher.iter(|| map.put(keys[numbers.below(TOKENS)], Arc::clone(&value)));
        });
        beside(criterion, &format!("cache/hit beside hits/{name}"), map, &keys, false);
        beside(criterion, &format!("cache/hit beside inserts/{name}"), map, &keys, true);
    }
}

/// A hit while another thread does nothing but hit as well, or insert.
fn beside(criterion: &mut Criterion, name: &str, map: &dyn Map, keys: &[TokenDigest], inserting: bool) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut numbers = Numbers::new();
            let value: Value = Arc::new([2; 1024]);
            while !ended.load(Ordering::Relaxed) {
                let key = keys[numbers.below(TOKENS)];
                if inserting {
                    map.put(key, Arc::clone(&value));
                } else {
                    assert!(map.find(&key).is_some());
                }
            }
        });
        let mut numbers = Numbers::new();
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| assert!(map.find(black_box(&keys[numbers.below(TOKENS)])).is_some()));
        });
        ended.store(true, Ordering::Relaxed);
    });
}

criterion_group!(benches, cache);
criterion_main!(benches);

//! What a server keeps: values by key, each with or without a moment at which it expires.

use std::collections::{BTreeMap, BTreeSet};

/// A value of one of the types that are asked of this server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(Vec<u8>),
    /// A sorted set in which every score is 0.
    Members(BTreeSet<Vec<u8>>),
    Fields(BTreeMap<Vec<u8>, Vec<u8>>),
}

/// A value and until when it is kept, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) expires: Option<u64>,
}

/// What one write did to one key: what is replicated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Effect {
    pub(crate) key: Vec<u8>,
    pub(crate) entry: Option<Entry>,
}

/// The keys of a server, and what has been done to them since somebody last asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keyspace {
    entries: BTreeMap<Vec<u8>, Entry>,
    effects: Vec<Effect>,
}

impl Keyspace {
    /// What is kept under a key at this moment. What has expired is deleted by whoever looks, if it may write.
    pub(crate) fn get(&mut self, key: &[u8], now: u64, writes: bool) -> Option<&Entry> {
        let expired = self.entries.get(key).is_some_and(|entry| entry.expires.is_some_and(|end| end <= now));
        if expired {
            if writes {
                self.remove(key);
            }
            return None;
        }
        self.entries.get(key)
    }

    pub(crate) fn set(&mut self, key: &[u8], entry: Entry) {
        self.entries.insert(key.to_vec(), entry.clone());
        self.effects.push(Effect { key: key.to_vec(), entry: Some(entry) });
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let was_there = self.entries.remove(key).is_some();
        if was_there {
            self.effects.push(Effect { key: key.to_vec(), entry: None });
        }
        was_there
    }

    /// Some of the keys that have expired.
    pub(crate) fn expired(&self, now: u64) -> Vec<Vec<u8>> {
        let has_expired = |entry: &Entry| entry.expires.is_some_and(|end| end <= now);
        self.entries.iter().filter(|(_, entry)| has_expired(entry)).map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.entries.keys()
    }

    /// Does what another server did.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        match &effect.entry {
            Some(entry) => self.set(&effect.key, entry.clone()),
            None => {
                self.remove(&effect.key);
            }
        }
    }

    /// What has been done since this was last called.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The same keys, nothing of what was done.
    pub(crate) fn snapshot(&self) -> Self {
        Self { entries: self.entries.clone(), effects: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }
}

//! What was changed lately of all that ends tokens: the latest known value of each key, bounded by age and by size.
//!
//! Two things are kept apart. Of a key that a server has named, it is only noted that it is to be read: that happens
//! where pushes are received, and must not wait. What was then read is remembered.
//!
//! Several readings may be under way at once, over connections that answer in any order. Of two results the one counts
//! whose reading **began** later: whatever was acknowledged before it began is in it. That it began later and saw less
//! is possible, and harmless: the server will name the key once more for what it has not seen.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::key::Key;
use crate::coherence::clock::Moment;
use crate::token::epoch::Epoch;
use crate::token::time::Stamp;

/// The memory. One for the whole process.
pub(in super::super) struct Ring {
    /// With the latest source there was when a primary said that a key that it does not have may be where its slot moves.
    unread: Mutex<BTreeMap<Key, Option<Source>>>,
    /// The last moment at which no primary can have lost anything that is remembered, in nanoseconds.
    well: AtomicU64,
    memory: Mutex<Memory>,
    limits: Limits,
    overflows: AtomicU64,
    forgotten: AtomicU64,
    unreadable: AtomicU64,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limits {
    /// For how long after it was learnt, while all is well.
    pub(in super::super) age: Duration,
    /// Bytes of memory, of what was read.
    pub(in super::super) bytes: usize,
    /// Keys that wait for being read, and readings under way.
    pub(in super::super) unread: usize,
}

impl Default for Limits {
    /// Ten minutes: much longer than a primary can be ahead of a replica that takes its place. 64 MiB: half a million
    /// tokens.
    fn default() -> Self {
        Self { age: Duration::from_mins(10), bytes: 64 << 20, unread: 1 << 18 }
    }
}

/// Where something was read: one incarnation of one primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Source(u32);

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Known {
    /// A tombstone or an epoch.
    Epoch(Epoch),
    /// Another value, as it is stored.
    Stored(Box<[u8]>),
    /// There is none, as of a moment by Redis' clock.
    Gone(Stamp),
}

/// One key with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Entry {
    pub(in super::super) key: Key,
    pub(in super::super) known: Known,
    /// When Redis forgets it, in milliseconds since 1970; `None` for never.
    pub(in super::super) expires_at: Option<u64>,
}

/// What a server has answered for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Seen {
    /// There is none.
    Absent,
    /// Its value, and when Redis forgets it, in milliseconds since 1970.
    Present(Vec<u8>, Option<u64>),
    /// Something that was not written by us.
    Unreadable,
}

/// What came of asking for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Answer {
    /// What the primary has of it.
    Seen(Seen),
    /// Its slot is being moved, and the primary does not have it (any more).
    Away,
    /// It belongs to another primary.
    Elsewhere,
}

/// What the ring has come to, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Figures {
    /// Keys that are remembered.
    pub(in super::super) entries: usize,
    /// Bytes that they take.
    pub(in super::super) bytes: usize,
    /// Keys that wait for being read, and readings under way.
    pub(in super::super) unread: usize,
    /// Keys that were named and for which there was no room, since the start: only other nodes remember what they stand
    /// for.
    pub(in super::super) overflows: u64,
    /// Values that made room for others before their time, since the start.
    pub(in super::super) forgotten: u64,
    /// Values that were not written by us, since the start.
    pub(in super::super) unreadable: u64,
}

/// A reading under way. When it is dropped without a result, its keys wait for being read again.
pub(in super::super) struct Reading<'a> {
    ring: &'a Ring,
    ticket: u64,
    source: Source,
    keys: Vec<Key>,
    /// What was said of each of them before, as where they wait.
    said: Vec<Option<Source>>,
}

struct Memory {
    /// In the order in which they were learnt; `None` in the place of what was learnt anew since.
    slots: VecDeque<Slot>,
    /// How many slots have left at the front: the number of the first one.
    left: u64,
    /// The number of the slot of each key.
    places: HashMap<Key, u64>,
    bytes: usize,
    /// The tickets of the readings under way.
    readings: BTreeSet<u64>,
    next_ticket: u64,
    next_source: u32,
}

struct Slot {
    held: Option<Held>,
    learnt_at: Moment,
}

struct Held {
    key: Key,
    known: Known,
    expires_at: Option<u64>,
    /// The reading that it comes from.
    ticket: u64,
    source: Source,
}

/// What an entry takes: its slot, and its place in the map, which is half empty after it has grown.
const SLOT_BYTES: usize = size_of::<Slot>();
const PLACE_BYTES: usize = 2 * size_of::<(Key, u64)>();

// === impl Ring ===

impl Ring {
    pub(in super::super) fn new(limits: Limits) -> Self {
        Self {
            unread: Mutex::default(),
            well: AtomicU64::new(0),
            memory: Mutex::new(Memory {
                slots: VecDeque::new(),
                left: 0,
                places: HashMap::new(),
                bytes: 0,
                readings: BTreeSet::new(),
                next_ticket: 0,
                next_source: 0,
            }),
            limits,
            overflows: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    // --- by those who listen ---

    /// A server has named this key, less the prefix, as one that was changed.
    pub(in super::super) fn heard(&self, text: &[u8]) {
        if let Some(key) = Key::parse(text) {
            self.to_be_read([key]);
        }
    }

    /// All primaries were found to be in the lives that they were caught up with at this moment. Nothing grows old while
    /// one of them is not: what it lost when it went away must still be known when it comes back.
    pub(in super::super) fn all_is_well(&self, at: Moment) {
        self.well.fetch_max(at.0, Ordering::AcqRel);
    }

    /// Everything that is remembered and `wanted` is to be read once more: nobody listened for a while, and it may have been
    /// approved meanwhile.
    pub(in super::super) fn doubt(&self, wanted: impl Fn(&Key) -> bool) {
        let memory = self.memory();
        let held = memory.slots.iter().filter_map(|slot| slot.held.as_ref());
        let keys: Vec<Key> = held.map(|held| held.key.clone()).filter(wanted).collect();
        drop(memory);
        self.to_be_read(keys);
    }

    fn to_be_read(&self, keys: impl IntoIterator<Item = Key>) {
        self.wait_with(keys.into_iter().map(|key| (key, None)));
    }

    /// These wait for being read, with what was said of them: the latest of it counts.
    fn wait_with(&self, keys: impl IntoIterator<Item = (Key, Option<Source>)>) {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, said) in keys {
            if unread.len() < self.limits.unread {
                let latest = unread.entry(key).or_default();
                *latest = (*latest).max(said);
            } else if !unread.contains_key(&key) {
                self.overflows.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    // --- by those who read ---

    /// Another incarnation of a primary.
    pub(in super::super) fn source(&self) -> Source {
        let mut memory = self.memory();
        memory.next_source += 1;
        Source(memory.next_source)
    }

    /// Begins to read keys that wait for it: at most so many of those that are `wanted`, `None` when there are none.
    pub(in super::super) fn read_unread(
        &self,
        source: Source,
        most: usize,
        wanted: impl Fn(&Key) -> bool,
    ) -> Option<Reading<'_>> {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, said): (Vec<_>, Vec<_>) = unread.extract_if(.., |key, _| wanted(key)).take(most).unzip();
        drop(unread);
        (!keys.is_empty()).then(|| self.begin(source, keys, said))
    }

    /// Begins to read keys. To be called before anything is sent, and for what was written by this node after Redis has
    /// answered.
    pub(in super::super) fn read(&self, source: Source, keys: Vec<Key>) -> Reading<'_> {
        let said = vec![None; keys.len()];
        self.begin(source, keys, said)
    }

    fn begin(&self, source: Source, keys: Vec<Key>, said: Vec<Option<Source>>) -> Reading<'_> {
        let mut memory = self.memory();
        memory.next_ticket += 1;
        let ticket = memory.next_ticket;
        memory.readings.insert(ticket);
        drop(memory);
        Reading { ring: self, ticket, source, keys, said }
    }

    // --- by those who write again ---

    /// Whether a key is still to be read of which its primary has said, not before `since`, that it is where its slot
    /// moves, or nowhere.
    pub(in super::super) fn is_away(&self, key: &Key, since: Source) -> bool {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.get(key).is_some_and(|said| said.is_some_and(|said| said >= since))
    }

    /// What was learnt after the first `after` values, oldest first, and the number to go on with: at most so many
    /// values are looked at. `None` when there are no more.
    pub(in super::super) fn page(
        &self,
        after: u64,
        most: usize,
        wanted: impl Fn(&Key, Source) -> bool,
    ) -> Option<(Vec<Entry>, u64)> {
        let memory = self.memory();
        let first = after.max(memory.left);
        let skipped = usize::try_from(first - memory.left).unwrap_or(usize::MAX);
        if skipped >= memory.slots.len() {
            return None;
        }
        let looked_at = memory.slots.iter().skip(skipped).take(most);
        let next = first + looked_at.len() as u64;
        let entries = looked_at
            .filter_map(|slot| slot.held.as_ref())
            .filter(|held| wanted(&held.key, held.source))
            .map(|held| Entry { key: held.key.clone(), known: held.known.clone(), expires_at: held.expires_at })
            .collect();
        Some((entries, next))
    }

    /// What it has come to.
    pub(in super::super) fn figures(&self) -> Figures {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).len();
        let memory = self.memory();
        Figures {
            entries: memory.places.len(),
            bytes: memory.bytes,
            unread: unread + memory.readings.len(),
            overflows: self.overflows.load(Ordering::Relaxed),
            forgotten: self.forgotten.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of what is too old, and of the oldest as long as it is too much.
    fn forget(&self, memory: &mut Memory) {
        let well = Moment(self.well.load(Ordering::Acquire));
        while let Some(oldest) = memory.slots.front() {
            let is_old = well.since(oldest.learnt_at) >= self.limits.age;
            if oldest.held.is_some() && !is_old && memory.bytes <= self.limits.bytes {
                break;
            }
            let held = memory.slots.pop_front().and_then(|slot| slot.held);
            memory.left += 1;
            memory.bytes -= SLOT_BYTES;
            if let Some(held) = held {
                memory.places.remove(&held.key);
                memory.bytes -= held.bytes();
                if !is_old {
                    self.forgotten.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

// === impl Memory ===

impl Memory {
    fn held_mut(&mut self, place: u64) -> Option<&mut Option<Held>> {
        let index = usize::try_from(place.checked_sub(self.left)?).ok()?;
        Some(&mut self.slots.get_mut(index)?.held)
    }

    fn learn(&mut self, held: Held, now: Moment) {
        // What is gone need not be remembered as such, unless an older reading may still say that it is there. Of a
        // record it is always: the whole of what is written again is that it is gone.
        let is_worth_it = !matches!(held.known, Known::Gone(_))
            || matches!(held.key, Key::Record(_))
            || self.readings.first().is_some_and(|oldest| *oldest < held.ticket);
        if let Some(&place) = self.places.get(&held.key)
            && let Some(slot) = self.held_mut(place)
            && let Some(before) = slot
        {
            if before.ticket > held.ticket {
                return;
            }
            if before.known == held.known && before.expires_at == held.expires_at {
                (before.ticket, before.source) = (held.ticket, held.source);
                return;
            }
            let taken = before.bytes();
            *slot = None;
            self.bytes -= taken;
            self.places.remove(&held.key);
        }
        if is_worth_it {
            self.places.insert(held.key.clone(), self.left + self.slots.len() as u64);
            self.bytes += SLOT_BYTES + held.bytes();
            self.slots.push_back(Slot { held: Some(held), learnt_at: now });
        }
    }
}

// === impl Held ===

impl Held {
    /// What it takes beside its slot.
    fn bytes(&self) -> usize {
        let value = match &self.known {
            Known::Stored(value) => value.len(),
            Known::Epoch(_) | Known::Gone(_) => 0,
        };
        PLACE_BYTES + 2 * self.key.heap_bytes() + value
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// What to read, in this order.
    pub(in super::super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What came of it: as many answers as keys, and Redis' clock after the last one. Returns how many of the keys are
    /// still to be read, because they are not where they were asked for.
    pub(in super::super) fn learn(mut self, answers: Vec<Answer>, at: Stamp, now: Moment) -> usize {
        debug_assert_eq!(answers.len(), self.keys.len(), "an answer for each key");
        let latest = Source(self.ring.memory().next_source);
        let (mut seen, mut left) = (Vec::new(), Vec::new());
        for ((key, said), answer) in self.waiting().zip(answers) {
            match answer {
                Answer::Seen(what) => seen.push((key, what)),
                Answer::Away => left.push((key, Some(latest))),
                Answer::Elsewhere => left.push((key, said)),
            }
        }
        let left_over = left.len();
        self.ring.wait_with(left);
        let mut memory = self.ring.memory();
        // This one is over: only others can still bring something older.
        memory.readings.remove(&self.ticket);
        for (key, seen) in seen {
            if let Some((known, expires_at)) = know(&key, seen, at) {
                memory.learn(Held { key, known, expires_at, ticket: self.ticket, source: self.source }, now);
            } else {
                self.ring.unreadable.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.ring.forget(&mut memory);
        left_over
    }

    /// The keys with what was said of them; none are left.
    fn waiting(&mut self) -> impl Iterator<Item = (Key, Option<Source>)> + use<> {
        std::mem::take(&mut self.keys).into_iter().zip(std::mem::take(&mut self.said))
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.ring.memory().readings.remove(&self.ticket);
        if !self.keys.is_empty() {
            let waiting = self.waiting();
            self.ring.wait_with(waiting);
        }
    }
}

/// Makes sense of an answer; `None` when that cannot be.
fn know(key: &Key, seen: Seen, at: Stamp) -> Option<(Known, Option<u64>)> {
    match seen {
        Seen::Absent => Some((Known::Gone(at), None)),
        Seen::Present(_, None) if key.expires() => None,
        Seen::Present(value, expires_at) => {
            let known = match key {
                Key::Tombstone(_) | Key::Epoch(_) => Known::Epoch(Epoch::decode(&value)?),
                _ => Known::Stored(value.into()),
            };
            Some((known, expires_at))
        }
        Seen::Unreadable => None,
    }
}

#[cfg(test)]
mod tests;

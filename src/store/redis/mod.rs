//! The store that any number of nodes share: one Redis, or a Valkey, that takes writes.
//!
//! - `tokens`, `grants`, `shared`, `clients`, `users` the contract, in five parts; `call` what each call works with
//! - `listing` pages of what has an index
//! - `profiles` what many tokens have in common
//! - `keys` what things are called there; `scripts` what must happen in one step; `document` how documents are kept
//! - `fleet` all primaries, `directory` who says which they are, `fence` for how long that may be believed
//! - `primary` one of them: `incarnation` the life that it is in, `lane` the connections of the hot path,
//!   `administration` those beside it, `tracker` the one that listens, `leases` what follows from that
//! - `dataset` by what an emptied or foreign Redis is told from ours
//! - `endpoint` how one gets in, [`dial`] where it is, `link` one connection, `backoff` how soon to try again
//! - `durability` what a revocation survives, `upkeep` how that is put to work; `settings` what Redis' own settings mean
//!   for that
//! - `fault` what goes wrong, without a key, a value or a password in it
//!
//! How all of this keeps near caches from contradicting a revocation: `docs/consistency.md`.
//!
//! Redis expires what it keeps of a token together with the token, by its own clock. Its `maxmemory-policy` must be
//! `noeviction`: any other may forget a revocation. A user for this service needs no more than
//!
//! ```text
//! ~<key_prefix>* +get +set +setrange +getrange +exists +del +unlink +pexpiretime +time
//! +zadd +zrem +zrange +eval +evalsha +select +ping +unwatch
//! +info +client|no-evict +client|tracking +config|get +wait +pexpire +hset +hdel +hgetall
//! ```
//!
//! and, of the nodes of a cluster, `+cluster|myid +cluster|info +cluster|slots +cluster|nodes`. A user of its own for the
//! Sentinels needs `+sentinel|get-master-addr-by-name +subscribe &+switch-master`.
//!
//! `PING` and `UNWATCH` are what the pool asks a connection with before it hands it out again.

mod administration;
mod approvals;
mod backoff;
mod call;
mod clients;
mod dataset;
pub mod dial;
mod directory;
mod document;
mod durability;
mod endpoint;
mod epochs;
mod fault;
mod fence;
mod fleet;
mod grants;
mod incarnation;
mod keys;
mod lane;
mod leases;
mod link;
mod listing;
pub mod observe;
mod primary;
mod profiles;
mod scripts;
mod settings;
mod shared;
mod tokens;
mod tracker;
mod upkeep;
mod users;

use std::fmt;
use std::sync::Arc;

use redis::{Cmd, Value};

use self::call::Call;
use self::dataset::DatasetId;
use self::dial::{Dial, Network};
use self::directory::Directory;
use self::epochs::EpochMemory;
use self::fault::Fault;
use self::fence::Fence;
use self::fleet::Fleet;
use self::keys::Keys;
use self::observe::{FleetObserver, Unobserved};
use self::primary::Common;
use self::profiles::Profiles;
use self::settings::Severity;
use super::StoreError;
use super::condition::{Condition, Finding};
use crate::coherence::Coherence;
use crate::coherence::clock::{BootClock, Moment};
use crate::config::{Acknowledge, RedisConfig};
use crate::threads::Threads;
use crate::token::time::{Now, UnixSeconds};

pub use self::endpoint::RedisConfigError;
pub use self::epochs::Remembering;

/// How many seconds longer than told Redis keeps what ends tokens that may have no record: marks, epochs, tombstones of
/// signed tokens. By the clock of a node that is behind that of Redis such a token lives on for as long, and must not
/// be found approved then.
pub const CLOCK_GRACE: u64 = 60;

/// The contract of [`crate::store`], kept with Redis.
pub struct RedisStore {
    fleet: Arc<Fleet>,
    keys: Keys,
    profiles: Profiles,
    coherence: Arc<Coherence>,
    epochs: Option<EpochMemory>,
}

/// What a store finds around itself.
#[derive(Clone, Debug)]
pub struct Outside {
    /// How servers are reached: replaced by a simulation, and by nobody else, as are the next three.
    pub dial: Arc<dyn Dial>,
    /// What leases are measured by.
    pub clock: BootClock,
    /// What waits are spread by.
    pub seed: u64,
    /// What a dataset is named by that this node makes; drawn at random without it.
    pub dataset: Option<[u8; 16]>,
    /// Who is told what happens.
    pub observer: Arc<dyn FleetObserver>,
    /// How epochs are remembered; none are without it.
    pub epochs: Option<Remembering>,
    /// Where requests are answered: each of these threads has a connection of its own to each primary.
    pub threads: Threads,
}

impl Default for Outside {
    /// The network and the clock of this machine.
    fn default() -> Self {
        // Without randomness waits are merely not spread.
        let seed = getrandom::u64().unwrap_or(1);
        let (dial, observer) = (Arc::new(Network), Arc::new(Unobserved));
        let clock = BootClock::System;
        Self { dial, clock, seed, dataset: None, observer, epochs: None, threads: Threads::default() }
    }
}

impl RedisStore {
    /// Opens the store. Whether Redis can be reached makes no difference to the outcome: as long as it cannot, calls
    /// say so, and the connections come up by themselves when it can. Waits at most the connect timeout and the
    /// response timeout.
    ///
    /// Must be called inside a tokio runtime with time and I/O on; the tasks that keep the connections up end with
    /// [`RedisStore::close`] or when the store is dropped.
    pub async fn open(config: &RedisConfig) -> Result<Self, RedisConfigError> {
        Self::open_with(config, Outside::default()).await
    }

    /// The same in other surroundings.
    pub async fn open_with(config: &RedisConfig, outside: Outside) -> Result<Self, RedisConfigError> {
        let Outside { dial, clock, seed, dataset, observer, epochs, threads } = outside;
        let (endpoint, addresses) = endpoint::Endpoint::new(config, dial)?;
        let pinned = match config.dataset.as_deref().map(DatasetId::parse) {
            Some(None) => return Err(RedisConfigError::Dataset),
            pinned => pinned.flatten(),
        };
        let coherence = Arc::new(Coherence::new(clock));
        let directory = Directory::new(config, &endpoint, addresses, seed);
        let fence = Arc::new(Fence::new(config.revocation.lease, !directory.can_change()));
        let patience = endpoint.connect_timeout() + endpoint.response_timeout();
        let (prefix, revocation, connections) = (&config.key_prefix, config.revocation, config.connections);
        let mut common = Common::new(endpoint, prefix, Arc::clone(&coherence), fence, revocation, connections, seed);
        common.connections = common.connections.max(threads.count());
        common.threads = threads;
        common.observer = observer;
        common.next_dataset = dataset.map(DatasetId::from_bytes);
        let fleet = Fleet::open(Arc::new(common), directory, pinned, patience).await;
        let epochs = epochs.map(|remembering| EpochMemory::new(remembering, &coherence));
        Ok(Self { fleet, keys: Keys::new(&config.key_prefix), profiles: Profiles::new(), coherence, epochs })
    }

    /// Begins a call.
    fn begin(&self) -> Result<Call, Fault> {
        Call::begin(&self.fleet)
    }

    /// See [`crate::store::Store::coherence`].
    pub fn coherence(&self) -> &Arc<Coherence> {
        &self.coherence
    }

    /// See [`crate::store::Store::condition`].
    pub fn condition(&self) -> Condition {
        let common = &self.fleet.common;
        let (now, end) = (self.coherence.now(), self.coherence.lease());
        let mut findings: Vec<Finding> = Vec::new();
        for primary in &self.fleet.members().primaries {
            for settings::Finding { id, severity, text } in primary.findings().iter() {
                if findings.iter().all(|finding| finding.id != *id) {
                    findings.push(Finding { id, is_unsafe: *severity == Severity::Unsafe, text: text.clone() });
                }
            }
        }
        let ring = common.upkeep.ring.figures();
        Condition {
            has_lease: self.coherence.has_lease(now),
            lease_age: (end != Moment(0)).then(|| now.plus(common.lease()).since(end)),
            findings,
            epochs: self.epochs.as_ref().map_or(0, EpochMemory::len),
            remembered: ring.entries as u64,
            unread: ring.unread as u64,
            overlooked: ring.overflows + ring.forgotten,
        }
    }

    /// See [`crate::store::Store::visible`].
    ///
    /// A node that has not heard of a write that was acknowledged before now holds no lease that began after now, so
    /// that one lease from now on nobody relies on what was before.
    pub async fn visible(&self) -> Result<(), StoreError> {
        let common = &self.fleet.common;
        if common.revocation.acknowledge == Acknowledge::Visible {
            let lives = self.fleet.lives();
            tokio::time::sleep(common.longest_lease()).await;
            // What was brought back in a life that ended meanwhile, another node may end again: it remembers the end, and
            // was not told of the rest.
            if lives != self.fleet.lives() {
                return Err(incarnation::changed().into());
            }
        }
        Ok(())
    }

    /// See [`crate::store::Store::probe`]. Asks through the connections of the hot path: what is ready is what requests
    /// use.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.begin()?.everywhere(&endpoint::hello()).await?.into_iter().try_for_each(endpoint::expect_primary)?;
        Ok(())
    }

    /// See [`crate::store::Store::close`].
    pub async fn close(&self) {
        self.fleet.finish().await;
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisStore").field("keys", &self.keys).finish_non_exhaustive()
    }
}

fn get(key: &str) -> Cmd {
    const NAME: &str = "GET";
    let mut command = Cmd::with_capacity(2, NAME.len() + key.len());
    command.arg(NAME).arg(key);
    command
}

fn decimal(number: u64) -> Vec<u8> {
    itoa::Buffer::new().format(number).into()
}

/// A moment as scripts take it.
fn moment(second: UnixSeconds) -> Vec<u8> {
    decimal(second.milliseconds())
}

/// The moment until which to keep what ends tokens.
fn end_with_grace(second: UnixSeconds) -> Vec<u8> {
    decimal(UnixSeconds(second.0.saturating_add(CLOCK_GRACE)).milliseconds())
}

fn milliseconds(now: Now) -> Vec<u8> {
    decimal(now.stamp().0 / 1000)
}

fn is_done(outcome: i64) -> Result<bool, Fault> {
    match outcome {
        scripts::DONE => Ok(true),
        scripts::NOT_DONE => Ok(false),
        _ => Err(Fault::unexpected_reply()),
    }
}

/// The value of a key, `None` when there is none.
fn bytes(reply: Value) -> Result<Option<Vec<u8>>, Fault> {
    match reply {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(Fault::unexpected_reply()),
    }
}

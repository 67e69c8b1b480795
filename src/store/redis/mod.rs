//! The store that any number of nodes share: one Redis, or a Valkey, that takes writes.
//!
//! - `endpoint` where it is; `connection` the connections of the hot path, `administration` those beside it
//! - `tokens`, `grants`, `shared`, `clients` the contract, in four parts
//! - `keys` what things are called there; `scripts` what must happen in one step; `document` how documents are kept
//! - `durability` what a revocation survives; `settings` what Redis' own settings mean for that
//! - `fault` what goes wrong, without a key, a value or a password in it
//!
//! Redis expires what it keeps of a token together with the token, by its own clock. Its `maxmemory-policy` must be
//! `noeviction`: any other may forget a revocation. A user for this service needs no more than
//!
//! ```text
//! ~<key_prefix>* +get +set +setrange +getrange +exists +del +unlink +pexpiretime +time
//! +zadd +zrem +zrange +eval +evalsha +select +ping +unwatch
//! ```
//!
//! The last two are what the pool asks a connection with before it hands it out again.

mod administration;
mod clients;
mod connection;
mod document;
#[allow(dead_code, reason = "the primaries take it into use")]
mod durability;
mod endpoint;
mod fault;
mod grants;
mod keys;
mod scripts;
#[allow(dead_code, reason = "the primaries take it into use")]
mod settings;
mod shared;
mod tokens;

use std::fmt;
use std::sync::Arc;

use redis::{Cmd, Value};

use self::administration::Administration;
use self::connection::Connections;
use self::fault::Fault;
use self::keys::Keys;
use super::StoreError;
use crate::coherence::Coherence;
use crate::coherence::clock::BootClock;
use crate::config::RedisConfig;
use crate::token::time::{Now, UnixSeconds};

pub use self::endpoint::RedisConfigError;

/// How many seconds longer than told Redis keeps what ends tokens that may have no record: marks, epochs, tombstones of
/// signed tokens. By the clock of a node that is behind that of Redis such a token lives on for as long, and must not
/// be found approved then.
pub const CLOCK_GRACE: u64 = 60;

/// The contract of [`crate::store`], kept with Redis.
pub struct RedisStore {
    connections: Connections,
    administration: Administration,
    keys: Keys,
    coherence: Arc<Coherence>,
}

impl RedisStore {
    /// Opens the store. Whether Redis can be reached makes no difference to the outcome: as long as it cannot, calls
    /// say so, and the connections come up by themselves when it can. Waits at most the connect timeout.
    ///
    /// Must be called inside a tokio runtime with time and I/O on; the tasks that keep the connections up end with
    /// [`RedisStore::close`] or when the store is dropped.
    pub async fn open(config: &RedisConfig) -> Result<Self, RedisConfigError> {
        let endpoint = Arc::new(endpoint::Endpoint::new(config)?);
        let administration = Administration::new(Arc::clone(&endpoint))?;
        let connections = Connections::open(endpoint, config.connections).await;
        let coherence = Arc::new(Coherence::new(BootClock::System));
        Ok(Self { connections, administration, keys: Keys::new(&config.key_prefix), coherence })
    }

    /// See [`crate::store::Store::coherence`].
    pub fn coherence(&self) -> &Arc<Coherence> {
        &self.coherence
    }

    /// See [`crate::store::Store::visible`].
    pub async fn visible(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// See [`crate::store::Store::probe`]. Asks through a connection of the hot path: what is ready is what requests
    /// use.
    pub async fn probe(&self) -> Result<(), StoreError> {
        Ok(self.connections.begin()?.check().await?)
    }

    /// See [`crate::store::Store::close`].
    pub async fn close(&self) {
        self.administration.close();
        self.connections.close().await;
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisStore").field("keys", &self.keys).finish_non_exhaustive()
    }
}

fn get(key: &str) -> Cmd {
    let mut command = redis::cmd("GET");
    command.arg(key);
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

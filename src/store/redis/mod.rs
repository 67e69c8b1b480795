//! The store that any number of nodes share: one Redis, or a Valkey, that takes writes.
//!
//! - `endpoint` where it is; `connection` the connections of the hot path, `administration` those beside it
//! - `keys` what things are called there; `scripts` what must happen in one step; `document` how clients are kept
//! - `fault` what goes wrong, without a key, a value or a password in it
//!
//! Redis expires what it keeps of a token together with the token, by its own clock. Its `maxmemory-policy` must be
//! `noeviction`: any other may forget a revocation. A user for this service needs no more than
//!
//! ```text
//! ~<key_prefix>* +get +set +setrange +getrange +exists +del +unlink +pexpiretime +pexpireat +time
//! +zadd +zrem +zrange +eval +evalsha +select +ping +unwatch
//! ```
//!
//! The last two are what the pool asks a connection with before it hands it out again.

mod administration;
mod connection;
mod document;
mod endpoint;
mod fault;
mod keys;
mod scripts;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use redis::{Cmd, Value};

use self::administration::Administration;
use self::connection::Connections;
use self::fault::Fault;
use self::keys::Keys;
use super::{ClientDocument, ClientWrite, Insertion, StoreError, Surroundings, Transition};
use crate::client::ClientId;
use crate::config::RedisConfig;
use crate::token::codec;
use crate::token::decision::Standing;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::record::{Grant, Reason, Record, State};
use crate::token::time::{Now, Stamp};

pub use self::endpoint::RedisConfigError;

/// The contract of [`crate::store`], kept with Redis.
pub struct RedisStore {
    connections: Connections,
    administration: Administration,
    keys: Keys,
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
        Ok(Self { connections, administration, keys: Keys::new(&config.key_prefix) })
    }

    /// See [`crate::store::Store::token`].
    pub async fn token(&self, digests: &[TokenDigest]) -> Result<Option<(TokenDigest, Record)>, StoreError> {
        let replies = match digests {
            [] => return Ok(None),
            [digest] => vec![self.connections.begin()?.command(&get(&self.keys.token(*digest))).await?],
            // Not one `MGET`: in Redis Cluster the keys lie in different slots.
            _ => {
                self.connections.begin()?.pipeline(digests.iter().map(|digest| get(&self.keys.token(*digest)))).await?
            }
        };
        for (digest, reply) in digests.iter().zip(replies) {
            if let Some(stored) = bytes(reply)? {
                let record = codec::decode(&stored).map_err(|error| Fault::damaged(error.to_string()))?;
                return Ok(Some((*digest, record)));
            }
        }
        Ok(None)
    }

    /// See [`crate::store::Store::surroundings`].
    pub async fn surroundings(&self, client_id: &str, grant: Option<GrantId>) -> Result<Surroundings, StoreError> {
        let client = get(&self.keys.client(client_id));
        let mark = grant.map(|grant| get(&self.keys.grant_mark(grant)));
        let mut replies = self.connections.begin()?.pipeline([client].into_iter().chain(mark)).await?.into_iter();
        let client = replies.next().map(bytes).transpose()?.flatten().map(document::decode).transpose()?;
        // Whatever stands there as a mark, the grant was revoked: there is nothing in it to be read wrongly.
        let mark = replies.next().map(bytes).transpose()?.flatten();
        Ok(Surroundings { client, grant: mark.map_or(Standing::Approved, |_| Standing::Revoked) })
    }

    /// See [`crate::store::Store::insert`].
    pub async fn insert(&self, tokens: &[(TokenDigest, Record)], now: Now) -> Result<Insertion, StoreError> {
        // All are encoded before any is sent: a record that does not fit must not leave its companions behind.
        let invocations = tokens
            .iter()
            .map(|(digest, record)| {
                let stored = codec::encode(record).map_err(|error| Fault::refused(error.to_string()))?;
                let keys = [self.keys.token(*digest), self.keys.tombstone(*digest)];
                let expires = decimal(record.expires_at.milliseconds());
                Ok(scripts::INSERT.on(keys, [stored, expires, milliseconds(now)]))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        if invocations.is_empty() {
            return Ok(Insertion::Done);
        }
        let mut all = true;
        for outcome in self.connections.begin()?.scripts(&invocations).await? {
            all &= is_done(outcome)?;
        }
        Ok(if all { Insertion::Done } else { Insertion::Exists })
    }

    /// See [`crate::store::Store::set_state`].
    pub async fn set_state(&self, digest: TokenDigest, state: State, now: Now) -> Result<Transition, StoreError> {
        let keys = [self.keys.token(digest), self.keys.tombstone(digest)];
        let invocation = match state {
            State::Approved => scripts::APPROVE.on(keys, [milliseconds(now)]),
            State::Revoked(reason) => scripts::REVOKE.on(keys, [vec![reason.to_byte()]]),
        };
        match self.connections.begin()?.script(invocation).await? {
            scripts::ABSENT => Ok(Transition::Absent),
            scripts::UNCHANGED => Ok(Transition::Unchanged),
            scripts::CHANGED => Ok(Transition::Changed),
            _ => Err(Fault::unexpected_reply().into()),
        }
    }

    /// See [`crate::store::Store::revoke_grant`].
    pub async fn revoke_grant(&self, grant: Grant, reason: Reason) -> Result<(), StoreError> {
        let expires = decimal(grant.expires_at.milliseconds());
        let arguments = [vec![reason.to_byte()], expires];
        let invocation = scripts::REVOKE_GRANT.on([self.keys.grant_mark(grant.id)], arguments);
        self.connections.begin()?.script(invocation).await?;
        Ok(())
    }

    /// See [`crate::store::Store::client`].
    pub async fn client(&self, client_id: &str) -> Result<Option<ClientDocument>, StoreError> {
        let reply = self.connections.begin()?.command(&get(&self.keys.client(client_id))).await?;
        Ok(bytes(reply)?.map(document::decode).transpose()?)
    }

    /// See [`crate::store::Store::clients`].
    pub async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        // Says at once what is wrong when nothing is up, instead of waiting for the pool to find out.
        self.connections.begin()?;
        let mut visit = self.administration.visit().await?;
        let mut clients = Vec::new();
        let mut after = after.cloned();
        while clients.len() < limit {
            let wanted = limit - clients.len();
            let from = after.as_ref().map_or_else(|| "-".to_owned(), |id| format!("({id}"));
            let mut page = redis::cmd("ZRANGE");
            page.arg(self.keys.client_index()).arg(from).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(wanted);
            let ids = visit.pipeline([page]).await?.pop().map(ids).transpose()?.unwrap_or_default();
            let Some(last) = ids.last().cloned() else { break };
            let last_page = ids.len() < wanted;
            let replies = visit.pipeline(ids.iter().map(|id| get(&self.keys.client(id.as_str())))).await?;
            for (id, reply) in ids.into_iter().zip(replies) {
                // An entry without a record is what a creation or deletion leaves that was cut off midway.
                if let Some(stored) = bytes(reply)? {
                    clients.push((id, document::decode(stored)?));
                }
            }
            if last_page {
                break;
            }
            after = Some(last);
        }
        Ok(clients)
    }

    /// See [`crate::store::Store::create_client`].
    ///
    /// The index is written before the record, so that no record is ever without its entry, and once more after it: a
    /// deletion of an earlier client of this id may have been about to take the entry away.
    pub async fn create_client(&self, id: &ClientId, body: Bytes, _now: Now) -> Result<ClientWrite, StoreError> {
        let version = document::FIRST_VERSION;
        let arguments = [version.to_be_bytes().to_vec(), body.into()];
        let invocation = scripts::CREATE_CLIENT.on([self.keys.client(id.as_str())], arguments);
        let mut call = self.connections.begin()?;
        call.command(&self.index(id)).await?;
        let outcome = call.script(invocation).await?;
        call.command(&self.index(id)).await?;
        Ok(if is_done(outcome)? { ClientWrite::Done { version } } else { ClientWrite::Conflict })
    }

    /// See [`crate::store::Store::replace_client`].
    pub async fn replace_client(
        &self,
        id: &ClientId,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<ClientWrite, StoreError> {
        let Some(next) = version.checked_add(1) else { return Ok(ClientWrite::Conflict) };
        let replaced = [version.to_be_bytes(), created.0.to_be_bytes()].concat();
        let arguments = [replaced, next.to_be_bytes().to_vec(), body.into()];
        let invocation = scripts::REPLACE_CLIENT.on([self.keys.client(id.as_str())], arguments);
        let outcome = self.connections.begin()?.script(invocation).await?;
        Ok(if is_done(outcome)? { ClientWrite::Done { version: next } } else { ClientWrite::Conflict })
    }

    /// See [`crate::store::Store::delete_client`].
    ///
    /// The record goes first. If it is there again after its entry has gone, another node has created the client
    /// meanwhile, and gets the entry back. One server runs the three commands back to back; in Redis Cluster, where they
    /// go to two, there is time for that.
    pub async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        let key = self.keys.client(id.as_str());
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(&key);
        let mut forget = redis::cmd("ZREM");
        forget.arg(self.keys.client_index()).arg(id.as_str());
        let mut look = redis::cmd("EXISTS");
        look.arg(&key);
        let mut call = self.connections.begin()?;
        let replies = call.pipeline([unlink, forget, look]).await?;
        let [Value::Int(unlinked), _, Value::Int(there)] = replies[..] else {
            return Err(Fault::unexpected_reply().into());
        };
        if there > 0 {
            call.command(&self.index(id)).await?;
        }
        Ok(unlinked > 0)
    }

    /// See [`crate::store::Store::probe`]. Asks through a connection of the hot path: what is ready is what requests use.
    pub async fn probe(&self) -> Result<(), StoreError> {
        Ok(self.connections.begin()?.check().await?)
    }

    /// See [`crate::store::Store::close`].
    pub async fn close(&self) {
        self.administration.close();
        self.connections.close().await;
    }

    fn index(&self, id: &ClientId) -> Cmd {
        let mut command = redis::cmd("ZADD");
        command.arg(self.keys.client_index()).arg(0).arg(id.as_str());
        command
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

/// The members of the index.
fn ids(reply: Value) -> Result<Vec<ClientId>, Fault> {
    let Value::Array(members) = reply else { return Err(Fault::unexpected_reply()) };
    let id = |member| {
        let text = String::from_utf8(bytes(member)?.unwrap_or_default()).ok();
        text.and_then(|text| ClientId::parse(&text)).ok_or_else(|| Fault::damaged("the index of clients holds no id"))
    };
    members.into_iter().map(id).collect()
}

//! Clients, and the index by which they are listed.

use std::collections::BTreeMap;

use bytes::Bytes;
use redis::{Cmd, Value};

use super::fault::Fault;
use super::{RedisStore, bytes, document, get, is_done, scripts};
use crate::client::ClientId;
use crate::store::{ClientDocument, ClientWrite, StoreError};
use crate::token::time::{Now, Stamp};

impl RedisStore {
    /// See [`crate::store::Store::client`].
    pub async fn client(&self, client_id: &str) -> Result<Option<ClientDocument>, StoreError> {
        let stored = self.begin()?.value(self.keys.client(client_id)).await?;
        Ok(stored.map(document::decode_client).transpose()?)
    }

    /// See [`crate::store::Store::clients`].
    pub async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        let index = self.keys.client_index();
        let mut clients = Vec::new();
        let mut after = after.cloned();
        while clients.len() < limit {
            let wanted = limit - clients.len();
            let from = after.as_ref().map_or_else(|| "-".to_owned(), |id| format!("({id}"));
            let mut page = redis::cmd("ZRANGE");
            page.arg(&index).arg(from).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(wanted);
            let ids = self.visit(&index, [page]).await?.pop().map(ids).transpose()?.unwrap_or_default();
            let Some(last) = ids.last().cloned() else { break };
            let last_page = ids.len() < wanted;
            let mut by_owner = BTreeMap::<_, Vec<ClientId>>::new();
            for id in ids {
                let owner = self.fleet.owner_of(self.keys.client(id.as_str()).as_bytes())?;
                by_owner.entry(owner.address.clone()).or_default().push(id);
            }
            let first = clients.len();
            for ids in by_owner.into_values() {
                let keys: Vec<_> = ids.iter().map(|id| self.keys.client(id.as_str())).collect();
                let Some(key) = keys.first() else { continue };
                let replies = self.visit(key, keys.iter().map(|key| get(key))).await?;
                for (id, reply) in ids.into_iter().zip(replies) {
                    // An entry without a record is what a creation or deletion leaves that was cut off midway.
                    if let Some(stored) = bytes(reply)? {
                        clients.push((id, document::decode_client(stored)?));
                    }
                }
            }
            clients[first..].sort_by(|(one, _), (other, _)| one.cmp(other));
            if last_page {
                break;
            }
            after = Some(last);
        }
        Ok(clients)
    }

    /// Asks the primary that has a key, beside the hot path: replies come in order, and these are long.
    async fn visit(&self, key: &str, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>, Fault> {
        let primary = self.fleet.owner_of(key.as_bytes())?;
        // Says at once what is wrong when nothing is up, instead of waiting for the pool to find out.
        primary.lane()?;
        let mut visit = primary.administration.visit().await?;
        let replies = visit.pipeline(commands).await?;
        primary.expect_current()?;
        Ok(replies)
    }

    /// See [`crate::store::Store::create_client`].
    ///
    /// The index is written before the record, so that no record is ever without its entry, and once more after it: a
    /// deletion of an earlier client of this id may have been about to take the entry away.
    pub async fn create_client(&self, id: &ClientId, body: Bytes, _now: Now) -> Result<ClientWrite, StoreError> {
        let version = document::FIRST_VERSION;
        let arguments = [version.to_be_bytes().to_vec(), body.into()];
        let invocation = scripts::clients::CREATE.on([self.keys.client(id.as_str())], arguments);
        let call = self.begin()?;
        let index = self.keys.client_index();
        call.command(&index, &self.index(id)).await?;
        let outcome = call.script(invocation).await?;
        call.command(&index, &self.index(id)).await?;
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
        let invocation = scripts::clients::REPLACE.on([self.keys.client(id.as_str())], arguments);
        let outcome = self.begin()?.ending(invocation).await?;
        Ok(if is_done(outcome)? { ClientWrite::Done { version: next } } else { ClientWrite::Conflict })
    }

    /// See [`crate::store::Store::delete_client`].
    ///
    /// The record goes first. If it is there again after its entry has gone, another node has created the client
    /// meanwhile, and gets the entry back. One server runs the three commands back to back; in Redis Cluster, where
    /// they go to two, there is time for that.
    pub async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        let key = self.keys.client(id.as_str());
        let index = self.keys.client_index();
        let mut forget = redis::cmd("ZREM");
        forget.arg(&index).arg(id.as_str());
        let mut look = redis::cmd("EXISTS");
        look.arg(&key);
        let call = self.begin()?;
        let unlinked = call.ending(scripts::clients::DELETE.on([key.clone()], [])).await?;
        call.command(&index, &forget).await?;
        let Value::Int(there) = call.command(&key, &look).await? else {
            return Err(Fault::unexpected_reply().into());
        };
        if there > 0 {
            call.command(&index, &self.index(id)).await?;
        }
        Ok(unlinked > 0)
    }

    fn index(&self, id: &ClientId) -> Cmd {
        let mut command = redis::cmd("ZADD");
        command.arg(self.keys.client_index()).arg(0).arg(id.as_str());
        command
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

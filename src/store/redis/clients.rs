//! Clients, and the index by which they are listed.

use bytes::Bytes;
use redis::{Cmd, Value};

use super::fault::Fault;
use super::{RedisStore, document, is_done, scripts};
use crate::client::ClientId;
use crate::store::{ClientDocument, ClientWrite, DocumentWrite, StoreError};
use crate::token::time::{Now, Stamp};

impl RedisStore {
    /// See [`crate::store::Store::client`].
    pub async fn client(&self, client_id: &str) -> Result<Option<ClientDocument>, StoreError> {
        let stored = self.begin()?.value(self.keys.client(client_id)).await?;
        Ok(stored.map(document::decode_dated).transpose()?)
    }

    /// See [`crate::store::Store::clients`].
    pub async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        let parse = |member: &[u8]| {
            let id = str::from_utf8(member).ok().and_then(ClientId::parse);
            id.ok_or_else(|| Fault::damaged("the index of clients holds no id"))
        };
        let after = after.map(|id| id.as_str().as_bytes().to_vec());
        let key = |id: &ClientId| self.keys.client(id.as_str());
        Ok(self.listed(&self.keys.client_index(), after, limit, parse, key).await?)
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
        Ok(self.replace(self.keys.client(id.as_str()), version, created, body).await?)
    }

    /// Replaces the record of a client or a user.
    pub(super) async fn replace(
        &self,
        key: String,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<DocumentWrite, Fault> {
        let Some(next) = version.checked_add(1) else { return Ok(DocumentWrite::Conflict) };
        let replaced = [version.to_be_bytes(), created.0.to_be_bytes()].concat();
        let arguments = [replaced, next.to_be_bytes().to_vec(), body.into()];
        let outcome = self.begin()?.ending(scripts::clients::REPLACE.on([key], arguments)).await?;
        Ok(if is_done(outcome)? { DocumentWrite::Done { version: next } } else { DocumentWrite::Conflict })
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

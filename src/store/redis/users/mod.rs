//! Users and their names.
//!
//! A user's record and names lie in three slots, so that no script can write them together. `creation` says how a user
//! comes to be all the same, or not at all; why it is done so: `docs/decisions/users.md`.
//!
//! What is read of users is confirmed, whether it is there or not: nobody who has just registered is told that there is
//! no such user, and one answer takes as long as the other.

mod creation;

use ::bytes::Bytes;

use self::creation::Creation;
use super::call::Call;
use super::fault::Fault;
use super::keys::{USER_INDEXES, user_index_of};
use super::scripts::{self, Invocation};
use super::{RedisStore, document};
use crate::store::{DocumentWrite, StoreError, UserCreation, UserDocument, nobody};
use crate::token::time::{Now, Stamp};
use crate::user::id::UserId;
use crate::user::name::UniqueName;

impl RedisStore {
    /// See [`crate::store::Store::create_user`].
    pub async fn create_user(
        &self,
        id: UserId,
        names: [UniqueName<'_>; 2],
        body: Bytes,
        _now: Now,
    ) -> Result<UserCreation, StoreError> {
        let creation = Creation::new(&self.fleet, &self.keys, id, names);
        // Should the caller go away meanwhile, no name stays claimed for nothing. An error means that the runtime is
        // going down, and the store with it.
        let run = tokio::spawn(async move { creation.run(body).await });
        Ok(run.await.unwrap_or_else(|_| Err(Fault::closed()))?)
    }

    /// See [`crate::store::Store::user`].
    pub async fn user(&self, id: UserId) -> Result<Option<UserDocument>, StoreError> {
        let call = self.begin()?;
        let mut reading = call.read(vec![self.keys.user(id)]).await?;
        call.confirm(&reading).await?;
        Ok(present(reading.values.pop().flatten())?)
    }

    /// See [`crate::store::Store::user_named`].
    pub async fn user_named(&self, name: UniqueName<'_>) -> Result<Option<(UserId, UserDocument)>, StoreError> {
        let call = self.begin()?;
        let mut named = call.read(vec![self.keys.user_name(name)]).await?;
        let holder = named.values.pop().flatten().map(|row| Holder::decode(&row)).transpose()?;
        // Where nobody has the name somebody is looked for who is not there, wherever that one would lie.
        let id = holder.as_ref().map_or_else(|| nobody(name), |holder| holder.id);
        let mut reading = call.read(vec![self.keys.user(id)]).await?;
        call.confirm_all([&named, &reading]).await?;
        let document = present(reading.values.pop().flatten())?;
        Ok(holder.and(document).map(|document| (id, document)))
    }

    /// See [`crate::store::Store::replace_user`].
    pub async fn replace_user(
        &self,
        id: UserId,
        version: u64,
        created: Stamp,
        body: Bytes,
    ) -> Result<DocumentWrite, StoreError> {
        // Of version 0 is who is still to come.
        if version < document::FIRST_VERSION {
            return Ok(DocumentWrite::Conflict);
        }
        Ok(self.replace(self.keys.user(id), version, created, body).await?)
    }

    /// See [`crate::store::Store::delete_user`].
    ///
    /// Nobody of this id comes again, so that its entry in the index can go at any time.
    pub async fn delete_user(&self, id: UserId, names: [UniqueName<'_>; 2]) -> Result<bool, StoreError> {
        let call = self.begin()?;
        let deleted = call.ending(scripts::clients::DELETE.on([self.keys.user(id)], [])).await?;
        call.scripts(&names.map(|name| release(self.keys.user_name(name), id))).await?;
        unlist(&call, &self.keys.user_index(user_index_of(id)), id).await?;
        Ok(deleted > 0)
    }

    /// See [`crate::store::Store::users`].
    pub async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<(UserId, UserDocument)>, StoreError> {
        let parse = |member: &[u8]| {
            let id = member.try_into().map(UserId);
            id.map_err(|_| Fault::damaged("the index of users holds no id"))
        };
        let mut users = Vec::new();
        let first = after.map_or(0, user_index_of);
        for part in first..USER_INDEXES {
            let after = after.filter(|_| part == first).map(|id| id.0.to_vec());
            let index = self.keys.user_index(part);
            users.extend(self.listed(&index, after, limit - users.len(), parse, |id| self.keys.user(*id)).await?);
        }
        Ok(users)
    }
}

/// Whose a name is.
struct Holder {
    /// Whether it is theirs; otherwise it is only claimed.
    is_theirs: bool,
    id: UserId,
}

impl Holder {
    /// Reads what `scripts/users.rs` writes: state, stamp, id.
    fn decode(row: &[u8]) -> Result<Self, Fault> {
        const BYTES: usize = 1 + 8 + UserId::BYTES;
        let (&state, id) = row
            .first()
            .zip(row.last_chunk())
            .filter(|(state, _)| row.len() == BYTES && **state <= 1)
            .ok_or_else(|| Fault::damaged("whose a name is cannot be read"))?;
        Ok(Self { is_theirs: state == 1, id: UserId(*id) })
    }
}

/// A user's record, unless the user is still to come.
fn present(stored: Option<Vec<u8>>) -> Result<Option<UserDocument>, Fault> {
    let document = stored.map(document::decode_dated).transpose()?;
    Ok(document.filter(|document| document.version >= document::FIRST_VERSION))
}

/// What gives a name back.
fn release(name: String, id: UserId) -> Invocation {
    scripts::users::RELEASE.on([name], [id.0.to_vec()])
}

/// Takes an id out of its part of the index.
async fn unlist(call: &Call, index: &str, id: UserId) -> Result<(), Fault> {
    let mut command = redis::cmd("ZREM");
    command.arg(index).arg(&id.0[..]);
    call.command(index, &command).await.map(drop)
}

#[cfg(test)]
mod tests;

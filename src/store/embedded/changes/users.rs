//! Users, and the names that are theirs.

use redb::ReadableTable as _;

use super::Changes;
use super::clients::replacement;
use crate::store::embedded::fault::Stop;
use crate::store::embedded::tables::{NAMES, USERS, dated_document, dated_row};
use crate::store::embedded::write::UserName;
use crate::store::{DocumentWrite, StoreError, StoreErrorKind, UserCreation};
use crate::token::time::{Now, Stamp};
use crate::user::id::UserId;

/// Each opens the tables it needs: few transactions are about users, and each table costs all that open it.
impl Changes<'_> {
    pub(super) fn create_user(
        &mut self,
        id: UserId,
        names: [UserName; 2],
        body: &[u8],
        now: Now,
    ) -> Result<UserCreation, Stop> {
        const FIRST_VERSION: u64 = 1;
        let mut users = self.transaction.open_table(USERS)?;
        let mut owners = self.transaction.open_table(NAMES)?;
        for name in names {
            let owner = owners.get(&name.digest)?.map(|owner| *owner.value());
            if let Some(owner) = owner
                && users.get(&owner)?.is_some()
            {
                return Ok(UserCreation::Taken(name.kind));
            }
        }
        if users.get(&id.0)?.is_some() {
            return Err(StoreError::new(StoreErrorKind::Refused, "a user of this id is there already").into());
        }
        users.insert(&id.0, dated_row(FIRST_VERSION, self.stamps.next(now), body).as_slice())?;
        for name in names {
            owners.insert(&name.digest, &id.0)?;
        }
        self.changed = true;
        Ok(UserCreation::Done { version: FIRST_VERSION })
    }

    pub(super) fn replace_user(
        &mut self,
        id: UserId,
        version: u64,
        created: Stamp,
        body: &[u8],
    ) -> Result<DocumentWrite, Stop> {
        let mut users = self.transaction.open_table(USERS)?;
        let document = users.get(&id.0)?.map(|row| dated_document(row.value())).transpose()?;
        let Some((next, row)) = replacement(document, version, created, body) else {
            return Ok(DocumentWrite::Conflict);
        };
        users.insert(&id.0, row.as_slice())?;
        self.changed = true;
        Ok(DocumentWrite::Done { version: next })
    }

    pub(super) fn delete_user(&mut self, id: UserId, names: [UserName; 2]) -> Result<bool, Stop> {
        let mut users = self.transaction.open_table(USERS)?;
        let mut owners = self.transaction.open_table(NAMES)?;
        let existed = users.remove(&id.0)?.is_some();
        self.changed |= existed;
        for name in names {
            let is_theirs = owners.get(&name.digest)?.is_some_and(|owner| *owner.value() == id.0);
            if is_theirs {
                owners.remove(&name.digest)?;
                self.changed = true;
            }
        }
        Ok(existed)
    }
}

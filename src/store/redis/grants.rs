//! Grants: what is kept of them, rotation, and what of them is revoked.

use super::fault::Fault;
use super::scripts::{self, Invocation};
use super::tokens::{decode_mark, unfit};
use super::{RedisStore, end_with_grace, is_done, milliseconds, moment};
use crate::store::{NewGrant, Rotation, RotationOutcome, StoreError, stored_mark};
use crate::token::digest::GrantId;
use crate::token::grant::{GrantMark, GrantRecord};
use crate::token::time::{Now, UnixSeconds};

impl RedisStore {
    /// See [`crate::store::Store::grant`].
    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantRecord>, StoreError> {
        let call = self.begin()?;
        let mut reading = call.read(vec![self.keys.grant(id)]).await?;
        let Some(stored) = reading.values.pop().flatten() else {
            call.confirm(&reading).await?;
            return Ok(None);
        };
        Ok(Some(GrantRecord::decode(&stored).map_err(|error| Fault::damaged(error.to_string()))?))
    }

    /// See [`crate::store::Store::rotate`].
    ///
    /// The access token and the grant lie in different slots, so it takes two steps. An access token whose grant then
    /// turned out to have gone on without it was never given to anybody, and is taken back.
    pub async fn rotate(&self, rotation: &Rotation, now: Now) -> Result<RotationOutcome, StoreError> {
        let access = rotation.access.as_ref();
        let keys = [self.keys.grant(rotation.grant), self.keys.grant_mark(rotation.grant)];
        let to = rotation.to.encode().map_err(unfit)?;
        let rotated = scripts::grants::ROTATE.on(keys, [rotation.from.0.to_vec(), to, moment(rotation.keep_until)]);
        let call = self.begin()?;
        if let Some((digest, record)) = access {
            let (insertion, profile) = self.insertion(&call, *digest, record, now).await?;
            if !is_done(call.script(insertion).await?)? {
                return Err(Fault::refused("the new access token is there already").into());
            }
            if let Some(profile) = profile {
                // What has happened to Redis meanwhile may have cost it the profile.
                self.keep_profile(&call, &profile, record, now).await?;
            }
        }
        let outcome = match call.script(rotated).await? {
            scripts::DONE => return Ok(RotationOutcome::Done),
            scripts::grants::ABSENT => RotationOutcome::Absent,
            scripts::grants::SUPERSEDED => RotationOutcome::Superseded,
            scripts::grants::REVOKED => RotationOutcome::Revoked,
            _ => return Err(Fault::unexpected_reply().into()),
        };
        if let Some((digest, _)) = access {
            let token = self.keys.token(*digest);
            let mut unlink = redis::cmd("UNLINK");
            unlink.arg(&token).arg(self.keys.tombstone(*digest));
            // What cannot be taken back expires.
            let _ = call.command(&token, &unlink).await;
        }
        Ok(outcome)
    }

    /// See [`crate::store::Store::grant_mark`].
    pub async fn grant_mark(&self, id: GrantId) -> Result<GrantMark, StoreError> {
        let stored = self.begin()?.value(self.keys.grant_mark(id)).await?;
        Ok(stored.map_or(Ok(GrantMark::default()), |stored| decode_mark(&stored))?)
    }

    /// See [`crate::store::Store::mark_grant`].
    pub async fn mark_grant(
        &self,
        id: GrantId,
        before: &GrantMark,
        after: &GrantMark,
        expires_at: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let arguments = [stored_mark(before), stored_mark(after), end_with_grace(expires_at)];
        let invocation = scripts::grants::MARK.on([self.keys.grant_mark(id)], arguments);
        let done = is_done(self.begin()?.ending(invocation).await?)?;
        if done {
            self.grant_stays_approved(id, before, after, end_with_grace(expires_at)).await?;
        }
        Ok(done)
    }

    /// What keeps a new grant.
    pub(super) fn grant_insertion(&self, grant: &NewGrant, now: Now) -> Result<Invocation, Fault> {
        let arguments = [grant.record.encode().map_err(unfit)?, moment(grant.keep_until), milliseconds(now)];
        Ok(scripts::grants::INSERT.on([self.keys.grant(grant.id)], arguments))
    }
}

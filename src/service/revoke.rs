//! Ending tokens (RFC 7009).

use std::sync::Arc;

use super::Service;
use crate::client::{Client, Right};
use crate::store::{StoreError, StoreErrorKind, Transition};
use crate::token::digest::TokenDigest;
use crate::token::keyring::Candidates;
use crate::token::record::{Reason, State};
use crate::token::time::Now;
use crate::token::value::Presented;

/// How a revocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The token is revoked, and was not before.
    Revoked,
    /// There is nothing left to do: expired, or revoked before.
    NothingToDo,
    /// There is no such token.
    Unknown,
    /// It belongs to another client; it is untouched.
    NotOwned,
}

impl Service {
    /// Revokes the token that was presented, and with it every token of its grant (RFC 7009 section 2.1).
    ///
    /// Once begun it is carried through, even if the caller goes away and this future is dropped.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be said that the token is revoked.
    pub async fn revoke(
        self: &Arc<Self>,
        caller: &Client,
        presented: Presented<'_>,
        now: Now,
    ) -> Result<Revocation, StoreError> {
        let candidates = match self.keys.recognise(presented) {
            Candidates::Garbage => return Ok(Revocation::Unknown),
            // Another node may have made it with a key that this one has not been given yet.
            Candidates::UnknownKey(id) => {
                let detail = format!("a token of the key {id} is to be revoked, and this node does not have that key");
                return Err(StoreError::new(StoreErrorKind::Unavailable, detail));
            }
            candidates => candidates,
        };
        let mut outcome = Revocation::Unknown;
        // An imported token may stand under several keys, if two nodes took it over at once: all of them end.
        for digest in candidates.digests() {
            match self.revoke_one(caller, *digest, now).await? {
                Revocation::Unknown => {}
                Revocation::NotOwned => return Ok(Revocation::NotOwned),
                Revocation::NothingToDo if outcome == Revocation::Revoked => {}
                other => outcome = other,
            }
        }
        Ok(outcome)
    }

    async fn revoke_one(
        self: &Arc<Self>,
        caller: &Client,
        digest: TokenDigest,
        now: Now,
    ) -> Result<Revocation, StoreError> {
        let Some((digest, record)) = self.store.token(&[digest]).await? else {
            return Ok(Revocation::Unknown);
        };
        let owned = *record.client_id == *caller.client_id.as_str();
        if !owned && !caller.rights.contains(Right::Revoke) {
            // Of an expired token nobody but its owner needs to know that it once was one.
            let expired = record.expires_at <= now.seconds();
            return Ok(if expired { Revocation::NothingToDo } else { Revocation::NotOwned });
        }
        // One that has expired by our clock is revoked all the same: the clock of another node may be behind.
        let service = Arc::clone(self);
        let carried_through = tokio::spawn(async move {
            // The grant first: were the process to end between the two, a refresh could otherwise still succeed.
            if let Some(grant) = record.grant {
                service.store.revoke_grant(grant, Reason::REQUESTED).await?;
            }
            service.store.set_state(digest, State::Revoked(Reason::REQUESTED), now).await
        });
        let transition = carried_through.await.map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable, "the revocation was cut short by the end of the process")
        })??;
        Ok(match transition {
            Transition::Changed => Revocation::Revoked,
            Transition::Unchanged | Transition::Absent => Revocation::NothingToDo,
        })
    }
}

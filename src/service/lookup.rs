//! From what a peer presented to a live record: the authoritative read.

use super::Service;
use super::registry::KnownClient;
use crate::client::ClientState;
use crate::store::StoreError;
use crate::token::decision::{Inactive, Parents, Standing, decide};
use crate::token::digest::TokenDigest;
use crate::token::keyring::Candidates;
use crate::token::record::{Record, State};
use crate::token::time::Now;
use crate::token::value::Presented;

/// An active token, and the client it was issued to.
#[derive(Clone, Debug)]
pub struct ActiveToken {
    /// Its name in the store, and its `jti`.
    pub digest: TokenDigest,
    /// What is known of it.
    pub record: Record,
    /// Its owner.
    pub owner: KnownClient,
}

impl Service {
    /// Finds the token that was presented, and decides whether it is active.
    ///
    /// Safe to drop at any point.
    ///
    /// # Errors
    /// [`StoreError`] when the state could not be read: then nothing is known, and nothing may be concluded.
    pub async fn lookup(
        &self,
        presented: Presented<'_>,
        now: Now,
    ) -> Result<Result<ActiveToken, Inactive>, StoreError> {
        let candidates = self.keys.recognise(presented);
        if candidates.digests().is_empty() {
            if let Candidates::UnknownKey(id) = candidates {
                tracing::debug!(key = %id, "a token names a key that this node does not have");
            }
            return Ok(Err(Inactive::Malformed));
        }
        let Some((digest, record)) = self.store.token(candidates.digests()).await? else {
            return Ok(Err(Inactive::Unknown));
        };
        // What the record alone decides needs no second read.
        if let Err(reason) = decide(&record, &Parents::APPROVED, now.seconds()) {
            return Ok(Err(reason));
        }
        let surroundings = self.store.surroundings(&record.client_id, record.grant.map(|grant| grant.id)).await?;
        let Some(owner) = self.registry.resolve(&record.client_id, surroundings.client)? else {
            return Ok(Err(Inactive::ParentRevoked));
        };
        let parents = Parents {
            client: standing_of(&owner, &record),
            user: Standing::Approved,
            grant: surroundings.grant,
            epoch: None,
        };
        debug_assert_eq!(record.state, State::Approved);
        Ok(decide(&record, &parents, now.seconds()).map(|()| ActiveToken { digest, record, owner }))
    }
}

/// A client that was deleted does not come back when another of the same id is created or declared.
fn standing_of(owner: &KnownClient, record: &Record) -> Standing {
    match owner.client.state {
        ClientState::Approved if owner.created == record.owner_created => Standing::Approved,
        ClientState::Approved | ClientState::Revoked => Standing::Revoked,
    }
}

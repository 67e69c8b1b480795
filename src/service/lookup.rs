//! From what a peer presented to a live record: the authoritative read.

use super::Service;
use super::access_token::is_from_the_future;
use super::registry::KnownClient;
use crate::client::ClientState;
use crate::store::{Around, Signed, StoreError, Surroundings};
use crate::token::decision::{Inactive, Parents, Standing, decide};
use crate::token::identity::Identity;
use crate::token::keyring::Candidates;
use crate::token::record::{Record, State};
use crate::token::time::Now;
use crate::token::value::Presented;

/// An active token, and the client it was issued to.
#[derive(Clone, Debug)]
pub struct ActiveToken {
    /// Its name.
    pub identity: Identity,
    /// What is known of it.
    pub record: Record,
    /// Its owner.
    pub owner: KnownClient,
}

/// A token that is there, whether or not it is active.
#[derive(Clone, Debug)]
pub struct Located {
    /// Its name.
    pub identity: Identity,
    /// What is known of it. Of a refresh token that has been exchanged, what is known of the current one.
    pub record: Record,
    /// For a refresh token: whether it has been exchanged for another.
    pub spent: bool,
}

/// A token with everything that can end it.
#[derive(Clone, Debug)]
pub struct Surrounded {
    /// Its record, with the state that a signed token has in the store.
    pub record: Record,
    /// What surrounds it.
    pub parents: Parents,
    /// Its owner; `None` when there is none any longer.
    pub owner: Option<KnownClient>,
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
        let Located { identity, record, spent } = match self.locate(presented, now).await? {
            Ok(located) => located,
            Err(reason) => return Ok(Err(reason)),
        };
        if spent {
            return Ok(Err(Inactive::Spent));
        }
        if is_from_the_future(&identity, &record, now) {
            return Ok(Err(Inactive::NotYetValid));
        }
        // What the record alone decides needs no second read.
        if let Err(reason) = decide(identity.digest(), &record, &Parents::APPROVED, now.seconds()) {
            return Ok(Err(reason));
        }
        let Surrounded { record, parents, owner } = self.surround(&identity, record).await?;
        Ok(decide(identity.digest(), &record, &parents, now.seconds()).and_then(|()| {
            let owner = owner.ok_or(Inactive::ParentRevoked)?;
            Ok(ActiveToken { identity, record, owner })
        }))
    }

    /// Finds what is known of the token that was presented, by itself.
    pub(super) async fn locate(
        &self,
        presented: Presented<'_>,
        now: Now,
    ) -> Result<Result<Located, Inactive>, StoreError> {
        if let Some(located) = self.locate_signed(presented, now).await? {
            return Ok(Ok(located));
        }
        let candidates = self.keys.recognise(presented);
        match candidates {
            Candidates::Garbage => Ok(Err(Inactive::Malformed)),
            Candidates::UnknownKey(id) => {
                tracing::debug!(key = %id, "a token names a key that this node does not have");
                Ok(Err(Inactive::Malformed))
            }
            Candidates::Refresh { grant, digest } => {
                Ok(self.locate_refresh(Identity::Refresh { grant, digest }).await?.ok_or(Inactive::Unknown))
            }
            Candidates::One(_) | Candidates::Imported(_) => {
                let found = self.store.token(candidates.digests()).await?;
                let located = |(digest, record)| Located { identity: Identity::Opaque(digest), record, spent: false };
                Ok(found.map(located).ok_or(Inactive::Unknown))
            }
        }
    }

    /// Finds what is known of a refresh token.
    pub(super) async fn locate_refresh(&self, identity: Identity) -> Result<Option<Located>, StoreError> {
        let Identity::Refresh { grant, digest } = identity else { return Ok(None) };
        let record = self.store.grant(grant).await?;
        Ok(record.map(|record| Located { identity, spent: record.current != digest, record: record.token }))
    }

    /// Reads what can end a token from outside.
    pub(super) async fn surround(&self, identity: &Identity, record: Record) -> Result<Surrounded, StoreError> {
        let signed = match identity {
            Identity::Signed { digest, key, .. } => {
                Some(Signed { token: *digest, key: key.as_deref().unwrap_or_default() })
            }
            Identity::Opaque(_) | Identity::Refresh { .. } => None,
        };
        let around = Around {
            client_id: &record.client_id,
            subject: record.subject.as_deref(),
            grant: record.grant.map(|grant| grant.id),
            signed,
        };
        let Surroundings { client, grant, epochs, revoked } = self.store.surroundings(around).await?;
        let owner = self.registry.resolve(&record.client_id, client)?;
        let parents = Parents {
            client: owner.as_ref().map_or(Standing::Revoked, |owner| standing_of(owner, &record)),
            user: Standing::Approved,
            grant,
            epochs,
        };
        let state = revoked.map_or(record.state, State::Revoked);
        Ok(Surrounded { record: Record { state, ..record }, parents, owner })
    }
}

/// A client that was deleted does not come back when another of the same id is created or declared.
fn standing_of(owner: &KnownClient, record: &Record) -> Standing {
    match owner.client.state {
        ClientState::Approved if owner.created == record.owner_created => Standing::Approved,
        ClientState::Approved | ClientState::Revoked => Standing::Revoked,
    }
}

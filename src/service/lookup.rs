//! From what a peer presented to a live record: from memory while it is certain that nothing has changed, else read.

use std::sync::Arc;

use super::Service;
use super::access_token::{Verified, is_from_the_future};
use super::registry::KnownClient;
use super::remembered::{self, Known};
use crate::cache::flights::Way;
use crate::cache::near::Kept;
use crate::cache::sample::Sample;
use crate::client::ClientState;
use crate::coherence::name::{Name, UserGroup};
use crate::store::{Around, Signed, StoreError, Surroundings};
use crate::token::decision::{Inactive, Parents, Standing, decide};
use crate::token::digest::TokenDigest;
use crate::token::epoch::EpochAxis;
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

/// An active token as it was found, with what may be said of it once more.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) token: Arc<ActiveToken>,
    /// What is remembered of it, if it is; under which name.
    pub(super) remembered: Option<(TokenDigest, Arc<Kept<Known>>)>,
}

/// Where an answer may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// From memory, while it is certain that it still holds.
    #[default]
    Certain,
    /// From the store, by a read that begins after the question.
    Read,
}

/// What was presented, as far as can be told without reading anything of it.
enum Target {
    Signed(Arc<Verified>),
    /// The digests under which there may be a record, the first of them one that no other text has.
    Stored(Candidates),
    Refresh(Identity),
}

impl Target {
    /// What it is remembered by; refresh tokens are not.
    fn key(&self) -> Option<TokenDigest> {
        match self {
            Self::Signed(verified) => Some(verified.digest()),
            Self::Stored(candidates) => candidates.digests().first().copied(),
            Self::Refresh(_) => None,
        }
    }

    /// The names of its own states. That another record of the same text appears, which would be found before, changes
    /// the answer too.
    fn names(&self) -> impl Iterator<Item = Name<'_>> {
        let (signed, stored) = match self {
            Self::Signed(verified) => (Some(verified.digest()), &[][..]),
            Self::Stored(candidates) => (None, candidates.digests()),
            Self::Refresh(_) => (None, &[][..]),
        };
        signed.into_iter().chain(stored.iter().copied()).map(Name::Token)
    }

    /// Whether it may be taken over one day by its value, which no node announces: then that it is not there yet is not
    /// worth remembering. A text of our own making that is not there never will be.
    fn may_appear(&self) -> bool {
        matches!(self, Self::Stored(Candidates::Imported(_)))
    }

    /// What `kept` says of it at `now`; `None` when it says nothing.
    fn judge(&self, kept: &Known, now: Now) -> Option<Result<Arc<ActiveToken>, Inactive>> {
        let same = match self {
            Self::Signed(verified) => kept.is_of(verified),
            Self::Stored(_) | Self::Refresh(_) => true,
        };
        if same { kept.judge(now) } else { None }
    }
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
    ) -> Result<Result<Arc<ActiveToken>, Inactive>, StoreError> {
        Ok(self.find(presented, Freshness::Certain, now).await?.map(|found| found.token))
    }

    /// The same, with what is remembered of it.
    pub(super) async fn find(
        &self,
        presented: Presented<'_>,
        freshness: Freshness,
        now: Now,
    ) -> Result<Result<Found, Inactive>, StoreError> {
        let target = match self.target(presented, now).await? {
            Ok(target) => target,
            Err(reason) => return Ok(Err(reason)),
        };
        let tokens = &self.remembered;
        let Some(key) = target.key().filter(|_| tokens.is_enabled()) else {
            let read = Box::pin(self.read(&target, freshness, now)).await?;
            return Ok(found(&target, None, &Arc::new(read), now));
        };
        if freshness == Freshness::Certain
            && let Some(kept) = tokens.get(key)
            && let Some(answer) = target.judge(&kept.value, now)
        {
            return Ok(answer.map(|token| Found { token, remembered: Some((key, kept)) }));
        }
        // On the heap: it would make the future of every hit larger.
        Box::pin(self.find_in_store(&target, key, freshness, now)).await
    }

    async fn find_in_store(
        &self,
        target: &Target,
        key: TokenDigest,
        freshness: Freshness,
        now: Now,
    ) -> Result<Result<Found, Inactive>, StoreError> {
        let tokens = &self.remembered;
        let read = async || {
            let kept = Arc::new(self.read(target, freshness, now).await?);
            if !target.may_appear() || !kept.value.is_unknown() {
                tokens.keep(key, &kept);
            }
            Ok(kept)
        };
        let (reading, way) = match freshness {
            Freshness::Read => return Ok(found(target, Some(key), &read().await?, now)),
            Freshness::Certain => tokens.share(key, read).await,
        };
        let kept = match reading {
            // Somebody else's reading may say nothing about this moment, or about this text.
            Ok(kept) if way == Way::Joined && target.judge(&kept.value, now).is_none() => read().await?,
            Ok(kept) => kept,
            Err(error) => return tokens.known_inactive(key, now).map_or(Err(error), |reason| Ok(Err(reason))),
        };
        Ok(found(target, Some(key), &kept, now))
    }

    /// Tells what was presented.
    async fn target(&self, presented: Presented<'_>, now: Now) -> Result<Result<Target, Inactive>, StoreError> {
        if let Some(verified) = self.verified(presented, now).await? {
            return Ok(Ok(Target::Signed(verified)));
        }
        match self.keys.recognise(presented) {
            Candidates::Garbage => Ok(Err(Inactive::Malformed)),
            Candidates::UnknownKey(id) => {
                tracing::debug!(key = %id, "a token names a key that this node does not have");
                Ok(Err(Inactive::Malformed))
            }
            Candidates::Refresh { grant, digest } => Ok(Ok(Target::Refresh(Identity::Refresh { grant, digest }))),
            candidates @ (Candidates::One(_) | Candidates::Imported(_)) => Ok(Ok(Target::Stored(candidates))),
        }
    }

    /// Reads all that decides whether a token is active, now or later.
    ///
    /// What its names are is known only after the record has been read. But a record says for good what it says, all
    /// but its state, which has the token's own name; so the others may be sampled after that, before they are read.
    async fn read(&self, target: &Target, freshness: Freshness, now: Now) -> Result<Kept<Known>, StoreError> {
        let coherence = self.remembered.coherence();
        // What is not going to be remembered needs none.
        let keeps = self.remembered.is_enabled();
        let sample = Sample::take(coherence, keeps.then(|| target.names()).into_iter().flatten());
        let located = match target {
            Target::Signed(verified) => Some(verified.located()),
            Target::Refresh(identity) => Box::pin(self.locate_refresh(identity.clone())).await?,
            Target::Stored(candidates) => self
                .store
                .token(candidates.digests())
                .await?
                .map(|(digest, record)| Located { identity: Identity::Opaque(digest), record, spent: false }),
        };
        let Some(Located { identity, record, spent }) = located else {
            return Ok(Kept { sample, value: remembered::unknown() });
        };
        let expires_at = record.expires_at;
        let inactive = |sample, reason, lasting| Kept { sample, value: Known::inactive(reason, expires_at, lasting) };
        if spent {
            return Ok(inactive(sample, Inactive::Spent, true));
        }
        if is_from_the_future(&identity, &record, now) {
            return Ok(inactive(sample, Inactive::NotYetValid, false));
        }
        // What the record alone decides needs no second read.
        if let Err(reason) = decide(identity.digest(), &record, &Parents::APPROVED, now.seconds()) {
            return Ok(inactive(sample, reason, is_final(&record)));
        }
        let names = keeps.then(|| surrounding_names(&identity, &record));
        let sample = sample.further(coherence, names.into_iter().flatten());
        let Surrounded { record, parents, owner } = self.surround(&identity, record, freshness).await?;
        let decided = decide(identity.digest(), &record, &parents, now.seconds());
        Ok(match (decided, owner) {
            (Ok(()), Some(owner)) => Kept { sample, value: Known::active(ActiveToken { identity, record, owner }) },
            (Ok(()), None) => inactive(sample, Inactive::ParentRevoked, false),
            (Err(reason), _) => {
                let by_epoch = parents.epochs.covering(record.origin()).is_some();
                inactive(sample, reason, is_final(&record) || by_epoch || parents.grant.is_final())
            }
        })
    }

    /// Finds what is known of a refresh token.
    pub(super) async fn locate_refresh(&self, identity: Identity) -> Result<Option<Located>, StoreError> {
        let Identity::Refresh { grant, digest } = identity else { return Ok(None) };
        let record = self.store.grant(grant).await?;
        Ok(record.map(|record| Located { identity, spent: record.current != digest, record: record.token }))
    }

    /// Finds what can end a token from outside.
    pub(super) async fn surround(
        &self,
        identity: &Identity,
        record: Record,
        freshness: Freshness,
    ) -> Result<Surrounded, StoreError> {
        let from_memory = freshness == Freshness::Certain;
        let certain = if from_memory { self.registry.certain(&record.client_id) } else { None };
        // Before it is read.
        let sample = certain.is_none().then(|| Sample::take(self.store.coherence(), [Name::Client(&record.client_id)]));
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
            origin: record.origin(),
            with_client: certain.is_none(),
            from_memory,
        };
        let Surroundings { client, grant, epochs, revoked } = self.store.surroundings(around).await?;
        let owner = match certain {
            Some(certain) => Some(certain),
            None => self.registry.resolve(&record.client_id, client)?,
        };
        if let (Some(owner), Some(sample)) = (&owner, sample) {
            self.registry.learn(sample, owner);
        }
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

/// What was found, as it is at `now`.
fn found(target: &Target, key: Option<TokenDigest>, kept: &Arc<Kept<Known>>, now: Now) -> Result<Found, Inactive> {
    // What says nothing about this moment was read in it: its time has not come.
    let token = target.judge(&kept.value, now).unwrap_or(Err(Inactive::NotYetValid))?;
    Ok(Found { token, remembered: key.map(|key| (key, Arc::clone(kept))) })
}

/// Whether a record is revoked so that nothing can approve it.
fn is_final(record: &Record) -> bool {
    matches!(record.state, State::Revoked(reason) if reason.is_final())
}

/// The names of what surrounds a token: see [`Service::surround`].
fn surrounding_names<'a>(identity: &'a Identity, record: &'a Record) -> impl Iterator<Item = Name<'a>> {
    let client_id = &*record.client_id;
    let subject = record.subject.as_deref();
    let key = match identity {
        Identity::Signed { key, .. } => Some(key.as_deref().unwrap_or_default()),
        Identity::Opaque(_) | Identity::Refresh { .. } => None,
    };
    [
        Some(Name::Client(client_id)),
        record.grant.map(|grant| Name::Grant(grant.id)),
        Some(Name::Epoch(EpochAxis::Issuer)),
        Some(Name::Epoch(EpochAxis::Client(client_id))),
        subject.map(|subject| Name::Epoch(EpochAxis::User(subject))),
        subject.map(|subject| Name::Epoch(EpochAxis::ClientUser { client_id, subject })),
        subject.map(|subject| Name::Users(UserGroup::of(subject))),
        key.map(|key| Name::Epoch(EpochAxis::Key(key))),
    ]
    .into_iter()
    .flatten()
}

/// A client that was deleted does not come back when another of the same id is created or declared.
fn standing_of(owner: &KnownClient, record: &Record) -> Standing {
    match owner.client.state {
        ClientState::Approved if owner.created == record.owner_created => Standing::Approved,
        ClientState::Approved | ClientState::Revoked => Standing::Revoked,
    }
}

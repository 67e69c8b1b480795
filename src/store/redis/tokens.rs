//! Tokens: those that have a record, those that have none because they are signed, and what surrounds both.

use redis::Value;

use super::call::Call;
use super::dataset::{self, Marker};
use super::epochs::{Known, Remembered, Whose};
use super::fault::Fault;
use super::scripts::{self, Invocation};
use super::{RedisStore, document, end_with_grace, is_done, milliseconds, moment};
use crate::coherence::name::UserGroup;
use crate::store::{Around, Insertion, NewGrant, StoreError, Surroundings, Transition};
use crate::token::codec::EncodeError;
use crate::token::digest::TokenDigest;
use crate::token::epoch::{Epoch, EpochAxis, Epochs};
use crate::token::grant::GrantMark;
use crate::token::record::{Reason, Record, State};
use crate::token::time::{Now, UnixSeconds};

impl RedisStore {
    /// See [`crate::store::Store::token`].
    pub async fn token(&self, digests: &[TokenDigest]) -> Result<Option<(TokenDigest, Record)>, StoreError> {
        let keys: Vec<_> = digests.iter().map(|digest| self.keys.token(*digest)).collect();
        let call = self.begin()?;
        let mut reading = call.read(keys).await?;
        for (digest, stored) in digests.iter().zip(std::mem::take(&mut reading.values)) {
            if let Some(stored) = stored {
                return Ok(Some((*digest, self.record(&call, &stored).await?)));
            }
        }
        Box::pin(call.confirm(&reading)).await?;
        Ok(None)
    }

    /// See [`crate::store::Store::surroundings`].
    pub async fn surroundings(&self, around: Around<'_>) -> Result<Surroundings, StoreError> {
        let Around { client_id, subject, grant, signed, origin, with_client, from_memory } = around;
        let keys = &self.keys;
        let memory = self.epochs.as_ref();
        let known = memory.filter(|_| from_memory).map_or_else(Known::default, |memory| memory.around(&around));
        // Where the group's does not cover the token, neither of those that it stands for does.
        let of_users = subject.filter(|_| known.group.is_none_or(|group| group.covers(origin)));
        let asking = |whose, is_known: bool| memory.filter(|_| !is_known).map(|memory| memory.asking(whose));
        let asked_issuer = asking(Whose::Issuer, known.issuer.is_some());
        let asked_client = asking(Whose::Client(client_id.into()), known.client.is_some());
        let asked_group =
            subject.and_then(|subject| asking(Whose::Group(UserGroup::of(subject)), known.group.is_some()));
        let asked = [
            with_client.then(|| keys.client(client_id)),
            grant.map(|grant| keys.grant_mark(grant)),
            signed.map(|signed| keys.tombstone(signed.token)),
            known.client.is_none().then(|| keys.epoch(EpochAxis::Client(client_id))),
            of_users.map(|subject| keys.epoch(EpochAxis::User(subject))),
            of_users.map(|subject| keys.epoch(EpochAxis::ClientUser { client_id, subject })),
            asked_group.as_ref().and(subject).map(|subject| keys.group_of(subject)),
            signed.map(|signed| keys.epoch(EpochAxis::Key(signed.key))),
        ];
        let is_wanted = asked.each_ref().map(Option::is_some);
        let asked_keys: Vec<_> = asked.into_iter().flatten().collect();
        let (values, issuer) = match known.issuer {
            Some(Remembered(issuer)) if asked_keys.is_empty() => (Vec::new(), issuer),
            known_issuer => {
                let call = self.begin()?;
                let reading = call.read(asked_keys).await?;
                let issuer = match known_issuer {
                    Some(Remembered(issuer)) => issuer,
                    None if reading.has_marker() => reading.issuer_epoch(),
                    None => Box::pin(self.issuer_epoch(&call)).await?,
                };
                (reading.values, issuer)
            }
        };
        let mut values = values.into_iter();
        let [client, grant, revoked, of_client, of_user, of_both, of_group, of_key] =
            is_wanted.map(|is_wanted| if is_wanted { values.next().flatten() } else { None });
        let epoch = |stored: Option<Vec<u8>>| stored.map(|stored| decode_epoch(&stored)).transpose();
        let learn = |asked, read| match (memory, asked) {
            (Some(memory), Some(asked)) => memory.learn(asked, read),
            _ => read,
        };
        let issuer = learn(asked_issuer, issuer);
        let of_client = known.client.map_or_else(|| epoch(of_client), |Remembered(epoch)| Ok(epoch))?;
        let of_client = learn(asked_client, of_client);
        learn(asked_group, epoch(of_group)?);
        let (of_user, of_both) = (epoch(of_user)?, epoch(of_both)?);
        if let (Some(memory), Some(subject)) = (memory, subject) {
            of_user.into_iter().chain(of_both).for_each(|epoch| memory.saw(subject, epoch));
        }
        let client = client.map(document::decode_dated).transpose()?;
        let grant = grant.map_or(Ok(GrantMark::default()), |mark| decode_mark(&mark))?;
        let revoked = epoch(revoked)?.map(|tombstone| tombstone.reason);
        let epochs = Epochs { issuer, client: of_client, user: of_user, client_user: of_both, key: epoch(of_key)? };
        Ok(Surroundings { client, grant, epochs, revoked })
    }

    /// The epoch of all tokens, where it was not read beside something else.
    async fn issuer_epoch(&self, call: &Call) -> Result<Option<Epoch>, Fault> {
        let stored = call.value(self.keys.marker(0)).await?;
        Ok(Marker::read(stored.map_or(Value::Nil, Value::BulkString))?.ok_or_else(dataset::lost)?.epoch)
    }

    /// See [`crate::store::Store::insert`].
    pub async fn insert(
        &self,
        tokens: &[(TokenDigest, Record)],
        grant: Option<&NewGrant>,
        now: Now,
    ) -> Result<Insertion, StoreError> {
        // All are encoded before any is sent: a record that does not fit must not leave its companions behind.
        let grant = grant.map(|grant| self.grant_insertion(grant, now)).transpose()?;
        let call = self.begin()?;
        let (mut insertions, mut profiles) = (Vec::new(), Vec::new());
        for (digest, record) in tokens {
            let (insertion, profile) = self.insertion(&call, *digest, record, now).await?;
            insertions.push(insertion);
            profiles.extend(profile.map(|profile| (profile, record)));
        }
        let (call, outcomes) = scripts_to_the_end(call, insertions).await?;
        for (profile, record) in profiles {
            // What has happened to Redis meanwhile may have cost it the profile.
            self.keep_profile(&call, &profile, record, now).await?;
        }
        let mut all = true;
        for outcome in outcomes {
            all &= is_done(outcome)?;
        }
        if let Some(grant) = grant.filter(|_| all) {
            all = is_done(call.script(grant).await?)?;
        }
        Ok(if all { Insertion::Done } else { Insertion::Exists })
    }

    /// See [`crate::store::Store::set_state`].
    pub async fn set_state(&self, digest: TokenDigest, state: State, now: Now) -> Result<Transition, StoreError> {
        let keys = [self.keys.token(digest), self.keys.tombstone(digest)];
        let call = self.begin()?;
        match state {
            State::Approved => {
                let approve = |seen| scripts::tokens::APPROVE.on(keys.clone(), [milliseconds(now), seen]);
                Ok(self.approve(call, digest, approve).await?)
            }
            State::Revoked(reason) => {
                let invocation = scripts::tokens::REVOKE.on(keys, [vec![reason.to_byte()]]);
                Ok(transition(call.ending(invocation).await?)?)
            }
        }
    }

    /// See [`crate::store::Store::set_signed_state`].
    pub async fn set_signed_state(
        &self,
        token: TokenDigest,
        state: State,
        expires_at: UnixSeconds,
        now: Now,
    ) -> Result<Transition, StoreError> {
        if state == State::Approved && expires_at <= now.seconds() {
            return Ok(Transition::Unchanged);
        }
        let keys = [self.keys.tombstone(token)];
        let call = self.begin()?;
        match state {
            State::Approved => {
                let approve = |seen| scripts::tokens::APPROVE_SIGNED.on(keys.clone(), [seen]);
                Ok(self.approve(call, token, approve).await?)
            }
            State::Revoked(reason) => {
                let arguments = [vec![reason.to_byte()], end_with_grace(expires_at)];
                Ok(transition(call.ending(scripts::tokens::REVOKE_SIGNED.on(keys, arguments)).await?)?)
            }
        }
    }

    /// Approves a token by what `script` makes of the tombstone that it undoes.
    async fn approve(
        &self,
        call: Call,
        token: TokenDigest,
        script: impl Fn(Vec<u8>) -> Invocation,
    ) -> Result<Transition, Fault> {
        let seen = self.tombstone(&call, token).await?;
        let transition = transition(call.script(script(seen.clone())).await?)?;
        drop(call);
        if transition == Transition::Changed {
            self.token_stays_approved(token, &seen, script).await?;
        }
        Ok(transition)
    }

    /// What an approval undoes, and names in the script that carries it out: nothing, or the revocation with its stamp.
    ///
    /// The script may reach Redis long after its caller was told that nothing is known, from a buffer on the way. A
    /// revocation that was acknowledged by then has put another tombstone there.
    pub(super) async fn tombstone(&self, call: &Call, token: TokenDigest) -> Result<Vec<u8>, Fault> {
        Ok(call.value(self.keys.tombstone(token)).await?.unwrap_or_default())
    }

    /// What keeps the stored record of a new token.
    pub(super) fn record_insertion(
        &self,
        digest: TokenDigest,
        stored: Vec<u8>,
        expires_at: UnixSeconds,
        now: Now,
    ) -> Invocation {
        let keys = [self.keys.token(digest), self.keys.tombstone(digest)];
        scripts::tokens::INSERT.on(keys, [stored, moment(expires_at), milliseconds(now)])
    }
}

/// A record that cannot be stored.
pub(super) fn unfit(error: EncodeError) -> Fault {
    Fault::refused(error.to_string())
}

/// Reads a mark.
pub(super) fn decode_mark(stored: &[u8]) -> Result<GrantMark, Fault> {
    GrantMark::decode(stored).map_err(|error| Fault::damaged(error.to_string()))
}

/// Reads an epoch, or a tombstone, which is written alike.
fn decode_epoch(stored: &[u8]) -> Result<Epoch, Fault> {
    Epoch::decode(stored).ok_or_else(|| Fault::damaged("an epoch or a tombstone is not as written"))
}

fn transition(outcome: i64) -> Result<Transition, Fault> {
    let reason = |outcome: i64| u8::try_from(outcome - scripts::tokens::FINAL).ok().and_then(Reason::from_byte);
    match outcome {
        scripts::tokens::ABSENT => Ok(Transition::Absent),
        scripts::tokens::UNCHANGED => Ok(Transition::Unchanged),
        scripts::tokens::CHANGED => Ok(Transition::Changed),
        scripts::tokens::OVERTAKEN => Ok(Transition::Overtaken),
        _ => reason(outcome).map(Transition::Final).ok_or_else(Fault::unexpected_reply),
    }
}

/// Runs scripts that belong together. In a cluster their keys may lie on several primaries: should the caller go away
/// meanwhile, those that are still to be sent are sent all the same.
async fn scripts_to_the_end(call: Call, invocations: Vec<Invocation>) -> Result<(Call, Vec<i64>), Fault> {
    if invocations.len() <= 1 {
        let outcomes = call.scripts(&invocations).await?;
        return Ok((call, outcomes));
    }
    let run = tokio::spawn(async move {
        let outcomes = call.scripts(&invocations).await?;
        Ok((call, outcomes))
    });
    // An error means that the runtime is going down, and the store with it.
    run.await.unwrap_or_else(|_| Err(Fault::closed()))
}

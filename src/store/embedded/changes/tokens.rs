//! Tokens: those that have a record, and those that have none because they are signed.

use super::Changes;
use crate::coherence;
use crate::store::embedded::fault::Stop;
use crate::store::embedded::tables::{Entry, Name, damaged};
use crate::store::embedded::write::{NewEntry, NewToken};
use crate::store::{Insertion, StoreError, Transition};
use crate::token::codec;
use crate::token::digest::TokenDigest;
use crate::token::grant::GrantRecord;
use crate::token::record::{Reason, State};
use crate::token::time::{Now, UnixSeconds};

impl Changes<'_> {
    pub(super) fn insert(
        &mut self,
        tokens: &[NewToken],
        grant: Option<&NewEntry>,
        now: Now,
    ) -> Result<Insertion, Stop> {
        // All are looked up before the first is put in, so that an existing one leaves nothing of the others behind.
        for (place, token) in tokens.iter().enumerate() {
            let twice = tokens[..place].iter().any(|other| other.digest == token.digest);
            if twice || self.is_kept(token.digest, now)? {
                return Ok(Insertion::Exists);
            }
        }
        if let Some(grant) = grant
            && self.kept.entry(grant.name)?.is_some_and(|kept| kept.end > now.seconds())
        {
            return Ok(Insertion::Exists);
        }
        for token in tokens {
            self.put_token(token, now)?;
        }
        if let Some(grant) = grant.filter(|grant| grant.end > now.seconds()) {
            let mut value = grant.value.clone();
            self.stamp(&mut value, GrantRecord::RECORD_OFFSET, now);
            self.kept.put(grant.name, grant.end, &value)?;
        }
        Ok(Insertion::Done)
    }

    /// Never [`Transition::Overtaken`]: writes are applied in the order in which they were queued, so an approval whose
    /// caller has given up, too, comes before every revocation that is asked for later, and is undone by that.
    pub(super) fn set_state(&mut self, digest: TokenDigest, state: State, now: Now) -> Result<Transition, Stop> {
        let Some((stored, record)) = self.kept.token(digest)? else { return Ok(Transition::Absent) };
        // Only approving looks at the clock: a revocation holds whatever the clock says later.
        if state == State::Approved && record.expires_at <= now.seconds() {
            return Ok(Transition::Absent);
        }
        let (after, transition) = transition(record.state, state);
        if after != record.state {
            self.kept.replace_token(digest, &codec::with_state(stored, after))?;
            self.announce(coherence::name::Name::Token(digest));
        }
        Ok(transition)
    }

    /// Never [`Transition::Overtaken`], for the same reason.
    pub(super) fn set_signed_state(
        &mut self,
        token: TokenDigest,
        state: State,
        expires_at: UnixSeconds,
        now: Now,
    ) -> Result<Transition, Stop> {
        let name = Name::signed(token);
        let kept = self.kept.entry(name)?;
        let before = kept.as_ref().map(signed_reason).transpose()?.map_or(State::Approved, State::Revoked);
        if expires_at <= now.seconds() {
            match state {
                State::Approved => return Ok(Transition::Unchanged),
                State::Revoked(_) if kept.is_none() => return Ok(Transition::Absent),
                State::Revoked(_) => {}
            }
        }
        let (after, transition) = transition(before, state);
        match after {
            _ if after == before => {}
            State::Approved => self.kept.remove(name)?,
            State::Revoked(reason) => {
                let end = kept.map_or(expires_at, |kept| kept.end.max(expires_at));
                self.kept.put(name, end, &[reason.to_byte()])?;
            }
        }
        if after != before {
            self.announce(coherence::name::Name::Token(token));
        }
        Ok(transition)
    }

    /// Keeps a token, unless its end has passed.
    pub(super) fn put_token(&mut self, token: &NewToken, now: Now) -> Result<(), Stop> {
        if token.expires_at <= now.seconds() {
            return Ok(());
        }
        let mut record = token.record.clone();
        self.stamp(&mut record, 0, now);
        self.kept.put_token(token.digest, token.expires_at, &record)
    }

    /// Whether there is a token that has not expired.
    pub(super) fn is_kept(&self, digest: TokenDigest, now: Now) -> Result<bool, Stop> {
        Ok(self.kept.token(digest)?.is_some_and(|(_, record)| record.expires_at > now.seconds()))
    }
}

/// Reads why a signed token is revoked.
pub(in crate::store::embedded) fn signed_reason(entry: &Entry) -> Result<Reason, StoreError> {
    let reason = <[u8; 1]>::try_from(entry.value.as_slice()).ok().and_then(|[byte]| Reason::from_byte(byte));
    reason.ok_or_else(|| damaged("the revocation of a signed token has no reason"))
}

/// The state that a token gets when it is asked to be in another, and what to say of it.
fn transition(before: State, asked: State) -> (State, Transition) {
    match (before, asked) {
        (State::Approved, State::Approved) => (before, Transition::Unchanged),
        // The first reason stays, unless it can be undone and the other cannot.
        (State::Revoked(first), State::Revoked(second)) => (State::Revoked(first.or(second)), Transition::Unchanged),
        (State::Revoked(reason), State::Approved) if reason.is_final() => (before, Transition::Final(reason)),
        (State::Approved, State::Revoked(_)) | (State::Revoked(_), State::Approved) => (asked, Transition::Changed),
    }
}

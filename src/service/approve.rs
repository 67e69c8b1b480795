//! Bringing a token back that was revoked on request: with the expiry, the times and the name that it had before.
//!
//! Never what was revoked for good: a refresh token that has been exchanged or used twice, whatever an epoch covers,
//! and what belongs to a client that is itself revoked.

use super::lookup::{Freshness, Located, Surrounded};
use super::revoke::{ATTEMPTS, Named, Touched, kept_changing};
use super::{Service, kept_until};
use crate::store::{StoreError, StoreErrorKind, Transition};
use crate::token::decision::{FinalReason, Standing, final_reason};
use crate::token::grant::{ExemptionError, GrantMark};
use crate::token::identity::Identity;
use crate::token::record::{Grant, Reason, Record, State};
use crate::token::time::{Now, Stamp};
use crate::token::value::TokenKind;

/// Why a token was not approved.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// There is none of that name, or it has expired.
    #[error("there is no such token")]
    Unknown,
    /// It was revoked for good.
    #[error("{}", explain(*.0))]
    Final(FinalReason),
    /// Too many tokens of its grant were approved one by one.
    #[error("{0}")]
    TooMany(ExemptionError),
    /// It cannot be said that it was approved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn explain(reason: FinalReason) -> String {
    match reason {
        FinalReason::Reason(reason) => format!("The token was revoked for good: {}", reason.name()),
        FinalReason::Spent => "The refresh token has been exchanged for another".to_owned(),
        FinalReason::Parent => "The client or the user of the token is revoked, approve that first".to_owned(),
    }
}

impl From<Reason> for ApproveError {
    fn from(reason: Reason) -> Self {
        Self::Final(FinalReason::Reason(reason))
    }
}

impl From<ExemptionError> for ApproveError {
    fn from(error: ExemptionError) -> Self {
        match error {
            ExemptionError::Final(reason) => reason.into(),
            ExemptionError::Full => Self::TooMany(error),
        }
    }
}

impl Service {
    /// Approves a token for an operator. With `cascade` also what belongs to it: the refresh token of an access token
    /// with everything of its grant, the access tokens of a refresh token. `false` when nothing was revoked.
    ///
    /// Not carried through when this future is dropped: whoever asked was told that nothing is known, or does not
    /// listen, and may have revoked the token since.
    ///
    /// # Errors
    /// [`ApproveError`]. After one of its refusals nothing has changed.
    pub async fn approve_named(&self, named: Named<'_>, cascade: bool, now: Now) -> Result<bool, ApproveError> {
        self.approve_named_and_tell(named, cascade, &mut Vec::new(), now).await
    }

    /// The same, and what was found is added to `touched`.
    ///
    /// # Errors
    /// Those of [`Service::approve_named`].
    pub async fn approve_named_and_tell(
        &self,
        named: Named<'_>,
        cascade: bool,
        touched: &mut Vec<Touched>,
        now: Now,
    ) -> Result<bool, ApproveError> {
        let mut outcome = None;
        for located in self.locate_named(named, now).await? {
            touched.push(Touched::of(&located));
            if located.record.expires_at <= now.seconds() {
                continue;
            }
            let changed = self.bring_back(located, cascade, now).await?;
            outcome = Some(outcome.unwrap_or(false) | changed);
        }
        let changed = outcome.ok_or(ApproveError::Unknown)?;
        // Another node may remember that it was revoked.
        self.store.visible().await?;
        Ok(changed)
    }

    async fn bring_back(&self, located: Located, cascade: bool, now: Now) -> Result<bool, ApproveError> {
        let Located { identity, record, spent } = located;
        if spent {
            return Err(ApproveError::Final(FinalReason::Spent));
        }
        let (record, is_owner_known) = self.with_owner(&identity, record).await?;
        let Surrounded { record, mut parents, .. } = self.surround(&identity, record, Freshness::Read).await?;
        if !is_owner_known {
            // That its client is revoked, or an epoch covers it, ends the token all the same.
            parents.client = Standing::Approved;
        }
        if let Some(reason) = final_reason(&record, &parents) {
            return Err(ApproveError::Final(reason));
        }
        match record.state {
            State::Revoked(reason) if reason.is_final() => return Err(reason.into()),
            State::Approved | State::Revoked(_) => {}
        }
        let Some(grant) = record.grant else { return self.approve_alone(&identity, &record, now).await };
        match record.kind {
            TokenKind::Access => {
                let changed = if cascade {
                    self.approve_mark(grant, now, |mark, _| mark.approved()).await?
                } else {
                    self.approve_mark(grant, now, |mark, _| mark.exempted(identity.digest(), record.stamp)).await?
                };
                match self.approve_alone(&identity, &record, now).await {
                    // It has ended since it was found. That its grant was approved must not be called a refusal.
                    Err(ApproveError::Unknown) if changed => Ok(true),
                    alone => Ok(alone? | changed),
                }
            }
            TokenKind::Refresh if cascade => {
                let changed = self.approve_mark(grant, now, |mark, _| mark.approved()).await?;
                Ok(self.approve_counterpart(grant, &record, now).await? | changed)
            }
            TokenKind::Refresh => self.approve_mark(grant, now, GrantMark::refresh_approved).await,
        }
    }

    /// Approves of a grant what `change` says, given what is revoked of it and a moment after which that was still so;
    /// `false` when nothing was to be changed.
    ///
    /// The moment is later than every token of the grant that was issued before what is replaced was written: it must
    /// be read after the mark, each time, for meanwhile others may have approved the grant, refreshed and revoked it
    /// again.
    async fn approve_mark<E>(
        &self,
        grant: Grant,
        now: Now,
        change: impl Fn(&GrantMark, Stamp) -> Result<GrantMark, E>,
    ) -> Result<bool, ApproveError>
    where
        ApproveError: From<E>,
    {
        for _ in 0..ATTEMPTS {
            let before = self.store.grant_mark(grant.id).await?;
            let moment = self.store.clock(now).await?;
            let after = change(&before, moment)?;
            if after == before {
                return Ok(false);
            }
            if self.replace_mark(grant, &before, &after).await? {
                return Ok(true);
            }
        }
        Err(kept_changing().into())
    }

    /// The record of a token with whose it is. The `jti` of a signed token does not say that, but its grant does, if
    /// there is one: `false` when it cannot be known.
    async fn with_owner(&self, identity: &Identity, mut record: Record) -> Result<(Record, bool), StoreError> {
        if !matches!(identity, Identity::Signed { key: None, .. }) {
            return Ok((record, true));
        }
        let Some(grant) = record.grant else { return Ok((record, false)) };
        let Some(kept) = self.store.grant(grant.id).await? else { return Ok((record, false)) };
        record.client_id = kept.token.client_id;
        record.subject = kept.token.subject;
        Ok((record, true))
    }

    async fn approve_alone(&self, identity: &Identity, record: &Record, now: Now) -> Result<bool, ApproveError> {
        match self.set_token_state(identity, record, State::Approved, now).await? {
            Transition::Changed => Ok(true),
            Transition::Unchanged => Ok(false),
            Transition::Final(reason) => Err(reason.into()),
            Transition::Overtaken => Err(overtaken().into()),
            Transition::Absent => Err(ApproveError::Unknown),
        }
    }

    /// The access token that was issued last, if it was revoked by itself. That it has expired or cannot be approved is
    /// no reason to leave the refresh token revoked.
    async fn approve_counterpart(&self, grant: Grant, refresh: &Record, now: Now) -> Result<bool, StoreError> {
        let Some(record) = self.store.grant(grant.id).await? else {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the grant has gone meanwhile"));
        };
        let opaque = self.store.set_state(record.access, State::Approved, now).await?;
        let changed = match opaque {
            Transition::Absent => {
                self.store.set_signed_state(record.access, State::Approved, kept_until(refresh.expires_at), now).await?
            }
            known => known,
        };
        match changed {
            Transition::Overtaken => Err(overtaken()),
            changed => Ok(changed == Transition::Changed),
        }
    }
}

/// Which of the two came last is not known, and so neither is what the token is now.
fn overtaken() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the token was revoked again while it was being approved")
}

//! Ending tokens: one, with or without what belongs to it (RFC 7009, and what operators need beyond it).
//!
//! | what is revoked | cascade | without |
//! |---|---|---|
//! | an access token of a grant | everything of the grant | it, and the refresh token cannot be used |
//! | an access token that stands alone | it | it |
//! | a refresh token, or its grant | everything of the grant | the refresh token; access tokens live on to their expiry |

use std::sync::Arc;

use super::lookup::Located;
use super::refresh::cut_short;
use super::{Service, kept_until};
use crate::client::{Client, Right};
use crate::store::{StoreError, StoreErrorKind, Transition};
use crate::telemetry::traces::carried;
use crate::token::digest::GrantId;
use crate::token::grant::GrantMark;
use crate::token::identity::{self, Identity};
use crate::token::keyring::Candidates;
use crate::token::record::{Grant, Reason, Record, State};
use crate::token::time::Now;
use crate::token::value::{Presented, TokenKind};

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

/// How an operator names a token.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// By its text.
    Value(Presented<'a>),
    /// By its `jti`.
    Identifier(&'a str),
    /// By its grant: the refresh token of it. The `jti` of a token that stands alone is taken as well.
    Grant(&'a str),
}

/// A token that was found to be acted on, as a record of the act names it: by nothing that it can be used with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Which kind it is.
    pub kind: TokenKind,
    /// The `jti` of an access token.
    pub jti: Option<String>,
    /// Its grant.
    pub grant: Option<GrantId>,
    /// Whose it is; empty where that cannot be told from its name.
    pub client_id: Box<str>,
    /// For whom it speaks.
    pub subject: Option<Box<str>>,
}

impl Touched {
    pub(super) fn of(located: &Located) -> Self {
        let Located { identity, record, .. } = located;
        let grant = match identity {
            Identity::Refresh { grant, .. } => Some(*grant),
            _ => record.grant.map(|grant| grant.id),
        };
        let jti = (record.kind == TokenKind::Access).then(|| identity.to_text());
        Self { kind: record.kind, jti, grant, client_id: record.client_id.clone(), subject: record.subject.clone() }
    }
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
        self.revoke_and_tell(caller, presented, &mut Vec::new(), now).await
    }

    /// The same, and what was found is added to `touched`, whether or not it could be revoked.
    ///
    /// # Errors
    /// Those of [`Service::revoke`].
    pub async fn revoke_and_tell(
        self: &Arc<Self>,
        caller: &Client,
        presented: Presented<'_>,
        touched: &mut Vec<Touched>,
        now: Now,
    ) -> Result<Revocation, StoreError> {
        let mut outcome = Revocation::Unknown;
        // An imported token may stand under several keys, if two nodes took it over at once: all of them end.
        for located in self.locate_all(presented, now).await? {
            touched.push(Touched::of(&located));
            if !is_owned(caller, &located.record) {
                // Of an expired token nobody but its owner needs to know that it once was one.
                let expired = located.record.expires_at <= now.seconds();
                return Ok(if expired { Revocation::NothingToDo } else { Revocation::NotOwned });
            }
            match (self.end(located, true, now).await?, outcome) {
                (true, _) => outcome = Revocation::Revoked,
                (false, Revocation::Unknown) => outcome = Revocation::NothingToDo,
                (false, _) => {}
            }
        }
        // Also when somebody else had revoked it just now: what is answered holds on every node. And when it is not there:
        // a node that believes in a primary that has been replaced may have issued it there, and says active until its
        // lease ends. Nor does the time that an answer takes then tell whether a token exists.
        self.store.visible().await?;
        Ok(outcome)
    }

    /// Revokes a token for an operator; `None` when there is none of that name, else whether anything changed.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be said that the token is revoked.
    pub async fn revoke_named(
        self: &Arc<Self>,
        named: Named<'_>,
        cascade: bool,
        now: Now,
    ) -> Result<Option<bool>, StoreError> {
        self.revoke_named_and_tell(named, cascade, &mut Vec::new(), now).await
    }

    /// The same, and what was found is added to `touched`.
    ///
    /// # Errors
    /// Those of [`Service::revoke_named`].
    pub async fn revoke_named_and_tell(
        self: &Arc<Self>,
        named: Named<'_>,
        cascade: bool,
        touched: &mut Vec<Touched>,
        now: Now,
    ) -> Result<Option<bool>, StoreError> {
        let mut outcome = None;
        for located in self.locate_named(named, now).await? {
            touched.push(Touched::of(&located));
            let changed = self.end(located, cascade, now).await?;
            outcome = Some(outcome.unwrap_or(false) | changed);
        }
        self.store.visible().await?;
        Ok(outcome)
    }

    /// Every record of the token that was presented, whether or not it is active; of a refresh token that has been
    /// exchanged, that of the current one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn records_of(&self, presented: Presented<'_>, now: Now) -> Result<Vec<Record>, StoreError> {
        Ok(self.locate_all(presented, now).await?.into_iter().map(|located| located.record).collect())
    }

    /// Every token that a name stands for: one, or several records of one token that was made elsewhere.
    pub(super) async fn locate_named(&self, named: Named<'_>, now: Now) -> Result<Vec<Located>, StoreError> {
        let text = match named {
            Named::Value(presented) => return self.locate_all(presented, now).await,
            Named::Identifier(text) | Named::Grant(text) => text,
        };
        if matches!(named, Named::Grant(_))
            && let Some(grant) = GrantId::from_text(text)
            && let Some(record) = self.store.grant(grant).await?
        {
            let identity = Identity::Refresh { grant, digest: record.current };
            let mut record = record.token;
            // A grant is there as long as its family, however long nobody has used its refresh token.
            record.expires_at = record.grant.map_or(record.expires_at, |family| family.expires_at);
            return Ok(vec![Located { identity, record, spent: false }]);
        }
        match identity::from_text(text) {
            Some(identity @ Identity::Refresh { .. }) => Ok(self.locate_refresh(identity).await?.into_iter().collect()),
            Some(identity @ Identity::Opaque(_)) => {
                let found = self.store.token(&[identity.digest()]).await?;
                Ok(found.map(|(_, record)| Located { identity, record, spent: false }).into_iter().collect())
            }
            _ => Ok(self.locate_identifier(text).into_iter().collect()),
        }
    }

    /// Every record of the token that was presented. A text that two nodes took over at once stands under several
    /// digests, whatever it looks like, and none of them is to outlive a revocation.
    async fn locate_all(&self, presented: Presented<'_>, now: Now) -> Result<Vec<Located>, StoreError> {
        let mut found: Vec<_> = self.locate_signed(presented, now).await?.into_iter().collect();
        if found.is_empty() && self.is_signed_with_unknown_digest_key(presented, now) {
            let detail = "a signed token of a key that this node does not have is to be revoked";
            return Err(StoreError::new(StoreErrorKind::Unavailable, detail));
        }
        match self.keys.recognise(presented) {
            // Another node may have made it with a key that this one has not been given yet.
            Candidates::UnknownKey(id) => {
                let detail = format!("a token of the key {id} is to be revoked, and this node does not have that key");
                return Err(StoreError::new(StoreErrorKind::Unavailable, detail));
            }
            Candidates::Garbage => {}
            Candidates::Refresh { grant, digest } => {
                found.extend(self.locate_refresh(Identity::Refresh { grant, digest }).await?);
            }
            candidates @ (Candidates::One(_) | Candidates::Imported(_)) => {
                for digest in candidates.digests() {
                    let record = self.store.token(&[*digest]).await?;
                    let located =
                        |(digest, record)| Located { identity: Identity::Opaque(digest), record, spent: false };
                    found.extend(record.map(located));
                }
            }
        }
        Ok(found)
    }

    /// Ends a token that was found. One that has expired by our clock is revoked all the same: the clock of another
    /// node may be behind. `false` when it was revoked already.
    async fn end(self: &Arc<Self>, located: Located, cascade: bool, now: Now) -> Result<bool, StoreError> {
        let service = Arc::clone(self);
        let carried_through = tokio::spawn(carried(async move {
            let Located { identity, record, spent } = located;
            let mut changed = false;
            // Whoever still holds a refresh token that has been exchanged means the session that it stands for.
            let all = cascade || spent;
            let reason = Reason::REQUESTED;
            let revoke = |mark: &GrantMark| if all { mark.revoked(reason) } else { mark.refresh_revoked(reason) };
            let alone = record.kind == TokenKind::Access && (record.grant.is_none() || !cascade);
            for _ in 0..ATTEMPTS {
                // The grant first: were the process to end between the two, a refresh could otherwise still succeed.
                if let Some(grant) = record.grant {
                    changed |= service.revoke_mark(grant, revoke).await?;
                }
                if alone {
                    let revoked = State::Revoked(reason);
                    changed |= service.set_token_state(&identity, &record, revoked, now).await? == Transition::Changed;
                }
                // Of what has ended the store may keep no mark, and it needs none.
                let Some(grant) = record.grant.filter(|grant| alone && grant.expires_at > now.seconds()) else {
                    return Ok(changed);
                };
                // Between the two writes an approval may have brought the refresh token back.
                if service.store.grant_mark(grant.id).await?.refresh.is_some() {
                    return Ok(changed);
                }
            }
            Err(kept_changing())
        }));
        carried_through.await.map_err(|_| cut_short())?
    }

    /// Changes what an access token's own state is.
    pub(super) async fn set_token_state(
        &self,
        identity: &Identity,
        record: &Record,
        state: State,
        now: Now,
    ) -> Result<Transition, StoreError> {
        match identity {
            Identity::Signed { digest, .. } => {
                self.store.set_signed_state(*digest, state, kept_until(record.expires_at), now).await
            }
            Identity::Opaque(digest) => self.store.set_state(*digest, state, now).await,
            // A refresh token has no state of its own beside its grant's.
            Identity::Refresh { .. } => Ok(Transition::Unchanged),
        }
    }

    /// Revokes what `change` says of a grant, however many others change it at the same time; `false` when that was
    /// revoked already.
    ///
    /// The mark is written all the same then, with another nonce: an approval that was asked for before, and reaches
    /// the store after this was answered, must find that it has been overtaken.
    pub(super) async fn revoke_mark(
        &self,
        grant: Grant,
        change: impl Fn(&GrantMark) -> GrantMark,
    ) -> Result<bool, StoreError> {
        for _ in 0..ATTEMPTS {
            let before = self.store.grant_mark(grant.id).await?;
            let after = change(&before);
            let changed = !after.revokes_the_same(&before);
            // What is final no approval can undo, however late it is, and it is written as it stands: whoever wrote it may
            // have been told that it is not known whether it lasts.
            if !changed && before.is_final() {
                if self.replace_mark(grant, &before, &before).await? {
                    return Ok(false);
                }
                continue;
            }
            if self.replace_mark(grant, &before, &after.renewed(nonce()?)).await? {
                return Ok(changed);
            }
        }
        Err(kept_changing())
    }

    /// Puts one mark in the place of another; `false` when another is there by now.
    pub(super) async fn replace_mark(
        &self,
        grant: Grant,
        before: &GrantMark,
        after: &GrantMark,
    ) -> Result<bool, StoreError> {
        self.store.mark_grant(grant.id, before, after, kept_until(grant.expires_at)).await
    }
}

/// How often a change is tried that another one overtakes. Each round somebody gets through, and every change is one
/// that ends something or brings it back: nobody makes hundreds of them to one grant at once.
pub(super) const ATTEMPTS: usize = 100;

/// What is said after that many attempts.
pub(super) fn kept_changing() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the mark of a grant kept changing")
}

fn nonce() -> Result<u64, StoreError> {
    getrandom::u64().map_err(|error| {
        StoreError::new(StoreErrorKind::Unavailable, format!("no random numbers to revoke with: {error}"))
    })
}

fn is_owned(caller: &Client, record: &Record) -> bool {
    *record.client_id == *caller.client_id.as_str() || caller.rights.contains(Right::Revoke)
}

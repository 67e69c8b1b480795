//! Sessions: grants of a first-party client. Opened by a login, refreshed as any grant, ended by a logout.

use std::sync::Arc;

use super::{ATTEMPTS, AccountError, KnownUser, kept_changing};
use crate::client::policy;
use crate::service::Service;
use crate::service::issue::{GrantExpiry, IssueError, IssuedToken, NewToken};
use crate::service::refresh::cut_short;
use crate::service::registry::KnownClient;
use crate::store::StoreError;
use crate::telemetry::traces::carried;
use crate::token::claims::Claims;
use crate::token::digest::GrantId;
use crate::token::epoch::EpochAxis;
use crate::token::record::Reason;
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::user::hash::PasswordHash;
use crate::user::id::UserId;
use crate::user::record::{Session, User};

/// What is to be known of a session beside its user.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The first-party client.
    pub client: KnownClient,
    /// What the program says that it is.
    pub user_agent: Option<Box<str>>,
}

impl Service {
    /// Opens a session of a user who has just proved who it is: an access token and a refresh token. With `rehashed`, the
    /// password is kept in this form from now on.
    ///
    /// The tokens are made first and the record is written then, if it is still that of the same password: were it the
    /// other way round, a password change in between would not find them.
    ///
    /// # Errors
    /// [`AccountError::Unknown`] when the password was changed meanwhile, or the user disabled or deleted.
    pub async fn open_session(
        self: &Arc<Self>,
        known: KnownUser,
        new: NewSession,
        rehashed: Option<PasswordHash>,
        now: Now,
    ) -> Result<IssuedToken, AccountError> {
        // Once begun it is carried through: tokens that nobody was given are of no use, and in nobody's way.
        let service = Arc::clone(self);
        let opened = tokio::spawn(carried(async move { service.open(known, &new, rehashed, now).await }));
        opened.await.map_err(|_| AccountError::Store(cut_short()))?
    }

    async fn open(
        self: &Arc<Self>,
        known: KnownUser,
        new: &NewSession,
        rehashed: Option<PasswordHash>,
        now: Now,
    ) -> Result<IssuedToken, AccountError> {
        let client = &new.client.client;
        let usual = self.tokens.refresh_lifetime.as_secs();
        let lifetime = client.refresh_token_lifetime.unwrap_or(usual).min(self.tokens.max_lifetime.as_secs());
        let expires_at = now.seconds().plus(lifetime);
        let token = NewToken {
            owner: new.client.clone(),
            subject: Some(known.id.to_text().as_str().into()),
            username: Some(known.user.username.shown.clone()),
            scope: policy::granted_scope(client, &Scope::default()).unwrap_or_default(),
            audience: policy::granted_audience(client, &[]).unwrap_or_default(),
            not_before: None,
            expires_at: None,
            format: None,
            refresh: Some(GrantExpiry::At(expires_at)),
            claims: Claims::default(),
            import: None,
        };
        let issued = self.issue(token, now).await.map_err(|error| match error {
            // Since the password was looked at: no other failure than that of whoever was disabled before.
            IssueError::UserDisabled => AccountError::Unknown,
            other => other.into(),
        })?;
        let grant = issued.grant.ok_or_else(|| AccountError::Internal("a session without a grant".into()))?;
        let session = Session {
            grant,
            client_id: client.client_id.clone(),
            created_at: now.seconds(),
            expires_at,
            user_agent: new.user_agent.clone(),
        };
        if let Err(error) = self.list(&known, &session, rehashed, now).await {
            // Nobody has been given them; they are ended all the same, so that nothing is left of a login that failed.
            if let Err(left) = self.end_grant(grant).await {
                tracing::warn!(error = %left, "the tokens of a login that failed could not be revoked: nobody has them");
            }
            return Err(error);
        }
        Ok(issued)
    }

    /// Lists a session in the record of its user, as long as the password is the one that was `verified`.
    async fn list(
        self: &Arc<Self>,
        verified: &KnownUser,
        session: &Session,
        rehashed: Option<PasswordHash>,
        now: Now,
    ) -> Result<(), AccountError> {
        let most = self.accounts.as_ref().map_or(1, |accounts| accounts.max_sessions);
        for _ in 0..ATTEMPTS {
            let current = self.active_user(verified.id).await?;
            if current.user.password != verified.user.password {
                return Err(AccountError::Unknown);
            }
            let gone = surplus(&current.user, most, now);
            // Before they are taken off the list, or nobody would find them.
            for grant in &gone {
                self.end_grant(*grant).await?;
            }
            let mut user = current.user.clone();
            user.sessions.retain(|session| session.expires_at > now.seconds() && !gone.contains(&session.grant));
            user.sessions.push(session.clone());
            user.password = rehashed.clone().unwrap_or(user.password);
            if self.replace_user(&current, user).await?.is_some() {
                return Ok(());
            }
        }
        Err(kept_changing())
    }

    /// Ends a session of a user; `false` when the user has no such session.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be said that it has ended.
    pub async fn end_session(self: &Arc<Self>, id: UserId, grant: GrantId, now: Now) -> Result<bool, AccountError> {
        let Some(known) = self.user(id).await? else { return Ok(false) };
        if !known.user.sessions.iter().any(|session| session.grant == grant) {
            return Ok(false);
        }
        self.log_out(Some(id), grant, now).await?;
        Ok(true)
    }

    /// Ends a session, whether or not it is still listed: refresh token and access tokens. `false` when it had ended.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be said that it has ended.
    pub async fn log_out(self: &Arc<Self>, id: Option<UserId>, grant: GrantId, now: Now) -> Result<bool, StoreError> {
        // For good: who has logged out is not logged in again by an operator who approves a token of that session.
        let service = Arc::clone(self);
        let ended = tokio::spawn(carried(async move {
            let changed = service.end_grant(grant).await?;
            service.store.visible().await?;
            Ok::<_, StoreError>(changed)
        }));
        let changed = ended.await.map_err(|_| cut_short())??;
        let Some(id) = id else { return Ok(changed) };
        let unlisted = self.change_user(id, |user| {
            let mut changed = user.clone();
            changed.sessions.retain(|session| session.grant != grant && session.expires_at > now.seconds());
            (changed != *user).then_some(changed)
        });
        // It has ended; that it is still on the list is found out by whoever looks at it.
        if let Err(error) = unlisted.await {
            tracing::debug!(%error, "a session that has ended was not taken off the list");
        }
        Ok(changed)
    }

    /// Ends all sessions of a user, and every other token that speaks for it.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn log_out_everywhere(self: &Arc<Self>, id: UserId, now: Now) -> Result<(), AccountError> {
        self.end_all_and_change(id, Reason::LOGGED_OUT, |user| Some(user.clone()), now).await.map(drop)
    }

    /// Ends all sessions of a user and writes what `change` makes of the record, in this order; nothing ends and nothing
    /// is written where it says `None`.
    pub(super) async fn end_all_and_change(
        self: &Arc<Self>,
        id: UserId,
        reason: Reason,
        change: impl Fn(&User) -> Option<User> + Send + Sync + 'static,
        now: Now,
    ) -> Result<KnownUser, AccountError> {
        // Once begun it is carried through, even if the caller goes away.
        let service = Arc::clone(self);
        let changed = tokio::spawn(carried(async move {
            let subject = id.to_text();
            for _ in 0..ATTEMPTS {
                let known = service.user(id).await?.ok_or(AccountError::Unknown)?;
                let Some(user) = change(&known.user) else { return Ok(known) };
                let until = service.store.clock(now).await?;
                // What is listed by now has begun before that moment, and ends. A session that begins with the change of
                // somebody else, who was quicker, begins after it: that one goes on.
                if service.user(id).await?.is_none_or(|again| again.version != known.version) {
                    continue;
                }
                let user_epoch = EpochAxis::User(subject.as_str());
                service.revoke_until(user_epoch, Some(until), reason, now).await?;
                if let Some(written) = service.replace_user(&known, User { sessions: Vec::new(), ..user }).await? {
                    return Ok(written);
                }
            }
            Err(kept_changing())
        }));
        changed.await.map_err(|_| AccountError::Store(cut_short()))?
    }

    /// Ends a grant; `false` when it had ended, or there is none.
    async fn end_grant(self: &Arc<Self>, grant: GrantId) -> Result<bool, StoreError> {
        let family = self.store.grant(grant).await?.and_then(|record| record.token.grant);
        match family {
            Some(family) => self.revoke_mark(family, |mark| mark.revoked(Reason::LOGGED_OUT)).await,
            None => Ok(false),
        }
    }
}

/// The oldest sessions, as far as they are too many for another one to be opened.
fn surplus(user: &User, most: usize, now: Now) -> Vec<GrantId> {
    let live: Vec<_> = user.sessions.iter().filter(|session| session.expires_at > now.seconds()).collect();
    let too_many = (live.len() + 1).saturating_sub(most);
    live.into_iter().take(too_many).map(|session| session.grant).collect()
}

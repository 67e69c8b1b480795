//! New tokens: made, hashed, kept, and only then handed out.

use std::sync::Arc;

use super::Service;
use super::registry::KnownClient;
use crate::store::{Insertion, StoreError};
use crate::token::claims::Claims;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::record::{Grant, Record, State};
use crate::token::scope::Scope;
use crate::token::time::{Now, Stamp, UnixSeconds};
use crate::token::value::{TokenKind, TokenValue};

/// A token to be issued. All texts have been checked.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The client it is issued to.
    pub owner: KnownClient,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// `username`.
    pub username: Option<Box<str>>,
    /// `scope`.
    pub scope: Scope,
    /// `aud`.
    pub audience: Vec<Box<str>>,
    /// `nbf`.
    pub not_before: Option<UnixSeconds>,
    /// When it ends; `None` for the usual lifetime.
    pub expires_at: Option<UnixSeconds>,
    /// Whether a refresh token is to be issued with it, and when that one ends.
    pub refresh: Option<RefreshExpiry>,
    /// Whether the token belongs to a grant even if no refresh token is issued with it, so that it can be revoked by it.
    pub with_grant: bool,
    /// Everything else.
    pub claims: Claims,
    /// A token made elsewhere, to be taken over instead of making one.
    pub import: Option<TokenValue>,
}

/// When a refresh token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshExpiry {
    /// After the configured lifetime.
    Usual,
    /// At this second.
    At(UnixSeconds),
}

/// What was issued: the only place where a token's text and its metadata meet.
#[derive(Debug)]
pub struct IssuedToken {
    /// The access token.
    pub access: TokenValue,
    /// Names it without showing it.
    pub digest: TokenDigest,
    /// The refresh token, if one was asked for.
    pub refresh: Option<TokenValue>,
    /// The grant that ties the two together; none for a token that stands alone.
    pub grant: Option<GrantId>,
    /// `token_type` of the access token.
    pub token_type: &'static str,
    /// Seconds that the access token lives from now on.
    pub expires_in: u64,
    /// Its scope.
    pub scope: Scope,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The token to be taken over exists already, whatever its state.
    #[error("the token exists already")]
    Exists,
    /// It would end before it begins, or has ended.
    #[error("the token would never be active")]
    NeverActive,
    /// It would outlive `tokens.max_lifetime`.
    #[error("the token would live longer than the configured maximum of {0} seconds")]
    TooLong(u64),
    /// The metadata does not fit a record.
    #[error("{0}")]
    Unstorable(crate::token::codec::EncodeError),
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    /// It cannot be said that it was kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Service {
    /// Issues an access token, with a refresh token if asked for. Nothing is returned before the store has it for good.
    ///
    /// If the caller goes away and this future is dropped, the token may be kept; nobody knows its text.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn issue(self: &Arc<Self>, new: NewToken, now: Now) -> Result<IssuedToken, IssueError> {
        let access_expiry = new.expires_at.unwrap_or_else(|| {
            let usual = self.tokens.access_lifetime.as_secs();
            let registered = new.owner.client.access_token_lifetime.unwrap_or(usual);
            // The maximum may have been lowered since the client was registered.
            now.seconds().plus(registered.min(self.tokens.max_lifetime.as_secs()))
        });
        self.check_lifetime(access_expiry, new.not_before, now)?;
        let refresh_expiry = new.refresh.map(|expiry| match expiry {
            RefreshExpiry::Usual => now.seconds().plus(self.tokens.refresh_lifetime.as_secs()).max(access_expiry),
            RefreshExpiry::At(end) => end,
        });
        if let Some(end) = refresh_expiry {
            self.check_lifetime(end, new.not_before, now)?;
        }
        let grant = match refresh_expiry.or_else(|| new.with_grant.then_some(access_expiry)) {
            Some(expires_at) => Some(Grant { id: random_grant()?, expires_at }),
            None => None,
        };
        // No access token outlives the authorization it comes from.
        let access_expiry = grant.map_or(access_expiry, |grant| access_expiry.min(grant.expires_at));

        let (access, digest) = match new.import {
            Some(value) => {
                // It may have been taken over under a key that is not the active one.
                let candidates = self.keys.recognise(value.as_presented());
                if self.store.token(candidates.digests()).await?.is_some() {
                    return Err(IssueError::Exists);
                }
                let digest = self.keys.digest_of_import(&value);
                (value, digest)
            }
            None => self.keys.mint(TokenKind::Access).map_err(IssueError::Randomness)?,
        };
        let record = Record {
            state: State::Approved,
            stamp: Stamp(0),
            owner_created: new.owner.created,
            kind: TokenKind::Access,
            issued_at: now.seconds(),
            not_before: new.not_before,
            expires_at: access_expiry,
            client_id: new.owner.client.client_id.as_str().into(),
            subject: new.subject,
            username: new.username,
            scope: new.scope,
            audience: new.audience,
            grant,
            claims: new.claims,
        };
        let scope = record.scope.clone();
        let token_type = record.token_type().unwrap_or_default();
        let mut tokens = vec![(digest, record)];
        let mut refresh = None;
        if let Some(expires_at) = refresh_expiry {
            let (value, digest) = self.keys.mint(TokenKind::Refresh).map_err(IssueError::Randomness)?;
            let record = Record { kind: TokenKind::Refresh, expires_at, ..tokens[0].1.clone() };
            tokens.push((digest, record));
            refresh = Some(value);
        }
        for (_, record) in &tokens {
            crate::token::codec::encode(record).map_err(IssueError::Unstorable)?;
        }
        match self.store.insert(&tokens, now).await? {
            Insertion::Done => {}
            Insertion::Exists => return Err(IssueError::Exists),
        }
        Ok(IssuedToken {
            access,
            digest,
            refresh,
            grant: grant.map(|grant| grant.id),
            token_type,
            expires_in: access_expiry.since(now.seconds()),
            scope,
        })
    }

    fn check_lifetime(
        &self,
        expires_at: UnixSeconds,
        not_before: Option<UnixSeconds>,
        now: Now,
    ) -> Result<(), IssueError> {
        if expires_at <= now.seconds() || not_before.is_some_and(|not_before| expires_at <= not_before) {
            return Err(IssueError::NeverActive);
        }
        let longest = self.tokens.max_lifetime.as_secs();
        if expires_at.since(now.seconds()) > longest {
            return Err(IssueError::TooLong(longest));
        }
        Ok(())
    }
}

fn random_grant() -> Result<GrantId, IssueError> {
    let mut id = [0; GrantId::BYTES];
    getrandom::fill(&mut id).map_err(IssueError::Randomness)?;
    Ok(GrantId(id))
}

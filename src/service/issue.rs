//! New tokens: made, hashed, kept, and only then handed out.

use std::sync::Arc;

use super::Service;
use super::registry::KnownClient;
use crate::coherence::name::Name;
use crate::jose::algorithm::Algorithm;
use crate::store::{Insertion, NewGrant, StoreError};
use crate::token::claims::Claims;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::grant::{GrantRecord, TokenFormat};
use crate::token::identity::Identity;
use crate::token::record::{Grant, Record, State};
use crate::token::scope::Scope;
use crate::token::time::{Now, Stamp, UnixSeconds};
use crate::token::value::{TokenKind, TokenValue};
use crate::user::id::UserId;

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
    /// Which form it has; `None` for the one that the client is registered for.
    pub format: Option<TokenFormat>,
    /// Whether a refresh token is to be issued with it, and when the grant ends.
    pub refresh: Option<GrantExpiry>,
    /// Everything else.
    pub claims: Claims,
    /// A token made elsewhere, to be taken over instead of making one.
    pub import: Option<TokenValue>,
}

/// When a grant ends, with its last refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantExpiry {
    /// After the lifetime that the client is registered for, or the configured one.
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
    pub identity: Identity,
    /// The refresh token, if there is one.
    pub refresh: Option<TokenValue>,
    /// When that ends if nobody uses it.
    pub refresh_expires_at: Option<UnixSeconds>,
    /// The grant that ties the two together; none for a token that stands alone.
    pub grant: Option<GrantId>,
    /// `token_type` of the access token.
    pub token_type: &'static str,
    /// Seconds that the access token lives from now on.
    pub expires_in: u64,
    /// Its scope.
    pub scope: Scope,
    /// Its further claims.
    pub claims: Claims,
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
    /// A token made elsewhere is what it is, and cannot be signed.
    #[error("a token that is taken over cannot be a signed one")]
    SignedImport,
    /// A token of ours is known by its signature; kept by value, it would outlive its revocation and its key.
    #[error("token says that it was signed here: it cannot be taken over from elsewhere")]
    SignedHere,
    /// The signed text would be longer than anybody reads.
    #[error("the signed token would be longer than {} bytes", crate::jose::compact::Compact::MAX_BYTES)]
    TooLarge,
    /// The metadata does not fit a record.
    #[error("{0}")]
    Unstorable(crate::token::codec::EncodeError),
    /// Its subject is a user who is disabled.
    #[error("sub is a user who is disabled")]
    UserDisabled,
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    /// The token could not be signed.
    #[error("{0}")]
    Signing(String),
    /// It cannot be said that it was kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An access token that was made and not kept yet.
pub(super) struct Minted {
    pub(super) value: TokenValue,
    pub(super) identity: Identity,
    /// What the store has to keep of it; nothing of a signed one.
    pub(super) record: Option<(TokenDigest, Record)>,
}

impl Service {
    /// Refuses a subject that is a user of ours who is disabled: disabling ends what there is, and nothing is to be
    /// added to that.
    pub(super) async fn expect_enabled(&self, subject: Option<&str>) -> Result<(), IssueError> {
        let Some(id) = subject.filter(|_| self.accounts.is_some()).and_then(UserId::from_text) else { return Ok(()) };
        match self.user(id).await? {
            Some(known) if !known.user.is_active() => Err(IssueError::UserDisabled),
            // Whoever is not known here may be known elsewhere.
            _ => Ok(()),
        }
    }

    /// Issues an access token, with a refresh token if asked for. Nothing is returned before the store has it for good.
    ///
    /// If the caller goes away and this future is dropped, the token may be kept; nobody knows its text.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn issue(self: &Arc<Self>, new: NewToken, now: Now) -> Result<IssuedToken, IssueError> {
        let format = new.format.unwrap_or(new.owner.client.access_token_format);
        if format == TokenFormat::Jwt && new.import.is_some() {
            return Err(IssueError::SignedImport);
        }
        let access_expiry = new.expires_at.unwrap_or_else(|| self.usual_access_expiry(&new.owner, now));
        self.check_lifetime(access_expiry, new.not_before, now)?;
        self.expect_enabled(new.subject.as_deref()).await?;
        let grant = match new.refresh {
            Some(expiry) => Some(self.new_grant(expiry, access_expiry, &new, now)?),
            None => None,
        };
        // No access token outlives the authorization it comes from.
        let access_expiry = grant.map_or(access_expiry, |grant| access_expiry.min(grant.expires_at));
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
        let is_import = new.import.is_some();
        let minted = if let Some(value) = new.import {
            self.take_over(value, record.clone()).await?
        } else {
            let algorithm = new.owner.client.access_token_signing_alg;
            self.mint_access(record.clone(), format, algorithm, now).await?
        };
        let (mut refresh, mut refresh_expires_at) = (None, None);
        let mut kept_grant = None;
        if let Some(grant) = grant {
            let (value, current) = self.keys.mint_refresh(grant.id).map_err(IssueError::Randomness)?;
            refresh = Some(value);
            let expires_at = self.refresh_expiry(&new.owner, grant, now);
            refresh_expires_at = Some(expires_at);
            let record = GrantRecord {
                current,
                previous: None,
                rotated_at: now.seconds(),
                access: minted.identity.digest(),
                format,
                token: Record { kind: TokenKind::Refresh, expires_at, ..record.clone() },
            };
            record.encode().map_err(IssueError::Unstorable)?;
            kept_grant = Some(NewGrant { id: grant.id, keep_until: expires_at.max(access_expiry), record });
        }
        let tokens: Vec<_> = minted.record.into_iter().collect();
        for (_, record) in &tokens {
            crate::token::codec::encode(record).map_err(IssueError::Unstorable)?;
        }
        if !tokens.is_empty() || kept_grant.is_some() {
            let inserted = self.store.insert(&tokens, kept_grant.as_ref(), now).await;
            if is_import {
                // Somebody may have asked for it before there was a record of it.
                self.store.coherence().heard(Name::Token(minted.identity.digest()).text().as_bytes());
            }
            match inserted? {
                Insertion::Done => {}
                Insertion::Exists => return Err(IssueError::Exists),
            }
        }
        Ok(IssuedToken {
            access: minted.value,
            identity: minted.identity,
            refresh,
            refresh_expires_at,
            grant: grant.map(|grant| grant.id),
            token_type: record.token_type().unwrap_or_default(),
            expires_in: access_expiry.since(now.seconds()),
            scope: record.scope,
            claims: record.claims,
        })
    }

    /// Makes an access token of this record, without keeping it.
    pub(super) async fn mint_access(
        &self,
        record: Record,
        format: TokenFormat,
        algorithm: Option<Algorithm>,
        now: Now,
    ) -> Result<Minted, IssueError> {
        match format {
            TokenFormat::Opaque => {
                let (value, digest) = self.keys.mint().map_err(IssueError::Randomness)?;
                Ok(Minted { value, identity: Identity::Opaque(digest), record: Some((digest, record)) })
            }
            TokenFormat::Jwt => {
                let (value, identity) = self.sign_access_token(record, algorithm, now).await?;
                Ok(Minted { value, identity, record: None })
            }
        }
    }

    async fn take_over(&self, value: TokenValue, record: Record) -> Result<Minted, IssueError> {
        if self.says_it_was_signed_here(value.as_presented()) {
            return Err(IssueError::SignedHere);
        }
        // It may have been taken over under a key that is not the active one.
        let candidates = self.keys.recognise(value.as_presented());
        if self.store.token(candidates.digests()).await?.is_some() {
            return Err(IssueError::Exists);
        }
        let digest = self.keys.digest_of_import(&value);
        Ok(Minted { value, identity: Identity::Opaque(digest), record: Some((digest, record)) })
    }

    /// When an access token of this client ends for which nothing else is said.
    pub(super) fn usual_access_expiry(&self, owner: &KnownClient, now: Now) -> UnixSeconds {
        let usual = self.tokens.access_lifetime.as_secs();
        let registered = owner.client.access_token_lifetime.unwrap_or(usual);
        // The maximum may have been lowered since the client was registered.
        now.seconds().plus(registered.min(self.tokens.max_lifetime.as_secs()))
    }

    /// When a refresh token ends that is made now: with its grant, or when nobody has used it for too long.
    pub(super) fn refresh_expiry(&self, owner: &KnownClient, grant: Grant, now: Now) -> UnixSeconds {
        let usual = self.tokens.refresh_idle_lifetime.as_secs();
        match owner.client.refresh_token_idle_lifetime.unwrap_or(usual) {
            0 => grant.expires_at,
            idle => grant.expires_at.min(now.seconds().plus(idle)),
        }
    }

    fn new_grant(
        &self,
        expiry: GrantExpiry,
        access_expiry: UnixSeconds,
        new: &NewToken,
        now: Now,
    ) -> Result<Grant, IssueError> {
        let expires_at = match expiry {
            GrantExpiry::At(end) => end,
            GrantExpiry::Usual => {
                let usual = self.tokens.refresh_lifetime.as_secs();
                let registered = new.owner.client.refresh_token_lifetime.unwrap_or(usual);
                now.seconds().plus(registered.min(self.tokens.max_lifetime.as_secs())).max(access_expiry)
            }
        };
        self.check_lifetime(expires_at, new.not_before, now)?;
        Ok(Grant { id: random_grant()?, expires_at, born: Stamp(0) })
    }

    pub(super) fn check_lifetime(
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

//! Tokens that were issued elsewhere, taken over by their value: as often as one likes, and never back from the dead.
//!
//! A token that is there already stays as it is, whatever its state: to import a list once more changes nothing, and
//! brings nothing back that was revoked since. What was revoked for many at once holds for a token that is taken over
//! later, too: it counts as taken in when it was issued, and one that is covered is kept as a revoked one, so that it
//! stays revoked when the epoch that covers it has been forgotten.

use super::issue::IssueError;
use super::lookup::{Freshness, Surrounded};
use super::registry::KnownClient;
use super::{CLOCK_SKEW, Service};
use crate::coherence::name::Name;
use crate::store::Insertion;
use crate::token::claims::Claims;
use crate::token::codec;
use crate::token::digest::TokenDigest;
use crate::token::identity::Identity;
use crate::token::record::{Record, State};
use crate::token::scope::Scope;
use crate::token::time::{Now, Stamp, UnixSeconds};
use crate::token::value::{TokenKind, TokenValue};

/// How far in the future a token may say that it was issued, in seconds: what clocks differ by.
const CLOCK_DIFFERENCE: u64 = 60;

/// A token that was issued elsewhere. All texts have been checked.
#[derive(Clone, Debug)]
pub struct ForeignToken {
    /// The client it was issued to.
    pub owner: KnownClient,
    /// Its text.
    pub value: TokenValue,
    /// `iat`: bulk revocations cover the token from then on; `None` counts as now.
    pub issued_at: Option<UnixSeconds>,
    /// `nbf`.
    pub not_before: Option<UnixSeconds>,
    /// `exp`.
    pub expires_at: UnixSeconds,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// `username`.
    pub username: Option<Box<str>>,
    /// `scope`.
    pub scope: Scope,
    /// `aud`.
    pub audience: Vec<Box<str>>,
    /// Everything else.
    pub claims: Claims,
}

/// What became of a token that was to be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// It is kept from now on.
    Imported,
    /// It was there already, with the same metadata, and is as it was.
    Unchanged,
    /// It is revoked, and stays so: itself, or by a revocation of many that is later than its `iat`.
    Revoked,
    /// Its `exp` has passed; nothing is kept.
    Expired,
}

/// Why a token was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is a token of this text that says something else.
    #[error("the token is there already, with other metadata")]
    Differs,
    /// Its `iat` lies in the future, or not before its `exp`.
    #[error("iat lies in the future, or is not before exp")]
    NotYetIssued,
    /// As when one is issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Service {
    /// Takes over a token. Nothing is returned before the store has it for good; with `dry_run`, nothing is kept, and
    /// what is returned is what would have become of it.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn import(&self, token: ForeignToken, dry_run: bool, now: Now) -> Result<Import, ImportError> {
        if token.expires_at <= now.seconds() {
            return Ok(Import::Expired);
        }
        self.check_lifetime(token.expires_at, token.not_before, now)?;
        let latest = now.seconds().plus(CLOCK_DIFFERENCE).min(token.expires_at);
        if token.issued_at.is_some_and(|issued_at| issued_at >= latest) {
            return Err(ImportError::NotYetIssued);
        }
        self.expect_enabled(token.subject.as_deref()).await?;
        let presented = token.value.as_presented();
        if self.says_it_was_signed_here(presented) {
            return Err(IssueError::SignedHere.into());
        }
        // It may have been taken over under a key that is not the active one.
        let digests = self.keys.recognise(presented).digests().to_vec();
        let digest = self.keys.digest_of_import(&token.value);
        let dated = token.issued_at.is_some();
        let mut record = record_of(token, now);
        if dated && record.issued_at.plus(CLOCK_SKEW) > now.seconds() {
            // Our clock may be ahead of the one that stamps, and a revocation of many that is to come must cover it.
            record.stamp = record.stamp.min(self.store.clock(now).await.map_err(store)?);
        }
        let found = self.compare(&digests, &record, dated).await?;
        // One without a date is later than all that has been revoked so far; one that is there has its own.
        if let Some((_, Record { stamp, .. })) = &found {
            record.stamp = *stamp;
        }
        if dated || found.is_some() {
            let Surrounded { parents, .. } =
                self.surround(&Identity::Opaque(digest), record.clone(), Freshness::Read).await.map_err(store)?;
            if let Some(epoch) = parents.epochs.covering(record.origin()) {
                record.state = State::Revoked(epoch.reason);
            }
        }
        if let Some((found, _)) = found {
            return Ok(if record.state == State::Approved { found } else { Import::Revoked });
        }
        let outcome = if record.state == State::Approved { Import::Imported } else { Import::Revoked };
        codec::encode(&record).map_err(|error| ImportError::Issue(IssueError::Unstorable(error)))?;
        if dry_run {
            return Ok(outcome);
        }
        let inserted = self.store.insert(&[(digest, record.clone())], None, now).await;
        // Somebody may have asked for it before there was a record of it.
        self.store.coherence().heard(Name::Token(digest).text().as_bytes());
        match inserted.map_err(store)? {
            Insertion::Done => Ok(outcome),
            // Somebody else has taken it over at the same time; or its record was lost, and its revocation was not.
            Insertion::Exists => {
                let found = self.compare(&digests, &record, dated).await?;
                Ok(found.map_or(Import::Revoked, |(found, _)| found))
            }
        }
    }

    /// What there is already under one of `digests`, next to what is to be kept.
    async fn compare(
        &self,
        digests: &[TokenDigest],
        record: &Record,
        dated: bool,
    ) -> Result<Option<(Import, Record)>, ImportError> {
        let Some((_, kept)) = self.store.token(digests).await.map_err(store)? else { return Ok(None) };
        let same = Record {
            state: kept.state,
            stamp: kept.stamp,
            owner_created: kept.owner_created,
            issued_at: if dated { record.issued_at } else { kept.issued_at },
            ..record.clone()
        };
        if same != kept {
            return Err(ImportError::Differs);
        }
        // A token of a client that was deleted is not that of another one of the same id.
        let lives = kept.state == State::Approved && kept.owner_created == record.owner_created;
        Ok(Some((if lives { Import::Unchanged } else { Import::Revoked }, kept)))
    }
}

fn record_of(token: ForeignToken, now: Now) -> Record {
    Record {
        state: State::Approved,
        // The start of its second: a revocation of many that came within it covers the token. 0 would be the store's
        // own moment.
        stamp: token.issued_at.map_or(Stamp(0), |issued_at| Stamp((issued_at.milliseconds() * 1000).max(1))),
        owner_created: token.owner.created,
        kind: TokenKind::Access,
        issued_at: token.issued_at.unwrap_or(now.seconds()),
        not_before: token.not_before,
        expires_at: token.expires_at,
        client_id: token.owner.client.client_id.as_str().into(),
        subject: token.subject,
        username: token.username,
        scope: token.scope,
        audience: token.audience,
        grant: None,
        claims: token.claims,
    }
}

fn store(error: crate::store::StoreError) -> ImportError {
    ImportError::Issue(IssueError::Store(error))
}

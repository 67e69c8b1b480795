//! Exchanging a refresh token (RFC 6749 section 6), with rotation and reuse detection (RFC 9700 section 4.14.2).
//!
//! ```text
//! R1 --refresh--> R2 --refresh--> R3     each works once; the last one is the current one
//!                  \--used again-->      theft: the whole grant ends, for good
//! ```
//!
//! Within `tokens.refresh_grace` the immediate predecessor is answered with the *same* successor once more, as long as
//! that has not been used itself: there is never more than one refresh token that works.

use std::sync::Arc;

use serde_json::Value;

use super::Service;
use super::issue::{IssueError, IssuedToken, Minted};
use super::lookup::Freshness;
use super::registry::KnownClient;
use crate::store::{Rotation, RotationOutcome, StoreError, StoreErrorKind};
use crate::telemetry::traces::carried;
use crate::token::claims::Claims;
use crate::token::decision::decide;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::grant::GrantRecord;
use crate::token::identity::Identity;
use crate::token::keyring::Candidates;
use crate::token::record::{Grant, Reason, Record};
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::token::value::{Presented, TokenKind, TokenValue};

/// What a client asks for with a refresh token.
#[derive(Clone, Debug)]
pub struct RefreshRequest<'a> {
    /// The client, authenticated as far as it can be.
    pub client: KnownClient,
    /// The refresh token.
    pub token: Presented<'a>,
    /// `scope`: no more than was granted; `None` for all of it.
    pub scope: Option<Scope>,
    /// `resource` (RFC 8707): a part of the audience that was granted; empty for all of it.
    pub resources: Vec<Box<str>>,
    /// `authorization_details` (RFC 9396): some of those that were granted; `None` for all of them.
    pub authorization_details: Option<Value>,
    /// What the access token is to be bound to: `cnf` of a proof that came with the request.
    pub confirmation: Option<Value>,
}

/// What came of it, beside the tokens.
#[derive(Debug)]
pub struct Refreshed {
    /// The new tokens.
    pub issued: IssuedToken,
    /// Whether the refresh token had been used just before and is answered with the same successor.
    pub repeated: bool,
}

/// Why a refresh token was not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// It is not a refresh token of this client that works: one answer for every reason.
    #[error("the refresh token is not valid")]
    InvalidGrant {
        /// Whether it had been used before, and its grant was ended for that now.
        reused: bool,
    },
    /// More scope than was granted.
    #[error("the scope is more than was granted")]
    InvalidScope,
    /// A resource that was not granted.
    #[error("a resource was not granted")]
    InvalidTarget,
    /// Authorization details that were not granted.
    #[error("authorization details were not granted")]
    InvalidDetails,
    /// No new access token could be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        Self::Issue(error.into())
    }
}

const INVALID: RefreshError = RefreshError::InvalidGrant { reused: false };

/// Where a refresh token stands among those of its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is the one that works.
    Current,
    /// It is the one before, and within its time of grace.
    Previous,
    /// It has been exchanged before.
    Spent,
}

/// How often a rotation is tried that another request overtakes: the second look finds what the first one lost against.
const ATTEMPTS: usize = 3;

impl Service {
    /// Exchanges a refresh token for an access token and the next refresh token.
    ///
    /// # Errors
    /// [`RefreshError`]. The refresh token is used up only by success, and by [`RefreshError::InvalidGrant`] with
    /// `reused`.
    pub async fn refresh(self: &Arc<Self>, request: &RefreshRequest<'_>, now: Now) -> Result<Refreshed, RefreshError> {
        let (id, presented) = self.recognise_refresh_token(request.token)?;
        for _ in 0..ATTEMPTS {
            let grant = self.grant_of(&request.client, id).await?;
            let family = grant.token.grant.ok_or_else(|| damaged("a grant without an end"))?;
            let place = self.place_of(presented, &grant, now);
            if place == Place::Spent {
                return Err(self.end_reused(&grant, family, now).await?);
            }
            self.expect_usable(request, &grant, (id, presented), now).await?;
            // What is asked for comes last: that it is too much must not hide a second use, nor tell that there was
            // none.
            let (next, successor) = self.next_of(request, &grant, family, place, now)?;
            let access = narrow(&grant.token, request)?;
            let repeated = place == Place::Previous;
            if let Some(refreshed) =
                self.exchange(request, id, &grant, next, (access, successor, repeated), now).await?
            {
                return Ok(refreshed);
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "the grant kept changing under a refresh").into())
    }

    /// The grant that a text names if it is a refresh token that was made here, and its digest; without a look-up.
    ///
    /// # Errors
    /// [`RefreshError::InvalidGrant`]; an unavailable store when the text is of a key that this node does not have.
    pub fn recognise_refresh_token(&self, token: Presented<'_>) -> Result<(GrantId, TokenDigest), RefreshError> {
        match self.keys.recognise(token) {
            Candidates::Refresh { grant, digest } => Ok((grant, digest)),
            Candidates::UnknownKey(key) => {
                let detail = format!("a refresh token of the key {key} was sent, and this node does not have that key");
                Err(StoreError::new(StoreErrorKind::Unavailable, detail).into())
            }
            Candidates::Garbage | Candidates::One(_) | Candidates::Imported(_) => Err(INVALID),
        }
    }

    /// Reads the grant, and makes sure that it is this client's. A refresh token of another client changes nothing:
    /// whoever has found one could otherwise end the session of its owner.
    async fn grant_of(&self, client: &KnownClient, id: GrantId) -> Result<GrantRecord, RefreshError> {
        let grant = self.store.grant(id).await?.ok_or(INVALID)?;
        let owned =
            *grant.token.client_id == *client.client.client_id.as_str() && grant.token.owner_created == client.created;
        if owned { Ok(grant) } else { Err(INVALID) }
    }

    fn place_of(&self, presented: TokenDigest, grant: &GrantRecord, now: Now) -> Place {
        let grace = self.tokens.refresh_grace.as_secs();
        if grant.current == presented {
            Place::Current
        } else if grant.previous == Some(presented) && now.seconds().since(grant.rotated_at) < grace {
            Place::Previous
        } else {
            Place::Spent
        }
    }

    /// Ends a grant for good of which a refresh token was used a second time.
    ///
    /// Neither what it is bound to nor whether it is revoked is asked before: it may be the thief who has bound it, and
    /// a revocation on request can be undone. Access tokens may outlive a refresh token that nobody used for too long,
    /// so its predecessors tell of theft as long as the family is there.
    async fn end_reused(
        self: &Arc<Self>,
        grant: &GrantRecord,
        family: Grant,
        now: Now,
    ) -> Result<RefreshError, StoreError> {
        if family.expires_at <= now.seconds() {
            return Ok(INVALID);
        }
        // Once begun it is carried through, even if the thief hangs up.
        let service = Arc::clone(self);
        let ended =
            tokio::spawn(carried(
                async move { service.revoke_mark(family, |mark| mark.revoked(Reason::REUSED)).await },
            ));
        let reused = ended.await.map_err(|_| cut_short())??;
        // The access tokens of the grant end with it.
        self.store.visible().await?;
        if reused {
            tracing::warn!(
                client_id = %grant.token.client_id,
                grant_id = %family.id.to_text(),
                "a refresh token was used a second time: its grant is revoked"
            );
        }
        Ok(RefreshError::InvalidGrant { reused })
    }

    /// Makes sure that the grant can be refreshed at this moment by whoever asks.
    async fn expect_usable(
        &self,
        request: &RefreshRequest<'_>,
        grant: &GrantRecord,
        (id, presented): (GrantId, TokenDigest),
        now: Now,
    ) -> Result<(), RefreshError> {
        if !is_bound_to(&grant.token, request) {
            return Err(INVALID);
        }
        let identity = Identity::Refresh { grant: id, digest: presented };
        let surrounded = self.surround(&identity, grant.token.clone(), Freshness::Read).await?;
        decide(presented, &surrounded.record, &surrounded.parents, now.seconds()).map_err(|_| INVALID)
    }

    /// What the grant is to hold then, and the refresh token to hand out.
    fn next_of(
        &self,
        request: &RefreshRequest<'_>,
        grant: &GrantRecord,
        family: Grant,
        place: Place,
        now: Now,
    ) -> Result<(GrantRecord, TokenValue), RefreshError> {
        if place == Place::Previous {
            let successor = self.keys.find_successor(request.token, family.id, grant.current);
            // Another node made it, with a key that this one has not been given yet: that is no theft.
            let detail = "the successor of a refresh token was made with a key that this node does not have";
            let successor = successor.ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, detail))?;
            return Ok((grant.clone(), successor));
        }
        let (successor, current) = self.keys.successor(request.token, family.id);
        let expires_at = self.refresh_expiry(&request.client, family, now);
        let claims = match &request.confirmation {
            // RFC 9449 section 5, RFC 8705 section 4: from the first proof on, nobody else can use it.
            Some(proved) if request.client.client.is_public() => confirmed(&grant.token.claims, proved)?,
            _ => grant.token.claims.clone(),
        };
        let next = GrantRecord {
            current,
            previous: Some(grant.current),
            rotated_at: now.seconds(),
            token: Record { expires_at, claims, ..grant.token.clone() },
            ..grant.clone()
        };
        Ok((next, successor))
    }

    /// Makes the access token and rotates; `None` when another request was quicker.
    async fn exchange(
        &self,
        request: &RefreshRequest<'_>,
        id: GrantId,
        grant: &GrantRecord,
        mut next: GrantRecord,
        (access, successor, repeated): (AccessRequest, TokenValue, bool),
        now: Now,
    ) -> Result<Option<Refreshed>, RefreshError> {
        let family = grant.token.grant.ok_or_else(|| damaged("a grant without an end"))?;
        let expires_at = self.usual_access_expiry(&request.client, now).min(family.expires_at);
        let record = Record {
            kind: TokenKind::Access,
            stamp: crate::token::time::Stamp(0),
            issued_at: now.seconds(),
            not_before: None,
            expires_at,
            scope: access.scope,
            audience: access.audience,
            claims: access.claims,
            // What was revoked up to some moment cannot be escaped by refreshing in that moment.
            grant: Some(Grant { born: grant.token.stamp, ..family }),
            ..grant.token.clone()
        };
        let algorithm = request.client.client.access_token_signing_alg;
        let Minted { value, identity, record: kept } =
            self.mint_access(record.clone(), grant.format, algorithm, now).await?;
        next.access = identity.digest();
        let refresh_expires_at = Some(next.token.expires_at);
        let keep_until = next.token.expires_at.max(expires_at);
        let rotation = Rotation { grant: id, from: grant.current, to: next, keep_until, access: kept };
        match self.store.rotate(&rotation, now).await? {
            RotationOutcome::Done => {}
            RotationOutcome::Superseded => return Ok(None),
            RotationOutcome::Revoked | RotationOutcome::Absent => return Err(INVALID),
        }
        let issued = IssuedToken {
            access: value,
            identity,
            refresh: Some(successor),
            refresh_expires_at,
            grant: Some(id),
            token_type: record.token_type().unwrap_or_default(),
            expires_in: expires_at.since(now.seconds()),
            scope: record.scope,
            claims: record.claims,
        };
        Ok(Some(Refreshed { issued, repeated }))
    }
}

/// What the new access token may be used for.
struct AccessRequest {
    scope: Scope,
    audience: Vec<Box<str>>,
    claims: Claims,
}

/// Narrows what was granted to what is asked for. The refresh token keeps all of it (RFC 6749 section 6, RFC 8707
/// section 2.2, RFC 9396 section 6).
fn narrow(granted: &Record, request: &RefreshRequest<'_>) -> Result<AccessRequest, RefreshError> {
    let scope = match &request.scope {
        None => granted.scope.clone(),
        Some(scope) if scope.is_subset_of(&granted.scope) => scope.clone(),
        Some(_) => return Err(RefreshError::InvalidScope),
    };
    let audience = if request.resources.is_empty() {
        granted.audience.clone()
    } else if request.resources.iter().all(|resource| granted.audience.contains(resource)) {
        request.resources.clone()
    } else {
        return Err(RefreshError::InvalidTarget);
    };
    let mut claims = granted.claims.clone();
    if let Some(asked) = &request.authorization_details {
        let held = claims.get("authorization_details");
        let held = held.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let all = asked.as_array().is_some_and(|asked| asked.iter().all(|detail| held.contains(detail)));
        if !all {
            return Err(RefreshError::InvalidDetails);
        }
        let wanted = Some(asked).filter(|asked| asked.as_array().is_some_and(|asked| !asked.is_empty()));
        claims = claims.with("authorization_details", wanted).map_err(|_| RefreshError::InvalidDetails)?;
    }
    if let Some(proved) = &request.confirmation {
        claims = confirmed(&claims, proved)?;
    }
    Ok(AccessRequest { scope, audience, claims })
}

/// The same claims with what was proved beside what was confirmed before: a key does not take the place of a
/// certificate.
fn confirmed(claims: &Claims, proved: &Value) -> Result<Claims, RefreshError> {
    let mut members = claims.get("cnf").and_then(|held| held.as_object().cloned()).unwrap_or_default();
    members.extend(proved.as_object().cloned().unwrap_or_default());
    claims.with("cnf", Some(&members.into())).map_err(|_| INVALID)
}

/// The refresh token of a client that cannot authenticate is bound to the key and the certificate that its access
/// tokens are bound to: nothing else proves who sends it (RFC 9449 section 5, RFC 8705 section 4).
fn is_bound_to(token: &Record, request: &RefreshRequest<'_>) -> bool {
    if !request.client.client.is_public() || !token.claims.has_confirmation() {
        return true;
    }
    let (held, proved) = (token.claims.get("cnf"), request.confirmation.as_ref());
    let is_proved = |(name, value): (&String, &Value)| proved.and_then(|proved| proved.get(name)) == Some(value);
    held.as_ref().and_then(Value::as_object).is_some_and(|held| held.iter().all(is_proved))
}

fn damaged(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, detail)
}

pub(super) fn cut_short() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the change was cut short by the end of the process")
}

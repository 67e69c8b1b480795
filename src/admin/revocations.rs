//! `POST /admin/tokens/revoke` and `/approve`: one token by value, `jti` or grant. `POST /admin/revocations`: many at
//! once.

use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::authorise;
use crate::client::{ClientId, Right};
use crate::http::error::ApiError;
use crate::http::json as body;
use crate::http::request::{self, MediaType};
use crate::http::trail::Trail;
use crate::http::{Answer, Context, respond};
use crate::server::{Peer, RequestBody};
use crate::service::approve::ApproveError;
use crate::service::revoke::{Named, Touched};
use crate::token::epoch::EpochAxis;
use crate::token::record::Reason;
use crate::token::time::UnixSeconds;
use crate::token::value::Presented;

/// Which token, and what else with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    token: Option<String>,
    jti: Option<String>,
    grant_id: Option<String>,
    /// Read and not needed: a token is found whichever type it is said to have, as RFC 7009 section 2.1 wants of a
    /// hint.
    #[serde(rename = "token_type")]
    _token_type: Option<TokenType>,
    #[serde(default = "yes")]
    cascade: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    AccessToken,
    RefreshToken,
}

fn yes() -> bool {
    true
}

impl TokenRequest {
    fn named(&self) -> Result<Named<'_>, ApiError> {
        match (&self.token, &self.jti, &self.grant_id) {
            (Some(token), None, None) => Ok(Named::Value(Presented::new(token))),
            (None, Some(jti), None) => Ok(Named::Identifier(jti)),
            (None, None, Some(grant)) => Ok(Named::Grant(grant)),
            _ => Err(ApiError::invalid_request("Exactly one of token, jti and grant_id must be given")),
        }
    }
}

/// Revokes a token: 200 also when it was revoked before.
///
/// # Errors
/// 400, 401, 403, 404 for a token that is not there, 503.
pub async fn revoke(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Json).await?;
    let now = context.service.now();
    authorise(context, request, peer, now, &[Right::Revoke, Right::Admin]).await?;
    let asked: TokenRequest = body::read(&body)?;
    let mut touched = Vec::new();
    let changed = context.service.revoke_named_and_tell(asked.named()?, asked.cascade, &mut touched, now).await;
    note(request, &touched, asked.cascade);
    let changed = changed?.ok_or_else(ApiError::not_found)?;
    Trail::of(request).changed = Some(changed);
    if changed {
        context.observer.revoked();
    }
    Ok(answer(changed))
}

/// Approves a token again: 200 also when it was not revoked.
///
/// # Errors
/// 400, 401, 403, 404 for a token that is not there or has expired, 409 for one that was revoked for good, 503.
pub async fn approve(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Json).await?;
    let now = context.service.now();
    authorise(context, request, peer, now, &[Right::Admin]).await?;
    let asked: TokenRequest = body::read(&body)?;
    let mut touched = Vec::new();
    let changed = context.service.approve_named_and_tell(asked.named()?, asked.cascade, &mut touched, now).await;
    note(request, &touched, asked.cascade);
    let changed = changed.map_err(refuse)?;
    Trail::of(request).changed = Some(changed);
    if changed {
        context.observer.approved();
    }
    Ok(answer(changed))
}

/// Which tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkRequest {
    client_id: Option<String>,
    sub: Option<String>,
    #[serde(default)]
    all: bool,
    before: Option<u64>,
}

const MAX_SUBJECT_BYTES: usize = 1024;

/// Revokes every token of a client, of a user, of a client for a user, or all there are.
///
/// Whether there are any is neither looked up nor answered: it is one write, whatever their number.
///
/// # Errors
/// 400, 401, 403, 503.
pub async fn revoke_all(
    context: &Context,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Json).await?;
    let now = context.service.now();
    authorise(context, request, peer, now, &[Right::Admin]).await?;
    let asked: BulkRequest = body::read(&body)?;
    if asked.client_id.as_deref().is_some_and(|id| ClientId::parse(id).is_none()) {
        return Err(ApiError::invalid_request("client_id must have 1 to 128 printable ASCII characters"));
    }
    if asked.sub.as_deref().is_some_and(|sub| sub.is_empty() || sub.len() > MAX_SUBJECT_BYTES) {
        return Err(ApiError::invalid_request("sub must have 1 to 1024 bytes"));
    }
    let axis = match (asked.client_id.as_deref(), asked.sub.as_deref(), asked.all) {
        (Some(client_id), Some(subject), false) => EpochAxis::ClientUser { client_id, subject },
        (Some(client_id), None, false) => EpochAxis::Client(client_id),
        (None, Some(subject), false) => EpochAxis::User(subject),
        (None, None, true) => EpochAxis::Issuer,
        _ => return Err(ApiError::invalid_request("Either client_id, sub or both must be given, or all must be true")),
    };
    let trail = Trail::of(request);
    for (member, text) in [("client_id", &asked.client_id), ("sub", &asked.sub)] {
        if let Some(text) = text {
            trail.name(&context.service, member, text, now).await;
        }
    }
    if asked.all {
        trail.target.value("all", true);
    }
    if let Some(before) = asked.before {
        trail.target.value("before", before);
    }
    let before = asked.before.map(UnixSeconds);
    if before.is_some_and(|second| second > now.seconds()) {
        // Tokens that are still to come would be revoked before they are issued.
        return Err(ApiError::invalid_request("before must not be in the future; it is seconds since 1970"));
    }
    let changed = context.service.revoke_all(axis, before, Reason::BULK, now).await?;
    Trail::of(request).changed = Some(changed);
    context.observer.revoked_in_bulk();
    Ok(answer(changed))
}

/// Names the tokens that were found.
fn note(request: &mut Request<RequestBody>, touched: &[Touched], cascade: bool) {
    let trail = Trail::of(request);
    trail.name_tokens(touched);
    trail.target.value("cascade", cascade);
}

fn answer(changed: bool) -> Answer {
    respond::json(StatusCode::OK, json!({"changed": changed}).to_string().into())
}

fn refuse(error: ApproveError) -> ApiError {
    match error {
        ApproveError::Unknown => ApiError::not_found(),
        ApproveError::Final(_) | ApproveError::TooMany(_) => ApiError::conflict(error.to_string()),
        ApproveError::Store(error) => error.into(),
    }
}

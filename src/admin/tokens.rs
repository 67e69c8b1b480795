//! `POST /admin/tokens`: tokens issued by an authorization server, or taken over from one.

use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::authorise;
use crate::auth::Caller;
use crate::client::metadata::{MAX_AUDIENCE_BYTES, MAX_AUDIENCES};
use crate::client::{Client, ClientId, ClientState, EVERY_AUDIENCE, Right, is_vschar};
use crate::http::error::ApiError;
use crate::http::json as body;
use crate::http::request::{self, MediaType};
use crate::http::trail::Trail;
use crate::http::{Answer, Context, respond};
use crate::server::{Peer, RequestBody};
use crate::service::issue::{GrantExpiry, IssueError, IssuedToken, NewToken};
use crate::service::registry::KnownClient;
use crate::token::claims::Claims;
use crate::token::grant::TokenFormat;
use crate::token::scope::Scope;
use crate::token::time::{Now, UnixSeconds};
use crate::token::value::{TokenKind, TokenValue};

/// What may be said of a token to be issued.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueRequest {
    client_id: String,
    sub: Option<String>,
    username: Option<String>,
    scope: Option<String>,
    aud: Option<Audience>,
    expires_in: Option<u64>,
    exp: Option<u64>,
    nbf: Option<u64>,
    format: Option<TokenFormat>,
    #[serde(default)]
    refresh: bool,
    refresh_expires_in: Option<u64>,
    cnf: Option<Value>,
    authorization_details: Option<Value>,
    #[serde(default)]
    claims: Map<String, Value>,
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

const MAX_TEXT_BYTES: usize = 1024;

/// Issues a token for a client.
///
/// # Errors
/// 400 with the member and the rule, 401, 403, 409 for a token that exists already, 503.
pub async fn issue(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Json).await?;
    let now = context.service.now();
    let caller = authorise(context, request, peer, now, &[Right::Issue, Right::Admin]).await?;
    let asked: IssueRequest = body::read(&body)?;
    let id = ClientId::parse(&asked.client_id).ok_or_else(unknown_client)?;
    let owner = context.service.registry.find(&id).await?.ok_or_else(unknown_client)?;
    let trail = Trail::of(request);
    trail.target.text("client_id", id.as_str());
    if let Some(sub) = &asked.sub {
        trail.name(&context.service, "sub", sub, now).await;
    }
    if asked.token.is_some() {
        trail.target.value("imported", true);
    }
    let new = check(asked, owner, &caller, context.service.keys.takes_imports(), now)?;
    let issued = context.service.issue(new, now).await.map_err(refuse)?;
    let target = &mut Trail::of(request).target;
    target.text("jti", &issued.identity.to_text());
    if let Some(grant) = issued.grant {
        target.text("grant_id", grant.to_text().as_str());
    }
    if !issued.scope.is_empty() {
        target.text("scope", issued.scope.as_str());
    }
    context.observer.issued(TokenKind::Access);
    if issued.refresh.is_some() {
        context.observer.issued(TokenKind::Refresh);
    }
    Ok(respond::json(StatusCode::CREATED, view(&issued).to_string().into()))
}

fn view(issued: &IssuedToken) -> Value {
    let jti = issued.identity.to_text();
    // A token that stands alone is a grant of one.
    let grant = issued.grant.map_or_else(|| jti.clone(), |grant| grant.to_text().as_str().to_owned());
    let mut view = json!({
        "access_token": issued.access.expose(),
        "token_type": issued.token_type,
        "expires_in": issued.expires_in,
        "jti": jti,
        "grant_id": grant,
    });
    if let Some(refresh) = &issued.refresh {
        view["refresh_token"] = json!(refresh.expose());
    }
    view
}

fn check(
    asked: IssueRequest,
    owner: KnownClient,
    caller: &Caller,
    imports: bool,
    now: Now,
) -> Result<NewToken, ApiError> {
    if owner.client.state == ClientState::Revoked {
        return Err(ApiError::bad_request("unauthorized_client", "The client is revoked"));
    }
    let expires_at = match (asked.expires_in, asked.exp) {
        (Some(_), Some(_)) => return Err(ApiError::invalid_request("expires_in and exp exclude each other")),
        (Some(seconds), None) => Some(now.seconds().plus(seconds)),
        (None, exp) => exp.map(seconds).transpose()?,
    };
    let refresh = match (asked.refresh, asked.refresh_expires_in) {
        (false, None) => None,
        (false, Some(_)) => return Err(ApiError::invalid_request("refresh_expires_in without refresh")),
        (true, None) => Some(GrantExpiry::Usual),
        (true, Some(seconds)) => Some(GrantExpiry::At(now.seconds().plus(seconds))),
    };
    let import = match asked.token {
        None => None,
        Some(_) if !imports => return Err(ApiError::invalid_request("token: tokens.imports is off")),
        Some(text) => Some(TokenValue::import(&text).map_err(|error| ApiError::invalid_request(error.to_string()))?),
    };
    Ok(NewToken {
        subject: subject(asked.sub, &owner.client)?,
        username: asked.username.map(|name| text("username", name)).transpose()?,
        scope: scope(asked.scope.as_deref().unwrap_or_default(), &owner.client, caller)?,
        audience: audience(asked.aud)?,
        not_before: asked.nbf.map(seconds).transpose()?,
        expires_at,
        format: asked.format,
        refresh,
        claims: Claims::build(asked.cnf.as_ref(), asked.authorization_details.as_ref(), &asked.claims)
            .map_err(|error| ApiError::invalid_request(error.to_string()))?,
        import,
        owner,
    })
}

pub(super) fn seconds(value: u64) -> Result<UnixSeconds, ApiError> {
    let seconds = UnixSeconds(value);
    if seconds > UnixSeconds::MAX {
        return Err(ApiError::invalid_request("exp, nbf and iat are seconds since 1970, not milliseconds"));
    }
    Ok(seconds)
}

pub(super) fn text(name: &str, value: String) -> Result<Box<str>, ApiError> {
    if value.is_empty() || value.len() > MAX_TEXT_BYTES || value.chars().any(char::is_control) {
        return Err(ApiError::invalid_request(format!(
            "{name} must have 1 to {MAX_TEXT_BYTES} bytes without control characters"
        )));
    }
    Ok(value.into())
}

/// Users and clients share the `sub` member: nobody may be issued a token that speaks for another client.
pub(super) fn subject(value: Option<String>, owner: &Client) -> Result<Option<Box<str>>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    if value.strip_prefix("client:").is_some_and(|id| id != owner.client_id.as_str()) {
        return Err(ApiError::invalid_request("sub names another client"));
    }
    text("sub", value).map(Some)
}

/// A scope that stands for a right is issued only by an operator, and only for a client that has the right.
pub(super) fn scope(value: &str, owner: &Client, caller: &Caller) -> Result<Scope, ApiError> {
    let scope = Scope::parse(value).map_err(|error| ApiError::bad_request("invalid_scope", error.to_string()))?;
    let rights = || scope.names().filter_map(Right::of_scope);
    if rights().any(|right| !owner.rights.contains(right) || !caller.has(Right::Admin)) {
        return Err(ApiError::bad_request("invalid_scope", "A scope stands for a right that cannot be given"));
    }
    Ok(scope)
}

pub(super) fn audience(value: Option<Audience>) -> Result<Vec<Box<str>>, ApiError> {
    let names = match value {
        None => Vec::new(),
        Some(Audience::One(name)) => vec![name],
        Some(Audience::Several(names)) => names,
    };
    let usable =
        |name: &String| (1..=MAX_AUDIENCE_BYTES).contains(&name.len()) && is_vschar(name) && name != EVERY_AUDIENCE;
    if names.len() > MAX_AUDIENCES || !names.iter().all(usable) {
        return Err(ApiError::invalid_request("aud must be at most 64 texts of 1 to 1024 printable ASCII characters"));
    }
    Ok(names.into_iter().map(Into::into).collect())
}

pub(super) fn unknown_client() -> ApiError {
    ApiError::invalid_request("client_id names no client")
}

pub(super) fn refuse(error: IssueError) -> ApiError {
    match error {
        IssueError::Exists => ApiError::conflict("The token exists already"),
        IssueError::NeverActive
        | IssueError::TooLong(_)
        | IssueError::SignedImport
        | IssueError::SignedHere
        | IssueError::TooLarge
        | IssueError::UserDisabled
        | IssueError::Unstorable(_) => ApiError::invalid_request(error.to_string()),
        IssueError::Randomness(error) => ApiError::internal(error),
        IssueError::Signing(message) => ApiError::internal(message),
        IssueError::Store(error) => error.into(),
    }
}

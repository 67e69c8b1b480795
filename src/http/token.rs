//! `POST /token` (RFC 6749 section 3.2): tokens that a client asks for on its own behalf.

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use serde_json::json;
use url::Url;

use super::error::ApiError;
use super::request::{self, MediaType};
use super::{Answer, Context, respond};
use crate::auth::{Caller, Method};
use crate::client::metadata::{MAX_AUDIENCE_BYTES, MAX_AUDIENCES};
use crate::client::{GrantType, is_vschar, policy};
use crate::form::{Form, Parameter};
use crate::server::{Peer, RequestBody};
use crate::service::issue::{IssueError, NewToken};
use crate::token::claims::Claims;
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::token::value::TokenKind;

/// Issues an access token for `grant_type=client_credentials` (section 4.4).
///
/// # Errors
/// The codes of section 5.2, and `invalid_target` of RFC 8707.
pub async fn handle(context: &Context, request: Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let (head, body) = request::read(context, request, MediaType::Form).await?;
    let form = Form::parse(&body)?;
    let now = context.service.now();
    let caller = context.authenticate(&head, &form, peer, now).await?;
    if matches!(caller.method(), Method::Bearer(_)) {
        return Err(ApiError::invalid_client());
    }
    if head.headers.contains_key(AUTHORIZATION) && form.get(Parameter::ClientSecret).is_some() {
        return Err(ApiError::invalid_request("more than one way of client authentication"));
    }
    match form.get(Parameter::GrantType) {
        None => Err(ApiError::invalid_request("The grant_type is missing")),
        Some("client_credentials") => client_credentials(context, &caller, &form, now).await,
        Some(_) => Err(ApiError::bad_request("unsupported_grant_type", "The grant type is not supported")),
    }
}

async fn client_credentials(context: &Context, caller: &Caller, form: &Form<'_>, now: Now) -> Result<Answer, ApiError> {
    let client = caller.client();
    if !client.may_use(GrantType::ClientCredentials) || client.is_public() {
        return Err(ApiError::bad_request("unauthorized_client", "The client may not use this grant type"));
    }
    let too_much = || ApiError::bad_request("invalid_scope", "The scope is malformed or more than the client may have");
    let requested = Scope::parse(form.get(Parameter::Scope).unwrap_or_default()).map_err(|_| too_much())?;
    let scope = policy::granted_scope(client, &requested).ok_or_else(too_much)?;
    let unknown_resource =
        || ApiError::bad_request("invalid_target", "A resource is malformed, unknown or not for this client");
    let resources = resources(form).ok_or_else(unknown_resource)?;
    let audience = policy::granted_audience(client, &resources).ok_or_else(unknown_resource)?;
    let owner = context.service.registry.find(&client.client_id).await?.ok_or_else(ApiError::invalid_client)?;
    let new = NewToken {
        // A prefix keeps clients out of the users' namespace (RFC 9700 section 4.15).
        subject: Some(format!("client:{}", client.client_id).into()),
        owner,
        username: None,
        scope,
        audience,
        not_before: None,
        expires_at: None,
        refresh: None,
        with_grant: false,
        claims: Claims::default(),
        import: None,
    };
    let issued = context.service.issue(new, now).await.map_err(refuse_issue)?;
    context.observer.issued(TokenKind::Access);
    let mut body = json!({
        "access_token": issued.access.expose(),
        "token_type": issued.token_type,
        "expires_in": issued.expires_in,
    });
    if !issued.scope.is_empty() {
        body["scope"] = json!(issued.scope);
    }
    Ok(respond::json(StatusCode::OK, body.to_string().into()))
}

/// RFC 8707 section 2: each an absolute URI without a fragment. One that is repeated counts once.
fn resources(form: &Form<'_>) -> Option<Vec<Box<str>>> {
    let mut resources: Vec<Box<str>> = Vec::new();
    for resource in form.resources() {
        let usable = resource.len() <= MAX_AUDIENCE_BYTES && is_vschar(resource) && !resource.contains('#');
        if !usable || Url::parse(resource).is_err() {
            return None;
        }
        if !resources.iter().any(|known| **known == *resource) {
            resources.push(resource.into());
        }
    }
    (resources.len() <= MAX_AUDIENCES).then_some(resources)
}

/// Nothing in such a request but a fault of ours can make issuing fail.
fn refuse_issue(error: IssueError) -> ApiError {
    match error {
        IssueError::Store(error) => error.into(),
        other => ApiError::internal(other),
    }
}

//! `POST /token` (RFC 6749 section 3.2): order only, no rules of its own.
//!
//! | `grant_type` | file |
//! |---|---|
//! | `client_credentials` | `client_credentials.rs` |
//! | `refresh_token` | `refresh_token.rs` |

mod client_credentials;
mod parameters;
mod refresh_token;

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::confirmation::Sender;
use super::error::ApiError;
use super::request::{self, MediaType};
use super::{Answer, Context, respond};
use crate::auth::Method;
use crate::form::{Form, Parameter};
use crate::server::{Peer, RequestBody};
use crate::service::issue::{IssueError, IssuedToken};

/// Issues tokens to the client that asks for them.
///
/// # Errors
/// The codes of section 5.2, `invalid_target` of RFC 8707 and `invalid_authorization_details` of RFC 9396.
pub async fn handle(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Form).await?;
    let form = Form::parse(&body)?;
    let now = context.service.now();
    let caller = context.authenticate(request.headers(), &form, peer, now).await?;
    if matches!(caller.method(), Method::Bearer(_)) {
        return Err(ApiError::invalid_client());
    }
    if request.headers().contains_key(AUTHORIZATION) && form.get(Parameter::ClientSecret).is_some() {
        return Err(ApiError::invalid_request("more than one way of client authentication"));
    }
    let sender = Sender { headers: request.headers(), peer, caller: &caller };
    match form.get(Parameter::GrantType) {
        None => Err(ApiError::invalid_request("The grant_type is missing")),
        Some("client_credentials") => client_credentials::issue(context, &sender, &form, now).await,
        Some("refresh_token") => refresh_token::exchange(context, &sender, &form, now).await,
        Some(_) => Err(ApiError::bad_request("unsupported_grant_type", "The grant type is not supported")),
    }
}

/// The answer of section 5.1. The scope is always in it: it may be less than was asked for. So are the authorization
/// details (RFC 9396 section 7).
fn answer(issued: &IssuedToken) -> Answer {
    respond::json(StatusCode::OK, describe(issued).to_string().into())
}

/// The members of that answer.
pub(super) fn describe(issued: &IssuedToken) -> Value {
    let mut body = json!({
        "access_token": issued.access.expose(),
        "token_type": issued.token_type,
        "expires_in": issued.expires_in,
    });
    if !issued.scope.is_empty() {
        body["scope"] = json!(issued.scope);
    }
    if let Some(details) = issued.claims.get("authorization_details") {
        body["authorization_details"] = details;
    }
    if let Some(refresh) = &issued.refresh {
        body["refresh_token"] = json!(refresh.expose());
    }
    body
}

fn unauthorized_client() -> ApiError {
    ApiError::bad_request("unauthorized_client", "The client may not use this grant type")
}

/// Nothing in such a request but its size or a fault of ours can make issuing fail.
fn refuse_issue(error: IssueError) -> ApiError {
    match error {
        IssueError::TooLarge => ApiError::invalid_request(error.to_string()),
        IssueError::Store(error) => error.into(),
        other => ApiError::internal(other),
    }
}

//! `/admin/keys`: the signing keys, their rotation, and their removal in an emergency.

use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorise;
use crate::client::Right;
use crate::http::error::ApiError;
use crate::http::json as body;
use crate::http::request::{self, MediaType};
use crate::http::trail::Trail;
use crate::http::{Answer, Context, respond};
use crate::jose::algorithm::Algorithm;
use crate::server::{Peer, RequestBody};
use crate::service::signing::{Purpose, SigningError};
use crate::token::time::Now;

/// Which keys are to be rotated: those for access tokens, of the usual algorithm, when nothing is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateRequest {
    algorithm: Option<Algorithm>,
    #[serde(rename = "use")]
    purpose: Option<Purpose>,
}

/// Lists the keys, as the store has them.
///
/// # Errors
/// 401, 403, 503.
pub async fn list(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let now = expect_operator(context, request, peer).await?;
    all(context, now).await
}

/// Lets the standby take over, and answers with the keys as they are then.
///
/// # Errors
/// 400, 401, 403, 409 when too many keys are still needed, 503.
pub async fn rotate(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Json).await?;
    let now = context.service.now();
    authorise(context, request, peer, now, &[Right::Admin]).await?;
    let RotateRequest { algorithm, purpose } = body::read(&body)?;
    let signing = &context.service.signing;
    let (algorithm, purpose) =
        (algorithm.unwrap_or(signing.usual_algorithm()), purpose.unwrap_or(Purpose::AccessToken));
    let target = &mut Trail::of(request).target;
    target.value("algorithm", json!(algorithm));
    target.value("use", json!(purpose));
    signing.rotate(purpose, algorithm, now).await.map_err(refuse)?;
    all(context, now).await
}

/// Takes a key out of use; what it has signed stays valid.
///
/// # Errors
/// 401, 403, 404, 409 when too many keys are still needed, 503.
pub async fn retire(
    context: &Context,
    kid: &str,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<Answer, ApiError> {
    let now = expect_operator(context, request, peer).await?;
    context.service.signing.retire(kid, now).await.map_err(refuse)?;
    all(context, now).await
}

/// Takes a key away with everything that it has signed.
///
/// # Errors
/// 401, 403, 404, 503.
pub async fn remove(
    context: &Context,
    kid: &str,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<Answer, ApiError> {
    let now = expect_operator(context, request, peer).await?;
    context.service.signing.remove(kid, now).await.map_err(refuse)?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Decides whether an operator asks, with a request whose body does not matter; the moment at which it was decided.
async fn expect_operator(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Now, ApiError> {
    let now = context.service.now();
    authorise(context, request, peer, now, &[Right::Admin]).await?;
    Ok(now)
}

async fn all(context: &Context, now: Now) -> Result<Answer, ApiError> {
    let keys = context.service.signing.list(now).await?;
    let keys: Vec<Value> = keys.iter().map(|key| key.describe(now.seconds())).collect();
    Ok(respond::json(StatusCode::OK, json!({ "keys": keys }).to_string().into()))
}

fn refuse(error: SigningError) -> ApiError {
    match error {
        SigningError::Unknown => ApiError::not_found(),
        SigningError::TooMany => ApiError::conflict(error.to_string()),
        SigningError::Key(_) | SigningError::Seal(_) => ApiError::internal(error),
        SigningError::Store(error) => error.into(),
    }
}

/// What can be done to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take it out of use.
    Retire,
    /// Take it away.
    Remove,
}

impl Action {
    /// The only method of it.
    pub fn method(self) -> (&'static [Method], &'static str) {
        match self {
            Self::Retire => (&[Method::POST], "POST, OPTIONS"),
            Self::Remove => (&[Method::DELETE], "DELETE, OPTIONS"),
        }
    }
}

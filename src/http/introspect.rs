//! `POST /introspect` (RFC 7662), answered as JSON or signed (RFC 9701): order only, no rules of its own.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Request, StatusCode};

use super::error::ApiError;
use super::request::{self, MediaType};
use super::{Answer, Context, accept, respond};
use crate::auth::credentials::Credentials;
use crate::auth::{Caller, Method};
use crate::client::Right;
use crate::form::{Form, Parameter};
use crate::server::{Peer, RequestBody};
use crate::service::introspect::Wanted;
use crate::service::lookup::Freshness;
use crate::service::signed_answer::Keep;
use crate::service::signing::SigningError;
use crate::telemetry::metrics::Outcome;
use crate::token::answer::INACTIVE;
use crate::token::scope::Scope;
use crate::token::value::Presented;

/// Answers whether a token is active and, if so, what this caller may see of it.
///
/// `token_type_hint` is read and not needed: one look-up finds a token of either kind (section 2.1).
///
/// # Errors
/// In this order: the body's, the caller's, the caller's right, the missing token, the store's. An inactive token is an
/// answer and not an error.
pub async fn handle(
    context: &Context,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<(Answer, Outcome), ApiError> {
    let body = request::read(context, request, MediaType::Form).await?;
    let form = Form::parse(&body)?;
    let now = context.service.now();
    let caller = match context.authenticate(request.headers(), &form, peer, now).await {
        // RFC 9701 section 5 wants 400 where RFC 7662 has 401.
        Err(error) if error.is_missing_credentials() && accept::prefers_signed(request.headers()) => {
            return Err(ApiError::bad_request("invalid_client", "Client authentication is required"));
        }
        caller => caller?,
    };
    let token = form.get(Parameter::Token);
    if matches!(caller.method(), Method::Bearer(_))
        && token.is_some_and(|token| is_own_bearer(request.headers(), token))
    {
        // Whoever holds a token could otherwise learn all about it with nothing but the token itself.
        if !context.authentication.bearer_may_ask_about_itself {
            return Err(ApiError::invalid_token());
        }
    } else {
        expect_right(&caller)?;
    }
    let token = token.ok_or_else(|| ApiError::invalid_request("The token is missing"))?;
    let wanted = Wanted { freshness: freshness(request.headers()), ..wanted(&form)? };
    let client = caller.client();
    let signed = client.introspection_signed_response_alg.is_some() || accept::prefers_signed(request.headers());
    let (body, keep, outcome) = match context.service.introspect(client, Presented::new(token), &wanted, now).await? {
        Ok(active) => {
            let end = active.token.record.expires_at;
            let keep = if wanted.expires_in { Keep::Never } else { Keep::Until(end) };
            (active.body, keep, Outcome::Active)
        }
        Err(reason) => {
            context.observer.inactive(reason);
            // For every reason alike: 429 for some of them would tell which.
            context.spend_on_guess(client, now)?;
            (Bytes::from_static(INACTIVE), Keep::Briefly, Outcome::Inactive)
        }
    };
    if !signed {
        return Ok((respond::json(StatusCode::OK, body), outcome));
    }
    let text = context.service.sign_answer(client, &body, keep, now).await.map_err(refuse_signing)?;
    Ok((respond::text(accept::SIGNED, Bytes::copy_from_slice(text.as_bytes())), outcome))
}

fn refuse_signing(error: SigningError) -> ApiError {
    match error {
        SigningError::Store(error) => error.into(),
        other => ApiError::internal(other),
    }
}

/// What the caller asks for beyond RFC 7662. `scope` is how Oathkeeper and Hydra name what a token must carry.
fn wanted<'a>(form: &'a Form<'_>) -> Result<Wanted<'a>, ApiError> {
    let scope = Scope::parse(form.get(Parameter::Scope).unwrap_or_default());
    Ok(Wanted {
        scope: scope.map_err(|_| ApiError::bad_request("invalid_scope", "The scope is malformed"))?,
        audience: form.get(Parameter::Audience),
        minimal: switch(form, Parameter::Minimal)?,
        expires_in: switch(form, Parameter::ExpiresIn)?,
        freshness: Freshness::default(),
    })
}

/// A caller that asks for no stored answer gets none (RFC 9111 section 5.2.1.4).
pub(super) fn freshness(headers: &HeaderMap) -> Freshness {
    let values = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim_ascii);
    if directives.any(|directive| directive.eq_ignore_ascii_case("no-cache")) {
        Freshness::Read
    } else {
        Freshness::Certain
    }
}

fn switch(form: &Form<'_>, parameter: Parameter) -> Result<bool, ApiError> {
    match form.get(parameter) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::invalid_request("minimal and expires_in are true or false")),
    }
}

/// RFC 7662 section 2.3 wants 401 of a Bearer token that does not allow this; a client that authenticated as itself is
/// known, and is told 403. One that only named itself has not been authenticated, which section 2.1 asks of every
/// caller.
pub(super) fn expect_right(caller: &Caller) -> Result<(), ApiError> {
    if caller.has(Right::Introspect) {
        return Ok(());
    }
    Err(match caller.method() {
        Method::Bearer(_) => ApiError::insufficient_scope(StatusCode::UNAUTHORIZED, Right::Introspect),
        Method::Public => ApiError::invalid_client(),
        Method::SecretBasic | Method::SecretPost | Method::Assertion | Method::Certificate => {
            ApiError::forbidden("The client may not introspect tokens")
        }
    })
}

pub(super) fn is_own_bearer(headers: &HeaderMap, token: &str) -> bool {
    matches!(
        Credentials::find(headers, crate::auth::credentials::BodyCredentials::default()),
        Ok(Credentials::Bearer(presented)) if presented.is(token)
    )
}

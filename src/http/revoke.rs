//! `POST /revoke` (RFC 7009): order only, no rules of its own.

use http::{Request, StatusCode};

use super::error::ApiError;
use super::request::{self, MediaType};
use super::trail::{Recording, Trail};
use super::{Answer, Context, respond};
use crate::auth::Method;
use crate::client::Right;
use crate::form::{Form, Parameter};
use crate::server::{Peer, RequestBody};
use crate::service::revoke::Revocation;
use crate::telemetry::audit::Act;
use crate::token::time::Now;
use crate::token::value::Presented;

/// Revokes a token with everything of its grant. 200 also when there was nothing to revoke (section 2.2): not 204,
/// which several clients take for a failure.
///
/// # Errors
/// In this order: the body's, the caller's, the missing token, `invalid_grant` for a token of another client, the
/// store's.
pub async fn handle(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let now = context.service.now();
    let recording = Recording::begin(context, request.headers(), peer, now);
    let answer = revoke(context, request, peer, &recording, now).await;
    recording.finish(answer.as_ref());
    answer
}

async fn revoke(
    context: &Context,
    request: &mut Request<RequestBody>,
    peer: &Peer,
    recording: &Recording<'_>,
    now: Now,
) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Form).await?;
    let form = Form::parse(&body)?;
    let caller = context.authenticate(request.headers(), &form, peer, now).await?;
    // A Bearer token is sent to resource servers; none of them may revoke with it what its client may.
    if matches!(caller.method(), Method::Bearer(_)) && !caller.has(Right::Revoke) {
        return Err(ApiError::insufficient_scope(StatusCode::FORBIDDEN, Right::Revoke));
    }
    let token = form.get(Parameter::Token).ok_or_else(|| ApiError::invalid_request("The token is missing"))?;
    // From here on: who has not proved who it is writes no line.
    recording.note(|trail| *trail = Trail::of_caller(Act::TokenRevoke, &caller));
    let mut touched = Vec::new();
    let outcome = context.service.revoke_and_tell(caller.client(), Presented::new(token), &mut touched, now).await;
    recording.note(|trail| trail.name_tokens(&touched));
    let outcome = outcome?;
    recording.note(|trail| trail.changed = Some(outcome == Revocation::Revoked));
    match outcome {
        Revocation::Revoked => {
            context.observer.revoked();
            Ok(respond::empty(StatusCode::OK))
        }
        Revocation::NothingToDo => Ok(respond::empty(StatusCode::OK)),
        Revocation::Unknown => {
            // There is nothing to be named.
            recording.note(|trail| trail.act = None);
            // Whether a text is a token of somebody else's can be told from this answer, so guesses are counted here
            // too.
            context.spend_on_guess(caller.client(), now)?;
            Ok(respond::empty(StatusCode::OK))
        }
        Revocation::NotOwned => Err(ApiError::bad_request("invalid_grant", "The token was not issued to this client")),
    }
}

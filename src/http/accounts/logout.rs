//! `POST /logout`: the session ends, with every token of it.

use http::StatusCode;
use http::header::SET_COOKIE;
use serde::Deserialize;

use super::delivery::Shown;
use super::{Asked, cookie, refuse};
use crate::client::ClientId;
use crate::http::error::ApiError;
use crate::http::trail::Trail;
use crate::http::{Answer, respond};
use crate::telemetry::audit::{Act, Actor};
use crate::telemetry::metrics::{AccountAction, AccountResult};
use crate::token::record::Record;
use crate::user::id::UserId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    all: Option<bool>,
    client_id: Option<ClientId>,
}

/// Ends the session whose refresh token, or access token, comes as Bearer or as a cookie; with `all`, every session of
/// its user. 204 also when there is none, or it has ended: whoever logs out twice is logged out.
///
/// # Errors
/// 403 `access_denied` for a page of another origin, which ends nothing. Of all sessions only who has a live one may ask:
/// 401. 503 when it cannot be said that they have ended; then the cookie stays, to try again with.
pub(super) async fn log_out(asked: &Asked<'_>) -> Result<Answer, ApiError> {
    let body: Body = asked.read()?;
    let all = match asked.query {
        None | Some("" | "all=false") => body.all.unwrap_or(false),
        Some("all=true") => true,
        Some(_) => return Err(ApiError::invalid_request("The query can be all=true or all=false")),
    };
    let shown = Shown::find(asked, body.client_id.as_ref())?;
    if all {
        everywhere(asked, &shown).await?;
    } else {
        here(asked, &shown).await?;
    }
    asked.count(AccountAction::Logout, AccountResult::Done);
    let mut answer = respond::empty(StatusCode::NO_CONTENT);
    if let Shown::Cookie(client, _) = &shown {
        answer.headers_mut().insert(SET_COOKIE, cookie::clear(&client.cookie));
    }
    Ok(answer)
}

async fn here(asked: &Asked<'_>, shown: &Shown<'_>) -> Result<(), ApiError> {
    let Some(token) = shown.presented() else { return Ok(()) };
    let mut ended = false;
    for record in asked.context.service.records_of(token, asked.now).await? {
        if let Some(grant) = record.grant.filter(|_| is_ours(asked, &record)) {
            let user = user_of(&record);
            asked.note(|trail| {
                // Whoever has the token has the session, whether or not it names a user.
                trail.act = Some(Act::SessionEnd);
                trail.actor = user.map_or(Actor::Unknown, Actor::user);
                trail.target.text("session_id", grant.id.to_text().as_str());
                trail.target.text("client_id", &record.client_id);
            });
            let changed = asked.context.service.log_out(user, grant.id, asked.now).await?;
            // No line where nothing was done, or whoever has ever had a session could write as many as he likes.
            asked.note(|trail| trail.act = trail.act.filter(|_| changed));
            ended |= changed;
        }
    }
    if !ended && let Err(seconds) = asked.face.guesses.spend(&asked.source, asked.now) {
        asked.context.observer.scanning();
        return Err(ApiError::too_many_requests(seconds));
    }
    Ok(())
}

async fn everywhere(asked: &Asked<'_>, shown: &Shown<'_>) -> Result<(), ApiError> {
    let Some(token) = shown.presented() else { return Err(ApiError::session_over()) };
    let active = asked.context.service.lookup(token, asked.now).await?.ok();
    let id = active.filter(|active| is_ours(asked, &active.record)).and_then(|active| user_of(&active.record));
    let Some(id) = id else { return Err(shown.forgotten(asked.guessed())) };
    asked.note(|trail| *trail = Trail::of_user(Act::SessionEndAll, id));
    asked.context.service.log_out_everywhere(id, asked.now).await.map_err(refuse)
}

/// Whether a token is of an application of the operator's own.
fn is_ours(asked: &Asked<'_>, record: &Record) -> bool {
    asked.face.client(&record.client_id).is_some()
}

fn user_of(record: &Record) -> Option<UserId> {
    record.subject.as_deref().and_then(UserId::from_text)
}

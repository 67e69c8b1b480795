//! `GET /sessions`, `DELETE /sessions/{id}`: where a user is logged in.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Asked, bearer, refuse};
use crate::http::error::ApiError;
use crate::http::trail::Trail;
use crate::http::{Answer, respond};
use crate::service::accounts::overview::LiveSession;
use crate::telemetry::audit::Act;
use crate::token::digest::GrantId;

/// Lists the sessions of the user who asks, oldest first, without any token.
///
/// # Errors
/// 401, 503.
pub(super) async fn list(asked: &Asked<'_>) -> Result<Answer, ApiError> {
    let logged_in = bearer::user(asked).await?;
    let sessions = asked.context.service.live_sessions(&logged_in.known, asked.now).await?;
    let shown: Vec<Value> = sessions
        .iter()
        .map(|live| {
            let mut shown = show(live);
            shown["current"] = json!(Some(live.session.grant) == logged_in.grant);
            shown
        })
        .collect();
    Ok(respond::json(StatusCode::OK, json!({"sessions": shown}).to_string().into()))
}

/// Ends one of them.
///
/// # Errors
/// 401; 404 also for a session of somebody else, which tells nothing; 503.
pub(super) async fn end(asked: &Asked<'_>, id: Option<GrantId>) -> Result<Answer, ApiError> {
    let logged_in = bearer::user(asked).await?;
    let id = id.ok_or_else(ApiError::not_found)?;
    asked.note(|trail| {
        *trail = Trail::of_user(Act::SessionEnd, logged_in.known.id);
        trail.target.text("session_id", id.to_text().as_str());
    });
    let ended = asked.context.service.end_session(logged_in.known.id, id, asked.now).await.map_err(refuse)?;
    if ended { Ok(respond::empty(StatusCode::NO_CONTENT)) } else { Err(ApiError::not_found()) }
}

/// A session as its user and operators see it.
pub(crate) fn show(live: &LiveSession) -> Value {
    let mut shown = json!({
        "id": live.session.grant.to_text().as_str(),
        "client_id": live.session.client_id,
        "created_at": live.session.created_at.0,
        "refreshed_at": live.refreshed_at.0,
        "expires_at": live.session.expires_at.0,
    });
    if let Some(user_agent) = &live.session.user_agent {
        shown["user_agent"] = json!(user_agent);
    }
    shown
}

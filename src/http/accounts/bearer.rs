//! Whose an access token is.

use super::Asked;
use crate::auth::Refusal;
use crate::auth::credentials::{BodyCredentials, Credentials};
use crate::config::FirstPartyClient;
use crate::http::error::ApiError;
use crate::service::accounts::{AccountError, KnownUser};
use crate::token::digest::GrantId;
use crate::token::value::TokenKind;
use crate::user::id::UserId;

/// A user who is logged in.
pub(super) struct LoggedIn<'a> {
    pub(super) known: KnownUser,
    pub(super) client: &'a FirstPartyClient,
    /// The session that the access token is of.
    pub(super) grant: Option<GrantId>,
}

/// The user whose access token a request carries: one of a first-party client, since others are held by programs that
/// are not trusted with an account.
///
/// # Errors
/// 401, 429 or 503.
pub(super) async fn user<'a>(asked: &Asked<'a>) -> Result<LoggedIn<'a>, ApiError> {
    let presented = match Credentials::find(asked.headers, BodyCredentials::default()) {
        Ok(Credentials::Bearer(presented)) => presented,
        Ok(_) | Err(Refusal::Missing | Refusal::InvalidClient) => return Err(ApiError::missing_token()),
        Err(other) => return Err(other.into()),
    };
    let Ok(token) = asked.context.service.lookup(presented, asked.now).await? else {
        return Err(refused(asked));
    };
    let record = &token.record;
    let client = asked.face.client(&record.client_id);
    let id = record.subject.as_deref().and_then(UserId::from_text);
    let (Some(client), Some(id), TokenKind::Access, false) =
        (client, id, record.kind, record.claims.has_confirmation())
    else {
        return Err(refused(asked));
    };
    match asked.context.service.active_user(id).await {
        Ok(known) => Ok(LoggedIn { known, client, grant: record.grant.map(|grant| grant.id) }),
        Err(AccountError::Store(error)) => Err(error.into()),
        Err(_) => Err(refused(asked)),
    }
}

fn refused(asked: &Asked<'_>) -> ApiError {
    match asked.face.guesses.spend(&asked.source, asked.now) {
        Ok(()) => ApiError::invalid_token(),
        Err(seconds) => {
            asked.context.observer.scanning();
            ApiError::too_many_requests(seconds)
        }
    }
}

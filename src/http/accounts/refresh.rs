//! `POST /refresh`: a refresh token for the next one and an access token.

use http::StatusCode;
use serde::Deserialize;

use super::Asked;
use super::delivery::{Shown, hand_out};
use crate::client::ClientId;
use crate::http::Answer;
use crate::http::error::ApiError;
use crate::http::trail::Reuse;
use crate::service::issue::IssueError;
use crate::service::refresh::{RefreshError, RefreshRequest};
use crate::telemetry::metrics::RefreshResult;
use crate::token::value::TokenKind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    client_id: Option<ClientId>,
}

/// Exchanges the refresh token that comes as Bearer or as a cookie (RFC 6749 section 6, RFC 9700 section 4.14.2).
///
/// # Errors
/// 403 `access_denied` for a page of another origin, which uses nothing up; 401 `invalid_grant` with the cookie taken
/// away; 429, 503.
pub(super) async fn exchange(asked: &Asked<'_>) -> Result<Answer, ApiError> {
    let body: Body = asked.read()?;
    let shown = Shown::find(asked, body.client_id.as_ref())?;
    let service = &asked.context.service;
    let Some(token) = shown.presented() else { return Err(ApiError::session_over()) };
    let recognised = service.recognise_refresh_token(token);
    let (id, _) = match recognised {
        Ok(recognised) => recognised,
        Err(RefreshError::Issue(IssueError::Store(error))) => return Err(error.into()),
        Err(_) => return Err(shown.forgotten(asked.guessed())),
    };
    let grant = service.store.grant(id).await?;
    let client = grant.as_ref().and_then(|grant| asked.face.client(&grant.token.client_id));
    let Some(client) = client.filter(|client| shown.suits(client)) else {
        asked.context.observer.refreshed(RefreshResult::Refused);
        return Err(shown.forgotten(asked.guessed()));
    };
    let request = RefreshRequest {
        client: asked.owner(client)?,
        token,
        scope: None,
        resources: Vec::new(),
        authorization_details: None,
        confirmation: None,
    };
    let refreshed = match service.refresh(&request, asked.now).await {
        Ok(refreshed) => refreshed,
        Err(RefreshError::Issue(IssueError::Store(error))) => return Err(error.into()),
        Err(RefreshError::Issue(error)) => return Err(ApiError::internal(error)),
        Err(refused) => {
            let reused = matches!(refused, RefreshError::InvalidGrant { reused: true });
            let refusal = shown.forgotten(ApiError::session_over());
            if reused {
                let reuse = Reuse { token, client: request.client.client.client_id.as_str(), refusal: &refusal };
                asked.context.record_reuse(&reuse, asked.headers, asked.peer, asked.now);
            }
            asked.context.observer.refreshed(if reused { RefreshResult::Reused } else { RefreshResult::Refused });
            return Err(refusal);
        }
    };
    let result = if refreshed.repeated { RefreshResult::Repeated } else { RefreshResult::Rotated };
    asked.context.observer.refreshed(result);
    asked.context.observer.issued(TokenKind::Access);
    if !refreshed.repeated {
        asked.context.observer.issued(TokenKind::Refresh);
    }
    hand_out(asked, StatusCode::OK, client, &refreshed.issued)
}

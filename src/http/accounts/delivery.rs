//! How tokens are handed out, and how a refresh token comes back: as each client is set up, and in no other way.

use http::StatusCode;
use http::header::SET_COOKIE;

use super::{Asked, cookie, origin};
use crate::auth::Refusal;
use crate::auth::credentials::{BodyCredentials, Credentials};
use crate::client::ClientId;
use crate::config::{Delivery, FirstPartyClient};
use crate::http::error::ApiError;
use crate::http::{Answer, respond, token};
use crate::service::issue::IssuedToken;
use crate::token::keyring::Candidates;
use crate::token::value::Presented;

/// Hands tokens out: the refresh token in the body or as a cookie, never both (ASVS 5.0 section 3.3.4).
pub(super) fn hand_out(
    asked: &Asked<'_>,
    status: StatusCode,
    client: &FirstPartyClient,
    issued: &IssuedToken,
) -> Result<Answer, ApiError> {
    let mut body = token::describe(issued);
    let mut line = None;
    if let (Delivery::Cookie, Some(refresh)) = (client.delivery, &issued.refresh) {
        let end = issued.refresh_expires_at.unwrap_or(asked.now.seconds());
        line = Some(cookie::set(&client.cookie, refresh.expose(), end.since(asked.now.seconds()))?);
        if let Some(body) = body.as_object_mut() {
            body.remove("refresh_token");
        }
    }
    let mut answer = respond::json(status, body.to_string().into());
    answer.headers_mut().extend(line.map(|line| (SET_COOKIE, line)));
    Ok(answer)
}

/// A token that a request shows.
pub(super) enum Shown<'a> {
    /// In the `Authorization` header.
    Bearer(Presented<'a>),
    /// As the cookie of this client.
    Cookie(&'a FirstPartyClient, Presented<'a>),
    /// None.
    Nothing,
}

impl<'a> Shown<'a> {
    /// Finds it. A cookie counts only when the request comes from a page of its client: everything else is refused before
    /// anything is done.
    ///
    /// Pages that send their access token with every request send it here, too: beside a cookie, it does not count.
    ///
    /// # Errors
    /// 400, or 403 `access_denied`.
    pub(super) fn find(asked: &Asked<'a>, wanted: Option<&ClientId>) -> Result<Self, ApiError> {
        let bearer = match Credentials::find(asked.headers, BodyCredentials::default()) {
            Ok(Credentials::Bearer(presented)) => Some(presented),
            Ok(_) | Err(Refusal::InvalidClient) => {
                return Err(ApiError::invalid_request("A token is shown as Bearer or as a cookie"));
            }
            Err(Refusal::Missing) => None,
            Err(other) => return Err(other.into()),
        };
        let mut with_cookie = None;
        for client in asked.face.clients.iter().filter(|client| client.delivery == Delivery::Cookie) {
            let named = wanted.is_none_or(|wanted| *wanted == client.record.client_id);
            let Some(value) = cookie::find(asked.headers, &client.cookie)?.filter(|_| named) else { continue };
            // Of several applications on one host, the one whose page it is.
            let better = origin::may_be_of(asked.face, client, asked.headers);
            if with_cookie.is_none() || better {
                with_cookie = Some((client, value));
            }
            if better {
                break;
            }
        }
        let Some((client, value)) = with_cookie else {
            return Ok(bearer.map_or(Self::Nothing, Self::Bearer));
        };
        origin::expect_own_page(asked.face, client, asked.headers)?;
        let is_refresh =
            |presented| matches!(asked.context.service.keys.recognise(presented), Candidates::Refresh { .. });
        if bearer.is_some_and(is_refresh) {
            return Err(ApiError::invalid_request("There are two refresh tokens: one as Bearer and one as a cookie"));
        }
        Ok(Self::Cookie(client, Presented::new(value)))
    }

    /// The text.
    pub(super) fn presented(&self) -> Option<Presented<'a>> {
        match self {
            Self::Bearer(presented) | Self::Cookie(_, presented) => Some(*presented),
            Self::Nothing => None,
        }
    }

    /// Whether it may be shown in this way: a browser's cookie is worth nothing anywhere else.
    pub(super) fn suits(&self, client: &FirstPartyClient) -> bool {
        match self {
            Self::Bearer(_) => client.delivery == Delivery::Body,
            Self::Cookie(shown, _) => shown.record.client_id == client.record.client_id,
            Self::Nothing => false,
        }
    }

    /// The same refusal, which takes the cookie away with it.
    pub(super) fn forgotten(&self, error: ApiError) -> ApiError {
        match self {
            Self::Cookie(client, _) => {
                error.with_headers([(SET_COOKIE, cookie::clear(&client.cookie))].into_iter().collect())
            }
            Self::Bearer(_) | Self::Nothing => error,
        }
    }
}

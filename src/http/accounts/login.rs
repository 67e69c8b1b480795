//! `POST /login`: a name and a password for tokens.

use http::StatusCode;
use serde::Deserialize;

use super::delivery::hand_out;
use super::{Asked, origin, refuse, user_agent};
use crate::auth::throttle::Limit;
use crate::auth::users::LoginRefusal;
use crate::client::ClientId;
use crate::config::{Delivery, FirstPartyClient};
use crate::http::Answer;
use crate::http::error::ApiError;
use crate::service::accounts::AccountError;
use crate::service::accounts::session::NewSession;
use crate::telemetry::metrics::{AccountAction, AccountResult, LimitedBy};
use crate::token::value::TokenKind;
use crate::user::password::Password;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    /// The username or the email address.
    username: String,
    password: String,
    client_id: Option<ClientId>,
}

/// Logs a user in. Always a new session: a cookie that the request carries is replaced and never taken over (ASVS 5.0
/// section 7.2.4).
///
/// # Errors
/// In this order: the body's, `access_denied` for a page of another origin, 429 and 503 before anything is compared,
/// then `invalid_credentials` for every reason alike.
pub(super) async fn log_in(asked: &Asked<'_>) -> Result<Answer, ApiError> {
    let body: Body = asked.read()?;
    let client = asked.face.named(body.client_id.as_ref())?;
    expect_page_of(asked, client)?;
    // One that nobody can have is compared as long as any other.
    let password = Password::parse(body.password).ok();
    let new = NewSession { client: asked.owner(client)?, user_agent: user_agent(asked.headers) };
    let log_in = async || {
        let verified = asked.face.verifier.verify(&body.username, password.clone(), asked.source, asked.now).await;
        let verified = verified.map_err(|refusal| refuse_login(asked, AccountAction::Login, refusal))?;
        Ok::<_, ApiError>(
            asked.context.service.open_session(verified.known, new.clone(), verified.rehashed, asked.now).await,
        )
    };
    let opened = match log_in().await? {
        // Another record in this moment. It may be the same password, which another login has hashed anew: what it is
        // now says.
        Err(AccountError::Unknown) => log_in().await?,
        opened => opened,
    };
    let issued = opened.map_err(|error| match error {
        AccountError::Unknown => refuse_login(asked, AccountAction::Login, LoginRefusal::Invalid),
        other => refuse(other),
    })?;
    asked.count(AccountAction::Login, AccountResult::Done);
    asked.context.observer.issued(TokenKind::Access);
    asked.context.observer.issued(TokenKind::Refresh);
    hand_out(asked, StatusCode::OK, client, &issued)
}

/// Makes sure that what sets a cookie is asked for by a page of the client: somebody else could otherwise log a visitor
/// in under a name of his own.
pub(super) fn expect_page_of(asked: &Asked<'_>, client: &FirstPartyClient) -> Result<(), ApiError> {
    match client.delivery {
        Delivery::Cookie => origin::expect_own_page(asked.face, client, asked.headers),
        // A page that can read the answer is one that was let in, and what it reads is all there is.
        Delivery::Body => Ok(()),
    }
}

/// What is answered to a password that was not taken.
pub(super) fn refuse_login(asked: &Asked<'_>, action: AccountAction, refusal: LoginRefusal) -> ApiError {
    match refusal {
        LoginRefusal::Invalid => {
            asked.count(action, AccountResult::Refused);
            ApiError::invalid_credentials()
        }
        LoginRefusal::Throttled(wait) => {
            asked.count(action, AccountResult::Limited);
            asked.context.observer.limited(match wait.limit {
                Limit::Client | Limit::Account => LimitedBy::Account,
                Limit::Source => LimitedBy::LoginSource,
                Limit::Overall => LimitedBy::Logins,
            });
            ApiError::too_many_requests(wait.seconds)
        }
        LoginRefusal::Busy(busy) => {
            asked.count(action, AccountResult::Overloaded);
            ApiError::overloaded(busy)
        }
        LoginRefusal::Store(error) => error.into(),
    }
}

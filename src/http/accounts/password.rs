//! `POST /password/change`: another password for the old one.

use http::StatusCode;
use serde::Deserialize;

use super::bearer::{self, LoggedIn};
use super::delivery::hand_out;
use super::login::{expect_page_of, refuse_login};
use super::register::check_password;
use super::{Asked, refuse, user_agent};
use crate::auth::users::LoginRefusal;
use crate::http::error::ApiError;
use crate::http::trail::Trail;
use crate::http::{Answer, respond};
use crate::service::accounts::session::NewSession;
use crate::service::accounts::{AccountError, KnownUser};
use crate::telemetry::audit::Act;
use crate::telemetry::metrics::{AccountAction, AccountResult};
use crate::token::value::TokenKind;
use crate::user::password::Password;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    old_password: String,
    new_password: String,
}

/// Sets another password. Every session and token of the user ends, the one that asks included; it gets a new one in the
/// answer. A wrong old password counts as a failed login.
///
/// # Errors
/// 401 without a session, 400 with the member at fault, 401 `invalid_credentials` for a wrong old password, 429, 503.
pub(super) async fn change(asked: &Asked<'_>) -> Result<Answer, ApiError> {
    let LoggedIn { known, client, .. } = bearer::user(asked).await?;
    asked.note(|trail| *trail = Trail::of_user(Act::UserPassword, known.id));
    expect_page_of(asked, client)?;
    let body: Body = asked.read()?;
    let service = &asked.context.service;
    let (username, email) = (&known.user.username.canonical, &known.user.email.canonical);
    let new = check_password(service, body.new_password, username, email, "new_password")?;
    let refused = |refusal| refuse_login(asked, AccountAction::PasswordChange, refusal);
    let old = Password::parse(body.old_password).ok();
    // As they are compared: composed.
    if old.as_ref().is_some_and(|old| old.expose() == new.expose()) {
        let error = ApiError::invalid_request("The new password is the old one");
        return Err(error.about("new_password", "unchanged"));
    }
    let id = known.id;
    let change = async |known: KnownUser| {
        let confirmed = asked.face.verifier.confirm(known, old.clone(), asked.source, asked.now).await;
        let hash = confirmed.map_err(refused)?.known.user.password;
        Ok::<_, ApiError>(service.set_password(id, Some(hash), new.clone(), asked.now).await)
    };
    let unknown = |error| match error {
        AccountError::Unknown => refused(LoginRefusal::Invalid),
        other => refuse(other),
    };
    let changed = match change(known).await? {
        // Another record in this moment. It may be the same password, which a login has hashed anew: what it is now says.
        Err(AccountError::Unknown) => change(service.active_user(id).await.map_err(unknown)?).await?,
        changed => changed,
    };
    let changed = changed.map_err(unknown)?;
    asked.count(AccountAction::PasswordChange, AccountResult::Done);
    let session = NewSession { client: asked.owner(client)?, user_agent: user_agent(asked.headers) };
    match service.open_session(changed, session, None, asked.now).await {
        Ok(issued) => {
            asked.context.observer.issued(TokenKind::Access);
            asked.context.observer.issued(TokenKind::Refresh);
            hand_out(asked, StatusCode::OK, client, &issued)
        }
        // The password is another, and that is what was asked for: the user logs in with it.
        Err(error) => {
            tracing::warn!(%error, "after a change of the password no session could be opened");
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
    }
}

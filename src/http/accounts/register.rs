//! `POST /register`: a new user, who is logged in at once.

use http::StatusCode;
use serde::Deserialize;

use super::delivery::hand_out;
use super::login::expect_page_of;
use super::{Asked, refuse, user_agent};
use crate::client::ClientId;
use crate::config::Registration;
use crate::http::Answer;
use crate::http::error::ApiError;
use crate::service::Service;
use crate::service::accounts::AccountError;
use crate::service::accounts::register::NewUser;
use crate::service::accounts::session::NewSession;
use crate::telemetry::metrics::{AccountAction, AccountResult, LimitedBy};
use crate::token::value::TokenKind;
use crate::user::name::{Email, Username};
use crate::user::password::Password;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    username: String,
    email: String,
    password: String,
    client_id: Option<ClientId>,
}

/// Makes a user. That a name is taken is told (409), since there is no other channel to tell it by; so how often is
/// bounded for each source, and it takes as long as a registration.
///
/// # Errors
/// 400 with the member at fault, 403, 404 where operators make the accounts, 409, 429, 503.
pub(super) async fn register(asked: &Asked<'_>) -> Result<Answer, ApiError> {
    let service = &asked.context.service;
    let closed = service.accounts.as_ref().is_none_or(|accounts| accounts.registration == Registration::Closed);
    if closed {
        return Err(ApiError::not_found());
    }
    let body: Body = asked.read()?;
    let client = asked.face.named(body.client_id.as_ref())?;
    expect_page_of(asked, client)?;
    let new = check(service, &body.username, &body.email, body.password)?;
    asked.face.registrations.spend(&asked.source, asked.now).map_err(|seconds| {
        asked.count(AccountAction::Register, AccountResult::Limited);
        asked.context.observer.limited(LimitedBy::Registrations);
        ApiError::too_many_requests(seconds)
    })?;
    let known = service.register(new, asked.now).await.map_err(|error| {
        asked.count(
            AccountAction::Register,
            match error {
                AccountError::Busy(_) => AccountResult::Overloaded,
                _ => AccountResult::Refused,
            },
        );
        refuse(error)
    })?;
    asked.count(AccountAction::Register, AccountResult::Done);
    let session = NewSession { client: asked.owner(client)?, user_agent: user_agent(asked.headers) };
    let issued = service.open_session(known, session, None, asked.now).await.map_err(refuse)?;
    asked.context.observer.issued(TokenKind::Access);
    asked.context.observer.issued(TokenKind::Refresh);
    hand_out(asked, StatusCode::CREATED, client, &issued)
}

/// Reads what a new user is to be.
///
/// # Errors
/// 400 with the member at fault.
pub(crate) fn check(service: &Service, username: &str, email: &str, password: String) -> Result<NewUser, ApiError> {
    let username = Username::parse(username)
        .map_err(|error| ApiError::invalid_request(error.to_string()).about("username", "malformed"))?;
    let email = Email::parse(email)
        .map_err(|error| ApiError::invalid_request(error.to_string()).about("email", "malformed"))?;
    let password = check_password(service, password, username.canonical(), email.canonical(), "password")?;
    Ok(NewUser { username, email, password })
}

/// Reads a password that is to be set.
///
/// # Errors
/// 400 with the member at fault, and never the password.
pub(crate) fn check_password(
    service: &Service,
    password: String,
    username: &str,
    email: &str,
    member: &'static str,
) -> Result<Password, ApiError> {
    let password = Password::parse(password)
        .map_err(|error| ApiError::invalid_request(error.to_string()).about(member, "malformed"))?;
    service
        .check_password(&password, username, email)
        .map_err(|fault| ApiError::invalid_request(fault.to_string()).about(member, fault.code()))?;
    Ok(password)
}

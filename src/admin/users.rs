//! `/admin/users`: what operators see of users and do to them.

use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorise;
use super::paging::Page;
use crate::client::Right;
use crate::http::accounts::refuse;
use crate::http::accounts::register::{check, check_password};
use crate::http::accounts::sessions;
use crate::http::error::ApiError;
use crate::http::json as body;
use crate::http::request::{self, MediaType};
use crate::http::{Answer, Context, respond};
use crate::server::{Peer, RequestBody};
use crate::service::Service;
use crate::service::accounts::KnownUser;
use crate::store::StoreError;
use crate::token::digest::GrantId;
use crate::token::time::Now;
use crate::user::id::UserId;
use crate::user::name::{LoginName, NameKind};
use crate::user::record::UserState;

/// A route below `/admin/users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// All of them.
    All,
    /// One of them.
    One(UserId),
    /// Something done to one.
    Act(UserId, Action),
    /// The sessions of one.
    Sessions(UserId),
    /// One session of one.
    Session(UserId, GrantId),
}

/// What can be done to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End all sessions, and let nobody log in.
    Disable,
    /// Let the user log in again.
    Enable,
    /// Set another password.
    Password,
}

impl Route {
    /// The route of what stands behind `/admin/users`; `None` when there is none.
    pub fn of(rest: &str) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self::All);
        }
        let mut parts = rest.strip_prefix('/')?.split('/');
        let id = UserId::from_text(parts.next()?)?;
        Some(match (parts.next(), parts.next(), parts.next()) {
            (None, _, _) => Self::One(id),
            (Some("disable"), None, _) => Self::Act(id, Action::Disable),
            (Some("enable"), None, _) => Self::Act(id, Action::Enable),
            (Some("password"), None, _) => Self::Act(id, Action::Password),
            (Some("sessions"), None, _) => Self::Sessions(id),
            (Some("sessions"), Some(session), None) => Self::Session(id, GrantId::from_text(session)?),
            _ => return None,
        })
    }

    /// Its path, with names in place of what varies.
    pub fn template(self) -> &'static str {
        match self {
            Self::All => "/admin/users",
            Self::One(_) => "/admin/users/{id}",
            Self::Act(_, Action::Disable) => "/admin/users/{id}/disable",
            Self::Act(_, Action::Enable) => "/admin/users/{id}/enable",
            Self::Act(_, Action::Password) => "/admin/users/{id}/password",
            Self::Sessions(_) => "/admin/users/{id}/sessions",
            Self::Session(..) => "/admin/users/{id}/sessions/{session}",
        }
    }

    /// Its methods.
    pub fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            Self::All => (&[Method::GET, Method::POST], "GET, POST, OPTIONS"),
            Self::One(_) | Self::Sessions(_) => (&[Method::GET, Method::DELETE], "GET, DELETE, OPTIONS"),
            Self::Act(..) => (&[Method::POST], "POST, OPTIONS"),
            Self::Session(..) => (&[Method::DELETE], "DELETE, OPTIONS"),
        }
    }
}

/// Answers a request.
///
/// # Errors
/// 400, 401, 403, 404, also where there are no accounts, 409, 503.
pub async fn answer(
    context: &Context,
    route: Route,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<Answer, ApiError> {
    let reads = *request.method() == Method::POST;
    let sent = if reads { request::read(context, request, MediaType::Json).await? } else { bytes::Bytes::new() };
    let service = &context.service;
    let now = service.now();
    authorise(context, request.headers(), peer, now, &[Right::Admin]).await?;
    if service.accounts.is_none() {
        return Err(ApiError::not_found());
    }
    let deletes = *request.method() == Method::DELETE;
    match route {
        Route::All if reads => create(service, &sent, now).await,
        Route::All => list(service, &Page::read(request.uri(), &["username", "email"])?).await,
        Route::One(id) if deletes => {
            service.delete_user(id, now).await.map_err(refuse)?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        Route::One(id) => Ok(json_answer(&show(&service.listed(id).await.map_err(refuse)?))),
        Route::Act(id, Action::Password) => set_password(service, id, &sent, now).await,
        Route::Act(id, action) => {
            let changed = service.set_user_state(id, action == Action::Enable, now).await.map_err(refuse)?;
            Ok(json_answer(&json!({"changed": changed})))
        }
        Route::Sessions(id) if deletes => {
            service.listed(id).await.map_err(refuse)?;
            service.log_out_everywhere(id, now).await.map_err(refuse)?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        Route::Sessions(id) => {
            let known = service.listed(id).await.map_err(refuse)?;
            let live = service.live_sessions(&known, now).await?;
            Ok(json_answer(&json!({"sessions": live.iter().map(sessions::show).collect::<Vec<_>>()})))
        }
        Route::Session(id, session) => {
            let ended = service.end_session(id, session, now).await.map_err(refuse)?;
            if ended { Ok(respond::empty(StatusCode::NO_CONTENT)) } else { Err(ApiError::not_found()) }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUserBody {
    username: String,
    email: String,
    password: String,
}

async fn create(service: &Service, sent: &[u8], now: Now) -> Result<Answer, ApiError> {
    let asked: NewUserBody = body::read(sent)?;
    let new = check(service, &asked.username, &asked.email, asked.password)?;
    let known = service.register(new, now).await.map_err(refuse)?;
    Ok(respond::json(StatusCode::CREATED, show(&known).to_string().into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    password: String,
}

/// For a user who has forgotten it: every session and token of the user ends.
async fn set_password(
    service: &std::sync::Arc<Service>,
    id: UserId,
    sent: &[u8],
    now: Now,
) -> Result<Answer, ApiError> {
    let asked: PasswordBody = body::read(sent)?;
    let user = service.listed(id).await.map_err(refuse)?.user;
    let (username, email) = (&user.username.canonical, &user.email.canonical);
    let password = check_password(service, asked.password, username, email, "password")?;
    service.set_password(id, None, password, now).await.map_err(refuse)?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// A page of all, or the one of a name.
async fn list(service: &Service, page: &Page) -> Result<Answer, ApiError> {
    if !page.further.is_empty() {
        return named(service, page).await;
    }
    let invalid = || ApiError::invalid_request("after must be the id of a user");
    let after = page.after.as_deref().map(|after| UserId::from_text(after).ok_or_else(invalid)).transpose()?;
    let found = service.store.users(after, page.limit).await?;
    let next = (found.len() == page.limit).then(|| found.last().map(|(id, _)| *id)).flatten();
    let users: Result<Vec<KnownUser>, StoreError> =
        found.iter().map(|(id, document)| KnownUser::read(*id, document)).collect();
    // Those too whose deletion was cut off: it is carried on by deleting once more.
    let users: Vec<Value> = users?.iter().map(show).collect();
    let mut answer = json!({"users": users});
    if let Some(next) = next {
        answer["next"] = json!(next.to_text().as_str());
    }
    Ok(json_answer(&answer))
}

async fn named(service: &Service, page: &Page) -> Result<Answer, ApiError> {
    let mut found: Option<Option<KnownUser>> = None;
    for (name, value) in &page.further {
        let kind = if *name == "email" { NameKind::Email } else { NameKind::Username };
        let known = match LoginName::parse(value).filter(|login| login.unique().kind == kind) {
            Some(login) => service.store.user_named(login.unique()).await?,
            None => None,
        };
        let known = known.map(|(id, document)| KnownUser::read(id, &document)).transpose()?;
        // With both, only who has both.
        found = Some(match found {
            Some(other) => known.filter(|known| other.is_some_and(|other| other.id == known.id)),
            None => known,
        });
    }
    let users: Vec<Value> = found.flatten().iter().filter(|known| is_listed(known)).map(show).collect();
    Ok(json_answer(&json!({"users": users})))
}

fn is_listed(known: &KnownUser) -> bool {
    known.user.state != UserState::Deleted
}

/// A user as operators see it: nothing of the password.
fn show(known: &KnownUser) -> Value {
    json!({
        "id": known.id.to_text().as_str(),
        "username": known.user.username.shown,
        "email": known.user.email.shown,
        "state": known.user.state,
        "created_at": known.user.created_at.0,
        "password_set_at": known.user.password_set_at.0,
    })
}

fn json_answer(body: &Value) -> Answer {
    respond::json(StatusCode::OK, body.to_string().into())
}

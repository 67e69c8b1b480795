//! First-party accounts, for the operator's own applications and browsers. Off unless `accounts.enabled` is set.
//!
//! | route | file |
//! |---|---|
//! | `POST /register` | [`register`] |
//! | `POST /login` | [`login`] |
//! | `POST /refresh` | [`refresh`] |
//! | `POST /logout` | [`logout`] |
//! | `POST /password/change` | [`password`] |
//! | `GET /sessions`, `DELETE /sessions/{id}` | [`sessions`] |
//!
//! Each with and without a slash at the end. [`origin`] keeps pages of others out, [`cookie`] is how a browser keeps a
//! refresh token, [`bearer`] tells whose an access token is, [`delivery`] hands tokens out.

pub mod bearer;
pub mod cookie;
pub mod delivery;
pub mod login;
pub mod logout;
pub mod origin;
pub mod password;
pub mod refresh;
pub mod register;
pub mod sessions;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::request::{self, MediaType};
use super::template::captured;
use super::trail::{Recording, Trail};
use super::{Answer, Context, json, respond};
use crate::auth::budget::Budget;
use crate::auth::throttle::Source;
use crate::auth::users::UserVerifier;
use crate::client::ClientId;
use crate::config::{AccountsConfig, FirstPartyClient, WebOrigin};
use crate::server::{Peer, RequestBody};
use crate::service::Service;
use crate::service::accounts::AccountError;
use crate::service::issue::IssueError;
use crate::service::registry::KnownClient;
use crate::telemetry::metrics::{AccountAction, AccountResult, Endpoint};
use crate::token::digest::GrantId;
use crate::token::time::Now;

/// What the account routes need beside the context of all routes.
#[derive(Debug)]
pub struct AccountsFace {
    clients: Vec<FirstPartyClient>,
    /// The origin of the issuer, whose pages are served from where we are.
    own_origin: Option<WebOrigin>,
    verifier: UserVerifier,
    registrations: Budget<Source>,
    /// How many tokens that are not active one source may show.
    guesses: Budget<Source>,
}

/// A route of this face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /login`.
    Login,
    /// `POST /logout`.
    Logout,
    /// `POST /password/change`.
    Password,
    /// `POST /refresh`.
    Refresh,
    /// `POST /register`.
    Register,
    /// `DELETE /sessions/{id}`; without an id that can be one, nobody has such a session.
    Session(Option<GrantId>),
    /// `GET /sessions`.
    Sessions,
}

impl Route {
    /// Every path, without the slash that may be at its end. Their description is made from this list.
    pub(crate) const PATHS: [(&'static str, Self); 7] = [
        ("/login", Self::Login),
        ("/refresh", Self::Refresh),
        ("/logout", Self::Logout),
        ("/register", Self::Register),
        ("/password/change", Self::Password),
        ("/sessions", Self::Sessions),
        ("/sessions/{session_id}", Self::Session(None)),
    ];

    /// The route of a path, if it is one of these.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let (_, listed) = Self::PATHS.iter().find(|(template, _)| captured(template, path).is_some())?;
        Some(match listed {
            Self::Session(_) => Self::Session(path.rsplit('/').next().and_then(GrantId::from_text)),
            listed => *listed,
        })
    }

    /// What its requests are counted as.
    pub fn endpoint(self) -> Endpoint {
        match self {
            Self::Login => Endpoint::Login,
            Self::Logout => Endpoint::Logout,
            Self::Password => Endpoint::PasswordChange,
            Self::Refresh => Endpoint::Refresh,
            Self::Register => Endpoint::Register,
            Self::Session(_) | Self::Sessions => Endpoint::Sessions,
        }
    }

    /// Its path, as the log has it.
    pub fn template(self) -> &'static str {
        match self {
            Self::Login => "/login",
            Self::Logout => "/logout",
            Self::Password => "/password/change",
            Self::Refresh => "/refresh",
            Self::Register => "/register",
            Self::Session(_) => "/sessions/{session_id}",
            Self::Sessions => "/sessions",
        }
    }

    /// Its method, and what `Allow` says of it.
    pub(crate) fn methods(self) -> (Method, &'static str) {
        match self {
            Self::Session(_) => (Method::DELETE, "DELETE, OPTIONS"),
            Self::Sessions => (Method::GET, "GET, OPTIONS"),
            _ => (Method::POST, "POST, OPTIONS"),
        }
    }
}

/// A request to this face, with what all of its routes need.
pub(super) struct Asked<'a> {
    pub(super) context: &'a Context,
    pub(super) face: &'a AccountsFace,
    pub(super) headers: &'a HeaderMap,
    pub(super) query: Option<&'a str>,
    pub(super) body: &'a Bytes,
    pub(super) source: Source,
    pub(super) peer: &'a Peer,
    pub(super) now: Now,
    /// What is to be recorded of it.
    pub(super) recording: Recording<'a>,
}

impl AccountsFace {
    /// What the configuration asks for; `None` when there are no accounts.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(service: &Arc<Service>, config: &AccountsConfig, guesses: u32) -> Result<Option<Self>, String> {
        let Some(verifier) = UserVerifier::new(Arc::clone(service), config)? else { return Ok(None) };
        let registrations = Budget::per_hour(config.registrations_per_hour);
        let own_origin = origin::of_issuer(&service.issuer);
        Ok(Some(Self {
            clients: config.first_party_clients(),
            own_origin,
            verifier,
            registrations,
            guesses: Budget::new(guesses),
        }))
    }

    /// Answers a request, with what lets pages of other origins read the answer, if they may.
    ///
    /// # Errors
    /// Those of its routes; the same headers are on them.
    pub async fn answer(
        &self,
        context: &Context,
        route: Route,
        request: &mut Request<RequestBody>,
        peer: &Peer,
    ) -> Result<Answer, ApiError> {
        let (method, allow) = route.methods();
        if request.method() == Method::OPTIONS {
            let mut answer = respond::options(allow);
            answer.headers_mut().extend(origin::preflight(self, request.headers(), &method));
            return Ok(answer);
        }
        let shared = origin::shared_with(self, request.headers());
        match self.route(context, route, request, peer).await {
            Ok(mut answer) => {
                answer.headers_mut().extend(shared);
                Ok(answer)
            }
            Err(error) => Err(error.with_headers(shared)),
        }
    }

    async fn route(
        &self,
        context: &Context,
        route: Route,
        request: &mut Request<RequestBody>,
        peer: &Peer,
    ) -> Result<Answer, ApiError> {
        let (method, allow) = route.methods();
        request::expect_method(request.method(), &[method], allow)?;
        let body = match route {
            Route::Session(_) | Route::Sessions => Bytes::new(),
            _ => request::read(context, request, MediaType::Json).await?,
        };
        let now = context.service.now();
        let asked = Asked {
            context,
            face: self,
            headers: request.headers(),
            query: request.uri().query(),
            body: &body,
            source: request::source(request.headers(), peer, &context.authentication.trusted_proxies),
            peer,
            now,
            recording: Recording::begin(context, request.headers(), peer, now),
        };
        let answer = match route {
            Route::Login => login::log_in(&asked).await,
            Route::Logout => logout::log_out(&asked).await,
            Route::Password => password::change(&asked).await,
            Route::Refresh => refresh::exchange(&asked).await,
            Route::Register => register::register(&asked).await,
            Route::Session(id) => sessions::end(&asked, id).await,
            Route::Sessions => sessions::list(&asked).await,
        };
        asked.recording.finish(answer.as_ref());
        answer
    }

    /// The first-party client of this id.
    fn client(&self, id: &str) -> Option<&FirstPartyClient> {
        self.clients.iter().find(|client| client.record.client_id.as_str() == id)
    }

    /// The client that a request names, or the usual one.
    ///
    /// # Errors
    /// 400 when it names none of ours.
    fn named(&self, id: Option<&ClientId>) -> Result<&FirstPartyClient, ApiError> {
        let client = match id {
            Some(id) => self.client(id.as_str()),
            None => self.clients.first(),
        };
        client.ok_or_else(|| ApiError::invalid_request("There is no such client").about("client_id", "unknown"))
    }
}

impl Asked<'_> {
    /// Notes what is to be recorded, once it is known who asks.
    fn note(&self, change: impl FnOnce(&mut Trail)) {
        self.recording.note(change);
    }

    /// The body as JSON; an empty one counts as `{}`.
    fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        json::read(self.body)
    }

    /// The client as tokens are issued to it.
    fn owner(&self, client: &FirstPartyClient) -> Result<KnownClient, ApiError> {
        let known = self.context.service.registry.declared(client.record.client_id.as_str());
        known.ok_or_else(|| ApiError::internal("a first-party client is not declared"))
    }

    /// Counts how something ended.
    fn count(&self, action: AccountAction, result: AccountResult) {
        self.context.observer.account(action, result);
    }

    /// Takes one from what the source may guess, and says that the session is over.
    fn guessed(&self) -> ApiError {
        match self.face.guesses.spend(&self.source, self.now) {
            Ok(()) => ApiError::session_over(),
            Err(seconds) => {
                self.context.observer.scanning();
                ApiError::too_many_requests(seconds)
            }
        }
    }
}

/// What the program says that it is, cut to what is kept.
fn user_agent(headers: &HeaderMap) -> Option<Box<str>> {
    let text = headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    let kept = &text[..text.len().min(crate::user::record::Session::MAX_USER_AGENT_BYTES)];
    (!kept.is_empty()).then(|| kept.into())
}

/// What is answered when an account cannot be made or changed.
pub(crate) fn refuse(error: AccountError) -> ApiError {
    match error {
        AccountError::Unknown => ApiError::not_found(),
        AccountError::UsernameTaken => ApiError::conflict("The username is taken").about("username", "taken"),
        AccountError::EmailTaken => ApiError::conflict("The email address is taken").about("email", "taken"),
        AccountError::Busy(busy) => ApiError::overloaded(busy),
        AccountError::Store(error) | AccountError::Issue(IssueError::Store(error)) => error.into(),
        AccountError::Issue(error) => ApiError::internal(error),
        AccountError::Internal(message) => ApiError::internal(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_with_and_without_a_slash_at_its_end() {
        for (path, route) in [
            ("/login", Route::Login),
            ("/logout", Route::Logout),
            ("/password/change", Route::Password),
            ("/refresh", Route::Refresh),
            ("/register", Route::Register),
            ("/sessions", Route::Sessions),
            ("/sessions/nonsense", Route::Session(None)),
            ("/sessions/p6enp6enp6enp6enp6enpw", Route::Session(Some(GrantId([0xA7; 16])))),
        ] {
            assert_eq!(Route::of(path), Some(route), "{path}");
            assert_eq!(Route::of(&format!("{path}/")), Some(route), "{path}/");
        }
        for path in ["", "/", "/login//", "/Login", "/password", "/sessions//", "/sessions/a/b", "/password/change/x"] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_user_agent_is_cut_and_never_anything_but_printable() {
        let of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::USER_AGENT, http::HeaderValue::from_bytes(value).unwrap());
            user_agent(&headers)
        };
        assert_eq!(of(b"curl/8").as_deref(), Some("curl/8"));
        assert_eq!(of(&[b'x'; 1000]).unwrap().len(), 160);
        assert_eq!(of("\u{e9}".as_bytes()), None);
        assert_eq!(of(b""), None);
        assert_eq!(user_agent(&HeaderMap::new()), None);
    }
}

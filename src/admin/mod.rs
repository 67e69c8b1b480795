//! The admin face: a second listener, never the public one. Every route but health and metrics needs a caller with a
//! right.
//!
//! | route | right | file |
//! |---|---|---|
//! | `POST /admin/tokens` | `issue` or `admin` | [`tokens`] |
//! | `POST /admin/tokens/revoke` | `revoke` or `admin` | [`revocations`] |
//! | `POST /admin/tokens/approve`, `/admin/revocations` | `admin` | [`revocations`] |
//! | `GET, POST /admin/clients` | `admin` | [`clients`] |
//! | `GET, PUT, PATCH, DELETE /admin/clients/{id}` | `admin` | [`clients`] |
//! | `POST /admin/clients/{id}/rotate-secret`, `/revoke`, `/approve` | `admin` | [`clients`] |
//! | `GET /admin/keys`, `POST /admin/keys/rotate` | `admin` | [`keys`] |
//! | `POST /admin/keys/{kid}/retire`, `DELETE /admin/keys/{kid}` | `admin` | [`keys`] |
//! | `GET, POST /admin/users`; `GET, DELETE /admin/users/{id}` | `admin` | [`users`] |
//! | `POST /admin/users/{id}/disable`, `/enable`, `/password` | `admin` | [`users`] |
//! | `GET, DELETE /admin/users/{id}/sessions`; `DELETE /admin/users/{id}/sessions/{id}` | `admin` | [`users`] |
//! | `GET /metrics`, `/livez`, `/readyz` | none | [`operations`] |

pub mod clients;
pub mod keys;
pub mod operations;
pub mod paging;
pub mod revocations;
pub mod tokens;
pub mod users;

use std::sync::Arc;

use http::{HeaderMap, Method, Request, StatusCode};

use crate::auth::{Caller, Method as Proof};
use crate::client::{ClientId, Right};
use crate::form::{self, Form};
use crate::http::error::ApiError;
use crate::http::{Answer, Context, health, request, respond};
use crate::server::{Handler, Peer, Refusal, RequestBody, ServerStatistics};
use crate::telemetry::metrics::{Endpoint, Outcome};
use crate::token::time::Now;

/// The admin face.
#[derive(Clone, Debug)]
pub struct AdminFace {
    context: Arc<Context>,
    statistics: Arc<ServerStatistics>,
}

impl AdminFace {
    /// A face over `context`, which shows these counters of the server among its metrics.
    pub fn new(context: Arc<Context>, statistics: Arc<ServerStatistics>) -> Self {
        Self { context, statistics }
    }

    /// The path of the endpoint that answers `path`, with names in place of what varies in it; `None` when none does.
    pub fn template(path: &str) -> Option<&'static str> {
        Some(match Route::of(path) {
            Route::Client(_) => "/admin/clients/{id}",
            Route::ClientAction(_, clients::Action::Approve) => "/admin/clients/{id}/approve",
            Route::ClientAction(_, clients::Action::Revoke) => "/admin/clients/{id}/revoke",
            Route::ClientAction(_, clients::Action::RotateSecret) => "/admin/clients/{id}/rotate-secret",
            Route::Clients => "/admin/clients",
            Route::Key(_, keys::Action::Retire) => "/admin/keys/{kid}/retire",
            Route::Key(_, keys::Action::Remove) => "/admin/keys/{kid}",
            Route::KeyRotation => "/admin/keys/rotate",
            Route::Keys => "/admin/keys",
            Route::Liveness => "/livez",
            Route::Metrics => "/metrics",
            Route::Readiness => "/readyz",
            Route::Revocations => "/admin/revocations",
            Route::TokenApproval => "/admin/tokens/approve",
            Route::TokenRevocation => "/admin/tokens/revoke",
            Route::Tokens => "/admin/tokens",
            Route::Users(route) => route.template(),
            Route::Unknown => return None,
        })
    }

    async fn answer(&self, route: Route, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
        let (methods, allow) = route.methods();
        if request.method() == Method::OPTIONS && !methods.is_empty() {
            return Ok(respond::options(allow));
        }
        if matches!(route, Route::Unknown) {
            return Err(ApiError::not_found());
        }
        request::expect_method(request.method(), methods, allow)?;
        let context = &self.context;
        match route {
            Route::Clients => clients::collection(context, request, peer).await,
            Route::Client(id) => clients::one(context, &id, request, peer).await,
            Route::ClientAction(id, action) => clients::act(context, &id, action, request, peer).await,
            Route::Tokens => tokens::issue(context, request, peer).await,
            Route::TokenRevocation => revocations::revoke(context, request, peer).await,
            Route::TokenApproval => revocations::approve(context, request, peer).await,
            Route::Revocations => revocations::revoke_all(context, request, peer).await,
            Route::Keys => keys::list(context, request, peer).await,
            Route::KeyRotation => keys::rotate(context, request, peer).await,
            Route::Key(kid, keys::Action::Retire) => keys::retire(context, &kid, request, peer).await,
            Route::Key(kid, keys::Action::Remove) => keys::remove(context, &kid, request, peer).await,
            Route::Users(route) => users::answer(context, route, request, peer).await,
            Route::Metrics => Ok(operations::metrics(context, &self.statistics)),
            Route::Liveness => Ok(health::live()),
            Route::Readiness | Route::Unknown => Ok(context.readiness.answer_in_detail()),
        }
    }
}

impl Handler for AdminFace {
    async fn handle(&self, request: &mut Request<RequestBody>, peer: &Peer) -> Answer {
        let watch = self.context.observer.begin();
        let route = Route::of(request.uri().path());
        let endpoint = route.endpoint();
        // Seldom called, and as large as the largest of its routes.
        let answer = Box::pin(self.answer(route, request, peer)).await;
        watch.end(endpoint, answer.map(|answer| (answer, Outcome::Done)))
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        ApiError::from(refusal).into_answer()
    }
}

#[derive(Debug)]
enum Route {
    Client(ClientId),
    ClientAction(ClientId, clients::Action),
    Clients,
    Key(String, keys::Action),
    KeyRotation,
    Keys,
    Liveness,
    Metrics,
    Readiness,
    Revocations,
    TokenApproval,
    TokenRevocation,
    Tokens,
    Unknown,
    Users(users::Route),
}

impl Route {
    fn of(path: &str) -> Self {
        match path {
            "/admin/clients" => Self::Clients,
            "/admin/keys" => Self::Keys,
            "/admin/keys/rotate" => Self::KeyRotation,
            "/admin/revocations" => Self::Revocations,
            "/admin/tokens" => Self::Tokens,
            "/admin/tokens/approve" => Self::TokenApproval,
            "/admin/tokens/revoke" => Self::TokenRevocation,
            "/livez" => Self::Liveness,
            "/metrics" => Self::Metrics,
            "/readyz" => Self::Readiness,
            path => {
                let client = || path.strip_prefix("/admin/clients/").and_then(Self::of_client);
                let user = || path.strip_prefix("/admin/users").and_then(users::Route::of).map(Self::Users);
                let key = path.strip_prefix("/admin/keys/").and_then(Self::of_key);
                key.or_else(client).or_else(user).unwrap_or(Self::Unknown)
            }
        }
    }

    /// `{kid}` or `{kid}/retire`: a thumbprint needs no encoding, and no other text names a key.
    fn of_key(rest: &str) -> Option<Self> {
        let (kid, action) = match rest.strip_suffix("/retire") {
            Some(kid) => (kid, keys::Action::Retire),
            None => (rest, keys::Action::Remove),
        };
        let plain = kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (plain && !kid.is_empty()).then(|| Self::Key(kid.to_owned(), action))
    }

    /// `{id}` or `{id}/{action}`, the identifier percent-encoded where it needs to be.
    fn of_client(rest: &str) -> Option<Self> {
        let (id, action) = rest.split_once('/').map_or((rest, None), |(id, action)| (id, Some(action)));
        // A plus sign in a path stands for itself; only in forms is it a space.
        let id = form::decode(id.replace('+', "%2B").as_bytes()).ok().and_then(|id| ClientId::parse(&id))?;
        Some(match action {
            None => Self::Client(id),
            Some(name) => Self::ClientAction(id, clients::Action::of(name)?),
        })
    }

    fn methods(&self) -> (&'static [Method], &'static str) {
        match self {
            Self::Client(_) => {
                (&[Method::GET, Method::PUT, Method::PATCH, Method::DELETE], "GET, PUT, PATCH, DELETE, OPTIONS")
            }
            Self::Users(route) => route.methods(),
            Self::Clients => (&[Method::GET, Method::POST], "GET, POST, OPTIONS"),
            Self::Key(_, action) => action.method(),
            Self::Keys => (&[Method::GET], "GET, OPTIONS"),
            Self::ClientAction(..)
            | Self::KeyRotation
            | Self::Revocations
            | Self::TokenApproval
            | Self::TokenRevocation
            | Self::Tokens => (&[Method::POST], "POST, OPTIONS"),
            Self::Liveness | Self::Metrics | Self::Readiness => (&[Method::GET, Method::HEAD], "GET, HEAD, OPTIONS"),
            Self::Unknown => (&[], ""),
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Liveness | Self::Metrics | Self::Readiness => Endpoint::Operations,
            Self::Unknown => Endpoint::Unknown,
            _ => Endpoint::Admin,
        }
    }
}

/// Decides who is calling, and that it has one of `rights`.
async fn authorise(
    context: &Context,
    headers: &HeaderMap,
    peer: &Peer,
    now: Now,
    rights: &[Right],
) -> Result<Caller, ApiError> {
    let caller = context.authenticate(headers, &Form::default(), peer, now).await?;
    if rights.iter().any(|right| caller.has(*right)) {
        return Ok(caller);
    }
    let right = rights.first().copied().unwrap_or(Right::Admin);
    Err(match caller.method() {
        Proof::Bearer(_) => ApiError::insufficient_scope(StatusCode::FORBIDDEN, right),
        _ => ApiError::forbidden("The client may not do this"),
    })
}

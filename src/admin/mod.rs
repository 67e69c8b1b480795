//! The admin face: a second listener, never the public one. Every route but health and metrics needs a caller with a
//! right.
//!
//! | route | right | file |
//! |---|---|---|
//! | `POST /admin/tokens` | `issue` or `admin` | [`tokens`] |
//! | `POST /admin/tokens/import` | `import` or `admin` | [`import`] |
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
//! | `GET /metrics`, `/livez`, `/readyz`, `/openapi.json` | none | [`operations`] |

pub mod clients;
pub mod import;
pub mod keys;
pub mod operations;
pub mod paging;
pub mod revocations;
pub mod tokens;
pub mod users;

use std::sync::Arc;

use http::{Method, Request, StatusCode};

use crate::auth::{Caller, Method as Proof};
use crate::client::{ClientId, Right};
use crate::form::{self, Form};
use crate::http::error::ApiError;
use crate::http::published::Published;
use crate::http::trail::{self, Recording, Trail};
use crate::http::{Answer, Context, health, request, respond, template};
use crate::server::{Handler, Peer, Refusal, RequestBody, ServerStatistics};
use crate::service::Service;
use crate::telemetry::audit::{Act, Actor};
use crate::telemetry::metrics::{Endpoint, Outcome};
use crate::token::digest::GrantId;
use crate::token::time::Now;
use crate::user::id::UserId;

/// The admin face.
#[derive(Clone, Debug)]
pub struct AdminFace {
    context: Arc<Context>,
    statistics: Arc<ServerStatistics>,
    description: Arc<Published>,
}

impl AdminFace {
    /// A face over `context`, which shows these counters of the server among its metrics; `description` is what
    /// `/openapi.json` says of it.
    pub fn new(context: Arc<Context>, statistics: Arc<ServerStatistics>, description: Published) -> Self {
        Self { context, statistics, description: Arc::new(description) }
    }

    /// Answers a request, and records what was done or refused.
    async fn recorded(
        &self,
        route: Route,
        request: &mut Request<RequestBody>,
        peer: &Peer,
    ) -> Result<Answer, ApiError> {
        let context = &self.context;
        let act = route.act(request.method()).filter(|_| context.audit.is_on());
        let Some(act) = act else { return self.answer(route, request, peer).await };
        // Held until the line is there.
        let room = context.audit.admit(act).map_err(ApiError::unavailable)?;
        let now = context.service.now();
        let mut trail = Trail { act: Some(act), promised: room.is_promised(), ..Trail::default() };
        route.name(&context.service, &mut trail, now).await;
        let recording = Recording::begin(context, request.headers(), peer, now);
        recording.note(|noted| *noted = trail.clone());
        *Trail::of(request) = trail;
        let answer = self.answer(route, request, peer).await;
        let mut trail = std::mem::take(Trail::of(request));
        if trail.actor == Actor::Unknown {
            trail.actor = trail::claimed(&context.service, request.headers()).await;
        }
        recording.finish_as(trail, answer.as_ref());
        drop(room);
        answer
    }

    /// The path of the endpoint that answers `path`, with names in place of what varies in it; `None` when none does.
    pub fn template(path: &str) -> Option<&'static str> {
        Some(Route::of(path).0).filter(|listed| !listed.is_empty())
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
            Route::TokenImport => import::tokens(context, request, peer).await,
            Route::TokenRevocation => revocations::revoke(context, request, peer).await,
            Route::TokenApproval => revocations::approve(context, request, peer).await,
            Route::Revocations => revocations::revoke_all(context, request, peer).await,
            Route::Keys => keys::list(context, request, peer).await,
            Route::KeyRotation => keys::rotate(context, request, peer).await,
            Route::Key(kid, keys::Action::Retire) => keys::retire(context, &kid, request, peer).await,
            Route::Key(kid, keys::Action::Remove) => keys::remove(context, &kid, request, peer).await,
            Route::Users(route) => users::answer(context, route, request, peer).await,
            Route::Description => Ok(operations::description(&self.description, request.headers())),
            Route::Metrics => Ok(operations::metrics(context, &self.statistics)),
            Route::Liveness => Ok(health::live()),
            Route::Readiness | Route::Unknown => Ok(context.readiness.answer_in_detail()),
        }
    }
}

impl Handler for AdminFace {
    async fn handle(&self, request: &mut Request<RequestBody>, peer: &Peer) -> Answer {
        let watch = self.context.observer.begin();
        let (template, route) = Route::of(request.uri().path());
        let endpoint = route.endpoint();
        // Seldom called, and as large as the largest of its routes.
        let answer = Box::pin(self.recorded(route, request, peer)).await;
        let describe = || self.context.describe(template, request, peer);
        watch.end(endpoint, answer.map(|answer| (answer, Outcome::Done)), describe)
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        ApiError::from(refusal).into_answer()
    }
}

/// What a path of the admin listener leads to.
#[derive(Debug)]
pub(crate) enum Route {
    Client(ClientId),
    ClientAction(ClientId, clients::Action),
    Clients,
    Description,
    Key(String, keys::Action),
    KeyRotation,
    Keys,
    Liveness,
    Metrics,
    Readiness,
    Revocations,
    TokenApproval,
    TokenImport,
    TokenRevocation,
    Tokens,
    Unknown,
    Users(users::Route),
}

/// How a route is made of what stands in its path; `None` when nothing of the kind has that name.
type Filled = fn([&str; template::MOST]) -> Option<Route>;

/// Every path, the longer ones before those that would take them for something to be filled in. Their description is
/// made from this list.
pub(crate) static PATHS: [(&str, Filled); 25] = [
    ("/admin/tokens", |_| Some(Route::Tokens)),
    ("/admin/tokens/revoke", |_| Some(Route::TokenRevocation)),
    ("/admin/tokens/import", |_| Some(Route::TokenImport)),
    ("/admin/tokens/approve", |_| Some(Route::TokenApproval)),
    ("/admin/revocations", |_| Some(Route::Revocations)),
    ("/admin/clients", |_| Some(Route::Clients)),
    ("/admin/clients/{client_id}", |[id, _]| client(id).map(Route::Client)),
    ("/admin/clients/{client_id}/approve", |[id, _]| act_on_client(id, clients::Action::Approve)),
    ("/admin/clients/{client_id}/revoke", |[id, _]| act_on_client(id, clients::Action::Revoke)),
    ("/admin/clients/{client_id}/rotate-secret", |[id, _]| act_on_client(id, clients::Action::RotateSecret)),
    ("/admin/keys", |_| Some(Route::Keys)),
    ("/admin/keys/rotate", |_| Some(Route::KeyRotation)),
    ("/admin/keys/{kid}", |[kid, _]| key(kid, keys::Action::Remove)),
    ("/admin/keys/{kid}/retire", |[kid, _]| key(kid, keys::Action::Retire)),
    ("/admin/users", |_| Some(Route::Users(users::Route::All))),
    ("/admin/users/{user_id}", |[id, _]| user(id, users::Route::One)),
    ("/admin/users/{user_id}/disable", |[id, _]| act_on_user(id, users::Action::Disable)),
    ("/admin/users/{user_id}/enable", |[id, _]| act_on_user(id, users::Action::Enable)),
    ("/admin/users/{user_id}/password", |[id, _]| act_on_user(id, users::Action::Password)),
    ("/admin/users/{user_id}/sessions", |[id, _]| user(id, users::Route::Sessions)),
    ("/admin/users/{user_id}/sessions/{session_id}", |[id, session]| {
        let session = GrantId::from_text(session)?;
        user(id, |id| users::Route::Session(id, session))
    }),
    ("/metrics", |_| Some(Route::Metrics)),
    ("/livez", |_| Some(Route::Liveness)),
    ("/readyz", |_| Some(Route::Readiness)),
    ("/openapi.json", |_| Some(Route::Description)),
];

/// The identifier is percent-encoded where it needs to be.
fn client(id: &str) -> Option<ClientId> {
    // A plus sign in a path stands for itself; only in forms is it a space.
    form::decode(id.replace('+', "%2B").as_bytes()).ok().and_then(|id| ClientId::parse(&id))
}

fn act_on_client(id: &str, action: clients::Action) -> Option<Route> {
    Some(Route::ClientAction(client(id)?, action))
}

/// A thumbprint needs no encoding, and no other text names a key.
fn key(kid: &str, action: keys::Action) -> Option<Route> {
    let plain = kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    plain.then(|| Route::Key(kid.to_owned(), action))
}

fn user(id: &str, route: impl FnOnce(UserId) -> users::Route) -> Option<Route> {
    UserId::from_text(id).map(route).map(Route::Users)
}

fn act_on_user(id: &str, action: users::Action) -> Option<Route> {
    user(id, |id| users::Route::Act(id, action))
}

impl Route {
    /// The route of a path, and the path as it is listed.
    fn of(path: &str) -> (&'static str, Self) {
        let captured = |listed: &&'static str| template::captured(listed, path);
        let mut fitting = PATHS.iter().filter_map(|(listed, filled)| Some((*listed, captured(listed)?, filled)));
        let found = fitting.next().and_then(|(listed, captured, filled)| Some((listed, filled(captured)?)));
        found.unwrap_or(("", Self::Unknown))
    }

    /// Its methods, and what `Allow` says of them.
    pub(crate) fn methods(&self) -> (&'static [Method], &'static str) {
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
            | Self::TokenImport
            | Self::TokenRevocation
            | Self::Tokens => (&[Method::POST], "POST, OPTIONS"),
            Self::Description | Self::Liveness | Self::Metrics | Self::Readiness => {
                (&[Method::GET, Method::HEAD], "GET, HEAD, OPTIONS")
            }
            Self::Unknown => (&[], ""),
        }
    }

    /// What a request to it does, in the words of the audit log; `None` where nothing is recorded.
    fn act(&self, method: &Method) -> Option<Act> {
        let (methods, _) = self.methods();
        if !methods.contains(method) {
            return None;
        }
        Some(match self {
            Self::Client(_) => match *method {
                Method::GET => Act::ClientRead,
                Method::DELETE => Act::ClientDelete,
                _ => Act::ClientUpdate,
            },
            Self::ClientAction(_, clients::Action::Approve) => Act::ClientApprove,
            Self::ClientAction(_, clients::Action::Revoke) => Act::ClientRevoke,
            Self::ClientAction(_, clients::Action::RotateSecret) => Act::ClientRotateSecret,
            Self::Clients if *method == Method::GET => Act::ClientList,
            Self::Clients => Act::ClientCreate,
            Self::Key(_, keys::Action::Remove) => Act::KeyRemove,
            Self::Key(_, keys::Action::Retire) => Act::KeyRetire,
            Self::KeyRotation => Act::KeyRotate,
            Self::Keys => Act::KeyList,
            Self::Revocations => Act::TokenRevokeAll,
            Self::TokenApproval => Act::TokenApprove,
            Self::TokenImport => Act::TokenImport,
            Self::TokenRevocation => Act::TokenRevoke,
            Self::Tokens => Act::TokenIssue,
            Self::Users(route) => route.act(method),
            Self::Description | Self::Liveness | Self::Metrics | Self::Readiness | Self::Unknown => return None,
        })
    }

    /// Names what its path names.
    async fn name(&self, service: &Service, trail: &mut Trail, now: Now) {
        match self {
            Self::Client(id) | Self::ClientAction(id, _) => trail.name(service, "client_id", id.as_str(), now).await,
            Self::Key(kid, _) => trail.name(service, "kid", kid, now).await,
            Self::Users(route) => route.name(&mut trail.target),
            _ => {}
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Description | Self::Liveness | Self::Metrics | Self::Readiness => Endpoint::Operations,
            Self::Unknown => Endpoint::Unknown,
            _ => Endpoint::Admin,
        }
    }
}

/// Decides who is calling, and that it has one of `rights`.
async fn authorise(
    context: &Context,
    request: &mut Request<RequestBody>,
    peer: &Peer,
    now: Now,
    rights: &[Right],
) -> Result<Caller, ApiError> {
    let caller = context.authenticate(request.headers(), &Form::default(), peer, now).await?;
    if context.audit.is_on() {
        let trail = Trail::of(request);
        trail.actor = trail::actor(&caller);
        let _ = trail.proved.set(trail.actor.clone());
    }
    if rights.iter().any(|right| caller.has(*right)) {
        return Ok(caller);
    }
    let right = rights.first().copied().unwrap_or(Right::Admin);
    Err(match caller.method() {
        Proof::Bearer(_) => ApiError::insufficient_scope(StatusCode::FORBIDDEN, right),
        _ => ApiError::forbidden("The client may not do this"),
    })
}

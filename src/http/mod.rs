//! The public OAuth face, and what the admin face shares with it. The only rooms where statuses are chosen.
//!
//! | route | file |
//! |---|---|
//! | `POST /introspect`, `/oauth2/introspect` | [`introspect`] |
//! | `POST /introspect/batch`, `/oauth2/introspect/batch` | [`batch`] |
//! | `POST /revoke`, `/oauth2/revoke` | [`revoke`] |
//! | `POST /token`, `/oauth2/token` | [`token`] |
//! | `GET /.well-known/oauth-authorization-server`, `/.well-known/openid-configuration` | [`metadata`] |
//! | `GET /jwks.json` | [`jwks`] |
//! | `GET /openapi.json` | [`published`], made by [`crate::openapi`] |
//! | `POST /register`, `/login`, `/logout`, `/refresh`, `/password/change`; `/sessions` | [`accounts`] |
//! | `/forward-auth`, and all below it, with any method | [`forward_auth`] |
//! | `GET /livez`, `/readyz` | [`health`] |
//!
//! [`request`] and [`certificate`] read what a peer sent, [`accept`] which form of answer it wants, [`confirmation`]
//! what its token is bound to, [`correlation`] what others call it, [`json`] a body of JSON, [`template`] a path;
//! [`respond`] writes what it gets, [`published`] what everybody may read, [`error`] is every way to refuse it, and
//! [`trail`] is what is recorded of it.

pub mod accept;
pub mod accounts;
pub mod batch;
pub mod certificate;
pub mod confirmation;
pub mod correlation;
pub mod error;
pub mod forward_auth;
pub mod health;
pub mod introspect;
pub mod json;
pub mod jwks;
pub mod metadata;
pub mod name;
pub mod observe;
pub mod published;
pub mod request;
pub mod respond;
pub mod revoke;
pub mod template;
pub mod token;
pub mod trail;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;

use crate::auth::budget::Budget;
use crate::auth::verify::Authenticator;
use crate::client::ClientId;
use crate::config::{AuthenticationConfig, HttpConfig};
use crate::server::{Handler, Peer, Refusal, RequestBody};
use crate::service::Service;
use crate::telemetry::audit::{Audit, Origin};
use crate::telemetry::metrics::{Endpoint, Outcome};

use self::accounts::AccountsFace;
use self::error::ApiError;
use self::forward_auth::ForwardAuth;
use self::health::Readiness;
use self::metadata::MetadataDocument;
use self::observe::{Described, Observer};
use self::published::Published;

/// What every handler answers with: the whole body is in hand before the head is sent.
pub type Answer = Response<Full<Bytes>>;

/// What both faces need to answer a request.
#[derive(Debug)]
pub struct Context {
    /// What the product does.
    pub service: Arc<Service>,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// What a peer may send.
    pub limits: HttpConfig,
    /// Whose word on a caller's address is taken.
    pub authentication: AuthenticationConfig,
    /// Whether this node can do its work.
    pub readiness: Readiness,
    /// What is counted and logged.
    pub observer: Observer,
    /// Where it is recorded who did what.
    pub audit: Audit,
    /// How many tokens that are not active a caller may ask about.
    pub scanning: Budget<ClientId>,
}

impl Context {
    /// What the log says of a request.
    pub fn describe<'a>(&self, route: &'static str, request: &'a Request<RequestBody>, peer: &Peer) -> Described<'a> {
        let headers = request.headers();
        let client = request::address(headers, peer, &self.authentication.trusted_proxies);
        Described { method: request.method(), route, headers, client }
    }

    /// Where a request came from, for the audit log.
    pub fn origin(&self, headers: &HeaderMap, peer: &Peer) -> Origin {
        let address = request::address(headers, peer, &self.authentication.trusted_proxies);
        let own = peer.address.map(|address| address.ip());
        Origin { peer: peer.address, forwarded_for: address.filter(|_| address != own) }
    }
}

/// The public face.
#[derive(Clone, Debug)]
pub struct PublicFace {
    context: Arc<Context>,
    metadata: Arc<MetadataDocument>,
    accounts: Option<Arc<AccountsFace>>,
    gateways: Option<Arc<ForwardAuth>>,
    description: Arc<Published>,
}

impl PublicFace {
    /// A face over `context`, with this metadata document, and with accounts and an answer for gateways if there are to
    /// be any; `description` is what `/openapi.json` says of it.
    pub fn new(
        context: Arc<Context>,
        metadata: MetadataDocument,
        accounts: Option<AccountsFace>,
        gateways: Option<ForwardAuth>,
        description: Published,
    ) -> Self {
        let (accounts, gateways) = (accounts.map(Arc::new), gateways.map(Arc::new));
        Self { context, metadata: Arc::new(metadata), accounts, gateways, description: Arc::new(description) }
    }

    /// The endpoints are found under the path of the issuer, as they are published, and without it, for a proxy that
    /// takes the path away.
    fn route(&self, path: &str) -> Route {
        let own = path.strip_prefix(self.metadata.path()).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        if let Some((_, route)) = PATHS.iter().find(|(listed, _)| *listed == own) {
            return *route;
        }
        match own {
            _ if self.metadata.is_at(path) => Route::Metadata,
            _ if self.gateways.is_some() && ForwardAuth::is_at(own) => Route::ForwardAuth,
            _ if self.accounts.is_some() => accounts::Route::of(own).map_or(Route::Unknown, Route::Account),
            _ => Route::Unknown,
        }
    }

    /// The path of the endpoint that answers `path`, with names in place of what varies in it; `None` when none does.
    pub fn template(&self, path: &str) -> Option<&'static str> {
        let route = self.route(path);
        (route != Route::Unknown).then(|| route.template())
    }

    async fn answer(
        &self,
        route: Route,
        request: &mut Request<RequestBody>,
        peer: &Peer,
    ) -> Result<(Answer, Outcome), ApiError> {
        let context = &self.context;
        if let (Route::Account(route), Some(accounts)) = (route, &self.accounts) {
            // On the heap, as the batch below.
            return Box::pin(accounts.answer(context, route, request, peer)).await.map(done);
        }
        if let (Route::ForwardAuth, Some(gateways)) = (route, &self.gateways) {
            return Box::pin(gateways.answer(context, request, peer)).await;
        }
        if !route.is_post() {
            if route == Route::Unknown {
                return Err(ApiError::not_found());
            }
            request::expect_method(request.method(), &[Method::GET, Method::HEAD], route.allow())?;
            let answer = match route {
                Route::Metadata => self.metadata.answer(request.headers()),
                Route::Keys => jwks::answer(context, request.headers(), context.service.now()).await?,
                Route::Description => self.description.answer(request.headers(), DESCRIPTION_KEPT),
                Route::Liveness => health::live(),
                _ => context.readiness.answer(),
            };
            return Ok((answer, Outcome::Done));
        }
        if request.method() == Method::OPTIONS {
            return Ok((respond::options(route.allow()), Outcome::Done));
        }
        request::expect_method(request.method(), &[Method::POST], POST_ONLY)?;
        match route {
            Route::Introspect => introspect::handle(context, request, peer).await,
            // On the heap, as it would make the future of every introspection larger.
            Route::Batch => Box::pin(batch::handle(context, request, peer)).await.map(done),
            Route::Revoke => Box::pin(revoke::handle(context, request, peer)).await.map(done),
            _ => token::handle(context, request, peer).await.map(done),
        }
    }
}

const POST_ONLY: &str = "POST, OPTIONS";
const READ_ONLY: &str = "GET, HEAD";

fn done(answer: Answer) -> (Answer, Outcome) {
    (answer, Outcome::Done)
}

/// The paths that are the same whatever is configured, those first that are asked for most. Their description is made
/// from this list.
pub(crate) static PATHS: [(&str, Route); 12] = [
    ("/introspect", Route::Introspect),
    ("/oauth2/introspect", Route::Introspect),
    ("/revoke", Route::Revoke),
    ("/oauth2/revoke", Route::Revoke),
    ("/token", Route::Token),
    ("/oauth2/token", Route::Token),
    ("/introspect/batch", Route::Batch),
    ("/oauth2/introspect/batch", Route::Batch),
    ("/jwks.json", Route::Keys),
    ("/livez", Route::Liveness),
    ("/readyz", Route::Readiness),
    ("/openapi.json", Route::Description),
];

/// It changes with the configuration only.
const DESCRIPTION_KEPT: Duration = Duration::from_hours(1);

/// What a path of the public listener leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Account(accounts::Route),
    Batch,
    Description,
    ForwardAuth,
    Introspect,
    Keys,
    Liveness,
    Metadata,
    Readiness,
    Revoke,
    Token,
    Unknown,
}

impl Route {
    fn is_post(self) -> bool {
        matches!(self, Self::Introspect | Self::Batch | Self::Revoke | Self::Token)
    }

    /// Its path, as the log has it: of several, the shortest.
    fn template(self) -> &'static str {
        match self {
            Self::Account(route) => route.template(),
            Self::Batch => "/introspect/batch",
            Self::Description => "/openapi.json",
            Self::ForwardAuth => "/forward-auth",
            Self::Introspect => "/introspect",
            Self::Keys => "/jwks.json",
            Self::Liveness => "/livez",
            Self::Metadata => "/.well-known/oauth-authorization-server",
            Self::Readiness => "/readyz",
            Self::Revoke => "/revoke",
            Self::Token => "/token",
            Self::Unknown => "",
        }
    }

    /// What `Allow` says of it; empty where every method is answered.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Account(route) => route.methods().1,
            Self::ForwardAuth | Self::Unknown => "",
            _ if self.is_post() => POST_ONLY,
            _ => READ_ONLY,
        }
    }

    fn endpoint(self) -> Endpoint {
        match self {
            Self::Account(route) => route.endpoint(),
            Self::Batch => Endpoint::Batch,
            Self::ForwardAuth => Endpoint::ForwardAuth,
            Self::Introspect => Endpoint::Introspect,
            Self::Liveness | Self::Readiness => Endpoint::Operations,
            Self::Description | Self::Keys | Self::Metadata => Endpoint::Metadata,
            Self::Revoke => Endpoint::Revoke,
            Self::Token => Endpoint::Token,
            Self::Unknown => Endpoint::Unknown,
        }
    }
}

impl Handler for PublicFace {
    async fn handle(&self, request: &mut Request<RequestBody>, peer: &Peer) -> Answer {
        let route = self.route(request.uri().path());
        let watch = self.context.observer.begin();
        let answer = self.answer(route, request, peer).await;
        watch.end(route.endpoint(), answer, || self.context.describe(route.template(), request, peer))
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        ApiError::from(refusal).into_answer()
    }
}

//! `/forward-auth`: a gateway asks whether a request may pass, with the request's own headers and any method (nginx
//! `auth_request`, Traefik `ForwardAuth`, Envoy `ext_authz`, haproxy). The status is the answer:
//!
//! | status | what |
//! |---|---|
//! | 200 | it may; what is known of the token is in `X-Auth-*` headers, for the API behind the gateway |
//! | 401 | there is no token, or it is not active: with a challenge to pass on (RFC 6750 section 3) |
//! | 403 | it lacks a scope that is asked for |
//! | 503 | that cannot be said at the moment |
//!
//! Nobody authenticates here, as gateways cannot: they pass on the credentials of whoever they ask about. So who may ask
//! is decided by address, and by a secret in a header of its own if there is one.
//!
//! What must be there is said by the query, `?scope=read&audience=...`, or by the headers `X-Forward-Auth-Scope` and
//! `X-Forward-Auth-Audience`; both count. Below `/forward-auth/` the query is the request's own, as Envoy passes it on,
//! and says nothing.

use constant_time_eq::constant_time_eq;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, StatusCode};

use super::error::ApiError;
use super::{Answer, Context, respond};
use crate::auth::Refusal;
use crate::auth::credentials::{BodyCredentials, Credentials};
use crate::client::{Client, ClientId, metadata, policy};
use crate::config::ForwardAuthConfig;
use crate::form::{Form, Parameter};
use crate::server::{Peer, RequestBody};
use crate::service::lookup::ActiveToken;
use crate::telemetry::metrics::Outcome;
use crate::token::decision::Inactive;
use crate::token::scope::Scope;
use crate::token::time::UnixSeconds;
use crate::token::value::TokenKind;

/// Answers gateways.
#[derive(Debug)]
pub struct ForwardAuth {
    config: ForwardAuthConfig,
    /// What a gateway may see: as a resource server that serves these audiences.
    sees: Client,
}

/// The path that gateways ask at.
pub(crate) const ROUTE: &str = "/forward-auth";
/// The header that a gateway's secret comes in.
const SECRET: &str = "x-forward-auth-secret";
const WANTED_SCOPE: &str = "x-forward-auth-scope";
const WANTED_AUDIENCE: &str = "x-forward-auth-audience";

impl ForwardAuth {
    /// What the configuration asks for; `None` when gateways are not answered.
    pub fn new(config: &ForwardAuthConfig) -> Option<Self> {
        let nobody = ClientId::parse("forward-auth").expect("a constant of letters is an identifier");
        let sees = Client { audiences: config.audiences.clone(), ..metadata::blank(nobody, UnixSeconds(0)) };
        config.enabled.then(|| Self { config: config.clone(), sees })
    }

    /// Whether a path is one of this route.
    pub fn is_at(path: &str) -> bool {
        path.strip_prefix(ROUTE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Says whether the request may pass whose headers these are. The body, if there is one, is not looked at.
    ///
    /// # Errors
    /// 400 for a demand that makes no sense, 401, 403, 503.
    pub async fn answer(
        &self,
        context: &Context,
        request: &Request<RequestBody>,
        peer: &Peer,
    ) -> Result<(Answer, Outcome), ApiError> {
        self.expect_gateway(request.headers(), peer)?;
        let is_ours = is_whole(request.uri().path());
        let query = request.uri().query().filter(|_| is_ours).unwrap_or_default();
        let wanted = Wanted::read(query, request.headers())?;
        // A token that is shown in a way that none may is no reason to tell the gateway that it asked wrongly.
        let presented = match Credentials::find(request.headers(), BodyCredentials::default()) {
            Ok(Credentials::Bearer(presented)) => presented,
            Ok(_) | Err(Refusal::Missing) => return Err(ApiError::missing_token()),
            Err(_) => return Err(ApiError::invalid_token()),
        };
        let token = match context.service.lookup(presented, context.service.now()).await? {
            Ok(token) => token,
            Err(reason) => {
                context.observer.inactive(reason);
                return Ok((ApiError::invalid_token().into_answer(), Outcome::Inactive));
            }
        };
        let Some(scope) = self.visible(&token, &wanted) else {
            context.observer.inactive(Inactive::NotForCaller);
            return Ok((ApiError::invalid_token().into_answer(), Outcome::Inactive));
        };
        if !wanted.scope.is_subset_of(&scope) {
            return Err(ApiError::lacking_scope(&wanted.scope));
        }
        let mut answer = respond::empty(StatusCode::OK);
        answer.headers_mut().extend(describe(&token, &scope));
        Ok((answer, Outcome::Active))
    }

    fn expect_gateway(&self, headers: &HeaderMap, peer: &Peer) -> Result<(), ApiError> {
        let known = match peer.address {
            // Whoever may open the socket file.
            None => true,
            Some(address) => self.config.sources.iter().any(|source| source.contains(address.ip())),
        };
        let proved = match &self.config.secret {
            None => true,
            Some(secret) => {
                let mut lines = headers.get_all(SECRET).iter();
                let line = lines.next().filter(|_| lines.next().is_none());
                line.is_some_and(|line| constant_time_eq(line.as_bytes(), secret.expose().as_bytes()))
            }
        };
        if known && proved { Ok(()) } else { Err(ApiError::forbidden("Only gateways that are known may ask this")) }
    }

    /// The scope of a token that may pass at all: an access token for an audience of the gateway, and for the one that is
    /// wanted. One that is bound to a key or a certificate may not: the gateway passes no proof on.
    fn visible(&self, token: &ActiveToken, wanted: &Wanted) -> Option<Scope> {
        let record = &token.record;
        let intended = |audience: &str| record.audience.iter().any(|name| **name == *audience);
        let fits = record.kind == TokenKind::Access
            && !record.claims.has_confirmation()
            && wanted.audiences.iter().all(|audience| intended(audience));
        policy::visible_scope(&self.sees, record).filter(|_| fits).map(std::borrow::Cow::into_owned)
    }
}

/// Whether a path is the route itself, with or without the path of the issuer before it, and nothing below it: a path
/// below may end as the route does. With a slash behind it, it counts: else a gateway that writes one would ask for
/// nothing. The worst that a caller's own query can do there is to ask for more of his token.
fn is_whole(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path).ends_with(ROUTE) && path.matches(ROUTE).count() == 1
}

/// What a token must have.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    scope: Scope,
    audiences: Vec<String>,
}

impl Wanted {
    fn read(query: &str, headers: &HeaderMap) -> Result<Self, ApiError> {
        let form = Form::parse(query.as_bytes())?;
        let malformed = || ApiError::invalid_request("What is asked of the token is malformed");
        let mut names: Vec<String> = form.get(Parameter::Scope).map(str::to_owned).into_iter().collect();
        let mut audiences: Vec<String> = form.get(Parameter::Audience).map(str::to_owned).into_iter().collect();
        for (name, place) in [(WANTED_SCOPE, &mut names), (WANTED_AUDIENCE, &mut audiences)] {
            for line in headers.get_all(name) {
                let line = line.to_str().map_err(|_| malformed())?.trim();
                place.extend((!line.is_empty()).then(|| line.to_owned()));
            }
        }
        let scope = Scope::parse(&names.join(" ")).map_err(|_| malformed())?;
        Ok(Self { scope, audiences })
    }
}

/// What the API behind the gateway may want to know. Gateways must take away what callers send under these names.
fn describe(token: &ActiveToken, scope: &Scope) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let record = &token.record;
    let audience = record.audience.iter().map(|audience| encode(audience)).collect::<Vec<_>>().join(" ");
    [
        ("x-auth-subject", record.subject.as_deref().map(encode)),
        ("x-auth-username", record.username.as_deref().map(encode)),
        ("x-auth-client-id", Some(encode(&record.client_id))),
        ("x-auth-scope", Some(scope.as_str().to_owned())),
        ("x-auth-audience", Some(audience)),
        ("x-auth-expires", Some(record.expires_at.0.to_string())),
        ("x-auth-token-id", Some(String::from(&*token.identity.to_text()))),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    })
}

/// Visible ASCII as it is; everything else, and the percent sign, percent-encoded as UTF-8 (RFC 3986 section 2.1): no
/// name can end a header or be taken for two.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("writing into memory cannot fail");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
            .collect()
    }

    #[test]
    fn what_is_wanted_comes_from_the_query_and_from_headers() {
        let read = |query: &str, lines: &[(&'static str, &str)]| {
            let wanted = Wanted::read(query, &headers(lines)).ok()?;
            Some((wanted.scope.as_str().to_owned(), wanted.audiences))
        };
        assert_eq!(read("", &[]), Some((String::new(), vec![])));
        assert_eq!(read("scope=read+write&audience=a&x=y", &[]), Some(("read write".into(), vec!["a".into()])));
        let lines = [("x-forward-auth-scope", " write "), ("x-forward-auth-audience", "b")];
        assert_eq!(read("scope=read&audience=a", &lines), Some(("read write".into(), vec!["a".into(), "b".into()])));
        assert_eq!(read("scope=a&scope=b", &[]), None);
        assert_eq!(read("scope=%22", &[]), None);
        assert_eq!(read("", &[("x-forward-auth-scope", "\u{e9}")]), None);
    }

    #[test]
    fn no_name_can_end_a_header() {
        assert_eq!(encode("alice@example.org"), "alice@example.org");
        assert_eq!(encode("a b\r\nx: y%"), "a%20b%0D%0Ax:%20y%25");
        assert_eq!(encode("\u{e9}"), "%C3%A9");
    }

    #[test]
    fn the_query_counts_at_the_route_itself_also_under_the_path_of_an_issuer() {
        for (path, whole) in [
            ("/forward-auth", true),
            ("/tenant/forward-auth", true),
            ("/forward-auth/", true),
            ("/forward-auth//", false),
            ("/forward-auth/orders", false),
            ("/forward-auth/orders/forward-auth", false),
            ("/tenant/forward-auth/forward-auth", false),
        ] {
            assert_eq!(is_whole(path), whole, "{path}");
        }
    }

    #[test]
    fn only_its_own_paths_are_its() {
        for (path, own) in [
            ("/forward-auth", true),
            ("/forward-auth/", true),
            ("/forward-auth/orders/1", true),
            ("/forward-authentic", false),
            ("/forward", false),
            ("/x/forward-auth", false),
        ] {
            assert_eq!(ForwardAuth::is_at(path), own, "{path}");
        }
    }
}

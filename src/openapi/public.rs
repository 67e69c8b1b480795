//! What the routes of the public listener do.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, HeaderName};
use http::{Method, StatusCode};

use super::operation::{Answer, Callers, Operation};
use super::schema::text;
use super::{accounts, refusals};
use crate::client::Right;
use crate::http::Route;
use crate::http::accept::SIGNED;
use crate::http::error::ApiError;
use crate::token::scope::Scope;

/// The operations of a route, and what kind of thing it is.
pub(super) fn describe(route: Route, path: &str) -> (&'static str, Vec<Operation>) {
    match route {
        Route::Introspect => ("Tokens", vec![introspect()]),
        Route::Batch => ("Tokens", vec![batch()]),
        Route::Revoke => ("Tokens", vec![revoke()]),
        Route::Token => ("Tokens", vec![token()]),
        Route::Account(route) => ("Accounts", vec![accounts::describe(route)]),
        Route::ForwardAuth => ("Gateways", vec![forward_auth(path.ends_with('}'))]),
        Route::Keys => ("Documents", vec![keys()]),
        Route::Metadata => ("Documents", vec![metadata()]),
        Route::Description => ("Documents", vec![description()]),
        Route::Liveness => ("Health", vec![liveness()]),
        Route::Readiness => ("Health", vec![readiness()]),
        Route::Unknown => ("", Vec::new()),
    }
}

fn introspect() -> Operation {
    Operation::new(Method::POST, "introspect", "Says whether a token is active, and what it allows (RFC 7662)")
        .text(
            "A token that is not active, or not for this caller, is answered `{\"active\":false}` and nothing else. \
             With `Cache-Control: no-cache` the state is read, and not taken from memory. A client that is registered \
             for it, or that asks for it with `Accept`, gets a signed answer (RFC 9701).",
        )
        .form("IntrospectionForm")
        .callers(Callers::Client(Some(Right::Introspect)))
        .header("Cache-Control", "`no-cache` reads the state anew.")
        .answers(Answer::json(StatusCode::OK, "Introspection", "What is known of the token.").or(SIGNED, text()))
        .refuses([
            ApiError::bad_request("invalid_client", "Client authentication is required"),
            ApiError::insufficient_scope(StatusCode::UNAUTHORIZED, Right::Introspect),
            ApiError::forbidden("The client may not introspect tokens"),
            ApiError::invalid_request("The token is missing"),
            ApiError::bad_request("invalid_scope", "The scope is malformed"),
            ApiError::invalid_request("minimal and expires_in are true or false"),
            ApiError::internal("signing"),
        ])
}

fn batch() -> Operation {
    Operation::new(Method::POST, "introspectBatch", "Says of up to 1,000 tokens what /introspect says of one")
        .text(
            "Ours: RFC 7662 asks about one token at a time. There is no half of an answer: if the state of one token \
             cannot be read, the whole is 503.",
        )
        .json("BatchQuestion")
        .callers(Callers::Header(&[Right::Introspect]))
        .header("Cache-Control", "`no-cache` reads the state anew.")
        .answers(Answer::json(StatusCode::OK, "BatchAnswer", "What is known of the tokens."))
        .refuses([
            ApiError::insufficient_scope(StatusCode::UNAUTHORIZED, Right::Introspect),
            ApiError::forbidden("The client may not introspect tokens"),
            ApiError::bad_request("invalid_scope", "The scope is malformed"),
            ApiError::invalid_request("Answers about many tokens are not signed"),
        ])
}

fn revoke() -> Operation {
    Operation::new(Method::POST, "revoke", "Revokes a token with everything of its grant (RFC 7009)")
        .text(
            "200 also when there was nothing to revoke. A client revokes its own tokens; with the right `revoke`, \
             those of any client. 200 says that no node says active any more, and 503 that this is not certain.",
        )
        .form("RevocationForm")
        .callers(Callers::Client(None))
        .answers(Answer::empty(StatusCode::OK, "The token is revoked, or there is none."))
        .refuses([
            ApiError::insufficient_scope(StatusCode::FORBIDDEN, Right::Revoke),
            ApiError::invalid_request("The token is missing"),
            ApiError::bad_request("invalid_grant", "The token was not issued to this client"),
        ])
}

fn token() -> Operation {
    let bad = ApiError::bad_request;
    Operation::new(Method::POST, "token", "Issues tokens to the client that asks for them (RFC 6749 section 3.2)")
        .text(
            "A proof of possession in `DPoP` binds what is issued to its key (RFC 9449); a certificate binds it where \
             the client is registered for that (RFC 8705). A client without authentication names itself by `client_id`.",
        )
        .form("TokenForm")
        .callers(Callers::Client(None))
        .header("DPoP", "A proof of possession (RFC 9449 section 4).")
        .answers(Answer::json(StatusCode::OK, "Tokens", "What was issued."))
        .refuses([
            ApiError::invalid_request("The grant_type is missing"),
            bad("unsupported_grant_type", "The grant type is not supported"),
            bad("unauthorized_client", "The client may not use this grant type"),
            ApiError::invalid_request("The refresh_token is missing"),
            bad("invalid_grant", "The refresh token is not valid"),
            bad("invalid_scope", "The scope is malformed or more than the client may have"),
            bad("invalid_target", "A resource is malformed, unknown or not for this client"),
            bad(
                "invalid_authorization_details",
                "The authorization_details are malformed, unknown or not for this client",
            ),
            bad("invalid_dpop_proof", "(what is wrong with the proof, or that there is none)"),
            ApiError::invalid_request("The client gets tokens that are bound to a certificate, and sent none"),
            ApiError::internal("issuing"),
        ])
}

/// With every method; below the path, the query is that of the request which is asked about, and says nothing.
fn forward_auth(below: bool) -> Operation {
    let id = if below { "forwardAuthBelow" } else { "forwardAuth" };
    let mut operation = Operation::new(Method::GET, id, "Says to a gateway whether a request may pass")
        .text(
            "For nginx `auth_request`, Traefik `ForwardAuth`, Envoy `ext_authz` and haproxy: every method is \
                 answered, with the headers of the request that is asked about. Below `/forward-auth` the query is \
                 that request's own, and says nothing.",
        )
        .callers(Callers::Gateway)
        .header("X-Forward-Auth-Secret", "The gateway's secret, where one is set.")
        .header("X-Forward-Auth-Scope", "What the token must carry.")
        .header("X-Forward-Auth-Audience", "What the token must be made for.");
    if !below {
        operation = operation.query("scope", super::schema::scope(), "What the token must carry.").query(
            "audience",
            text(),
            "What the token must be made for.",
        );
    }
    let known = [
        ("x-auth-subject", "`sub`, percent-encoded as all of these."),
        ("x-auth-username", "`username`."),
        ("x-auth-client-id", "`client_id`."),
        ("x-auth-scope", "`scope`."),
        ("x-auth-audience", "`aud`, with spaces between several."),
        ("x-auth-expires", "`exp`."),
        ("x-auth-token-id", "`jti`."),
    ];
    let pass = known.into_iter().fold(Answer::empty(StatusCode::OK, "It may pass."), |answer, (name, meaning)| {
        answer.header(HeaderName::from_static(name), meaning)
    });
    operation = operation.answers(pass).refuses(refusals::query());
    operation.refuses([
        ApiError::invalid_request("What is asked of the token is malformed"),
        ApiError::missing_token(),
        ApiError::invalid_token(),
        ApiError::lacking_scope(&Scope::default()),
        ApiError::forbidden("Only gateways that are known may ask this"),
        refusals::unavailable(),
    ])
}

/// A document that anybody may keep.
pub(super) fn document(id: &'static str, schema: &'static str, summary: &'static str) -> Operation {
    let kept = |answer: Answer| {
        answer.kept().always(CACHE_CONTROL, "For how long it may be kept.").always(ETAG, "Which version it is.")
    };
    Operation::new(Method::GET, id, summary)
        .header("If-None-Match", "The version that the caller has.")
        .answers(kept(Answer::json(StatusCode::OK, schema, "The document.")))
        .answers(kept(Answer::empty(StatusCode::NOT_MODIFIED, "The caller has it.")))
}

fn shared(id: &'static str, schema: &'static str, summary: &'static str) -> Operation {
    document(id, schema, summary).text("Pages of every origin may read it.").shared(&ACCESS_CONTROL_ALLOW_ORIGIN)
}

fn keys() -> Operation {
    shared("keys", "JwkSet", "The public keys that signed tokens and answers are verified with (RFC 7517)")
        .refuses([refusals::unavailable()])
}

fn metadata() -> Operation {
    shared("metadata", "Metadata", "What this authorization server can do, and where (RFC 8414)")
}

fn description() -> Operation {
    shared("description", "Description", "This description, of the routes that the configuration has on")
}

/// Whether the process lives.
pub(super) fn liveness() -> Operation {
    Operation::new(Method::GET, "liveness", "Says that the process lives")
        .text("It says nothing of the store, whose failure no restart of this process would mend.")
        .answers(Answer::json(StatusCode::OK, "Liveness", "It lives."))
}

/// Whether requests should be sent here.
pub(super) fn readiness() -> Operation {
    Operation::new(Method::GET, "readiness", "Says whether requests should be sent to this node")
        .answers(Answer::json(StatusCode::OK, "Readiness", "They should."))
        .answers(Answer::json(StatusCode::SERVICE_UNAVAILABLE, "Readiness", "They should not, and why."))
}

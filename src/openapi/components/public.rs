//! Objects of the public listener.

use serde_json::{Value, json};

use super::{STATUSES, TOKEN_TYPES, algorithm, description, details, error, filled, password, session, user_members};
use crate::auth::assertion::Assertion;
use crate::http::batch::MOST_TOKENS;
use crate::openapi::schema::{
    Member, client_id, closed, flag, flag_or, list, may, moment, must, named, number, one_of, open, or_null, scope,
    text,
};

/// Those of the public listener.
pub(in crate::openapi) fn public() -> Vec<(&'static str, Value)> {
    vec![
        ("Error", error()),
        ("IntrospectionForm", with_credentials(introspection_form())),
        ("Introspection", introspection()),
        ("BatchQuestion", batch_question()),
        (
            "BatchAnswer",
            open(vec![must(
                "results",
                list(named("Introspection")),
                "One for each token, in the order of the question.",
            )]),
        ),
        (
            "RevocationForm",
            with_credentials(vec![
                must("token", filled(), "The token: an access token or a refresh token."),
                may("token_type_hint", text(), "Read and not needed (RFC 7009 section 2.1)."),
            ]),
        ),
        ("TokenForm", with_credentials(token_form())),
        ("Tokens", open(tokens())),
        ("Metadata", metadata()),
        ("JwkSet", open(vec![must("keys", list(named("Jwk")), "The keys that sign, that will, and that have.")])),
        ("Jwk", jwk()),
        ("Liveness", open(vec![must("status", one_of(["alive"]), "The process answers.")])),
        ("Readiness", open(vec![must("status", one_of(STATUSES), "Whether requests should be sent here.")])),
        ("Description", description()),
    ]
}

/// Those of accounts.
pub(in crate::openapi) fn accounts() -> Vec<(&'static str, Value)> {
    let client = || or_null("client_id", client_id(), "The application; without it, the usual one.");
    vec![
        ("Registration", closed(user_members().into_iter().chain([client()]).collect())),
        (
            "Login",
            closed(vec![
                must("username", text(), "The username or the email address."),
                must("password", text(), "The password."),
                client(),
            ]),
        ),
        ("Refresh", closed(vec![or_null("client_id", client_id(), "Which application's cookie counts.")])),
        (
            "Logout",
            closed(vec![
                or_null("all", flag(), "Whether every session of the user ends; the query `all=true` says the same."),
                or_null("client_id", client_id(), "Which application's cookie counts."),
            ]),
        ),
        (
            "PasswordChange",
            closed(vec![
                must("old_password", text(), "The password as it is."),
                must("new_password", password(), "The password as it is to be."),
            ]),
        ),
        (
            "OwnSession",
            open(
                session()
                    .into_iter()
                    .chain([must("current", flag(), "Whether the access token that asks is of this session.")])
                    .collect(),
            ),
        ),
        ("OwnSessions", open(vec![must("sessions", list(named("OwnSession")), "The oldest first.")])),
    ]
}

/// A form with what a client can prove itself with in it. What a form does not know is ignored (RFC 6749 section 3.2),
/// and what is empty counts as left out.
fn with_credentials(members: Vec<Member>) -> Value {
    let kind = json!({"type": "string", "enum": [Assertion::TYPE, ""]});
    open(
        members
            .into_iter()
            .chain([
                may("client_id", text(), "Who is calling, where the header does not say it (RFC 6749 section 2.3.1)."),
                may("client_secret", text(), "The secret, where it is not in the header (`client_secret_post`)."),
                may(
                    "client_assertion",
                    text(),
                    "What the client has signed (`private_key_jwt`, RFC 7523 section 2.2).",
                ),
                may("client_assertion_type", kind, "Which kind of assertion it is."),
            ])
            .collect(),
    )
}

fn introspection_form() -> Vec<Member> {
    let switch = || json!({"type": "string", "enum": ["true", "false", ""]});
    vec![
        must("token", filled(), "The token that is asked about."),
        may("token_type_hint", text(), "Read and not needed: one look-up finds a token of either kind."),
        may("scope", scope(), "Active only if the token carries all of it (ours, and Hydra's)."),
        may("audience", text(), "Active only if the token is made for it (ours)."),
        may("minimal", switch(), "Whether to answer `active` and nothing else (ours)."),
        may("expires_in", switch(), "Whether to say for how many seconds the token is active (ours)."),
    ]
}

fn introspection() -> Value {
    let audience = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    open(vec![
        must("active", flag(), "Whether the token is active and for this caller. If not, there is nothing else."),
        may("iss", text(), "Who issued it."),
        may("client_id", client_id(), "Whom it was issued to."),
        may("sub", text(), "Whom it speaks for: a user, or `client:` and a client."),
        may("username", text(), "What people call that user."),
        may("scope", scope(), "The part of its scope that this caller may see."),
        may("aud", audience, "What it is made for."),
        may("token_type", one_of(TOKEN_TYPES), "How it is used; a refresh token has none."),
        may("exp", moment(), "When it ends."),
        may("iat", moment(), "When it was issued."),
        may("nbf", moment(), "From when on it is active."),
        may("jti", text(), "Names it."),
        may("cnf", json!({"type": "object", "minProperties": 1}), "What its presenter must prove to have (RFC 7800)."),
        may("authorization_details", details(), "What it allows (RFC 9396)."),
        may("acr", text(), "How the user was authenticated (RFC 9470)."),
        may("auth_time", number(), "When (RFC 9470)."),
        may("expires_in", number(), "For how many seconds it is active from now on, if that was asked for."),
    ])
}

fn batch_question() -> Value {
    let mut tokens = list(text());
    tokens["maxItems"] = MOST_TOKENS.into();
    closed(vec![
        must("tokens", tokens, "The tokens that are asked about."),
        may(
            "scope",
            json!({"type": "string", "default": "", "pattern": scope()["pattern"], "maxLength": 4096}),
            "Active are only those that carry all of it.",
        ),
        or_null("audience", text(), "Active are only those that are made for it."),
        may("minimal", flag_or(false), "Whether to answer `active` and nothing else."),
        may("expires_in", flag_or(false), "Whether to say for how many seconds each is active."),
    ])
}

fn token_form() -> Vec<Member> {
    let resources = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    vec![
        must("grant_type", one_of(["client_credentials", "refresh_token"]), "Which grant."),
        may("scope", scope(), "What the token is to allow; without it, all that the client may have."),
        may("refresh_token", text(), "With `grant_type=refresh_token`: the refresh token."),
        may("resource", resources, "What the token is to be made for (RFC 8707); may be repeated."),
        may("authorization_details", text(), "What the token is to allow, as JSON (RFC 9396)."),
    ]
}

fn tokens() -> Vec<Member> {
    vec![
        must("access_token", text(), "The access token."),
        must("token_type", one_of(TOKEN_TYPES), "How it is used."),
        must("expires_in", number(), "For how many seconds it is active."),
        may("scope", scope(), "What it allows."),
        may("authorization_details", details(), "What it allows (RFC 9396)."),
        may("refresh_token", text(), "For the next access token; not where a cookie holds it."),
    ]
}

fn metadata() -> Value {
    let url = || json!({"type": "string", "format": "uri"});
    let names = || list(text());
    open(vec![
        must("issuer", url(), "Who issues tokens here."),
        must("token_endpoint", url(), "Where tokens are asked for."),
        must("introspection_endpoint", url(), "Where tokens are asked about."),
        must("revocation_endpoint", url(), "Where tokens are revoked."),
        must("jwks_uri", url(), "Where the keys are."),
        must("response_types_supported", names(), "`none`: there is no authorization endpoint."),
        must("grant_types_supported", names(), "What can be asked for."),
        must("token_endpoint_auth_methods_supported", names(), "How clients authenticate there."),
        must("token_endpoint_auth_signing_alg_values_supported", names(), "How their assertions are signed."),
        must("introspection_endpoint_auth_methods_supported", names(), "How clients authenticate there."),
        must("introspection_endpoint_auth_signing_alg_values_supported", names(), "How their assertions are signed."),
        must("revocation_endpoint_auth_methods_supported", names(), "How clients authenticate there."),
        must("revocation_endpoint_auth_signing_alg_values_supported", names(), "How their assertions are signed."),
        must("dpop_signing_alg_values_supported", names(), "How proofs of possession are signed."),
        must("introspection_signing_alg_values_supported", names(), "How answers can be signed."),
        may("tls_client_certificate_bound_access_tokens", flag(), "Whether certificates can be asked for here."),
    ])
}

fn jwk() -> Value {
    open(vec![
        must("kty", one_of(["EC", "OKP", "RSA"]), "Which kind of key."),
        must("kid", text(), "Its name: the RFC 7638 thumbprint."),
        must("alg", algorithm(), "What it signs with."),
        must("use", one_of(["sig"]), "It signs."),
        may("crv", text(), "The curve."),
        may("x", text(), "A coordinate, or the key."),
        may("y", text(), "A coordinate."),
        may("n", text(), "The modulus."),
        may("e", text(), "The exponent."),
    ])
}

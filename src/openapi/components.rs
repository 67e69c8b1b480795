//! The objects that requests and answers consist of, by name.

use serde_json::{Value, json};

use super::schema::{
    client_id, closed, flag, flag_or, identifier, list, list_of_at_most, may, moment, must, named, number, one_of,
    open, or_null, printable, scope, sized, text,
};
use crate::auth::assertion::Assertion;
use crate::client::metadata::{MAX_AUDIENCE_BYTES, MAX_AUDIENCES};
use crate::client::secret::Secret;
use crate::client::{AuthenticationMethod, Right};
use crate::http::batch::MOST_TOKENS;
use crate::jose::algorithm::Algorithm;
use crate::token::claims::RESERVED;
use crate::user::name::Email;
use crate::user::password::Password;
use crate::user::record::Session;

/// Those of the public listener.
pub(super) fn public() -> Vec<(&'static str, Value)> {
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
pub(super) fn accounts() -> Vec<(&'static str, Value)> {
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

/// Those of the admin listener.
pub(super) fn admin() -> Vec<(&'static str, Value)> {
    vec![
        ("Error", error()),
        ("IssueRequest", issue_request()),
        (
            "IssuedToken",
            open(vec![
                must("access_token", text(), "The access token."),
                must("token_type", one_of(TOKEN_TYPES), "How it is used."),
                must("expires_in", number(), "For how many seconds it is active."),
                must("jti", text(), "Names it, here and in introspection answers."),
                must("grant_id", text(), "Names the grant that it belongs to; its own `jti` where it stands alone."),
                may("refresh_token", text(), "The refresh token, if one was asked for."),
            ]),
        ),
        ("TokenReference", token_reference()),
        (
            "BulkRevocation",
            closed(vec![
                or_null("client_id", client_id(), "All tokens of this client."),
                or_null(
                    "sub",
                    sized(1, 1024),
                    "All tokens of this user; with `client_id`, those of the client for the user.",
                ),
                may("all", flag_or(false), "All tokens there are."),
                or_null("before", number(), "Only what was issued before this second; not in the future."),
            ]),
        ),
        ("Changed", open(vec![must("changed", flag(), "Whether anything is now otherwise than before.")])),
        ("NewClient", open(new_client())),
        ("ClientMetadata", open(client_metadata())),
        ("Client", open(client())),
        (
            "ClientWithSecret",
            open(
                client()
                    .into_iter()
                    .chain([
                        may("client_secret", text(), "The secret, shown this once."),
                        may("client_secret_expires_at", number(), "0: it does not expire (RFC 7591 section 3.2.1)."),
                    ])
                    .collect(),
            ),
        ),
        (
            "Clients",
            open(vec![
                must("clients", list(named("Client")), "Those that are declared come first, on the first page."),
                may("next", client_id(), "What the next page is `after`; missing on the last one."),
            ]),
        ),
        (
            "SecretRotation",
            closed(vec![or_null(
                "overlap_seconds",
                number(),
                "How long the old secret keeps working; else as configured.",
            )]),
        ),
        ("Key", key()),
        ("Keys", open(vec![must("keys", list(named("Key")), "As the store has them.")])),
        (
            "KeyRotation",
            closed(vec![
                or_null("algorithm", algorithm(), "Which keys; else those of the usual algorithm."),
                or_null("use", purpose(), "What they sign; else access tokens."),
            ]),
        ),
        ("NewUser", closed(user_members())),
        ("NewPassword", closed(vec![must("password", password(), "The password as it is to be.")])),
        (
            "User",
            open(vec![
                must("id", identifier(), "What is `sub` in tokens of the user."),
                must("username", text(), "As the user wrote it."),
                must("email", text(), "As the user wrote it."),
                must(
                    "state",
                    one_of(["active", "disabled", "deleted"]),
                    "`deleted`: deleting was cut off; delete again.",
                ),
                must("created_at", moment(), "When it was made."),
                must("password_set_at", moment(), "When the password was last set."),
            ]),
        ),
        (
            "Users",
            open(vec![
                must("users", list(named("User")), "By their `id`."),
                may("next", identifier(), "What the next page is `after`; missing on the last one."),
            ]),
        ),
        ("Session", open(session())),
        ("Sessions", open(vec![must("sessions", list(named("Session")), "The oldest first.")])),
        ("Liveness", open(vec![must("status", one_of(["alive"]), "The process answers.")])),
        (
            "Readiness",
            open(vec![
                must("status", one_of(STATUSES), "Whether requests should be sent here."),
                may("findings", list(named("Finding")), "What is worth knowing of the store's servers."),
            ]),
        ),
        (
            "Finding",
            open(vec![
                must("id", text(), "What was found; the log says what it means."),
                must("unsafe", flag(), "Whether a revocation may be lost by it."),
            ]),
        ),
        ("Description", description()),
    ]
}

const STATUSES: [&str; 4] = ["ready", "draining", "store unavailable", "store unsafe"];
const TOKEN_TYPES: [&str; 2] = ["Bearer", "DPoP"];

fn filled() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn error() -> Value {
    open(vec![
        must("error", text(), "A code for programs (RFC 6749 section 5.2)."),
        must(
            "error_description",
            json!({"type": "string", "pattern": r"^[ !#-\[\]-~]*$"}),
            "What is wrong, in words for the people who write the caller.",
        ),
        may("field", text(), "The member of the request that is at fault, at the routes of accounts."),
        may("reason", text(), "What is wrong with that member, in a word for programs."),
    ])
}

/// A form with what a client can prove itself with in it. What a form does not know is ignored (RFC 6749 section 3.2),
/// and what is empty counts as left out.
fn with_credentials(members: Vec<super::schema::Member>) -> Value {
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

fn introspection_form() -> Vec<super::schema::Member> {
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

fn details() -> Value {
    let detail = json!({"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}});
    json!({"type": "array", "items": detail})
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

fn token_form() -> Vec<super::schema::Member> {
    let resources = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    vec![
        must("grant_type", one_of(["client_credentials", "refresh_token"]), "Which grant."),
        may("scope", scope(), "What the token is to allow; without it, all that the client may have."),
        may("refresh_token", text(), "With `grant_type=refresh_token`: the refresh token."),
        may("resource", resources, "What the token is to be made for (RFC 8707); may be repeated."),
        may("authorization_details", text(), "What the token is to allow, as JSON (RFC 9396)."),
    ]
}

fn tokens() -> Vec<super::schema::Member> {
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

fn description() -> Value {
    open(vec![
        must("openapi", text(), "The version of the specification."),
        must("info", json!({"type": "object"}), "What is described."),
        must("paths", json!({"type": "object"}), "By path."),
    ])
}

fn user_members() -> Vec<super::schema::Member> {
    vec![
        must(
            "username",
            filled(),
            "1 to 64 letters, digits, dots, hyphens and underscores, with a letter or digit at each end.",
        ),
        must("email", sized(3, Email::MAX_BYTES), "An email address."),
        must("password", password(), "Of the length that is configured, and not one that is guessed first."),
    ]
}

fn password() -> Value {
    json!({"type": "string", "maxLength": 3 * Password::MAX_BYTES})
}

fn session() -> Vec<super::schema::Member> {
    vec![
        must("id", identifier(), "Names it."),
        must("client_id", client_id(), "The application that the user logged in with."),
        must("created_at", moment(), "When that was."),
        must("refreshed_at", moment(), "When it was last used for new tokens."),
        must("expires_at", moment(), "When it ends at the latest."),
        may("user_agent", sized(1, Session::MAX_USER_AGENT_BYTES), "What the program said it was."),
    ]
}

fn audiences() -> Value {
    list_of_at_most(MAX_AUDIENCES, printable(1, MAX_AUDIENCE_BYTES))
}

fn algorithm() -> Value {
    one_of(Algorithm::ALL.map(Algorithm::name))
}

fn purpose() -> Value {
    one_of(["access_token", "introspection"])
}

fn format() -> Value {
    one_of(["opaque", "jwt"])
}

fn issue_request() -> Value {
    let audience = json!({"anyOf": [printable(1, MAX_AUDIENCE_BYTES), audiences(), {"type": "null"}]});
    let reserved: Vec<&str> = RESERVED.to_vec();
    let claims = json!({
        "type": "object",
        "propertyNames": {"not": {"enum": reserved}},
        "additionalProperties": {"not": {"type": "null"}},
        "properties": {"acr": {"type": "string"}, "auth_time": number()},
    });
    closed(vec![
        must("client_id", client_id(), "Whom it is issued to."),
        or_null("sub", sized(1, 1024), "Whom it speaks for."),
        or_null("username", sized(1, 1024), "What people call that user."),
        or_null("scope", scope(), "What it allows."),
        may("aud", audience, "What it is made for: one audience or several."),
        or_null("expires_in", number(), "For how many seconds it is active; not beside `exp`."),
        or_null("exp", moment(), "When it ends; not beside `expires_in`."),
        or_null("nbf", moment(), "From when on it is active."),
        or_null("format", format(), "Which form it has; else that of the client."),
        may("refresh", flag_or(false), "Whether there is to be a refresh token as well."),
        or_null("refresh_expires_in", number(), "For how many seconds that works; only with `refresh`."),
        or_null(
            "cnf",
            json!({"type": "object", "minProperties": 1}),
            "What its presenter must prove to have (RFC 7800).",
        ),
        or_null("authorization_details", details(), "What it allows (RFC 9396)."),
        may("claims", claims, "Further members of the introspection answer."),
        or_null("token", text(), "A token made elsewhere that is taken over by value, where `tokens.imports` is on."),
    ])
}

fn token_reference() -> Value {
    let mut schema = closed(vec![
        or_null("token", text(), "The token by its value."),
        or_null("jti", text(), "The token by its name."),
        or_null("grant_id", text(), "The refresh token of this grant."),
        or_null("token_type", one_of(["accesstoken", "refreshtoken"]), "Read and not needed."),
        may("cascade", flag_or(true), "Whether the rest of its grant is meant as well."),
    ]);
    let one = |name: &str| json!({"required": [name], "properties": {name: {"type": "string"}}});
    schema["oneOf"] = json!([one("token"), one("jti"), one("grant_id")]);
    schema
}

fn methods() -> Value {
    use AuthenticationMethod as Method;
    one_of(
        [
            Method::ClientSecretBasic,
            Method::ClientSecretPost,
            Method::PrivateKeyJwt,
            Method::TlsClientAuth,
            Method::SelfSignedTlsClientAuth,
            Method::None,
        ]
        .map(Method::as_str),
    )
}

fn grants() -> Value {
    list(one_of(["client_credentials", "refresh_token"]))
}

fn rights() -> Value {
    list(one_of(Right::ALL.map(Right::as_str)))
}

/// What may be said of a client. What is not known is ignored (RFC 7591 section 2).
fn client_metadata() -> Vec<super::schema::Member> {
    let or_none = |names: &[&'static str]| one_of(names.iter().copied().chain([""]));
    let ours = Algorithm::ALL.map(Algorithm::name);
    let refused = || json!({"type": "null"});
    let mut keys = list(json!({"type": "object"}));
    keys["minItems"] = 1.into();
    keys["maxItems"] = crate::client::keys::ClientKeys::MAX_KEYS.into();
    let jwks = open(vec![must("keys", keys, "Public keys.")]);
    vec![
        or_null("client_name", sized(0, 256), "A name for people; empty takes it away."),
        or_null(
            "token_endpoint_auth_method",
            methods(),
            "How it proves who it is; unset takes either way of a secret.",
        ),
        or_null("grant_types", grants(), "What it may ask the token endpoint for."),
        or_null("scope", scope(), "What its tokens may carry, and what it sees of other tokens' scopes."),
        or_null("audiences", audiences(), "What it serves, and what its own tokens are made for; `*` serves all."),
        or_null("rights", rights(), "What it may do beyond its own tokens."),
        or_null("access_token_lifetime", number(), "In seconds; 0 takes the configured one."),
        or_null("refresh_token_lifetime", number(), "In seconds, from the first one; 0 takes the configured one."),
        or_null("refresh_token_idle_lifetime", number(), "In seconds without use; 0 for none."),
        or_null("repeated_credentials", flag(), "Whether it may send its secret in the header and in the body."),
        or_null("access_token_format", format(), "Which form its access tokens have."),
        or_null("access_token_signing_alg", or_none(&ours), "What its signed tokens are signed with."),
        or_null("introspection_signed_response_alg", or_none(&ours), "Its introspection answers are signed with this."),
        may("introspection_encrypted_response_alg", refused(), "Not supported, and refused."),
        may("introspection_encrypted_response_enc", refused(), "Not supported, and refused."),
        or_null("authorization_details_types", list_of_at_most(64, printable(1, 256)), "Those it may ask for."),
        or_null("jwks", jwks, "What its assertions are signed with, and its certificates as `x5c`."),
        may("jwks_uri", refused(), "Not supported, and refused: give the keys in `jwks`."),
        or_null(
            "token_endpoint_auth_signing_alg",
            or_none(&Algorithm::NAMES_OF_OTHERS),
            "The one algorithm that its assertions may use.",
        ),
        or_null("assertion_audience_endpoints", flag(), "Whether its assertions may name the URL of an endpoint."),
        or_null("tls_client_auth_subject_dn", text(), "The subject of its certificate; at most one of these five."),
        or_null("tls_client_auth_san_dns", text(), "A DNS name in its certificate."),
        or_null("tls_client_auth_san_uri", text(), "A URI in its certificate."),
        or_null("tls_client_auth_san_ip", text(), "An IP address in its certificate."),
        or_null("tls_client_auth_san_email", text(), "An email address in its certificate."),
        or_null("tls_client_certificate_bound_access_tokens", flag(), "Its tokens are bound to its certificate."),
        or_null("dpop_bound_access_tokens", flag(), "Its tokens are bound to a key."),
    ]
}

fn new_client() -> Vec<super::schema::Member> {
    let secret = printable(Secret::MIN_BYTES, Secret::MAX_BYTES);
    let own = [
        may("client_id", client_id(), "Its identifier; without one, one is made."),
        may("client_secret", secret, "Its secret; without one, one is made."),
    ];
    own.into_iter().chain(client_metadata()).collect()
}

fn client() -> Vec<super::schema::Member> {
    let secret = open(vec![
        must("created_at", moment(), "When it was made."),
        must("expires_at", moment(), "When it stops working; 0 for never."),
    ]);
    vec![
        must("client_id", client_id(), "Its identifier."),
        must("client_id_issued_at", moment(), "When it was made."),
        must("grant_types", grants(), "What it may ask the token endpoint for."),
        must("response_types", list_of_at_most(0, text()), "None: there is no authorization endpoint."),
        must("scope", scope(), "What its tokens may carry."),
        must("audiences", audiences(), "What it serves."),
        must("rights", rights(), "What it may do beyond its own tokens."),
        must("repeated_credentials", flag(), "Whether it may send its secret twice."),
        must("access_token_format", format(), "Which form its access tokens have."),
        must("authorization_details_types", list(text()), "Those it may ask for."),
        must("assertion_audience_endpoints", flag(), "Whether its assertions may name the URL of an endpoint."),
        must("tls_client_certificate_bound_access_tokens", flag(), "Its tokens are bound to its certificate."),
        must("dpop_bound_access_tokens", flag(), "Its tokens are bound to a key."),
        must("state", one_of(["approved", "revoked"]), "Whether it and its tokens are accepted."),
        must("secrets", list(secret), "The secrets that work now, without themselves."),
        must("declared", flag(), "Whether the configuration declares it, which cannot be changed here."),
        may("token_endpoint_auth_method", methods(), "How it proves who it is; unset takes either way of a secret."),
        may("client_name", text(), "A name for people."),
        may("access_token_lifetime", number(), "In seconds."),
        may("refresh_token_lifetime", number(), "In seconds, from the first one."),
        may("refresh_token_idle_lifetime", number(), "In seconds without use."),
        may("access_token_signing_alg", algorithm(), "What its signed tokens are signed with."),
        may("introspection_signed_response_alg", algorithm(), "Its introspection answers are signed with this."),
        may("token_endpoint_auth_signing_alg", algorithm(), "The one algorithm that its assertions may use."),
        may("jwks", json!({"type": "object"}), "Its public keys, as they were given."),
        may("tls_client_auth_subject_dn", text(), "The subject of its certificate."),
        may("tls_client_auth_san_dns", text(), "A DNS name in its certificate."),
        may("tls_client_auth_san_uri", text(), "A URI in its certificate."),
        may("tls_client_auth_san_ip", text(), "An IP address in its certificate."),
        may("tls_client_auth_san_email", text(), "An email address in its certificate."),
    ]
}

fn key() -> Value {
    let moment_or_null = || json!({"type": ["integer", "null"], "minimum": 0});
    open(vec![
        must("kid", text(), "Its name: the RFC 7638 thumbprint."),
        must("algorithm", algorithm(), "What it signs with."),
        must("use", purpose(), "What it signs."),
        must("state", one_of(["standby", "scheduled", "active", "retired"]), "Where it is in its life."),
        must("created_at", moment(), "When it was made."),
        must("signs_from", moment_or_null(), "From when on it signs; `null` for a standby."),
        must("retires_at", moment_or_null(), "From when on it signs no more."),
        must("verifies_until", moment_or_null(), "How long what it has signed is valid."),
        must("sealed_by", text(), "The digest key that its private half is sealed with."),
        must("usable", flag(), "Whether this node can sign with it."),
    ])
}

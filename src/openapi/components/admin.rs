//! Objects of the admin listener.

use serde_json::{Value, json};

use super::{
    STATUSES, TOKEN_TYPES, algorithm, audiences, description, details, error, format, password, session, user_members,
};
use crate::admin::import::MOST_TOKENS;
use crate::client::metadata::MAX_AUDIENCE_BYTES;
use crate::client::secret::Secret;
use crate::client::{AuthenticationMethod, Right};
use crate::jose::algorithm::Algorithm;
use crate::openapi::schema::{
    Member, client_id, closed, flag, flag_or, identifier, list, list_of_at_most, may, moment, must, named, number,
    one_of, open, or_null, printable, scope, sized, text,
};
use crate::token::claims::RESERVED;

/// Those of the admin listener.
pub(in crate::openapi) fn admin() -> Vec<(&'static str, Value)> {
    let mut objects = vec![
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
        ("ImportQuestion", import_question()),
        ("ForeignToken", foreign_token()),
        ("ImportAnswer", open(vec![must("results", list(named("ImportResult")), "In the order of the question.")])),
        (
            "ImportResult",
            open(vec![
                must("outcome", one_of(OUTCOMES), "What became of the token."),
                may("member", text(), "The member at fault, if it is one."),
                may("reason", text(), "Why it was refused, without anything that was sent."),
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
    ];
    objects.extend(clients_and_keys());
    objects.extend(users());
    objects
}

fn clients_and_keys() -> Vec<(&'static str, Value)> {
    vec![
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
    ]
}

fn users() -> Vec<(&'static str, Value)> {
    vec![
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
    ]
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

const OUTCOMES: [&str; 6] = ["imported", "unchanged", "revoked", "expired", "inactive", "refused"];

fn import_question() -> Value {
    // Of what is anything else, only that one is refused, and the request is not.
    let token = json!({"anyOf": [named("ForeignToken"), {}]});
    closed(vec![
        must("tokens", list_of_at_most(MOST_TOKENS, token), "The tokens that are to be taken over."),
        may("dry_run", flag_or(false), "Whether only to say what would become of them."),
    ])
}

/// A token as an introspection answer of its issuer describes it.
fn foreign_token() -> Value {
    open(vec![
        must("token", text(), "The token by its value."),
        must("client_id", client_id(), "Whom it was issued to: a client that is known here."),
        must("exp", moment(), "When it ends."),
        or_null("active", flag(), "If not, it is passed over."),
        or_null("iat", moment(), "When it was issued."),
        or_null("nbf", moment(), "From when on it is active."),
        or_null("sub", sized(1, 1024), "Whom it speaks for."),
        or_null("username", sized(1, 1024), "What people call that user."),
        or_null("scope", scope(), "What it allows."),
        may("aud", json!({"anyOf": [text(), audiences(), {"type": "null"}]}), "What it is made for."),
        or_null("token_type", text(), "`Bearer` or `DPoP`."),
        or_null("cnf", json!({"type": "object", "minProperties": 1}), "What its presenter must prove to have."),
        or_null("authorization_details", details(), "What it allows (RFC 9396)."),
        or_null("claims", json!({"type": "object"}), "Further members of the introspection answer."),
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

/// What may be said of a client. What is not known is ignored (RFC 7591 section 2).
fn client_metadata() -> Vec<Member> {
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

fn new_client() -> Vec<Member> {
    let secret = printable(Secret::MIN_BYTES, Secret::MAX_BYTES);
    let own = [
        may("client_id", client_id(), "Its identifier; without one, one is made."),
        may("client_secret", secret, "Its secret; without one, one is made."),
    ];
    own.into_iter().chain(client_metadata()).collect()
}

fn client() -> Vec<Member> {
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

fn rights() -> Value {
    list(one_of(Right::ALL.map(Right::as_str)))
}

fn grants() -> Value {
    list(one_of(["client_credentials", "refresh_token"]))
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

fn purpose() -> Value {
    one_of(["access_token", "introspection"])
}

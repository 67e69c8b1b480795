//! What can be said of a client on the command line: the members of its metadata (RFC 7591), each by its own name.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Failure, standard_input};

/// The members that are given; the others are not sent.
#[derive(Debug, Args)]
pub struct Members {
    /// A name for people.
    #[arg(long, visible_alias = "client-name")]
    name: Option<String>,
    /// How it proves who it is: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `tls_client_auth`,
    /// `self_signed_tls_client_auth` or `none`.
    #[arg(long, visible_alias = "token-endpoint-auth-method", value_name = "METHOD")]
    auth_method: Option<String>,
    /// What it may ask the token endpoint for, separated by commas: `client_credentials`, `refresh_token`.
    #[arg(long, value_delimiter = ',')]
    grant_types: Option<Vec<String>>,
    /// Its scopes, separated by spaces.
    #[arg(long)]
    scope: Option<String>,
    /// The audiences that it serves and that its tokens are for, separated by commas.
    #[arg(long, value_delimiter = ',')]
    audiences: Option<Vec<String>>,
    /// What it may do beyond its own tokens, separated by commas: introspect, revoke, issue, import, admin.
    #[arg(long, value_delimiter = ',')]
    rights: Option<Vec<String>>,
    /// Types of authorization details that it may be given (RFC 9396), separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    authorization_details_types: Option<Vec<String>>,
    /// Whether credentials may be sent in two places at once, if they are the same.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    repeated_credentials: Option<bool>,
    #[command(flatten)]
    tokens: TokenMembers,
    #[command(flatten)]
    keys: KeyMembers,
}

/// What its tokens and the answers to it are like.
#[derive(Debug, Args)]
struct TokenMembers {
    /// How many seconds its access tokens live; 0 for the service's setting.
    #[arg(long, value_name = "SECONDS")]
    access_token_lifetime: Option<u64>,
    /// How many seconds its grants live, each with its last refresh token; 0 for the service's setting.
    #[arg(long, value_name = "SECONDS")]
    refresh_token_lifetime: Option<u64>,
    /// How many seconds a refresh token works without being used; 0 for the service's setting.
    #[arg(long, value_name = "SECONDS")]
    refresh_token_idle_lifetime: Option<u64>,
    /// Which form its access tokens have: `opaque` or `jwt`.
    #[arg(long, value_name = "FORM")]
    access_token_format: Option<String>,
    /// What its JWT access tokens are signed with: `ES256`, `EdDSA`, `RS256` or `PS256`; '' for the service's setting.
    #[arg(long, value_name = "ALG")]
    access_token_signing_alg: Option<String>,
    /// What the answers to its introspections are signed with (RFC 9701); '' for answers that are not signed.
    #[arg(long, value_name = "ALG")]
    introspection_signed_response_alg: Option<String>,
    /// Whether its tokens are bound to a key that it proves to have (RFC 9449).
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dpop_bound_access_tokens: Option<bool>,
    /// Whether its tokens are bound to its certificate (RFC 8705).
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_client_certificate_bound_access_tokens: Option<bool>,
}

/// What it signs with, and which certificate is its own.
#[derive(Debug, Args)]
struct KeyMembers {
    /// A file with its public keys, as a JWK Set (RFC 7517 section 5); `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    jwks: Option<String>,
    /// What it signs its assertions with (RFC 7523); '' for whatever its keys can do.
    #[arg(long, value_name = "ALG")]
    token_endpoint_auth_signing_alg: Option<String>,
    /// Whether its assertions may name the endpoint as their audience, and not the issuer alone.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    assertion_audience_endpoints: Option<bool>,
    #[command(flatten)]
    certificate: CertificateMembers,
}

/// By which of its names the certificate of `tls_client_auth` is known (RFC 8705 section 2.1.2): one of them.
#[derive(Debug, Args)]
#[group(multiple = false)]
#[expect(clippy::struct_field_names, reason = "the names of RFC 8705")]
struct CertificateMembers {
    /// The subject of its certificate, as RFC 4514 writes it.
    #[arg(long, value_name = "NAME")]
    tls_client_auth_subject_dn: Option<String>,
    /// A DNS name in its certificate.
    #[arg(long, value_name = "NAME")]
    tls_client_auth_san_dns: Option<String>,
    /// A URI in its certificate, as SPIFFE has them.
    #[arg(long, value_name = "URI")]
    tls_client_auth_san_uri: Option<String>,
    /// An IP address in its certificate.
    #[arg(long, value_name = "ADDRESS")]
    tls_client_auth_san_ip: Option<String>,
    /// An email address in its certificate.
    #[arg(long, value_name = "ADDRESS")]
    tls_client_auth_san_email: Option<String>,
}

impl Members {
    /// The members as the admin listener takes them.
    ///
    /// # Errors
    /// When the keys cannot be read.
    pub fn into_json(self) -> Result<Map<String, Value>, Failure> {
        let Self { tokens, keys, .. } = self;
        let certificate = keys.certificate;
        let members = [
            ("client_name", json!(self.name)),
            ("token_endpoint_auth_method", json!(self.auth_method)),
            ("grant_types", list(self.grant_types)),
            ("scope", json!(self.scope)),
            ("audiences", list(self.audiences)),
            ("rights", list(self.rights)),
            ("authorization_details_types", list(self.authorization_details_types)),
            ("repeated_credentials", json!(self.repeated_credentials)),
            ("access_token_lifetime", json!(tokens.access_token_lifetime)),
            ("refresh_token_lifetime", json!(tokens.refresh_token_lifetime)),
            ("refresh_token_idle_lifetime", json!(tokens.refresh_token_idle_lifetime)),
            ("access_token_format", json!(tokens.access_token_format)),
            ("access_token_signing_alg", json!(tokens.access_token_signing_alg)),
            ("introspection_signed_response_alg", json!(tokens.introspection_signed_response_alg)),
            ("dpop_bound_access_tokens", json!(tokens.dpop_bound_access_tokens)),
            ("tls_client_certificate_bound_access_tokens", json!(tokens.tls_client_certificate_bound_access_tokens)),
            ("jwks", keys.jwks.map_or(Ok(Value::Null), |file| key_set(&file))?),
            ("token_endpoint_auth_signing_alg", json!(keys.token_endpoint_auth_signing_alg)),
            ("assertion_audience_endpoints", json!(keys.assertion_audience_endpoints)),
            ("tls_client_auth_subject_dn", json!(certificate.tls_client_auth_subject_dn)),
            ("tls_client_auth_san_dns", json!(certificate.tls_client_auth_san_dns)),
            ("tls_client_auth_san_uri", json!(certificate.tls_client_auth_san_uri)),
            ("tls_client_auth_san_ip", json!(certificate.tls_client_auth_san_ip)),
            ("tls_client_auth_san_email", json!(certificate.tls_client_auth_san_email)),
        ];
        let given = members.into_iter().filter(|(_, value)| !value.is_null());
        Ok(given.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// An empty text is a list of nothing, which takes away what was there.
fn list(names: Option<Vec<String>>) -> Value {
    names.map_or(Value::Null, |names| names.into_iter().filter(|name| !name.is_empty()).collect())
}

fn key_set(file: &str) -> Result<Value, Failure> {
    let text = if file == "-" {
        standard_input()?
    } else {
        std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("cannot read {file}: {error}")))?
    };
    // What is wrong is said by its place alone: this could be a private key, which nobody is to see on a screen.
    let set = serde_json::from_str::<Map<String, Value>>(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Failure::Usage(format!("--jwks holds no JSON object: line {line}, column {column}"))
    })?;
    Ok(Value::Object(set))
}

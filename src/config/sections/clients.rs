//! `[[clients]]`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{DAY, WholeSeconds, seconds};
use crate::client::keys::ClientKeys;
use crate::client::metadata;
use crate::client::secret::Secret;
use crate::client::{Client, ClientId, GrantType, Right, Rights, is_vschar};
use crate::config::reader::Reader;
use crate::config::{DeclaredClient, TokensConfig};
use crate::token::grant::TokenFormat;
use crate::token::scope::Scope;
use crate::token::time::UnixSeconds;

pub(super) fn clients(reader: &mut Reader<'_>, tokens: &TokensConfig) -> Vec<DeclaredClient> {
    let clients = reader.tables(
        "clients",
        "Clients that exist as long as the configuration names them, and cannot be changed otherwise.",
        |element| client(element, tokens),
    );
    for id in repeated(clients.iter().map(|client| &client.record.client_id)) {
        reader.reject("clients", format!("two clients have the client_id {:?}", id.as_str()));
    }
    clients
}

fn client(element: &mut Reader<'_>, tokens: &TokensConfig) -> Option<DeclaredClient> {
    let client_id: Option<ClientId> = element.required("client_id", "Its identifier.");
    let client_secret =
        element.secret("client_secret", false, "Its secret; none for a client that has no need of one.");
    let nobody = ClientId::parse("unknown").expect("a constant of letters is an identifier");
    // When it was created is told by whoever starts the service.
    let mut record = metadata::blank(client_id.clone().unwrap_or(nobody), UnixSeconds(0));
    record.client_name = element.optional("client_name", "A name for people.");
    record.authentication = element.optional(
        "token_endpoint_auth_method",
        "How it proves who it is (RFC 7591, RFC 8705); without it, either way of sending the secret.",
    );
    read_permissions(element, &mut record);
    read_tokens(element, tokens, &mut record);
    let sound = read_proofs(element, &mut record);
    if let Some(secret) = &client_secret {
        check_secret(element, secret);
    }
    let given = element.is_set("client_secret") || element.is_set("client_secret_file");
    check_authentication(element, &record, given);
    if sound && let Err(error) = metadata::check_method(&record) {
        element.reject("token_endpoint_auth_method", error.reason);
    }
    client_id.is_some().then_some(DeclaredClient { record, client_secret })
}

fn read_permissions(element: &mut Reader<'_>, record: &mut Client) {
    record.grant_types = element.value("grant_types", vec![], "What it may ask the token endpoint for (RFC 7591).");
    record.scope = element.value(
        "scope",
        Scope::default(),
        "What its own tokens may carry; for a resource server, also what it sees of other tokens' scopes.",
    );
    let audiences: Vec<String> = element.value(
        "audiences",
        vec![],
        "The audiences it serves, and that its own tokens are made for; `*` serves all.",
    );
    if audiences.iter().any(String::is_empty) {
        element.reject("audiences", "must not hold an empty text");
    }
    record.audiences = audiences.into_iter().map(Into::into).collect();
    let rights: Vec<Right> = element.value("rights", vec![], "What it may do beyond its own tokens.");
    record.rights = Rights::of(&rights);
    let types: Vec<String> = element.value(
        "authorization_details_types",
        vec![],
        "The types of authorization details that it may ask for (RFC 9396); empty for none.",
    );
    match metadata::details_types(&types) {
        Ok(types) => record.authorization_details_types = types,
        Err(error) => element.reject(error.member, "must be at most 64 texts of 1 to 256 printable ASCII characters"),
    }
}

/// How long a client's tokens live, and what they look like.
pub(super) fn read_format(element: &mut Reader<'_>, tokens: &TokensConfig, record: &mut Client) {
    const LIFETIMES: RangeInclusive<WholeSeconds> = seconds(1)..=seconds(3650 * DAY);
    for (place, key, meaning) in [
        (
            &mut record.access_token_lifetime,
            "access_token_lifetime",
            "Lifetime of access tokens issued to it; without it, `tokens.access_lifetime`.",
        ),
        (
            &mut record.refresh_token_lifetime,
            "refresh_token_lifetime",
            "How long its refresh tokens and all their successors work, from the first one; without it, \
             `tokens.refresh_lifetime`.",
        ),
        (
            &mut record.refresh_token_idle_lifetime,
            "refresh_token_idle_lifetime",
            "How long a refresh token works without being used; without it, `tokens.refresh_idle_lifetime`.",
        ),
    ] {
        let given = element.optional_within(key, LIFETIMES, meaning).map(|WholeSeconds(lifetime)| lifetime);
        if given.is_some_and(|lifetime| lifetime > tokens.max_lifetime) {
            element.reject(key, "must not be longer than tokens.max_lifetime");
        }
        *place = given.map(|lifetime| lifetime.as_secs());
    }
    record.access_token_format =
        element.value("access_token_format", TokenFormat::Opaque, "Which form its access tokens have.");
    record.access_token_signing_alg =
        element.optional("access_token_signing_alg", "What its signed access tokens are signed with.");
}

fn read_tokens(element: &mut Reader<'_>, tokens: &TokensConfig, record: &mut Client) {
    read_format(element, tokens, record);
    record.introspection_signed_response_alg = element.optional(
        "introspection_signed_response_alg",
        "Set, its introspection answers are always signed, with this algorithm (RFC 9701).",
    );
    record.tls_client_certificate_bound_access_tokens = element.value(
        "tls_client_certificate_bound_access_tokens",
        false,
        "Whether its access tokens are bound to the certificate that it presents (RFC 8705).",
    );
    record.dpop_bound_access_tokens = element.value(
        "dpop_bound_access_tokens",
        false,
        "Whether it gets only tokens that are bound to a key (RFC 9449).",
    );
}

/// Reads what the client proves with; `false` when something of it cannot be used, and is noted.
fn read_proofs(element: &mut Reader<'_>, record: &mut Client) -> bool {
    let mut sound = true;
    record.token_endpoint_auth_signing_alg = element.optional(
        "token_endpoint_auth_signing_alg",
        "The one algorithm that its assertions may use; without it, any of ours.",
    );
    record.assertion_audience_endpoints = element.value(
        "assertion_audience_endpoints",
        false,
        "Whether its assertions may name the URL of an endpoint as audience instead of the issuer, as older libraries do.",
    );
    let keys: Option<PathBuf> = element.optional(
        "jwks_file",
        "JSON file with its public keys (RFC 7517): for private_key_jwt, and with x5c for self_signed_tls_client_auth.",
    );
    if let Some(path) = keys {
        match read_keys(&path) {
            Ok(keys) => record.jwks = Some(keys),
            Err(fault) => {
                element.reject("jwks_file", fault);
                sound = false;
            }
        }
    }
    let names = [
        element.optional(
            "tls_client_auth_subject_dn",
            "The subject of its certificate (RFC 8705), as RFC 4514 writes it.",
        ),
        element.optional("tls_client_auth_san_dns", "The same by a DNS name of the certificate."),
        element.optional("tls_client_auth_san_uri", "The same by a URI of the certificate."),
        element.optional("tls_client_auth_san_ip", "The same by an IP address of the certificate."),
        element.optional("tls_client_auth_san_email", "The same by an email address of the certificate."),
    ];
    match metadata::certificate_name(&names) {
        Ok(name) => record.tls_client_auth = name,
        Err(error) => {
            element.reject(error.member, error.reason);
            sound = false;
        }
    }
    sound
}

/// The largest key file taken: eight RSA keys with certificates stay far below.
const MAX_KEYS_FILE_BYTES: u64 = 262_144;

fn read_keys(path: &Path) -> Result<ClientKeys, String> {
    use std::io::Read as _;
    let fault = |what: String| format!("{}: {what}", path.display());
    let file = std::fs::File::open(path).map_err(|error| fault(error.to_string()))?;
    let mut text = Vec::new();
    file.take(MAX_KEYS_FILE_BYTES + 1).read_to_end(&mut text).map_err(|error| fault(error.to_string()))?;
    if text.len() as u64 > MAX_KEYS_FILE_BYTES {
        return Err(fault(format!("is longer than {MAX_KEYS_FILE_BYTES} bytes")));
    }
    // What a parser says of a wrong file may quote it, and somebody may have put the private key there.
    let document = serde_json::from_slice(&text).map_err(|_| fault("is not a JSON object".into()))?;
    ClientKeys::parse(document).map_err(|error| fault(error.to_string()))
}

/// RFC 6749 appendix A.2: a client secret is made of `VSCHAR`.
fn check_secret(element: &mut Reader<'_>, secret: &Secret) {
    if !(Secret::MIN_BYTES..=Secret::MAX_BYTES).contains(&secret.expose().len()) || !is_vschar(secret.expose()) {
        let key = if element.is_set("client_secret") { "client_secret" } else { "client_secret_file" };
        element.reject(
            key,
            format!("must hold {} to {} printable ASCII characters", Secret::MIN_BYTES, Secret::MAX_BYTES),
        );
    }
}

fn check_authentication(element: &mut Reader<'_>, record: &Client, given: bool) {
    const METHOD: &str = "token_endpoint_auth_method";
    match (record.has_secret(), given, record.authentication) {
        (false, true, Some(method)) => element
            .reject(METHOD, format!("is {}, and yet the client has a secret; remove one of the two", method.as_str())),
        (true, false, _) => element.complain(
            "client_secret",
            "is missing; set it, or client_secret_file, or token_endpoint_auth_method = \"none\" for a public client",
        ),
        _ => {}
    }
    // RFC 6749 section 4.4: "MUST only be used by confidential clients".
    if record.is_public() && record.may_use(GrantType::ClientCredentials) {
        element.reject("grant_types", "client_credentials needs a client that has a secret");
    }
    // RFC 7662 section 2.1 wants callers authenticated, and a name alone is no proof.
    if record.is_public() && !record.rights.is_empty() {
        element.reject("rights", "need a client that has a secret");
    }
}

/// Each value that comes more than once, named once.
pub(super) fn repeated<T: Ord + Clone>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut sorted: Vec<T> = values.collect();
    sorted.sort();
    let mut twice: Vec<T> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
    twice.dedup();
    twice
}

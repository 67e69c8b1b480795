//! `[[clients]]`.

use super::{DAY, WholeSeconds, seconds};
use crate::client::secret::Secret;
use crate::client::{AuthenticationMethod, ClientId, GrantType, Right, Rights, is_vschar};
use crate::config::reader::Reader;
use crate::config::{DeclaredClient, TokensConfig};
use crate::token::scope::Scope;

pub(super) fn clients(reader: &mut Reader<'_>, tokens: &TokensConfig) -> Vec<DeclaredClient> {
    let clients = reader.tables(
        "clients",
        "Clients that exist as long as the configuration names them, and cannot be changed otherwise.",
        |element| client(element, tokens),
    );
    for id in repeated(clients.iter().map(|client| &client.client_id)) {
        reader.reject("clients", format!("two clients have the client_id {:?}", id.as_str()));
    }
    clients
}

fn client(element: &mut Reader<'_>, tokens: &TokensConfig) -> Option<DeclaredClient> {
    let client_id: Option<ClientId> = element.required("client_id", "Its identifier.");
    let client_secret = element.secret("client_secret", false, "Its secret; none for a public client.");
    let client_name = element.optional("client_name", "A name for people.");
    let authentication = element.optional(
        "token_endpoint_auth_method",
        "How it proves who it is (RFC 7591); without it, either way of sending the secret.",
    );
    let grant_types = element.value("grant_types", vec![], "What it may ask the token endpoint for (RFC 7591).");
    let scope = element.value(
        "scope",
        Scope::default(),
        "What its own tokens may carry; for a resource server, also what it sees of other tokens' scopes.",
    );
    let audiences: Vec<String> = element.value(
        "audiences",
        vec![],
        "The audiences it serves, and that its own tokens are made for; `*` serves all.",
    );
    let rights: Vec<Right> = element.value("rights", vec![], "What it may do beyond its own tokens.");
    let access_token_lifetime = element.optional_within(
        "access_token_lifetime",
        seconds(1)..=seconds(3650 * DAY),
        "Lifetime of access tokens issued to it; without it, `tokens.access_lifetime`.",
    );
    if let Some(secret) = &client_secret {
        check_secret(element, secret);
    }
    let has_secret = element.is_set("client_secret") || element.is_set("client_secret_file");
    check_authentication(element, authentication, has_secret, &grant_types, &rights);
    if audiences.iter().any(String::is_empty) {
        element.reject("audiences", "must not hold an empty text");
    }
    if access_token_lifetime.is_some_and(|WholeSeconds(lifetime)| lifetime > tokens.max_lifetime) {
        element.reject("access_token_lifetime", "must not be longer than tokens.max_lifetime");
    }
    Some(DeclaredClient {
        client_id: client_id?,
        client_secret,
        client_name,
        authentication,
        grant_types,
        scope,
        audiences,
        rights: Rights::of(&rights),
        access_token_lifetime: access_token_lifetime.map(|WholeSeconds(lifetime)| lifetime),
    })
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

fn check_authentication(
    element: &mut Reader<'_>,
    method: Option<AuthenticationMethod>,
    has_secret: bool,
    grant_types: &[GrantType],
    rights: &[Right],
) {
    const METHOD: &str = "token_endpoint_auth_method";
    let public = method == Some(AuthenticationMethod::None);
    match (public, has_secret) {
        (true, true) => element.reject(METHOD, "is none, and yet the client has a secret; remove one of the two"),
        (false, false) => element.complain(
            "client_secret",
            "is missing; set it, or client_secret_file, or token_endpoint_auth_method = \"none\" for a public client",
        ),
        _ => {}
    }
    // RFC 6749 section 4.4: "MUST only be used by confidential clients".
    if public && grant_types.contains(&GrantType::ClientCredentials) {
        element.reject("grant_types", "client_credentials needs a client that has a secret");
    }
    // RFC 7662 section 2.1 wants callers authenticated, and a name alone is no proof.
    if public && !rights.is_empty() {
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

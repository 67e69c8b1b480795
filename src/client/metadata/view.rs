//! What operators are shown.

use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::client::certificate::CertificateName;

/// A client as operators see it: everything but the hashes of its secrets.
pub fn view(client: &Client, declared: bool) -> Map<String, Value> {
    let secrets: Vec<Value> = client
        .secrets
        .iter()
        .map(|secret| json!({"created_at": secret.created_at, "expires_at": secret.expires_at.map_or(0, |end| end.0)}))
        .collect();
    let mut view = Map::from_iter([
        ("client_id".to_owned(), json!(client.client_id)),
        ("client_id_issued_at".to_owned(), json!(client.client_id_issued_at)),
        ("grant_types".to_owned(), json!(client.grant_types)),
        ("response_types".to_owned(), json!([])),
        ("scope".to_owned(), json!(client.scope)),
        ("audiences".to_owned(), json!(client.audiences)),
        ("rights".to_owned(), json!(client.rights)),
        ("repeated_credentials".to_owned(), json!(client.repeated_credentials)),
        ("access_token_format".to_owned(), json!(client.access_token_format)),
        ("authorization_details_types".to_owned(), json!(client.authorization_details_types)),
        ("assertion_audience_endpoints".to_owned(), json!(client.assertion_audience_endpoints)),
        (
            "tls_client_certificate_bound_access_tokens".to_owned(),
            json!(client.tls_client_certificate_bound_access_tokens),
        ),
        ("dpop_bound_access_tokens".to_owned(), json!(client.dpop_bound_access_tokens)),
        ("state".to_owned(), json!(client.state)),
        ("secrets".to_owned(), json!(secrets)),
        ("declared".to_owned(), json!(declared)),
    ]);
    // Unset, it takes either way of sending a secret, which no registered name says.
    if let Some(method) = client.authentication {
        view.insert("token_endpoint_auth_method".to_owned(), json!(method.as_str()));
    }
    if let Some(name) = &client.client_name {
        view.insert("client_name".to_owned(), json!(name));
    }
    let mut show = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            view.insert(member.to_owned(), value);
        }
    };
    show("access_token_lifetime", client.access_token_lifetime.map(Value::from));
    show("refresh_token_lifetime", client.refresh_token_lifetime.map(Value::from));
    show("refresh_token_idle_lifetime", client.refresh_token_idle_lifetime.map(Value::from));
    for (member, algorithm) in [
        ("access_token_signing_alg", client.access_token_signing_alg),
        ("introspection_signed_response_alg", client.introspection_signed_response_alg),
        ("token_endpoint_auth_signing_alg", client.token_endpoint_auth_signing_alg),
    ] {
        show(member, algorithm.map(|algorithm| json!(algorithm.name())));
    }
    show("jwks", client.jwks.as_ref().map(|keys| json!(keys.document())));
    if let Some((member, value)) = client.tls_client_auth.as_ref().map(CertificateName::member) {
        show(member, Some(json!(value)));
    }
    view
}

//! Client metadata as operators send and see it: the member names of RFC 7591, plus `rights` and `audiences`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Client, ClientId, ClientState, GrantType, Right, Rights};
use crate::token::scope::Scope;

/// What may be said of a client when it is created or changed. Unknown members are ignored (RFC 7591 section 2).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClientMetadata {
    client_name: Option<String>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    scope: Option<String>,
    audiences: Option<Vec<String>>,
    rights: Option<Vec<String>>,
    access_token_lifetime: Option<u64>,
    repeated_credentials: Option<bool>,
}

/// Metadata that was refused: `invalid_client_metadata` (RFC 7591 section 3.2.2), with the member and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MetadataError(String);

const MAX_NAME_BYTES: usize = 256;
/// The most audiences that a client may have, or a token.
pub const MAX_AUDIENCES: usize = 64;
/// The longest audience taken, in bytes.
pub const MAX_AUDIENCE_BYTES: usize = 1024;

impl ClientMetadata {
    /// Writes the members that are present into `client`, leaving the others as they are.
    ///
    /// # Errors
    /// [`MetadataError`] names the first member that cannot be accepted; `client` is then half changed and to be thrown
    /// away.
    pub fn apply(self, client: &mut Client) -> Result<(), MetadataError> {
        if let Some(name) = self.client_name {
            if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
                return Err(refuse("client_name must be at most 256 bytes without control characters"));
            }
            client.client_name = (!name.is_empty()).then_some(name);
        }
        if let Some(method) = self.token_endpoint_auth_method {
            client.authentication = Some(from_name(&method).ok_or_else(|| {
                refuse("token_endpoint_auth_method must be client_secret_basic, client_secret_post or none")
            })?);
        }
        if let Some(names) = self.grant_types {
            client.grant_types = names
                .iter()
                .map(|name| from_name::<GrantType>(name))
                .collect::<Option<_>>()
                .ok_or_else(|| refuse("grant_types may hold client_credentials and refresh_token"))?;
        }
        if let Some(scope) = self.scope {
            let scope = Scope::parse(&scope).map_err(|error| refuse(error.to_string()))?;
            if scope.names().any(|name| Right::of_scope(name).is_some()) {
                return Err(refuse("scope holds one that stands for a right: list it in rights instead"));
            }
            client.scope = scope;
        }
        if let Some(audiences) = self.audiences {
            let usable = |name: &String| (1..=MAX_AUDIENCE_BYTES).contains(&name.len()) && super::is_vschar(name);
            if audiences.len() > MAX_AUDIENCES || !audiences.iter().all(usable) {
                return Err(refuse("audiences must be at most 64 texts of 1 to 1024 printable ASCII characters"));
            }
            client.audiences = audiences.into_iter().map(Into::into).collect();
        }
        if let Some(names) = self.rights {
            let rights: Vec<Right> = names
                .iter()
                .map(|name| from_name(name))
                .collect::<Option<_>>()
                .ok_or_else(|| refuse("rights may hold introspect, revoke, issue and admin"))?;
            client.rights = Rights::of(&rights);
        }
        if let Some(seconds) = self.access_token_lifetime {
            client.access_token_lifetime = (seconds > 0).then_some(seconds);
        }
        if let Some(accepted) = self.repeated_credentials {
            client.repeated_credentials = accepted;
        }
        check(client)
    }
}

/// Rules that hold between members.
fn check(client: &Client) -> Result<(), MetadataError> {
    if client.is_public() && client.may_use(GrantType::ClientCredentials) {
        return Err(refuse("a client without authentication cannot use client_credentials"));
    }
    if client.is_public() && !client.rights.is_empty() {
        return Err(refuse("a client without authentication cannot have rights"));
    }
    Ok(())
}

fn refuse(reason: impl Into<String>) -> MetadataError {
    MetadataError(reason.into())
}

fn from_name<T: for<'de> Deserialize<'de>>(name: &str) -> Option<T> {
    serde_json::from_value(Value::from(name)).ok()
}

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
    if let Some(seconds) = client.access_token_lifetime {
        view.insert("access_token_lifetime".to_owned(), json!(seconds));
    }
    view
}

/// A client of which nothing is said yet.
pub fn blank(id: ClientId, now: crate::token::time::UnixSeconds) -> Client {
    Client {
        client_id: id,
        client_name: None,
        authentication: None,
        secrets: Vec::new(),
        grant_types: Vec::new(),
        scope: Scope::default(),
        audiences: Vec::new(),
        rights: Rights::default(),
        access_token_lifetime: None,
        repeated_credentials: false,
        state: ClientState::Approved,
        client_id_issued_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::time::UnixSeconds;

    fn apply(metadata: Value) -> Result<Client, MetadataError> {
        let mut client = blank(ClientId::parse("app").unwrap(), UnixSeconds(1));
        serde_json::from_value::<ClientMetadata>(metadata).unwrap().apply(&mut client).map(|()| client)
    }

    #[test]
    fn rfc7591_2_members_are_taken_and_unknown_ones_ignored() {
        let client = apply(json!({
            "client_name": "App", "token_endpoint_auth_method": "client_secret_post", "scope": "a b",
            "grant_types": ["client_credentials"], "audiences": ["https://rs"], "rights": ["introspect"],
            "access_token_lifetime": 60, "logo_uri": "https://example.com/logo"
        }))
        .unwrap();
        let view = view(&client, false);
        assert_eq!(view["token_endpoint_auth_method"], "client_secret_post");
        assert_eq!(view["scope"], "a b");
        assert_eq!(view["rights"], json!(["introspect"]));
        assert_eq!(view["access_token_lifetime"], 60);
    }

    #[test]
    fn rfc7591_3_2_2_bad_metadata_is_refused() {
        for bad in [
            json!({"client_name": "a\nb"}),
            json!({"token_endpoint_auth_method": "magic"}),
            json!({"grant_types": ["password"]}),
            json!({"grant_types": ["authorization_code"]}),
            json!({"scope": "a  b"}),
            json!({"scope": "introspectd:admin"}),
            json!({"audiences": [""]}),
            json!({"audiences": ["\u{e9}"]}),
            json!({"rights": ["everything"]}),
            json!({"token_endpoint_auth_method": "none", "grant_types": ["client_credentials"]}),
            json!({"token_endpoint_auth_method": "none", "rights": ["introspect"]}),
        ] {
            assert!(apply(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_absent_stays() {
        let mut client = apply(json!({"scope": "a", "rights": ["revoke"]})).unwrap();
        ClientMetadata { client_name: Some("x".into()), ..ClientMetadata::default() }.apply(&mut client).unwrap();
        assert_eq!(client.scope.as_str(), "a");
        assert!(client.rights.contains(Right::Revoke));
    }
}

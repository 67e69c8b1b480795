//! Client metadata as operators send and see it: the member names of RFC 7591, plus `rights` and `audiences`.
//!
//! - `read` what operators send, member by member
//! - `check` what members must be to each other
//! - `view` what operators are shown

mod check;
mod read;
mod view;

use serde::Deserialize;
use serde_json::Value;

use super::serial::Serial;
use super::{Client, ClientId, ClientState, Rights};
use crate::token::grant::TokenFormat;
use crate::token::scope::Scope;

pub use self::check::check_method;
pub use self::read::{ClientMetadata, certificate_name, details_types};
pub use self::view::view;

/// Metadata that was refused: `invalid_client_metadata` (RFC 7591 section 3.2.2), with the member and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct MetadataError {
    /// The member at fault.
    pub member: &'static str,
    /// What is wrong, naming the member.
    pub reason: String,
}

/// The most audiences that a client may have, or a token.
pub const MAX_AUDIENCES: usize = 64;
/// The longest audience taken, in bytes.
pub const MAX_AUDIENCE_BYTES: usize = 1024;

fn refuse(member: &'static str, reason: impl Into<String>) -> MetadataError {
    MetadataError { member, reason: reason.into() }
}

fn from_name<T: for<'de> Deserialize<'de>>(name: &str) -> Option<T> {
    serde_json::from_value(Value::from(name)).ok()
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
        refresh_token_lifetime: None,
        refresh_token_idle_lifetime: None,
        access_token_format: TokenFormat::default(),
        access_token_signing_alg: None,
        introspection_signed_response_alg: None,
        authorization_details_types: Vec::new(),
        jwks: None,
        token_endpoint_auth_signing_alg: None,
        assertion_audience_endpoints: false,
        tls_client_auth: None,
        tls_client_certificate_bound_access_tokens: false,
        dpop_bound_access_tokens: false,
        repeated_credentials: false,
        state: ClientState::Approved,
        client_id_issued_at: now,
        serial: Serial::default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::client::Right;
    use crate::jose::algorithm::Algorithm;
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
            json!({"access_token_format": "paper"}),
            json!({"access_token_signing_alg": "HS256"}),
            json!({"introspection_signed_response_alg": "none"}),
            json!({"introspection_encrypted_response_alg": "RSA-OAEP"}),
            json!({"introspection_encrypted_response_enc": "A128CBC-HS256"}),
            json!({"authorization_details_types": [""]}),
            json!({"token_endpoint_auth_signing_alg": "RS512"}),
            json!({"access_token_signing_alg": "Ed25519"}),
        ] {
            assert!(apply(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn rfc7591_2_keys_are_given_by_value_only() {
        let keys =
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
        let uri = "https://app.example/jwks.json";
        assert!(apply(json!({"jwks": keys})).is_ok());
        assert_eq!(apply(json!({"jwks_uri": uri})).unwrap_err().member, "jwks_uri");
        assert_eq!(apply(json!({"jwks": keys, "jwks_uri": uri})).unwrap_err().member, "jwks_uri");
        assert_eq!(apply(json!({"jwks": {"keys": []}})).unwrap_err().member, "jwks");
        assert_eq!(apply(json!({"token_endpoint_auth_method": "private_key_jwt"})).unwrap_err().member, "jwks");
        let method = "self_signed_tls_client_auth";
        let without_certificate = json!({"token_endpoint_auth_method": method, "jwks": keys});
        assert_eq!(apply(without_certificate).unwrap_err().member, "jwks");
        let other_algorithm = json!({
            "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256", "jwks": keys
        });
        assert_eq!(apply(other_algorithm).unwrap_err().member, "jwks");
    }

    #[test]
    fn rfc9864_2_2_keys_may_say_ed25519_as_newer_libraries_write_them() {
        let key = json!({
            "kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "ext": true, "key_ops": ["verify"],
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        });
        for name in ["Ed25519", "EdDSA"] {
            let client = apply(json!({
                "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": name,
                "jwks": {"keys": [key]}
            }));
            assert_eq!(client.unwrap().token_endpoint_auth_signing_alg, Some(Algorithm::EdDsa));
        }
    }

    #[test]
    fn rfc8705_2_1_2_exactly_one_name_of_the_certificate() {
        let method = json!({"token_endpoint_auth_method": "tls_client_auth"});
        let with = |members: Value| {
            let mut all = method.clone();
            all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            apply(all)
        };
        for (member, value) in [
            ("tls_client_auth_subject_dn", "CN=app,O=Example"),
            ("tls_client_auth_san_dns", "app.example.com"),
            ("tls_client_auth_san_uri", "spiffe://example.com/app"),
            ("tls_client_auth_san_ip", "2001:db8::1"),
            ("tls_client_auth_san_email", "app@example.com"),
        ] {
            let client = with(json!({member: value})).unwrap();
            assert_eq!(view(&client, false)[member], value);
            let stored = serde_json::to_vec(&client).unwrap();
            assert_eq!(serde_json::from_slice::<Client>(&stored).unwrap(), client);
            assert!(with(json!({member: "", "client_name": "x"})).is_err(), "{member}");
        }
        assert!(with(json!({})).is_err());
        assert!(with(json!({"tls_client_auth_san_ip": "10.0.0.1.1"})).is_err());
        assert!(with(json!({"tls_client_auth_san_dns": "*.example.com"})).is_err());
        let two = json!({"tls_client_auth_san_dns": "a.example", "tls_client_auth_san_email": "a@a.example"});
        assert_eq!(with(two).unwrap_err().member, "tls_client_auth_san_email");
    }

    #[test]
    fn a_record_of_before_reads_as_one_with_the_defaults() {
        let old = json!({"client_id": "app", "client_id_issued_at": 1});
        let client: Client = serde_json::from_value(old).unwrap();
        assert_eq!(client, blank(ClientId::parse("app").unwrap(), UnixSeconds(1)));
    }

    #[test]
    fn what_is_absent_stays() {
        let mut client = apply(json!({"scope": "a", "rights": ["revoke"]})).unwrap();
        let named: ClientMetadata = serde_json::from_value(json!({"client_name": "x"})).unwrap();
        named.apply(&mut client).unwrap();
        assert_eq!(client.scope.as_str(), "a");
        assert!(client.rights.contains(Right::Revoke));
    }
}

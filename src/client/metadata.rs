//! Client metadata as operators send and see it: the member names of RFC 7591, plus `rights` and `audiences`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::certificate::CertificateName;
use super::keys::ClientKeys;
use super::{AuthenticationMethod, Client, ClientId, ClientState, GrantType, Right, Rights};
use crate::jose::algorithm::Algorithm;
use crate::token::grant::TokenFormat;
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
    refresh_token_lifetime: Option<u64>,
    refresh_token_idle_lifetime: Option<u64>,
    repeated_credentials: Option<bool>,
    access_token_format: Option<String>,
    access_token_signing_alg: Option<String>,
    introspection_signed_response_alg: Option<String>,
    introspection_encrypted_response_alg: Option<Value>,
    introspection_encrypted_response_enc: Option<Value>,
    authorization_details_types: Option<Vec<String>>,
    jwks: Option<Map<String, Value>>,
    jwks_uri: Option<Value>,
    token_endpoint_auth_signing_alg: Option<String>,
    assertion_audience_endpoints: Option<bool>,
    tls_client_auth_subject_dn: Option<String>,
    tls_client_auth_san_dns: Option<String>,
    tls_client_auth_san_uri: Option<String>,
    tls_client_auth_san_ip: Option<String>,
    tls_client_auth_san_email: Option<String>,
    tls_client_certificate_bound_access_tokens: Option<bool>,
    dpop_bound_access_tokens: Option<bool>,
}

/// Metadata that was refused: `invalid_client_metadata` (RFC 7591 section 3.2.2), with the member and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct MetadataError {
    /// The member at fault.
    pub member: &'static str,
    /// What is wrong, naming the member.
    pub reason: String,
}

const MAX_NAME_BYTES: usize = 256;
/// The most audiences that a client may have, or a token.
pub const MAX_AUDIENCES: usize = 64;
/// The longest audience taken, in bytes.
pub const MAX_AUDIENCE_BYTES: usize = 1024;
/// The most types of authorization details that a client may be registered for, and the longest of them in bytes.
const MAX_DETAILS_TYPES: usize = 64;
const MAX_DETAILS_TYPE_BYTES: usize = 256;

impl ClientMetadata {
    /// Writes the members that are present into `client`, leaving the others as they are.
    ///
    /// # Errors
    /// [`MetadataError`] names the first member that cannot be accepted; `client` is then half changed and to be thrown
    /// away.
    pub fn apply(self, client: &mut Client) -> Result<(), MetadataError> {
        self.refuse_what_is_not_offered()?;
        self.apply_identity(client)?;
        self.apply_rights(client)?;
        self.apply_tokens(client)?;
        self.apply_keys(client)?;
        check(client)
    }

    /// Ignoring these would leave somebody with less protection than was asked for.
    fn refuse_what_is_not_offered(&self) -> Result<(), MetadataError> {
        if self.jwks_uri.is_some() {
            let reason = "jwks_uri is not supported: this server makes no requests to others; give the keys in jwks";
            return Err(refuse("jwks_uri", reason));
        }
        for (member, value) in [
            ("introspection_encrypted_response_alg", &self.introspection_encrypted_response_alg),
            ("introspection_encrypted_response_enc", &self.introspection_encrypted_response_enc),
        ] {
            if value.is_some() {
                return Err(refuse(
                    member,
                    format!("{member} is not supported: introspection answers are not encrypted"),
                ));
            }
        }
        Ok(())
    }

    fn apply_identity(&self, client: &mut Client) -> Result<(), MetadataError> {
        if let Some(name) = &self.client_name {
            if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
                let reason = "client_name must be at most 256 bytes without control characters";
                return Err(refuse("client_name", reason));
            }
            client.client_name = (!name.is_empty()).then(|| name.clone());
        }
        if let Some(method) = &self.token_endpoint_auth_method {
            client.authentication = Some(from_name(method).ok_or_else(|| {
                refuse(
                    "token_endpoint_auth_method",
                    "token_endpoint_auth_method must be client_secret_basic, client_secret_post, private_key_jwt, \
                     tls_client_auth, self_signed_tls_client_auth or none",
                )
            })?);
        }
        if let Some(accepted) = self.repeated_credentials {
            client.repeated_credentials = accepted;
        }
        Ok(())
    }

    fn apply_rights(&self, client: &mut Client) -> Result<(), MetadataError> {
        if let Some(names) = &self.grant_types {
            client.grant_types =
                names.iter().map(|name| from_name::<GrantType>(name)).collect::<Option<_>>().ok_or_else(|| {
                    refuse("grant_types", "grant_types may hold client_credentials and refresh_token")
                })?;
        }
        if let Some(scope) = &self.scope {
            let scope = Scope::parse(scope).map_err(|error| refuse("scope", error.to_string()))?;
            if scope.names().any(|name| Right::of_scope(name).is_some()) {
                return Err(refuse("scope", "scope holds one that stands for a right: list it in rights instead"));
            }
            client.scope = scope;
        }
        if let Some(audiences) = &self.audiences {
            let usable = |name: &String| (1..=MAX_AUDIENCE_BYTES).contains(&name.len()) && super::is_vschar(name);
            if audiences.len() > MAX_AUDIENCES || !audiences.iter().all(usable) {
                let reason = "audiences must be at most 64 texts of 1 to 1024 printable ASCII characters";
                return Err(refuse("audiences", reason));
            }
            client.audiences = audiences.iter().map(|audience| audience.as_str().into()).collect();
        }
        if let Some(names) = &self.rights {
            let rights: Vec<Right> = names
                .iter()
                .map(|name| from_name(name))
                .collect::<Option<_>>()
                .ok_or_else(|| refuse("rights", "rights may hold introspect, revoke, issue and admin"))?;
            client.rights = Rights::of(&rights);
        }
        if let Some(types) = &self.authorization_details_types {
            client.authorization_details_types = details_types(types)?;
        }
        Ok(())
    }

    fn apply_tokens(&self, client: &mut Client) -> Result<(), MetadataError> {
        for (given, member) in [
            (self.access_token_lifetime, &mut client.access_token_lifetime),
            (self.refresh_token_lifetime, &mut client.refresh_token_lifetime),
            (self.refresh_token_idle_lifetime, &mut client.refresh_token_idle_lifetime),
        ] {
            if let Some(seconds) = given {
                *member = (seconds > 0).then_some(seconds);
            }
        }
        if let Some(format) = &self.access_token_format {
            client.access_token_format = from_name::<TokenFormat>(format)
                .ok_or_else(|| refuse("access_token_format", "access_token_format must be opaque or jwt"))?;
        }
        for (member, given, place) in [
            ("access_token_signing_alg", &self.access_token_signing_alg, &mut client.access_token_signing_alg),
            (
                "introspection_signed_response_alg",
                &self.introspection_signed_response_alg,
                &mut client.introspection_signed_response_alg,
            ),
            (
                "token_endpoint_auth_signing_alg",
                &self.token_endpoint_auth_signing_alg,
                &mut client.token_endpoint_auth_signing_alg,
            ),
        ] {
            if let Some(name) = given {
                // What the client signs with may have any name that it may write; what we sign with has ours.
                let read = if member == "token_endpoint_auth_signing_alg" {
                    Algorithm::of_name_of_others
                } else {
                    Algorithm::of_name
                };
                *place = algorithm(member, name, read)?;
            }
        }
        for (given, place) in [
            (self.tls_client_certificate_bound_access_tokens, &mut client.tls_client_certificate_bound_access_tokens),
            (self.dpop_bound_access_tokens, &mut client.dpop_bound_access_tokens),
            (self.assertion_audience_endpoints, &mut client.assertion_audience_endpoints),
        ] {
            if let Some(given) = given {
                *place = given;
            }
        }
        Ok(())
    }

    fn apply_keys(self, client: &mut Client) -> Result<(), MetadataError> {
        let certificate_names = [
            self.tls_client_auth_subject_dn,
            self.tls_client_auth_san_dns,
            self.tls_client_auth_san_uri,
            self.tls_client_auth_san_ip,
            self.tls_client_auth_san_email,
        ];
        if let Some(name) = certificate_name(&certificate_names)? {
            client.tls_client_auth = Some(name);
        }
        if let Some(jwks) = self.jwks {
            let keys = ClientKeys::parse(jwks).map_err(|error| refuse("jwks", error.to_string()))?;
            client.jwks = Some(keys);
        }
        Ok(())
    }
}

/// An empty text takes the member away, as it does with `client_name`.
fn algorithm(
    member: &'static str,
    name: &str,
    read: fn(&str) -> Option<Algorithm>,
) -> Result<Option<Algorithm>, MetadataError> {
    if name.is_empty() {
        return Ok(None);
    }
    read(name).map(Some).ok_or_else(|| {
        let names = Algorithm::ALL.map(Algorithm::name).join(", ");
        refuse(member, format!("{member} must be one of {names}"))
    })
}

/// Reads the types of authorization details that a client is registered for (RFC 9396 section 10).
///
/// # Errors
/// [`MetadataError`] when there are too many, or one that is empty, too long or not printable ASCII.
pub fn details_types(types: &[String]) -> Result<Vec<Box<str>>, MetadataError> {
    let usable = |name: &String| (1..=MAX_DETAILS_TYPE_BYTES).contains(&name.len()) && super::is_vschar(name);
    if types.len() > MAX_DETAILS_TYPES || !types.iter().all(usable) {
        let reason = "authorization_details_types must be at most 64 texts of 1 to 256 printable ASCII characters";
        return Err(refuse("authorization_details_types", reason));
    }
    Ok(types.iter().map(|name| name.as_str().into()).collect())
}

/// Reads the values of [`CertificateName::MEMBERS`], in their order: at most one of them is set.
///
/// # Errors
/// [`MetadataError`] when several are set, or the one cannot be a name of its kind.
pub fn certificate_name(values: &[Option<String>; 5]) -> Result<Option<CertificateName>, MetadataError> {
    let mut set =
        CertificateName::MEMBERS.iter().zip(values).filter_map(|(member, value)| Some((member, value.as_ref()?)));
    let Some(((member, read), value)) = set.next() else { return Ok(None) };
    if let Some(((other, _), _)) = set.next() {
        return Err(refuse(other, format!("{other} is given beside {member}: a client has exactly one of them")));
    }
    read(value).map(Some).ok_or_else(|| refuse(member, format!("{member} is not a name of that kind")))
}

/// Rules that hold between members.
fn check(client: &Client) -> Result<(), MetadataError> {
    if client.is_public() && client.may_use(GrantType::ClientCredentials) {
        return Err(refuse("grant_types", "a client without authentication cannot use client_credentials"));
    }
    if client.is_public() && !client.rights.is_empty() {
        return Err(refuse("rights", "a client without authentication cannot have rights"));
    }
    check_method(client)
}

/// Whether a client has what its way of authentication needs.
///
/// # Errors
/// [`MetadataError`] names the member that is missing.
pub fn check_method(client: &Client) -> Result<(), MetadataError> {
    let jwks = client.jwks.as_ref();
    match client.authentication {
        Some(AuthenticationMethod::PrivateKeyJwt) => {
            let signers = jwks.and_then(ClientKeys::signers);
            let signers = signers
                .ok_or_else(|| refuse("jwks", "private_key_jwt needs jwks: the keys that the client signs with"))?;
            match client.token_endpoint_auth_signing_alg {
                Some(algorithm) if !signers.supports(algorithm) => {
                    Err(refuse("jwks", "jwks holds no key for the token_endpoint_auth_signing_alg"))
                }
                _ => Ok(()),
            }
        }
        Some(AuthenticationMethod::SelfSignedTlsClientAuth)
            if jwks.is_none_or(|keys| keys.certificates().len() == 0) =>
        {
            Err(refuse("jwks", "self_signed_tls_client_auth needs jwks: keys with the certificate as x5c"))
        }
        Some(AuthenticationMethod::TlsClientAuth) if client.tls_client_auth.is_none() => Err(refuse(
            CertificateName::MEMBERS[0].0,
            "tls_client_auth needs exactly one of tls_client_auth_subject_dn, tls_client_auth_san_dns, \
             tls_client_auth_san_uri, tls_client_auth_san_ip and tls_client_auth_san_email",
        )),
        _ => Ok(()),
    }
}

fn refuse(member: &'static str, reason: impl Into<String>) -> MetadataError {
    MetadataError { member, reason: reason.into() }
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
        ClientMetadata { client_name: Some("x".into()), ..ClientMetadata::default() }.apply(&mut client).unwrap();
        assert_eq!(client.scope.as_str(), "a");
        assert!(client.rights.contains(Right::Revoke));
    }
}

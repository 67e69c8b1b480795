//! What operators send: read member by member into a client, the first one at fault named.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::check::check;
use super::{MAX_AUDIENCE_BYTES, MAX_AUDIENCES, MetadataError, from_name, refuse};
use crate::client::certificate::CertificateName;
use crate::client::keys::ClientKeys;
use crate::client::{Client, GrantType, Right, Rights, is_vschar};
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

const MAX_NAME_BYTES: usize = 256;
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
            let usable = |name: &String| (1..=MAX_AUDIENCE_BYTES).contains(&name.len()) && is_vschar(name);
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
                .ok_or_else(|| refuse("rights", "rights may hold introspect, revoke, issue, import and admin"))?;
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
    let usable = |name: &String| (1..=MAX_DETAILS_TYPE_BYTES).contains(&name.len()) && is_vschar(name);
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

//! OAuth clients: applications, resource servers, operators; what they are registered with and what they may do.
//!
//! - [`Client`] the record, with member names of RFC 7591
//! - [`keys`] its public keys
//! - [`certificate`] what its certificate must say, [`distinguished_name`] of whom
//! - [`metadata`] the record as operators send and see it
//! - [`secret`] how a secret is made, kept and compared
//! - [`policy`] what a client may see and ask for: pure functions
//! - [`serial`] which copy of a record this is

pub mod certificate;
pub mod distinguished_name;
pub mod keys;
pub mod metadata;
pub mod policy;
pub mod secret;
pub mod serial;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::jose::algorithm::Algorithm;
use crate::token::grant::TokenFormat;
use crate::token::scope::Scope;
use crate::token::time::UnixSeconds;
use certificate::CertificateName;
use keys::ClientKeys;
use secret::StoredSecret;
use serial::Serial;

/// A client identifier: 1 to 128 characters `%x20-7E` (`VSCHAR`, RFC 6749 appendix A.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The longest identifier taken, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Reads an identifier; `None` when it is empty, too long or holds anything but printable ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = (1..=Self::MAX_BYTES).contains(&text.len()) && is_vschar(text);
        valid.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text consists of `VSCHAR` only, as identifiers and secrets must.
pub fn is_vschar(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20..=0x7E))
}

impl fmt::Debug for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ClientId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a client_id has 1 to 128 printable ASCII characters")
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.as_str().to_owned()
    }
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its identifier.
    pub client_id: ClientId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// `token_endpoint_auth_method`; `None` takes either way of sending a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationMethod>,
    /// The secrets that work now: at most two, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<StoredSecret>,
    /// `grant_types`: what it may ask the token endpoint for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_types: Vec<GrantType>,
    /// `scope`: what its own tokens may carry; for a resource server, also what it sees of other tokens' scopes.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// The audiences it serves, and that its own tokens are made for. `*` serves all: a gateway in front of every API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Box<str>>,
    /// What it may do beyond its own tokens.
    #[serde(default, skip_serializing_if = "Rights::is_empty")]
    pub rights: Rights,
    /// Lifetime of access tokens issued to it, in seconds; `None` takes the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime: Option<u64>,
    /// How long its refresh tokens and all their successors work, in seconds from the first one; `None` takes the
    /// configured lifetime. No rotation moves that end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifetime: Option<u64>,
    /// How long a refresh token works without being used, in seconds; `None` lets it rest until its family's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token_idle_lifetime: Option<u64>,
    /// Which form its access tokens have.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access_token_format: TokenFormat,
    /// What its signed access tokens are signed with; `None` takes the server's usual algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_signing_alg: Option<Algorithm>,
    /// `introspection_signed_response_alg` (RFC 9701 section 6): set, its introspection answers are always signed, with
    /// this algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_signed_response_alg: Option<Algorithm>,
    /// `authorization_details_types` (RFC 9396 section 10): those it may ask for; empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types: Vec<Box<str>>,
    /// `jwks`: what its assertions are signed with, and what its own certificates hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<ClientKeys>,
    /// `token_endpoint_auth_signing_alg`: the one algorithm its assertions may use; `None` takes any of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<Algorithm>,
    /// Whether its assertions may also name the URL of one of our endpoints as their audience, as older libraries do.
    /// Whoever runs such an endpoint elsewhere could then use them here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assertion_audience_endpoints: bool,
    /// The one of `tls_client_auth_subject_dn` and its alternatives that it is registered with (RFC 8705 section
    /// 2.1.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth: Option<CertificateName>,
    /// `tls_client_certificate_bound_access_tokens` (RFC 8705 section 3.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// `dpop_bound_access_tokens` (RFC 9449 section 5.2): it gets tokens that are bound to a key, or none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dpop_bound_access_tokens: bool,
    /// Whether it may send its secret in the header and once more in the body, at introspection and revocation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated_credentials: bool,
    /// Approved or revoked.
    #[serde(default)]
    pub state: ClientState,
    /// `client_id_issued_at`.
    pub client_id_issued_at: UnixSeconds,
    /// Which copy of the record this is. Not stored.
    #[serde(skip)]
    pub serial: Serial,
}

/// Whether a member says what is meant without it, so that it need not be stored.
fn is_default<T: Default + PartialEq>(member: &T) -> bool {
    *member == T::default()
}

/// The audience that stands for every audience.
pub const EVERY_AUDIENCE: &str = "*";

impl Client {
    /// Whether it has no secret by registration (RFC 6749 section 2.1): it only names itself.
    pub fn is_public(&self) -> bool {
        self.authentication == Some(AuthenticationMethod::None)
    }

    /// Whether it may authenticate in this way.
    pub fn takes(&self, method: AuthenticationMethod) -> bool {
        self.authentication.map_or(method.has_secret(), |registered| registered == method)
    }

    /// Whether it authenticates with a secret.
    pub fn has_secret(&self) -> bool {
        self.authentication.is_none_or(AuthenticationMethod::has_secret)
    }

    /// Whether it may use this grant type.
    pub fn may_use(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// Whether it serves this audience.
    pub fn serves(&self, audience: &str) -> bool {
        self.audiences.iter().any(|served| &**served == audience || &**served == EVERY_AUDIENCE)
    }
}

/// Whether a client and its tokens are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientState {
    /// They are.
    #[default]
    Approved,
    /// None of them, until it is approved again.
    Revoked,
}

/// How a client proves who it is: the registered names of RFC 7591 section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationMethod {
    /// The secret in the `Authorization: Basic` header (RFC 6749 section 2.3.1).
    ClientSecretBasic,
    /// The secret in the request body.
    ClientSecretPost,
    /// An assertion that it has signed (RFC 7523 section 2.2).
    PrivateKeyJwt,
    /// A certificate of a trusted authority (RFC 8705 section 2.1).
    TlsClientAuth,
    /// A certificate that is registered itself (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth,
    /// Not at all: a public client.
    None,
}

impl AuthenticationMethod {
    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
            Self::None => "none",
        }
    }

    /// Whether it is a way of sending a secret.
    pub fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// What a client may ask the token endpoint for: the registered names of RFC 7591 section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// A token for itself (RFC 6749 section 4.4).
    ClientCredentials,
    /// New tokens for a refresh token (RFC 6749 section 6).
    RefreshToken,
}

/// Something a client may do beyond its own tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Call the introspection endpoint.
    Introspect,
    /// Revoke tokens of any client.
    Revoke,
    /// Issue tokens through the admin listener.
    Issue,
    /// Take over tokens that were issued elsewhere, through the admin listener.
    Import,
    /// Everything on the admin listener.
    Admin,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 5] = [Self::Introspect, Self::Revoke, Self::Issue, Self::Import, Self::Admin];

    /// The name in client records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Introspect => "introspect",
            Self::Revoke => "revoke",
            Self::Issue => "issue",
            Self::Import => "import",
            Self::Admin => "admin",
        }
    }

    /// The scope that a Bearer token must carry for its client's right to be used with it.
    ///
    /// Any resource server holds the tokens sent to it. Were the client's right alone enough, each of them could act as
    /// that client; so the client asks for a token with this scope, and sends that one to nobody but us.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Introspect => "introspectd:introspect",
            Self::Revoke => "introspectd:revoke",
            Self::Issue => "introspectd:issue",
            Self::Import => "introspectd:import",
            Self::Admin => "introspectd:admin",
        }
    }

    /// The right whose Bearer scope this is.
    pub fn of_scope(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.scope() == name)
    }
}

/// A set of rights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(Vec<Right>);

impl Rights {
    /// A set of these.
    pub fn of(rights: &[Right]) -> Self {
        Self(rights.to_vec())
    }

    /// Whether `right` is one of them. `admin` is not all of them: an operator who may not introspect says so.
    pub fn contains(&self, right: Right) -> bool {
        self.0.contains(&right)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

//! Authorization server metadata (RFC 8414), made once: what is true of this server, and nothing else.

use std::time::Duration;

use http::HeaderMap;
use serde_json::json;

use super::Answer;
use super::published::Published;
use crate::client::AuthenticationMethod;
use crate::config::{ClientCertificates, Config};
use crate::jose::algorithm::Algorithm;

/// The document, and where it is found.
#[derive(Debug)]
pub struct MetadataDocument {
    document: Published,
    path: String,
    places: [String; 2],
}

/// What can be done with certificates, which is a matter of configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateSupport {
    /// A listener asks for them, or a proxy is believed that does.
    pub presented: bool,
    /// There are authorities whose certificates are taken.
    pub authorities: bool,
}

impl CertificateSupport {
    /// What this configuration makes possible.
    pub fn of(config: &Config) -> Self {
        let asked = config.public.tls.as_ref().is_some_and(|tls| tls.client_certificates != ClientCertificates::None);
        Self {
            presented: asked || !config.authentication.certificate_proxies.is_empty(),
            authorities: config.authentication.client_ca_file.is_some(),
        }
    }

    fn methods(self) -> impl Iterator<Item = AuthenticationMethod> {
        [
            (AuthenticationMethod::TlsClientAuth, self.presented && self.authorities),
            (AuthenticationMethod::SelfSignedTlsClientAuth, self.presented),
        ]
        .into_iter()
        .filter_map(|(method, possible)| possible.then_some(method))
    }
}

/// The ways to authenticate that work at every endpoint.
const METHODS: [AuthenticationMethod; 3] = [
    AuthenticationMethod::ClientSecretBasic,
    AuthenticationMethod::ClientSecretPost,
    AuthenticationMethod::PrivateKeyJwt,
];

/// It changes with the configuration only.
const KEEP: Duration = Duration::from_hours(1);

impl MetadataDocument {
    /// The document for this issuer: an absolute URL without query and fragment.
    pub fn new(issuer: &str, certificates: CertificateSupport) -> Self {
        let base = issuer.trim_end_matches('/');
        let path = Self::path_of(issuer);
        let methods: Vec<&str> =
            METHODS.into_iter().chain(certificates.methods()).map(AuthenticationMethod::as_str).collect();
        let with = |other: &'static str| methods.iter().copied().chain([other]).collect::<Vec<_>>();
        let algorithms = Algorithm::NAMES_OF_OTHERS;
        let mut document = json!({
            "issuer": issuer,
            "token_endpoint": format!("{base}/token"),
            "introspection_endpoint": format!("{base}/introspect"),
            "revocation_endpoint": format!("{base}/revoke"),
            "jwks_uri": format!("{base}/jwks.json"),
            // Required, and without an authorization endpoint there is none: "none" is registered for that.
            "response_types_supported": ["none"],
            "grant_types_supported": ["client_credentials", "refresh_token"],
            // A client without authentication can do no more there than exchange a refresh token.
            "token_endpoint_auth_methods_supported": with("none"),
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint_auth_methods_supported": with("Bearer"),
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": with("none"),
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "dpop_signing_alg_values_supported": algorithms,
            // What can be registered for: these answers are signed by us, under our own names.
            "introspection_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        });
        // RFC 8705 section 3.3: left out, it means false.
        if certificates.presented {
            document["tls_client_certificate_bound_access_tokens"] = json!(true);
        }
        Self { document: Published::new(document.to_string()), path: path.to_owned(), places: Self::places_of(path) }
    }

    /// The path of an issuer; empty for most.
    pub(crate) fn path_of(issuer: &str) -> &str {
        let base = issuer.trim_end_matches('/');
        base.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("")
    }

    /// Where the document of an issuer with this path is found. Section 3.1 puts the path behind the well-known part;
    /// OpenID Connect puts it before.
    pub(crate) fn places_of(path: &str) -> [String; 2] {
        [format!("/.well-known/oauth-authorization-server{path}"), format!("{path}/.well-known/openid-configuration")]
    }

    /// The path of the issuer, which all endpoints of the document begin with; empty for most issuers.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the document is found at this path.
    pub fn is_at(&self, path: &str) -> bool {
        self.places.iter().any(|place| place == path)
    }

    /// The answer to a request for it: public, and to be kept for a while.
    pub fn answer(&self, headers: &HeaderMap) -> Answer {
        self.document.answer(headers, KEEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8414 section 3.1: the path of the issuer comes behind the well-known part.
    #[test]
    fn rfc8414_3_1_places() {
        let root = MetadataDocument::new("https://as.example", CertificateSupport::default());
        assert!(root.is_at("/.well-known/oauth-authorization-server"));
        assert!(root.is_at("/.well-known/openid-configuration"));
        let tenant = MetadataDocument::new("https://as.example/t1", CertificateSupport::default());
        assert!(tenant.is_at("/.well-known/oauth-authorization-server/t1"));
        assert!(tenant.is_at("/t1/.well-known/openid-configuration"));
        assert!(!tenant.is_at("/.well-known/oauth-authorization-server"));
    }
}

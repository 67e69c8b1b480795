//! Authorization server metadata (RFC 8414), made once: what is true of this server, and nothing else.

use std::time::Duration;

use http::HeaderMap;
use serde_json::json;

use super::Answer;
use super::published::Published;

/// The document, and where it is found.
#[derive(Debug)]
pub struct MetadataDocument {
    document: Published,
    path: String,
    places: [String; 2],
}

/// It changes with the configuration only.
const KEEP: Duration = Duration::from_secs(3600);

const SECRET_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

impl MetadataDocument {
    /// The document for this issuer: an absolute URL without query and fragment.
    pub fn new(issuer: &str) -> Self {
        let base = issuer.trim_end_matches('/');
        // Section 3.1 puts the issuer's path behind the well-known part; OpenID Connect puts it before.
        let path = base.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("");
        let document = json!({
            "issuer": issuer,
            "token_endpoint": format!("{base}/token"),
            "introspection_endpoint": format!("{base}/introspect"),
            "revocation_endpoint": format!("{base}/revoke"),
            "jwks_uri": format!("{base}/jwks.json"),
            // Required, and without an authorization endpoint there is none: "none" is registered for that.
            "response_types_supported": ["none"],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": SECRET_METHODS,
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "Bearer"],
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        });
        Self {
            document: Published::new(document.to_string()),
            path: path.to_owned(),
            places: [
                format!("/.well-known/oauth-authorization-server{path}"),
                format!("{path}/.well-known/openid-configuration"),
            ],
        }
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
        let root = MetadataDocument::new("https://as.example");
        assert!(root.is_at("/.well-known/oauth-authorization-server"));
        assert!(root.is_at("/.well-known/openid-configuration"));
        let tenant = MetadataDocument::new("https://as.example/t1");
        assert!(tenant.is_at("/.well-known/oauth-authorization-server/t1"));
        assert!(tenant.is_at("/t1/.well-known/openid-configuration"));
        assert!(!tenant.is_at("/.well-known/oauth-authorization-server"));
    }
}

//! RFC 6749: a test for each sentence that applies to us, named by its section, over a real server on either store.
//!
//! - [`parameters`] what all endpoints share: forms, errors, what must not be kept
//! - [`client`] how clients authenticate
//! - [`grant`] the token endpoint: `client_credentials`
//! - [`refresh`] the token endpoint: `refresh_token`; [`narrowing`] asking for less than was granted

mod client;
mod grant;
mod narrowing;
mod parameters;
mod refresh;

use serde_json::json;

use crate::support::node::{AUDIENCE, Node, Registered};

/// So many failures that nobody in a test has to wait.
pub(crate) const PATIENT: [(&str, &str); 2] =
    [("authentication.failures_per_client", "1000000"), ("authentication.failures_per_source", "1000000")];

/// The endpoints that take a form, and one that each takes well from [`everything`].
pub(crate) const ENDPOINTS: [(&str, &str); 6] = [
    ("/introspect", "token=unknown-token"),
    ("/oauth2/introspect", "token=unknown-token"),
    ("/revoke", "token=unknown-token"),
    ("/oauth2/revoke", "token=unknown-token"),
    ("/token", "grant_type=client_credentials"),
    ("/oauth2/token", "grant_type=client_credentials"),
];

/// A client that may call every endpoint.
async fn everything(node: &Node) -> Registered {
    node.client(json!({
        "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read write", "grant_types": ["client_credentials"]
    }))
    .await
}

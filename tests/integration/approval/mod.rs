//! Revoking tokens one by one and bringing them back, on the admin listener: our own rules, after those of Apigee.
//!
//! - [`cascade`] what goes with a token, and what comes back with it
//! - [`terminal`] what never comes back
//! - [`clients`] revoking and approving a client with all that it has
//! - [`requests`] who may ask, how tokens are named, and what is refused
//! - [`memory`] how long all of this is kept
//! - [`late`] approvals that Redis carries out later than anybody expects

mod cascade;
mod clients;
mod late;
mod memory;
mod requests;
mod terminal;

use serde_json::{Value, json};

use crate::support::life::Pair;
use crate::support::node::{Node, Registered};

/// A grant, and all the names of its tokens.
struct Named {
    pair: Pair,
    access_jti: Value,
    refresh_jti: Value,
    grant_id: Value,
}

impl Named {
    async fn issue(node: &Node, app: &Registered) -> Self {
        let issued = node.issue(app, json!({"refresh": true, "sub": "alice"})).await;
        let pair = Pair::of(&issued);
        let refresh_jti = node.api.introspect(app.pair(), &pair.refresh).await.json()["jti"].clone();
        let signed = pair.access.contains('.');
        assert_eq!(issued["jti"].as_str().map(str::len), Some(if signed { 88 } else { 22 }));
        assert_eq!(refresh_jti.as_str().map(str::len), Some(44));
        Self { access_jti: issued["jti"].clone(), refresh_jti, grant_id: issued["grant_id"].clone(), pair }
    }

    /// Every way to name the access token.
    fn access(&self) -> [Value; 2] {
        [json!({"token": self.pair.access}), json!({"jti": self.access_jti})]
    }

    /// Every way to name the refresh token.
    fn refresh(&self) -> [Value; 3] {
        [json!({"token": self.pair.refresh}), json!({"jti": self.refresh_jti}), json!({"grant_id": self.grant_id})]
    }

    /// Whether the access token and the refresh token are active.
    async fn alive(&self, node: &Node, app: &Registered) -> [bool; 2] {
        node.alive(app, [&self.pair.access, &self.pair.refresh]).await
    }
}

/// The same body with one more member.
fn with(body: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut body = body.clone();
    body[name] = value.into();
    body
}

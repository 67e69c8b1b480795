//! Signed access tokens, RFC 9068, and the keys behind them, over a real server.
//!
//! - [`issue`] what is in a token
//! - [`verify`] what is refused: every way in which a text can pretend to be one
//! - [`state`] that a signed token can be revoked, approved and outlived like any other
//! - [`keys`] publication, rotation and removal
//! - [`once`] that each signature is checked once
//! - [`nodes`] several nodes, restarts, digest keys that come and go, a store that is away
//! - [`forge`] tokens as an attacker would make them, with and without our keys

mod forge;
mod issue;
mod keys;
mod nodes;
mod once;
mod state;
mod verify;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::node::{Node, Registered};

/// The parts of a token that JSON is in.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

/// The `kid` of a token.
fn kid(token: &str) -> String {
    parts(token).0["kid"].as_str().unwrap().to_owned()
}

/// Issues a signed token, and gives its text.
async fn signed(node: &Node, owner: &Registered, mut members: Value) -> String {
    members["format"] = json!("jwt");
    node.issue(owner, members).await["access_token"].as_str().unwrap().to_owned()
}

/// The published keys.
async fn jwks(node: &Node) -> Vec<Value> {
    let answer = node.api.send(node.api.request("GET", &node.api.url("/jwks.json"))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["keys"].as_array().unwrap().clone()
}

/// The published key of this name.
async fn published(node: &Node, kid: &str) -> Option<Value> {
    jwks(node).await.into_iter().find(|key| key["kid"] == kid)
}

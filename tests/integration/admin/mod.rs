//! The admin listener: a test for each promise of its routes, over a real server on either store.
//!
//! - [`routes`] who may call what, and which listener has it
//! - [`clients`] client records; [`state`] what their end does to tokens
//! - [`tokens`] issuing; [`claims`] what may be said of a token; [`import`] many from elsewhere
//! - [`operations`] health, metrics, draining, and what is kept

mod claims;
mod clients;
mod import;
mod operations;
mod routes;
mod state;
mod tokens;

use serde_json::Value;

use crate::support::api::Answer;
use crate::support::node::{Node, OPERATOR};

/// Calls as the operator.
async fn operate(node: &Node, method: &str, path: &str, body: Option<Value>) -> Answer {
    node.api.admin(OPERATOR, method, path, body).await
}

/// Posts bytes that need not be JSON as the operator.
async fn post_bytes(node: &Node, path: &str, body: &[u8]) -> Answer {
    let request = node.api.request("POST", &node.api.admin_url(path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
    node.api.send(request.header("content-type", "application/json").body(body.to_vec())).await
}

/// Bodies that no JSON endpoint takes.
const HOSTILE: [&[u8]; 16] = [
    b"[]",
    b"null",
    b"true",
    b"\"text\"",
    b"{",
    b"{}{}",
    b"{} trailing",
    b"{\"a\":1,}",
    b"{'a':1}",
    b"{a:1}",
    b"\xef\xbb\xbf{}",
    b"{\"a\":\"\xff\"}",
    b"{\"a\":\"\\ud800\"}",
    b"{\"a\":NaN}",
    b"{\"a\":1e400}",
    b"{\"a\":\"tab\tin a text\"}",
];

/// Nested deeper than any reader should follow.
fn deep() -> Vec<u8> {
    format!("{{\"claims\":{{\"x\":{}1{}}}}}", "[".repeat(20_000), "]".repeat(20_000)).into_bytes()
}

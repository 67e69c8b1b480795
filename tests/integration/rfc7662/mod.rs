//! Introspection, RFC 7662: a test for each sentence, named by its section, over a real server on either store.

mod batch;
mod callers;
mod extensions;
mod request;
mod response;

use crate::support::api::Answer;
use crate::support::node::{Kind, Node};
use serde_json::{Value, json};

pub(super) const INACTIVE: &str = r#"{"active":false}"#;

pub(super) const BASIC: &str = r#"Basic realm="introspectd", charset="UTF-8""#;

pub(super) const INVALID_TOKEN: &str =
    r#"Bearer realm="introspectd", error="invalid_token", error_description="The access token is not active""#;

pub(super) const INSUFFICIENT_SCOPE: &str =
    r#"Bearer realm="introspectd", error="insufficient_scope", scope="introspectd:introspect""#;

pub(super) fn access(issued: &Value) -> &str {
    issued["access_token"].as_str().unwrap()
}

pub(super) fn expect_inactive(answer: &Answer) {
    assert_eq!((answer.status, &*answer.body), (200, INACTIVE));
}

pub(super) fn expect_invalid_client(answer: &Answer) {
    assert_eq!(answer.refusal(), (401, "invalid_client".to_owned()));
    assert!(answer.lines("www-authenticate").contains(&BASIC), "{answer:?}");
}

pub(super) fn expect_invalid_token(answer: &Answer) {
    assert_eq!(answer.refusal(), (401, "invalid_token".to_owned()));
    assert_eq!(answer.header("www-authenticate"), Some(INVALID_TOKEN));
}

/// A token that is well made, and known to a node with the same keys over another store.
pub(super) async fn unknown_token() -> String {
    let other = Node::start(Kind::Embedded).await;
    other.token(&other.application().await).await
}

/// A token of another issuer, which has other keys.
pub(super) async fn foreign_token() -> String {
    let keys = json!([{"id": "t1", "secret": "another key of the same id, 32 bytes long"}]).to_string();
    let other = Node::start_with(Kind::Embedded, &[("keys.digest", &keys)]).await;
    other.token(&other.application().await).await
}

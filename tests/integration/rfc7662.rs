//! Introspection, RFC 7662: a test for each sentence, named by its section, over a real server on either store.

use std::time::Duration;

use serde_json::json;

use crate::support::node::{Kind, Node};

over_both_stores! {
    section_2_2_an_active_token_is_described
    section_2_2_an_expired_token_is_inactive
}

async fn section_2_2_an_active_token_is_described(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let issued = node.issue(&app, json!({"sub": "alice", "expires_in": 60})).await;
    let answer = node.api.introspect(server.pair(), issued["access_token"].as_str().unwrap()).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let described = answer.json();
    assert_eq!(described["active"], json!(true));
    assert_eq!(described["jti"], issued["jti"]);
    assert_eq!(described["exp"].as_u64().unwrap() - described["iat"].as_u64().unwrap(), 60);
}

async fn section_2_2_an_expired_token_is_inactive(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let issued = node.issue(&app, json!({"expires_in": 2})).await;
    let token = issued["access_token"].as_str().unwrap();
    assert!(node.api.is_active(server.pair(), token).await);
    node.pass(Duration::from_secs(2)).await;
    assert!(!node.api.is_active(server.pair(), token).await);
}

//! That a signature is checked once, and not trusted for longer than its key.

use std::time::Duration;

use serde_json::{Value, json};

use super::forge::Stolen;
use super::{kid, parts, signed};
use crate::support::node::{Kind, Node};

over_both_stores! {
    a_signature_is_checked_once_however_often_it_is_asked_about
    a_signature_that_does_not_hold_is_not_remembered
    what_a_removed_key_signed_is_not_remembered
    what_a_dropped_key_signed_is_not_remembered
}

async fn checks(node: &Node) -> u64 {
    let counted = node.counter("introspect_signature_checks_total").await;
    assert_eq!(counted, node.service.verified.signature_checks());
    counted
}

async fn inactive(node: &Node, reason: &str) -> u64 {
    node.counter(&format!("introspect_inactive_total{{reason=\"{reason}\"}}")).await
}

async fn a_signature_is_checked_once_however_often_it_is_asked_about(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let tokens = [signed(&node, &app, json!({})).await, signed(&node, &app, json!({})).await];
    assert_eq!(checks(&node).await, 0, "nobody checks what we sign");
    for (number, token) in (1..).zip(&tokens) {
        for _ in 0..10 {
            for caller in [&app, &server] {
                assert!(node.api.is_active(caller.pair(), token).await);
            }
        }
        assert_eq!(checks(&node).await, number);
    }
    assert_eq!(node.api.revoke(app.pair(), &tokens[0]).await.status, 200);
    for _ in 0..10 {
        assert!(!node.api.is_active(server.pair(), &tokens[0]).await);
    }
    assert_eq!(checks(&node).await, 2, "nor for revoking it, nor for finding it revoked");
}

async fn a_signature_that_does_not_hold_is_not_remembered(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({})).await;
    let (_, claims) = parts(&token);
    let key = Stolen::from(&node, &kid(&token)).await;
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid(&token)}).to_string();
    let altered = |members: Value| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        claims.to_string()
    };
    // The signature of other claims, under a `jti` of ours.
    let signature = key.sign(&header, &altered(json!({"scope": "read"})));
    let forged = key.sign(&header, &altered(json!({"scope": "admin"})));
    let forged = format!("{}.{}", forged.rsplit_once('.').unwrap().0, signature.rsplit_once('.').unwrap().1);
    for number in 1..4 {
        assert!(!node.api.is_active(app.pair(), &forged).await);
        assert_eq!(checks(&node).await, number);
    }
    // Without one, nothing is worth a check.
    let guessed = key.sign(&header, &altered(json!({"jti": "A".repeat(51)})));
    assert!(!node.api.is_active(app.pair(), &guessed).await);
    assert_eq!(checks(&node).await, 3);
}

async fn what_a_removed_key_signed_is_not_remembered(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({})).await;
    assert!(node.api.is_active(app.pair(), &token).await);
    node.operate("DELETE", &format!("/admin/keys/{}", kid(&token)), None).await;
    for number in 1..4 {
        assert!(!node.api.is_active(app.pair(), &token).await);
        assert_eq!([inactive(&node, "unknown").await, inactive(&node, "parent_revoked").await], [number, 0]);
    }
    assert_eq!(checks(&node).await, 1, "and there is nothing to check it with");
}

async fn what_a_dropped_key_signed_is_not_remembered(kind: Kind) {
    let settings = [("signing.publish_ahead", "0s"), ("tokens.max_lifetime", "2h"), ("tokens.refresh_lifetime", "2h")];
    let node = Node::start_still(kind, &settings).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({"expires_in": 7200})).await;
    assert!(node.api.is_active(app.pair(), &token).await);
    node.operate("POST", "/admin/keys/rotate", Some(json!({}))).await;
    node.pass(Duration::from_hours(2)).await;
    assert!(!node.api.is_active(app.pair(), &token).await);
    assert_eq!([inactive(&node, "expired").await, inactive(&node, "unknown").await], [1, 0], "it is remembered");
    node.pass(Duration::from_mins(10)).await;
    assert!(!node.api.is_active(app.pair(), &token).await);
    assert_eq!([inactive(&node, "expired").await, inactive(&node, "unknown").await], [1, 1]);
    assert_eq!(checks(&node).await, 1);
}

//! What the end of a client, or of its secret, does.

use serde_json::{Value, json};

use super::operate;
use crate::support::node::{AUDIENCE, Kind, Node, Registered};

over_both_stores! {
    a_client_deleted_and_created_again_has_none_of_its_tokens
    a_new_secret_leaves_two_live_at_most
    a_revoked_client_has_no_active_token_until_it_is_approved
    secrets_are_rotated_only_where_there_are_any
}

async fn act(node: &Node, client: &Registered, action: &str) -> Value {
    let answer = operate(node, "POST", &format!("/admin/clients/{}/{action}", client.id), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

async fn a_revoked_client_has_no_active_token_until_it_is_approved(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, other, server) = (node.application().await, node.application().await, node.resource_server().await);
    let (kept, ended, others) = (node.token(&app).await, node.token(&app).await, node.token(&other).await);
    assert_eq!(node.api.revoke(app.pair(), &ended).await.status, 200);
    assert!(node.api.is_active(server.pair(), &kept).await);

    assert_eq!(act(&node, &app, "revoke").await, json!({"changed": true}));
    assert_eq!(act(&node, &app, "revoke").await, json!({"changed": false}));
    assert!(!node.api.is_active(server.pair(), &kept).await);
    assert!(node.api.is_active(server.pair(), &others).await, "another client's tokens live on");
    assert_eq!(node.api.introspect(app.pair(), &kept).await.refusal(), (401, "invalid_client".into()));
    let grant = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await;
    assert_eq!(grant.refusal(), (401, "invalid_client".into()), "it gets no new ones");
    let issue = operate(&node, "POST", "/admin/tokens", Some(json!({"client_id": app.id}))).await;
    assert_eq!(issue.refusal(), (400, "unauthorized_client".into()), "and nobody gets any for it");

    assert_eq!(act(&node, &app, "approve").await, json!({"changed": true}));
    assert_eq!(act(&node, &app, "approve").await, json!({"changed": false}));
    assert!(node.api.is_active(server.pair(), &kept).await);
    assert!(!node.api.is_active(server.pair(), &ended).await, "what was revoked by itself stays revoked");
}

async fn a_client_deleted_and_created_again_has_none_of_its_tokens(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let metadata =
        json!({"client_id": "phoenix", "rights": ["introspect"], "scope": "read write", "audiences": [AUDIENCE]});
    let first = node.client(metadata.clone()).await;
    let token = node.token(&first).await;
    assert!(node.api.is_active(server.pair(), &token).await);
    assert_eq!(operate(&node, "DELETE", "/admin/clients/phoenix", None).await.status, 204);
    assert!(!node.api.is_active(server.pair(), &token).await);
    assert_eq!(node.api.introspect(first.pair(), &token).await.status, 401);
    let second = node.client(metadata).await;
    assert!(!node.api.is_active(server.pair(), &token).await, "it was another client's");
    assert!(!node.api.is_active(second.pair(), &token).await);
    assert_eq!(node.api.introspect(first.pair(), &token).await.status, 401, "nor does the old secret come back");
    let fresh = node.token(&second).await;
    assert!(node.api.is_active(server.pair(), &fresh).await);
}

async fn a_new_secret_leaves_two_live_at_most(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.resource_server().await;
    let accepts = async |secret: &Value| {
        let answer = node.api.introspect((&client.id, secret.as_str().unwrap()), "unknown-token").await;
        answer.status == 200
    };
    let second = act(&node, &client, "rotate-secret").await;
    let third = act(&node, &client, "rotate-secret").await;
    assert_eq!(third["client_secret_expires_at"], json!(0));
    assert_eq!(third["secrets"].as_array().unwrap().len(), 2);
    assert_eq!(third["secrets"][0]["expires_at"], json!(0), "the newest first");
    assert!(third["secrets"][1]["expires_at"].as_u64().unwrap() > node.now());
    assert!(accepts(&third["client_secret"]).await && accepts(&second["client_secret"]).await);
    assert!(!accepts(&json!(client.secret)).await, "the one before the last has ended");
    let shown = operate(&node, "GET", &format!("/admin/clients/{}", client.id), None).await;
    assert_eq!(shown.json()["secrets"], third["secrets"]);
    for secret in [&second["client_secret"], &third["client_secret"]] {
        assert!(!shown.body.contains(secret.as_str().unwrap()));
    }
}

async fn secrets_are_rotated_only_where_there_are_any(kind: Kind) {
    let node = Node::start(kind).await;
    let public = node.client(json!({"token_endpoint_auth_method": "none"})).await;
    let answer = operate(&node, "POST", &format!("/admin/clients/{}/rotate-secret", public.id), None).await;
    assert_eq!(answer.refusal(), (400, "invalid_client_metadata".into()));
    let client = node.application().await;
    let path = format!("/admin/clients/{}/rotate-secret", client.id);
    for bad in [
        json!({"overlap_seconds": -1}),
        json!({"overlap_seconds": "60"}),
        json!({"overlap_seconds": 1.5}),
        json!({"overlap": 60}),
        json!([]),
    ] {
        let answer = operate(&node, "POST", &path, Some(bad.clone())).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{bad}");
    }
    assert_eq!(node.api.introspect(client.pair(), "unknown-token").await.status, 200, "nothing was rotated");
    let endless = operate(&node, "POST", &path, Some(json!({"overlap_seconds": u64::MAX}))).await;
    assert_eq!(endless.status, 200);
    assert_eq!(node.api.introspect(client.pair(), "unknown-token").await.status, 200, "the sum does not wrap");
}

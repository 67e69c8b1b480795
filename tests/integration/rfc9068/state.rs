//! That a signed token can be revoked, approved and outlived like any other, although it has no record.

use serde_json::{Value, json};

use super::{parts, signed};
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};

over_both_stores! {
    rfc7009_2_1_a_client_revokes_its_own_signed_token
    rfc7009_2_1_revoking_the_refresh_token_ends_the_signed_access_tokens
    a_signed_token_is_revoked_and_approved_by_each_of_its_names
    what_was_revoked_for_good_stays_so
    a_revoked_client_ends_its_signed_tokens_and_an_approved_one_brings_them_back
    a_deleted_client_does_not_leave_signed_tokens_behind
    many_are_revoked_at_once
    a_token_is_revoked_however_often_it_was_verified_before
    a_signed_token_is_a_bearer_token_like_any_other
}

async fn scene(kind: Kind) -> (Node, Registered, Registered) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    (node, app, server)
}

async fn rfc7009_2_1_a_client_revokes_its_own_signed_token(kind: Kind) {
    let (node, app, server) = scene(kind).await;
    let (token, other) = (signed(&node, &app, json!({})).await, signed(&node, &app, json!({})).await);
    assert!(node.api.is_active(server.pair(), &token).await);
    let stranger = node.application().await;
    assert_eq!(node.api.revoke(stranger.pair(), &token).await.refusal(), (400, "invalid_grant".into()));
    assert!(node.api.is_active(server.pair(), &token).await, "another client's");
    for _ in 0..2 {
        assert_eq!(node.api.revoke(app.pair(), &token).await.status, 200);
        assert!(!node.api.is_active(server.pair(), &token).await);
    }
    assert!(node.api.is_active(server.pair(), &other).await);
}

async fn rfc7009_2_1_revoking_the_refresh_token_ends_the_signed_access_tokens(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node
        .client(json!({"grant_types": ["refresh_token"], "audiences": [AUDIENCE], "scope": "read write", "rights": ["introspect"]}))
        .await;
    let issued = node.issue(&app, json!({"format": "jwt", "refresh": true, "sub": "u"})).await;
    let (first, refresh) = (issued["access_token"].as_str().unwrap(), issued["refresh_token"].as_str().unwrap());
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let refreshed = node.api.post("/token", app.pair(), &form).await.json();
    let (second, next) = (refreshed["access_token"].as_str().unwrap(), refreshed["refresh_token"].as_str().unwrap());
    for token in [first, second] {
        assert!(node.api.is_active(app.pair(), token).await);
    }
    assert_eq!(node.api.revoke(app.pair(), next).await.status, 200);
    for token in [first, second, next] {
        assert!(!node.api.is_active(app.pair(), token).await);
    }
    assert_eq!(
        node.api.post("/token", app.pair(), &[("grant_type", "refresh_token"), ("refresh_token", next)]).await.status,
        400
    );
}

async fn a_signed_token_is_revoked_and_approved_by_each_of_its_names(kind: Kind) {
    let (node, app, server) = scene(kind).await;
    for grant in [json!({}), json!({"refresh": true, "sub": "u"})] {
        let mut members = grant.clone();
        members["format"] = json!("jwt");
        let issued = node.issue(&app, members).await;
        let token = issued["access_token"].as_str().unwrap();
        let (_, before) = parts(token);
        for name in [json!({"token": token}), json!({"jti": issued["jti"]}), json!({"grant_id": issued["grant_id"]})] {
            assert!(node.api.is_active(server.pair(), token).await, "{name}");
            for changed in [true, false] {
                let answer = node.operate("POST", "/admin/tokens/revoke", Some(name.clone())).await;
                assert_eq!(answer, json!({ "changed": changed }), "revoking by {name}");
                assert!(!node.api.is_active(server.pair(), token).await);
            }
            for changed in [true, false] {
                let answer = node.operate("POST", "/admin/tokens/approve", Some(name.clone())).await;
                assert_eq!(answer, json!({ "changed": changed }), "approving by {name}");
                let described = node.api.introspect(server.pair(), token).await.json();
                for claim in ["exp", "iat", "jti", "scope"] {
                    assert_eq!(described[claim], before[claim], "{claim} after approving by {name}");
                }
            }
        }
    }
    for name in ["A".repeat(51), "x".to_owned()] {
        let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens/revoke", Some(json!({ "jti": name }))).await;
        assert_eq!(answer.status, 404);
    }
}

async fn what_was_revoked_for_good_stays_so(kind: Kind) {
    let (node, app, server) = scene(kind).await;
    let issued = node.issue(&app, json!({"format": "jwt", "sub": "user-9"})).await;
    let token = issued["access_token"].as_str().unwrap();
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "user-9"}))).await;
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens/approve", Some(json!({ "token": token }))).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    node.api.admin(OPERATOR, "POST", "/admin/tokens/approve", Some(json!({"jti": issued["jti"]}))).await;
    assert!(!node.api.is_active(server.pair(), token).await);
}

async fn a_revoked_client_ends_its_signed_tokens_and_an_approved_one_brings_them_back(kind: Kind) {
    let (node, app, server) = scene(kind).await;
    let token = signed(&node, &app, json!({})).await;
    assert!(node.api.is_active(server.pair(), &token).await);
    node.operate("POST", &format!("/admin/clients/{}/revoke", app.id), None).await;
    assert!(!node.api.is_active(server.pair(), &token).await);
    node.operate("POST", &format!("/admin/clients/{}/approve", app.id), None).await;
    assert!(node.api.is_active(server.pair(), &token).await);
}

async fn a_deleted_client_does_not_leave_signed_tokens_behind(kind: Kind) {
    let (node, app, server) = scene(kind).await;
    let token = signed(&node, &app, json!({})).await;
    assert!(node.api.is_active(server.pair(), &token).await);
    node.operate("DELETE", &format!("/admin/clients/{}", app.id), None).await;
    assert!(!node.api.is_active(server.pair(), &token).await);
    node.client(json!({"client_id": app.id, "audiences": [AUDIENCE]})).await;
    assert!(!node.api.is_active(server.pair(), &token).await, "another client of the same id");
}

async fn many_are_revoked_at_once(kind: Kind) {
    let (node, app, server) = scene(kind).await;
    let issue = async |sub: &str| signed(&node, &app, json!({ "sub": sub })).await;
    for (body, reached, not_reached) in [
        (json!({"sub": "alice"}), "alice", Some("bob")),
        (json!({"client_id": app.id, "sub": "carol"}), "carol", Some("dave")),
        (json!({"client_id": app.id}), "erin", None),
    ] {
        let token = issue(reached).await;
        let spared = match not_reached {
            Some(sub) => Some(issue(sub).await),
            None => None,
        };
        assert!(node.api.is_active(server.pair(), &token).await);
        node.operate("POST", "/admin/revocations", Some(body.clone())).await;
        assert!(!node.api.is_active(server.pair(), &token).await, "{body}");
        if let Some(spared) = spared {
            assert!(node.api.is_active(server.pair(), &spared).await, "{body}");
        }
        let later = issue(reached).await;
        assert!(node.api.is_active(server.pair(), &later).await, "issued after {body}");
    }
}

async fn a_token_is_revoked_however_often_it_was_verified_before(kind: Kind) {
    let (node, app, server) = scene(kind).await;
    let token = signed(&node, &app, json!({})).await;
    for _ in 0..20 {
        assert!(node.api.is_active(server.pair(), &token).await);
        assert_eq!(node.api.revoke(app.pair(), &token).await.status, 200);
        assert!(!node.api.is_active(server.pair(), &token).await);
        node.operate("POST", "/admin/tokens/approve", Some(json!({ "token": token }))).await;
    }
}

async fn a_signed_token_is_a_bearer_token_like_any_other(kind: Kind) {
    let (node, app, _) = scene(kind).await;
    let token = signed(&node, &app, json!({"scope": "introspectd:introspect"})).await;
    let asked = node.token(&app).await;
    let ask = async || {
        let request = node.api.request("POST", &node.api.url("/introspect")).bearer_auth(&token);
        node.api.send(request.form(&[("token", &asked)])).await
    };
    assert_eq!(ask().await.json()["active"], Value::Bool(true));
    assert_eq!(node.api.revoke(app.pair(), &token).await.status, 200);
    assert_eq!(ask().await.refusal(), (401, "invalid_token".into()));
}

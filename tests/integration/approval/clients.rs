//! Revoking and approving a client with all that it has (rule 9).

use introspectd::client::ClientId;
use introspectd::store::ClientWrite;
use introspectd::token::grant::TokenFormat;
use serde_json::{Value, json};

use super::Named;
use crate::support::life::expect_invalid_grant;
use crate::support::node::{AUDIENCE, Kind, Node, Registered};

over_both_stores_and_forms! {
    rule_9_a_client_is_revoked_with_everything_it_has
    rule_9_a_client_is_revoked_and_approved_once
    rule_9_an_approval_that_is_late_meets_another_client_than_it_has_read
    rule_9_what_was_revoked_by_itself_is_not_approved_with_its_client
}

async fn act(node: &Node, client: &Registered, action: &str) -> Value {
    node.operate("POST", &format!("/admin/clients/{}/{action}", client.id), None).await
}

async fn rule_9_a_client_is_revoked_with_everything_it_has(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let (app, other, server) =
        (node.refresher_of(form).await, node.refresher_of(form).await, node.resource_server().await);
    let (named, others) = (Named::issue(&node, &app).await, Named::issue(&node, &other).await);
    let bearer = node.bearer(&app, "introspectd:introspect").await;
    let own = [("grant_type", "client_credentials")];
    let own = node.api.post("/token", app.pair(), &own).await.json()["access_token"].as_str().unwrap().to_owned();
    assert!(node.api.is_active(server.pair(), &own).await);
    let before = node.api.introspect(server.pair(), &named.pair.access).await.body;
    for _ in 0..2 {
        act(&node, &app, "revoke").await;
        for token in [&own, &named.pair.access] {
            assert!(!node.api.is_active(server.pair(), token).await);
        }
        // Nor can it ask, with its secret or a token of its own; nor get new tokens, nor does anybody get any for it.
        assert_eq!(node.api.introspect(app.pair(), &own).await.refusal(), (401, "invalid_client".into()));
        assert_eq!(node.api.revoke(app.pair(), &own).await.refusal(), (401, "invalid_client".into()));
        let by_bearer = node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", "x")]).await;
        assert_eq!(by_bearer.refusal(), (401, "invalid_token".into()));
        assert_eq!(node.refresh(&app, &named.pair.refresh).await.refusal(), (401, "invalid_client".into()));
        let answer = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()));
        let body = json!({"client_id": app.id, "aud": AUDIENCE, "refresh": true});
        let answer = node.ask_operator("/admin/tokens", body).await;
        assert_eq!(answer.refusal(), (400, "unauthorized_client".into()));
        assert_eq!(others.alive(&node, &other).await, [true, true], "another client's tokens live on");
        act(&node, &app, "approve").await;
        assert_eq!(node.api.introspect(server.pair(), &named.pair.access).await.body, before);
        assert_eq!(node.alive(&app, [&own, &named.pair.refresh]).await, [true, true]);
        let by_bearer = node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", "x")]).await;
        assert_eq!(by_bearer.status, 200);
    }
    node.rotate(&app, &named.pair.refresh).await;
}

async fn rule_9_a_client_is_revoked_and_approved_once(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for (action, changed) in
        [("approve", false), ("revoke", true), ("revoke", false), ("approve", true), ("approve", false)]
    {
        assert_eq!(act(&node, &app, action).await, json!({"changed": changed}), "{action}");
    }
    for (id, status) in [("nobody", 404), ("operator", 409)] {
        for action in ["revoke", "approve"] {
            let answer = node.ask_operator(&format!("/admin/clients/{id}/{action}"), json!({})).await;
            assert_eq!(answer.status, status, "{id}: {}", answer.body);
        }
    }
}

/// Also a revocation that finds the client revoked is written, so that an approval on its way from before cannot undo
/// it.
async fn rule_9_an_approval_that_is_late_meets_another_client_than_it_has_read(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let (app, store) = (node.refresher_of(form).await, &node.service.store);
    let id = ClientId::parse(&app.id).unwrap();
    let approved = store.client(&app.id).await.unwrap().unwrap();
    act(&node, &app, "revoke").await;
    let mut seen = store.client(&app.id).await.unwrap().unwrap();
    for actions in [&["revoke"][..], &["approve", "revoke"]] {
        for action in actions {
            act(&node, &app, action).await;
        }
        let late = store.replace_client(&id, seen.version, seen.created, approved.body.clone()).await.unwrap();
        assert_eq!(late, ClientWrite::Conflict);
        let kept = store.client(&app.id).await.unwrap().unwrap();
        assert_eq!(kept.body, seen.body, "it is revoked as before");
        seen = kept;
    }
}

async fn rule_9_what_was_revoked_by_itself_is_not_approved_with_its_client(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(Named::issue(&node, &app).await);
    }
    let [kept, revoked, while_revoked, reused] = &all[..] else { unreachable!("four were issued") };
    assert!(node.decide("revoke", revoked.refresh()[2].clone()).await);
    let next = node.rotate(&app, &reused.pair.refresh).await;
    expect_invalid_grant(&node.refresh(&app, &reused.pair.refresh).await);
    act(&node, &app, "revoke").await;
    assert!(node.decide("revoke", while_revoked.access()[0].clone()).await);
    act(&node, &app, "approve").await;
    assert_eq!(kept.alive(&node, &app).await, [true, true]);
    for ended in [revoked, while_revoked, reused] {
        assert_eq!(ended.alive(&node, &app).await, [false, false]);
    }
    assert_eq!(node.alive(&app, [&next.access, &next.refresh]).await, [false, false]);
    // After the client was approved, and its tokens were revoked in bulk, those from before do not come back with it.
    node.operate("POST", "/admin/revocations", Some(json!({"client_id": app.id}))).await;
    act(&node, &app, "revoke").await;
    act(&node, &app, "approve").await;
    assert_eq!(kept.alive(&node, &app).await, [false, false]);
}

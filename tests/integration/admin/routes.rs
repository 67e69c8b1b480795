//! Who may call what, and which listener has it.

use serde_json::{Value, json};

use super::post_bytes;
use crate::support::api::Answer;
use crate::support::node::{Kind, Node, OPERATOR};

over_both_stores! {
    a_bearer_token_needs_the_scope_of_the_right
    each_listener_has_its_own_routes
    no_route_answers_a_caller_without_the_right
    no_route_answers_without_credentials
    the_right_to_issue_is_for_tokens_only
}

/// Every route that needs a right, with a body that an operator could send.
fn routes(id: &str) -> Vec<(&'static str, String, Option<Value>)> {
    vec![
        ("POST", "/admin/tokens".into(), Some(json!({"client_id": id}))),
        ("GET", "/admin/clients".into(), None),
        ("POST", "/admin/clients".into(), Some(json!({}))),
        ("GET", format!("/admin/clients/{id}"), None),
        ("PATCH", format!("/admin/clients/{id}"), Some(json!({"client_name": "changed"}))),
        ("PUT", format!("/admin/clients/{id}"), Some(json!({"client_name": "changed"}))),
        ("POST", format!("/admin/clients/{id}/rotate-secret"), None),
        ("POST", format!("/admin/clients/{id}/revoke"), None),
        ("POST", format!("/admin/clients/{id}/approve"), None),
        ("DELETE", format!("/admin/clients/{id}"), None),
    ]
}

async fn by_bearer(node: &Node, token: &str, route: &(&'static str, String, Option<Value>)) -> Answer {
    let (method, path, body) = route;
    let mut request = node.api.request(method, &node.api.admin_url(path)).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    node.api.send(request).await
}

async fn no_route_answers_without_credentials(kind: Kind) {
    let node = Node::start(kind).await;
    let target = node.application().await;
    for id in [target.id.as_str(), "unknown-client"] {
        for (method, path, body) in routes(id) {
            // Neither a query nor a body is a place for credentials here.
            let query = format!("client_id={}&client_secret={}", OPERATOR.0, OPERATOR.1);
            let mut body = body.unwrap_or_else(|| json!({}));
            body["client_secret"] = json!(OPERATOR.1);
            let request = node.api.request(method, &node.api.admin_url(&format!("{path}?{query}")));
            let answer = node.api.send(request.header("content-type", "application/json").body(body.to_string())).await;
            assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{method} {path}");
            let answer = node.api.send(node.api.request(method, &node.api.admin_url(&path))).await;
            assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{method} {path}");
        }
    }
    let request = node.api.request("POST", &node.api.admin_url("/admin/tokens"));
    let answer = node.api.send(request.header("content-type", "application/json").body("{ not JSON")).await;
    assert_eq!(answer.refusal(), (401, "invalid_client".into()), "who calls is asked before what was sent is read");
    assert_eq!(node.api.admin((OPERATOR.0, "wrong"), "GET", "/admin/clients", None).await.status, 401);
    assert!(node.api.introspect(target.pair(), "unknown-token").await.status == 200, "it is as it was");
}

async fn no_route_answers_a_caller_without_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let target = node.application().await;
    let caller = node.client(json!({"rights": ["introspect", "revoke"]})).await;
    for id in [target.id.as_str(), "unknown-client", OPERATOR.0] {
        for (method, path, body) in routes(id) {
            let answer = node.api.admin(caller.pair(), method, &path, body).await;
            assert_eq!(answer.refusal(), (403, "unauthorized_client".into()), "{method} {path}");
        }
    }
    let listed = node.api.admin(OPERATOR, "GET", &format!("/admin/clients/{}", target.id), None).await.json();
    assert_eq!((listed.get("client_name"), &listed["state"]), (None, &json!("approved")), "nothing has happened to it");
}

async fn the_right_to_issue_is_for_tokens_only(kind: Kind) {
    let node = Node::start(kind).await;
    let target = node.application().await;
    let issuer = node.client(json!({"rights": ["issue"]})).await;
    for (method, path, body) in routes(&target.id) {
        let answer = node.api.admin(issuer.pair(), method, &path, body).await;
        let expected = if path == "/admin/tokens" { 201 } else { 403 };
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.body);
    }
    for (method, path, body) in routes(&target.id) {
        let answer = node.api.admin(OPERATOR, method, &path, body).await;
        assert!((200..300).contains(&answer.status), "an operator may: {method} {path}: {}", answer.body);
    }
}

async fn a_bearer_token_needs_the_scope_of_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let target = node.application().await;
    let operator = node
        .client(json!({"rights": ["admin", "issue"], "scope": "read", "grant_types": ["client_credentials"]}))
        .await;
    let token = async |scope: &str| {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        node.api.post("/token", operator.pair(), &form).await.json()["access_token"].as_str().unwrap().to_owned()
    };
    let (plain, issue, admin) =
        (token("read").await, token("introspectd:issue").await, token("introspectd:admin").await);
    for route in routes(&target.id) {
        let answer = by_bearer(&node, &plain, &route).await;
        assert_eq!(answer.refusal(), (403, "insufficient_scope".into()), "{route:?}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
        let expected = if route.1 == "/admin/tokens" { 201 } else { 403 };
        assert_eq!(by_bearer(&node, &issue, &route).await.status, expected, "{route:?}");
        assert_eq!(by_bearer(&node, "unknown-token", &route).await.refusal(), (401, "invalid_token".into()));
    }
    for route in routes(&target.id) {
        let status = by_bearer(&node, &admin, &route).await.status;
        assert!((200..300).contains(&status), "{route:?}");
    }
    assert!(node.api.revoke(OPERATOR, &admin).await.status == 200);
    assert_eq!(by_bearer(&node, &admin, &routes(&target.id)[1]).await.refusal(), (401, "invalid_token".into()));
}

async fn each_listener_has_its_own_routes(kind: Kind) {
    let node = Node::start(kind).await;
    let target = node.application().await;
    for (method, path, body) in routes(&target.id) {
        let request = node.api.request(method, &node.api.url(&path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
        let request = request.header("content-type", "application/json");
        let answer = node.api.send(request.body(body.unwrap_or_default().to_string())).await;
        assert_eq!(answer.refusal(), (404, "not_found".into()), "{method} {path} on the public listener");
    }
    let metrics = node.api.send(node.api.request("GET", &node.api.url("/metrics"))).await;
    assert_eq!(metrics.refusal(), (404, "not_found".into()));
    for path in ["/introspect", "/oauth2/introspect", "/revoke", "/token", "/.well-known/oauth-authorization-server"] {
        for method in ["GET", "POST"] {
            let request = node.api.request(method, &node.api.admin_url(path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
            let answer = node.api.send(request.form(&[("token", "x")])).await;
            assert_eq!(answer.refusal(), (404, "not_found".into()), "{method} {path} on the admin listener");
        }
    }
    assert_eq!(post_bytes(&node, "/admin/clients", b"{}").await.status, 201);
}

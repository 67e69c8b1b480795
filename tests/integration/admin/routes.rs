//! Who may call what, and which listener has it.

use serde_json::{Value, json};

use super::post_bytes;
use crate::support::api::Answer;
use crate::support::node::{Kind, Node, OPERATOR, Registered};

over_both_stores! {
    a_bearer_token_needs_the_scope_of_the_right
    each_listener_has_its_own_routes
    no_route_answers_a_caller_without_the_right
    no_route_answers_without_credentials
    the_rights_to_issue_and_to_revoke_are_for_tokens_only
}

/// What the routes act on.
struct Target {
    id: String,
    jti: String,
    kid: String,
}

impl Target {
    /// A client with a token, and a signing key.
    async fn of(node: &Node) -> (Registered, Self) {
        let client = node.application().await;
        let jti = node.issue(&client, json!({})).await["jti"].as_str().unwrap().to_owned();
        let keys = node.operate("POST", "/admin/keys/rotate", Some(json!({"algorithm": "ES256"}))).await;
        let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
        let target = Self { id: client.id.clone(), jti, kid };
        (client, target)
    }

    /// Things that are not there.
    fn unknown() -> Self {
        Self { id: "unknown-client".into(), jti: "A".repeat(22), kid: "A".repeat(43) }
    }

    /// Every route that needs a right, with a body that an operator could send.
    fn routes(&self) -> Vec<Route> {
        let Self { id, jti, kid } = self;
        vec![
            ("POST", ISSUE.into(), Some(json!({"client_id": id}))),
            ("POST", "/admin/tokens/import".into(), Some(json!({"tokens": []}))),
            ("POST", REVOKE.into(), Some(json!({"jti": jti}))),
            ("POST", "/admin/tokens/approve".into(), Some(json!({"jti": jti}))),
            ("POST", "/admin/revocations".into(), Some(json!({"client_id": id, "before": 1}))),
            ("GET", "/admin/keys".into(), None),
            ("POST", "/admin/keys/rotate".into(), Some(json!({"algorithm": "ES256"}))),
            ("POST", format!("/admin/keys/{kid}/retire"), None),
            ("DELETE", format!("/admin/keys/{kid}"), None),
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

    /// It is as it was.
    async fn expect_untouched(&self, node: &Node) {
        let client = node.operate("GET", &format!("/admin/clients/{}", self.id), None).await;
        assert_eq!((client.get("client_name"), &client["state"]), (None, &json!("approved")));
        let keys = node.operate("GET", "/admin/keys", None).await;
        let keys = keys["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == self.kid.as_str()).unwrap();
        assert_ne!(key["state"], "retired");
        let approved = node.operate("POST", "/admin/tokens/approve", Some(json!({"jti": self.jti}))).await;
        assert_eq!(approved, json!({"changed": false}), "it was not revoked");
    }
}

/// Method, path and body of a request.
type Route = (&'static str, String, Option<Value>);

const ISSUE: &str = "/admin/tokens";
const REVOKE: &str = "/admin/tokens/revoke";

async fn by_bearer(node: &Node, token: &str, route: &Route) -> Answer {
    let (method, path, body) = route;
    let mut request = node.api.request(method, &node.api.admin_url(path)).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    node.api.send(request).await
}

async fn no_route_answers_without_credentials(kind: Kind) {
    let node = Node::start(kind).await;
    let (client, target) = Target::of(&node).await;
    for target in [&target, &Target::unknown()] {
        for (method, path, body) in target.routes() {
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
    assert!(node.api.introspect(client.pair(), "unknown-token").await.status == 200, "it is as it was");
    target.expect_untouched(&node).await;
}

async fn no_route_answers_a_caller_without_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let (_, target) = Target::of(&node).await;
    let caller = node.client(json!({"rights": ["introspect"]})).await;
    let operator = Target { id: OPERATOR.0.into(), ..Target::unknown() };
    for target in [&target, &Target::unknown(), &operator] {
        for (method, path, body) in target.routes() {
            let answer = node.api.admin(caller.pair(), method, &path, body).await;
            assert_eq!(answer.refusal(), (403, "unauthorized_client".into()), "{method} {path}");
        }
    }
    target.expect_untouched(&node).await;
}

async fn the_rights_to_issue_and_to_revoke_are_for_tokens_only(kind: Kind) {
    let node = Node::start(kind).await;
    let (_, target) = Target::of(&node).await;
    for (right, allowed, status) in [("issue", ISSUE, 201), ("revoke", REVOKE, 200)] {
        let caller = node.client(json!({"rights": [right]})).await;
        for (method, path, body) in target.routes() {
            let answer = node.api.admin(caller.pair(), method, &path, body).await;
            let expected = if path == allowed { status } else { 403 };
            assert_eq!(answer.status, expected, "{right}: {method} {path}: {}", answer.body);
        }
    }
    for (method, path, body) in target.routes() {
        let answer = node.api.admin(OPERATOR, method, &path, body).await;
        assert!((200..300).contains(&answer.status), "an operator may: {method} {path}: {}", answer.body);
    }
}

async fn a_bearer_token_needs_the_scope_of_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let (_, target) = Target::of(&node).await;
    let operator = node
        .client(json!({"rights": ["admin", "issue"], "scope": "read", "grant_types": ["client_credentials"]}))
        .await;
    let token = async |scope: &str| {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        node.api.post("/token", operator.pair(), &form).await.json()["access_token"].as_str().unwrap().to_owned()
    };
    let (plain, issue, admin) =
        (token("read").await, token("introspectd:issue").await, token("introspectd:admin").await);
    for route in target.routes() {
        let answer = by_bearer(&node, &plain, &route).await;
        assert_eq!(answer.refusal(), (403, "insufficient_scope".into()), "{route:?}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
        let expected = if route.1 == ISSUE { 201 } else { 403 };
        assert_eq!(by_bearer(&node, &issue, &route).await.status, expected, "{route:?}");
        assert_eq!(by_bearer(&node, "unknown-token", &route).await.refusal(), (401, "invalid_token".into()));
    }
    for route in target.routes() {
        let status = by_bearer(&node, &admin, &route).await.status;
        assert!((200..300).contains(&status), "{route:?}");
    }
    assert!(node.api.revoke(OPERATOR, &admin).await.status == 200);
    assert_eq!(by_bearer(&node, &admin, &target.routes()[8]).await.refusal(), (401, "invalid_token".into()));
}

async fn each_listener_has_its_own_routes(kind: Kind) {
    let node = Node::start(kind).await;
    let (_, target) = Target::of(&node).await;
    for (method, path, body) in target.routes() {
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

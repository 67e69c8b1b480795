//! `/forward-auth`: gateways that ask whether a request may pass.

use serde_json::json;

use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node};

over_both_stores! {
    rfc6750_3_a_right_token_passes_with_what_is_known_of_it
    rfc6750_3_everything_else_is_challenged
    rfc6750_3_1_a_missing_scope_is_403
    a_revoked_token_is_refused_at_the_next_request
    a_token_for_another_audience_does_not_pass
    a_token_that_is_bound_does_not_pass
    only_gateways_may_ask
    any_method_and_any_path_below_do
    names_cannot_break_out_of_a_header
    there_is_no_such_route_unless_asked_for
}

async fn node(kind: Kind, settings: &[(&str, &str)]) -> Node {
    let mut all = vec![("forward_auth.enabled", "true")];
    all.extend(settings);
    Node::start_still(kind, &all).await
}

async fn ask(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = node.api.request("GET", &node.api.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    node.api.send(request).await
}

async fn with(node: &Node, path: &str, token: &str) -> Answer {
    ask(node, path, &[("authorization", &format!("Bearer {token}"))]).await
}

async fn rfc6750_3_a_right_token_passes_with_what_is_known_of_it(kind: Kind) {
    let node = node(kind, &[]).await;
    let app = node.application().await;
    for format in ["opaque", "jwt"] {
        let members = json!({"sub": "alice", "username": "Alice A", "format": format, "expires_in": 60});
        let issued = node.issue(&app, members).await;
        let answer = with(&node, "/forward-auth?scope=read", issued["access_token"].as_str().unwrap()).await;
        assert_eq!((answer.status, &*answer.body), (200, ""), "{}", answer.body);
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("x-auth-subject"), "alice");
        assert_eq!(header("x-auth-username"), "Alice%20A");
        assert_eq!(header("x-auth-client-id"), app.id);
        assert_eq!(header("x-auth-scope"), "read write");
        assert_eq!(header("x-auth-audience"), AUDIENCE);
        assert_eq!(header("x-auth-expires"), (node.now() + 60).to_string());
        assert_eq!(header("x-auth-token-id"), issued["jti"].as_str().unwrap());
    }
}

async fn rfc6750_3_everything_else_is_challenged(kind: Kind) {
    let node = node(kind, &[]).await;
    let app = node.application().await;
    let refresher = node.refresher().await;
    let refresh = node.grant(&refresher, json!({})).await.refresh;
    let expired = node.issue(&app, json!({"expires_in": 5})).await["access_token"].as_str().unwrap().to_owned();
    node.pass(std::time::Duration::from_secs(6)).await;
    let bare = ask(&node, "/forward-auth", &[]).await;
    assert_eq!((bare.status, bare.lines("www-authenticate")), (401, vec![r#"Bearer realm="introspectd""#]));
    let basic = ask(&node, "/forward-auth", &[("authorization", "Basic YTpi")]).await;
    assert_eq!(basic.whole(), bare.whole());
    for token in ["made-up", &refresh, &expired, "", "a b"] {
        let answer = with(&node, "/forward-auth", token).await;
        assert_eq!(answer.refusal(), (401, "invalid_token".to_owned()), "{token:?}");
        let challenge = answer.header("www-authenticate").unwrap().to_owned();
        assert!(challenge.starts_with(r#"Bearer realm="introspectd", error="invalid_token""#), "{challenge}");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("x-auth-")));
    }
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert_eq!(ask(&node, "/forward-auth", &twice).await.status, 401);
}

async fn rfc6750_3_1_a_missing_scope_is_403(kind: Kind) {
    let node = node(kind, &[]).await;
    let token = node.token(&node.application().await).await;
    for (path, scope) in [
        ("/forward-auth?scope=admin", "admin"),
        ("/forward-auth/?scope=admin", "admin"),
        ("/forward-auth?scope=read+admin", "read admin"),
    ] {
        let answer = with(&node, path, &token).await;
        assert_eq!(answer.refusal(), (403, "insufficient_scope".to_owned()));
        assert!(answer.header("www-authenticate").unwrap().ends_with(&format!(r#"scope="{scope}""#)));
    }
    let bearer = format!("Bearer {token}");
    let by_header = [("authorization", &*bearer), ("x-forward-auth-scope", "admin")];
    assert_eq!(ask(&node, "/forward-auth?scope=read", &by_header).await.status, 403, "both count");
    for path in ["/forward-auth?scope=%22", "/forward-auth?scope=a&scope=b", "/forward-auth?scope=%zz"] {
        assert_eq!(with(&node, path, &token).await.status, 400, "{path}");
    }
}

async fn a_revoked_token_is_refused_at_the_next_request(kind: Kind) {
    let node = node(kind, &[]).await;
    let app = node.application().await;
    for format in ["opaque", "jwt"] {
        let issued = node.issue(&app, json!({"format": format})).await;
        let token = issued["access_token"].as_str().unwrap();
        assert_eq!(with(&node, "/forward-auth", token).await.status, 200);
        assert_eq!(node.api.revoke(app.pair(), token).await.status, 200);
        assert_eq!(with(&node, "/forward-auth", token).await.status, 401, "{format}");
    }
}

async fn a_token_for_another_audience_does_not_pass(kind: Kind) {
    let node = node(kind, &[("forward_auth.audiences", "https://api.example.com")]).await;
    let app = node.application().await;
    let elsewhere = node.issue(&app, json!({"aud": "https://elsewhere.example.com"})).await;
    let elsewhere = elsewhere["access_token"].as_str().unwrap();
    assert_eq!(with(&node, "/forward-auth", elsewhere).await.status, 401);
    let token = node.token(&app).await;
    assert_eq!(with(&node, "/forward-auth", &token).await.status, 200);
    let path = "/forward-auth?audience=https%3A%2F%2Felsewhere.example.com";
    assert_eq!(with(&node, path, &token).await.status, 401, "not the one that is wanted");
    let path = "/forward-auth?audience=https%3A%2F%2Fapi.example.com";
    assert_eq!(with(&node, path, &token).await.status, 200);
}

async fn a_token_that_is_bound_does_not_pass(kind: Kind) {
    let node = node(kind, &[]).await;
    let confirmation = json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"});
    let bound = node.issue(&node.application().await, json!({"cnf": confirmation})).await;
    assert_eq!(with(&node, "/forward-auth", bound["access_token"].as_str().unwrap()).await.status, 401);
}

async fn only_gateways_may_ask(kind: Kind) {
    let secret = "a-secret-of-a-gateway";
    let proved = node(kind, &[("forward_auth.secret", secret)]).await;
    let token = proved.token(&proved.application().await).await;
    let bearer = format!("Bearer {token}");
    let with_secret = async |secret: &str| {
        ask(&proved, "/forward-auth", &[("authorization", &*bearer), ("x-forward-auth-secret", secret)]).await.status
    };
    assert_eq!(with_secret(secret).await, 200);
    assert_eq!(with_secret("another").await, 403);
    assert_eq!(with(&proved, "/forward-auth", &token).await.status, 403);
    let far = node(kind, &[("forward_auth.sources", "192.0.2.0/24")]).await;
    let token = far.token(&far.application().await).await;
    let bearer = format!("Bearer {token}");
    let forwarded = [("authorization", &*bearer), ("x-forwarded-for", "192.0.2.1")];
    let answer = ask(&far, "/forward-auth", &forwarded).await;
    assert_eq!(answer.refusal(), (403, "unauthorized_client".to_owned()), "it is the peer's own address that counts");
}

async fn any_method_and_any_path_below_do(kind: Kind) {
    let node = node(kind, &[]).await;
    let token = node.token(&node.application().await).await;
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in [
            "/forward-auth",
            "/forward-auth/orders/1?scope=nobody-asked-for-this",
            "/forward-auth/?scope=read",
            "/forward-auth/orders/forward-auth?scope=nobody-asked-for-this&scope=%zz",
        ] {
            let request = node.api.request(method, &node.api.url(path)).bearer_auth(&token);
            let request = if method == "POST" { request.body("a body of whatever kind") } else { request };
            assert_eq!(node.api.send(request).await.status, 200, "{method} {path}");
        }
    }
}

async fn names_cannot_break_out_of_a_header(kind: Kind) {
    let node = node(kind, &[]).await;
    let app = node.application().await;
    let issued = node.issue(&app, json!({"sub": "caf\u{e9} 100%", "username": "\u{1f600}"})).await;
    let answer = with(&node, "/forward-auth", issued["access_token"].as_str().unwrap()).await;
    assert_eq!(answer.header("x-auth-subject"), Some("caf%C3%A9%20100%25"));
    assert_eq!(answer.header("x-auth-username"), Some("%F0%9F%98%80"));
}

async fn there_is_no_such_route_unless_asked_for(kind: Kind) {
    let node = Node::start(kind).await;
    let token = node.token(&node.application().await).await;
    assert_eq!(with(&node, "/forward-auth", &token).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_is_503() {
    let settings = [("redis.response_timeout", "300ms"), ("cache.enabled", "false")];
    let node = node(Kind::Redis, &settings).await;
    let token = node.token(&node.application().await).await;
    assert_eq!(with(&node, "/forward-auth", &token).await.status, 200);
    node.redis.as_ref().unwrap().freeze();
    assert_eq!(with(&node, "/forward-auth", &token).await.refusal(), (503, "temporarily_unavailable".to_owned()));
    node.redis.as_ref().unwrap().thaw();
}

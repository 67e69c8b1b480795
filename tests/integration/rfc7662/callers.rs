//! What callers may not do, sections 2.3 and 4.

use super::*;
use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR};
use introspectd::token::time::Clock;
use serde_json::json;
use std::time::{Duration, Instant};

over_both_stores! {
    section_2_3_an_inactive_bearer_token_is_unauthorized
    section_2_3_a_bearer_token_needs_its_scope_and_its_client_the_right
    section_2_3_a_bearer_token_cannot_ask_about_itself
    section_2_3_a_client_without_the_right_is_forbidden
    section_4_other_methods_are_refused
    section_4_answers_are_not_to_be_stored
    section_4_a_token_is_for_its_audiences_only
    section_4_a_token_without_audience_is_for_its_owner
    section_4_tokens_of_a_revoked_client_are_inactive_until_it_is_approved
    section_4_tokens_of_a_deleted_client_stay_inactive
    section_4_scanning_for_tokens_is_limited
}

// === errors ===

async fn section_2_3_an_inactive_bearer_token_is_unauthorized(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = &*node.token(&node.application().await).await;
    let scope = "introspectd:introspect";
    let (good, revoked) = (node.bearer(&server, scope).await, node.bearer(&server, scope).await);
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let expired = access(&node.issue(&server, json!({"scope": scope, "expires_in": 1})).await).to_owned();
    let later = access(&node.issue(&server, json!({"scope": scope, "nbf": node.now() + 60})).await).to_owned();
    let both = node.issue(&server, json!({"scope": scope, "refresh": true})).await;
    let refresh = both["refresh_token"].as_str().unwrap().to_owned();
    node.pass(Duration::from_secs(1)).await;
    let ask =
        async |bearer: &str| node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", token)]).await;
    for bearer in
        ["nonsense", "a.b.c", &unknown_token().await, &foreign_token().await, &revoked, &expired, &later, &refresh]
    {
        expect_invalid_token(&ask(bearer).await);
    }
    assert_eq!(ask(&good).await.status, 200);
    node.operate("POST", &format!("/admin/clients/{}/revoke", server.id), None).await;
    expect_invalid_token(&ask(&good).await);
}

/// A resource server holds the tokens that are sent to it. Were a client's right enough, it could act as that client.
async fn section_2_3_a_bearer_token_needs_its_scope_and_its_client_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = &*node.token(&node.application().await).await;
    let ask =
        async |bearer: &str| node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", token)]).await;
    let expect_refused = |answer: &Answer| {
        assert_eq!(answer.refusal(), (401, "insufficient_scope".to_owned()));
        assert_eq!(answer.header("www-authenticate"), Some(INSUFFICIENT_SCOPE));
    };
    for scope in ["read write", "introspect", "introspectd:introspec", ""] {
        expect_refused(&ask(&node.bearer(&server, scope).await).await);
    }
    let bearer = node.bearer(&server, "read introspectd:introspect").await;
    assert_eq!(ask(&bearer).await.json()["active"], json!(true));
    node.operate("PATCH", &format!("/admin/clients/{}", server.id), Some(json!({"rights": []}))).await;
    expect_refused(&ask(&bearer).await);
}

/// Whoever holds a token could otherwise learn all about it with nothing but the token.
async fn section_2_3_a_bearer_token_cannot_ask_about_itself(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let bearer = node.bearer(&server, "introspectd:introspect").await;
    let twin = node.bearer(&server, "introspectd:introspect").await;
    let ask =
        async |token: &str| node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", token)]).await;
    expect_invalid_token(&ask(&bearer).await);
    assert_eq!(ask(&twin).await.json()["active"], json!(true));
}

/// Refused before the token is looked up: the answer says nothing of it.
async fn section_2_3_a_client_without_the_right_is_forbidden(kind: Kind) {
    let node = Node::start(kind).await;
    let powerless =
        node.client(json!({"audiences": [AUDIENCE], "rights": ["issue", "revoke", "admin"], "scope": "read"})).await;
    let own = node.token(&powerless).await;
    let reference = node.api.introspect(powerless.pair(), "no-token-at-all").await;
    assert_eq!(reference.refusal(), (403, "unauthorized_client".to_owned()));
    let answer = node.api.introspect(powerless.pair(), &own).await;
    assert_eq!(answer.whole(), reference.whole());
}

// === security considerations ===

async fn section_4_other_methods_are_refused(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = node.token(&node.application().await).await;
    let url = node.api.url(&format!("/introspect?token={token}"));
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let request = node.api.request(method, &url).basic_auth(&server.id, Some(&server.secret));
        let answer = node.api.send(request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")), "{method}");
        assert!(!answer.body.contains("active"), "{}", answer.body);
    }
    let options = node.api.send(node.api.request("OPTIONS", &url)).await;
    assert_eq!((options.status, options.header("allow"), &*options.body), (204, Some("POST, OPTIONS"), ""));
    assert_eq!(options.header("access-control-allow-origin"), None);
}

async fn section_4_answers_are_not_to_be_stored(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = node.token(&node.application().await).await;
    for (asked, active) in [(&*token, true), ("no-token-at-all", false)] {
        let answer = node.api.introspect(server.pair(), asked).await;
        assert_eq!(answer.json()["active"], json!(active));
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
        assert_eq!((answer.header("etag"), answer.header("expires")), (None, None));
    }
}

/// Not 403: to a caller that is not meant, a token looks like one that does not exist.
async fn section_4_a_token_is_for_its_audiences_only(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let audiences = ["https://one.example.com", "https://two.example.com"];
    let issued = node.issue(&app, json!({"aud": audiences})).await;
    for audience in audiences {
        let server = node.client(json!({"rights": ["introspect"], "audiences": ["other", audience]})).await;
        let described = node.api.introspect(server.pair(), access(&issued)).await.json();
        assert_eq!((&described["active"], &described["aud"]), (&json!(true), &json!(audiences)));
    }
    for audience in ["https://one.example.com/", "https://one.example.co", "HTTPS://ONE.EXAMPLE.COM", "one"] {
        let server = node.client(json!({"rights": ["introspect"], "audiences": [audience]})).await;
        expect_inactive(&node.api.introspect(server.pair(), access(&issued)).await);
    }
    let nowhere = node.client(json!({"rights": ["introspect"]})).await;
    expect_inactive(&node.api.introspect(nowhere.pair(), access(&issued)).await);
}

async fn section_4_a_token_without_audience_is_for_its_owner(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    let issued = node.issue(&app, json!({"aud": []})).await;
    assert!(node.api.is_active(app.pair(), access(&issued)).await);
    assert!(node.api.is_active(gateway.pair(), access(&issued)).await, "it stands in front of every API");
    expect_inactive(&node.api.introspect(server.pair(), access(&issued)).await);
}

async fn section_4_tokens_of_a_revoked_client_are_inactive_until_it_is_approved(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let before = node.api.introspect(server.pair(), &token).await;
    assert_eq!(before.json()["active"], json!(true));
    for _ in 0..2 {
        node.operate("POST", &format!("/admin/clients/{}/revoke", app.id), None).await;
        expect_inactive(&node.api.introspect(server.pair(), &token).await);
        node.operate("POST", &format!("/admin/clients/{}/approve", app.id), None).await;
        assert_eq!(node.api.introspect(server.pair(), &token).await.whole(), before.whole());
        expect_inactive(&node.api.introspect(server.pair(), &revoked).await);
    }
}

async fn section_4_tokens_of_a_deleted_client_stay_inactive(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let metadata = json!({"client_id": "app one", "rights": ["introspect"], "audiences": [AUDIENCE]});
    let app = node.client(metadata.clone()).await;
    let (access, refresh) = node.tokens(&app).await;
    assert!(node.api.is_active(server.pair(), &access).await);
    node.operate("DELETE", "/admin/clients/app%20one", None).await;
    expect_inactive(&node.api.introspect(server.pair(), &access).await);
    let again = node.client(metadata).await;
    for (caller, token) in [(&server, &access), (&again, &access), (&again, &refresh)] {
        expect_inactive(&node.api.introspect(caller.pair(), token).await);
    }
    assert!(node.api.is_active(server.pair(), &node.token(&again).await).await, "new tokens are as good as any");
}

/// Ten at once, then one a second; what exists is answered all the while.
async fn section_4_scanning_for_tokens_is_limited(kind: Kind) {
    let node = Node::start_with(kind, &[("authentication.unknown_tokens_per_second", "1")]).await;
    let (app, server, other) = (node.application().await, node.resource_server().await, node.resource_server().await);
    let (token, revoked) = (node.token(&app).await, node.token(&app).await);
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let begun = Instant::now();
    let mut answered = 0_u64;
    let refused = loop {
        // Texts that cannot be tokens of ours, and texts that could have been made elsewhere.
        let prefix = if answered.is_multiple_of(2) { "" } else { "itd_at_" };
        let answer = node.api.introspect(server.pair(), &format!("{prefix}scanning-{answered}")).await;
        if answer.status != 200 {
            break answer;
        }
        expect_inactive(&answer);
        answered += 1;
        assert!(answered < 1_000, "never refused");
    };
    let refilled = if kind == Kind::Embedded { 0 } else { begun.elapsed().as_secs() + 1 };
    assert!((10..=10 + refilled).contains(&answered), "{answered}");
    assert_eq!(refused.refusal(), (429, "too_many_requests".to_owned()));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);

    assert!(node.api.is_active(server.pair(), &token).await, "a flood of garbage hides no live token");
    // Answered otherwise, a revoked token would be told from one that never was.
    assert_eq!(node.api.introspect(server.pair(), &revoked).await.status, 429);
    expect_inactive(&node.api.introspect(other.pair(), "itd_at_scan").await);
    let metrics = node.api.admin(OPERATOR, "GET", "/metrics", None).await.body;
    assert!(metrics.lines().any(|line| line.contains("unknown_tokens") && line.ends_with(" 2")), "{metrics}");
    assert!(!metrics.contains("itd_at_"), "{metrics}");

    node.pass(Duration::from_secs(2)).await;
    expect_inactive(&node.api.introspect(server.pair(), "itd_at_scan").await);
}

/// Nothing of a client is remembered that another node could have changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_the_state_of_a_client_is_seen_by_every_node_at_once() {
    let node = Node::start(Kind::Redis).await;
    let other = Node::over(("redis.url", node.redis.as_ref().unwrap().url()), Clock::System, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    for _ in 0..3 {
        for client in [&app, &server] {
            assert!(other.api.is_active(server.pair(), &token).await);
            node.operate("POST", &format!("/admin/clients/{}/revoke", client.id), None).await;
            expect_invalid_client(&other.api.introspect(client.pair(), &token).await);
            if client.id == app.id {
                expect_inactive(&other.api.introspect(server.pair(), &token).await);
            }
            node.operate("POST", &format!("/admin/clients/{}/approve", client.id), None).await;
        }
    }
    node.operate("PATCH", &format!("/admin/clients/{}", server.id), Some(json!({"audiences": []}))).await;
    expect_inactive(&other.api.introspect(server.pair(), &token).await);
    node.operate("DELETE", &format!("/admin/clients/{}", server.id), None).await;
    expect_invalid_client(&other.api.introspect(server.pair(), &token).await);
}

/// A node over the same Redis with another issuer's keys does not know these tokens, and says so like of any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_a_token_of_another_issuer_is_inactive() {
    let node = Node::start(Kind::Redis).await;
    let keys = json!([{"id": "t1", "secret": "another key of the same id, 32 bytes long"}]).to_string();
    let url = node.redis.as_ref().unwrap().url();
    let other = Node::over(("redis.url", url), Clock::System, &[("keys.digest", &keys)]).await;
    let app = node.application().await;
    let token = node.token(&app).await;
    let server = other.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    expect_inactive(&other.api.introspect(server.pair(), &token).await);
}

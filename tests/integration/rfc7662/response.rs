//! The response, section 2.2: what is said of a token, and what is not.

use super::*;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};
use serde_json::{Value, json};
use std::time::Duration;

over_both_stores! {
    section_2_2_an_active_token_is_described
    section_2_2_every_member_has_its_type
    section_2_2_the_type_tells_how_the_token_is_bound
    section_2_2_what_has_no_value_is_left_out
    section_2_2_claims_cannot_overwrite_members
    section_2_2_a_client_speaks_for_itself_in_a_namespace_of_its_own
    section_2_2_all_inactive_answers_are_the_same_bytes
    section_2_2_scopes_are_narrowed_to_the_caller
    section_2_2_expiry_is_exact
    section_2_2_a_token_is_inactive_before_it_begins
    section_2_2_asking_changes_nothing
}

// === the response ===

async fn section_2_2_an_active_token_is_described(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let begun = node.now();
    let issued = node
        .issue(
            &app,
            json!({
                "sub": "alice", "username": "alice@example.com", "expires_in": 60, "nbf": begun - 10,
                "aud": [AUDIENCE, "https://other.example.com"],
                "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
                "authorization_details": [{"type": "payment_initiation", "amount": {"value": "1.00"}}],
                "claims": {"acr": "gold", "auth_time": begun - 60, "department": "7", "flags": [true, 1, 1.5]},
            }),
        )
        .await;
    let described = node.api.introspect(server.pair(), access(&issued)).await.json();
    let issued_at = described["iat"].as_u64().unwrap();
    assert!((begun..=node.now()).contains(&issued_at));
    assert_eq!(
        described,
        json!({
            "active": true, "iss": "https://as.example.com", "client_id": app.id, "sub": "alice",
            "username": "alice@example.com", "scope": "read write", "token_type": "Bearer", "jti": issued["jti"],
            "aud": [AUDIENCE, "https://other.example.com"],
            "exp": issued_at + 60, "iat": issued_at, "nbf": begun - 10,
            "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
            "authorization_details": [{"type": "payment_initiation", "amount": {"value": "1.00"}}],
            "acr": "gold", "auth_time": begun - 60, "department": "7", "flags": [true, 1, 1.5],
        })
    );
}

/// Strict readers fail on a number in quotes, a fraction, milliseconds or an array of scopes.
async fn section_2_2_every_member_has_its_type(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let issued = node.issue(&app, json!({"sub": "1", "username": "2", "nbf": node.now()})).await;
    let answer = node.api.introspect(server.pair(), access(&issued)).await;
    let described = answer.json();
    assert!(answer.body.starts_with(r#"{"active":true,"#), "{}", answer.body);
    for name in ["scope", "client_id", "username", "token_type", "sub", "iss", "jti", "aud"] {
        assert!(described[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {described}");
    }
    for name in ["exp", "iat", "nbf"] {
        let seconds = described[name].as_u64().unwrap_or_else(|| panic!("{name}: {described}"));
        assert!(seconds.abs_diff(node.now()) < 3600, "{name} is in seconds: {described}");
    }
    let scope = described["scope"].as_str().unwrap();
    assert_eq!(scope, scope.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// RFC 9449 section 6.2: a token that is bound to a key is of type `DPoP`, at issue and at introspection.
async fn section_2_2_the_type_tells_how_the_token_is_bound(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    for (confirmation, token_type) in [(json!({"x5t#S256": "x"}), "Bearer"), (json!({"jkt": "y"}), "DPoP")] {
        let issued = node.issue(&app, json!({"cnf": confirmation, "claims": {"jkt": "z"}})).await;
        let described = node.api.introspect(server.pair(), access(&issued)).await.json();
        assert_eq!((&issued["token_type"], &described["token_type"]), (&json!(token_type), &json!(token_type)));
        assert_eq!(described["cnf"], confirmation);
    }
}

async fn section_2_2_what_has_no_value_is_left_out(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"], "scope": "read"})).await;
    let issued = node.issue(&app, json!({"scope": "", "aud": []})).await;
    for caller in [&app, &gateway] {
        let described = node.api.introspect(caller.pair(), access(&issued)).await.json();
        let names: Vec<&String> = described.as_object().unwrap().keys().collect();
        assert_eq!(names, ["active", "client_id", "exp", "iat", "iss", "jti", "token_type"]);
    }
}

async fn section_2_2_claims_cannot_overwrite_members(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    for name in [
        "active",
        "aud",
        "authorization_details",
        "client_id",
        "cnf",
        "error",
        "error_description",
        "exp",
        "iat",
        "iss",
        "jti",
        "nbf",
        "scope",
        "sub",
        "token_introspection",
        "token_type",
        "username",
    ] {
        let body = json!({"client_id": app.id, "claims": {name: true}});
        let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{name}");
    }
    let nothing = json!({"client_id": app.id, "claims": {"department": null}});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(nothing)).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()));
}

/// RFC 9700 section 4.15: whoever names clients must not be able to name one like a user.
async fn section_2_2_a_client_speaks_for_itself_in_a_namespace_of_its_own(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let answer = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await;
    let described = node.api.introspect(server.pair(), access(&answer.json())).await.json();
    assert_eq!(described["sub"], json!(format!("client:{}", app.id)));
    assert_eq!(described.get("username"), None);
    let another = json!({"client_id": app.id, "sub": format!("client:{}", server.id)});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(another)).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()));
}

async fn section_2_2_all_inactive_answers_are_the_same_bytes(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let client = |id: &Registered, action: &str| format!("/admin/clients/{}/{action}", id.id);

    let (of_revoked, of_deleted) = (node.application().await, node.application().await);
    let (revoked_client, deleted_client) = (node.token(&of_revoked).await, node.token(&of_deleted).await);
    node.operate("POST", &client(&of_revoked, "revoke"), None).await;
    node.operate("DELETE", &format!("/admin/clients/{}", of_deleted.id), None).await;

    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let (of_revoked_grant, refresh) = node.tokens(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &refresh).await.status, 200);

    let owned = |issued: &Value| access(issued).to_owned();
    let elsewhere = owned(&node.issue(&app, json!({"aud": "https://elsewhere.example.com"})).await);
    let later = owned(&node.issue(&app, json!({"nbf": node.now() + 60})).await);
    let expired = owned(&node.issue(&app, json!({"expires_in": 1})).await);
    node.pass(Duration::from_secs(1)).await;

    let reasons = [
        ("unknown", unknown_token().await),
        ("foreign", foreign_token().await),
        ("malformed", "itd_at_t1".to_owned()),
        ("no token of ours", "no-token-at-all".to_owned()),
        ("unsigned", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.".to_owned()),
        ("expired", expired),
        ("not yet valid", later),
        ("revoked", revoked),
        ("grant revoked", of_revoked_grant),
        ("revoked refresh token", refresh),
        ("refresh token", node.tokens(&app).await.1),
        ("audience", elsewhere),
        ("client revoked", revoked_client),
        ("client deleted", deleted_client),
    ];
    let reference = node.api.introspect(server.pair(), "reference").await;
    expect_inactive(&reference);
    assert_eq!(reference.header("content-length"), Some("16"));
    for (reason, token) in &reasons {
        assert_eq!(node.api.introspect(server.pair(), token).await.whole(), reference.whole(), "{reason}");
    }
    // Nothing but the reason keeps those tokens from being active.
    assert!(node.api.is_active(server.pair(), &node.token(&app).await).await);
}

async fn section_2_2_scopes_are_narrowed_to_the_caller(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = node.bearer(&app, "read write delete").await;
    for (registered, seen) in [
        ("write read", Some("read write")),
        ("delete other", Some("delete")),
        ("", Some("read write delete")),
        ("other", None),
        // Names are compared whole and with their case.
        ("Read rea read:all", None),
    ] {
        let server = node.client(json!({"rights": ["introspect"], "audiences": [AUDIENCE], "scope": registered})).await;
        let answer = node.api.introspect(server.pair(), &token).await;
        match seen {
            Some(scope) => assert_eq!(answer.json()["scope"], json!(scope), "{registered}"),
            None => expect_inactive(&answer),
        }
    }
    let whole = node.api.introspect(app.pair(), &token).await;
    assert_eq!(whole.json()["scope"], json!("read write delete"), "the owner sees all");
}

/// The current time must be before `exp`: active in the last second before it, and never at it.
async fn section_2_2_expiry_is_exact(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let issued = node.issue(&app, json!({"expires_in": 3})).await;
    let token = access(&issued);
    let expiry = node.api.introspect(server.pair(), token).await.json()["exp"].as_u64().unwrap();
    if kind == Kind::Embedded {
        node.pass(Duration::from_millis(2_999)).await;
        assert_eq!(node.now(), expiry - 1);
        assert!(node.api.is_active(server.pair(), token).await);
        node.pass(Duration::from_millis(1)).await;
        assert!(!node.api.is_active(server.pair(), token).await);
        return;
    }
    // Time cannot be moved here: every answer is held against the clock before and after it.
    let mut active = 0;
    loop {
        let before = node.now();
        if !node.api.is_active(server.pair(), token).await {
            break;
        }
        assert!(before < expiry, "still active at {before}, which is not before {expiry}");
        active += 1;
    }
    assert!(node.now() >= expiry, "inactive before {expiry}");
    assert!(active > 0);
}

async fn section_2_2_a_token_is_inactive_before_it_begins(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let beginning = node.now() + 3;
    let token = access(&node.issue(&app, json!({"nbf": beginning})).await).to_owned();
    if kind == Kind::Embedded {
        node.pass(Duration::from_millis(2_999)).await;
        assert!(!node.api.is_active(server.pair(), &token).await);
        node.pass(Duration::from_millis(1)).await;
        assert!(node.api.is_active(server.pair(), &token).await);
        return;
    }
    let mut inactive = 0;
    loop {
        let before = node.now();
        if node.api.is_active(server.pair(), &token).await {
            break;
        }
        assert!(before < beginning, "inactive at {before}, which is not before {beginning}");
        inactive += 1;
    }
    assert!(node.now() >= beginning, "active before {beginning}");
    assert!(inactive > 0);
}

/// No lifetime is extended, no refresh token consumed, nothing written at all.
async fn section_2_2_asking_changes_nothing(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let (access, refresh) = node.tokens(&app).await;
    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let asked = [(&app, &access), (&server, &access), (&app, &refresh), (&server, &refresh), (&server, &revoked)];
    let mut before = Vec::new();
    for (caller, token) in asked {
        before.push(node.api.introspect(caller.pair(), token).await);
    }
    let kept = kept_in(&node).await;
    for _ in 0..5 {
        node.pass(Duration::from_millis(20)).await;
        for ((caller, token), before) in asked.into_iter().zip(&before) {
            assert_eq!(node.api.introspect(caller.pair(), token).await.whole(), before.whole());
        }
        node.api.introspect(server.pair(), "no-token-at-all").await;
    }
    assert_eq!(kept_in(&node).await, kept);
}

/// All that a node's Redis keeps: keys, values and the moments at which they end. Nothing for a node without Redis.
async fn kept_in(node: &Node) -> Vec<(String, Vec<u8>, i64)> {
    let Some(redis) = &node.redis else { return Vec::new() };
    let mut kept = Vec::new();
    for key in redis.keys().await {
        let value: Option<Vec<u8>> = redis.command(&["DUMP", &key]).await;
        let expiry: i64 = redis.command(&["PEXPIRETIME", &key]).await;
        kept.push((key, value.unwrap_or_default(), expiry));
    }
    assert!(kept.len() >= 5, "two clients, three tokens: {kept:?}");
    kept
}

//! Issuing tokens: how long they live, for whom they are, and those taken over from elsewhere.

use std::time::Duration;

use serde_json::{Value, json};

use super::{HOSTILE, deep, operate, post_bytes};
use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node};

over_both_stores! {
    a_token_from_elsewhere_is_taken_over_by_value
    audiences_are_one_or_several
    every_member_is_there_at_introspection
    hostile_bodies_are_refused
    lifetimes_are_checked
    no_token_is_issued_that_speaks_for_somebody_else
    only_an_operator_issues_scopes_that_stand_for_rights
    taking_over_can_be_switched_off
    the_answer_says_what_was_issued
}

async fn issue(node: &Node, body: &Value) -> Answer {
    operate(node, "POST", "/admin/tokens", Some(body.clone())).await
}

async fn every_member_is_there_at_introspection(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let (iat, exp) = (node.now(), node.now() + 600);
    let body = json!({
        "client_id": app.id, "sub": "user \u{e9}\u{1F511}\"\\", "username": "Elise <elise@example.com>",
        "scope": "read write other:scope", "aud": [AUDIENCE, "orders"], "exp": exp, "nbf": iat - 5, "format": "opaque",
        "refresh": false, "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
        "authorization_details": [{"type": "payment", "amount": {"currency": "EUR", "value": 12.5}}, {"type": "x"}],
        "claims": {
            "acr": "urn:mace:silver", "auth_time": iat - 60, "department": {"id": 7, "names": ["a", null, true]},
            "line\nbreak": "tab\t\u{0}", "": "empty name", "big": u64::MAX, "small": i64::MIN, "float": 0.5
        }
    });
    let issued = issue(&node, &body).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let issued = issued.json();
    let mut expected = json!({
        "active": true, "iss": "https://as.example.com", "client_id": app.id, "sub": body["sub"],
        "username": body["username"], "scope": body["scope"], "aud": body["aud"], "exp": exp, "nbf": body["nbf"],
        "token_type": "Bearer", "jti": issued["jti"], "cnf": body["cnf"],
        "authorization_details": body["authorization_details"]
    });
    for (name, value) in body["claims"].as_object().unwrap() {
        expected[name] = value.clone();
    }
    for caller in [&app, &server] {
        let mut described = node.api.introspect(caller.pair(), issued["access_token"].as_str().unwrap()).await.json();
        let issued_at = described.as_object_mut().unwrap().remove("iat").unwrap();
        assert!(issued_at.as_u64().unwrap().abs_diff(iat) < 20);
        assert_eq!(described, expected);
    }
}

async fn the_answer_says_what_was_issued(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let answer = issue(&node, &json!({"client_id": app.id})).await;
    assert_eq!((answer.status, answer.header("content-type")), (201, Some("application/json")));
    let members = |answer: &Answer| answer.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&answer), ["access_token", "expires_in", "grant_id", "jti", "token_type"]);
    let issued = answer.json();
    assert_eq!((&issued["expires_in"], &issued["token_type"]), (&json!(900), &json!("Bearer")));
    let described = node.api.introspect(app.pair(), issued["access_token"].as_str().unwrap()).await.json();
    assert_eq!(described["jti"], issued["jti"]);
    for absent in ["sub", "username", "scope", "aud", "nbf", "cnf", "authorization_details"] {
        assert_eq!(described.get(absent), None, "{absent} was not given");
    }
    let both = issue(&node, &json!({"client_id": app.id, "refresh": true, "refresh_expires_in": 100})).await;
    assert_eq!(members(&both), ["access_token", "expires_in", "grant_id", "jti", "refresh_token", "token_type"]);
    assert_eq!(both.json()["expires_in"], json!(100), "no access token outlives its grant");
    assert_ne!(both.json()["grant_id"], issued["grant_id"]);
}

async fn lifetimes_are_checked(kind: Kind) {
    let node = Node::start_still(kind, &[("tokens.max_lifetime", "1h"), ("tokens.refresh_lifetime", "1h")]).await;
    let (app, now) = (node.application().await, node.now());
    for members in [
        json!({"expires_in": 60, "exp": now + 60}),
        json!({"expires_in": 0}),
        json!({"exp": now}),
        json!({"exp": now - 1}),
        json!({"exp": 0}),
        json!({"expires_in": 3601}),
        json!({"exp": now + 3601}),
        json!({"exp": (now + 60) * 1000}),
        json!({"nbf": now * 1000}),
        json!({"expires_in": u64::MAX}),
        json!({"expires_in": -1}),
        json!({"expires_in": 1.5}),
        json!({"expires_in": "60"}),
        json!({"expires_in": 60, "nbf": now + 60}),
        json!({"refresh_expires_in": 60}),
        json!({"refresh": true, "refresh_expires_in": 0}),
        json!({"refresh": true, "refresh_expires_in": 3601}),
    ] {
        let mut body = members.clone();
        body["client_id"] = json!(app.id);
        let answer = issue(&node, &body).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{members}");
    }
    let latest = node.issue(&app, json!({"exp": now + 3600})).await;
    assert_eq!(latest["expires_in"], json!(3600), "the longest is allowed");
    let issued = node.issue(&app, json!({"nbf": now + 10, "expires_in": 20})).await;
    let active = async || node.api.is_active(app.pair(), issued["access_token"].as_str().unwrap()).await;
    for (second, expected) in [(9, false), (10, true), (19, true), (20, false)] {
        node.pass(Duration::from_secs(now + second - node.now())).await;
        assert_eq!(active().await, expected, "in second {second} of nbf 10 and exp 20");
    }
}

async fn audiences_are_one_or_several(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let several: Vec<String> = (0..64).map(|number| format!("https://{number}.example.com")).collect();
    for (given, shown) in [
        (json!("one"), json!("one")),
        (json!(["one"]), json!("one")),
        (json!(["one", "two"]), json!(["one", "two"])),
        (json!(several), json!(several)),
        (json!([]), Value::Null),
    ] {
        let issued = node.issue(&app, json!({"aud": given})).await;
        let described = node.api.introspect(app.pair(), issued["access_token"].as_str().unwrap()).await.json();
        assert_eq!(described["aud"], shown);
    }
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    for bad in [
        json!(""),
        json!(["one", ""]),
        json!("*"),
        json!(["one", "*"]),
        json!("caf\u{e9}"),
        json!("nul\u{0}"),
        json!("x".repeat(1025)),
        json!(many),
        json!(1),
        json!({"one": true}),
        json!(["one", null]),
        json!([["one"]]),
    ] {
        let answer = issue(&node, &json!({"client_id": app.id, "aud": bad})).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{bad}");
    }
}

async fn a_token_from_elsewhere_is_taken_over_by_value(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, other) = (node.application().await, node.application().await);
    let longest = "l".repeat(4096);
    for value in ["legacy-token", "8letters", "eyJhbGciOiJub25lIn0.e30.", "a+b/c~d.e_f-g==", &longest] {
        assert_eq!(node.api.introspect(app.pair(), value).await.body, r#"{"active":false}"#);
        let issued = node.issue(&app, json!({"token": value, "sub": "alice", "refresh": true})).await;
        assert_eq!(issued["access_token"], json!(value));
        assert!(issued["refresh_token"].as_str().unwrap().starts_with("itd_rt_"), "only access tokens are taken over");
        let described = node.api.introspect(app.pair(), value).await.json();
        assert_eq!((&described["sub"], &described["jti"]), (&json!("alice"), &issued["jti"]));
        for owner in [&app, &other] {
            let again = issue(&node, &json!({"client_id": owner.id, "token": value, "sub": "mallory"})).await;
            assert_eq!(again.refusal(), (409, "invalid_request".into()));
        }
        assert_eq!(node.api.introspect(app.pair(), value).await.json()["sub"], json!("alice"), "it is as it was");
    }
    assert_eq!(node.api.revoke(app.pair(), "legacy-token").await.status, 200);
    let again = issue(&node, &json!({"client_id": app.id, "token": "legacy-token"})).await;
    assert_eq!(again.refusal(), (409, "invalid_request".into()), "what was revoked does not come back");
    assert!(!node.api.is_active(app.pair(), "legacy-token").await);
    let long = "l".repeat(4097);
    for bad in [
        "",
        "7letter",
        &long,
        "with space",
        "with\nbreak",
        "caf\u{e9}-token",
        "pad=inside",
        "quoted\"token",
        "itd_at_t1token",
        "itd_rt_t1token",
    ] {
        let answer = issue(&node, &json!({"client_id": app.id, "token": bad})).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{bad:?}");
        assert!(bad.is_empty() || !answer.body.contains(bad), "a token is repeated nowhere: {}", answer.body);
    }
}

async fn taking_over_can_be_switched_off(kind: Kind) {
    let node = Node::start_with(kind, &[("tokens.imports", "false")]).await;
    let app = node.application().await;
    let answer = issue(&node, &json!({"client_id": app.id, "token": "legacy-token"})).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
    assert_eq!(node.api.introspect(app.pair(), "legacy-token").await.body, r#"{"active":false}"#);
    let token = node.token(&app).await;
    assert!(node.api.is_active(app.pair(), &token).await);
}

/// Whoever may issue must not thereby become an operator.
async fn only_an_operator_issues_scopes_that_stand_for_rights(kind: Kind) {
    let node = Node::start(kind).await;
    let issuer = node.client(json!({"rights": ["issue"]})).await;
    let operator = node.client(json!({"rights": ["introspect", "admin"]})).await;
    let app = node.application().await;
    for owner in [&operator, &app, &issuer] {
        for scope in ["introspectd:admin", "introspectd:introspect", "introspectd:issue", "read introspectd:revoke"] {
            let body = json!({"client_id": owner.id, "scope": scope});
            let answer = node.api.admin(issuer.pair(), "POST", "/admin/tokens", Some(body)).await;
            assert_eq!(answer.refusal(), (400, "invalid_scope".into()), "{scope}");
        }
    }
    for (owner, scope, status) in [
        (&operator, "introspectd:admin introspectd:introspect", 201),
        (&operator, "introspectd:revoke", 400),
        (&app, "introspectd:introspect", 201),
        (&app, "introspectd:admin", 400),
    ] {
        let answer = issue(&node, &json!({"client_id": owner.id, "scope": scope})).await;
        assert_eq!(answer.status, status, "{scope}: {}", answer.body);
    }
    for scope in ["re\"ad", "read  write", " read", "caf\u{e9}", &"read ".repeat(1000)] {
        let answer = issue(&node, &json!({"client_id": app.id, "scope": scope})).await;
        assert_eq!(answer.refusal(), (400, "invalid_scope".into()), "{scope:?}");
    }
}

async fn no_token_is_issued_that_speaks_for_somebody_else(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, other) = (node.application().await, node.application().await);
    let own = node.issue(&app, json!({"sub": format!("client:{}", app.id)})).await;
    assert!(own["access_token"].is_string());
    for sub in [format!("client:{}", other.id), "client:".into(), "client:unknown".into()] {
        let answer = issue(&node, &json!({"client_id": app.id, "sub": sub})).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{sub}");
    }
    for owner in ["unknown-client", "", "caf\u{e9}", &"x".repeat(129)] {
        let answer = issue(&node, &json!({"client_id": owner})).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{owner}");
    }
    for name in ["sub", "username"] {
        for bad in ["", "nul\u{0}", "line\nbreak", "del\u{7f}", &"x".repeat(1025)] {
            let mut body = json!({"client_id": app.id});
            body[name] = json!(bad);
            assert_eq!(issue(&node, &body).await.refusal(), (400, "invalid_request".into()), "{name} {bad:?}");
        }
    }
}

async fn hostile_bodies_are_refused(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let id = app.id.as_str();
    for body in HOSTILE.into_iter().chain([&deep()[..], b"", b"{}"]) {
        let answer = post_bytes(&node, "/admin/tokens", body).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{}", String::from_utf8_lossy(body));
    }
    for members in [
        r#""sub":"alice","sub":"alice""#,
        r#""sub":"alice","\u0073ub":"mallory""#,
        r#""claims":{"a":1,"a":2}"#,
        r#""claims":{"a":[{"b":1,"b":1}]}"#,
        r#""cnf":{"jkt":"x","jkt":"y"}"#,
        r#""unknown":1"#,
        r#""active":false"#,
        r#""format":"JWT""#,
        r#""format":1"#,
        r#""sub":1"#,
        r#""sub":["alice"]"#,
        r#""username":{}"#,
        r#""scope":["read"]"#,
        r#""exp":"2030-01-01""#,
        r#""nbf":true"#,
        r#""refresh":"true""#,
        r#""refresh":null"#,
        r#""token":5"#,
        r#""claims":[]"#,
        r#""claims":null"#,
    ] {
        let body = format!(r#"{{"client_id":"{id}",{members}}}"#);
        let answer = post_bytes(&node, "/admin/tokens", body.as_bytes()).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{members}");
        assert!(answer.body.len() < 400, "{members}");
    }
    let repeated = format!(r#"{{"client_id":"{id}","client_id":"{id}"}}"#);
    assert_eq!(post_bytes(&node, "/admin/tokens", repeated.as_bytes()).await.status, 400);
    // What may be left out may also be null; a null that was written down would break readers.
    let nulls =
        json!({"client_id": id, "sub": null, "scope": null, "aud": null, "exp": null, "cnf": null, "token": null});
    let issued = issue(&node, &nulls).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let described = node.api.introspect(app.pair(), issued.json()["access_token"].as_str().unwrap()).await;
    assert!(!described.body.contains("null"), "{}", described.body);
}

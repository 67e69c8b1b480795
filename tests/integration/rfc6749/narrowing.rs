//! Asking for less than was granted, and never for more: scopes (section 6), resources (RFC 8707 section 2.2),
//! authorization details (RFC 9396); and what no refresh changes (RFC 9470).

use std::time::Duration;

use serde_json::{Value, json};

use super::everything;
use crate::support::life::{Pair, expect_invalid_grant, refreshing};
use crate::support::node::{AUDIENCE, Kind, Node, Registered};

over_both_stores! {
    rfc8707_2_2_a_part_of_the_resources_can_be_asked_for
    rfc9396_5_authorization_details_of_registered_types_can_be_asked_for
    rfc9396_5_malformed_authorization_details_are_refused
    rfc9396_6_a_part_of_the_authorization_details_can_be_asked_for
    rfc9470_6_2_no_refresh_changes_when_and_how_the_user_logged_in
    section_6_less_scope_can_be_asked_for_and_the_grant_keeps_all
    section_6_more_scope_is_refused_and_uses_nothing_up
    section_6_what_is_invalid_and_asks_too_much_is_invalid
}

async fn describe(node: &Node, client: &Registered, token: &str) -> Value {
    let described = node.api.introspect(client.pair(), token).await.json();
    assert_eq!(described["active"], json!(true));
    described
}

/// Refreshes with these parameters: the answer, and the pair in it.
async fn narrowed(node: &Node, app: &Registered, token: &str, parameters: &[(&str, &str)]) -> (Value, Pair) {
    let answer = node.refresh_with(app, token, parameters).await;
    assert_eq!(answer.status, 200, "{parameters:?}: {}", answer.body);
    (answer.json(), Pair::of(&answer.json()))
}

async fn section_6_less_scope_can_be_asked_for_and_the_grant_keeps_all(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let mut refresh = node.grant(&app, json!({"scope": "read write delete"})).await.refresh;
    for (asked, granted) in [
        (Some("read"), "read"),
        (Some("delete read"), "delete read"),
        (None, "read write delete"),
        (Some("write write"), "write"),
        (Some(""), "read write delete"),
    ] {
        let parameters: Vec<_> = asked.map(|scope| ("scope", scope)).into_iter().collect();
        let (answer, pair) = narrowed(&node, &app, &refresh, &parameters).await;
        assert_eq!(answer["scope"], json!(granted), "{asked:?}");
        assert_eq!(describe(&node, &app, &pair.access).await["scope"], json!(granted), "{asked:?}");
        assert_eq!(describe(&node, &app, &pair.refresh).await["scope"], json!("read write delete"), "{asked:?}");
        refresh = pair.refresh;
    }
    let bare = node.grant(&app, json!({"scope": ""})).await.refresh;
    assert_eq!(node.refresh_with(&app, &bare, &[("scope", "read")]).await.refusal(), (400, "invalid_scope".into()));
    let (answer, pair) = narrowed(&node, &app, &bare, &[]).await;
    assert_eq!(answer.get("scope"), None);
    assert_eq!(describe(&node, &app, &pair.access).await.get("scope"), None);
}

/// Not even a scope that the client is registered for: what counts is what was granted.
async fn section_6_more_scope_is_refused_and_uses_nothing_up(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let pair = node.grant(&app, json!({"scope": "read"})).await;
    let long = "read ".repeat(2000);
    for scope in [
        "write",
        "read write",
        "READ",
        "read  ",
        " read",
        "read\twrite",
        "re\"ad",
        "caf\u{e9}",
        "*",
        "introspectd:introspect",
        &long,
    ] {
        let answer = node.refresh_with(&app, &pair.refresh, &[("scope", scope)]).await;
        assert_eq!(answer.refusal(), (400, "invalid_scope".into()), "{scope:?}");
    }
    assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, true]);
    let (_, next) = narrowed(&node, &app, &pair.refresh, &[("scope", "read")]).await;
    // Nor does the wish of an earlier refresh limit the next one's, or widen it.
    let answer = node.refresh_with(&app, &next.refresh, &[("scope", "read write")]).await;
    assert_eq!(answer.refusal(), (400, "invalid_scope".into()));
    node.rotate(&app, &next.refresh).await;
}

/// That it asks too much must not tell a spent refresh token, or a stranger's, from one that works; and using it is a
/// second use all the same.
async fn section_6_what_is_invalid_and_asks_too_much_is_invalid(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, other) = (node.refresher().await, node.refresher().await);
    for excess in [
        ("scope", "read write delete"),
        ("resource", "https://elsewhere.example.com"),
        ("authorization_details", r#"[{"type":"payment"}]"#),
    ] {
        let spent = node.grant(&app, json!({})).await.refresh;
        let current = node.rotate(&app, &spent).await;
        expect_invalid_grant(&node.refresh_with(&other, &current.refresh, &[excess]).await);
        assert_eq!(node.alive(&app, [&current.access, &current.refresh]).await, [true, true]);
        expect_invalid_grant(&node.refresh_with(&app, &spent, &[excess]).await);
        assert_eq!(node.alive(&app, [&current.access, &current.refresh]).await, [false, false], "{excess:?}");
    }
}

async fn rfc8707_2_2_a_part_of_the_resources_can_be_asked_for(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let (one, two) = (AUDIENCE, "https://two.example.com/path?query=1");
    let mut refresh = node.grant(&app, json!({"aud": [one, two]})).await.refresh;
    let all = json!([one, two]);
    for bad in [
        "https://three.example.com",
        "https://api.example.com/",
        "https://API.example.com",
        "https://two.example.com/path",
        "*",
        "api",
        "https://api.example.com#fragment",
        "https://api.example.com\u{e9}",
    ] {
        for asked in [vec![("resource", bad)], vec![("resource", one), ("resource", bad)]] {
            let answer = node.refresh_with(&app, &refresh, &asked).await;
            assert_eq!(answer.refusal(), (400, "invalid_target".into()), "{asked:?}");
        }
    }
    let server = node.client(json!({"rights": ["introspect"], "audiences": [two]})).await;
    for (asked, audience) in [
        (vec![("resource", one)], json!(one)),
        (vec![("resource", two), ("resource", two)], json!(two)),
        (vec![], all.clone()),
        (vec![("resource", "")], all.clone()),
        (vec![("resource", two), ("resource", one)], json!([two, one])),
    ] {
        let (_, pair) = narrowed(&node, &app, &refresh, &asked).await;
        assert_eq!(describe(&node, &app, &pair.access).await["aud"], audience, "{asked:?}");
        assert_eq!(describe(&node, &app, &pair.refresh).await["aud"], all, "{asked:?}");
        let meant = audience == json!(two) || audience.is_array();
        assert_eq!(node.api.is_active(server.pair(), &pair.access).await, meant, "{asked:?}");
        refresh = pair.refresh;
    }
}

const PAYMENT: &str = r#"{"type":"payment","amount":{"currency":"EUR","value":"12.50"}}"#;

async fn rfc9396_6_a_part_of_the_authorization_details_can_be_asked_for(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let payment: Value = serde_json::from_str(PAYMENT).unwrap();
    let account = json!({"type": "account", "actions": ["read", "list"]});
    let all = json!([payment, account]);
    let members = json!({"authorization_details": all, "claims": {"department": 7}, "cnf": {"x5t#S256": "abc"}});
    let mut refresh = node.grant(&app, members).await.refresh;
    for bad in [
        json!([{"type": "payment"}]),
        json!([{"type": "payment", "amount": {"currency": "EUR", "value": "99.00"}}]),
        json!([payment, {"type": "other"}]),
        json!([{"type": "account", "actions": ["list", "read"]}]),
        json!([]),
        json!({}),
        json!(payment),
        json!(["payment"]),
        json!([{"type": 1}]),
        json!(null),
    ] {
        let answer = node.refresh_with(&app, &refresh, &[("authorization_details", &bad.to_string())]).await;
        assert_eq!(answer.refusal(), (400, "invalid_authorization_details".into()), "{bad}");
    }
    for (asked, granted) in [
        (Some(json!([account])), json!([account])),
        (Some(json!([account, payment])), json!([account, payment])),
        (None, all.clone()),
    ] {
        let text = asked.map(|asked| asked.to_string());
        let parameters: Vec<_> = text.iter().map(|text| ("authorization_details", &**text)).collect();
        let (answer, pair) = narrowed(&node, &app, &refresh, &parameters).await;
        let described = describe(&node, &app, &pair.access).await;
        assert_eq!((&answer["authorization_details"], &described["authorization_details"]), (&granted, &granted));
        assert_eq!((&described["department"], &described["cnf"]), (&json!(7), &json!({"x5t#S256": "abc"})));
        assert_eq!(describe(&node, &app, &pair.refresh).await["authorization_details"], all);
        refresh = pair.refresh;
    }
    let without = node.grant(&app, json!({})).await.refresh;
    let answer = node.refresh_with(&app, &without, &[("authorization_details", &format!("[{PAYMENT}]"))]).await;
    assert_eq!(answer.refusal(), (400, "invalid_authorization_details".into()));
}

/// The answer of the token endpoint says what was granted (RFC 9396 section 7).
async fn rfc9396_5_authorization_details_of_registered_types_can_be_asked_for(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let mut metadata = refreshing();
    metadata["authorization_details_types"] = json!(["payment", "account"]);
    let app = node.client(metadata).await;
    let ask = async |client: &Registered, details: &str| {
        let form = [("grant_type", "client_credentials"), ("authorization_details", details)];
        node.api.post("/token", client.pair(), &form).await
    };
    for details in [format!("[{PAYMENT}]"), format!(r#"[{PAYMENT},{{"type":"account"}},{PAYMENT}]"#)] {
        let answer = ask(&app, &details).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let expected: Value = serde_json::from_str(&details).unwrap();
        assert_eq!(answer.json()["authorization_details"], expected);
        let described = describe(&node, &app, answer.json()["access_token"].as_str().unwrap()).await;
        assert_eq!(described["authorization_details"], expected);
    }
    let none = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await.json();
    assert_eq!(describe(&node, &app, none["access_token"].as_str().unwrap()).await.get("authorization_details"), None);
    for other in
        [r#"[{"type":"transfer"}]"#, &format!(r#"[{PAYMENT},{{"type":"transfer"}}]"#), r#"[{"type":"Payment"}]"#]
    {
        assert_eq!(ask(&app, other).await.refusal(), (400, "invalid_authorization_details".into()), "{other}");
    }
    // Registered for none, it may ask for none.
    let unregistered = everything(&node).await;
    let answer = ask(&unregistered, &format!("[{PAYMENT}]")).await;
    assert_eq!(answer.refusal(), (400, "invalid_authorization_details".into()));
}

async fn rfc9396_5_malformed_authorization_details_are_refused(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let mut metadata = refreshing();
    metadata["authorization_details_types"] = json!(["payment"]);
    let app = node.client(metadata).await;
    let pair = node.grant(&app, json!({})).await;
    let many = format!("[{}]", [r#"{"type":"payment"}"#; 65].join(","));
    let large = format!(r#"[{{"type":"payment","note":"{}"}}]"#, "x".repeat(9000));
    let nested = format!(r#"[{{"type":"payment","x":{}1{}}}]"#, "[".repeat(20), "]".repeat(20));
    let abyss = format!(r#"[{{"type":"payment","x":{}"#, "[".repeat(20_000));
    for bad in [
        "payment",
        "[",
        "[]",
        "{}",
        "null",
        r#""payment""#,
        r#"["payment"]"#,
        "[{}]",
        r#"[{"type":null}]"#,
        r#"[{"type":["payment"]}]"#,
        r#"[{"type":"payment","type":"payment"}]"#,
        r#"[{"type":"payment"}] trailing"#,
        r#"[{"type":"payment"},null]"#,
        r#"{"type":"payment"}"#,
        &many,
        &large,
        &nested,
        &abyss,
    ] {
        for form in [
            &[("grant_type", "client_credentials"), ("authorization_details", bad)][..],
            &[("grant_type", "refresh_token"), ("refresh_token", &pair.refresh), ("authorization_details", bad)],
        ] {
            let answer = node.api.post("/token", app.pair(), form).await;
            let shown = &bad[..bad.len().min(50)];
            assert_eq!(answer.refusal(), (400, "invalid_authorization_details".into()), "{shown}");
            assert!(answer.body.len() < 300, "{shown}");
        }
    }
    node.rotate(&app, &pair.refresh).await;
}

async fn rfc9470_6_2_no_refresh_changes_when_and_how_the_user_logged_in(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let begun = node.now();
    let pair = node
        .grant(
            &app,
            json!({
                "sub": "alice", "username": "alice@example.com", "cnf": {"x5t#S256": "abc"},
                "claims": {"acr": "urn:mace:silver", "auth_time": begun - 60, "amr": ["pwd", "otp"]}
            }),
        )
        .await;
    let first = describe(&node, &app, &pair.access).await;
    let mut refresh = pair.refresh;
    for _ in 0..3 {
        node.pass(Duration::from_mins(1)).await;
        let next = node.rotate(&app, &refresh).await;
        let described = describe(&node, &app, &next.access).await;
        for name in ["acr", "auth_time", "amr", "sub", "username", "cnf", "client_id", "aud", "iss", "scope"] {
            assert_eq!(described[name], first[name], "{name}");
        }
        assert_eq!(described["iat"], json!(node.now()));
        refresh = next.refresh;
    }
    let refresh = describe(&node, &app, &refresh).await;
    assert_eq!((&refresh["auth_time"], &refresh["iat"]), (&json!(begun - 60), &json!(begun)));
    // Nobody logged in for a client's own token.
    let own = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await.json();
    let own = describe(&node, &app, own["access_token"].as_str().unwrap()).await;
    assert_eq!((own.get("acr"), own.get("auth_time")), (None, None));
}

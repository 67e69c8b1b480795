//! What may be said of a token beyond the members that have a place of their own.

use introspectd::token::claims::RESERVED;
use serde_json::{Value, json};

use super::operate;
use crate::support::api::Answer;
use crate::support::node::{Kind, Node};

over_both_stores! {
    a_claim_cannot_take_the_place_of_a_member_of_ours
    claims_are_bounded_in_size_and_depth
    confirmation_and_authorization_details_have_their_form
}

async fn issue(node: &Node, id: &str, name: &str, value: Value) -> Answer {
    let mut body = json!({"client_id": id});
    body[name] = value;
    operate(node, "POST", "/admin/tokens", Some(body)).await
}

/// Whoever issues tokens must not be able to change what the server itself says of them.
async fn a_claim_cannot_take_the_place_of_a_member_of_ours(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    // What the list has to hold is tested in rfc7662; here, that issuing keeps to it.
    for name in RESERVED {
        let answer = issue(&node, &app.id, "claims", json!({name: "x"})).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{name}");
    }
    for (name, value) in [("acr", json!(1)), ("auth_time", json!("now")), ("auth_time", json!(1.5)), ("x", Value::Null)]
    {
        let answer = issue(&node, &app.id, "claims", json!({name: value})).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{name}");
    }
    // Text that would end a member and begin another stays text.
    let injected = r#"x","active":false,"y":"#;
    let issued = issue(&node, &app.id, "claims", json!({injected: injected, "z": injected})).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let described = node.api.introspect(app.pair(), issued.json()["access_token"].as_str().unwrap()).await.json();
    assert_eq!((&described["active"], &described[injected]), (&json!(true), &json!(injected)));
}

async fn claims_are_bounded_in_size_and_depth(kind: Kind) {
    const MOST: usize = 8192;
    let node = Node::start(kind).await;
    let app = node.application().await;
    let of_size = |bytes: usize| json!({"x": "y".repeat(bytes - r#""x":"""#.len())});
    let issued = issue(&node, &app.id, "claims", of_size(MOST)).await;
    assert_eq!(issued.status, 201, "at the limit: {}", issued.body);
    let described = node.api.introspect(app.pair(), issued.json()["access_token"].as_str().unwrap()).await.json();
    assert_eq!(described["x"], of_size(MOST)["x"], "and all of it is told");
    for oversized in [of_size(MOST + 1), json!({"x": "y".repeat(60_000)}), json!({"x": "\u{0}".repeat(MOST / 5)})] {
        let answer = issue(&node, &app.id, "claims", oversized).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()));
    }
    let nested = |levels: usize| {
        (0..levels).fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
    };
    assert_eq!(issue(&node, &app.id, "claims", json!({"x": nested(16)})).await.status, 201);
    for (name, value) in [
        ("claims", json!({"x": nested(17)})),
        ("claims", json!({"x": nested(100)})),
        ("cnf", json!({"x": nested(16)})),
        ("authorization_details", json!([{"type": "x", "y": nested(15)}])),
    ] {
        let answer = issue(&node, &app.id, name, value).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{name}");
    }
}

/// RFC 7800 section 3.1 and RFC 9396 section 2.
async fn confirmation_and_authorization_details_have_their_form(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    for (name, value) in [
        ("cnf", json!({})),
        ("cnf", json!("thumbprint")),
        ("cnf", json!([])),
        ("cnf", json!(1)),
        ("authorization_details", json!({"type": "payment"})),
        ("authorization_details", json!("payment")),
        ("authorization_details", json!([{"kind": "payment"}])),
        ("authorization_details", json!([{"type": 1}])),
        ("authorization_details", json!([{"type": "payment"}, {}])),
        ("authorization_details", json!(["payment"])),
    ] {
        let answer = issue(&node, &app.id, name, value.clone()).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{name} {value}");
    }
    for cnf in
        [json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), json!({"jwk": {"kty": "EC"}, "kid": "1"})]
    {
        let issued = issue(&node, &app.id, "cnf", cnf.clone()).await.json();
        let described = node.api.introspect(app.pair(), issued["access_token"].as_str().unwrap()).await.json();
        assert_eq!(described["cnf"], cnf);
    }
}

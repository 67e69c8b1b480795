//! What a caller may ask for beyond RFC 7662: that the token carries a scope or is for an audience, an answer that says
//! `active` only, and for how long the token is. Nothing of it changes an answer for which it was not asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::{INACTIVE, access, expect_inactive};
use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, Registered};

over_both_stores! {
    section_2_1_a_scope_that_the_caller_may_not_see_is_missing
    section_2_1_a_scope_that_the_token_must_carry
    section_2_1_an_audience_that_the_token_must_be_for
    section_2_1_every_wish_at_once
    section_2_1_nothing_changes_when_nothing_is_asked
    section_2_1_wishes_that_make_no_sense_are_refused
    section_2_2_a_minimal_answer_says_active_and_no_more
    section_2_2_for_how_long_the_token_is_active
}

async fn ask(node: &Node, caller: &Registered, token: &str, wishes: &[(&str, &str)]) -> Answer {
    let form: Vec<_> = [("token", token)].iter().chain(wishes).copied().collect();
    node.api.post("/introspect", caller.pair(), &form).await
}

fn expect_active(answer: &Answer) -> Value {
    assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(true)), "{answer:?}");
    answer.json()
}

async fn section_2_1_nothing_changes_when_nothing_is_asked(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = access(&node.issue(&app, json!({"sub": "alice", "claims": {"a": 1}})).await).to_owned();
    let plain = node.api.introspect(server.pair(), &token).await;
    assert_eq!(expect_active(&plain).get("expires_in"), None);
    for wishes in [
        &[("scope", ""), ("audience", ""), ("minimal", ""), ("expires_in", "")][..],
        &[("minimal", "false"), ("expires_in", "false")],
        &[("Minimal", "true"), ("SCOPE", "admin"), ("unknown", "x")],
        &[("resource", "https://elsewhere.example.com")],
        &[("scope", "write"), ("audience", AUDIENCE)],
    ] {
        assert_eq!(ask(&node, &server, &token, wishes).await.whole(), plain.whole(), "{wishes:?}");
    }
}

async fn section_2_1_a_scope_that_the_token_must_carry(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = access(&node.issue(&app, json!({"scope": "read write a:b"})).await).to_owned();
    let bare = access(&node.issue(&app, json!({"scope": ""})).await).to_owned();
    for (scope, carried) in [
        ("read", true),
        ("a:b read", true),
        ("write read write", true),
        ("read delete", false),
        ("READ", false),
        ("rea", false),
        ("a:*", false),
    ] {
        let answer = ask(&node, &server, &token, &[("scope", scope)]).await;
        if carried {
            assert_eq!(expect_active(&answer)["scope"], json!("read write a:b"), "it is told whole: {scope}");
        } else {
            expect_inactive(&answer);
        }
        expect_inactive(&ask(&node, &server, &bare, &[("scope", scope)]).await);
    }
    expect_active(&ask(&node, &server, &bare, &[]).await);
}

/// Otherwise a resource server could ask for one name after the other, and learn what it is not to see.
async fn section_2_1_a_scope_that_the_caller_may_not_see_is_missing(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.application().await;
    let narrow = node.client(json!({"rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read"})).await;
    let token = node.token(&app).await;
    assert_eq!(expect_active(&ask(&node, &narrow, &token, &[("scope", "read")]).await)["scope"], json!("read"));
    let unseen = ask(&node, &narrow, &token, &[("scope", "write")]).await;
    let absent = ask(&node, &narrow, &token, &[("scope", "no-such-scope")]).await;
    assert_eq!(unseen.whole(), absent.whole());
    expect_inactive(&unseen);
    expect_inactive(&ask(&node, &narrow, &token, &[("scope", "read write")]).await);
    expect_active(&ask(&node, &app, &token, &[("scope", "read write")]).await);
}

async fn section_2_1_an_audience_that_the_token_must_be_for(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.application().await;
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    let two = "https://two.example.com";
    let token = access(&node.issue(&app, json!({"aud": [AUDIENCE, two]})).await).to_owned();
    let nobodys = access(&node.issue(&app, json!({"aud": []})).await).to_owned();
    for (audience, meant) in [
        (AUDIENCE, true),
        (two, true),
        ("https://api.example.com/", false),
        ("HTTPS://API.EXAMPLE.COM", false),
        ("https://api.example.com https://two.example.com", false),
        ("*", false),
    ] {
        let answer = ask(&node, &gateway, &token, &[("audience", audience)]).await;
        assert_eq!(answer.json()["active"], json!(meant), "{audience}");
        expect_inactive(&ask(&node, &gateway, &nobodys, &[("audience", audience)]).await);
    }
    // To ask for an audience is not to serve it.
    let stranger = node.client(json!({"rights": ["introspect"], "audiences": ["https://other.example.com"]})).await;
    expect_inactive(&ask(&node, &stranger, &token, &[("audience", AUDIENCE)]).await);
    expect_active(&ask(&node, &gateway, &nobodys, &[]).await);
}

async fn section_2_2_a_minimal_answer_says_active_and_no_more(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let pair = node.grant(&app, json!({"sub": "alice"})).await;
    let minimal = &[("minimal", "true")][..];
    for (caller, token) in [(&app, &pair.access), (&server, &pair.access), (&app, &pair.refresh)] {
        let answer = ask(&node, caller, token, minimal).await;
        assert_eq!((answer.status, &*answer.body), (200, r#"{"active":true}"#));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    expect_inactive(&ask(&node, &server, &pair.refresh, minimal).await);
    expect_inactive(&ask(&node, &server, "no-token-at-all", minimal).await);
    assert_eq!(node.api.revoke(app.pair(), &pair.access).await.status, 200);
    expect_inactive(&ask(&node, &app, &pair.access, minimal).await);
}

/// A caller whose clock is wrong can hold an answer for no longer than this.
async fn section_2_2_for_how_long_the_token_is_active(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let pair = node.grant(&app, json!({"expires_in": 100, "refresh_expires_in": 200})).await;
    let wish = &[("expires_in", "true")][..];
    for (passed, left) in [(0, 100), (40, 60), (59, 1)] {
        node.pass(Duration::from_secs(passed)).await;
        let answer = ask(&node, &server, &pair.access, wish).await;
        let mut described = expect_active(&answer);
        assert_eq!(described["expires_in"], json!(left));
        assert_eq!(described["exp"].as_u64().unwrap() - node.now(), left);
        described.as_object_mut().unwrap().remove("expires_in");
        assert_eq!(described, node.api.introspect(server.pair(), &pair.access).await.json(), "and nothing else");
    }
    assert_eq!(expect_active(&ask(&node, &app, &pair.refresh, wish).await)["expires_in"], json!(101));
    node.pass(Duration::from_secs(1)).await;
    expect_inactive(&ask(&node, &server, &pair.access, wish).await);
}

async fn section_2_1_every_wish_at_once(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = access(&node.issue(&app, json!({"expires_in": 100})).await).to_owned();
    let all = |scope| [("scope", scope), ("audience", AUDIENCE), ("minimal", "true"), ("expires_in", "true")];
    let answer = ask(&node, &server, &token, &all("read")).await;
    assert_eq!(answer.body, r#"{"active":true,"expires_in":100}"#);
    assert_eq!(ask(&node, &server, &token, &all("delete")).await.body, INACTIVE);
}

/// Refused whatever the token is, and before it is looked up: the answer says nothing of it.
async fn section_2_1_wishes_that_make_no_sense_are_refused(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    let long = "read ".repeat(1000);
    for (wishes, code) in [
        (&[("minimal", "yes")][..], "invalid_request"),
        (&[("minimal", "True")], "invalid_request"),
        (&[("minimal", "1")], "invalid_request"),
        (&[("minimal", " true")], "invalid_request"),
        (&[("expires_in", "60")], "invalid_request"),
        (&[("expires_in", "TRUE")], "invalid_request"),
        (&[("minimal", "true"), ("minimal", "true")], "invalid_request"),
        (&[("expires_in", "true"), ("expires_in", "false")], "invalid_request"),
        (&[("scope", "read"), ("scope", "read")], "invalid_request"),
        (&[("audience", AUDIENCE), ("audience", AUDIENCE)], "invalid_request"),
        (&[("scope", "read  write")], "invalid_scope"),
        (&[("scope", " read")], "invalid_scope"),
        (&[("scope", "re\"ad")], "invalid_scope"),
        (&[("scope", "caf\u{e9}")], "invalid_scope"),
        (&[("scope", &long)], "invalid_scope"),
    ] {
        let refused = ask(&node, &server, &token, wishes).await;
        assert_eq!(refused.refusal(), (400, code.to_owned()), "{wishes:?}");
        assert_eq!(ask(&node, &server, "no-token-at-all", wishes).await.whole(), refused.whole(), "{wishes:?}");
    }
    let long = "a".repeat(50_000);
    expect_inactive(&ask(&node, &server, &token, &[("audience", &long)]).await);
}

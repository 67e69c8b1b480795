//! The request, section 2.1: what is read of it, and who may send it.

use super::*;
use crate::support::node::{Kind, Node};
use serde_json::json;
use std::time::Duration;

over_both_stores! {
    section_2_1_a_token_is_posted_as_a_form
    section_2_1_the_token_is_required
    section_2_1_a_parameter_may_not_be_repeated
    section_2_1_hints_change_nothing
    section_2_1_callers_prove_who_they_are
    section_2_1_an_unknown_client_looks_like_a_wrong_secret
    section_2_1_every_way_of_authentication_works
    section_2_1_the_caller_is_judged_before_the_token
    section_2_1_the_owner_alone_sees_a_refresh_token
    section_2_1_token_values_are_taken_as_they_are
}

// === the request ===

async fn section_2_1_a_token_is_posted_as_a_form(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    for path in ["/introspect", "/oauth2/introspect"] {
        // Gateways add parameters of their own, and they change nothing.
        for form in [&[("token", &*token)][..], &[("scope", ""), ("token", &*token), ("client", "x")]] {
            let answer = node.api.post(path, server.pair(), form).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
            assert_eq!(answer.json()["active"], json!(true));
        }
    }
}

async fn section_2_1_the_token_is_required(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    for form in [&[][..], &[("token", "")], &[("token_type_hint", "access_token")], &[("Token", &*token)]] {
        let answer = node.api.post("/introspect", server.pair(), form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{form:?}");
    }
    let in_the_query = node.api.post(&format!("/introspect?token={token}"), server.pair(), &[]).await;
    assert_eq!(in_the_query.refusal(), (400, "invalid_request".to_owned()));
}

async fn section_2_1_a_parameter_may_not_be_repeated(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = &*node.token(&app).await;
    for form in [
        [("token", token), ("token", token)],
        [("token", token), ("token", "")],
        [("token_type_hint", "access_token"), ("token_type_hint", "access_token")],
    ] {
        let form = [&form[..], &[("token_type_hint", "")]].concat();
        let answer = node.api.post("/introspect", server.pair(), &form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{form:?}");
    }
}

async fn section_2_1_hints_change_nothing(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let (access, refresh) = node.tokens(&app).await;
    for token in [&*access, &refresh, "no-token-at-all"] {
        let plain = node.api.introspect(app.pair(), token).await;
        for hint in ["access_token", "refresh_token", "ACCESS_TOKEN", "foo", "", "id_token"] {
            let hinted = [("token_type_hint", hint), ("token", token)];
            let answer = node.api.post("/introspect", app.pair(), &hinted).await;
            assert_eq!(answer.whole(), plain.whole(), "{hint}");
        }
    }
}

/// RFC 7009 section 5 warns of look-ups that a peer can multiply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_1_a_wrong_hint_costs_no_further_read() {
    // One that remembers nothing: every question is a read.
    let node = Node::start_with(Kind::Redis, &[("cache.enabled", "false")]).await;
    let app = node.application().await;
    let (access, refresh) = node.tokens(&app).await;
    for (token, wrong) in [(access, "refresh_token"), (refresh, "access_token")] {
        let mut reads = Vec::new();
        for form in [&[("token", &*token)][..], &[("token", &*token), ("token_type_hint", wrong)]] {
            let before = node.store_calls().await;
            assert_eq!(node.api.post("/introspect", app.pair(), form).await.json()["active"], json!(true));
            reads.push(node.store_calls().await - before);
        }
        assert_eq!(reads[0], reads[1], "reads without and with a wrong hint");
        assert_eq!(reads[0], 3, "the caller, the token, what surrounds it");
    }
}

async fn section_2_1_callers_prove_who_they_are(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = &*node.token(&app).await;
    let form = &[("token", token)][..];

    let nobody = node.api.post_bare("/introspect", form).await;
    expect_invalid_client(&nobody);
    assert_eq!(nobody.lines("www-authenticate"), [BASIC, r#"Bearer realm="introspectd""#]);

    for pair in [("nobody", "secret"), (app.id.as_str(), "wrong"), (app.id.as_str(), ""), ("", "")] {
        expect_invalid_client(&node.api.post("/introspect", pair, form).await);
    }
    for form in [
        [("token", token), ("client_id", &*app.id), ("client_secret", "wrong")],
        // The name of a confidential client is no proof.
        [("token", token), ("client_id", &*app.id), ("unknown", "x")],
    ] {
        expect_invalid_client(&node.api.post_bare("/introspect", &form).await);
    }

    let revoked = node.resource_server().await;
    node.operate("POST", &format!("/admin/clients/{}/revoke", revoked.id), None).await;
    expect_invalid_client(&node.api.introspect(revoked.pair(), token).await);

    let public = node.client(json!({"token_endpoint_auth_method": "none"})).await;
    let named = [("token", token), ("client_id", &*public.id)];
    expect_invalid_client(&node.api.post_bare("/introspect", &named).await);

    // The old secret of the first ends at once, that of the second after a second.
    let rotated = [node.resource_server().await, node.resource_server().await];
    for (seconds, server) in rotated.iter().enumerate() {
        let overlap = json!({"overlap_seconds": seconds});
        node.operate("POST", &format!("/admin/clients/{}/rotate-secret", server.id), Some(overlap)).await;
    }
    node.pass(Duration::from_secs(1)).await;
    for server in rotated {
        expect_invalid_client(&node.api.introspect(server.pair(), token).await);
    }
}

async fn section_2_1_an_unknown_client_looks_like_a_wrong_secret(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let wrong = node.api.introspect((&app.id, "wrong"), "x").await;
    let unknown = node.api.introspect(("nobody", "wrong"), "x").await;
    assert_eq!(wrong.whole(), unknown.whole());
    assert_eq!(wrong.header("www-authenticate"), Some(BASIC));
}

async fn section_2_1_every_way_of_authentication_works(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = &*node.token(&node.application().await).await;
    let basic = node.api.introspect(server.pair(), token).await;
    assert_eq!(basic.json()["active"], json!(true));
    let in_the_body = [("client_id", &*server.id), ("client_secret", &*server.secret), ("token", token)];
    let post = node.api.post_bare("/introspect", &in_the_body).await;
    assert_eq!(post.whole(), basic.whole());
    let credentials = node.bearer(&server, "introspectd:introspect").await;
    let bearer = node.api.post_as("/introspect", &format!("Bearer {credentials}"), &[("token", token)]).await;
    assert_eq!(bearer.whole(), basic.whole());
}

async fn section_2_1_the_caller_is_judged_before_the_token(kind: Kind) {
    let node = Node::start(kind).await;
    expect_invalid_client(&node.api.post("/introspect", ("nobody", "secret"), &[]).await);
    let powerless = node.client(json!({})).await;
    let answer = node.api.post("/introspect", powerless.pair(), &[]).await;
    assert_eq!(answer.refusal(), (403, "unauthorized_client".to_owned()));
}

/// A resource server that saw a refresh token could take it for an access token.
async fn section_2_1_the_owner_alone_sees_a_refresh_token(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    let (access, refresh) = node.tokens(&app).await;
    let described = node.api.introspect(app.pair(), &refresh).await.json();
    assert_eq!((&described["active"], described.get("token_type")), (&json!(true), None));
    for server in [&node.resource_server().await, &gateway] {
        assert!(node.api.is_active(server.pair(), &access).await);
        expect_inactive(&node.api.introspect(server.pair(), &refresh).await);
    }
}

async fn section_2_1_token_values_are_taken_as_they_are(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    let legacy = "legacy.token-1";
    node.issue(&app, json!({"token": legacy})).await;
    let long = "a".repeat(60_000);
    let deep = format!("eyJhbGciOiJub25lIn0.{}.", "W10".repeat(5_000));
    let mut values: Vec<String> = [
        " ",
        "\0",
        "\u{1F511}",
        "*",
        "?",
        ":",
        "itd:t:*",
        "a\r\nSET x y\r\n",
        "true",
        "null",
        "{}",
        "[]",
        "a.b.c",
        "..",
        "itd_at_",
        "itd_rt_t1",
        "\u{FEFF}",
        &long,
        &deep,
    ]
    .map(str::to_owned)
    .to_vec();
    for known in [&*token, legacy] {
        assert!(node.api.is_active(server.pair(), known).await);
        values.extend(
            ["{} ", " {}", "{}\0", "{}\n", "{}=", "{},{}", "Bearer {}"].map(|shape| shape.replace("{}", known)),
        );
        values.extend([known.to_uppercase(), known[..known.len() - 1].to_owned(), known[1..].to_owned()]);
    }
    for value in values {
        let answer = node.api.introspect(server.pair(), &value).await;
        assert_eq!((answer.status, &*answer.body), (200, INACTIVE), "{:?}", &value[..value.len().min(100)]);
    }
}

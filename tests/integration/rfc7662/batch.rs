//! Many tokens in one request: each is answered as `/introspect` would, in the order of the question, or nothing is.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{access, expect_invalid_client, expect_invalid_token, unknown_token};
use crate::support::api::{Answer, Api};
use crate::support::eventually;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};

over_both_stores! {
    a_batch_says_of_each_token_what_a_single_question_says
    a_caller_of_a_batch_must_be_known_and_have_the_right
    a_revocation_ends_a_token_for_the_next_batch
    batches_that_make_no_sense_are_refused
    tokens_of_a_batch_that_are_not_active_spend_the_callers_budget
    wishes_hold_for_each_token_of_a_batch
}

async fn ask(node: &Node, client: (&str, &str), body: impl Into<String>) -> Answer {
    post(&node.api, client, body.into()).await
}

async fn post(api: &Api, client: (&str, &str), body: String) -> Answer {
    let request = api.request("POST", &api.url("/introspect/batch")).basic_auth(client.0, Some(client.1));
    api.send(request.header("content-type", "application/json").body(body)).await
}

async fn results(node: &Node, server: &Registered, tokens: &[&str]) -> Vec<Value> {
    let answer = ask(node, server.pair(), json!({ "tokens": tokens }).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["results"].as_array().unwrap().clone()
}

async fn a_batch_says_of_each_token_what_a_single_question_says(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let signed = node.client(json!({"access_token_format": "jwt", "audiences": [AUDIENCE]})).await;
    let elsewhere = node.issue(&app, json!({"aud": "https://elsewhere.example.com"})).await;
    let short = node.issue(&app, json!({"expires_in": 5})).await;
    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(app.pair(), &revoked).await.status, 200);
    node.pass(Duration::from_secs(6)).await;
    let (good, jwt, unknown) = (node.token(&app).await, node.token(&signed).await, unknown_token().await);
    let altered = format!("{}A", &good[..good.len() - 1]);
    let pair = node.refresher().await;
    let refresh = node.grant(&pair, json!({})).await.refresh;
    let mut tokens =
        vec![&*good, access(&elsewhere), &jwt, access(&short), &revoked, &unknown, &altered, "", "x", &refresh, &good];
    // More than are read at once, and more than once.
    let many: Vec<_> = (0..90).map(|number| format!("made-elsewhere-{number}")).collect();
    tokens.extend(many.iter().map(String::as_str));
    for _ in 0..3 {
        let results = results(&node, &server, &tokens).await;
        assert_eq!(results.len(), tokens.len());
        for (token, result) in tokens.iter().zip(&results).filter(|(token, _)| !token.is_empty()) {
            assert_eq!(node.api.introspect(server.pair(), token).await.json(), *result, "{token}");
        }
        assert_eq!(results[7], json!({"active": false}));
        assert_eq!((&results[0]["active"], &results[2]["active"]), (&json!(true), &json!(true)));
    }
    assert!(results(&node, &server, &[]).await.is_empty());
}

async fn a_revocation_ends_a_token_for_the_next_batch(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let (one, other) = (node.token(&app).await, node.token(&app).await);
    for _ in 0..3 {
        assert_eq!(results(&node, &server, &[&one, &other]).await[0]["active"], true);
    }
    assert_eq!(node.api.revoke(app.pair(), &one).await.status, 200);
    let seen = results(&node, &server, &[&one, &other]).await;
    assert_eq!((&seen[0], &seen[1]["active"]), (&json!({"active": false}), &json!(true)));
}

async fn wishes_hold_for_each_token_of_a_batch(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let both = access(&node.issue(&app, json!({"scope": "read write"})).await).to_owned();
    let read = access(&node.issue(&app, json!({"scope": "read"})).await).to_owned();
    let question = json!({
        "tokens": [both, read], "scope": "write", "audience": AUDIENCE, "minimal": true, "expires_in": true
    });
    let answer = ask(&node, server.pair(), question.to_string()).await.json();
    assert_eq!(answer["results"][0]["active"], true);
    assert_eq!(answer["results"][0].as_object().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["results"][1], json!({"active": false}));
    let malformed = json!({"tokens": [both], "scope": "a\"b"}).to_string();
    assert_eq!(ask(&node, server.pair(), malformed).await.refusal(), (400, "invalid_scope".to_owned()));
}

async fn a_caller_of_a_batch_must_be_known_and_have_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let question = json!({"tokens": ["x"]}).to_string();
    expect_invalid_client(&ask(&node, (&server.id, "wrong"), question.clone()).await);
    expect_invalid_client(&ask(&node, (&server.id, "wrong"), "no JSON, and nobody looks").await);
    let no_right = node.client(json!({"rights": []})).await;
    assert_eq!(ask(&node, no_right.pair(), "no JSON").await.refusal(), (403, "unauthorized_client".to_owned()));
    assert_eq!(ask(&node, no_right.pair(), question.clone()).await.refusal(), (403, "unauthorized_client".to_owned()));
    // Whoever holds a token must not learn about it with nothing but the token.
    let bearer = node.bearer(&server, "introspectd:introspect").await;
    let as_bearer = async |tokens: &[&str]| {
        let request = node.api.request("POST", &node.api.url("/introspect/batch")).bearer_auth(&bearer);
        let body = json!({ "tokens": tokens }).to_string();
        node.api.send(request.header("content-type", "application/json").body(body)).await
    };
    let token = node.token(&app).await;
    assert_eq!(as_bearer(&[&token]).await.json()["results"][0]["active"], true);
    expect_invalid_token(&as_bearer(&[&token, &bearer]).await);
}

async fn batches_that_make_no_sense_are_refused(kind: Kind) {
    let node = Node::start_with(kind, &[("http.max_batch_bytes", "100000")]).await;
    let server = node.resource_server().await;
    for body in [
        String::new(),
        "[]".into(),
        r#"["x"]"#.into(),
        "{}".into(),
        r#"{"tokens":"x"}"#.into(),
        r#"{"tokens":[null]}"#.into(),
        r#"{"tokens":["x"],"tokens":["y"]}"#.into(),
        r#"{"tokens":["x"],"token":"y"}"#.into(),
        json!({"tokens": vec!["x"; 1001]}).to_string(),
    ] {
        let answer = ask(&node, server.pair(), body.clone()).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{body}");
    }
    let long = json!({"tokens": ["x".repeat(100_000)]}).to_string();
    assert_eq!(ask(&node, server.pair(), long).await.refusal(), (413, "invalid_request".to_owned()));
    assert_eq!(results(&node, &server, &vec!["x"; 1000]).await.len(), 1000);
    let form = node.api.post("/introspect/batch", server.pair(), &[("token", "x")]).await;
    assert_eq!(form.status, 415);
    let get = node.api.send(node.api.request("GET", &node.api.url("/introspect/batch"))).await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST, OPTIONS")));
    let signing = json!({"rights": ["introspect"], "introspection_signed_response_alg": "ES256"});
    let signing = node.client(signing).await;
    let answer = ask(&node, signing.pair(), json!({"tokens": ["x"]}).to_string()).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()));
}

async fn tokens_of_a_batch_that_are_not_active_spend_the_callers_budget(kind: Kind) {
    let node = Node::start_still(kind, &[("authentication.unknown_tokens_per_second", "5")]).await;
    let server = node.resource_server().await;
    let fifty = vec!["x"; 50];
    assert_eq!(results(&node, &server, &fifty).await.len(), 50);
    let refused = ask(&node, server.pair(), json!({"tokens": ["x"]}).to_string()).await;
    assert_eq!(refused.refusal(), (429, "too_many_requests".to_owned()));
    let token = node.token(&node.application().await).await;
    assert_eq!(results(&node, &server, &[&token]).await[0]["active"], true, "live tokens cost nothing");
}

/// What could not be read is no answer, and no part of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_which_one_state_cannot_be_read_is_503() {
    let mut node = Node::start_with(Kind::Redis, &[("redis.response_timeout", "500ms")]).await;
    let app = node.application().await;
    let token = node.token(&app).await;
    node.redis.as_mut().unwrap().kill();
    let garbage = json!({"tokens": ["itd_at_garbage", token]}).to_string();
    let answer = ask(&node, OPERATOR, garbage).await;
    assert_eq!(answer.refusal(), (503, "temporarily_unavailable".to_owned()));
    assert!(answer.header("retry-after").is_some());
}

/// What waits for the store is bounded. Batches wait for each other before they take all of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_batches_leave_room_for_those_who_ask_about_one_token() {
    let settings = [("redis.response_timeout", "10s"), ("redis.connections", "1"), ("cache.enabled", "false")];
    let node = Node::start_with(Kind::Redis, &settings).await;
    let (server, token) = (node.resource_server().await, node.token(&node.application().await).await);
    let many = json!({"tokens": vec![token.clone(); 100]}).to_string();
    // More than can wait, were each batch to read as many at once as it may.
    let batches = 40_u64;
    let redis = node.redis.as_ref().unwrap();
    redis.freeze();
    let mut asked = JoinSet::new();
    for _ in 0..batches {
        let (api, server, many) = (node.api.clone(), server.clone(), many.clone());
        asked.spawn(async move { post(&api, server.pair(), many).await.status });
    }
    let in_flight = async |wanted| node.counter("introspect_http_requests_in_flight").await >= wanted;
    // The question about this counts as well.
    eventually("all batches wait", async || in_flight(batches + 1).await).await;
    let single = tokio::spawn({
        let (api, server, token) = (node.api.clone(), server.clone(), token.clone());
        async move { api.introspect(server.pair(), &token).await }
    });
    eventually("somebody waits who asks about one", async || in_flight(batches + 2).await || single.is_finished())
        .await;
    redis.thaw();
    let answer = single.await.unwrap();
    assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(true)), "{}", answer.body);
    assert!(asked.join_all().await.into_iter().all(|status| status == 200));
}

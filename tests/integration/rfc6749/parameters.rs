//! What all endpoints that take a form share (sections 3.2, 5.1, 5.2, 10).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ENDPOINTS, PATIENT, everything};
use crate::support::api::Answer;
use crate::support::node::{Kind, Node, Registered};

over_both_stores! {
    section_2_3_1_credentials_and_tokens_in_the_query_are_not_honoured
    section_3_2_the_media_type_is_compared_without_case_and_parameters
    section_3_2_an_empty_parameter_is_absent
    section_3_2_a_repeated_parameter_is_refused_before_anything_else
    section_3_2_unknown_parameters_are_ignored
    section_5_1_answers_are_not_to_be_kept
    section_5_2_a_bad_client_is_told_before_a_missing_parameter
    section_5_2_errors_echo_nothing
    section_10_10_tokens_and_secrets_are_long_random_and_plain
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(node: &Node, client: Option<&Registered>, path: &str, body: &str) -> Answer {
    let mut request = node.api.request("POST", &node.api.url(path)).header("content-type", FORM).body(body.to_owned());
    if let Some(client) = client {
        request = request.basic_auth(&client.id, Some(&client.secret));
    }
    node.api.send(request).await
}

async fn section_2_3_1_credentials_and_tokens_in_the_query_are_not_honoured(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let token = node.token(&client).await;
    for path in ["/introspect", "/revoke"] {
        let answer = post(&node, Some(&client), &format!("{path}?token={token}"), "").await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{path}");
    }
    assert!(node.api.is_active(client.pair(), &token).await, "a token in the query is not revoked");
    let grant = post(&node, Some(&client), "/token?grant_type=client_credentials", "").await;
    assert_eq!(grant.refusal(), (400, "invalid_request".into()));
    let query = format!("client_id={}&client_secret={}", client.id, client.secret);
    for (path, body) in ENDPOINTS {
        let answer = post(&node, None, &format!("{path}?{query}"), body).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{path}");
        assert!(!answer.body.contains(&client.secret));
        // The same in the body is taken, so it was the place that was wrong.
        assert_eq!(post(&node, None, path, &format!("{query}&{body}")).await.status, 200, "{path}");
    }
}

async fn section_3_2_the_media_type_is_compared_without_case_and_parameters(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    for media_type in [
        "application/x-www-form-urlencoded",
        "APPLICATION/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "application/x-www-form-urlencoded ; charset=\"utf-8\"",
        "application/x-www-form-urlencoded; other=parameter",
    ] {
        for (path, body) in ENDPOINTS {
            let request = node.api.request("POST", &node.api.url(path)).basic_auth(&client.id, Some(&client.secret));
            let answer = node.api.send(request.header("content-type", media_type).body(body)).await;
            assert_eq!(answer.status, 200, "{path} with {media_type}: {}", answer.body);
        }
    }
}

async fn section_3_2_an_empty_parameter_is_absent(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    for (path, body) in
        [("/introspect", "token="), ("/introspect", "token"), ("/revoke", "token="), ("/token", "grant_type=")]
    {
        assert_eq!(post(&node, Some(&client), path, body).await.refusal(), (400, "invalid_request".into()), "{body}");
    }
    let token = node.token(&client).await;
    let empty = "token_type_hint=&scope=&client_id=&client_secret=&client_assertion=&client_assertion_type=&resource=";
    let answer = post(&node, Some(&client), "/introspect", &format!("{empty}&token={token}")).await;
    assert_eq!(answer.json()["active"], json!(true), "{}", answer.body);
    let granted = post(&node, Some(&client), "/token", &format!("{empty}&grant_type=client_credentials")).await;
    assert_eq!(granted.json()["scope"], json!("read write"), "an empty scope is none asked for: {}", granted.body);
    let answer = post(&node, Some(&client), "/revoke", &format!("{empty}&token={token}")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    // Without a header, empty credentials are none at all.
    let answer = post(&node, None, "/introspect", &format!("client_id=&client_secret=&token={token}")).await;
    assert_eq!(answer.refusal(), (401, "invalid_client".into()));
}

async fn section_3_2_a_repeated_parameter_is_refused_before_anything_else(kind: Kind) {
    const NAMES: [&str; 9] = [
        "token",
        "token_type_hint",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "grant_type",
        "refresh_token",
        "scope",
    ];
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let stranger = Registered { id: client.id.clone(), secret: "not-the-secret".into() };
    for (path, good) in ENDPOINTS {
        for name in NAMES {
            let others = if good.starts_with(&format!("{name}=")) { "" } else { good };
            for twice in [
                format!("{name}=a&{name}=a"),
                format!("{name}=a&{name}="),
                format!("{name}&%{:02x}{}=", name.as_bytes()[0], &name[1..]),
            ] {
                let body = format!("{others}&{twice}");
                for caller in [Some(&client), Some(&stranger), None] {
                    let answer = post(&node, caller, path, &body).await;
                    assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{path} {body}");
                }
            }
        }
        // RFC 8707 section 2: the one that may be repeated; and of unknown ones nobody knows how often they may come.
        let resources = format!("{good}&resource=https://api.example.com&resource=https://api.example.com&x=1&x=2");
        assert_eq!(post(&node, Some(&client), path, &resources).await.status, 200, "{path}");
    }
}

async fn section_3_2_unknown_parameters_are_ignored(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    for (path, good) in ENDPOINTS {
        // Oathkeeper sends `scope` to introspection; names are case-sensitive, so the others are unknown too.
        let scope = if path.ends_with("token") { "" } else { "&scope=more%20than%20allowed" };
        let body = format!("{good}{scope}&audience=x&Token=y&GRANT_TYPE=password&Client_Id=nobody&=z&toString=1");
        let answer = post(&node, Some(&client), path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

async fn section_5_1_answers_are_not_to_be_kept(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let stranger = Registered { id: client.id.clone(), secret: "not-the-secret".into() };
    for (path, good) in ENDPOINTS {
        for (caller, body, status) in
            [(Some(&client), good, 200), (Some(&client), "", 400), (Some(&stranger), good, 401), (None, good, 401)]
        {
            let answer = post(&node, caller, path, body).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path} {status}");
            assert_eq!(answer.header("pragma"), Some("no-cache"), "{path} {status}");
            let json = (!answer.body.is_empty()).then_some("application/json");
            assert_eq!(answer.header("content-type"), json, "{path} {status}");
        }
    }
}

async fn section_5_2_a_bad_client_is_told_before_a_missing_parameter(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let stranger = Registered { id: client.id.clone(), secret: "not-the-secret".into() };
    for (path, _) in ENDPOINTS {
        assert_eq!(post(&node, Some(&stranger), path, "").await.refusal(), (401, "invalid_client".into()), "{path}");
        assert_eq!(post(&node, None, path, "").await.refusal(), (401, "invalid_client".into()), "{path}");
        assert_eq!(post(&node, Some(&client), path, "").await.refusal(), (400, "invalid_request".into()), "{path}");
    }
    // The permission to ask comes before the question.
    let other = node.client(json!({})).await;
    assert_eq!(post(&node, Some(&other), "/introspect", "").await.refusal(), (403, "unauthorized_client".into()));
}

/// That errors consist of allowed characters only, and are flat, is checked of every answer by [`crate::support::api`].
async fn section_5_2_errors_echo_nothing(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    let client = everything(&node).await;
    let hostile = "mArKeR%22%5C%C3%A9%00%0D%0ASet-Cookie%3A+a%3Db%E2%80%AE%7F%3Cscript%3E";
    let mut refused = 0;
    for (path, good) in ENDPOINTS {
        for name in
            ["token", "token_type_hint", "client_id", "client_secret", "grant_type", "scope", "resource", "mArKeR"]
        {
            let others = if good.starts_with(&format!("{name}=")) { "" } else { good };
            let body = format!("{others}&{name}={hostile}");
            for caller in [Some(&client), None] {
                let answer = post(&node, caller, path, &body).await;
                assert!(answer.status < 500, "{path} {body}: {answer:?}");
                assert!(!answer.body.to_lowercase().contains("marker"), "{path} {body}: {answer:?}");
                assert!(!format!("{:?}", answer.headers).contains("mArKeR"), "{path} {body}: {answer:?}");
                refused += u32::from(answer.status >= 400);
            }
        }
        let repeated = post(&node, Some(&client), path, &format!("token={hostile}&token={hostile}")).await;
        assert_eq!(repeated.status, 400);
    }
    assert!(refused > 20, "the test has met errors: {refused}");
    for path in ["/mArKeR%22%C3%A9", "/introspect/mArKeR", "/admin/clients/mArKeR%22", "/mArKeR?mArKeR"] {
        let answer = node.api.send(node.api.request("GET", &node.api.url(path))).await;
        assert_eq!(answer.refusal(), (404, "not_found".into()), "{path}");
        assert!(!answer.body.contains("mArKeR"), "{path}");
    }
}

async fn section_10_10_tokens_and_secrets_are_long_random_and_plain(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        let issued = node.issue(&client, json!({"refresh": true})).await;
        let granted = node.api.post("/token", client.pair(), &[("grant_type", "client_credentials")]).await.json();
        for token in [&issued["access_token"], &issued["refresh_token"], &granted["access_token"]] {
            let token = token.as_str().unwrap();
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)), "{token}");
            let body = &token["itd_at_t1".len()..token.len() - 8];
            let mut random = URL_SAFE_NO_PAD.decode(body).unwrap();
            if token.starts_with("itd_rt_") {
                // The grant, which is no secret.
                random.drain(..16);
            }
            assert!(random.len() * 8 >= 160);
            assert!(seen.insert(random), "{token} came twice");
        }
    }
    let other = everything(&node).await;
    assert!(URL_SAFE_NO_PAD.decode(&client.secret).unwrap().len() * 8 >= 160);
    assert!(other.secret != client.secret && other.id != client.id);
}

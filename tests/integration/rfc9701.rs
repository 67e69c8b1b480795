//! Signed introspection answers (RFC 9701), section by section, over a real server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use introspectd::jose::algorithm::Algorithm;
use introspectd::jose::compact::Compact;
use introspectd::jose::key::PublicKey;
use serde_json::{Value, json};

use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};

over_both_stores! {
    section_4_the_signed_form_is_for_those_who_ask
    section_5_claims_and_header
    section_5_a_token_that_is_not_active_is_said_to_be_no_more
    section_5_a_caller_that_is_not_known_is_refused_with_400
    section_5_errors_are_not_signed
    section_6_each_algorithm_can_be_registered_and_no_encryption
    section_8_1_an_answer_is_no_token
    section_8_2_each_caller_has_its_own_answer
    an_answer_is_signed_once_for_a_token_and_a_caller
    an_answer_that_is_new_each_second_is_not_kept
    a_revocation_is_seen_although_the_answer_was_kept
    a_key_that_is_removed_signs_no_more_answers
}

const SIGNED: &str = "application/token-introspection+jwt";

async fn ask(node: &Node, caller: &Registered, token: &str, accept: &str) -> Answer {
    let request = node.api.request("POST", &node.api.url("/introspect")).header("accept", accept);
    node.api.send(request.basic_auth(&caller.id, Some(&caller.secret)).form(&[("token", token)])).await
}

/// The header and the claims of an answer, verified with the key that is published under its `kid`.
async fn open(node: &Node, answer: &Answer) -> (Value, Value) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some(SIGNED));
    let header = answer.body.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let text = Compact::parse(&answer.body).unwrap();
    let published = node.api.send(node.api.request("GET", &node.api.url("/jwks.json"))).await.json();
    let jwk = published["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == header["kid"]).unwrap().clone();
    assert_eq!(jwk["alg"], header["alg"]);
    text.verify(&PublicKey::from_jwk(&jwk, None).unwrap()).unwrap();
    (header, Value::Object(text.claims().unwrap()))
}

/// A resource server that registered ES256: RSA keys take long to make.
async fn resource_server(node: &Node, algorithm: Option<&str>) -> Registered {
    let mut metadata = json!({"rights": ["introspect"], "audiences": [AUDIENCE]});
    if let Some(algorithm) = algorithm {
        metadata["introspection_signed_response_alg"] = json!(algorithm);
    }
    node.client(metadata).await
}

async fn section_4_the_signed_form_is_for_those_who_ask(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, usual, signing) =
        (node.application().await, node.resource_server().await, resource_server(&node, Some("ES256")).await);
    let token = node.token(&app).await;
    for plain in ["application/json", "*/*", "text/html", "application/json, application/token-introspection+jwt"] {
        let answer = ask(&node, &usual, &token, plain).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{plain}");
        assert_eq!(answer.json()["active"], true, "{plain}");
        // Whoever registered for signed answers gets nothing else.
        open(&node, &ask(&node, &signing, &token, plain).await).await;
    }
    for signed in [SIGNED, "application/json;q=0.1, application/token-introspection+jwt"] {
        let (header, _) = open(&node, &ask(&node, &usual, &token, signed).await).await;
        assert_eq!(header["alg"], "RS256", "section 6: what a caller gets that registered nothing");
    }
    let absent = node.api.introspect(signing.pair(), &token).await;
    open(&node, &absent).await;
}

async fn section_5_claims_and_header(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, resource_server(&node, Some("ES256")).await);
    let issued = node.issue(&app, json!({"sub": "alice", "claims": {"acr": "gold"}})).await;
    let token = issued["access_token"].as_str().unwrap();
    let (header, claims) = open(&node, &ask(&node, &server, token, SIGNED).await).await;
    assert_eq!(header["typ"], "token-introspection+jwt");
    let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["aud", "iat", "iss", "token_introspection"], "no sub and no exp beside them");
    assert_eq!(claims["iss"], "https://as.example.com");
    assert_eq!(claims["aud"], json!(server.id));
    assert!(claims["iat"].as_u64().unwrap() <= node.now());
    let plain = node.resource_server().await;
    assert_eq!(claims["token_introspection"], node.api.introspect(plain.pair(), token).await.json());
}

async fn section_5_a_token_that_is_not_active_is_said_to_be_no_more(kind: Kind) {
    let node = Node::start(kind).await;
    let server = resource_server(&node, Some("ES256")).await;
    let (_, claims) = open(&node, &ask(&node, &server, "garbage", SIGNED).await).await;
    assert_eq!(claims["token_introspection"], json!({"active": false}));
}

async fn section_5_a_caller_that_is_not_known_is_refused_with_400(kind: Kind) {
    let node = Node::start(kind).await;
    let bare = |accept| {
        let request = node.api.request("POST", &node.api.url("/introspect")).header("accept", accept);
        node.api.send(request.form(&[("token", "x")]))
    };
    assert_eq!(bare(SIGNED).await.refusal(), (400, "invalid_client".to_owned()));
    assert_eq!(bare("application/json").await.refusal(), (401, "invalid_client".to_owned()));
    let wrong = Registered { id: "nobody".into(), secret: "wrong".into() };
    assert_eq!(ask(&node, &wrong, "x", SIGNED).await.refusal(), (401, "invalid_client".to_owned()));
}

async fn section_5_errors_are_not_signed(kind: Kind) {
    let node = Node::start(kind).await;
    let server = resource_server(&node, Some("ES256")).await;
    let request = node.api.request("POST", &node.api.url("/introspect")).header("accept", SIGNED);
    let answer =
        node.api.send(request.basic_auth(&server.id, Some(&server.secret)).form(&[("token_type_hint", "x")])).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()));
    let app = node.client(json!({})).await;
    assert_eq!(ask(&node, &app, "x", SIGNED).await.status, 403);
}

async fn section_6_each_algorithm_can_be_registered_and_no_encryption(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = node.token(&app).await;
    for algorithm in Algorithm::ALL {
        let server = resource_server(&node, Some(algorithm.name())).await;
        let (header, _) = open(&node, &ask(&node, &server, &token, SIGNED).await).await;
        assert_eq!(header["alg"], algorithm.name());
    }
    for (member, value) in [
        ("introspection_signed_response_alg", "none"),
        ("introspection_signed_response_alg", "HS256"),
        ("introspection_signed_response_alg", "es256"),
        ("introspection_encrypted_response_alg", "RSA-OAEP"),
        ("introspection_encrypted_response_enc", "A128GCM"),
    ] {
        let mut metadata = json!({"rights": ["introspect"]});
        metadata[member] = json!(value);
        let answer = node.api.admin(OPERATOR, "POST", "/admin/clients", Some(metadata)).await;
        assert_eq!(answer.refusal(), (400, "invalid_client_metadata".to_owned()), "{member} {value}");
    }
}

async fn section_8_1_an_answer_is_no_token(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, resource_server(&node, Some("ES256")).await);
    let token = node.token(&app).await;
    let answer = ask(&node, &server, &token, SIGNED).await.body;
    let (_, claims) = open(&node, &ask(&node, &server, &answer, SIGNED).await).await;
    assert_eq!(claims["token_introspection"], json!({"active": false}));
    let bearer = node.api.post_as("/introspect", &format!("Bearer {answer}"), &[("token", &token)]).await;
    assert_eq!(bearer.refusal(), (401, "invalid_token".to_owned()));
    assert_eq!(node.api.revoke(app.pair(), &answer).await.status, 200, "unknown, as RFC 7009 section 2.2 has it");
    assert!(node.api.is_active(app.pair(), &token).await);
}

async fn section_8_2_each_caller_has_its_own_answer(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let narrow = node
        .client(json!({
            "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read",
            "introspection_signed_response_alg": "ES256"
        }))
        .await;
    let (wide, other) = (resource_server(&node, Some("ES256")).await, resource_server(&node, Some("ES256")).await);
    let token = node.token(&app).await;
    let mut answers = Vec::new();
    for (server, scope) in [(&wide, "read write"), (&narrow, "read"), (&other, "read write")] {
        let (_, claims) = open(&node, &ask(&node, server, &token, SIGNED).await).await;
        assert_eq!(claims["aud"], json!(server.id));
        assert_eq!(claims["token_introspection"]["scope"], scope);
        answers.push(claims);
    }
    assert_ne!(answers[0]["aud"], answers[2]["aud"]);
}

async fn an_answer_is_signed_once_for_a_token_and_a_caller(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, resource_server(&node, Some("ES256")).await);
    let (one, other) = (node.token(&app).await, node.token(&app).await);
    // Every signature of ES256 is another text.
    let first = ask(&node, &server, &one, SIGNED).await.body;
    assert_eq!(ask(&node, &server, &one, SIGNED).await.body, first);
    assert_ne!(ask(&node, &server, &other, SIGNED).await.body, first);
    let second = resource_server(&node, Some("ES256")).await;
    assert_ne!(ask(&node, &second, &one, SIGNED).await.body, first);
}

async fn an_answer_that_is_new_each_second_is_not_kept(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.application().await, resource_server(&node, Some("ES256")).await);
    let token = node.token(&app).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let form = [("token", &*token), ("expires_in", "true")];
        let answer = node.api.post("/introspect", server.pair(), &form).await;
        let (_, claims) = open(&node, &answer).await;
        assert!(claims["token_introspection"]["expires_in"].is_u64());
        seen.push(answer.body);
    }
    assert_ne!(seen[0], seen[1], "within one second");
}

async fn a_revocation_is_seen_although_the_answer_was_kept(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, resource_server(&node, Some("ES256")).await);
    let token = node.token(&app).await;
    let (_, claims) = open(&node, &ask(&node, &server, &token, SIGNED).await).await;
    assert_eq!(claims["token_introspection"]["active"], true);
    assert_eq!(node.api.revoke(app.pair(), &token).await.status, 200);
    let (_, claims) = open(&node, &ask(&node, &server, &token, SIGNED).await).await;
    assert_eq!(claims["token_introspection"], json!({"active": false}));
}

async fn a_key_that_is_removed_signs_no_more_answers(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, resource_server(&node, Some("ES256")).await);
    let token = node.token(&app).await;
    let (header, _) = open(&node, &ask(&node, &server, &token, SIGNED).await).await;
    let kid = header["kid"].as_str().unwrap();
    node.operate("DELETE", &format!("/admin/keys/{kid}"), None).await;
    let (after, claims) = open(&node, &ask(&node, &server, &token, SIGNED).await).await;
    assert_ne!(after["kid"], header["kid"]);
    assert_eq!(claims["token_introspection"]["active"], true);
}

//! The token endpoint: `client_credentials` (sections 3.3, 4.4, 5.1, 5.2; RFC 8707; RFC 9700).

use serde_json::{Value, json};

use super::everything;
use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, Registered};

over_both_stores! {
    section_3_3_scope_is_what_was_asked_for_or_all
    section_3_3_scope_that_is_malformed_or_too_much_is_refused
    section_4_4_2_only_confidential_clients_that_may
    section_4_4_3_the_answer_has_a_token_and_no_refresh_token
    section_4_4_3_the_token_says_what_was_granted
    section_4_4_a_right_is_granted_on_request_only_and_to_who_has_it
    section_5_2_a_token_is_no_way_to_authenticate_at_the_token_endpoint
    section_5_2_unknown_grant_types_are_refused
    rfc8707_section_2_resources_become_the_audience
    rfc9700_section_4_15_clients_are_not_mistaken_for_users
}

async fn ask(node: &Node, client: &Registered, parameters: &[(&str, &str)]) -> Answer {
    let form: Vec<(&str, &str)> = [("grant_type", "client_credentials")].iter().chain(parameters).copied().collect();
    node.api.post("/token", client.pair(), &form).await
}

async fn describe(node: &Node, client: &Registered, answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    node.api.introspect(client.pair(), answer.json()["access_token"].as_str().unwrap()).await.json()
}

async fn section_3_3_scope_is_what_was_asked_for_or_all(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    for (asked, granted) in
        [(None, "read write"), (Some("read"), "read"), (Some("write read"), "write read"), (Some("read read"), "read")]
    {
        let answer = ask(&node, &client, &asked.map(|scope| ("scope", scope)).into_iter().collect::<Vec<_>>()).await;
        assert_eq!(answer.json()["scope"], json!(granted), "{asked:?}");
        assert_eq!(describe(&node, &client, &answer).await["scope"], json!(granted), "{asked:?}");
    }
    let bare = node.client(json!({"grant_types": ["client_credentials"], "rights": ["introspect"]})).await;
    let answer = ask(&node, &bare, &[]).await;
    assert_eq!(answer.json().get("scope"), None, "no scope is no member");
    assert_eq!(describe(&node, &bare, &answer).await.get("scope"), None);
}

async fn section_3_3_scope_that_is_malformed_or_too_much_is_refused(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let long = "read ".repeat(2000);
    for scope in [
        "admin",
        "read admin",
        "READ",
        "Read",
        "read  write",
        " read",
        "read ",
        "read\twrite",
        "read\nwrite",
        "re\"ad",
        "re\\ad",
        "caf\u{e9}",
        "read,write",
        "*",
        "introspectd:admin",
        &long,
    ] {
        let answer = ask(&node, &client, &[("scope", scope)]).await;
        assert_eq!(answer.refusal(), (400, "invalid_scope".into()), "{scope:?}");
    }
}

async fn section_4_4_2_only_confidential_clients_that_may(kind: Kind) {
    let node = Node::start(kind).await;
    let other = node.client(json!({"scope": "read", "grant_types": []})).await;
    assert_eq!(ask(&node, &other, &[]).await.refusal(), (400, "unauthorized_client".into()));
    let refresher = node.client(json!({"scope": "read", "grant_types": ["refresh_token"]})).await;
    assert_eq!(ask(&node, &refresher, &[]).await.refusal(), (400, "unauthorized_client".into()));
    let public = node.client(json!({"token_endpoint_auth_method": "none", "scope": "read"})).await;
    let form = [("grant_type", "client_credentials"), ("client_id", &public.id)];
    let answer = node.api.send(node.api.request("POST", &node.api.url("/token")).form(&form)).await;
    assert_eq!(answer.refusal(), (400, "unauthorized_client".into()));
}

async fn section_4_4_3_the_answer_has_a_token_and_no_refresh_token(kind: Kind) {
    let node = Node::start(kind).await;
    let both = json!({"scope": "read", "grant_types": ["client_credentials", "refresh_token"]});
    let client = node.client(both).await;
    let answer = ask(&node, &client, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"]);
    assert_eq!(body["token_type"], json!("Bearer"));
    assert_eq!(body["expires_in"], json!(900), "a number, and the usual lifetime");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let brief = node.client(json!({"grant_types": ["client_credentials"], "access_token_lifetime": 60})).await;
    assert_eq!(ask(&node, &brief, &[]).await.json()["expires_in"], json!(60));
}

async fn section_4_4_3_the_token_says_what_was_granted(kind: Kind) {
    let node = Node::start(kind).await;
    let (client, server) = (everything(&node).await, node.resource_server().await);
    let answer = ask(&node, &client, &[("scope", "read")]).await;
    let described = describe(&node, &server, &answer).await;
    let issued = described["iat"].as_u64().unwrap();
    let expected = json!({
        "active": true, "iss": "https://as.example.com", "client_id": client.id, "sub": format!("client:{}", client.id),
        "scope": "read", "aud": AUDIENCE, "token_type": "Bearer", "iat": issued, "exp": issued + 900,
        "jti": described["jti"],
    });
    assert_eq!(described, expected);
    assert!(issued.abs_diff(node.now()) <= 20);
    let again = ask(&node, &client, &[("scope", "read")]).await;
    assert_ne!(again.json()["access_token"], answer.json()["access_token"]);
}

async fn section_4_4_a_right_is_granted_on_request_only_and_to_who_has_it(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let answer = ask(&node, &client, &[("scope", "read introspectd:introspect")]).await;
    assert_eq!(answer.json()["scope"], json!("read introspectd:introspect"));
    for right in ["introspectd:revoke", "introspectd:issue", "introspectd:admin", "introspectd:other"] {
        let answer = ask(&node, &client, &[("scope", right)]).await;
        assert_eq!(answer.refusal(), (400, "invalid_scope".into()), "{right}");
    }
    let usual = ask(&node, &client, &[]).await.json();
    assert_eq!(usual["scope"], json!("read write"), "a right is not given unasked");
}

async fn section_5_2_a_token_is_no_way_to_authenticate_at_the_token_endpoint(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let token = ask(&node, &client, &[("scope", "introspectd:introspect")]).await.json();
    let request = node.api.request("POST", &node.api.url("/token"));
    let request = request.bearer_auth(token["access_token"].as_str().unwrap());
    let answer = node.api.send(request.form(&[("grant_type", "client_credentials")])).await;
    assert_eq!(answer.refusal(), (401, "invalid_client".into()));
}

async fn section_5_2_unknown_grant_types_are_refused(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    for grant_type in [
        "password",
        "implicit",
        "authorization_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "Client_Credentials",
        "client_credentials ",
        "client_credentials,password",
    ] {
        let form = [
            ("grant_type", grant_type),
            ("username", "alice"),
            ("password", "wonderland"),
            ("code", "x"),
            ("assertion", "x"),
        ];
        let answer = node.api.post("/token", client.pair(), &form).await;
        assert_eq!(answer.refusal(), (400, "unsupported_grant_type".into()), "{grant_type:?}");
    }
    let answer = node.api.post("/token", client.pair(), &[("scope", "read")]).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
}

async fn rfc8707_section_2_resources_become_the_audience(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node
        .client(json!({
            "grant_types": ["client_credentials"], "rights": ["introspect"], "scope": "read",
            "audiences": ["https://one.example.com", "https://two.example.com"]
        }))
        .await;
    let one = ("resource", "https://one.example.com");
    let two = ("resource", "https://two.example.com");
    for (asked, granted) in
        [(vec![], json!([one.1, two.1])), (vec![one], json!(one.1)), (vec![two, one], json!([two.1, one.1]))]
    {
        let answer = ask(&node, &client, &asked).await;
        assert_eq!(describe(&node, &client, &answer).await["aud"], granted, "{asked:?}");
    }
    for asked in [
        vec![("resource", "https://three.example.com")],
        vec![one, ("resource", "https://three.example.com")],
        vec![("resource", "https://one.example.com/")],
        vec![("resource", "*")],
    ] {
        assert_eq!(ask(&node, &client, &asked).await.refusal(), (400, "invalid_target".into()), "{asked:?}");
    }
}

async fn rfc9700_section_4_15_clients_are_not_mistaken_for_users(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node
        .client(json!({"client_id": "alice", "grant_types": ["client_credentials"], "rights": ["introspect"]}))
        .await;
    let answer = ask(&node, &client, &[]).await;
    let described = describe(&node, &client, &answer).await;
    assert_eq!((&described["sub"], &described["client_id"]), (&json!("client:alice"), &json!("alice")));
    assert_eq!(described.get("username"), None);
}

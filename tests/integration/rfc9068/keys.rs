//! Publication (RFC 7517), rotation and removal of the signing keys.

use std::time::Duration;

use serde_json::{Value, json};

use super::{jwks, kid, published, signed};
use crate::support::api::Answer;
use crate::support::node::{Kind, Node, OPERATOR};
use crate::support::raw;

over_both_stores! {
    rfc7517_5_what_is_published_is_public
    rfc7517_5_the_keys_may_be_kept_and_are_not_sent_twice
    rfc8414_2_the_metadata_names_the_place
    the_first_token_of_an_algorithm_makes_its_keys
    a_standby_is_published_before_it_signs
    registering_a_client_publishes_its_keys_before_they_sign
    tokens_outlive_a_rotation_and_keys_their_last_token
    a_rotation_that_comes_too_soon_is_put_off
    a_removed_key_takes_its_tokens_with_it
    keys_are_for_operators
    what_is_asked_for_must_be_there
    many_first_tokens_at_once_make_one_key
    the_command_line_does_the_same
}

const HOUR: Duration = Duration::from_hours(1);

async fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = node.api.request("GET", &node.api.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    node.api.send(request).await
}

async fn list(node: &Node) -> Vec<Value> {
    node.operate("GET", "/admin/keys", None).await["keys"].as_array().unwrap().clone()
}

/// The state of each key, in the order in which they were made.
async fn states(node: &Node) -> Vec<String> {
    list(node).await.iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

async fn rotate(node: &Node) {
    node.operate("POST", "/admin/keys/rotate", Some(json!({}))).await;
}

async fn rfc7517_5_what_is_published_is_public(kind: Kind) {
    let node = Node::start(kind).await;
    assert!(jwks(&node).await.is_empty(), "no key before the first need");
    let app = node.application().await;
    signed(&node, &app, json!({})).await;
    for (algorithm, purpose) in [("EdDSA", "access_token"), ("RS256", "introspection"), ("PS256", "access_token")] {
        let body = json!({"algorithm": algorithm, "use": purpose});
        node.operate("POST", "/admin/keys/rotate", Some(body)).await;
    }
    let keys = jwks(&node).await;
    assert_eq!(keys.len(), 8, "an active one and a standby each");
    let mut kids: Vec<&str> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    for key in &keys {
        let names: Vec<&String> = key.as_object().unwrap().keys().collect();
        let expected: &[&str] = match key["kty"].as_str().unwrap() {
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            "OKP" => &["alg", "crv", "kid", "kty", "use", "x"],
            "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
            other => panic!("{other} keys are not for everybody"),
        };
        assert_eq!(names, expected);
        assert_eq!(key["use"], json!("sig"));
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.clone()).unwrap();
        let thumbprint = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
        assert_eq!(key["kid"], json!(thumbprint), "RFC 7638, by another library");
    }
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), 8);
}

async fn rfc7517_5_the_keys_may_be_kept_and_are_not_sent_twice(kind: Kind) {
    for (ahead, kept) in [("0s", 0), ("10m", 600), ("1h", 3600), ("2d", 3600)] {
        let node =
            Node::start_with(kind, &[("signing.publish_ahead", ahead), ("issuer", "https://as.example.com/t1")]).await;
        let app = node.application().await;
        signed(&node, &app, json!({})).await;
        let answer = get(&node, "/t1/jwks.json", &[("origin", "https://app.example.com")]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.header("cache-control"), Some(&*format!("public, max-age={kept}")), "{ahead}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let tag = answer.header("etag").unwrap();
        let again = get(&node, "/jwks.json", &[("if-none-match", tag)]).await;
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag)));
        rotate(&node).await;
        let changed = get(&node, "/jwks.json", &[("if-none-match", tag)]).await;
        assert_eq!(changed.status, 200, "a new standby is there");
    }
    let node = Node::start(kind).await;
    let ask = async |method: &str| {
        let request = format!("{method} /jwks.json HTTP/1.1\r\nHost: as.example.com\r\nConnection: close\r\n\r\n");
        raw::exchange(node.public, request.as_bytes()).await
    };
    let (get, head) = (ask("GET").await, ask("HEAD").await);
    assert_eq!((get.status, get.body.as_str()), (200, r#"{"keys":[]}"#));
    assert_eq!(
        (head.status, head.body.as_str(), head.header("content-length")),
        (200, "", get.header("content-length"))
    );
    assert_eq!(get.header("cache-control"), Some("public, max-age=0"), "the first token will make one");
    for method in ["POST", "PUT", "DELETE"] {
        let answer = node.api.send(node.api.request(method, &node.api.url("/jwks.json"))).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

async fn rfc8414_2_the_metadata_names_the_place(kind: Kind) {
    let node = Node::start_with(kind, &[("issuer", "https://as.example.com/t1")]).await;
    let document = get(&node, "/.well-known/oauth-authorization-server/t1", &[]).await.json();
    assert_eq!(document["jwks_uri"], json!("https://as.example.com/t1/jwks.json"));
}

async fn the_first_token_of_an_algorithm_makes_its_keys(kind: Kind) {
    let node = Node::start_with(kind, &[("signing.algorithm", "EdDSA")]).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({})).await;
    let keys = list(&node).await;
    assert_eq!(states(&node).await, ["active", "standby"]);
    for key in &keys {
        assert_eq!((&key["algorithm"], &key["use"]), (&json!("EdDSA"), &json!("access_token")));
        assert_eq!((&key["usable"], &key["sealed_by"]), (&json!(true), &json!("t1")));
    }
    assert_eq!(keys[0]["kid"], json!(kid(&token)));
    let special = node.client(json!({"access_token_signing_alg": "RS256"})).await;
    signed(&node, &special, json!({})).await;
    assert_eq!(states(&node).await, ["active", "standby", "active", "standby"]);
}

/// A verifier that has just fetched the published keys must know the one that signs the client's first token.
async fn registering_a_client_publishes_its_keys_before_they_sign(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.client(json!({"access_token_format": "jwt", "access_token_signing_alg": "EdDSA"})).await;
    node.client(json!({"introspection_signed_response_alg": "PS256"})).await;
    let changed = node.client(json!({})).await;
    let metadata = json!({"access_token_signing_alg": "ES256"});
    node.operate("PATCH", &format!("/admin/clients/{}", changed.id), Some(metadata)).await;
    let known = jwks(&node).await;
    for algorithm in ["EdDSA", "PS256", "ES256"] {
        assert_eq!(known.iter().filter(|key| key["alg"] == algorithm).count(), 2, "{algorithm}: active and standby");
    }
    let signing = kid(&signed(&node, &app, json!({})).await);
    assert!(known.iter().any(|key| key["kid"] == signing));
}

async fn a_standby_is_published_before_it_signs(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.application().await;
    let first = kid(&signed(&node, &app, json!({})).await);
    let known: Vec<Value> = jwks(&node).await;
    node.pass(HOUR).await;
    rotate(&node).await;
    let second = kid(&signed(&node, &app, json!({})).await);
    assert_ne!(first, second);
    assert!(known.iter().any(|key| key["kid"] == second), "whoever fetched the keys an hour ago has it");
}

async fn tokens_outlive_a_rotation_and_keys_their_last_token(kind: Kind) {
    let settings = [("signing.publish_ahead", "0s"), ("tokens.max_lifetime", "2h"), ("tokens.refresh_lifetime", "2h")];
    let node = Node::start_still(kind, &settings).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({"expires_in": 7200})).await;
    let first = kid(&token);
    rotate(&node).await;
    assert_eq!(states(&node).await, ["retired", "active", "standby"]);
    assert_ne!(kid(&signed(&node, &app, json!({})).await), first);
    node.pass(Duration::from_secs(7199)).await;
    assert!(node.api.is_active(app.pair(), &token).await, "to its last second");
    assert!(published(&node, &first).await.is_some());
    node.pass(Duration::from_secs(1)).await;
    assert!(!node.api.is_active(app.pair(), &token).await);
    node.pass(Duration::from_mins(10)).await;
    assert!(published(&node, &first).await.is_none(), "no token of it is left");
    rotate(&node).await;
    assert!(list(&node).await.iter().all(|key| key["kid"] != first), "and it is forgotten");
}

async fn a_rotation_that_comes_too_soon_is_put_off(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.application().await;
    let first = kid(&signed(&node, &app, json!({})).await);
    for _ in 0..3 {
        rotate(&node).await;
        assert_eq!(states(&node).await, ["active", "scheduled", "standby"]);
    }
    let scheduled = list(&node).await[1].clone();
    assert_eq!(scheduled["signs_from"], json!(scheduled["created_at"].as_u64().unwrap() + 3600));
    assert_eq!(kid(&signed(&node, &app, json!({})).await), first);
    node.pass(HOUR).await;
    assert_eq!(json!(kid(&signed(&node, &app, json!({})).await)), scheduled["kid"], "by the clock alone");
    let path = format!("/admin/keys/{}/retire", scheduled["kid"].as_str().unwrap());
    node.pass(HOUR).await;
    node.operate("POST", &path, None).await;
    assert_eq!(states(&node).await, ["retired", "retired", "active", "standby"]);
}

async fn a_removed_key_takes_its_tokens_with_it(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let (token, other) = (signed(&node, &app, json!({})).await, node.token(&app).await);
    assert!(node.api.is_active(app.pair(), &token).await);
    let removed = kid(&token);
    let answer = node.api.admin(OPERATOR, "DELETE", &format!("/admin/keys/{removed}"), None).await;
    assert_eq!(answer.status, 204);
    assert!(!node.api.is_active(app.pair(), &token).await);
    assert!(node.api.is_active(app.pair(), &other).await);
    assert!(published(&node, &removed).await.is_none());
    let next = signed(&node, &app, json!({})).await;
    assert_ne!(kid(&next), removed);
    assert!(node.api.is_active(app.pair(), &next).await, "the standby signs at once");
    assert_eq!(states(&node).await, ["active", "standby"]);
    let again = node.api.admin(OPERATOR, "DELETE", &format!("/admin/keys/{removed}"), None).await;
    assert_eq!(again.refusal(), (404, "not_found".into()));
}

async fn keys_are_for_operators(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let own = kid(&signed(&node, &app, json!({})).await);
    for (method, path) in [
        ("GET", "/admin/keys".to_owned()),
        ("POST", "/admin/keys/rotate".to_owned()),
        ("POST", format!("/admin/keys/{own}/retire")),
        ("DELETE", format!("/admin/keys/{own}")),
    ] {
        let body = (path.ends_with("rotate")).then(|| json!({}));
        let answer = node.api.admin(app.pair(), method, &path, body.clone()).await;
        assert_eq!(answer.refusal(), (403, "unauthorized_client".into()), "{method} {path}");
        let answer = node.api.admin((&app.id, "wrong-secret"), method, &path, body).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{method} {path}");
        let public = node.api.send(node.api.request(method, &node.api.url(&path))).await;
        assert_eq!(public.status, 404, "nothing of it on the public listener");
    }
    assert_eq!(states(&node).await, ["active", "standby"]);
    let shown = node.api.admin(OPERATOR, "GET", "/admin/keys", None).await;
    for private in ["sealed\"", "\"d\"", "pkcs8", "jwk"] {
        assert!(!shown.body.contains(private), "{private}");
    }
}

async fn what_is_asked_for_must_be_there(kind: Kind) {
    let node = Node::start(kind).await;
    for (method, path, status) in [
        ("DELETE", "/admin/keys/unknown", 404),
        ("POST", "/admin/keys/unknown/retire", 404),
        ("DELETE", "/admin/keys/a%2Fb", 404),
        ("DELETE", "/admin/keys/", 404),
        ("GET", "/admin/keys/unknown", 405),
        ("DELETE", "/admin/keys", 405),
        ("GET", "/admin/keys/rotate", 405),
    ] {
        assert_eq!(node.api.admin(OPERATOR, method, path, None).await.status, status, "{method} {path}");
    }
    for body in
        [json!({"algorithm": "HS256"}), json!({"algorithm": "none"}), json!({"use": "sig"}), json!({"x": 1}), json!([])]
    {
        let answer = node.api.admin(OPERATOR, "POST", "/admin/keys/rotate", Some(body)).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()));
    }
    assert!(list(&node).await.is_empty());
}

async fn many_first_tokens_at_once_make_one_key(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (api, id) = (node.api.clone(), app.id.clone());
        running.spawn(async move {
            let body = json!({"client_id": id, "format": "jwt"});
            let answer = api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
            kid(answer.json()["access_token"].as_str().unwrap())
        });
    }
    let mut kids = running.join_all().await;
    kids.dedup();
    assert_eq!(kids.len(), 1);
    assert_eq!(states(&node).await, ["active", "standby"]);
}

async fn the_command_line_does_the_same(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({})).await;
    let url = node.api.admin_url("");
    let run = async |arguments: &'static [&'static str], last: Option<String>| {
        let url = url.clone();
        let work = move || {
            let environment =
                [("ITD_ADMIN_URL", &*url), ("ITD_CLIENT_ID", OPERATOR.0), ("ITD_CLIENT_SECRET", OPERATOR.1)];
            let arguments: Vec<&str> = arguments.iter().copied().chain(last.as_deref()).collect();
            crate::support::program::run(&arguments, &environment)
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    };
    let table = run(&["keys", "list"], None).await;
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(table.stdout.starts_with("KID") && table.stdout.contains(&kid(&token)) && table.stdout.contains("standby"));
    let keys =
        run(&["keys", "rotate", "--format", "json", "--algorithm", "EdDSA", "--use", "introspection"], None).await;
    assert_eq!(keys.json().as_array().unwrap().len(), 4);
    let refused = run(&["keys", "rotate", "--algorithm", "HS256"], None).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let retired = run(&["keys", "retire"], Some(kid(&token))).await;
    assert!(retired.code == Some(0) && retired.stdout.contains("scheduled"), "{retired:?}");
    let removed = run(&["keys", "remove"], Some(kid(&token))).await;
    assert!(removed.code == Some(0) && removed.stdout.contains(&kid(&token)), "{removed:?}");
    assert!(!node.api.is_active(app.pair(), &token).await);
}

//! One test for each defect that somebody found by breaking the service.

use introspectd::token::time::Clock;
use serde_json::json;

use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR};
use crate::support::redis::RedisServer;

fn keys(ids: &[&str]) -> String {
    let keys: Vec<_> = ids
        .iter()
        .map(|id| json!({"id": id, "secret": format!("the digest key {id}, of at least 32 bytes")}))
        .collect();
    json!(keys).to_string()
}

async fn node_with(redis: &RedisServer, settings: &[(&str, &str)]) -> Node {
    Node::over(("redis.url", redis.url()), Clock::System, settings).await
}

/// Two nodes in the midst of a key rotation took the same token over twice; revoking it at one left it alive at the
/// other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_imported_once_whatever_keys_the_nodes_have() {
    let redis = RedisServer::start().await;
    let old = node_with(&redis, &[("keys.digest", &keys(&["01", "02"]))]).await;
    let new = node_with(&redis, &[("keys.digest", &keys(&["02", "01"]))]).await;
    let (app, server) = (old.application().await, old.resource_server().await);
    let token = "a-token-from-elsewhere";
    old.issue(&app, json!({"token": token})).await;
    let body = json!({"client_id": app.id, "aud": AUDIENCE, "token": token});
    let again = new.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
    assert_eq!(again.status, 409, "{}", again.body);
    assert_eq!(new.api.revoke(OPERATOR, token).await.status, 200);
    for node in [&old, &new] {
        assert!(!node.api.is_active(server.pair(), token).await);
    }
}

/// Of a token that two nodes took over under different keys, one record outlived the revocation if the text looked like
/// a signed one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_a_token_that_was_imported_twice_ends() {
    let redis = RedisServer::start().await;
    let one = node_with(&redis, &[("keys.digest", &keys(&["01"]))]).await;
    let other = node_with(&redis, &[("keys.digest", &keys(&["02"]))]).await;
    let both = node_with(&redis, &[("keys.digest", &keys(&["02", "01"]))]).await;
    let app = one.application().await;
    let servers = [(&one, one.resource_server().await), (&other, other.resource_server().await)];
    let texts = ["a-token-from-elsewhere", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"];
    for (number, token) in texts.iter().enumerate() {
        let expect = async |active: bool| {
            for (node, server) in &servers {
                assert_eq!(node.api.is_active(server.pair(), token).await, active, "{token}");
                assert_eq!(both.api.is_active(server.pair(), token).await, active, "{token}");
            }
        };
        for node in [&one, &other] {
            node.issue(&app, json!({"token": token})).await;
        }
        expect(true).await;
        if number % 2 == 0 {
            assert_eq!(both.api.revoke(app.pair(), token).await.status, 200);
        } else {
            both.operate("POST", "/admin/tokens/revoke", Some(json!({ "token": token }))).await;
        }
        expect(false).await;
        both.operate("POST", "/admin/tokens/approve", Some(json!({ "token": token }))).await;
        expect(true).await;
    }
}

/// A node that had not been given the new key yet answered 200 to the revocation of a token that went on living.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_tokens_key_does_not_claim_to_have_revoked_it() {
    let redis = RedisServer::start().await;
    let behind = node_with(&redis, &[("keys.digest", &keys(&["01"]))]).await;
    let ahead = node_with(&redis, &[("keys.digest", &keys(&["02", "01"]))]).await;
    let (app, server) = (behind.application().await, behind.resource_server().await);
    let token = ahead.token(&app).await;
    let refused = behind.api.revoke(OPERATOR, &token).await;
    assert_eq!(refused.refusal(), (503, "temporarily_unavailable".into()));
    assert!(ahead.api.is_active(server.pair(), &token).await);
    assert_eq!(ahead.api.revoke(OPERATOR, &token).await.status, 200);
    assert!(!ahead.api.is_active(server.pair(), &token).await);
}

/// A client that was deleted came back, with its tokens, when the configuration declared its id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_client_does_not_inherit_the_tokens_of_a_deleted_one() {
    let redis = RedisServer::start().await;
    let node = node_with(&redis, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    assert!(node.api.is_active(server.pair(), &token).await);
    assert_eq!(node.api.admin(OPERATOR, "DELETE", &format!("/admin/clients/{}", app.id), None).await.status, 204);
    let declared = json!([{"client_id": app.id, "client_secret": "another-secret", "rights": ["introspect"]}]);
    let other = node_with(&redis, &[("clients", &declared.to_string())]).await;
    assert!(!other.api.is_active(server.pair(), &token).await);
    assert!(!other.api.is_active((&app.id, "another-secret"), &token).await, "nor is the new client its owner");
}

/// Whoever hung up before the answer was not counted, and whoever was answered 503 was compared all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_in_parallel_are_all_counted() {
    let settings = [("authentication.failures_per_client", "3"), ("authentication.hashing_queue", "0")];
    let node = Node::start_with(Kind::Embedded, &settings).await;
    let guesses = (0..40).map(|number| {
        let api = node.api.clone();
        tokio::spawn(async move { api.introspect((OPERATOR.0, &format!("guess-{number}")), "x").await.status })
    });
    let mut seen = Vec::new();
    for guess in guesses.collect::<Vec<_>>() {
        seen.push(guess.await.unwrap());
    }
    let compared = seen.iter().filter(|status| **status != 429).count();
    assert_eq!(compared, 3, "{seen:?}");
    let right = node.api.introspect(OPERATOR, "x").await;
    assert_eq!(right.status, 429, "and even the right secret has to wait");
}

/// Bearer tokens could be guessed without end and without credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_bearer_tokens_have_a_budget() {
    let node = Node::start_with(Kind::Embedded, &[("authentication.unknown_tokens_per_second", "1")]).await;
    let mut refused = 0;
    for number in 0..20 {
        let bearer = format!("Bearer a-guess-at-a-token-{number}");
        let answer = node.api.post_as("/introspect", &bearer, &[("token", "x")]).await;
        assert!([401, 429].contains(&answer.status), "{}", answer.body);
        refused += usize::from(answer.status == 429);
    }
    assert_eq!(refused, 10, "ten at once, and the clock stands still");
}

/// The endpoints of an issuer with a path were published under that path, and not found there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_found_under_the_path_of_the_issuer() {
    let node = Node::start_with(Kind::Embedded, &[("issuer", "https://as.example.com/t1")]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    for path in ["/t1/introspect", "/t1/oauth2/introspect", "/introspect"] {
        let answer = node.api.post(path, server.pair(), &[("token", &token)]).await;
        assert_eq!(answer.json()["active"], json!(true), "{path}");
    }
    assert_eq!(node.api.post("/t2/introspect", server.pair(), &[("token", &token)]).await.status, 404);
    assert_eq!(node.api.post("/t1introspect", server.pair(), &[("token", &token)]).await.status, 404);
}

//! Several nodes over one store, restarts, digest keys that come and go, and a store that is away.

use introspectd::token::time::{Clock, UnixSeconds};
use serde_json::{Value, json};

use super::forge::Stolen;
use super::{kid, parts, signed};
use crate::support::eventually;
use crate::support::node::{Node, OPERATOR};
use crate::support::redis::RedisServer;

fn digest_keys(ids: &[&str]) -> String {
    let secret = |id: &&str| json!({"id": id, "secret": format!("the digest key {id}, of at least 32 bytes")});
    Value::from(ids.iter().map(secret).collect::<Vec<_>>()).to_string()
}

async fn node(redis: &RedisServer, ids: &[&str]) -> Node {
    Node::over(("redis.url", redis.url()), Clock::System, &[("keys.digest", &digest_keys(ids))]).await
}

async fn states(node: &Node) -> Vec<String> {
    let keys = node.operate("GET", "/admin/keys", None).await;
    keys["keys"].as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

/// A key that another node has made a moment ago is found at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9068_4_a_node_finds_the_keys_of_another() {
    let redis = RedisServer::start().await;
    let (one, other) = (node(&redis, &["01"]).await, node(&redis, &["01"]).await);
    let app = one.application().await;
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let body = json!({"access_token_signing_alg": algorithm});
        one.operate("PATCH", &format!("/admin/clients/{}", app.id), Some(body)).await;
        let first = signed(&one, &app, json!({})).await;
        assert!(other.api.is_active(app.pair(), &first).await, "{algorithm}");
        let second = signed(&other, &app, json!({})).await;
        assert_eq!(kid(&first), kid(&second), "both sign with the same key");
        assert!(one.api.is_active(app.pair(), &second).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9068_4_nodes_that_need_a_key_at_once_make_one() {
    let redis = RedisServer::start().await;
    let nodes = [node(&redis, &["01"]).await, node(&redis, &["01"]).await, node(&redis, &["01"]).await];
    let app = nodes[0].application().await;
    let (one, two, three) = tokio::join!(
        signed(&nodes[0], &app, json!({})),
        signed(&nodes[1], &app, json!({})),
        signed(&nodes[2], &app, json!({})),
    );
    assert_eq!((kid(&one), kid(&one)), (kid(&two), kid(&three)));
    assert_eq!(states(&nodes[0]).await, ["active", "standby"]);
}

/// What is answered after a removal holds on every node, whether or not it has read the keys anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9068_4_a_removed_key_is_dead_on_every_node_at_once() {
    let redis = RedisServer::start().await;
    let (one, other) = (node(&redis, &["01"]).await, node(&redis, &["01"]).await);
    let app = one.application().await;
    let token = signed(&one, &app, json!({})).await;
    assert!(other.api.is_active(app.pair(), &token).await);
    let stolen = Stolen::from(&one, &kid(&token)).await;
    let answer = one.api.admin(OPERATOR, "DELETE", &format!("/admin/keys/{}", kid(&token)), None).await;
    assert_eq!(answer.status, 204);
    assert!(!other.api.is_active(app.pair(), &token).await);
    let (header, claims) = parts(&token);
    let forged = stolen.sign(&header.to_string(), &claims.to_string());
    for node in [&one, &other] {
        assert!(!node.api.is_active(app.pair(), &forged).await, "what the thief signs is dead too");
    }
    let behind = signed(&other, &app, json!({})).await;
    assert!(kid(&behind) != kid(&token) || !one.api.is_active(app.pair(), &behind).await);
    eventually("the other node signs with the next key", async || {
        let fresh = signed(&other, &app, json!({})).await;
        kid(&fresh) != kid(&token) && one.api.is_active(app.pair(), &fresh).await
    })
    .await;
}

/// Nothing in the store, in any of its keys and values, holds a private key in the clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_keys_are_sealed_in_the_store() {
    let redis = RedisServer::start().await;
    let node = node(&redis, &["01"]).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({})).await;
    let stolen = Stolen::from(&node, &kid(&token)).await;
    // The 32 bytes of the private number, where PKCS #8 has them.
    let private = stolen.pkcs8.windows(5).position(|window| window == [2, 1, 1, 4, 32]).unwrap() + 5;
    let private = &stolen.pkcs8[private..private + 32];
    let forms =
        [private.to_vec(), super::forge::encode(private).into_bytes(), hexadecimal(private), b"PRIVATE KEY".to_vec()];
    let mut seen = 0;
    for key in redis.keys().await {
        let dump: Vec<u8> = redis.command(&["DUMP", &key]).await;
        let text: Result<Vec<u8>, _> = redis_text(&redis, &key).await;
        for content in [&dump, &text.unwrap_or_default()] {
            seen += usize::from(content.windows(6).any(|window| window == b"sealed"));
            for form in &forms {
                assert!(!content.windows(form.len()).any(|window| window == form.as_slice()), "{key}");
            }
        }
    }
    assert!(seen > 0, "the document was among what was searched");
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| b"0123456789abcdef"[usize::from(digit)]).collect()
}

async fn redis_text(redis: &RedisServer, key: &str) -> Result<Vec<u8>, ()> {
    let kind: String = redis.command(&["TYPE", key]).await;
    match kind.as_str() {
        "string" => Ok(redis.command(&["GET", key]).await),
        "hash" => {
            let values: Vec<Vec<u8>> = redis.command(&["HVALS", key]).await;
            Ok(values.concat())
        }
        _ => Err(()),
    }
}

/// README: every node gets a new digest key before any makes it the active one. Signing goes on through both steps, and
/// what is sealed is sealed anew with the next change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_goes_on_while_the_digest_key_is_rotated() {
    let redis = RedisServer::start().await;
    let before = node(&redis, &["01"]).await;
    let app = before.application().await;
    let token = signed(&before, &app, json!({})).await;
    let prepared = node(&redis, &["01", "02"]).await;
    let after = node(&redis, &["02", "01"]).await;
    for node in [&prepared, &after] {
        assert!(node.api.is_active(app.pair(), &token).await);
        let own = signed(node, &app, json!({})).await;
        assert_eq!(kid(&own), kid(&token));
        for other in [&prepared, &after] {
            assert!(other.api.is_active(app.pair(), &own).await);
        }
    }
    after.operate("POST", "/admin/keys/rotate", Some(json!({}))).await;
    let keys = after.operate("GET", "/admin/keys", None).await;
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["sealed_by"] == "02"), "{keys}");
    let last = node(&redis, &["02"]).await;
    let own = signed(&last, &app, json!({})).await;
    // The secret of a client made later: that of an earlier one went with the digest key.
    let server = last.resource_server().await;
    assert!(after.api.is_active(server.pair(), &own).await && last.api.is_active(server.pair(), &own).await);
}

/// A signing key whose digest key is gone verifies on; a new one takes its place in signing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_opened_only_verifies() {
    let redis = RedisServer::start().await;
    let old = node(&redis, &["01"]).await;
    let app = old.application().await;
    let token = signed(&old, &app, json!({})).await;
    let new = node(&redis, &["02"]).await;
    let own = signed(&new, &app, json!({})).await;
    assert_ne!(kid(&own), kid(&token));
    let server = new.resource_server().await;
    assert!(new.api.is_active(server.pair(), &own).await);
    assert_eq!(super::jwks(&new).await.len(), 4, "resource servers can verify both");
    let refused = new.api.revoke(OPERATOR, &token).await;
    assert_eq!(refused.refusal(), (503, "temporarily_unavailable".into()), "it could not be marked as revoked");
    assert!(old.api.is_active(app.pair(), &token).await);
}

/// RFC 7662 does not say that a token is inactive because its state could not be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_nothing_is_said_of_a_signed_token() {
    let mut redis = RedisServer::start().await;
    let one = node(&redis, &["01"]).await;
    let app = one.application().await;
    let token = signed(&one, &app, json!({})).await;
    assert!(one.api.is_active(app.pair(), &token).await);
    let other = node(&redis, &["01"]).await;
    redis.kill();
    for node in [&one, &other] {
        // What a node remembers it says to the end of its lease, and no longer.
        eventually("the lease is over", async || node.api.introspect(OPERATOR, &token).await.status == 503).await;
        let answer = node.api.introspect(OPERATOR, &token).await;
        assert_eq!(answer.refusal(), (503, "temporarily_unavailable".into()), "known or not known to the node");
    }
    let keys = async |node: &Node| node.api.send(node.api.request("GET", &node.api.url("/jwks.json"))).await.status;
    assert_eq!(keys(&one).await, 200, "what is known is public, and still true");
    let body = json!({"client_id": OPERATOR.0, "format": "jwt"});
    let answer = one.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
    assert_eq!(answer.refusal(), (503, "temporarily_unavailable".into()), "no stamp, no token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_revocations_outlive_a_restart_of_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let clock = Clock::manual(UnixSeconds(1_800_000_000));
        Node::over(("store.path", folder.path().display().to_string()), clock, &[]).await
    };
    let before = start().await;
    let app = before.application().await;
    let (alive, revoked) = (signed(&before, &app, json!({})).await, signed(&before, &app, json!({})).await);
    assert_eq!(before.api.revoke(app.pair(), &revoked).await.status, 200);
    before.end().await;
    let after = start().await;
    assert!(after.api.is_active(app.pair(), &alive).await);
    assert!(!after.api.is_active(app.pair(), &revoked).await);
    assert_eq!(kid(&signed(&after, &app, json!({})).await), kid(&alive));
    after.end().await;
    let everything = std::fs::read_dir(folder.path()).unwrap();
    for file in everything.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let content = std::fs::read(&file).unwrap();
        assert!(!content.windows(11).any(|window| window == b"PRIVATE KEY"), "{}", file.display());
    }
}

/// Verified once, a token costs no more than a hash and a read: but nothing of what it may do is remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_on_one_node_is_seen_by_the_other_that_has_verified_the_token() {
    let redis = RedisServer::start().await;
    let (one, other) = (node(&redis, &["01"]).await, node(&redis, &["01"]).await);
    let app = one.application().await;
    let token = signed(&one, &app, json!({})).await;
    for _ in 0..5 {
        assert!(one.api.is_active(app.pair(), &token).await && other.api.is_active(app.pair(), &token).await);
        assert_eq!(one.api.revoke(app.pair(), &token).await.status, 200);
        assert!(!other.api.is_active(app.pair(), &token).await);
        other.operate("POST", "/admin/tokens/approve", Some(json!({ "token": token }))).await;
    }
}

/// How often the keys have been read from the store.
async fn readings(node: &Node) -> u64 {
    let page = node.api.send(node.api.request("GET", &node.api.admin_url("/metrics"))).await.body;
    let series = r#"introspect_store_duration_seconds_count{operation="read_keys",result="answered"}"#;
    page.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |count| count.trim().parse().unwrap())
}

/// An unknown `kid` makes the keys be read anew, but only beside a `jti` that we have made, and never more than ten
/// times in a second whatever is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc8725_3_10_unknown_keys_do_not_become_a_flood_of_reads() {
    let redis = RedisServer::start().await;
    // A busy machine is no fault of the store here.
    let settings = [
        ("keys.digest", &*digest_keys(&["01"])),
        ("authentication.unknown_tokens_per_second", "0"),
        ("redis.response_timeout", "10s"),
    ];
    let node = Node::over(("redis.url", redis.url()), Clock::System, &settings).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({})).await;
    let (mut header, claims) = parts(&token);
    let thief = Stolen::from(&node, &kid(&token)).await;
    let mut flood = async |jti: Option<&str>, waves: usize, at_once: usize| {
        let (before, begun) = (readings(&node).await, std::time::Instant::now());
        for wave in 0..waves {
            let mut running = tokio::task::JoinSet::new();
            for number in 0..at_once {
                header["kid"] = json!(format!("{:043}", wave * at_once + number));
                let mut claims = claims.clone();
                if let Some(jti) = jti {
                    claims["jti"] = json!(jti);
                }
                let text = thief.sign(&header.to_string(), &claims.to_string());
                let (api, app) = (node.api.clone(), app.clone());
                running.spawn(async move { assert!(!api.is_active(app.pair(), &text).await) });
            }
            running.join_all().await;
        }
        let seconds = begun.elapsed().as_secs() + 1;
        (readings(&node).await - before, seconds)
    };
    for (waves, at_once) in [(1, 200), (25, 1)] {
        let (read, seconds) = flood(None, waves, at_once).await;
        assert!((1..=10 * seconds + 2).contains(&read), "{read} readings in {seconds} seconds");
    }
    let (read, seconds) = flood(Some(&"A".repeat(51)), 1, 200).await;
    assert!(read <= seconds / 3 + 2, "{read} readings in {seconds} seconds, for nothing but the regular ones");
    assert!(node.api.is_active(app.pair(), &token).await);
}

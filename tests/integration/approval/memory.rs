//! How long it is kept what is revoked (rules 12 and 13).

use std::time::Duration;

use introspectd::token::grant::TokenFormat;
use introspectd::token::time::Clock;
use serde_json::json;

use super::Named;
use crate::support::life::expect_invalid_grant;
use crate::support::node::{Kind, Node};
use crate::support::redis::{PREFIX, RedisServer};

over_both_stores_and_forms! {
    rule_12_a_revocation_is_kept_as_long_as_any_token_of_the_grant_lives
    rule_12_a_token_that_outlives_its_refresh_token_is_revoked_with_the_grant
}

/// The first access token lives longer than the refresh token that nobody used, and than those that came after it.
async fn rule_12_a_token_that_outlives_its_refresh_token_is_revoked_with_the_grant(kind: Kind, form: TokenFormat) {
    let node =
        Node::start_still(kind, &[("tokens.refresh_idle_lifetime", "30s"), ("tokens.access_lifetime", "60s")]).await;
    let app = node.refresher_of(form).await;
    for by_client in [false, true] {
        let issued = node.issue(&app, json!({"refresh": true, "expires_in": 3000})).await;
        let first = issued["access_token"].as_str().unwrap();
        let refresh = node.rotate(&app, issued["refresh_token"].as_str().unwrap()).await.refresh;
        node.pass(Duration::from_secs(1000)).await;
        assert_eq!(node.alive(&app, [first, &refresh]).await, [true, false]);
        if by_client {
            assert_eq!(node.api.revoke(app.pair(), &refresh).await.status, 200);
        } else {
            assert!(node.decide("revoke", json!({"grant_id": issued["grant_id"]})).await);
        }
        assert!(!node.api.is_active(app.pair(), first).await);
    }
}

async fn rule_12_a_revocation_is_kept_as_long_as_any_token_of_the_grant_lives(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let issued = node.issue(&app, json!({"refresh": true, "expires_in": 5000, "refresh_expires_in": 6000})).await;
    let next = node.rotate(&app, issued["refresh_token"].as_str().unwrap()).await;
    assert!(node.decide("revoke", json!({"token": next.access})).await);
    let first = issued["access_token"].as_str().unwrap();
    for _ in 0..6 {
        assert_eq!(node.alive(&app, [first, &next.access, &next.refresh]).await, [false; 3]);
        node.pass(Duration::from_secs(1000)).await;
    }
}

/// Nothing but clients is kept for ever, whatever was done to tokens and grants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_redis_forgets_everything_in_time() {
    let node = Node::start(Kind::Redis).await;
    let app = node.refresher().await;
    let body = json!({"refresh": true, "sub": "alice", "expires_in": 600, "refresh_expires_in": 1200});
    let issue = async || node.issue(&app, body.clone()).await;
    let (revoked, approved, alone, reused) = (issue().await, issue().await, issue().await, issue().await);
    assert!(node.decide("revoke", json!({"grant_id": revoked["grant_id"]})).await);
    assert!(node.decide("revoke", json!({"grant_id": approved["grant_id"]})).await);
    assert!(node.decide("approve", json!({"jti": approved["jti"], "cascade": false})).await);
    assert!(node.decide("revoke", json!({"jti": alone["jti"], "cascade": false})).await);
    let spent = reused["refresh_token"].as_str().unwrap();
    node.rotate(&app, spent).await;
    expect_invalid_grant(&node.refresh(&app, spent).await);
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "bob"}))).await;
    let redis = node.redis.as_ref().unwrap();
    let keys = redis.keys().await;
    assert!(keys.len() > 10, "{keys:?}");
    for key in &keys {
        let left: i64 = redis.command(&["TTL", key]).await;
        let kind = &key[PREFIX.len()..];
        // A bulk revocation is kept for as long as any token could live that was issued before it.
        let longest = if ["e:s:", "e:u:"].iter().any(|kept| kind.starts_with(kept)) { i64::MAX } else { 1200 + 600 };
        if left == -1 {
            assert!(["c:", "i:", "k:", "m:"].iter().any(|kept| kind.starts_with(kept)), "{key} is kept for ever");
        } else {
            assert!((1..=longest).contains(&left), "{key}: {left} s");
        }
    }
}

/// What was acknowledged survives the end of Redis, if Redis is set to write before it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_what_was_revoked_survives_the_end_of_redis() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let node = Node::over(("redis.url", redis.url()), Clock::System, &[]).await;
    let app = node.refresher().await;
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(Named::issue(&node, &app).await);
    }
    let [kept, by_grant, by_token, exempted, swept, reused] = &all[..] else { unreachable!("six were issued") };
    let rotated = node.rotate(&app, &kept.pair.refresh).await;
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "nobody"}))).await;
    assert!(node.decide("revoke", by_grant.refresh()[2].clone()).await);
    assert!(node.decide("revoke", json!({"jti": by_token.access_jti, "cascade": false})).await);
    assert!(node.decide("revoke", exempted.refresh()[2].clone()).await);
    assert!(node.decide("approve", json!({"jti": exempted.access_jti, "cascade": false})).await);
    node.rotate(&app, &reused.pair.refresh).await;
    expect_invalid_grant(&node.refresh(&app, &reused.pair.refresh).await);
    let state = async || {
        let mut state = Vec::new();
        for named in &all {
            state.extend(named.alive(&node, &app).await);
        }
        state.extend(node.alive(&app, [&rotated.access, &rotated.refresh]).await);
        state
    };
    let before = state().await;
    assert_eq!(swept.alive(&node, &app).await, [true, true]);
    redis.kill();
    redis.launch().await;
    crate::support::eventually("Redis is used again", async || {
        node.api.introspect(app.pair(), &kept.pair.access).await.status == 200
    })
    .await;
    assert_eq!(state().await, before);
    node.operate("POST", "/admin/revocations", Some(json!({"client_id": app.id}))).await;
    redis.kill();
    redis.launch().await;
    crate::support::eventually("Redis is used again", async || {
        node.api.introspect(app.pair(), &kept.pair.access).await.status == 200
    })
    .await;
    assert_eq!(state().await, vec![false; 14]);
}

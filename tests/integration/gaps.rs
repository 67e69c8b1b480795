//! What is said of a revocation, or undone, when a node or Redis has missed a part of what happened.

use introspectd::token::time::Clock;
use serde_json::json;

use crate::support::eventually;
use crate::support::life::expect_invalid_grant;
use crate::support::node::{Kind, Node};
use crate::support::redis::RedisServer;

/// A refresh token that is used twice ends its grant for good; that end is written, and no replica has it. Whoever finds
/// it there afterwards must not say that it lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_no_replica_has_is_never_answered() {
    let settings = [("redis.response_timeout", "400ms"), ("revocation.durability", "replicas")];
    let node = Node::start_with(Kind::Redis, &settings).await;
    let owner = node.refresher().await;
    let first = node.grant(&owner, json!({})).await;
    let second = node.rotate(&owner, &first.refresh).await;
    assert_eq!(node.refresh(&owner, &first.refresh).await.status, 503, "its end is not known to last");
    for _ in 0..2 {
        for token in [&second.access, &second.refresh] {
            let answer = node.api.revoke(owner.pair(), token).await;
            assert_eq!(answer.status, 503, "{}", answer.body);
            assert!(answer.header("retry-after").is_some());
        }
    }
    // With a replica that has it, it does.
    let redis = node.redis.as_ref().unwrap();
    let port = redis.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]).await;
    eventually("the replica has everything", async || {
        let role: redis::Value = replica.command(&["ROLE"]).await;
        format!("{role:?}").contains("connected")
    })
    .await;
    eventually("it is answered", async || node.api.revoke(owner.pair(), &second.access).await.status == 200).await;
    expect_invalid_grant(&node.refresh(&owner, &first.refresh).await);
}

/// A node remembers a revocation and writes it again when Redis begins another life. That it was approved while the node
/// could not listen must not be undone by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_approved_while_a_node_could_not_listen_stays_approved() {
    let always = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start_with(&always).await;
    for name in ["one", "other"] {
        redis.command::<()>(&["ACL", "SETUSER", name, "on", ">hunter2", "~*", "&*", "+@all"]).await;
    }
    let as_user = async |name: &str| {
        let url = redis.url_with(&format!("{name}:hunter2@"), 0);
        Node::over(("redis.url", url), Clock::System, &[("revocation.lease", "100ms")]).await
    };
    let (one, other) = (as_user("one").await, as_user("other").await);
    let (app, server) = (one.application().await, one.resource_server().await);
    let token = one.token(&app).await;
    assert!(one.decide("revoke", json!({ "token": token })).await);
    assert!(!other.api.is_active(server.pair(), &token).await);

    redis.command::<()>(&["ACL", "SETUSER", "other", "off"]).await;
    redis.command::<redis::Value>(&["CLIENT", "KILL", "USER", "other"]).await;
    assert!(one.decide("approve", json!({ "token": token })).await);
    redis.command::<()>(&["ACL", "SETUSER", "other", "on"]).await;
    eventually("the other node has come back", async || {
        let answer = other.api.introspect(server.pair(), &token).await;
        answer.status == 200 && answer.json()["active"] == true
    })
    .await;

    eventually("it listens again, and has read what it has missed", async || {
        let condition = other.service.store.condition();
        condition.has_lease && condition.unread == 0
    })
    .await;
    redis.kill();
    redis.launch().await;
    for name in ["one", "other"] {
        redis.command::<()>(&["ACL", "SETUSER", name, "on", ">hunter2", "~*", "&*", "+@all"]).await;
    }
    for node in [&one, &other] {
        eventually("it answers again", async || {
            let answer = node.api.introspect(server.pair(), &token).await;
            assert_ne!(answer.body, r#"{"active":false}"#, "an approval was undone");
            answer.status == 200
        })
        .await;
        assert!(node.api.is_active(server.pair(), &token).await);
    }
}

//! Health, metrics, draining, and what is found at rest.

use std::time::{Duration, Instant};

use introspectd::shutdown::Outcome;
use introspectd::token::time::Clock;
use serde_json::json;

use super::operate;
use crate::support::api::Answer;
use crate::support::eventually;
use crate::support::node::{Kind, Node, OPERATOR, Registered};
use crate::support::redis::RedisServer;

over_both_stores! {
    a_node_that_drains_says_so_first_and_goes_on_answering
    health_is_told_on_both_listeners
    metrics_name_no_client_and_no_token
    nothing_at_rest_holds_a_token_or_a_secret
}

async fn get(node: &Node, url: &str) -> Answer {
    node.api.send(node.api.request("GET", url)).await
}

async fn health_is_told_on_both_listeners(kind: Kind) {
    let node = Node::start(kind).await;
    for base in [node.api.url(""), node.api.admin_url("")] {
        let live = get(&node, &format!("{base}/livez")).await;
        assert_eq!((live.status, live.body.as_str()), (200, r#"{"status":"alive"}"#));
        let ready = format!("{base}/readyz");
        eventually("the store has answered once", async || get(&node, &ready).await.status == 200).await;
        assert_eq!(get(&node, &ready).await.json()["status"], "ready");
        let head = node.api.send(node.api.request("HEAD", &ready)).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
}

/// Readiness turns first, so that load balancers stop sending; what is sent all the same is answered; then it ends.
async fn a_node_that_drains_says_so_first_and_goes_on_answering(kind: Kind) {
    let node = Node::start_with(kind, &[("drain.min", "3s"), ("drain.max", "10s")]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    let ready = node.api.url("/readyz");
    eventually("it is ready", async || get(&node, &ready).await.status == 200).await;
    let begun = Instant::now();
    node.drain.begin();
    for url in [ready, node.api.admin_url("/readyz")] {
        let answer = node.api.request("GET", &url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 503, "{url}");
        assert_eq!(answer.headers()["connection"], "close");
        assert!(answer.text().await.unwrap().contains(r#""status":"draining""#), "{url}");
    }
    assert_eq!(get(&node, &node.api.url("/livez")).await.status, 200, "it lives, and must not be killed");
    assert!(node.api.is_active(server.pair(), &token).await);
    let fresh = node.token(&app).await;
    assert!(node.api.is_active(server.pair(), &fresh).await);
    assert!(get(&node, &node.api.admin_url("/metrics")).await.body.contains("\nintrospect_draining 1\n"));
    let api = node.api.clone();
    assert_eq!(node.end().await, Outcome::Clean);
    assert!(begun.elapsed() >= Duration::from_secs(3), "load balancers have that long to notice");
    for url in [api.url("/livez"), api.admin_url("/livez")] {
        assert!(api.request("GET", &url).send().await.unwrap_err().is_connect(), "{url} is closed");
    }
}

async fn metrics_name_no_client_and_no_token(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    let issued = node.issue(&app, json!({"sub": "alice-of-the-metrics", "username": "alice@metrics.example"})).await;
    for caller in [server.pair(), (&server.id, "wrong-secret-of-the-metrics"), ("unknown-client-of-the-metrics", "x")] {
        node.api.introspect(caller, &token).await;
        node.api.introspect(caller, "unknown-token-of-the-metrics").await;
    }
    node.api.revoke(app.pair(), &token).await;
    get(&node, &node.api.url("/unknown-path-of-the-metrics?query-of-the-metrics")).await;
    operate(&node, "GET", &format!("/admin/clients/{}", app.id), None).await;
    node.api.send(node.api.request("METRICSMETHOD", &node.api.url("/introspect"))).await;

    let answer = get(&node, &node.api.admin_url("/metrics")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let page = answer.body;
    for sample in [
        r#"introspect_requests_total{endpoint="introspect",outcome="active"} 1"#,
        r#"introspect_requests_total{endpoint="introspect",outcome="inactive"} 1"#,
        r#"introspect_requests_total{endpoint="introspect",outcome="unauthorized"} 4"#,
        r#"introspect_requests_total{endpoint="revoke",outcome="done"} 1"#,
        r#"introspect_client_auth_total{method="client_secret_basic",result="rejected"} 4"#,
        r#"introspect_tokens_issued_total{kind="access"} 2"#,
        "introspect_tokens_revoked_total 1",
        "introspect_draining 0",
        "introspect_store_up 1",
    ] {
        assert!(page.lines().any(|line| line == sample), "{sample} is not in {page}");
    }
    let jti = issued["jti"].as_str().unwrap();
    for secret in [
        &token,
        &app.id,
        &app.secret,
        &server.id,
        &server.secret,
        jti,
        OPERATOR.0,
        OPERATOR.1,
        "of-the-metrics",
        "metrics.example",
        "METRICSMETHOD",
        "127.0.0.1",
    ] {
        assert!(!page.contains(secret), "{secret} is in {page}");
    }
}

/// RFC 6749 sections 10.3 and 10.4.
async fn nothing_at_rest_holds_a_token_or_a_secret(kind: Kind) {
    let redis = match kind {
        Kind::Redis => Some(RedisServer::start_with(&["--rdbcompression", "no"]).await),
        Kind::Embedded => None,
    };
    let folder = tempfile::tempdir().unwrap();
    let store = match &redis {
        Some(redis) => ("redis.url", redis.url()),
        None => ("store.path", folder.path().display().to_string()),
    };
    let node = Node::over(store, Clock::System, &[]).await;
    let app = node.application().await;
    // With a capital letter each, so that the store keeps them as they are, if it does.
    let brought = json!({"client_secret": "A-secret-that-was-brought-along", "rights": ["introspect"]});
    let brought = Registered { secret: "A-secret-that-was-brought-along".into(), ..node.client(brought).await };
    let issued = node.issue(&app, json!({"refresh": true, "sub": "Subject-at-rest"})).await;
    node.issue(&app, json!({"token": "A-token-from-elsewhere"})).await;
    let rotate = operate(&node, "POST", &format!("/admin/clients/{}/rotate-secret", app.id), None).await.json();
    let grant = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await.json();
    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(app.pair(), &revoked).await.status, 200);
    node.api.introspect(brought.pair(), "A-token-that-is-unknown").await;
    node.api.introspect((&app.id, "A-wrong-secret-that-was-tried"), "x").await;

    let (held, dump) = if let Some(redis) = &redis {
        let place: Vec<String> = redis.command(&["CONFIG", "GET", "dir"]).await;
        let _: String = redis.command(&["SAVE"]).await;
        (Some(node), std::fs::read(format!("{}/dump.rdb", place[1])).unwrap())
    } else {
        node.end().await;
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        (None, files.flat_map(|file| std::fs::read(file).unwrap()).collect())
    };
    let holds = |text: &str| dump.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("Subject-at-rest") && holds(&app.id), "what is looked through is the store");
    let texts = [&issued["access_token"], &issued["refresh_token"], &rotate["client_secret"], &grant["access_token"]];
    for text in texts.map(|text| text.as_str().unwrap()).into_iter().chain([
        revoked.as_str(),
        &app.secret,
        &brought.secret,
        OPERATOR.1,
        "A-token-from-elsewhere",
        "A-token-that-is-unknown",
        "A-wrong-secret-that-was-tried",
    ]) {
        assert!(!holds(text), "{text} is kept in the clear");
    }
    drop(held);
}

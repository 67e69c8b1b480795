//! Guessing and slow hashes: who must wait after failures, and what a flood of slow comparisons can reach.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde_json::json;

use crate::support::api::Answer;
use crate::support::eventually;
use crate::support::node::{Kind, Node, OPERATOR, Registered};

over_both_stores! {
    a_brought_secret_is_hashed_once_and_not_per_request
    a_full_pool_is_said_and_counts_as_no_failure
    a_success_forgets_the_failures_before_it
    another_source_is_not_held_up
    every_failure_takes_the_same_path
    failures_make_a_client_wait_and_its_right_secret_too
    forwarded_addresses_are_believed_of_trusted_proxies_only
    one_source_that_guesses_at_many_clients_must_wait
    the_ways_to_read_a_header_are_one_attempt
    waits_double_up_to_the_longest_and_end
}

/// Calls the introspection endpoint with further headers.
async fn call(node: &Node, client: (&str, &str), headers: &[(&str, &str)]) -> Answer {
    let mut request = node.api.request("POST", &node.api.url("/introspect")).basic_auth(client.0, Some(client.1));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    node.api.send(request.form(&[("token", "unknown-token")])).await
}

async fn status(node: &Node, client: (&str, &str)) -> u16 {
    call(node, client, &[]).await.status
}

/// A sample of the metrics page.
async fn metric(node: &Node, series: &str) -> u64 {
    let page = node.api.send(node.api.request("GET", &node.api.admin_url("/metrics"))).await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).trim().parse().unwrap()
}

/// A client whose secret was brought along and is kept as argon2id.
async fn imported(node: &Node) -> Registered {
    let secret = "a-secret-that-was-brought-along";
    let client = node.client(json!({"client_secret": secret, "rights": ["introspect"]})).await;
    Registered { id: client.id, secret: secret.into() }
}

async fn failures_make_a_client_wait_and_its_right_secret_too(kind: Kind) {
    let node = Node::start_still(kind, &[("authentication.failures_per_client", "3")]).await;
    let (client, other) = (node.application().await, node.application().await);
    for _ in 0..3 {
        assert_eq!(call(&node, (&client.id, "wrong"), &[]).await.refusal(), (401, "invalid_client".into()));
    }
    let refused = call(&node, (&client.id, "wrong"), &[]).await;
    assert_eq!(refused.refusal(), (429, "too_many_requests".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        call(&node, client.pair(), &[]).await.seen(),
        refused.seen(),
        "right and wrong are told apart by nothing"
    );
    // The counters are the same at every endpoint that takes a secret, wherever it is put.
    for path in ["/introspect", "/revoke", "/token"] {
        for secret in [client.secret.as_str(), "wrong"] {
            let by_header = node.api.post(path, (&client.id, secret), &[]).await;
            assert_eq!(by_header.seen(), refused.seen(), "{path}");
            let form = [("client_id", client.id.as_str()), ("client_secret", secret)];
            let by_body = node.api.send(node.api.request("POST", &node.api.url(path)).form(&form)).await;
            assert_eq!(by_body.seen(), refused.seen(), "{path}");
        }
    }
    let admin = node.api.admin((&client.id, "wrong"), "GET", "/admin/clients", None).await;
    assert_eq!(admin.seen(), refused.seen());
    assert_eq!(status(&node, other.pair()).await, 200, "another client goes on");
    assert!(metric(&node, r#"introspect_rate_limited_total{by="client"}"#).await > 2);
    node.pass(Duration::from_secs(1)).await;
    assert_eq!(status(&node, client.pair()).await, 200, "the wait is over");
}

async fn waits_double_up_to_the_longest_and_end(kind: Kind) {
    let settings = [("authentication.failures_per_client", "1"), ("authentication.max_wait", "5s")];
    let node = Node::start_still(kind, &settings).await;
    let client = node.application().await;
    for wait in [1, 2, 4, 5, 5] {
        assert_eq!(status(&node, (&client.id, "wrong")).await, 401);
        let refused = call(&node, client.pair(), &[]).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some(wait.to_string().as_str())));
        node.pass(Duration::from_secs(wait - 1)).await;
        assert_eq!(status(&node, client.pair()).await, 429, "attempts during the wait change nothing");
        node.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(status(&node, client.pair()).await, 200);
}

async fn a_success_forgets_the_failures_before_it(kind: Kind) {
    let node = Node::start_still(kind, &[("authentication.failures_per_client", "3")]).await;
    let client = node.application().await;
    for _ in 0..3 {
        for _ in 0..2 {
            assert_eq!(status(&node, (&client.id, "wrong")).await, 401);
        }
        assert_eq!(status(&node, client.pair()).await, 200);
    }
}

async fn one_source_that_guesses_at_many_clients_must_wait(kind: Kind) {
    let settings = [("authentication.failures_per_client", "2"), ("authentication.failures_per_source", "4")];
    let node = Node::start_still(kind, &settings).await;
    let (client, guessed) = (node.application().await, node.application().await);
    for _ in 0..2 {
        assert_eq!(status(&node, (&guessed.id, "wrong")).await, 401);
    }
    for _ in 0..5 {
        // Refused by its own counter, it is not counted against the source: neighbours do not pay for it.
        assert_eq!(status(&node, (&guessed.id, "wrong")).await, 429);
    }
    assert_eq!(status(&node, client.pair()).await, 200);
    for guess in ["unknown-one", "unknown-two"] {
        assert_eq!(status(&node, (guess, "wrong")).await, 401);
    }
    let stranger = node.application().await;
    for (id, secret) in [stranger.pair(), ("unknown-three", "wrong"), ("unknown-four", "wrong")] {
        let refused = call(&node, (id, secret), &[]).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{id}");
    }
    assert_eq!(
        status(&node, client.pair()).await,
        200,
        "who has been seen here before does not pay for its neighbours"
    );
    assert!(metric(&node, r#"introspect_rate_limited_total{by="source"}"#).await >= 3);
    node.pass(Duration::from_secs(1)).await;
    assert_eq!(status(&node, client.pair()).await, 200);
}

const PROXIED: [(&str, &str); 2] =
    [("authentication.failures_per_client", "2"), ("authentication.trusted_proxies", r#"["127.0.0.1", "10.0.0.0/8"]"#)];

async fn another_source_is_not_held_up(kind: Kind) {
    let node = Node::start_still(kind, &PROXIED).await;
    let client = node.application().await;
    let from = async |address: &str, secret: &str| {
        call(&node, (&client.id, secret), &[("x-forwarded-for", address)]).await.status
    };
    for _ in 0..2 {
        assert_eq!(from("192.0.2.1", "wrong").await, 401);
    }
    assert_eq!(from("192.0.2.1", &client.secret).await, 429);
    assert_eq!(from("192.0.2.2", &client.secret).await, 200);
    assert_eq!(from("2001:db8:1:2::1", "wrong").await, 401);
    assert_eq!(from("2001:db8:1:2:ffff::9", "wrong").await, 401, "one subscriber has a whole /64");
    assert_eq!(from("2001:db8:1:2::5", &client.secret).await, 429);
    assert_eq!(from("2001:db8:1:3::1", &client.secret).await, 200);
}

/// Standards 13.18: what anybody can write into a header must not reset the count.
async fn forwarded_addresses_are_believed_of_trusted_proxies_only(kind: Kind) {
    let node = Node::start_still(kind, &[("authentication.failures_per_client", "3")]).await;
    let client = node.application().await;
    let spoofed = async |number: usize, secret: &str| {
        let address = format!("192.0.2.{number}");
        let forwarded = format!("for={address}");
        let headers = [
            ("x-forwarded-for", address.as_str()),
            ("forwarded", &forwarded),
            ("x-real-ip", &address),
            ("true-client-ip", &address),
        ];
        call(&node, (&client.id, secret), &headers).await.status
    };
    for number in 0..3 {
        assert_eq!(spoofed(number, "wrong").await, 401);
    }
    assert_eq!(spoofed(3, "wrong").await, 429, "no proxy is trusted unless it is declared");
    assert_eq!(spoofed(4, &client.secret).await, 429);

    let node = Node::start_still(kind, &PROXIED).await;
    let client = node.application().await;
    let behind = async |lines: &[&str], secret: &str| {
        let headers: Vec<_> = lines.iter().map(|&line| ("x-forwarded-for", line)).collect();
        call(&node, (&client.id, secret), &headers).await.status
    };
    assert_eq!(behind(&["203.0.113.1, 192.0.2.7"], "wrong").await, 401);
    assert_eq!(behind(&["203.0.113.2", "192.0.2.7"], "wrong").await, 401);
    for made_up in [
        &["203.0.113.3, 192.0.2.7"][..],
        &["203.0.113.4", "192.0.2.7, 10.0.0.9"],
        &["127.0.0.1, 10.1.1.1, 192.0.2.7"],
        &["nonsense, 192.0.2.7"],
    ] {
        assert_eq!(behind(made_up, &client.secret).await, 429, "{made_up:?}: what comes first may be made up");
    }
    assert_eq!(behind(&["192.0.2.7, 203.0.113.3"], &client.secret).await, 200, "the last one that is no proxy counts");
}

async fn the_ways_to_read_a_header_are_one_attempt(kind: Kind) {
    let node = Node::start_still(kind, &[("authentication.failures_per_client", "3")]).await;
    let client = node.application().await;
    for _ in 0..3 {
        assert_eq!(status(&node, (&client.id, "wrong+secret%41")).await, 401);
    }
    assert_eq!(status(&node, client.pair()).await, 429);
}

/// Occupies the whole hashing pool until the result is dropped.
async fn occupy(node: &Node) -> mpsc::Sender<()> {
    let (release, gate) = mpsc::channel();
    let service = Arc::clone(&node.service);
    tokio::spawn(async move { service.hashing.run(move |_| gate.recv()).await.is_ok() });
    eventually("the pool is occupied", async || node.service.hashing.depth() == 1).await;
    release
}

async fn free(node: &Node, occupied: mpsc::Sender<()>) {
    drop(occupied);
    eventually("the pool is free", async || node.service.hashing.depth() == 0).await;
}

const SMALL_POOL: [(&str, &str); 3] = [
    ("authentication.hashing_threads", "1"),
    ("authentication.hashing_queue", "0"),
    ("authentication.failures_per_client", "1"),
];

async fn a_brought_secret_is_hashed_once_and_not_per_request(kind: Kind) {
    let node = Node::start_still(kind, &SMALL_POOL).await;
    let client = imported(&node).await;
    let occupied = occupy(&node).await;
    assert_eq!(status(&node, client.pair()).await, 503, "the first time it must be hashed");
    free(&node, occupied).await;
    assert_eq!(status(&node, client.pair()).await, 200);
    let occupied = occupy(&node).await;
    for _ in 0..5 {
        assert_eq!(status(&node, client.pair()).await, 200, "no slow hash is needed any more");
        let form = [("client_id", client.id.as_str()), ("client_secret", &client.secret), ("token", "unknown-token")];
        let answer = node.api.send(node.api.request("POST", &node.api.url("/introspect")).form(&form)).await;
        assert_eq!(answer.status, 200, "wherever it is put");
    }
    assert_eq!(status(&node, (&client.id, "a-secret-that-was-brought-along2")).await, 503, "another secret is hashed");
    free(&node, occupied).await;
}

async fn a_full_pool_is_said_and_counts_as_no_failure(kind: Kind) {
    let node = Node::start_still(kind, &SMALL_POOL).await;
    let (client, made) = (imported(&node).await, node.application().await);
    let occupied = occupy(&node).await;
    for _ in 0..5 {
        let refused = call(&node, client.pair(), &[]).await;
        assert_eq!(refused.refusal(), (503, "temporarily_unavailable".into()));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(status(&node, made.pair()).await, 200, "a secret that was made here is compared beside the pool");
    assert_eq!(metric(&node, "introspect_client_auth_hashing_queue").await, 1);
    let body = json!({"client_secret": "a-secret-to-be-hashed"});
    let create = node.api.admin(OPERATOR, "POST", "/admin/clients", Some(body)).await;
    assert_eq!((create.refusal(), create.header("retry-after")), ((503, "temporarily_unavailable".into()), Some("1")));
    let overloaded = r#"introspect_requests_total{endpoint="introspect",outcome="overloaded"}"#;
    assert_eq!(metric(&node, overloaded).await, 5);
    free(&node, occupied).await;
    assert_eq!(status(&node, client.pair()).await, 200, "nothing was held against it");
}

async fn every_failure_takes_the_same_path(kind: Kind) {
    let node = Node::start_still(kind, &SMALL_POOL).await;
    let (client, made) = (imported(&node).await, node.application().await);
    let (other, third) = (node.application().await, node.application().await);
    let post_only = node.client(json!({"token_endpoint_auth_method": "client_secret_post"})).await;
    let public = node.client(json!({"token_endpoint_auth_method": "none"})).await;
    let occupied = occupy(&node).await;
    let wrong = call(&node, (&made.id, "wrong"), &[]).await;
    assert_eq!(wrong.refusal(), (503, "temporarily_unavailable".into()));
    for (id, secret) in [
        (client.id.as_str(), "wrong"),
        (&public.id, "wrong"),
        (&post_only.id, &post_only.secret),
        ("unknown-client", "wrong"),
        ("no identifier at all\u{e9}", "wrong"),
        (&"x".repeat(200), "wrong"),
        (&other.id, &"x".repeat(2000)),
        (OPERATOR.0, "wrong"),
        ("", ""),
    ] {
        assert_eq!(call(&node, (id, secret), &[]).await.seen(), wrong.seen(), "{id} {secret}");
    }
    free(&node, occupied).await;
    // Whoever must wait does not get as far as the pool.
    assert_eq!(status(&node, (&third.id, "wrong")).await, 401);
    let occupied = occupy(&node).await;
    assert_eq!(status(&node, (&third.id, "wrong")).await, 429);
    free(&node, occupied).await;
}

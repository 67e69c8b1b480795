//! Registration, and that a name is one user's.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{PASSWORD, Site, Tokens};
use crate::support::cluster::RedisCluster;
use crate::support::node::{Kind, Node};

over_both_stores! {
    registering_logs_in
    asvs_6_1_names_are_unique_in_their_canonical_form
    of_fifty_registrations_of_one_name_one_succeeds
    what_is_no_name_is_refused_with_the_member_at_fault
    registrations_from_one_source_are_limited
    operators_can_keep_registration_to_themselves
}

fn body(username: &str, email: &str) -> Value {
    json!({"username": username, "email": email, "password": PASSWORD})
}

async fn registering_logs_in(kind: Kind) {
    let site = Site::start(kind).await;
    let answer = site.post("/register", &body("Alice.B", "Alice@Example.org")).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let tokens = Tokens::of(&answer);
    assert_eq!(site.introspect(&tokens.access).await["username"], json!("Alice.B"), "as it was written");
    assert!(site.works(&tokens.refresh).await);
}

async fn asvs_6_1_names_are_unique_in_their_canonical_form(kind: Kind) {
    let site = Site::start(kind).await;
    site.user("alice").await;
    for (username, email, field) in [
        ("alice", "other@example.org", "username"),
        ("ALICE", "other@example.org", "username"),
        ("\u{ff21}lice", "other@example.org", "username"),
        ("other", "alice@example.org", "email"),
        ("other", "ALICE@Example.ORG", "email"),
    ] {
        let answer = site.post("/register/", &body(username, email)).await;
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["field"], &told["reason"]),
            (409, &json!(field), &json!("taken")),
            "{username}"
        );
    }
    // Nothing of these is left: both names are free.
    assert_eq!(site.post("/register/", &body("other", "other@example.org")).await.status, 201);
}

/// Room for fifty at once, however busy the machine is: passwords are hashed when nothing else wants the processor.
const ROOM: [(&str, &str); 2] = [("accounts.hashing_queue", "100"), ("http.request_timeout", "5m")];

async fn fifty(site: &Site) {
    for (place, both) in [true, false].into_iter().enumerate() {
        let attempts = (0..50).map(|number| {
            let username = if both { format!("one{place}") } else { format!("user{number}") };
            let email = format!("one{place}-{}@example.org", if both { number } else { 0 });
            async move { site.post("/register/", &body(&username, &email)).await.status }
        });
        let outcomes = join_all(attempts).await;
        let count = |status| outcomes.iter().filter(|outcome| **outcome == status).count();
        assert_eq!((count(201), count(409)), (1, 49), "{outcomes:?}");
    }
    let users = site.node.operate("GET", "/admin/users", None).await;
    assert_eq!(users["users"].as_array().unwrap().len(), 2, "{users}");
}

async fn of_fifty_registrations_of_one_name_one_succeeds(kind: Kind) {
    fifty(&Site::start_with(kind, &ROOM).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_registrations_of_one_name_one_succeeds_in_a_cluster() {
    let cluster = RedisCluster::start().await;
    let redis = cluster.config();
    let nodes = redis.nodes.join(",");
    let settings = Site::settings(&[ROOM[0], ROOM[1], ("redis.topology", "cluster"), ("redis.nodes", &nodes)]);
    let url = redis.url.expose().to_owned();
    let site = Site::of(Node::over(("redis.url", url), introspectd::token::time::Clock::System, &settings).await).await;
    fifty(&site).await;
    // And all that follows works where every key has a server of its own.
    let tokens = site.user("carol").await;
    let answer = site.change_password(&tokens.access, PASSWORD, "another battery of staples").await;
    let fresh = Tokens::of(&answer);
    assert!(!site.is_active(&tokens.access).await && !site.works(&tokens.refresh).await);
    assert!(site.is_active(&fresh.access).await);
    assert_eq!(site.log_out(&fresh.refresh).await.status, 204);
    assert!(!site.is_active(&fresh.access).await);
}

async fn what_is_no_name_is_refused_with_the_member_at_fault(kind: Kind) {
    let site = Site::start(kind).await;
    for username in ["", " ", "al ice", "alice@example.org", "alic\u{e9}", "-alice", &"a".repeat(65)] {
        let answer = site.post("/register/", &body(username, "alice@example.org")).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["field"]), (400, &json!("username")), "{username:?}");
    }
    for email in [
        "",
        "alice",
        "@example.org",
        "alice@",
        "alice@localhost",
        "a b@example.org",
        "a@b@example.org",
        "alice@[127.0.0.1]",
    ] {
        let answer = site.post("/register/", &body("alice", email)).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["field"]), (400, &json!("email")), "{email:?}");
    }
}

async fn registrations_from_one_source_are_limited(kind: Kind) {
    let settings = [("accounts.registrations_per_hour", "5"), ("authentication.trusted_proxies", "127.0.0.1")];
    let site = Site::start_with(kind, &settings).await;
    let from = async |address: &str, number: usize| {
        let body = body(&format!("user{number}"), &format!("user{number}@example.org"));
        site.send("POST", "/register", &[("x-forwarded-for", address)], Some(&body)).await
    };
    let mut number = 0;
    let limited = loop {
        let answer = from("192.0.2.1", number).await;
        if answer.status != 201 {
            break answer;
        }
        number += 1;
        assert!(number <= 20);
    };
    assert_eq!(limited.refusal(), (429, "too_many_requests".to_owned()));
    assert!(limited.header("retry-after").is_some());
    assert_eq!(from("192.0.2.2", number).await.status, 201, "another source is not held up");
}

async fn operators_can_keep_registration_to_themselves(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.registration", "closed")]).await;
    assert_eq!(site.post("/register/", &body("alice", "alice@example.org")).await.status, 404);
    let made = site.node.operate("POST", "/admin/users", Some(body("alice", "alice@example.org"))).await;
    assert_eq!((&made["username"], &made["state"]), (&json!("alice"), &json!("active")));
    site.log_in("alice").await;
}

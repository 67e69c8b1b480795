//! Revoking many tokens at once: by client, by user, by both, or all there are (rule 10; Apigee's A8, which leaves JWTs
//! out).

use std::time::Duration;

use introspectd::token::grant::TokenFormat;
use introspectd::token::time::{Clock, UnixSeconds};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::life::{Pair, expect_invalid_grant};
use crate::support::node::{Kind, Node, OPERATOR, Registered};
use crate::support::redis::{PREFIX, RedisServer};

over_both_stores! {
    rule_10_before_is_the_second_from_which_tokens_live
    rule_10_only_an_operator_revokes_in_bulk
    rule_10_refreshing_does_not_make_a_grant_younger
    rule_10_requests_that_make_no_sense_are_refused
}

over_both_stores_and_forms! {
    rule_10_exactly_those_are_revoked
    rule_10_many_at_the_same_moment_leave_nothing_of_before
    rule_10_of_two_moments_the_later_one_counts
    rule_10_revoked_twice_is_revoked
    rule_10_what_is_issued_afterwards_lives
}

const PATH: &str = "/admin/revocations";

async fn sweep(node: &Node, body: Value) -> bool {
    let answer = node.ask_operator(PATH, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["changed"].as_bool().unwrap()
}

/// The tokens of two clients for several users and for none; among the users are some whose names would fit another
/// axis.
struct Population(Vec<(Registered, Option<String>, Pair)>);

impl Population {
    async fn issue(node: &Node, clients: &[Registered; 2]) -> Self {
        let mut all = Vec::new();
        for client in clients {
            for sub in [Some("alice"), Some("bob"), Some("alice:bob"), Some(clients[0].id.as_str()), None] {
                let members = sub.map_or(json!({}), |sub| json!({"sub": sub}));
                all.push((client.clone(), sub.map(str::to_owned), node.grant(client, members).await));
            }
        }
        Self(all)
    }

    async fn expect(&self, node: &Node, revoked: impl Fn(&Registered, Option<&str>) -> bool) {
        for (client, sub, pair) in &self.0 {
            let lives = !revoked(client, sub.as_deref());
            assert_eq!(node.alive(client, [&pair.access, &pair.refresh]).await, [lives; 2], "{} {sub:?}", client.id);
        }
        for (client, sub, pair) in &self.0 {
            if revoked(client, sub.as_deref()) {
                expect_invalid_grant(&node.refresh(client, &pair.refresh).await);
            } else {
                node.rotate(client, &pair.refresh).await;
            }
        }
    }
}

async fn rule_10_exactly_those_are_revoked(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let clients = [node.refresher_of(form).await, node.refresher_of(form).await];
    let one = clients[0].id.clone();
    let population = Population::issue(&node, &clients).await;
    assert!(sweep(&node, json!({"client_id": one, "sub": "alice"})).await);
    population.expect(&node, |client, sub| client.id == one && sub == Some("alice")).await;

    let population = Population::issue(&node, &clients).await;
    assert!(sweep(&node, json!({"sub": "alice"})).await);
    population.expect(&node, |_, sub| sub == Some("alice")).await;

    let population = Population::issue(&node, &clients).await;
    assert!(sweep(&node, json!({"client_id": one})).await);
    population.expect(&node, |client, _| client.id == one).await;

    let population = Population::issue(&node, &clients).await;
    for nobody in [json!({"client_id": "nobody"}), json!({"sub": "nobody"}), json!({"client_id": one, "sub": "nobody"})]
    {
        assert!(sweep(&node, nobody).await, "it is not looked up whether there are any");
    }
    population.expect(&node, |_, _| false).await;

    let population = Population::issue(&node, &clients).await;
    assert!(sweep(&node, json!({"all": true})).await);
    population.expect(&node, |_, _| true).await;
    assert_eq!(node.counter("introspect_bulk_revocations_total").await, 7);
}

async fn rule_10_what_is_issued_afterwards_lives(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for axis in [
        json!({"client_id": app.id}),
        json!({"sub": "alice"}),
        json!({"client_id": app.id, "sub": "alice"}),
        json!({"all": true}),
    ] {
        for _ in 0..20 {
            let before = node.grant(&app, json!({"sub": "alice"})).await;
            sweep(&node, axis.clone()).await;
            let after = node.grant(&app, json!({"sub": "alice"})).await;
            assert_eq!(
                node.alive(&app, [&before.access, &before.refresh, &after.access, &after.refresh]).await,
                [false, false, true, true],
                "{axis}"
            );
            let next = node.rotate(&app, &after.refresh).await;
            assert_eq!(node.alive(&app, [&next.access, &next.refresh]).await, [true, true], "{axis}");
        }
    }
}

/// Strictly less: what was taken in before that second is revoked, what was in it is not. The stamp of the store
/// counts, which is that of no node's clock.
async fn rule_10_before_is_the_second_from_which_tokens_live(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.refresher().await;
    for axis in [json!({"client_id": app.id}), json!({"sub": "alice"}), json!({"all": true})] {
        let early = node.issue(&app, json!({"refresh": true, "sub": "alice"})).await;
        let first = node.stamp_of(&early["jti"]).await.0 / 1_000_000;
        while node.now() <= first {
            node.pass(Duration::from_millis(100)).await;
        }
        let late = node.issue(&app, json!({"refresh": true, "sub": "alice"})).await;
        let second = node.stamp_of(&late["jti"]).await.0 / 1_000_000;
        assert!(first < second);
        let (early, late) = (Pair::of(&early), Pair::of(&late));
        let alive = async || node.alive(&app, [&early.access, &early.refresh, &late.access, &late.refresh]).await;
        let before = |second: u64| {
            let mut body = axis.clone();
            body["before"] = json!(second);
            body
        };
        sweep(&node, before(first)).await;
        assert_eq!(alive().await, [true; 4], "{axis}");
        assert!(sweep(&node, before(second)).await);
        assert_eq!(alive().await, [false, false, true, true], "{axis}");
        while node.now() <= second {
            node.pass(Duration::from_millis(100)).await;
        }
        assert!(sweep(&node, before(second + 1)).await);
        assert_eq!(alive().await, [false; 4], "{axis}");
    }
}

/// Otherwise, whoever holds a refresh token from before would be safe once it has refreshed.
async fn rule_10_refreshing_does_not_make_a_grant_younger(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.refresher().await;
    let first = node.issue(&app, json!({"refresh": true, "sub": "alice"})).await;
    let born = node.stamp_of(&first["jti"]).await.0 / 1_000_000;
    while node.now() <= born {
        node.pass(Duration::from_millis(100)).await;
    }
    let second = node.rotate(&app, first["refresh_token"].as_str().unwrap()).await;
    let third = node.rotate(&app, &second.refresh).await;
    let alive = async || node.alive(&app, [&second.access, &third.access, &third.refresh]).await;
    assert_eq!(alive().await, [true; 3]);
    assert!(sweep(&node, json!({"sub": "alice", "before": born + 1})).await);
    assert_eq!(alive().await, [false; 3]);
    expect_invalid_grant(&node.refresh(&app, &third.refresh).await);
}

async fn rule_10_of_two_moments_the_later_one_counts(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let pair = node.grant(&app, json!({"sub": "alice"})).await;
    for _ in 0..2 {
        sweep(&node, json!({"sub": "alice"})).await;
        for before in [0, 1, node.now() - 100] {
            assert!(!sweep(&node, json!({"sub": "alice", "before": before})).await, "it never goes back");
            assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [false, false]);
        }
    }
    // Nor does one axis undo another.
    for body in [json!({"client_id": app.id, "before": 0}), json!({"all": true, "before": 1})] {
        sweep(&node, body).await;
        assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [false, false]);
    }
}

async fn rule_10_revoked_twice_is_revoked(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let pair = node.grant(&app, json!({"sub": "alice"})).await;
    let long_ago = json!({"sub": "alice", "before": node.now() - 1000});
    assert_eq!([sweep(&node, long_ago.clone()).await, sweep(&node, long_ago).await], [true, false]);
    assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, true]);
    for _ in 0..3 {
        sweep(&node, json!({"sub": "alice"})).await;
        assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [false, false]);
    }
}

async fn rule_10_many_at_the_same_moment_leave_nothing_of_before(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let clients = [node.refresher_of(form).await, node.refresher_of(form).await];
    for _ in 0..5 {
        let population = Population::issue(&node, &clients).await;
        let mut operators = JoinSet::new();
        for number in 0..20 {
            let axis = match number % 4 {
                0 => json!({"client_id": clients[0].id}),
                1 => json!({"sub": "alice"}),
                2 => json!({"client_id": clients[1].id, "sub": "bob"}),
                _ => json!({"client_id": clients[0].id, "sub": "alice"}),
            };
            let api = node.api.clone();
            operators.spawn(async move { api.admin(OPERATOR, "POST", PATH, Some(axis)).await.status });
        }
        assert!(operators.join_all().await.into_iter().all(|status| status == 200));
        let first = &clients[0].id;
        population.expect(&node, |client, sub| &client.id == first || sub == Some("alice") || sub == Some("bob")).await;
    }
}

async fn rule_10_only_an_operator_revokes_in_bulk(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let others = node.client(json!({"rights": ["introspect", "revoke", "issue"]})).await;
    let pair = node.grant(&app, json!({"sub": "alice"})).await;
    for client in [&app, &others] {
        for body in [json!({"client_id": app.id}), json!({"sub": "alice"}), json!({"all": true}), json!({})] {
            let answer = node.api.admin(client.pair(), "POST", PATH, Some(body)).await;
            assert_eq!(answer.refusal(), (403, "unauthorized_client".into()));
        }
    }
    assert_eq!(node.api.admin((&app.id, "wrong"), "POST", PATH, Some(json!({"all": true}))).await.status, 401);
    let public = node.api.request("POST", &node.api.url(PATH)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
    assert_eq!(node.api.send(public.body(r#"{"all":true}"#)).await.status, 404);
    assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, true]);
}

async fn rule_10_requests_that_make_no_sense_are_refused(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let pair = node.grant(&app, json!({"sub": "alice"})).await;
    let (id, now) = (app.id.as_str(), node.now());
    for body in [
        json!({}),
        json!({"all": false}),
        json!({"before": now}),
        json!({"all": true, "client_id": id}),
        json!({"all": true, "sub": "alice"}),
        json!({"all": "true"}),
        json!({"all": 1}),
        json!({"all": null}),
        json!({"client_id": ""}),
        json!({"client_id": "caf\u{e9}"}),
        json!({"client_id": "x".repeat(129)}),
        json!({"client_id": [id]}),
        json!({"client_id": 1}),
        json!({"sub": ""}),
        json!({"sub": "x".repeat(1025)}),
        json!({"sub": 1}),
        json!({"sub": {"$ne": null}}),
        json!({"sub": "alice", "before": now + 1}),
        json!({"sub": "alice", "before": now * 1000}),
        json!({"sub": "alice", "before": u64::MAX}),
        json!({"sub": "alice", "before": -1}),
        json!({"sub": "alice", "before": 1.5}),
        json!({"sub": "alice", "before": now.to_string()}),
        json!({"sub": "alice", "before": "2030-01-01T00:00:00Z"}),
        json!({"sub": "alice", "cascade": false}),
        json!({"sub": "alice", "unknown": 1}),
        json!([{"all": true}]),
        json!("all"),
    ] {
        let answer = node.ask_operator(PATH, body.clone()).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{body}");
        assert!(answer.body.len() < 400, "{body}");
    }
    assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, true]);
    assert_eq!(node.counter("introspect_bulk_revocations_total").await, 0);
    let whole = json!({"client_id": id, "sub": "s".repeat(1024), "all": false, "before": now});
    assert!(sweep(&node, whole).await);
}

// === clocks and settings that differ ===

/// The clock of this node is ahead of the store's. What it calls now must not reach into the store's future.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_a_node_whose_clock_is_ahead_revokes_nothing_that_is_still_to_come() {
    let redis = RedisServer::start().await;
    let ahead = Clock::manual(UnixSeconds(Clock::System.now().seconds().0 + 120));
    let node = Node::over(("redis.url", redis.url()), ahead, &[]).await;
    let app = node.refresher().await;
    let before = node.grant(&app, json!({"sub": "alice"})).await;
    assert!(sweep(&node, json!({"sub": "alice", "before": node.now()})).await);
    let after = node.grant(&app, json!({"sub": "alice"})).await;
    assert_eq!(
        node.alive(&app, [&before.access, &before.refresh, &after.access, &after.refresh]).await,
        [false, false, true, true]
    );
}

/// Tokens from before `tokens.max_lifetime` was lowered live longer than it says, and must not outlive their
/// revocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_a_revocation_is_kept_for_tokens_that_were_issued_for_longer_than_is_allowed_now() {
    const DAY: i64 = 24 * 3600;
    let redis = RedisServer::start().await;
    let over = async |settings: &[(&str, &str)]| Node::over(("redis.url", redis.url()), Clock::System, settings).await;
    let generous = over(&[("tokens.max_lifetime", "3650d")]).await;
    let strict = over(&[("tokens.max_lifetime", "1d"), ("tokens.refresh_lifetime", "1d")]).await;
    let app = generous.refresher().await;
    let long = generous.issue(&app, json!({"sub": "alice", "expires_in": 3649 * DAY})).await;
    let token = long["access_token"].as_str().unwrap();
    eventually("the other node sees it", async || strict.api.is_active(app.pair(), token).await).await;
    let known = redis.keys().await;
    assert!(sweep(&strict, json!({"sub": "alice"})).await);
    assert!(!generous.api.is_active(app.pair(), token).await);
    let new: Vec<String> = redis.keys().await.into_iter().filter(|key| !known.contains(key)).collect();
    assert_eq!(new.len(), 2, "the user's epoch, and that of the user's group: {new:?}");
    for key in &new {
        assert!(key.starts_with(&format!("{PREFIX}e:")), "{new:?}");
        let left: i64 = redis.command(&["TTL", key]).await;
        assert!(left > 3649 * DAY, "kept for {} days", left / DAY);
    }
}

//! Rotation of refresh tokens, and what is made of one that is used twice (RFC 9700 section 4.14.2).

use std::collections::HashSet;
use std::time::Duration;

use introspectd::token::time::{Clock, UnixSeconds};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::api::Answer;
use crate::support::life::{Pair, expect_invalid_grant, refreshing};
use crate::support::node::{Kind, Node, Registered};
use crate::support::redis::RedisServer;

over_both_stores! {
    section_4_14_2_a_client_that_lost_the_answer_gets_the_same_successor
    section_4_14_2_a_grant_ends_when_it_was_to_end_however_often_it_is_refreshed
    section_4_14_2_a_refresh_token_that_nobody_uses_ends
    section_4_14_2_a_second_use_ends_the_family
    section_4_14_2_a_second_use_ends_the_family_though_its_refresh_token_has_idled_away
    section_4_14_2_a_second_use_ends_nothing_else
    section_4_14_2_a_spent_refresh_token_in_strange_hands_ends_nothing
    section_4_14_2_asking_about_a_spent_refresh_token_is_no_use_of_it
    section_4_14_2_each_refresh_token_works_once
    section_4_14_2_grace_ends_with_its_time
    section_4_14_2_grace_ends_with_the_first_use_of_the_successor
    section_4_14_2_grace_is_for_the_immediate_predecessor
    section_4_14_2_of_fifty_at_once_one_is_answered
    section_4_14_2_of_fifty_at_once_within_grace_all_are_answered_alike
    section_4_14_2_revoking_a_spent_refresh_token_ends_the_family
}

/// A node where a client that lost an answer may ask again for ten seconds.
async fn gracious(kind: Kind) -> Node {
    Node::start_still(kind, &[("tokens.refresh_grace", "10s")]).await
}

async fn reuses(node: &Node) -> u64 {
    node.counter(r#"introspect_refreshes_total{result="reused"}"#).await
}

/// A refresh token is used many times at once.
async fn at_once(node: &Node, app: &Registered, token: &str) -> Vec<Answer> {
    let mut askers = JoinSet::new();
    for _ in 0..50 {
        let (api, app, token) = (node.api.clone(), app.clone(), token.to_owned());
        askers.spawn(async move {
            let form = [("grant_type", "refresh_token"), ("refresh_token", &*token)];
            api.post("/token", app.pair(), &form).await
        });
    }
    askers.join_all().await
}

async fn section_4_14_2_each_refresh_token_works_once(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let mut pair = node.grant(&app, json!({})).await;
    let mut seen = HashSet::from([pair.refresh.clone()]);
    for _ in 0..10 {
        let next = node.rotate(&app, &pair.refresh).await;
        assert!(seen.insert(next.refresh.clone()));
        assert_eq!(node.alive(&app, [&pair.refresh, &next.refresh]).await, [false, true]);
        pair = next;
    }
    assert_eq!(node.counter(r#"introspect_refreshes_total{result="rotated"}"#).await, 10);
    assert_eq!(reuses(&node).await, 0);
}

async fn section_4_14_2_a_second_use_ends_the_family(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.refresher().await, node.resource_server().await);
    for generation in 0..3 {
        let mut pairs = vec![node.grant(&app, json!({})).await];
        for _ in 0..3 {
            pairs.push(node.rotate(&app, &pairs.last().unwrap().refresh).await);
        }
        for pair in &pairs {
            assert!(node.api.is_active(server.pair(), &pair.access).await);
        }
        expect_invalid_grant(&node.refresh(&app, &pairs[generation].refresh).await);
        assert_eq!(reuses(&node).await, u64::try_from(generation).unwrap() + 1);
        for pair in &pairs {
            assert!(!node.api.is_active(server.pair(), &pair.access).await);
            assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [false, false]);
            expect_invalid_grant(&node.refresh(&app, &pair.refresh).await);
        }
    }
    assert_eq!(reuses(&node).await, 3, "there is nothing left to detect");
}

/// The access tokens of a family can outlive its refresh token; whoever stole one of these has had access tokens as
/// well.
async fn section_4_14_2_a_second_use_ends_the_family_though_its_refresh_token_has_idled_away(kind: Kind) {
    let node = Node::start_still(kind, &[("tokens.refresh_idle_lifetime", "1m")]).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({})).await;
    let second = node.rotate(&app, &first.refresh).await;
    node.pass(Duration::from_mins(1)).await;
    assert_eq!(
        node.alive(&app, [&first.access, &second.access, &second.refresh]).await,
        [true, true, false],
        "only the refresh token has ended"
    );
    expect_invalid_grant(&node.refresh(&app, &second.refresh).await);
    assert_eq!(node.alive(&app, [&first.access, &second.access]).await, [true, true]);
    expect_invalid_grant(&node.refresh(&app, &first.refresh).await);
    assert_eq!(node.alive(&app, [&first.access, &second.access]).await, [false, false]);
}

async fn section_4_14_2_a_second_use_ends_nothing_else(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let (stolen, other) = (node.grant(&app, json!({"sub": "a"})).await, node.grant(&app, json!({"sub": "a"})).await);
    let alone = node.token(&app).await;
    node.rotate(&app, &stolen.refresh).await;
    expect_invalid_grant(&node.refresh(&app, &stolen.refresh).await);
    assert_eq!(node.alive(&app, [&other.access, &other.refresh, &alone]).await, [true; 3]);
    node.rotate(&app, &other.refresh).await;
}

/// Whoever has found an old refresh token could otherwise end the session of its owner.
async fn section_4_14_2_a_spent_refresh_token_in_strange_hands_ends_nothing(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, other) = (node.refresher().await, node.refresher().await);
    let public = json!({"token_endpoint_auth_method": "none", "grant_types": ["refresh_token"]});
    let public = node.client(public).await;
    let first = node.grant(&app, json!({})).await;
    let second = node.rotate(&app, &first.refresh).await;
    expect_invalid_grant(&node.refresh(&other, &first.refresh).await);
    let wrong = Registered { secret: "wrong".into(), ..app.clone() };
    assert_eq!(node.refresh(&wrong, &first.refresh).await.refusal(), (401, "invalid_client".into()));
    for id in [&public.id, &app.id] {
        let form = [("grant_type", "refresh_token"), ("refresh_token", &*first.refresh), ("client_id", &**id)];
        assert!((400..=401).contains(&node.api.post_bare("/token", &form).await.status));
    }
    assert_eq!(node.api.revoke(other.pair(), &first.refresh).await.refusal(), (400, "invalid_grant".into()));
    assert_eq!(node.alive(&app, [&second.access, &second.refresh]).await, [true, true]);
    assert_eq!(reuses(&node).await, 0);
    node.rotate(&app, &second.refresh).await;
}

async fn section_4_14_2_asking_about_a_spent_refresh_token_is_no_use_of_it(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({})).await;
    let second = node.rotate(&app, &first.refresh).await;
    for hint in ["refresh_token", "access_token"] {
        let form = [("token", &*first.refresh), ("token_type_hint", hint)];
        assert_eq!(node.api.post("/introspect", app.pair(), &form).await.body, r#"{"active":false}"#);
    }
    assert_eq!(node.alive(&app, [&second.access, &second.refresh]).await, [true, true]);
}

/// Whoever still holds a refresh token from before means the session that it stands for.
async fn section_4_14_2_revoking_a_spent_refresh_token_ends_the_family(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({})).await;
    let second = node.rotate(&app, &first.refresh).await;
    assert_eq!(node.api.revoke(app.pair(), &first.refresh).await.status, 200);
    assert_eq!(node.alive(&app, [&first.access, &second.access, &second.refresh]).await, [false; 3]);
    expect_invalid_grant(&node.refresh(&app, &second.refresh).await);
}

/// RFC 10017: no rotation moves the end that the first refresh token had.
async fn section_4_14_2_a_grant_ends_when_it_was_to_end_however_often_it_is_refreshed(kind: Kind) {
    let node = Node::start_still(kind, &[("tokens.refresh_lifetime", "8h")]).await;
    let mut metadata = refreshing();
    metadata["refresh_token_lifetime"] = json!(4 * 3600);
    let (usual, brief) = (node.refresher().await, node.client(metadata).await);
    for (app, hours) in [(usual, 8), (brief, 4)] {
        let end = node.now() + hours * 3600;
        let mut pair = node.grant(&app, json!({})).await;
        for round in 0..hours * 4 {
            let described = node.api.introspect(app.pair(), &pair.refresh).await.json();
            assert_eq!(described["exp"], json!(end), "after {round} refreshes");
            node.pass(Duration::from_secs(15 * 60 - 1)).await;
            pair = node.rotate(&app, &pair.refresh).await;
        }
        node.pass(Duration::from_secs(end - node.now() - 1)).await;
        assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, true]);
        node.pass(Duration::from_secs(1)).await;
        assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [false, false]);
        expect_invalid_grant(&node.refresh(&app, &pair.refresh).await);
    }
}

async fn section_4_14_2_a_refresh_token_that_nobody_uses_ends(kind: Kind) {
    let settings = [("tokens.refresh_idle_lifetime", "10m"), ("tokens.access_lifetime", "1h")];
    let node = Node::start_still(kind, &settings).await;
    let mut metadata = refreshing();
    metadata["refresh_token_idle_lifetime"] = json!(60);
    for (app, idle) in [(node.refresher().await, 600), (node.client(metadata).await, 60)] {
        let mut pair = node.grant(&app, json!({"refresh_expires_in": 3000})).await;
        let end = node.now() + 3000;
        for _ in 0..4 {
            let described = node.api.introspect(app.pair(), &pair.refresh).await.json();
            assert_eq!(described["exp"], json!(end.min(node.now() + idle)));
            node.pass(Duration::from_secs(idle - 1)).await;
            pair = node.rotate(&app, &pair.refresh).await;
        }
        node.pass(Duration::from_secs(idle)).await;
        assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, false]);
        expect_invalid_grant(&node.refresh(&app, &pair.refresh).await);
    }
}

// === a client that lost the answer ===

async fn section_4_14_2_a_client_that_lost_the_answer_gets_the_same_successor(kind: Kind) {
    let node = gracious(kind).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({})).await;
    let second = node.rotate(&app, &first.refresh).await;
    node.pass(Duration::from_secs(9)).await;
    let mut accesses = HashSet::from([second.access.clone()]);
    for parameters in [&[][..], &[("scope", "read")], &[]] {
        let answer = node.refresh_with(&app, &first.refresh, parameters).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let again = Pair::of(&answer.json());
        assert_eq!(again.refresh, second.refresh, "there is never more than one that works");
        assert!(accesses.insert(again.access.clone()));
        assert!(node.api.is_active(app.pair(), &again.access).await);
    }
    assert_eq!(node.counter(r#"introspect_refreshes_total{result="repeated"}"#).await, 3);
    let too_much = node.refresh_with(&app, &first.refresh, &[("scope", "admin")]).await;
    assert_eq!(too_much.refusal(), (400, "invalid_scope".into()));
    assert_eq!(node.alive(&app, [&first.refresh, &second.refresh]).await, [false, true]);
    let third = node.rotate(&app, &second.refresh).await;
    assert!(node.api.is_active(app.pair(), &third.access).await);
    assert_eq!(reuses(&node).await, 0);
    // All of these belong to the family.
    assert_eq!(node.api.revoke(app.pair(), &third.refresh).await.status, 200);
    for access in &accesses {
        assert!(!node.api.is_active(app.pair(), access).await);
    }
}

async fn section_4_14_2_grace_ends_with_its_time(kind: Kind) {
    let node = gracious(kind).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({})).await;
    let second = node.rotate(&app, &first.refresh).await;
    node.pass(Duration::from_secs(9)).await;
    assert_eq!(node.rotate(&app, &first.refresh).await.refresh, second.refresh);
    node.pass(Duration::from_secs(1)).await;
    // That it was sent again within its time has not made that any longer.
    expect_invalid_grant(&node.refresh(&app, &first.refresh).await);
    assert_eq!(node.alive(&app, [&second.access, &second.refresh]).await, [false, false]);
    assert_eq!(reuses(&node).await, 1);
}

async fn section_4_14_2_grace_ends_with_the_first_use_of_the_successor(kind: Kind) {
    let node = gracious(kind).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({})).await;
    let second = node.rotate(&app, &first.refresh).await;
    let third = node.rotate(&app, &second.refresh).await;
    // Its own predecessor has its time of grace, the one before has none any longer.
    assert_eq!(node.rotate(&app, &second.refresh).await.refresh, third.refresh);
    expect_invalid_grant(&node.refresh(&app, &first.refresh).await);
    assert_eq!(node.alive(&app, [&second.access, &third.access, &third.refresh]).await, [false; 3]);
}

/// A fault of others: the time of grace counted from the last refresh whichever token was sent.
async fn section_4_14_2_grace_is_for_the_immediate_predecessor(kind: Kind) {
    let node = gracious(kind).await;
    let app = node.refresher().await;
    for age in 2..5 {
        let mut pairs = vec![node.grant(&app, json!({})).await];
        for _ in 0..age {
            pairs.push(node.rotate(&app, &pairs.last().unwrap().refresh).await);
        }
        expect_invalid_grant(&node.refresh(&app, &pairs[0].refresh).await);
        let last = pairs.last().unwrap();
        assert_eq!(node.alive(&app, [&last.access, &last.refresh]).await, [false, false]);
    }
}

async fn section_4_14_2_of_fifty_at_once_one_is_answered(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    for _ in 0..3 {
        let first = node.grant(&app, json!({})).await;
        let answers = at_once(&node, &app, &first.refresh).await;
        let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((good.len(), bad.len()), (1, 49), "{answers:?}");
        for answer in bad {
            expect_invalid_grant(answer);
        }
        let second = Pair::of(&good[0].json());
        assert_eq!(node.alive(&app, [&first.access, &second.access, &second.refresh]).await, [false; 3]);
        expect_invalid_grant(&node.refresh(&app, &second.refresh).await);
    }
}

async fn section_4_14_2_of_fifty_at_once_within_grace_all_are_answered_alike(kind: Kind) {
    let node = gracious(kind).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({})).await;
    let answers = at_once(&node, &app, &first.refresh).await;
    let mut refresh = HashSet::new();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let pair = Pair::of(&answer.json());
        assert!(node.api.is_active(app.pair(), &pair.access).await);
        refresh.insert(pair.refresh);
    }
    assert_eq!(refresh.len(), 1, "one leaf");
    let leaf = refresh.into_iter().next().unwrap();
    assert_eq!(node.alive(&app, [&first.refresh, &leaf]).await, [false, true]);
    node.rotate(&app, &leaf).await;
    assert_eq!(reuses(&node).await, 0);
}

// === several nodes, several keys ===

fn keys(ids: &[&str]) -> String {
    let secret = |id: &str| format!("the digest key {id}, of at least 32 bytes");
    json!(ids.iter().map(|id| json!({"id": id, "secret": secret(id)})).collect::<Vec<_>>()).to_string()
}

async fn node_with(redis: &RedisServer, clock: &Clock, ids: &[&str]) -> Node {
    let settings = [("keys.digest", keys(ids)), ("tokens.refresh_grace", "10s".to_owned())];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Node::over(("redis.url", redis.url()), clock.clone(), &settings).await
}

/// The successor is found again whichever key it was made with, on whichever node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_14_2_grace_outlives_a_change_of_the_digest_key() {
    let (redis, clock) = (RedisServer::start().await, Clock::System);
    let old = node_with(&redis, &clock, &["01", "02"]).await;
    let new = node_with(&redis, &clock, &["02", "01"]).await;
    let app = old.refresher().await;
    let first = old.grant(&app, json!({})).await;
    let by_old = old.rotate(&app, &first.refresh).await;
    assert_eq!(new.rotate(&app, &first.refresh).await.refresh, by_old.refresh);
    let by_new = new.rotate(&app, &by_old.refresh).await;
    assert!(by_new.refresh.starts_with("itd_rt_02"), "the active key makes what is new");
    assert_eq!(old.rotate(&app, &by_old.refresh).await.refresh, by_new.refresh);
    assert_eq!(old.alive(&app, [&by_old.access, &by_new.access, &by_new.refresh]).await, [true; 3]);
    assert_eq!(reuses(&old).await + reuses(&new).await, 0);
}

/// A node that lacks the key cannot tell. It must neither refuse for good nor take what it cannot see for theft.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_14_2_a_node_without_the_key_ends_nothing() {
    let (redis, clock) = (RedisServer::start().await, Clock::manual(UnixSeconds(Clock::System.now().seconds().0)));
    let behind = node_with(&redis, &clock, &["01"]).await;
    let ahead = node_with(&redis, &clock, &["02", "01"]).await;
    let app = behind.refresher().await;
    let first = behind.grant(&app, json!({})).await;
    let second = ahead.rotate(&app, &first.refresh).await;
    // The successor is of a key that the node does not have: whether that came of this token, it cannot say.
    for token in [&second.refresh, &first.refresh] {
        let answer = behind.refresh(&app, token).await;
        assert_eq!(answer.refusal(), (503, "temporarily_unavailable".into()), "{}", answer.body);
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(ahead.alive(&app, [&second.access, &second.refresh]).await, [true, true]);
    assert_eq!(ahead.rotate(&app, &first.refresh).await.refresh, second.refresh);
    // Once the time of grace is over there is nothing to look for, and a second use is one.
    ahead.pass(Duration::from_secs(10)).await;
    expect_invalid_grant(&behind.refresh(&app, &first.refresh).await);
    assert_eq!(ahead.alive(&app, [&second.access, &second.refresh]).await, [false, false]);
}

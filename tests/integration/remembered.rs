//! What a node remembers: a hot token costs no read, and is never answered otherwise than the store would.

use std::time::Duration;

use introspectd::client::ClientId;
use introspectd::store::StoreErrorKind;
use introspectd::token::decision::Inactive;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::TokenFormat;
use introspectd::token::record::Reason;
use introspectd::token::time::Clock;
use introspectd::token::value::Presented;
use serde_json::{Value, json};

use crate::support::api::Answer;
use crate::support::eventually;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};
use crate::support::redis::RedisServer;

over_both_stores! {
    a_hot_token_and_its_caller_cost_no_call_of_the_store
    a_caller_sees_what_its_registration_says_now
    a_secret_that_was_replaced_is_refused_at_once
    an_unknown_token_is_known_as_soon_as_it_was_taken_over
}

over_both_stores_and_forms! {
    rfc7009_2_1_no_way_to_end_a_hot_token_is_overheard
    what_was_approved_again_is_active_at_once
}

async fn introspect_anew(node: &Node, caller: &Registered, token: &str, cache_control: &str) -> Answer {
    let request = node.api.request("POST", &node.api.url("/introspect"));
    let request = request.basic_auth(&caller.id, Some(&caller.secret)).form(&[("token", token)]);
    node.api.send(request.header("cache-control", cache_control)).await
}

async fn is_active(node: &Node, caller: &Registered, token: &str) -> bool {
    node.api.is_active(caller.pair(), token).await
}

/// Has it remembered that a token is active.
async fn warm(node: &Node, caller: &Registered, token: &str) {
    for _ in 0..3 {
        assert!(is_active(node, caller, token).await);
    }
}

async fn a_hot_token_and_its_caller_cost_no_call_of_the_store(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    // Of our own making, so that it will never be taken over, and yet not there.
    let elsewhere = Node::start(Kind::Embedded).await;
    let unknown = elsewhere.token(&elsewhere.application().await).await;
    for format in [TokenFormat::Opaque, TokenFormat::Jwt] {
        let owner = node.refresher_of(format).await;
        let revoked = node.token(&owner).await;
        assert_eq!(node.api.revoke(owner.pair(), &revoked).await.status, 200);
        let hot = node.token(&owner).await;
        let bearer = node.bearer(&server, "introspectd:introspect").await;
        let asked = async || {
            let direct = node.api.introspect(server.pair(), &hot).await;
            let form = [("token", &*hot)];
            let by_bearer = node.api.post_as("/introspect", &format!("Bearer {bearer}"), &form).await;
            assert_eq!(direct.body, by_bearer.body);
            assert_eq!(direct.json()["active"], true);
            for dead in [&*revoked, &*unknown] {
                assert!(!is_active(&node, &server, dead).await);
            }
            direct.body
        };
        let first = asked().await;
        // Over Redis a lease may end where the machine is busy, and what is unknown is read once per second.
        eventually("no call of the store", async || {
            let before = node.store_calls().await;
            for _ in 0..5 {
                assert_eq!(asked().await, first);
            }
            node.store_calls().await == before
        })
        .await;
        let hits = node.counter("introspect_cache_requests_total{content=\"tokens\",result=\"hit\"}").await;
        assert!(hits >= 15, "{hits}");
        assert!(node.counter("introspect_cache_entries{content=\"tokens\"}").await >= 3);
        assert!(node.counter("introspect_cache_bytes").await > 1000);
    }
}

/// RFC 9111 section 5.2.1.4: a request with `no-cache` is not answered from memory.
#[tokio::test]
async fn rfc9111_5_2_1_4_no_cache_reads() {
    let node = Node::start(Kind::Embedded).await;
    let (owner, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&owner).await;
    warm(&node, &server, &token).await;
    for (line, reads) in [
        ("no-cache", true),
        ("No-Cache", true),
        ("max-age=0, no-cache", true),
        ("no-store,no-cache ", true),
        ("no-store", false),
        ("x-no-cache", false),
        ("", false),
    ] {
        let before = node.store_calls().await;
        assert_eq!(introspect_anew(&node, &server, &token, line).await.json()["active"], true);
        assert_eq!(node.store_calls().await > before, reads, "{line:?}");
    }
}

#[tokio::test]
async fn without_a_cache_each_request_reads() {
    let node = Node::start_with(Kind::Embedded, &[("cache.enabled", "false")]).await;
    let (owner, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&owner).await;
    let before = node.store_calls().await;
    warm(&node, &server, &token).await;
    // The caller, the token, and what surrounds it.
    assert_eq!(node.store_calls().await, before + 9);
    assert_eq!(node.counter("introspect_cache_entries{content=\"clients\"}").await, 0);
}

/// RFC 7662 section 2.2: `exp` and `nbf` are the answer's as much as the token's state is.
#[tokio::test]
async fn rfc7662_2_2_time_ends_a_hot_token() {
    let node = Node::start(Kind::Embedded).await;
    let server = node.resource_server().await;
    for format in [TokenFormat::Opaque, TokenFormat::Jwt] {
        let owner = node.refresher_of(format).await;
        let (begin, end) = (node.now() + 5, node.now() + 20);
        let issued = node.issue(&owner, json!({"nbf": begin, "exp": end})).await;
        let token = issued["access_token"].as_str().unwrap();
        for _ in 0..3 {
            assert!(!is_active(&node, &server, token).await);
        }
        node.pass(Duration::from_secs(5)).await;
        warm(&node, &server, token).await;
        node.pass(Duration::from_millis(14_999)).await;
        assert!(is_active(&node, &server, token).await);
        node.pass(Duration::from_millis(1)).await;
        for _ in 0..3 {
            assert!(!is_active(&node, &server, token).await, "{format:?}");
        }
    }
}

/// RFC 7009 section 2.1: the effect of a revocation is immediate.
async fn rfc7009_2_1_no_way_to_end_a_hot_token_is_overheard(kind: Kind, format: TokenFormat) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let ways = [
        "owner",
        "operator",
        "jti",
        "grant",
        "refresh token",
        "alone",
        "user",
        "client",
        "client and user",
        "state",
        "reuse",
        "issuer",
        "deleted",
    ];
    for way in ways {
        let owner = node.refresher_of(format).await;
        let issued = node.issue(&owner, json!({"refresh": true, "sub": "alice"})).await;
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        let (token, refresh) = (text("access_token"), text("refresh_token"));
        warm(&node, &server, &token).await;
        let sweep = async |body: Value| {
            node.operate("POST", "/admin/revocations", Some(body)).await;
        };
        let revoke = async |body: Value| assert!(node.decide("revoke", body).await);
        let described = node.api.introspect(server.pair(), &token).await.json();
        match way {
            "owner" => assert_eq!(node.api.revoke(owner.pair(), &token).await.status, 200),
            "operator" => assert_eq!(node.api.revoke(OPERATOR, &token).await.status, 200),
            "refresh token" => assert_eq!(node.api.revoke(owner.pair(), &refresh).await.status, 200),
            "jti" => revoke(json!({"jti": described["jti"]})).await,
            "grant" => revoke(json!({"grant_id": issued["grant_id"]})).await,
            "alone" => revoke(json!({"jti": described["jti"], "cascade": false})).await,
            "user" => sweep(json!({"sub": "alice"})).await,
            "client" => sweep(json!({"client_id": owner.id})).await,
            "client and user" => sweep(json!({"client_id": owner.id, "sub": "alice"})).await,
            "issuer" => sweep(json!({"all": true})).await,
            "state" => {
                let path = format!("/admin/clients/{}/revoke", owner.id);
                node.operate("POST", &path, None).await;
            }
            "deleted" => {
                node.operate("DELETE", &format!("/admin/clients/{}", owner.id), None).await;
            }
            "reuse" => {
                node.rotate(&owner, &refresh).await;
                assert_eq!(node.refresh(&owner, &refresh).await.status, 400);
            }
            other => unreachable!("{other}"),
        }
        for _ in 0..3 {
            assert!(!is_active(&node, &server, &token).await, "{way}");
        }
    }
}

async fn what_was_approved_again_is_active_at_once(kind: Kind, format: TokenFormat) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let owner = node.refresher_of(format).await;
    for members in [json!({}), json!({"refresh": true})] {
        let token = node.issue(&owner, members).await["access_token"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            warm(&node, &server, &token).await;
            assert!(node.decide("revoke", json!({"token": token})).await);
            for _ in 0..3 {
                assert!(!is_active(&node, &server, &token).await);
            }
            assert!(node.decide("approve", json!({"token": token})).await);
        }
    }
}

/// RFC 9068 section 4: a key that was taken away ends what it has signed, also where that was verified before.
#[tokio::test]
async fn rfc9068_4_a_removed_key_ends_hot_tokens() {
    let node = Node::start(Kind::Embedded).await;
    let (server, owner) = (node.resource_server().await, node.refresher_of(TokenFormat::Jwt).await);
    let token = node.token(&owner).await;
    warm(&node, &server, &token).await;
    let keys = node.operate("GET", "/admin/keys", None).await;
    for key in keys["keys"].as_array().unwrap() {
        node.operate("DELETE", &format!("/admin/keys/{}", key["kid"].as_str().unwrap()), None).await;
    }
    assert!(!is_active(&node, &server, &token).await);
}

/// A text that was asked about before anybody took it over, again and again.
async fn an_unknown_token_is_known_as_soon_as_it_was_taken_over(kind: Kind) {
    let node = Node::start(kind).await;
    let (server, owner) = (node.resource_server().await, node.application().await);
    for number in 0..5 {
        let text = format!("made-elsewhere-{number}");
        for _ in 0..3 {
            assert!(!is_active(&node, &server, &text).await);
        }
        node.issue(&owner, json!({"token": text})).await;
        warm(&node, &server, &text).await;
    }
}

/// RFC 7662 section 2.2: resource servers may be told different things of the same token.
async fn a_caller_sees_what_its_registration_says_now(kind: Kind) {
    let node = Node::start(kind).await;
    let owner = node.application().await;
    let members = json!({"rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read"});
    let callers = [node.resource_server().await, node.client(members).await, owner.clone()];
    let token = node.token(&owner).await;
    for _ in 0..3 {
        for (caller, scope) in callers.iter().zip(["read write", "read", "read write"]) {
            assert_eq!(node.api.introspect(caller.pair(), &token).await.json()["scope"], scope);
        }
    }
    let path = format!("/admin/clients/{}", callers[1].id);
    node.operate("PATCH", &path, Some(json!({"scope": "write"}))).await;
    assert_eq!(node.api.introspect(callers[1].pair(), &token).await.json()["scope"], "write");
    node.operate("PATCH", &path, Some(json!({"audiences": ["https://other.example.com"]}))).await;
    assert!(!is_active(&node, &callers[1], &token).await);
    node.operate("PATCH", &path, Some(json!({"rights": []}))).await;
    assert_eq!(node.api.introspect(callers[1].pair(), &token).await.status, 403);
    for caller in [&callers[0], &callers[2]] {
        assert_eq!(node.api.introspect(caller.pair(), &token).await.json()["scope"], "read write");
    }
}

async fn a_secret_that_was_replaced_is_refused_at_once(kind: Kind) {
    let node = Node::start(kind).await;
    let (owner, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&owner).await;
    warm(&node, &server, &token).await;
    let path = format!("/admin/clients/{}/rotate-secret", server.id);
    let answer = node.operate("POST", &path, Some(json!({"overlap_seconds": 0}))).await;
    assert_eq!(node.api.introspect(server.pair(), &token).await.status, 401);
    let secret = answer["client_secret"].as_str().unwrap().to_owned();
    warm(&node, &Registered { id: server.id, secret }, &token).await;
}

/// What is known to be revoked is so while the store is away, too; what could have been approved again meanwhile, or
/// was never read, is not known.
#[tokio::test]
async fn a_revoked_token_stays_inactive_while_the_store_is_away() {
    let node = Node::start(Kind::Embedded).await;
    let owner = node.refresher().await;
    let (on_request, for_good, active) =
        (node.token(&owner).await, node.issue(&owner, json!({"sub": "eve"})).await, { node.token(&owner).await });
    let for_good = for_good["access_token"].as_str().unwrap();
    let service = &node.service;
    assert!(node.decide("revoke", json!({"token": on_request})).await);
    service.revoke_all(EpochAxis::User("eve"), None, Reason::BULK, service.now()).await.unwrap();
    let lookup = async |token: &str| match service.lookup(Presented::new(token), service.now()).await {
        Ok(found) => Ok(found.map(drop)),
        Err(error) => Err(error.kind()),
    };
    let expected = [(&*on_request, Inactive::Revoked), (for_good, Inactive::ParentRevoked)];
    for (token, reason) in expected {
        assert_eq!(lookup(token).await, Ok(Err(reason)));
    }
    assert_eq!(lookup(&active).await, Ok(Ok(())));
    service.store.close().await;
    service.store.coherence().extend(service.store.coherence().now());
    for (token, reason) in expected {
        assert_eq!(lookup(token).await, Ok(Err(reason)), "without a lease");
    }
    assert_eq!(lookup(&active).await, Err(StoreErrorKind::Unavailable));
    service.store.coherence().revoke_lease();
    assert_eq!(lookup(&on_request).await, Err(StoreErrorKind::Unavailable), "it may have been approved");
    assert_eq!(lookup(for_good).await, Ok(Err(Inactive::ParentRevoked)), "nobody can approve it");
    assert_eq!(lookup("made-by-nobody").await, Err(StoreErrorKind::Unavailable));
    let id = ClientId::parse(&owner.id).unwrap();
    assert!(service.registry.find(&id).await.is_err(), "nor is a client known then");
}

/// RFC 7009 section 2.1 on every node: what one of them has answered, the others do not contradict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7009_2_1_no_node_says_active_after_the_answer_of_another() {
    let redis = RedisServer::start().await;
    let nodes = [
        Node::over(("redis.url", redis.url()), Clock::System, &[]).await,
        Node::over(("redis.url", redis.url()), Clock::System, &[]).await,
    ];
    let (owner, server) = (nodes[0].refresher().await, nodes[0].resource_server().await);
    for round in 0..20 {
        let issued = nodes[0].issue(&owner, json!({"refresh": true})).await;
        let token = issued["access_token"].as_str().unwrap();
        for node in &nodes {
            warm(node, &server, token).await;
        }
        let acting = &nodes[round % 2];
        assert_eq!(acting.api.revoke(owner.pair(), token).await.status, 200);
        for node in &nodes {
            assert!(!is_active(node, &server, token).await, "round {round}");
        }
        assert!(acting.decide("approve", json!({"token": token})).await);
        for node in &nodes {
            assert!(is_active(node, &server, token).await, "round {round}");
        }
    }
    for node in &nodes {
        let hits = node.counter("introspect_cache_requests_total{content=\"tokens\",result=\"hit\"}").await;
        assert!(hits > 0, "nothing was shown: it never answered from memory");
    }
}

//! Redis away, hanging, killed and back: nothing is ever said that could not be read, and all recovers by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use introspectd::token::time::Clock;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::api::Answer;
use crate::support::life::Pair;
use crate::support::node::{AUDIENCE, Node, OPERATOR, Registered};
use crate::support::redis::RedisServer;
use crate::support::{PATIENCE, eventually};

/// What a caller can be expected to wait where Redis is gone or hangs: several times [`SHORT`], for slow machines.
const BOUND: Duration = Duration::from_secs(5);
/// How long a node waits for a Redis that hangs. Longer than by default: on a busy machine a Redis that is well may
/// need more than that, too.
const SHORT: &str = "1s";

async fn node_over(redis: &RedisServer) -> Node {
    Node::over(("redis.url", redis.url()), Clock::System, &[FORGETFUL]).await
}

/// A node that remembers nothing, so that each answer says what it can read. What a node remembers during an outage is
/// asked for in `remembered.rs`.
const FORGETFUL: (&str, &str) = ("cache.enabled", "false");

/// A node that gives a Redis up which hangs.
async fn impatient_node_over(redis: &RedisServer) -> Node {
    let settings = [("redis.response_timeout", SHORT), ("redis.connect_timeout", SHORT), FORGETFUL];
    Node::over(("redis.url", redis.url()), Clock::System, &settings).await
}

/// A server that has all it acknowledged after it was killed, too.
async fn durable() -> RedisServer {
    RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
}

/// Clients and tokens from before the outage.
struct Before {
    app: Registered,
    public: Registered,
    access: String,
    refresh: String,
    jti: Value,
    grant: Value,
    revoked: String,
    /// A resource server that is answered in signed texts.
    signing: Registered,
    bearer: String,
    described: Answer,
}

impl Before {
    async fn of(node: &Node) -> Self {
        let app = node.refresher().await;
        let issued = node.issue(&app, json!({"refresh": true})).await;
        let Pair { access, refresh } = Pair::of(&issued);
        let revoked = node.token(&app).await;
        assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
        Self {
            public: node.client(json!({"token_endpoint_auth_method": "none"})).await,
            signing: node
                .client(json!({
                    "rights": ["introspect"], "audiences": [AUDIENCE], "introspection_signed_response_alg": "ES256"
                }))
                .await,
            bearer: node.bearer(&app, "introspectd:introspect").await,
            described: node.api.introspect(app.pair(), &access).await,
            jti: issued["jti"].clone(),
            grant: issued["grant_id"].clone(),
            app,
            access,
            refresh,
            revoked,
        }
    }

    /// Everything is as it was, and the first right answer to each question is the only one ever given.
    async fn is_back(&self, node: &Node) {
        eventually("tokens are described again", async || {
            let answer = node.api.introspect(self.app.pair(), &self.access).await;
            if answer.status != 503 {
                assert_eq!(answer.whole(), self.described.whole());
            }
            answer.status == 200
        })
        .await;
        eventually("revoked tokens are inactive again", async || {
            let answer = node.api.introspect(self.app.pair(), &self.revoked).await;
            if answer.status != 503 {
                assert_eq!((answer.status, &*answer.body), (200, r#"{"active":false}"#));
            }
            answer.status == 200
        })
        .await;
        eventually("answers are signed again", async || {
            let answer = node.api.introspect(self.signing.pair(), &self.access).await;
            answer.header("content-type") == Some("application/token-introspection+jwt")
        })
        .await;
        eventually("keys are listed again", async || {
            node.api.admin(OPERATOR, "GET", "/admin/keys", None).await.status == 200
        })
        .await;
        eventually("clients are created again", async || {
            node.api.admin(OPERATOR, "POST", "/admin/clients", Some(json!({}))).await.status == 201
        })
        .await;
        eventually("clients are listed again", async || {
            node.api.admin(OPERATOR, "GET", "/admin/clients", None).await.status == 200
        })
        .await;
        let token = node.token(&self.app).await;
        assert_eq!(node.api.revoke(self.app.pair(), &token).await.status, 200);
        assert!(!node.api.is_active(self.app.pair(), &token).await);
    }
}

fn expect_unavailable(what: &str, answer: &Answer) {
    assert_eq!(answer.refusal(), (503, "temporarily_unavailable".to_owned()), "{what}: {answer:?}");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1, "{what}: {answer:?}");
}

/// Each question and each command, whose answers all need the store.
async fn all_is_unavailable(node: &Node, before: &Before) {
    let Before { app, public, access, refresh, jti, grant, revoked, signing, bearer, .. } = before;
    let api = &node.api;
    let within = async |what: &str, answer: Answer, begun: Instant| {
        expect_unavailable(what, &answer);
        assert!(begun.elapsed() < BOUND, "{what} took {:?}", begun.elapsed());
    };
    macro_rules! expect {
        ($what:expr, $call:expr) => {{
            let begun = Instant::now();
            within($what, $call.await, begun).await;
        }};
    }
    // The operator is declared, and so it is still known; the state of the token is not.
    for (caller, name) in [(OPERATOR, "operator"), (app.pair(), "client")] {
        for token in [access, refresh, revoked, "made.elsewhere"] {
            expect!(&format!("introspection for the {name}"), api.introspect(caller, token));
            expect!(&format!("revocation for the {name}"), api.revoke(caller, token));
        }
    }
    // Whether these are wrong could not be read.
    for caller in [(app.id.as_str(), "wrong"), ("nobody", "secret")] {
        expect!("wrong credentials at /introspect", api.introspect(caller, access));
        expect!("wrong credentials at /revoke", api.revoke(caller, access));
        expect!("wrong credentials at /admin", api.admin(caller, "GET", "/admin/clients", None));
    }
    let authorization = format!("Bearer {bearer}");
    expect!("introspection by bearer token", api.post_as("/introspect", &authorization, &[("token", access)]));
    let named = [("token", &**access), ("client_id", &public.id)];
    expect!("revocation by a public client", api.post_bare("/revoke", &named));
    expect!("a token", api.post("/token", app.pair(), &[("grant_type", "client_credentials")]));
    for token in [refresh, "made.elsewhere"] {
        expect!("a refresh token", node.refresh(app, token));
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &public.id)];
        expect!("a refresh token of a public client", api.post_bare("/token", &form));
    }
    let signed = async |caller: (&str, &str), token: &str| {
        let request = api.request("POST", &api.url("/introspect")).basic_auth(caller.0, Some(caller.1));
        let request = request.header("accept", "application/token-introspection+jwt");
        api.send(request.form(&[("token", token)])).await
    };
    for token in [access, revoked, "made.elsewhere"] {
        expect!("a signed answer for the operator", signed(OPERATOR, token));
        expect!("a signed answer", signed(signing.pair(), token));
        expect!("a signed answer to whoever registered for it", api.introspect(signing.pair(), token));
    }

    let issue = json!({"client_id": app.id, "aud": AUDIENCE});
    let own = json!({"client_id": OPERATOR.0});
    let one = format!("/admin/clients/{}", app.id);
    let mut requests: Vec<(&str, String, Option<Value>)> = vec![
        ("POST", "/admin/tokens".into(), Some(issue)),
        ("POST", "/admin/tokens".into(), Some(own)),
        ("POST", "/admin/clients".into(), Some(json!({}))),
        ("GET", "/admin/clients".into(), None),
        ("GET", one.clone(), None),
        ("PATCH", one.clone(), Some(json!({"client_name": "x"}))),
        ("PUT", one.clone(), Some(json!({}))),
        ("POST", format!("{one}/rotate-secret"), None),
        ("POST", format!("{one}/revoke"), None),
        ("POST", format!("{one}/approve"), None),
        ("DELETE", one, None),
        ("GET", "/admin/keys".into(), None),
        ("POST", "/admin/keys/rotate".into(), Some(json!({}))),
        ("POST", "/admin/keys/rotate".into(), Some(json!({"use": "introspection", "algorithm": "ES256"}))),
        ("POST", "/admin/keys/unknown/retire".into(), None),
        ("DELETE", "/admin/keys/unknown".into(), None),
    ];
    for action in ["revoke", "approve"] {
        for name in
            [json!({"token": access}), json!({"token": refresh}), json!({"jti": jti}), json!({"grant_id": grant})]
        {
            for cascade in [true, false] {
                let mut body = name.clone();
                body["cascade"] = json!(cascade);
                requests.push(("POST", format!("/admin/tokens/{action}"), Some(body)));
            }
        }
    }
    for body in [
        json!({"client_id": app.id}),
        json!({"sub": "alice"}),
        json!({"client_id": app.id, "sub": "alice", "before": 1}),
        json!({"all": true}),
    ] {
        requests.push(("POST", "/admin/revocations".into(), Some(body)));
    }
    for (method, path, body) in requests {
        expect!(&format!("{method} {path} {body:?}"), api.admin(OPERATOR, method, &path, body.clone()));
    }
}

/// What needs no store is answered as ever.
async fn the_rest_is_answered(node: &Node) {
    for url in [node.api.url("/livez"), node.api.admin_url("/livez")] {
        assert_eq!(node.api.send(node.api.request("GET", &url)).await.status, 200);
    }
    let metrics = node.api.admin(OPERATOR, "GET", "/metrics", None).await;
    assert_eq!(metrics.status, 200);
    let wrong = node.api.introspect((OPERATOR.0, "wrong"), "x").await;
    assert_eq!(
        wrong.refusal(),
        (401, "invalid_client".to_owned()),
        "a declared client's secret is in the configuration"
    );
    let incomplete = node.api.post("/introspect", OPERATOR, &[]).await;
    assert_eq!(incomplete.refusal(), (400, "invalid_request".to_owned()));
    // Our own check value is missing: there is no state that could be read.
    assert!(!node.api.is_active(OPERATOR, "itd_at_t1").await);
}

async fn readiness(node: &Node) -> [u16; 2] {
    let mut statuses = [0; 2];
    for (status, url) in statuses.iter_mut().zip([node.api.url("/readyz"), node.api.admin_url("/readyz")]) {
        *status = node.api.request("GET", &url).send().await.unwrap().status().as_u16();
    }
    statuses
}

// === a server that is not there ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_before_its_redis_waits_for_it() {
    let mut redis = RedisServer::not_yet_started();
    let node = node_over(&redis).await;
    for token in ["made.elsewhere", "0123456789"] {
        expect_unavailable("introspection", &node.api.introspect(OPERATOR, token).await);
        expect_unavailable("revocation", &node.api.revoke(OPERATOR, token).await);
    }
    the_rest_is_answered(&node).await;
    assert_eq!(readiness(&node).await, [503, 503], "never ready before the store was");
    redis.launch().await;
    eventually("the node is ready", async || readiness(&node).await == [200, 200]).await;
    let before = Before::of(&node).await;
    before.is_back(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_killed_is_missed_and_taken_back() {
    let mut redis = durable().await;
    let node = node_over(&redis).await;
    let before = Before::of(&node).await;
    for _ in 0..2 {
        redis.kill();
        all_is_unavailable(&node, &before).await;
        the_rest_is_answered(&node).await;
        redis.launch().await;
        before.is_back(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_not_waited_for() {
    let redis = RedisServer::start().await;
    let node = impatient_node_over(&redis).await;
    let before = Before::of(&node).await;
    redis.freeze();
    // Commands that a frozen server has taken in are carried out when it goes on, so only harmless ones come first.
    let begun = Instant::now();
    let (listing, token, introspection) = tokio::join!(
        node.api.admin(OPERATOR, "GET", "/admin/clients", None),
        node.api.post("/token", before.app.pair(), &[("grant_type", "client_credentials")]),
        node.api.introspect(before.app.pair(), &before.access),
    );
    for (what, answer) in [("a list", listing), ("a token", token), ("introspection", introspection)] {
        expect_unavailable(what, &answer);
    }
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    eventually("nothing more is sent to it", async || {
        let begun = Instant::now();
        expect_unavailable("introspection", &node.api.introspect(before.app.pair(), &before.access).await);
        begun.elapsed() < Duration::from_millis(100)
    })
    .await;
    all_is_unavailable(&node, &before).await;
    the_rest_is_answered(&node).await;
    redis.thaw();
    before.is_back(&node).await;
}

/// Callers that were right all the time must not find themselves held up for guessing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_no_failed_attempt() {
    let mut redis = durable().await;
    let settings =
        [("authentication.failures_per_client", "2"), ("authentication.failures_per_source", "2"), FORGETFUL];
    let node = Node::over(("redis.url", redis.url()), Clock::System, &settings).await;
    let before = Before::of(&node).await;
    redis.kill();
    for _ in 0..5 {
        for caller in [before.app.pair(), (&before.app.id, "wrong"), ("nobody", "secret")] {
            expect_unavailable("introspection", &node.api.introspect(caller, &before.access).await);
        }
    }
    redis.launch().await;
    before.is_back(&node).await;
}

/// Asked without a pause through two kinds of outage: the right answer, or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_wrong_while_redis_comes_and_goes() {
    let mut redis = durable().await;
    let node = impatient_node_over(&redis).await;
    let before = Before::of(&node).await;
    let (ended, _) = tokio::sync::watch::channel(false);
    let mut askers = JoinSet::new();
    for (token, active) in
        [(before.access.clone(), true), (before.refresh.clone(), true), (before.revoked.clone(), false)]
    {
        let (api, app, ended) = (node.api.clone(), before.app.clone(), ended.subscribe());
        askers.spawn(async move {
            let (mut right, mut none) = (0_u32, 0_u32);
            while !*ended.borrow() {
                let answer = api.introspect(app.pair(), &token).await;
                if answer.status == 503 {
                    expect_unavailable("introspection", &answer);
                    none += 1;
                } else {
                    assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(active)), "{answer:?}");
                    right += 1;
                }
            }
            (right, none)
        });
    }
    let is_up = async || node.api.introspect(before.app.pair(), &before.access).await.status == 200;
    for _ in 0..2 {
        redis.freeze();
        eventually("the silence is noticed", async || !is_up().await).await;
        redis.thaw();
        eventually("the node answers", is_up).await;
        redis.kill();
        eventually("the loss is noticed", async || !is_up().await).await;
        redis.launch().await;
        eventually("the node answers", is_up).await;
    }
    ended.send_replace(true);
    for (right, none) in askers.join_all().await {
        assert!(right > 0 && none > 0, "{right} right answers and {none} times none");
    }
}

/// A revocation that was answered with 200 holds, whatever happened around it; one that was not may be asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_was_acknowledged_outlives_redis() {
    let mut redis = durable().await;
    let node = node_over(&redis).await;
    let before = Before::of(&node).await;
    let (mut tokens, app, api) = (Vec::new(), before.app.clone(), node.api.clone());
    for _ in 0..200 {
        tokens.push(node.token(&app).await);
    }
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&acknowledged);
    let revoking = tokio::spawn(async move {
        let mut revoked = Vec::new();
        // However late it is killed, a revocation is under way: what is revoked may be revoked again.
        for token in tokens.iter().cycle() {
            let answer = api.revoke(app.pair(), token).await;
            if answer.status != 200 {
                expect_unavailable("revocation", &answer);
                break;
            }
            if count.fetch_add(1, Ordering::SeqCst) < tokens.len() {
                revoked.push(token.clone());
            }
        }
        tokens.into_iter().map(|token| (revoked.contains(&token), token)).collect::<Vec<_>>()
    });
    eventually("some are acknowledged", async || acknowledged.load(Ordering::SeqCst) >= 5).await;
    redis.kill();
    let tokens = timeout(PATIENCE, revoking).await.expect("it is noticed that Redis was killed").unwrap();
    redis.launch().await;
    before.is_back(&node).await;
    for (acknowledged, token) in tokens {
        if !acknowledged {
            assert_eq!(node.api.revoke(before.app.pair(), &token).await.status, 200);
        }
        assert!(!node.api.is_active(before.app.pair(), &token).await, "acknowledged before: {acknowledged}");
    }
}

/// A failover takes some seconds; were all nodes to go away meanwhile, it would become an outage of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_outlasts_a_failover_and_no_more() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes"]).await;
    let node = node_over(&redis).await;
    eventually("the node is ready", async || readiness(&node).await == [200, 200]).await;
    let begun = Instant::now();
    redis.kill();
    eventually("the node is not ready", async || readiness(&node).await == [503, 503]).await;
    assert!(begun.elapsed() > Duration::from_secs(8), "after {:?} already", begun.elapsed());
    the_rest_is_answered(&node).await;
    redis.launch().await;
    eventually("the node is ready again", async || readiness(&node).await == [200, 200]).await;
}

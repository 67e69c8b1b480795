//! Client authentication by signed assertions: RFC 7521 section 4.2, RFC 7523, and what rfc7523bis narrows. What makes
//! an assertion a good one is tested claim by claim beside the code; here it is that endpoints ask for all of it, and
//! the store.

use std::time::Duration;

use introspectd::token::time::Clock;
use serde_json::{Value, json};

use crate::rfc6749::{ENDPOINTS, PATIENT};
use crate::support::api::Answer;
use crate::support::certificates::written;
use crate::support::jose::{ISSUER, Signer, unique};
use crate::support::node::{AUDIENCE, Kind, Node, Registered};
use crate::support::redis::RedisServer;

over_both_stores! {
    rfc7521_4_2_an_assertion_authenticates_at_every_endpoint
    rfc7521_4_2_the_two_parameters_belong_together
    rfc7521_4_2_the_registered_method_is_the_only_one
    rfc7523_3_every_defect_is_answered_alike
    rfc7523_3_failures_make_wait
    rfc7523_3_7_an_assertion_works_once
    rfc7523_3_7_of_fifty_at_once_one_is_accepted
    rfc7523bis_4_an_endpoint_as_audience_is_a_matter_of_registration
}

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn metadata(signer: &Signer) -> Value {
    json!({
        "token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks(),
        "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read", "grant_types": ["client_credentials"]
    })
}

async fn client(node: &Node) -> (Registered, Signer) {
    let signer = Signer::new();
    (node.client(metadata(&signer)).await, signer)
}

/// Calls an endpoint with an assertion, and with a form in its raw form.
async fn call(node: &Node, path: &str, form: &str, assertion: &str) -> Answer {
    let kind = introspectd::form::encode(TYPE);
    let body = format!("{form}&client_assertion_type={kind}&client_assertion={assertion}");
    let request = node.api.request("POST", &node.api.url(path));
    node.api.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

async fn introspect(node: &Node, assertion: &str) -> Answer {
    call(node, "/introspect", "token=unknown-token", assertion).await
}

async fn rfc7521_4_2_an_assertion_authenticates_at_every_endpoint(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = client(&node).await;
    assert_eq!(app.secret, "", "it has no use for a secret");
    for (path, form) in ENDPOINTS {
        let answer = call(&node, path, form, &signer.assertion(&node, &app.id, &json!({}))).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let named = format!("{form}&client_id={}", app.id);
        let answer = call(&node, path, &named, &signer.assertion(&node, &app.id, &json!({}))).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let other = format!("{form}&client_id=other");
        let answer = call(&node, path, &other, &signer.assertion(&node, &app.id, &json!({}))).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{path}");
    }
}

async fn rfc7521_4_2_the_two_parameters_belong_together(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = client(&node).await;
    let assertion = signer.assertion(&node, &app.id, &json!({}));
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    for (form, refusal) in [
        (vec![("client_assertion", assertion.as_str())], (400, "invalid_request")),
        (vec![("client_assertion_type", TYPE)], (400, "invalid_request")),
        (vec![("client_assertion", &*assertion), ("client_assertion_type", saml)], (401, "invalid_client")),
        (vec![("client_assertion", "x"), ("client_assertion_type", TYPE)], (401, "invalid_client")),
    ] {
        let form: Vec<_> = form.into_iter().chain([("token", "unknown-token")]).collect();
        let answer = node.api.post_bare("/introspect", &form).await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{form:?}");
    }
    assert_eq!(introspect(&node, &assertion).await.status, 200, "none of these has used it up");
}

/// RFC 6749 section 2.3, RFC 7591 section 2.
async fn rfc7521_4_2_the_registered_method_is_the_only_one(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    let (app, signer) = client(&node).await;
    let secret = "a-secret-nobody-registered";
    for answer in [
        node.api.introspect((&app.id, secret), "unknown-token").await,
        node.api.post_bare("/introspect", &[("client_id", &app.id), ("token", "x")]).await,
        node.api.post_bare("/introspect", &[("client_id", &app.id), ("client_secret", secret), ("token", "x")]).await,
    ] {
        assert_eq!(answer.refusal(), (401, "invalid_client".into()));
    }
    // With keys of its own, and registered for a secret all the same.
    for method in [json!("client_secret_basic"), json!(null)] {
        let mut metadata = metadata(&signer);
        metadata["token_endpoint_auth_method"] = method;
        let by_secret = node.client(metadata).await;
        let answer = introspect(&node, &signer.assertion(&node, &by_secret.id, &json!({}))).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()));
        assert_eq!(node.api.introspect(by_secret.pair(), "unknown-token").await.status, 200);
    }
    let operator = crate::support::node::OPERATOR;
    let rotate = format!("/admin/clients/{}/rotate-secret", app.id);
    assert_eq!(node.api.admin(operator, "POST", &rotate, None).await.status, 400);
    node.operate("POST", &format!("/admin/clients/{}/revoke", app.id), None).await;
    let answer = introspect(&node, &signer.assertion(&node, &app.id, &json!({}))).await;
    assert_eq!(answer.refusal(), (401, "invalid_client".into()), "a revoked client");
}

async fn rfc7523_3_every_defect_is_answered_alike(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    let (app, signer) = client(&node).await;
    let (other, stranger) = (client(&node).await, Signer::new());
    let claims = |members: &Value| signer.assertion(&node, &app.id, members);
    let whole = json!({"iss": app.id, "sub": app.id, "aud": ISSUER, "exp": node.now() + 60});
    let header = |header: Value| signer.sign(&header, &whole);
    let good = claims(&json!({}));
    let stripped = format!("{}.", good.rsplit_once('.').unwrap().0);
    let used = claims(&json!({}));
    assert_eq!(introspect(&node, &used).await.status, 200);
    let defects = [
        ("used before", used),
        ("another issuer", claims(&json!({"iss": other.0.id}))),
        ("another client's name", claims(&json!({"iss": other.0.id, "sub": other.0.id}))),
        ("nobody's name", claims(&json!({"iss": "nobody", "sub": "nobody"}))),
        ("another audience", claims(&json!({"aud": "https://other.example.com"}))),
        ("the endpoint as audience", claims(&json!({"aud": format!("{ISSUER}/introspect")}))),
        ("two audiences", claims(&json!({"aud": [ISSUER, "https://other.example.com"]}))),
        ("no audience", claims(&json!({"aud": null}))),
        ("no end", claims(&json!({"exp": null}))),
        ("past", claims(&json!({"exp": node.now() - 1}))),
        ("too far ahead", claims(&json!({"exp": node.now() + 4000}))),
        ("not yet", claims(&json!({"nbf": node.now() + 600}))),
        ("made in the future", claims(&json!({"iat": node.now() + 600}))),
        ("a key of nobody's", stranger.assertion(&node, &app.id, &json!({}))),
        ("a key of another client's", other.1.assertion(&node, &app.id, &json!({}))),
        ("a key that it brings along", stranger.sign(&json!({"jwk": stranger.jwk()}), &whole)),
        ("another kind of text", header(json!({"typ": "at+jwt"}))),
        ("a proof of possession", header(json!({"typ": "dpop+jwt"}))),
        ("critical", header(json!({"crit": ["exp"]}))),
        ("unsigned", header(json!({"alg": "none"}))),
        ("signed with a public key", header(json!({"alg": "HS256"}))),
        ("another algorithm", header(json!({"alg": "RS256"}))),
        ("no signature", stripped),
        ("not a text of this kind", "a.b.c".to_owned()),
        ("too long", claims(&json!({"x": "x".repeat(20_000)}))),
    ];
    let mut seen = Vec::new();
    for (what, assertion) in &defects {
        let answer = introspect(&node, assertion).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{what}");
        let (status, headers, body) = answer.seen();
        seen.push((status, headers, body.to_owned()));
    }
    assert!(seen.iter().all(|answer| *answer == seen[0]), "nothing tells which check failed");
    assert_eq!(introspect(&node, &good).await.status, 200);
}

async fn rfc7523_3_failures_make_wait(kind: Kind) {
    let node = Node::start_with(kind, &[("authentication.failures_per_client", "3")]).await;
    let (app, signer) = client(&node).await;
    let stranger = Signer::new();
    for _ in 0..3 {
        assert_eq!(introspect(&node, &stranger.assertion(&node, &app.id, &json!({}))).await.status, 401);
    }
    let good = signer.assertion(&node, &app.id, &json!({}));
    let waiting = introspect(&node, &good).await;
    assert_eq!((waiting.status, waiting.header("retry-after")), (429, Some("1")));
    node.pass(Duration::from_secs(2)).await;
    assert_eq!(introspect(&node, &good).await.status, 200, "what was not looked at is not used up");
}

async fn rfc7523_3_7_an_assertion_works_once(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = client(&node).await;
    let id = unique();
    let assertion = signer.assertion(&node, &app.id, &json!({"jti": id}));
    assert_eq!(introspect(&node, &assertion).await.status, 200);
    assert_eq!(introspect(&node, &assertion).await.refusal(), (401, "invalid_client".into()));
    let again = signer.assertion(&node, &app.id, &json!({"jti": id, "exp": node.now() + 61}));
    assert_eq!(introspect(&node, &again).await.status, 401, "the same identifier in another assertion");
    let (other, key) = client(&node).await;
    let others = key.assertion(&node, &other.id, &json!({"jti": id}));
    assert_eq!(introspect(&node, &others).await.status, 200, "another client's identifiers are its own");
    let forged = Signer::new().assertion(&node, &app.id, &json!({"jti": "to-be-used"}));
    assert_eq!(introspect(&node, &forged).await.status, 401);
    let genuine = signer.assertion(&node, &app.id, &json!({"jti": "to-be-used"}));
    assert_eq!(introspect(&node, &genuine).await.status, 200, "nobody else can use up an identifier");
    let without = signer.assertion(&node, &app.id, &json!({"jti": null}));
    for _ in 0..2 {
        assert_eq!(introspect(&node, &without).await.status, 200, "without one there is nothing to remember");
    }
}

async fn rfc7523_3_7_of_fifty_at_once_one_is_accepted(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    let (app, signer) = client(&node).await;
    assert_eq!(accepted_at_once(&[&node], &signer.assertion(&node, &app.id, &json!({}))).await, 1);
}

/// Sends an assertion fifty times at once, to the nodes in turn, and counts how often it was accepted.
async fn accepted_at_once(nodes: &[&Node], assertion: &str) -> usize {
    let mut requests = tokio::task::JoinSet::new();
    for node in nodes.iter().cycle().take(50) {
        let form = [("client_assertion_type", TYPE), ("client_assertion", assertion), ("token", "unknown-token")];
        let request = node.api.request("POST", &node.api.url("/introspect")).form(&form);
        requests.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = requests.join_all().await;
    assert!(statuses.iter().all(|status| [200, 401].contains(status)), "{statuses:?}");
    statuses.into_iter().filter(|&status| status == 200).count()
}

async fn rfc7523bis_4_an_endpoint_as_audience_is_a_matter_of_registration(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    let signer = Signer::new();
    let mut metadata = metadata(&signer);
    metadata["assertion_audience_endpoints"] = json!(true);
    let older = node.client(metadata).await;
    for (audience, status) in [
        (json!(ISSUER), 200),
        (json!([ISSUER]), 200),
        (json!(format!("{ISSUER}/introspect")), 200),
        (json!(format!("{ISSUER}/token")), 200),
        (json!([format!("{ISSUER}/revoke")]), 200),
        (json!("https://other.example.com/token"), 401),
        (json!([ISSUER, format!("{ISSUER}/token")]), 401),
    ] {
        let answer = introspect(&node, &signer.assertion(&node, &older.id, &json!({"aud": audience}))).await;
        assert_eq!(answer.status, status, "{audience}");
    }
}

// === several nodes, and none that can be asked ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7523_3_7_an_assertion_works_at_one_node_only() {
    let first = Node::start_with(Kind::Redis, &PATIENT).await;
    let url = first.redis.as_ref().unwrap().url();
    let second = Node::over(("redis.url", url), Clock::System, &PATIENT).await;
    let (app, signer) = client(&first).await;
    let assertion = signer.assertion(&first, &app.id, &json!({}));
    assert_eq!(introspect(&first, &assertion).await.status, 200);
    assert_eq!(introspect(&second, &assertion).await.refusal(), (401, "invalid_client".into()));
    let raced = signer.assertion(&first, &app.id, &json!({}));
    assert_eq!(accepted_at_once(&[&first, &second], &raced).await, 1);
}

/// A client that the configuration declares needs no store to be found; that its assertion is new does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7523_3_7_what_cannot_be_known_is_not_accepted() {
    let (mut redis, folder, signer) = (RedisServer::start().await, tempfile::tempdir().unwrap(), Signer::new());
    let keys = written(folder.path(), "keys.json", &signer.jwks().to_string());
    let clients = json!([{
        "client_id": "declared", "token_endpoint_auth_method": "private_key_jwt", "jwks_file": keys, "rights": ["introspect"]
    }])
    .to_string();
    let settings = [("clients", clients.as_str())];
    let node = Node::over(("redis.url", redis.url()), Clock::System, &settings).await;
    // A token that no store is asked about.
    let ask = async |assertion: String| call(&node, "/introspect", "token=itd_at_t1", &assertion).await;
    assert_eq!(ask(signer.assertion(&node, "declared", &json!({}))).await.status, 200);
    redis.kill();
    let answer = ask(signer.assertion(&node, "declared", &json!({}))).await;
    assert_eq!(answer.refusal(), (503, "temporarily_unavailable".into()));
    assert_eq!(ask(signer.assertion(&node, "declared", &json!({"jti": null}))).await.status, 200);
}

//! Introspection, RFC 7662: a test for each sentence, named by its section, over a real server on either store.

use std::time::{Duration, Instant};

use introspectd::token::time::Clock;
use serde_json::{Value, json};

use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};
use crate::support::redis::RedisServer;

over_both_stores! {
    section_2_1_a_token_is_posted_as_a_form
    section_2_1_the_token_is_required
    section_2_1_a_parameter_may_not_be_repeated
    section_2_1_hints_change_nothing
    section_2_1_callers_prove_who_they_are
    section_2_1_an_unknown_client_looks_like_a_wrong_secret
    section_2_1_every_way_of_authentication_works
    section_2_1_the_caller_is_judged_before_the_token
    section_2_1_the_owner_alone_sees_a_refresh_token
    section_2_1_token_values_are_taken_as_they_are
    section_2_2_an_active_token_is_described
    section_2_2_every_member_has_its_type
    section_2_2_the_type_tells_how_the_token_is_bound
    section_2_2_what_has_no_value_is_left_out
    section_2_2_claims_cannot_overwrite_members
    section_2_2_a_client_speaks_for_itself_in_a_namespace_of_its_own
    section_2_2_all_inactive_answers_are_the_same_bytes
    section_2_2_scopes_are_narrowed_to_the_caller
    section_2_2_expiry_is_exact
    section_2_2_a_token_is_inactive_before_it_begins
    section_2_2_asking_changes_nothing
    section_2_3_an_inactive_bearer_token_is_unauthorized
    section_2_3_a_bearer_token_needs_its_scope_and_its_client_the_right
    section_2_3_a_bearer_token_cannot_ask_about_itself
    section_2_3_a_client_without_the_right_is_forbidden
    section_4_other_methods_are_refused
    section_4_answers_are_not_to_be_stored
    section_4_a_token_is_for_its_audiences_only
    section_4_a_token_without_audience_is_for_its_owner
    section_4_tokens_of_a_revoked_client_are_inactive_until_it_is_approved
    section_4_tokens_of_a_deleted_client_stay_inactive
    section_4_scanning_for_tokens_is_limited
}

const INACTIVE: &str = r#"{"active":false}"#;
const BASIC: &str = r#"Basic realm="introspectd", charset="UTF-8""#;
const INVALID_TOKEN: &str =
    r#"Bearer realm="introspectd", error="invalid_token", error_description="The access token is not active""#;
const INSUFFICIENT_SCOPE: &str =
    r#"Bearer realm="introspectd", error="insufficient_scope", scope="introspectd:introspect""#;

fn access(issued: &Value) -> &str {
    issued["access_token"].as_str().unwrap()
}

fn expect_inactive(answer: &Answer) {
    assert_eq!((answer.status, &*answer.body), (200, INACTIVE));
}

fn expect_invalid_client(answer: &Answer) {
    assert_eq!(answer.refusal(), (401, "invalid_client".to_owned()));
    assert!(answer.lines("www-authenticate").contains(&BASIC), "{answer:?}");
}

fn expect_invalid_token(answer: &Answer) {
    assert_eq!(answer.refusal(), (401, "invalid_token".to_owned()));
    assert_eq!(answer.header("www-authenticate"), Some(INVALID_TOKEN));
}

/// A token that is well made, and known to a node with the same keys over another store.
async fn unknown_token() -> String {
    let other = Node::start(Kind::Embedded).await;
    other.token(&other.application().await).await
}

/// A token of another issuer, which has other keys.
async fn foreign_token() -> String {
    let keys = json!([{"id": "t1", "secret": "another key of the same id, 32 bytes long"}]).to_string();
    let other = Node::start_with(Kind::Embedded, &[("keys.digest", &keys)]).await;
    other.token(&other.application().await).await
}

// === the request ===

async fn section_2_1_a_token_is_posted_as_a_form(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    for path in ["/introspect", "/oauth2/introspect"] {
        // Gateways add parameters of their own, and they change nothing.
        for form in [&[("token", &*token)][..], &[("scope", ""), ("token", &*token), ("client", "x")]] {
            let answer = node.api.post(path, server.pair(), form).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
            assert_eq!(answer.json()["active"], json!(true));
        }
    }
}

async fn section_2_1_the_token_is_required(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    for form in [&[][..], &[("token", "")], &[("token_type_hint", "access_token")], &[("Token", &*token)]] {
        let answer = node.api.post("/introspect", server.pair(), form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{form:?}");
    }
    let in_the_query = node.api.post(&format!("/introspect?token={token}"), server.pair(), &[]).await;
    assert_eq!(in_the_query.refusal(), (400, "invalid_request".to_owned()));
}

async fn section_2_1_a_parameter_may_not_be_repeated(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = &*node.token(&app).await;
    for form in [
        [("token", token), ("token", token)],
        [("token", token), ("token", "")],
        [("token_type_hint", "access_token"), ("token_type_hint", "access_token")],
    ] {
        let form = [&form[..], &[("token_type_hint", "")]].concat();
        let answer = node.api.post("/introspect", server.pair(), &form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{form:?}");
    }
}

async fn section_2_1_hints_change_nothing(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let (access, refresh) = node.tokens(&app).await;
    for token in [&*access, &refresh, "no-token-at-all"] {
        let plain = node.api.introspect(app.pair(), token).await;
        for hint in ["access_token", "refresh_token", "ACCESS_TOKEN", "foo", "", "id_token"] {
            let hinted = [("token_type_hint", hint), ("token", token)];
            let answer = node.api.post("/introspect", app.pair(), &hinted).await;
            assert_eq!(answer.whole(), plain.whole(), "{hint}");
        }
    }
}

/// RFC 7009 section 5 warns of look-ups that a peer can multiply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_1_a_wrong_hint_costs_no_further_read() {
    let node = Node::start(Kind::Redis).await;
    let redis = node.redis.as_ref().unwrap();
    let app = node.application().await;
    let (access, refresh) = node.tokens(&app).await;
    for (token, wrong) in [(access, "refresh_token"), (refresh, "access_token")] {
        let mut reads = Vec::new();
        for form in [&[("token", &*token)][..], &[("token", &*token), ("token_type_hint", wrong)]] {
            let before = reads_of(redis).await;
            assert_eq!(node.api.post("/introspect", app.pair(), form).await.json()["active"], json!(true));
            reads.push(reads_of(redis).await - before);
        }
        assert_eq!(reads[0], reads[1], "reads without and with a wrong hint");
        assert!((1..=4).contains(&reads[0]), "caller, token, owner, grant: {reads:?}");
    }
}

/// How many keys were read from a Redis, ever.
async fn reads_of(redis: &RedisServer) -> u64 {
    let statistics: String = redis.command(&["INFO", "stats"]).await;
    let number = |name: &str| -> u64 {
        let line = statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.parse().unwrap()
    };
    number("keyspace_hits") + number("keyspace_misses")
}

async fn section_2_1_callers_prove_who_they_are(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = &*node.token(&app).await;
    let form = &[("token", token)][..];

    let nobody = node.api.post_bare("/introspect", form).await;
    expect_invalid_client(&nobody);
    assert_eq!(nobody.lines("www-authenticate"), [BASIC, r#"Bearer realm="introspectd""#]);

    for pair in [("nobody", "secret"), (app.id.as_str(), "wrong"), (app.id.as_str(), ""), ("", "")] {
        expect_invalid_client(&node.api.post("/introspect", pair, form).await);
    }
    for form in [
        [("token", token), ("client_id", &*app.id), ("client_secret", "wrong")],
        // The name of a confidential client is no proof.
        [("token", token), ("client_id", &*app.id), ("unknown", "x")],
    ] {
        expect_invalid_client(&node.api.post_bare("/introspect", &form).await);
    }

    let revoked = node.resource_server().await;
    node.operate("POST", &format!("/admin/clients/{}/revoke", revoked.id), None).await;
    expect_invalid_client(&node.api.introspect(revoked.pair(), token).await);

    let public = node.client(json!({"token_endpoint_auth_method": "none"})).await;
    let named = [("token", token), ("client_id", &*public.id)];
    expect_invalid_client(&node.api.post_bare("/introspect", &named).await);

    // The old secret of the first ends at once, that of the second after a second.
    let rotated = [node.resource_server().await, node.resource_server().await];
    for (seconds, server) in rotated.iter().enumerate() {
        let overlap = json!({"overlap_seconds": seconds});
        node.operate("POST", &format!("/admin/clients/{}/rotate-secret", server.id), Some(overlap)).await;
    }
    node.pass(Duration::from_secs(1)).await;
    for server in rotated {
        expect_invalid_client(&node.api.introspect(server.pair(), token).await);
    }
}

async fn section_2_1_an_unknown_client_looks_like_a_wrong_secret(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let wrong = node.api.introspect((&app.id, "wrong"), "x").await;
    let unknown = node.api.introspect(("nobody", "wrong"), "x").await;
    assert_eq!(wrong.whole(), unknown.whole());
    assert_eq!(wrong.header("www-authenticate"), Some(BASIC));
}

async fn section_2_1_every_way_of_authentication_works(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = &*node.token(&node.application().await).await;
    let basic = node.api.introspect(server.pair(), token).await;
    assert_eq!(basic.json()["active"], json!(true));
    let in_the_body = [("client_id", &*server.id), ("client_secret", &*server.secret), ("token", token)];
    let post = node.api.post_bare("/introspect", &in_the_body).await;
    assert_eq!(post.whole(), basic.whole());
    let credentials = node.bearer(&server, "introspectd:introspect").await;
    let bearer = node.api.post_as("/introspect", &format!("Bearer {credentials}"), &[("token", token)]).await;
    assert_eq!(bearer.whole(), basic.whole());
}

async fn section_2_1_the_caller_is_judged_before_the_token(kind: Kind) {
    let node = Node::start(kind).await;
    expect_invalid_client(&node.api.post("/introspect", ("nobody", "secret"), &[]).await);
    let powerless = node.client(json!({})).await;
    let answer = node.api.post("/introspect", powerless.pair(), &[]).await;
    assert_eq!(answer.refusal(), (403, "unauthorized_client".to_owned()));
}

/// A resource server that saw a refresh token could take it for an access token.
async fn section_2_1_the_owner_alone_sees_a_refresh_token(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    let (access, refresh) = node.tokens(&app).await;
    let described = node.api.introspect(app.pair(), &refresh).await.json();
    assert_eq!((&described["active"], described.get("token_type")), (&json!(true), None));
    for server in [&node.resource_server().await, &gateway] {
        assert!(node.api.is_active(server.pair(), &access).await);
        expect_inactive(&node.api.introspect(server.pair(), &refresh).await);
    }
}

async fn section_2_1_token_values_are_taken_as_they_are(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    let legacy = "legacy.token-1";
    node.issue(&app, json!({"token": legacy})).await;
    let long = "a".repeat(60_000);
    let deep = format!("eyJhbGciOiJub25lIn0.{}.", "W10".repeat(5_000));
    let mut values: Vec<String> = [
        " ",
        "\0",
        "\u{1F511}",
        "*",
        "?",
        ":",
        "itd:t:*",
        "a\r\nSET x y\r\n",
        "true",
        "null",
        "{}",
        "[]",
        "a.b.c",
        "..",
        "itd_at_",
        "itd_rt_t1",
        "\u{FEFF}",
        &long,
        &deep,
    ]
    .map(str::to_owned)
    .to_vec();
    for known in [&*token, legacy] {
        assert!(node.api.is_active(server.pair(), known).await);
        values.extend(
            ["{} ", " {}", "{}\0", "{}\n", "{}=", "{},{}", "Bearer {}"].map(|shape| shape.replace("{}", known)),
        );
        values.extend([known.to_uppercase(), known[..known.len() - 1].to_owned(), known[1..].to_owned()]);
    }
    for value in values {
        let answer = node.api.introspect(server.pair(), &value).await;
        assert_eq!((answer.status, &*answer.body), (200, INACTIVE), "{:?}", &value[..value.len().min(100)]);
    }
}

// === the response ===

async fn section_2_2_an_active_token_is_described(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let begun = node.now();
    let issued = node
        .issue(
            &app,
            json!({
                "sub": "alice", "username": "alice@example.com", "expires_in": 60, "nbf": begun - 10,
                "aud": [AUDIENCE, "https://other.example.com"],
                "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
                "authorization_details": [{"type": "payment_initiation", "amount": {"value": "1.00"}}],
                "claims": {"acr": "gold", "auth_time": begun - 60, "department": "7", "flags": [true, 1, 1.5]},
            }),
        )
        .await;
    let described = node.api.introspect(server.pair(), access(&issued)).await.json();
    let issued_at = described["iat"].as_u64().unwrap();
    assert!((begun..=node.now()).contains(&issued_at));
    assert_eq!(
        described,
        json!({
            "active": true, "iss": "https://as.example.com", "client_id": app.id, "sub": "alice",
            "username": "alice@example.com", "scope": "read write", "token_type": "Bearer", "jti": issued["jti"],
            "aud": [AUDIENCE, "https://other.example.com"],
            "exp": issued_at + 60, "iat": issued_at, "nbf": begun - 10,
            "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
            "authorization_details": [{"type": "payment_initiation", "amount": {"value": "1.00"}}],
            "acr": "gold", "auth_time": begun - 60, "department": "7", "flags": [true, 1, 1.5],
        })
    );
}

/// Strict readers fail on a number in quotes, a fraction, milliseconds or an array of scopes.
async fn section_2_2_every_member_has_its_type(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let issued = node.issue(&app, json!({"sub": "1", "username": "2", "nbf": node.now()})).await;
    let answer = node.api.introspect(server.pair(), access(&issued)).await;
    let described = answer.json();
    assert!(answer.body.starts_with(r#"{"active":true,"#), "{}", answer.body);
    for name in ["scope", "client_id", "username", "token_type", "sub", "iss", "jti", "aud"] {
        assert!(described[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {described}");
    }
    for name in ["exp", "iat", "nbf"] {
        let seconds = described[name].as_u64().unwrap_or_else(|| panic!("{name}: {described}"));
        assert!(seconds.abs_diff(node.now()) < 3600, "{name} is in seconds: {described}");
    }
    let scope = described["scope"].as_str().unwrap();
    assert_eq!(scope, scope.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// RFC 9449 section 6.2: a token that is bound to a key is of type `DPoP`, at issue and at introspection.
async fn section_2_2_the_type_tells_how_the_token_is_bound(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    for (confirmation, token_type) in [(json!({"x5t#S256": "x"}), "Bearer"), (json!({"jkt": "y"}), "DPoP")] {
        let issued = node.issue(&app, json!({"cnf": confirmation, "claims": {"jkt": "z"}})).await;
        let described = node.api.introspect(server.pair(), access(&issued)).await.json();
        assert_eq!((&issued["token_type"], &described["token_type"]), (&json!(token_type), &json!(token_type)));
        assert_eq!(described["cnf"], confirmation);
    }
}

async fn section_2_2_what_has_no_value_is_left_out(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"], "scope": "read"})).await;
    let issued = node.issue(&app, json!({"scope": "", "aud": []})).await;
    for caller in [&app, &gateway] {
        let described = node.api.introspect(caller.pair(), access(&issued)).await.json();
        let names: Vec<&String> = described.as_object().unwrap().keys().collect();
        assert_eq!(names, ["active", "client_id", "exp", "iat", "iss", "jti", "token_type"]);
    }
}

async fn section_2_2_claims_cannot_overwrite_members(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    for name in [
        "active",
        "aud",
        "authorization_details",
        "client_id",
        "cnf",
        "error",
        "error_description",
        "exp",
        "iat",
        "iss",
        "jti",
        "nbf",
        "scope",
        "sub",
        "token_introspection",
        "token_type",
        "username",
    ] {
        let body = json!({"client_id": app.id, "claims": {name: true}});
        let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{name}");
    }
    let nothing = json!({"client_id": app.id, "claims": {"department": null}});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(nothing)).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()));
}

/// RFC 9700 section 4.15: whoever names clients must not be able to name one like a user.
async fn section_2_2_a_client_speaks_for_itself_in_a_namespace_of_its_own(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let answer = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await;
    let described = node.api.introspect(server.pair(), access(&answer.json())).await.json();
    assert_eq!(described["sub"], json!(format!("client:{}", app.id)));
    assert_eq!(described.get("username"), None);
    let another = json!({"client_id": app.id, "sub": format!("client:{}", server.id)});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(another)).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()));
}

async fn section_2_2_all_inactive_answers_are_the_same_bytes(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let client = |id: &Registered, action: &str| format!("/admin/clients/{}/{action}", id.id);

    let (of_revoked, of_deleted) = (node.application().await, node.application().await);
    let (revoked_client, deleted_client) = (node.token(&of_revoked).await, node.token(&of_deleted).await);
    node.operate("POST", &client(&of_revoked, "revoke"), None).await;
    node.operate("DELETE", &format!("/admin/clients/{}", of_deleted.id), None).await;

    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let (of_revoked_grant, refresh) = node.tokens(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &refresh).await.status, 200);

    let owned = |issued: &Value| access(issued).to_owned();
    let elsewhere = owned(&node.issue(&app, json!({"aud": "https://elsewhere.example.com"})).await);
    let later = owned(&node.issue(&app, json!({"nbf": node.now() + 60})).await);
    let expired = owned(&node.issue(&app, json!({"expires_in": 1})).await);
    node.pass(Duration::from_secs(1)).await;

    let reasons = [
        ("unknown", unknown_token().await),
        ("foreign", foreign_token().await),
        ("malformed", "itd_at_t1".to_owned()),
        ("no token of ours", "no-token-at-all".to_owned()),
        ("unsigned", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.".to_owned()),
        ("expired", expired),
        ("not yet valid", later),
        ("revoked", revoked),
        ("grant revoked", of_revoked_grant),
        ("revoked refresh token", refresh),
        ("refresh token", node.tokens(&app).await.1),
        ("audience", elsewhere),
        ("client revoked", revoked_client),
        ("client deleted", deleted_client),
    ];
    let reference = node.api.introspect(server.pair(), "reference").await;
    expect_inactive(&reference);
    assert_eq!(reference.header("content-length"), Some("16"));
    for (reason, token) in &reasons {
        assert_eq!(node.api.introspect(server.pair(), token).await.whole(), reference.whole(), "{reason}");
    }
    // Nothing but the reason keeps those tokens from being active.
    assert!(node.api.is_active(server.pair(), &node.token(&app).await).await);
}

async fn section_2_2_scopes_are_narrowed_to_the_caller(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = node.bearer(&app, "read write delete").await;
    for (registered, seen) in [
        ("write read", Some("read write")),
        ("delete other", Some("delete")),
        ("", Some("read write delete")),
        ("other", None),
        // Names are compared whole and with their case.
        ("Read rea read:all", None),
    ] {
        let server = node.client(json!({"rights": ["introspect"], "audiences": [AUDIENCE], "scope": registered})).await;
        let answer = node.api.introspect(server.pair(), &token).await;
        match seen {
            Some(scope) => assert_eq!(answer.json()["scope"], json!(scope), "{registered}"),
            None => expect_inactive(&answer),
        }
    }
    let whole = node.api.introspect(app.pair(), &token).await;
    assert_eq!(whole.json()["scope"], json!("read write delete"), "the owner sees all");
}

/// The current time must be before `exp`: active in the last second before it, and never at it.
async fn section_2_2_expiry_is_exact(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let issued = node.issue(&app, json!({"expires_in": 3})).await;
    let token = access(&issued);
    let expiry = node.api.introspect(server.pair(), token).await.json()["exp"].as_u64().unwrap();
    if kind == Kind::Embedded {
        node.pass(Duration::from_millis(2_999)).await;
        assert_eq!(node.now(), expiry - 1);
        assert!(node.api.is_active(server.pair(), token).await);
        node.pass(Duration::from_millis(1)).await;
        assert!(!node.api.is_active(server.pair(), token).await);
        return;
    }
    // Time cannot be moved here: every answer is held against the clock before and after it.
    let mut active = 0;
    loop {
        let before = node.now();
        if !node.api.is_active(server.pair(), token).await {
            break;
        }
        assert!(before < expiry, "active at {before}, which is not before {expiry}");
        active += 1;
    }
    assert!(node.now() >= expiry, "inactive before {expiry}");
    assert!(active > 0);
}

async fn section_2_2_a_token_is_inactive_before_it_begins(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let beginning = node.now() + 3;
    let token = access(&node.issue(&app, json!({"nbf": beginning})).await).to_owned();
    if kind == Kind::Embedded {
        node.pass(Duration::from_millis(2_999)).await;
        assert!(!node.api.is_active(server.pair(), &token).await);
        node.pass(Duration::from_millis(1)).await;
        assert!(node.api.is_active(server.pair(), &token).await);
        return;
    }
    let mut inactive = 0;
    loop {
        let before = node.now();
        if node.api.is_active(server.pair(), &token).await {
            break;
        }
        assert!(before < beginning, "inactive at {before}, which is not before {beginning}");
        inactive += 1;
    }
    assert!(node.now() >= beginning, "active before {beginning}");
    assert!(inactive > 0);
}

/// No lifetime is extended, no refresh token consumed, nothing written at all.
async fn section_2_2_asking_changes_nothing(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let (access, refresh) = node.tokens(&app).await;
    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let asked = [(&app, &access), (&server, &access), (&app, &refresh), (&server, &refresh), (&server, &revoked)];
    let mut before = Vec::new();
    for (caller, token) in asked {
        before.push(node.api.introspect(caller.pair(), token).await);
    }
    let kept = kept_in(&node).await;
    for _ in 0..5 {
        node.pass(Duration::from_millis(20)).await;
        for ((caller, token), before) in asked.into_iter().zip(&before) {
            assert_eq!(node.api.introspect(caller.pair(), token).await.whole(), before.whole());
        }
        node.api.introspect(server.pair(), "no-token-at-all").await;
    }
    assert_eq!(kept_in(&node).await, kept);
}

/// All that a node's Redis keeps: keys, values and the moments at which they end. Nothing for a node without Redis.
async fn kept_in(node: &Node) -> Vec<(String, Vec<u8>, i64)> {
    let Some(redis) = &node.redis else { return Vec::new() };
    let mut kept = Vec::new();
    for key in redis.keys().await {
        let value: Option<Vec<u8>> = redis.command(&["DUMP", &key]).await;
        let expiry: i64 = redis.command(&["PEXPIRETIME", &key]).await;
        kept.push((key, value.unwrap_or_default(), expiry));
    }
    assert!(kept.len() >= 5, "two clients, three tokens: {kept:?}");
    kept
}

// === errors ===

async fn section_2_3_an_inactive_bearer_token_is_unauthorized(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = &*node.token(&node.application().await).await;
    let scope = "introspectd:introspect";
    let (good, revoked) = (node.bearer(&server, scope).await, node.bearer(&server, scope).await);
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let expired = access(&node.issue(&server, json!({"scope": scope, "expires_in": 1})).await).to_owned();
    let later = access(&node.issue(&server, json!({"scope": scope, "nbf": node.now() + 60})).await).to_owned();
    let both = node.issue(&server, json!({"scope": scope, "refresh": true})).await;
    let refresh = both["refresh_token"].as_str().unwrap().to_owned();
    node.pass(Duration::from_secs(1)).await;
    let ask =
        async |bearer: &str| node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", token)]).await;
    for bearer in
        ["nonsense", "a.b.c", &unknown_token().await, &foreign_token().await, &revoked, &expired, &later, &refresh]
    {
        expect_invalid_token(&ask(bearer).await);
    }
    assert_eq!(ask(&good).await.status, 200);
    node.operate("POST", &format!("/admin/clients/{}/revoke", server.id), None).await;
    expect_invalid_token(&ask(&good).await);
}

/// A resource server holds the tokens that are sent to it. Were a client's right enough, it could act as that client.
async fn section_2_3_a_bearer_token_needs_its_scope_and_its_client_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = &*node.token(&node.application().await).await;
    let ask =
        async |bearer: &str| node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", token)]).await;
    let expect_refused = |answer: &Answer| {
        assert_eq!(answer.refusal(), (401, "insufficient_scope".to_owned()));
        assert_eq!(answer.header("www-authenticate"), Some(INSUFFICIENT_SCOPE));
    };
    for scope in ["read write", "introspect", "introspectd:introspec", ""] {
        expect_refused(&ask(&node.bearer(&server, scope).await).await);
    }
    let bearer = node.bearer(&server, "read introspectd:introspect").await;
    assert_eq!(ask(&bearer).await.json()["active"], json!(true));
    node.operate("PATCH", &format!("/admin/clients/{}", server.id), Some(json!({"rights": []}))).await;
    expect_refused(&ask(&bearer).await);
}

/// Whoever holds a token could otherwise learn all about it with nothing but the token.
async fn section_2_3_a_bearer_token_cannot_ask_about_itself(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let bearer = node.bearer(&server, "introspectd:introspect").await;
    let twin = node.bearer(&server, "introspectd:introspect").await;
    let ask =
        async |token: &str| node.api.post_as("/introspect", &format!("Bearer {bearer}"), &[("token", token)]).await;
    expect_invalid_token(&ask(&bearer).await);
    assert_eq!(ask(&twin).await.json()["active"], json!(true));
}

/// Refused before the token is looked up: the answer says nothing of it.
async fn section_2_3_a_client_without_the_right_is_forbidden(kind: Kind) {
    let node = Node::start(kind).await;
    let powerless =
        node.client(json!({"audiences": [AUDIENCE], "rights": ["issue", "revoke", "admin"], "scope": "read"})).await;
    let own = node.token(&powerless).await;
    let reference = node.api.introspect(powerless.pair(), "no-token-at-all").await;
    assert_eq!(reference.refusal(), (403, "unauthorized_client".to_owned()));
    let answer = node.api.introspect(powerless.pair(), &own).await;
    assert_eq!(answer.whole(), reference.whole());
}

// === security considerations ===

async fn section_4_other_methods_are_refused(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = node.token(&node.application().await).await;
    let url = node.api.url(&format!("/introspect?token={token}"));
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let request = node.api.request(method, &url).basic_auth(&server.id, Some(&server.secret));
        let answer = node.api.send(request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")), "{method}");
        assert!(!answer.body.contains("active"), "{}", answer.body);
    }
    let options = node.api.send(node.api.request("OPTIONS", &url)).await;
    assert_eq!((options.status, options.header("allow"), &*options.body), (204, Some("POST, OPTIONS"), ""));
    assert_eq!(options.header("access-control-allow-origin"), None);
}

async fn section_4_answers_are_not_to_be_stored(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let token = node.token(&node.application().await).await;
    for (asked, active) in [(&*token, true), ("no-token-at-all", false)] {
        let answer = node.api.introspect(server.pair(), asked).await;
        assert_eq!(answer.json()["active"], json!(active));
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
        assert_eq!((answer.header("etag"), answer.header("expires")), (None, None));
    }
}

/// Not 403: to a caller that is not meant, a token looks like one that does not exist.
async fn section_4_a_token_is_for_its_audiences_only(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let audiences = ["https://one.example.com", "https://two.example.com"];
    let issued = node.issue(&app, json!({"aud": audiences})).await;
    for audience in audiences {
        let server = node.client(json!({"rights": ["introspect"], "audiences": ["other", audience]})).await;
        let described = node.api.introspect(server.pair(), access(&issued)).await.json();
        assert_eq!((&described["active"], &described["aud"]), (&json!(true), &json!(audiences)));
    }
    for audience in ["https://one.example.com/", "https://one.example.co", "HTTPS://ONE.EXAMPLE.COM", "one"] {
        let server = node.client(json!({"rights": ["introspect"], "audiences": [audience]})).await;
        expect_inactive(&node.api.introspect(server.pair(), access(&issued)).await);
    }
    let nowhere = node.client(json!({"rights": ["introspect"]})).await;
    expect_inactive(&node.api.introspect(nowhere.pair(), access(&issued)).await);
}

async fn section_4_a_token_without_audience_is_for_its_owner(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    let issued = node.issue(&app, json!({"aud": []})).await;
    assert!(node.api.is_active(app.pair(), access(&issued)).await);
    assert!(node.api.is_active(gateway.pair(), access(&issued)).await, "it stands in front of every API");
    expect_inactive(&node.api.introspect(server.pair(), access(&issued)).await);
}

async fn section_4_tokens_of_a_revoked_client_are_inactive_until_it_is_approved(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    let revoked = node.token(&app).await;
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let before = node.api.introspect(server.pair(), &token).await;
    assert_eq!(before.json()["active"], json!(true));
    for _ in 0..2 {
        node.operate("POST", &format!("/admin/clients/{}/revoke", app.id), None).await;
        expect_inactive(&node.api.introspect(server.pair(), &token).await);
        node.operate("POST", &format!("/admin/clients/{}/approve", app.id), None).await;
        assert_eq!(node.api.introspect(server.pair(), &token).await.whole(), before.whole());
        expect_inactive(&node.api.introspect(server.pair(), &revoked).await);
    }
}

async fn section_4_tokens_of_a_deleted_client_stay_inactive(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    let metadata = json!({"client_id": "app one", "rights": ["introspect"], "audiences": [AUDIENCE]});
    let app = node.client(metadata.clone()).await;
    let (access, refresh) = node.tokens(&app).await;
    assert!(node.api.is_active(server.pair(), &access).await);
    node.operate("DELETE", "/admin/clients/app%20one", None).await;
    expect_inactive(&node.api.introspect(server.pair(), &access).await);
    let again = node.client(metadata).await;
    for (caller, token) in [(&server, &access), (&again, &access), (&again, &refresh)] {
        expect_inactive(&node.api.introspect(caller.pair(), token).await);
    }
    assert!(node.api.is_active(server.pair(), &node.token(&again).await).await, "new tokens are as good as any");
}

/// Ten at once, then one a second; what exists is answered all the while.
async fn section_4_scanning_for_tokens_is_limited(kind: Kind) {
    let node = Node::start_with(kind, &[("authentication.unknown_tokens_per_second", "1")]).await;
    let (app, server, other) = (node.application().await, node.resource_server().await, node.resource_server().await);
    let (token, revoked) = (node.token(&app).await, node.token(&app).await);
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let begun = Instant::now();
    let mut answered = 0_u64;
    let refused = loop {
        // Texts that cannot be tokens of ours, and texts that could have been made elsewhere.
        let prefix = if answered.is_multiple_of(2) { "" } else { "itd_at_" };
        let answer = node.api.introspect(server.pair(), &format!("{prefix}scanning-{answered}")).await;
        if answer.status != 200 {
            break answer;
        }
        expect_inactive(&answer);
        answered += 1;
    };
    let refilled = if kind == Kind::Embedded { 0 } else { begun.elapsed().as_secs() + 1 };
    assert!((10..=10 + refilled).contains(&answered), "{answered}");
    assert_eq!(refused.refusal(), (429, "too_many_requests".to_owned()));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);

    assert!(node.api.is_active(server.pair(), &token).await, "a flood of garbage hides no live token");
    expect_inactive(&node.api.introspect(server.pair(), &revoked).await);
    expect_inactive(&node.api.introspect(other.pair(), "itd_at_scan").await);
    let metrics = node.api.admin(OPERATOR, "GET", "/metrics", None).await.body;
    assert!(metrics.lines().any(|line| line.contains("unknown_tokens") && line.ends_with(" 1")), "{metrics}");
    assert!(!metrics.contains("itd_at_"), "{metrics}");

    node.pass(Duration::from_secs(2)).await;
    expect_inactive(&node.api.introspect(server.pair(), "itd_at_scan").await);
}

/// Nothing of a client is remembered that another node could have changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_the_state_of_a_client_is_seen_by_every_node_at_once() {
    let node = Node::start(Kind::Redis).await;
    let other = Node::over(("redis.url", node.redis.as_ref().unwrap().url()), Clock::System, &[]).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let token = node.token(&app).await;
    for _ in 0..3 {
        for client in [&app, &server] {
            assert!(other.api.is_active(server.pair(), &token).await);
            node.operate("POST", &format!("/admin/clients/{}/revoke", client.id), None).await;
            expect_invalid_client(&other.api.introspect(client.pair(), &token).await);
            if client.id == app.id {
                expect_inactive(&other.api.introspect(server.pair(), &token).await);
            }
            node.operate("POST", &format!("/admin/clients/{}/approve", client.id), None).await;
        }
    }
    node.operate("PATCH", &format!("/admin/clients/{}", server.id), Some(json!({"audiences": []}))).await;
    expect_inactive(&other.api.introspect(server.pair(), &token).await);
    node.operate("DELETE", &format!("/admin/clients/{}", server.id), None).await;
    expect_invalid_client(&other.api.introspect(server.pair(), &token).await);
}

/// A node over the same Redis with another issuer's keys does not know these tokens, and says so like of any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_a_token_of_another_issuer_is_inactive() {
    let node = Node::start(Kind::Redis).await;
    let keys = json!([{"id": "t1", "secret": "another key of the same id, 32 bytes long"}]).to_string();
    let url = node.redis.as_ref().unwrap().url();
    let other = Node::over(("redis.url", url), Clock::System, &[("keys.digest", &keys)]).await;
    let app = node.application().await;
    let token = node.token(&app).await;
    let server = other.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    expect_inactive(&other.api.introspect(server.pair(), &token).await);
}

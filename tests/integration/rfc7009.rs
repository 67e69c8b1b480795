//! Revocation, RFC 7009: a test for each sentence, named by its section, over a real server on either store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use introspectd::token::time::Clock;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR};
use crate::support::redis::{PREFIX, RedisServer};

over_both_stores! {
    section_2_both_kinds_of_token_are_revoked
    section_2_tokens_made_elsewhere_are_revoked
    section_2_a_token_is_revoked_before_it_begins
    section_2_a_client_revokes_what_it_asked_for_itself
    section_2_1_the_token_is_required
    section_2_1_a_parameter_may_not_be_repeated
    section_2_1_hints_change_nothing
    section_2_1_callers_prove_who_they_are
    section_2_1_the_caller_is_judged_before_the_token
    section_2_1_a_public_client_names_itself
    section_2_1_a_token_of_another_client_stays_active
    section_2_1_a_client_with_the_right_revokes_for_others
    section_2_1_a_bearer_token_needs_its_scope_and_its_client_the_right
    section_2_1_a_refresh_token_takes_its_access_token_along
    section_2_1_an_access_token_takes_its_refresh_token_along
    section_2_1_no_answer_is_active_once_the_revocation_is_answered
    section_2_2_success_is_200_without_a_body
    section_2_2_nothing_to_revoke_looks_like_success
    section_2_3_there_is_no_other_method
}

const BASIC: &str = r#"Basic realm="introspectd", charset="UTF-8""#;
const BEARER: &str = r#"Bearer realm="introspectd""#;

fn access(issued: &Value) -> &str {
    issued["access_token"].as_str().unwrap()
}

fn expect_revoked(answer: &Answer) {
    assert_eq!((answer.status, &*answer.body, answer.header("content-length")), (200, "", Some("0")), "{answer:?}");
}

fn expect_invalid_client(answer: &Answer) {
    assert_eq!(answer.refusal(), (401, "invalid_client".to_owned()));
    assert!(answer.lines("www-authenticate").contains(&BASIC), "{answer:?}");
}

fn expect_unavailable(answer: &Answer) {
    assert_eq!(answer.refusal(), (503, "temporarily_unavailable".to_owned()));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}

// === which tokens ===

async fn section_2_both_kinds_of_token_are_revoked(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    for path in ["/revoke", "/oauth2/revoke"] {
        let (access, (_, refresh)) = (node.token(&app).await, node.tokens(&app).await);
        for token in [&access, &refresh] {
            assert!(node.api.is_active(app.pair(), token).await);
            expect_revoked(&node.api.post(path, app.pair(), &[("token", token)]).await);
            assert!(!node.api.is_active(app.pair(), token).await);
        }
    }
}

async fn section_2_tokens_made_elsewhere_are_revoked(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let tokens = ["legacy.token-1", "0123456789abcdef", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."];
    for token in tokens {
        node.issue(&app, json!({"token": token})).await;
        assert!(node.api.is_active(server.pair(), token).await);
    }
    expect_revoked(&node.api.revoke(app.pair(), tokens[0]).await);
    assert!(!node.api.is_active(server.pair(), tokens[0]).await);
    assert!(node.api.is_active(server.pair(), tokens[1]).await, "the others live on");
    expect_revoked(&node.api.revoke(app.pair(), tokens[2]).await);
    assert!(!node.api.is_active(server.pair(), tokens[2]).await);
    // Taking it over once more does not bring it back.
    let again = json!({"client_id": app.id, "aud": AUDIENCE, "token": tokens[0]});
    assert_eq!(node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(again)).await.status, 409);
    assert!(!node.api.is_active(server.pair(), tokens[0]).await);
}

async fn section_2_a_token_is_revoked_before_it_begins(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let beginning = json!({"nbf": node.now() + 2});
    let issued = [node.issue(&app, beginning.clone()).await, node.issue(&app, beginning).await];
    expect_revoked(&node.api.revoke(app.pair(), access(&issued[0])).await);
    node.pass(Duration::from_secs(2)).await;
    assert!(!node.api.is_active(app.pair(), access(&issued[0])).await);
    assert!(node.api.is_active(app.pair(), access(&issued[1])).await);
}

/// Such a token belongs to no grant.
async fn section_2_a_client_revokes_what_it_asked_for_itself(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let form = [("grant_type", "client_credentials")];
    let (first, second) =
        (node.api.post("/token", app.pair(), &form).await, node.api.post("/token", app.pair(), &form).await);
    let (first, second) = (first.json(), second.json());
    expect_revoked(&node.api.revoke(app.pair(), access(&first)).await);
    assert!(!node.api.is_active(app.pair(), access(&first)).await);
    assert!(node.api.is_active(app.pair(), access(&second)).await);
}

// === the request ===

async fn section_2_1_the_token_is_required(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = node.token(&app).await;
    for form in [&[][..], &[("token", "")], &[("token_type_hint", "access_token")], &[("Token", &*token)]] {
        let answer = node.api.post("/revoke", app.pair(), form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{form:?}");
    }
    let in_the_query = node.api.post(&format!("/revoke?token={token}"), app.pair(), &[]).await;
    assert_eq!(in_the_query.refusal(), (400, "invalid_request".to_owned()));
    assert!(node.api.is_active(app.pair(), &token).await);
}

async fn section_2_1_a_parameter_may_not_be_repeated(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = &*node.token(&app).await;
    for form in [
        &[("token", token), ("token", token)][..],
        &[("token", ""), ("token", token)],
        &[("token", token), ("token_type_hint", "access_token"), ("token_type_hint", "access_token")],
    ] {
        let answer = node.api.post("/revoke", app.pair(), form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{form:?}");
    }
    assert!(node.api.is_active(app.pair(), token).await);
}

/// A wrong hint only widens the search, and an unknown one is as good as none.
async fn section_2_1_hints_change_nothing(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    for hint in ["access_token", "refresh_token", "ACCESS_TOKEN", "foo", "", "id_token"] {
        for token in [node.token(&app).await, node.tokens(&app).await.1] {
            let form = [("token", &*token), ("token_type_hint", hint)];
            expect_revoked(&node.api.post("/revoke", app.pair(), &form).await);
            assert!(!node.api.is_active(app.pair(), &token).await, "{hint}");
        }
    }
}

async fn section_2_1_callers_prove_who_they_are(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = &*node.token(&app).await;
    let form = &[("token", token)][..];
    let nobody = node.api.post_bare("/revoke", form).await;
    expect_invalid_client(&nobody);
    assert_eq!(nobody.lines("www-authenticate"), [BASIC, BEARER]);
    for pair in [("nobody", "secret"), (app.id.as_str(), "wrong"), (app.id.as_str(), "")] {
        expect_invalid_client(&node.api.post("/revoke", pair, form).await);
    }
    for form in [
        &[("token", token), ("client_id", &*app.id), ("client_secret", "wrong")][..],
        // The name of a confidential client is no proof, even for its own token.
        &[("token", token), ("client_id", &*app.id)],
        &[("token", token), ("client_id", "nobody")],
    ] {
        expect_invalid_client(&node.api.post_bare("/revoke", form).await);
    }
    assert!(node.api.is_active(app.pair(), token).await, "nobody of these revoked it");
    node.operate("POST", &format!("/admin/clients/{}/revoke", app.id), None).await;
    expect_invalid_client(&node.api.post("/revoke", app.pair(), form).await);
    node.operate("POST", &format!("/admin/clients/{}/approve", app.id), None).await;
    assert!(node.api.is_active(app.pair(), token).await, "nor did its own client while it was revoked");
    let in_the_body = [("token", token), ("client_id", &*app.id), ("client_secret", &*app.secret)];
    expect_revoked(&node.api.post_bare("/revoke", &in_the_body).await);
    assert!(!node.api.is_active(app.pair(), token).await);
}

async fn section_2_1_the_caller_is_judged_before_the_token(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = node.token(&app).await;
    let wrong = (&*app.id, "wrong");
    let without_token = node.api.post("/revoke", wrong, &[]).await;
    expect_invalid_client(&without_token);
    for token in [&*token, "no-token-at-all"] {
        assert_eq!(node.api.revoke(wrong, token).await.whole(), without_token.whole());
    }
}

async fn section_2_1_a_public_client_names_itself(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let public = node.client(json!({"token_endpoint_auth_method": "none"})).await;
    let server = node.resource_server().await;
    let (own, others) = (node.token(&public).await, node.token(&app).await);
    let (_, refresh) = node.tokens(&public).await;
    let revoke =
        async |token: &str| node.api.post_bare("/revoke", &[("token", token), ("client_id", &*public.id)]).await;
    assert!(node.api.is_active(server.pair(), &own).await);
    for token in [&own, &refresh] {
        expect_revoked(&revoke(token).await);
    }
    assert!(!node.api.is_active(server.pair(), &own).await);
    assert_eq!(revoke(&others).await.refusal(), (400, "invalid_grant".to_owned()));
    assert!(node.api.is_active(server.pair(), &others).await);
}

/// Decision D3: the client is told, and the token is untouched.
async fn section_2_1_a_token_of_another_client_stays_active(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, other) = (node.application().await, node.application().await);
    let (access, refresh) = node.tokens(&app).await;
    let before = [node.api.introspect(app.pair(), &access).await, node.api.introspect(app.pair(), &refresh).await];
    for caller in [&other, &node.resource_server().await] {
        for token in [&access, &refresh] {
            let answer = node.api.revoke(caller.pair(), token).await;
            assert_eq!(answer.refusal(), (400, "invalid_grant".to_owned()));
        }
    }
    for (token, before) in [&access, &refresh].into_iter().zip(&before) {
        assert_eq!(before.json()["active"], json!(true));
        assert_eq!(node.api.introspect(app.pair(), token).await.whole(), before.whole());
    }
}

async fn section_2_1_a_client_with_the_right_revokes_for_others(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let helpdesk = node.client(json!({"rights": ["revoke"]})).await;
    let (access, refresh) = node.tokens(&app).await;
    expect_revoked(&node.api.revoke(helpdesk.pair(), &refresh).await);
    for token in [&access, &refresh] {
        assert!(!node.api.is_active(app.pair(), token).await);
    }
}

/// Here RFC 6750 section 3.1 rules: 403. Only introspection asks for 401.
async fn section_2_1_a_bearer_token_needs_its_scope_and_its_client_the_right(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let helpdesk = node.client(json!({"rights": ["introspect", "revoke"]})).await;
    let token = &*node.token(&app).await;
    let revoke =
        async |bearer: &str| node.api.post_as("/revoke", &format!("Bearer {bearer}"), &[("token", token)]).await;
    let expect_refused = |answer: &Answer| {
        assert_eq!(answer.refusal(), (403, "insufficient_scope".to_owned()));
        let challenge = format!(r#"{BEARER}, error="insufficient_scope", scope="introspectd:revoke""#);
        assert_eq!(answer.header("www-authenticate"), Some(&*challenge));
    };
    for scope in ["revoke", "introspectd:introspect", ""] {
        expect_refused(&revoke(&node.bearer(&helpdesk, scope).await).await);
    }
    expect_refused(&revoke(token).await);
    let bearer = node.bearer(&helpdesk, "introspectd:revoke").await;
    node.operate("PATCH", &format!("/admin/clients/{}", helpdesk.id), Some(json!({"rights": []}))).await;
    expect_refused(&revoke(&bearer).await);
    assert!(node.api.is_active(app.pair(), token).await);
    node.operate("PATCH", &format!("/admin/clients/{}", helpdesk.id), Some(json!({"rights": ["revoke"]}))).await;
    expect_revoked(&revoke(&bearer).await);
    assert!(!node.api.is_active(app.pair(), token).await);
}

// === what goes with it ===

async fn section_2_1_a_refresh_token_takes_its_access_token_along(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let (access, refresh) = node.tokens(&app).await;
    let (other_access, other_refresh) = node.tokens(&app).await;
    assert!(node.api.is_active(server.pair(), &access).await);
    expect_revoked(&node.api.revoke(app.pair(), &refresh).await);
    assert!(!node.api.is_active(server.pair(), &access).await);
    assert!(!node.api.is_active(app.pair(), &refresh).await);
    for token in [&other_access, &other_refresh] {
        assert!(node.api.is_active(app.pair(), token).await, "another grant of the same client lives on");
    }
}

async fn section_2_1_an_access_token_takes_its_refresh_token_along(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let (access, refresh) = node.tokens(&app).await;
    let (other_access, other_refresh) = node.tokens(&app).await;
    assert!(node.api.is_active(app.pair(), &refresh).await);
    expect_revoked(&node.api.revoke(app.pair(), &access).await);
    assert!(!node.api.is_active(app.pair(), &refresh).await);
    // What has ended already is ended again without a word.
    expect_revoked(&node.api.revoke(app.pair(), &refresh).await);
    for token in [&other_access, &other_refresh] {
        assert!(node.api.is_active(app.pair(), token).await, "another grant of the same client lives on");
    }
}

/// Asked on every node there is, without a pause, by callers that keep connections open.
async fn section_2_1_no_answer_is_active_once_the_revocation_is_answered(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let second = match &node.redis {
        Some(redis) => Some(Node::over(("redis.url", redis.url()), Clock::System, &[]).await),
        None => None,
    };
    let apis = [node.api.clone(), second.as_ref().unwrap_or(&node).api.clone()];
    for round in 0..10 {
        let (access, refresh) = node.tokens(&app).await;
        let answered = Arc::new(AtomicBool::new(false));
        let mut askers = JoinSet::new();
        for api in apis.iter().cycle().take(4) {
            let (api, server, access) = (api.clone(), server.clone(), access.clone());
            let answered = Arc::clone(&answered);
            askers.spawn(async move {
                let mut seen_inactive = false;
                let (mut before, mut after) = (0, 0);
                while after < 5 {
                    let late = answered.load(Ordering::SeqCst);
                    let active = api.is_active(server.pair(), &access).await;
                    assert!(!(late && active), "active after the revocation was answered");
                    assert!(!(seen_inactive && active), "active after it was inactive");
                    seen_inactive |= !active;
                    before += u32::from(active);
                    after += u32::from(late);
                }
                before
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let revoked = if round % 2 == 0 { &access } else { &refresh };
        expect_revoked(&apis[round / 2 % 2].revoke(app.pair(), revoked).await);
        answered.store(true, Ordering::SeqCst);
        assert!(askers.join_all().await.into_iter().sum::<u32>() > 0, "it was active before");
    }
}

// === the answer ===

/// Not 204: several clients take it for a failure.
async fn section_2_2_success_is_200_without_a_body(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let answer = node.api.revoke(app.pair(), &node.token(&app).await).await;
    expect_revoked(&answer);
    assert_eq!((answer.header("content-type"), answer.header("transfer-encoding")), (None, None));
}

/// There is nothing a client could do about it, and nothing that a stranger should learn from it.
async fn section_2_2_nothing_to_revoke_looks_like_success(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let live = node.token(&app).await;
    let expired = access(&node.issue(&app, json!({"expires_in": 1})).await).to_owned();
    let elsewhere = Node::start(Kind::Embedded).await;
    let unknown = elsewhere.token(&elsewhere.application().await).await;
    node.pass(Duration::from_secs(1)).await;
    let reference = node.api.revoke(app.pair(), &live).await;
    expect_revoked(&reference);
    let long = "a".repeat(60_000);
    for token in [
        &*live,
        &live,
        &unknown,
        &expired,
        "itd_at_t1",
        "itd_rt_",
        "no-token-at-all",
        " ",
        "\0",
        "\u{1F511}",
        "*",
        "{}",
        // Neither an identity token nor any other JWT is a kind that could not be revoked: they are unknown.
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
        "a.b.c",
        &long,
    ] {
        let answer = node.api.revoke(app.pair(), token).await;
        assert_eq!(answer.whole(), reference.whole(), "{:?}", &token[..token.len().min(50)]);
    }
}

/// The client must assume that the token still exists, so a failure never looks like success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_2_1_a_store_that_fails_is_503_and_the_token_may_live() {
    let mut node = Node::start(Kind::Redis).await;
    let app = node.application().await;
    let (access, refresh) = node.tokens(&app).await;
    node.redis.as_mut().unwrap().kill();
    for caller in [OPERATOR, app.pair()] {
        for token in [&access, &refresh] {
            expect_unavailable(&node.api.revoke(caller, token).await);
        }
    }
}

/// A user of Redis that may not do a part of a revocation stands for a server that fails in the midst of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_2_1_half_a_revocation_is_no_success() {
    let node = Node::start(Kind::Redis).await;
    let redis = node.redis.as_ref().unwrap();
    let app = node.application().await;
    for unwritable in ["e", "t", "r"] {
        let (access, refresh) = node.tokens(&app).await;
        let alone = node.token(&app).await;
        let named = json!({"token": access, "cascade": false});
        allow_writes(redis, &["c", "i", "e", "g", "t", "r", "n", "m", "k"].map(|kind| (kind, kind != unwritable)))
            .await;
        // A grant is revoked by one write, a token that stands alone by another; to revoke a token of a grant and no
        // other takes both.
        let (hindered, unhindered) =
            if unwritable == "e" { ([&access, &refresh], &alone) } else { ([&alone; 2], &refresh) };
        for token in hindered {
            expect_unavailable(&node.api.revoke(app.pair(), token).await);
            assert!(node.api.is_active(app.pair(), token).await, "nothing was written");
        }
        expect_unavailable(&node.ask_operator("/admin/tokens/revoke", named.clone()).await);
        assert!(node.api.is_active(app.pair(), &access).await, "it was not answered that it is revoked");
        expect_revoked(&node.api.revoke(app.pair(), unhindered).await);
        assert!(!node.api.is_active(app.pair(), unhindered).await);
        allow_writes(redis, &[("", true)]).await;
        for token in [&access, &refresh, &alone] {
            expect_revoked(&node.api.revoke(app.pair(), token).await);
            assert!(!node.api.is_active(app.pair(), token).await);
        }
        assert!(node.decide("revoke", named).await);
    }
}

/// Lets every user of this Redis write keys of some kinds, and read the others.
async fn allow_writes(redis: &RedisServer, kinds: &[(&str, bool)]) {
    let permissions: Vec<String> = kinds
        .iter()
        .map(|(kind, writable)| format!("{}{PREFIX}{kind}*", if *writable { "~" } else { "%R~" }))
        .collect();
    let mut words = vec!["ACL", "SETUSER", "default", "resetkeys"];
    words.extend(permissions.iter().map(String::as_str));
    redis.command::<()>(&words).await;
}

async fn section_2_3_there_is_no_other_method(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = node.token(&app).await;
    let url = node.api.url(&format!("/revoke?token={token}&callback=package.myCallback"));
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let request = node.api.request(method, &url).basic_auth(&app.id, Some(&app.secret));
        let answer = node.api.send(request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")), "{method}");
        assert!(!answer.body.contains("myCallback"), "{}", answer.body);
    }
    let options = node.api.send(node.api.request("OPTIONS", &url).header("origin", "https://app.example.com")).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("POST, OPTIONS")));
    assert_eq!(options.header("access-control-allow-origin"), None);
    assert!(node.api.is_active(app.pair(), &token).await);
}

//! The configurations of `examples/gateways`, as people copy them: the program that each is for, in front of an API, asks
//! a node about every request. Only the ports are others.
//!
//! - [`program`] how each program is started
//! - [`place`] a node, a gateway, an API, and what is sent through them
//! - [`api`] the API behind, which tells what has reached it

mod api;
mod place;
mod program;

use serde_json::json;

use place::{AUDIENCE, Place};
use program::Program;

macro_rules! for_each_program {
    ($($name:ident: $program:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn rfc6750_3_passes_on_what_may_pass_and_nothing_else() { super::passes(Program::$program).await; }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn passes_nothing_on_while_the_store_fails() { super::fails_closed(Program::$program).await; }
        }
    )*};
}

for_each_program! {
    nginx: Nginx;
    haproxy: Haproxy;
    envoy: Envoy;
    apache: Apache;
    spring: Spring;
    express: Express;
}

/// What callers like to be taken for.
const SPOOFED: [(&str, &str); 11] = [
    ("x-auth-subject", "root"),
    ("x-auth-username", "root"),
    ("x-auth-client-id", "root"),
    ("x-auth-scope", "admin"),
    ("x-auth-audience", "root"),
    ("x-auth-expires", "4102444800"),
    ("x-auth-token-id", "root"),
    ("x-forward-auth-secret", "guessed"),
    ("x-forward-auth-scope", ""),
    ("x-forward-auth-audience", "elsewhere"),
    ("remote-user", "root"),
];

/// The same to frameworks that take whatever is no letter for an underscore.
const ALIASES: [&str; 6] =
    ["x_auth_subject", "x_auth-subject", "x-auth_subject", "x.auth.subject", "x-auth-token_id", "x-auth.username"];

/// Whether a program is to be run: the one that takes minutes to get is, in the long form of the tests.
fn is_wanted(program: Program) -> bool {
    let full = std::env::var("INTROSPECTD_TEST_FULL").is_ok_and(|value| value == "1");
    let wanted = full || !matches!(program, Program::Spring);
    if !wanted {
        println!("Spring Security is asked in the long form only: tests/run --full");
    }
    wanted
}

async fn passes(program: Program) {
    if !is_wanted(program) {
        return;
    }
    let mut place = Place::start(program, None).await;
    refuses_what_is_wrong(&place).await;
    tells_the_api_who_is_calling(&place).await;
    wants_the_scope_of_the_path(&place).await;
    passes_bodies_on(&place).await;
    refuses_what_was_revoked(&place).await;
    if program.asks_forward_auth() {
        keeps_its_connections(&place).await;
    }
    let token = place.token(json!({})).await;
    assert_eq!(place.get("/orders", &token).await.status, 200);
    place.end_node();
    let answer = place.get("/orders", &token).await;
    assert_eq!(answer.status, program.without_answer(), "the node is away");
}

async fn refuses_what_is_wrong(place: &Place) {
    let before = place.reached();
    let bare = place.ask("GET", "/orders", &[], "").await;
    assert_eq!(bare.status, 401);
    assert!(bare.challenge().starts_with("Bearer"), "{bare:?}");
    let refresh = place.issue(json!({"refresh": true})).await["refresh_token"].as_str().unwrap().to_owned();
    let elsewhere = place.token(json!({"aud": "https://elsewhere.example.com"})).await;
    let good = place.token(json!({})).await;
    for token in ["made-up", &refresh, &elsewhere, &format!("{good}x"), ""] {
        let answer = place.get("/orders", token).await;
        assert_eq!(answer.status, 401, "{token}");
        assert!(answer.challenge().starts_with("Bearer"), "{answer:?}");
    }
    let (good, other) = (format!("Bearer {good}"), "Bearer made-up");
    // An API that reads tokens itself reads them in one way only.
    for lines in [[&*good, other], [other, &*good]].iter().filter(|_| !place.program.is_the_api()) {
        let answer = place.ask("GET", "/orders", &lines.map(|line| ("authorization", line)), "").await;
        assert!([400, 401].contains(&answer.status), "two tokens: {answer:?}");
    }
    let basic = place.ask("GET", "/orders", &[("authorization", "Basic YTpi")], "").await;
    assert_eq!(basic.status, 401);
    let in_query = format!("/orders?access_token={}", good.trim_start_matches("Bearer "));
    assert_eq!(place.ask("GET", &in_query, &[], "").await.status, 401);
    assert_eq!(place.reached(), before, "the API has seen none of it");
}

async fn tells_the_api_who_is_calling(place: &Place) {
    for format in ["opaque", "jwt"] {
        // There is no user name, so the one that is spoofed would not be written over.
        let issued = place.issue(json!({"format": format, "username": null})).await;
        let bearer = format!("Bearer {}", issued["access_token"].as_str().unwrap());
        let mut headers = vec![("authorization", &*bearer)];
        headers.extend(SPOOFED);
        let answer = place.ask("GET", "/orders?a=b", &headers, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if place.program.is_the_api() {
            assert_eq!(answer.body, json!({"subject": "alice"}));
            continue;
        }
        assert_eq!(answer.body["target"], "/orders?a=b");
        let told = answer.told();
        let expected = [
            ("x-auth-client-id", "web-shop"),
            ("x-auth-expires", &place.expires.to_string()),
            ("x-auth-scope", "read"),
            ("x-auth-subject", "alice"),
            ("x-auth-token-id", issued["jti"].as_str().unwrap()),
        ];
        let told: Vec<_> = told.iter().map(|(name, value)| (&**name, &**value)).collect();
        // Who is told by claims has no use for the audience: it is the API's own.
        let told_of: Vec<_> = told.iter().copied().filter(|(name, _)| *name != "x-auth-audience").collect();
        assert_eq!(told_of, expected, "{told:?}");
        if place.program.asks_forward_auth() {
            assert!(told.contains(&("x-auth-audience", AUDIENCE)), "{told:?}");
        }
        for kept in ["authorization", "x-forward-auth-secret", "x-forward-auth-scope", "x-forward-auth-audience"] {
            let value = answer.header(kept).unwrap_or_default();
            assert_eq!(value, "", "{kept} reaches the API");
        }
    }
    let token = format!("Bearer {}", place.token(json!({})).await);
    for alias in ALIASES.into_iter().filter(|_| !place.program.is_the_api()) {
        // Another of the kind that is empty, before and behind it: whoever looks at one of them only may look at that.
        for headers in
            [&[(alias, "root")][..], &[(alias, "root"), ("x.auth.z", "")], &[("x_auth_a", ""), (alias, "root")]]
        {
            let mut all = vec![("authorization", &*token)];
            all.extend_from_slice(headers);
            let answer = place.ask("GET", "/orders", &all, "").await;
            assert_eq!(answer.status, 200, "{headers:?}: {answer:?}");
            assert!(answer.told().iter().all(|(_, value)| value != "root"), "{headers:?}: {answer:?}");
        }
    }
    // Names that are not ours. nginx takes away what is listed.
    if !matches!(place.program, Program::Nginx) && !place.program.is_the_api() {
        let headers = [("authorization", &*token), ("x-auth-roles", "root"), ("x-forward-auth-roles", "root")];
        let answer = place.ask("GET", "/orders", &headers, "").await;
        assert_eq!((answer.status, answer.header("x-auth-roles")), (200, None), "{answer:?}");
        assert_eq!(answer.header("x-forward-auth-roles"), None, "{answer:?}");
    }
    // Names of headers have no case, and some programs keep the one that they came in.
    let nameless = place.token(json!({"username": null})).await;
    for name in ["X-AUTH-USERNAME", "X-Auth-Username", "X_AUTH_USERNAME"] {
        let head = format!("GET /orders HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{name}: root\r\n");
        let answer = place.send_raw(format!("{head}Authorization: Bearer {nameless}\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(!answer.contains("root"), "{answer}");
    }
    // A header that is named here is for the next hop only: nobody may have a gateway's own headers taken away like this.
    let headers = [("authorization", &*token), ("connection", "close, x-auth-subject, authorization")];
    let answer = place.ask("GET", "/orders", &headers, "").await;
    if answer.status == 200 && !place.program.is_the_api() {
        assert_eq!(answer.header("x-auth-subject"), Some("alice"));
    }
}

async fn wants_the_scope_of_the_path(place: &Place) {
    let (reader, administrator) = (place.token(json!({})).await, place.token(json!({"scope": "read admin"})).await);
    let nobody = place.token(json!({"scope": "other"})).await;
    assert_eq!(place.get("/admin/users", &administrator).await.status, 200);
    let before = place.reached();
    for (path, token) in [("/admin/users", &reader), ("/orders", &nobody), ("/admin/users", &nobody)] {
        let answer = place.get(path, token).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert!(answer.challenge().contains(r#"error="insufficient_scope""#), "{answer:?}");
    }
    // The same place by other names. Where it is none, it may be anything but what only the administrator may see.
    for path in ["/%61dmin/users", "/orders/../admin/users", "/./admin/users", "//admin/users", "/orders/%2e%2e/admin/"]
    {
        let answer = place.get(path, &reader).await;
        assert_ne!(answer.status, 200, "{path}: {answer:?}");
    }
    // What frameworks take for the same place: with or without a slash, and Tomcat without what follows a semicolon.
    let taken =
        ["/admin", "/admin?x", "/admin;/x", "/admin;a=b/users", "/x/..;/admin/x", "/admin%3b/x", "/x/..%3B/admin/"];
    for path in taken.iter().filter(|_| !place.program.is_the_api()) {
        let answer = place.get(path, &reader).await;
        assert_ne!(answer.status, 200, "{path}: {answer:?}");
    }
    assert_eq!(place.reached(), before, "the API has seen none of it");
    let demand = [("authorization", &*format!("Bearer {reader}")), ("x-forward-auth-audience", "elsewhere")];
    assert_eq!(place.ask("GET", "/orders", &demand, "").await.status, 200, "what is wanted is not the caller's to say");
}

async fn passes_bodies_on(place: &Place) {
    let bearer = format!("Bearer {}", place.token(json!({})).await);
    let body = "b".repeat(100_000);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = place.ask(method, "/orders", &[("authorization", &*bearer)], &body).await;
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        if !place.program.is_the_api() {
            assert_eq!((&answer.body["method"], &answer.body["length"]), (&json!(method), &json!(body.len())));
        }
    }
    let head = format!("POST /orders HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {bearer}\r\nconnection: close\r\n");
    let answer = place.send_raw(format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "chunked: {answer}");
}

async fn refuses_what_was_revoked(place: &Place) {
    for format in ["opaque", "jwt"] {
        let token = place.token(json!({"format": format})).await;
        for _ in 0..3 {
            assert_eq!(place.get("/orders", &token).await.status, 200);
        }
        place.revoke(&token).await;
        let before = place.reached();
        let answer = place.get("/orders", &token).await;
        assert_eq!((answer.status, place.reached()), (401, before), "{format}");
    }
}

async fn keeps_its_connections(place: &Place) {
    const REQUESTS: u64 = 100;
    let token = place.token(json!({})).await;
    let before = place.connections().await;
    for _ in 0..REQUESTS {
        assert_eq!(place.get("/orders", &token).await.status, 200);
    }
    // Some are ours: the metrics, and issuing.
    let opened = place.connections().await - before;
    assert!(opened < REQUESTS / 5, "{opened} connections for {REQUESTS} requests");
}

async fn fails_closed(program: Program) {
    if !is_wanted(program) {
        return;
    }
    let redis = crate::process::Redis::start(&[]);
    let mut place = Place::start(program, Some(redis)).await;
    let token = place.token(json!({})).await;
    assert_eq!(place.get("/orders", &token).await.status, 200);
    let before = place.reached();
    place.end_store();
    for path in ["/orders", "/admin/users"] {
        let answer = place.get(path, &token).await;
        assert_eq!(answer.status, program.without_store(), "{answer:?}");
    }
    assert_eq!(place.reached(), before, "the API has seen none of it");
}

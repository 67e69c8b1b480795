//! Bearer tokens as credentials at our own endpoints, RFC 6750: a test for each sentence, named by its section, over a
//! real server on either store.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};

over_both_stores! {
    section_2_1_the_scheme_has_no_case
    section_2_1_every_character_of_a_token_is_taken
    section_2_3_a_token_in_the_query_is_ignored
    section_3_no_credentials_are_answered_without_an_error_code
    section_3_1_a_malformed_request_is_400
    section_3_1_an_inactive_token_is_401
    section_3_1_a_refresh_token_is_401
    section_3_1_a_bound_token_is_401
    section_3_1_a_missing_scope_is_403
    section_3_1_the_token_endpoint_takes_no_bearer_token
}

const BASIC: &str = r#"Basic realm="introspectd", charset="UTF-8""#;
const BEARER: &str = r#"Bearer realm="introspectd""#;
const INVALID_REQUEST: &str = r#"Bearer realm="introspectd", error="invalid_request""#;
const INVALID_TOKEN: &str =
    r#"Bearer realm="introspectd", error="invalid_token", error_description="The access token is not active""#;

/// Every right there is, as scopes.
const ALL: &str = "introspectd:introspect introspectd:revoke introspectd:issue introspectd:admin";

/// A client with every right.
async fn administrator(node: &Node) -> Registered {
    node.client(json!({"rights": ["introspect", "revoke", "issue", "admin"], "audiences": [AUDIENCE]})).await
}

/// The endpoints that take a Bearer token, each with a request that succeeds.
struct Endpoints<'a> {
    node: &'a Node,
    owner: Registered,
}

impl<'a> Endpoints<'a> {
    async fn of(node: &'a Node) -> Self {
        Self { node, owner: node.application().await }
    }

    /// Calls each of them with these `Authorization` headers, and with this behind the path.
    async fn call(&self, query: &str, authorization: &[&str]) -> Vec<(&'static str, Answer)> {
        let api = &self.node.api;
        let issue = json!({"client_id": self.owner.id}).to_string();
        let json = |method: &str, path: &str, body: String| {
            api.request(method, &api.admin_url(&format!("{path}{query}")))
                .header("content-type", "application/json")
                .body(body)
        };
        let form = |path: &str| {
            api.request("POST", &api.url(&format!("{path}{query}")))
                .form(&[("token", "no-token-at-all"), ("access_token", "x")])
        };
        let mut answers = Vec::new();
        for (name, mut request) in [
            ("introspect", form("/introspect")),
            ("revoke", form("/revoke")),
            ("issue", json("POST", "/admin/tokens", issue)),
            ("list", api.request("GET", &api.admin_url(&format!("/admin/clients{query}")))),
            ("create", json("POST", "/admin/clients", "{}".to_owned())),
        ] {
            for line in authorization {
                request = request.header("authorization", *line);
            }
            answers.push((name, api.send(request).await));
        }
        answers
    }

    async fn expect_refused(&self, authorization: &[&str], refusal: (u16, &str), challenges: &[&str]) {
        for (name, answer) in self.call("", authorization).await {
            assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{name} {authorization:?}");
            assert_eq!(answer.lines("www-authenticate"), challenges, "{name} {authorization:?}");
        }
    }

    async fn expect_invalid_token(&self, bearer: &str) {
        self.expect_refused(&[&format!("Bearer {bearer}")], (401, "invalid_token"), &[INVALID_TOKEN]).await;
    }

    async fn expect_success(&self, authorization: &str) {
        for (name, answer) in self.call("", &[authorization]).await {
            assert!([200, 201].contains(&answer.status), "{name} {authorization:?}: {} {}", answer.status, answer.body);
        }
    }
}

async fn section_2_1_the_scheme_has_no_case(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let bearer = node.bearer(&administrator(&node).await, ALL).await;
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR   "] {
        endpoints.expect_success(&format!("{scheme}{bearer}")).await;
    }
    for scheme in ["Bearer", "Bearer\t", "Token ", "Bearer: ", "Bear "] {
        for (name, answer) in endpoints.call("", &[&format!("{scheme}{bearer}")]).await {
            assert_eq!(answer.refusal(), (401, "invalid_client".to_owned()), "{name} {scheme:?}");
            assert_eq!(answer.lines("www-authenticate"), [BASIC], "{name} {scheme:?}");
        }
    }
}

/// `b64token`: letters, digits and `-._~+/`, with `=` at the end.
async fn section_2_1_every_character_of_a_token_is_taken(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let administrator = administrator(&node).await;
    let imported = "AZaz09-._~+/token==";
    node.issue(&administrator, json!({"token": imported, "scope": ALL})).await;
    endpoints.expect_success(&format!("Bearer {imported}")).await;
    endpoints.expect_invalid_token("AZaz09-._~%2B/token==").await;
    endpoints.expect_invalid_token("AZaz09-._~+/token").await;
}

/// Tokens in addresses end up in logs.
async fn section_2_3_a_token_in_the_query_is_ignored(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let bearer = node.bearer(&administrator(&node).await, ALL).await;
    endpoints.expect_success(&format!("Bearer {bearer}")).await;
    for (name, answer) in endpoints.call(&format!("?access_token={bearer}"), &[]).await {
        assert_eq!(answer.refusal(), (401, "invalid_client".to_owned()), "{name}");
        assert_eq!(answer.lines("www-authenticate"), [BASIC, BEARER], "{name}");
    }
}

async fn section_3_no_credentials_are_answered_without_an_error_code(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    endpoints.expect_refused(&[], (401, "invalid_client"), &[BASIC, BEARER]).await;
}

async fn section_3_1_a_malformed_request_is_400(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let administrator = administrator(&node).await;
    let bearer = node.bearer(&administrator, ALL).await;
    let (good, basic) = (format!("Bearer {bearer}"), "Basic b3BlcmF0b3I6eA==");
    let (twice, joined) = (format!("Bearer {bearer} {bearer}"), format!("Bearer {bearer}, {basic}"));
    for authorization in
        [&["Bearer"][..], &["Bearer  "], &[&twice], &[&joined], &[&good, &good], &[&good, basic], &[basic, &good]]
    {
        endpoints.expect_refused(authorization, (400, "invalid_request"), &[INVALID_REQUEST]).await;
    }
    let form = [("token", "x"), ("client_id", &*administrator.id), ("client_secret", &*administrator.secret)];
    let both = node.api.post_as("/introspect", &good, &form).await;
    assert_eq!(both.refusal(), (400, "invalid_request".to_owned()));
    assert_eq!(both.header("www-authenticate"), Some(INVALID_REQUEST));
}

async fn section_3_1_an_inactive_token_is_401(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let administrator = administrator(&node).await;
    let issue = async |members: Value| {
        let mut members = members;
        members["scope"] = json!(ALL);
        node.issue(&administrator, members).await["access_token"].as_str().unwrap().to_owned()
    };
    let expired = issue(json!({"expires_in": 1})).await;
    let later = issue(json!({"nbf": node.now() + 60})).await;
    let revoked = issue(json!({})).await;
    assert_eq!(node.api.revoke(OPERATOR, &revoked).await.status, 200);
    let good = issue(json!({})).await;
    node.pass(Duration::from_secs(1)).await;
    for bearer in ["nonsense", "a.b.c", "itd_at_t1", &expired, &later, &revoked] {
        endpoints.expect_invalid_token(bearer).await;
    }
    endpoints.expect_success(&format!("Bearer {good}")).await;
    node.operate("POST", &format!("/admin/clients/{}/revoke", administrator.id), None).await;
    endpoints.expect_invalid_token(&good).await;
}

async fn section_3_1_a_refresh_token_is_401(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let issued = node.issue(&administrator(&node).await, json!({"scope": ALL, "refresh": true})).await;
    endpoints.expect_invalid_token(issued["refresh_token"].as_str().unwrap()).await;
    endpoints.expect_success(&format!("Bearer {}", issued["access_token"].as_str().unwrap())).await;
}

/// RFC 9449 section 7.2 and RFC 8705 section 3: without the proof of its key, a bound token is worth nothing.
async fn section_3_1_a_bound_token_is_401(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let administrator = administrator(&node).await;
    for confirmation in [
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
    ] {
        let issued = node.issue(&administrator, json!({"scope": ALL, "cnf": confirmation})).await;
        endpoints.expect_invalid_token(issued["access_token"].as_str().unwrap()).await;
    }
}

/// But at introspection, where RFC 7662 section 2.3 asks for 401.
async fn section_3_1_a_missing_scope_is_403(kind: Kind) {
    let node = Node::start(kind).await;
    let endpoints = Endpoints::of(&node).await;
    let administrator = administrator(&node).await;
    let needed = |name: &str| match name {
        "introspect" => (401, "introspectd:introspect"),
        "revoke" => (403, "introspectd:revoke"),
        "issue" => (403, "introspectd:issue"),
        _ => (403, "introspectd:admin"),
    };
    let expect_refused = |name: &str, answer: &Answer| {
        let (status, scope) = needed(name);
        assert_eq!(answer.refusal(), (status, "insufficient_scope".to_owned()), "{name}");
        let challenge = format!(r#"{BEARER}, error="insufficient_scope", scope="{scope}""#);
        assert_eq!(answer.lines("www-authenticate"), [&*challenge], "{name}");
    };
    let scopes =
        ["introspectd:introspect", "introspectd:revoke", "introspectd:issue", "introspectd:admin", "admin", ""];
    for held in scopes {
        let bearer = node.bearer(&administrator, held).await;
        for (name, answer) in endpoints.call("", &[&format!("Bearer {bearer}")]).await {
            // An operator may issue without being an issuer.
            if needed(name).1 == held || (name, held) == ("issue", "introspectd:admin") {
                assert!([200, 201].contains(&answer.status), "{name} with {held}: {}", answer.body);
            } else {
                expect_refused(name, &answer);
            }
        }
    }
    // The scope alone is not enough: the client must still have the right.
    let bearer = node.bearer(&administrator, ALL).await;
    node.operate("PATCH", &format!("/admin/clients/{}", administrator.id), Some(json!({"rights": []}))).await;
    for (name, answer) in endpoints.call("", &[&format!("Bearer {bearer}")]).await {
        expect_refused(name, &answer);
    }
}

/// Were it otherwise, whoever is sent a token could have further ones made (RFC 6749 section 2.3).
async fn section_3_1_the_token_endpoint_takes_no_bearer_token(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let bearer = format!("Bearer {}", node.token(&app).await);
    let answer = node.api.post_as("/token", &bearer, &[("grant_type", "client_credentials")]).await;
    assert_eq!(answer.refusal(), (401, "invalid_client".to_owned()));
    assert_eq!(answer.lines("www-authenticate"), [BASIC]);
}

//! DPoP, RFC 9449: tokens that are bound to a key of whoever asked for them. What makes a proof a good one is tested
//! claim by claim beside the code.

use introspectd::token::time::Clock;
use serde_json::{Value, json};

use crate::support::api::Answer;
use crate::support::jose::{ISSUER, Signer, unique, with};
use crate::support::life::Pair;
use crate::support::node::{AUDIENCE, Kind, Node, Registered};

over_both_stores! {
    section_4_3_a_proof_works_once
    section_4_3_exactly_one_proof
    section_4_3_every_defect_is_an_invalid_proof
    section_5_a_token_is_bound_to_the_key
    section_5_the_refresh_token_of_a_public_client_is_bound_to_the_key
    section_5_the_refresh_token_of_a_public_client_is_bound_to_the_first_key_it_proves
    section_5_a_second_key_while_the_first_is_being_bound
    section_5_a_thief_who_binds_the_family_first_is_found_out
    section_5_the_refresh_token_of_a_confidential_client_is_not
    section_5_a_key_comes_beside_what_the_grant_is_bound_to
    section_11_1_who_has_proved_nothing_makes_the_server_keep_nothing
    section_5_2_a_client_registered_for_bound_tokens_gets_no_others
    section_7_2_a_bound_token_is_no_bearer_token
}

const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];

fn metadata() -> Value {
    json!({
        "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read write",
        "grant_types": ["client_credentials", "refresh_token"]
    })
}

/// Asks the token endpoint with these proofs, as a client with a secret or as a public one.
async fn ask(node: &Node, client: &Registered, form: &[(&str, &str)], proofs: &[&str]) -> Answer {
    let mut request = node.api.request("POST", &node.api.url("/token"));
    let mut form = form.to_vec();
    if client.secret.is_empty() {
        form.push(("client_id", &client.id));
    } else {
        request = request.basic_auth(&client.id, Some(&client.secret));
    }
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    node.api.send(request.form(&form)).await
}

const INVALID: (u16, &str) = (400, "invalid_dpop_proof");

#[track_caller]
fn refused(answer: &Answer, (status, code): (u16, &str), what: &str) {
    assert_eq!(answer.refusal(), (status, code.to_owned()), "{what}: {}", answer.body);
}

async fn section_5_a_token_is_bound_to_the_key(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = (node.client(metadata()).await, Signer::new());
    for target in [format!("{ISSUER}/token"), format!("{ISSUER}/oauth2/token?x=1#y")] {
        let answer = ask(&node, &app, &GRANT, &[&signer.proof(&node, &json!({"htu": target}))]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let issued = answer.json();
        assert_eq!(issued["token_type"], "DPoP");
        let described = node.api.introspect(app.pair(), issued["access_token"].as_str().unwrap()).await.json();
        assert_eq!(described["cnf"], json!({"jkt": signer.thumbprint()}), "section 6.2");
        assert_eq!(described["token_type"], "DPoP");
    }
    let plain = ask(&node, &app, &GRANT, &[]).await.json();
    assert_eq!(plain["token_type"], "Bearer");
}

async fn section_4_3_exactly_one_proof(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = (node.client(metadata()).await, Signer::new());
    let proofs = [signer.proof(&node, &json!({})), signer.proof(&node, &json!({}))];
    refused(&ask(&node, &app, &GRANT, &[&proofs[0], &proofs[1]]).await, INVALID, "two lines");
    refused(&ask(&node, &app, &GRANT, &[&proofs.join(", ")]).await, INVALID, "two in one line");
    refused(&ask(&node, &app, &GRANT, &[""]).await, INVALID, "an empty line");
    assert_eq!(ask(&node, &app, &GRANT, &[&proofs[0]]).await.status, 200);
}

async fn section_4_3_every_defect_is_an_invalid_proof(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = (node.client(metadata()).await, Signer::new());
    let claims = |members: &Value| signer.proof(&node, members);
    let whole = json!({"htm": "POST", "htu": format!("{ISSUER}/token"), "iat": node.now(), "jti": unique()});
    let header = |header: Value| signer.sign(&header, &whole);
    for (what, proof) in [
        ("not a proof", "x".to_owned()),
        ("another method", claims(&json!({"htm": "GET"}))),
        ("another endpoint", claims(&json!({"htu": format!("{ISSUER}/introspect")}))),
        ("another server", claims(&json!({"htu": node.api.url("/token")}))),
        ("old", claims(&json!({"iat": node.now() - 90}))),
        ("of the future", claims(&json!({"iat": node.now() + 90}))),
        ("without an identifier", claims(&json!({"jti": null}))),
        ("with a long identifier", claims(&json!({"jti": "x".repeat(1000)}))),
        ("another kind of text", header(json!({"typ": "JWT", "jwk": signer.jwk()}))),
        ("without a key", header(json!({"typ": "dpop+jwt"}))),
        ("with another key", header(json!({"typ": "dpop+jwt", "jwk": Signer::new().jwk()}))),
        ("unsigned", header(json!({"typ": "dpop+jwt", "jwk": signer.jwk(), "alg": "none"}))),
        ("signed with a public key", header(json!({"typ": "dpop+jwt", "jwk": signer.jwk(), "alg": "HS256"}))),
    ] {
        refused(&ask(&node, &app, &GRANT, &[&proof]).await, INVALID, what);
    }
}

/// Section 11.1.
async fn section_4_3_a_proof_works_once(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = (node.client(metadata()).await, Signer::new());
    let id = unique();
    let proof = signer.proof(&node, &json!({"jti": id}));
    assert_eq!(ask(&node, &app, &GRANT, &[&proof]).await.status, 200);
    refused(&ask(&node, &app, &GRANT, &[&proof]).await, INVALID, "again");
    let same = signer.proof(&node, &json!({"jti": id, "iat": node.now() - 1}));
    refused(&ask(&node, &app, &GRANT, &[&same]).await, INVALID, "the same identifier");
    let other = Signer::new().proof(&node, &json!({"jti": id}));
    assert_eq!(ask(&node, &app, &GRANT, &[&other]).await.status, 200, "another key's identifiers are its own");
}

async fn section_5_2_a_client_registered_for_bound_tokens_gets_no_others(kind: Kind) {
    let node = Node::start(kind).await;
    let mut metadata = metadata();
    metadata["dpop_bound_access_tokens"] = json!(true);
    let app = node.client(metadata).await;
    refused(&ask(&node, &app, &GRANT, &[]).await, INVALID, "no proof");
    assert_eq!(ask(&node, &app, &GRANT, &[&Signer::new().proof(&node, &json!({}))]).await.status, 200);
}

async fn section_7_2_a_bound_token_is_no_bearer_token(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = (node.client(metadata()).await, Signer::new());
    let form = [GRANT[0], ("scope", "introspectd:introspect")];
    let issued = ask(&node, &app, &form, &[&signer.proof(&node, &json!({}))]).await.json();
    let token = issued["access_token"].as_str().unwrap();
    let answer = node.api.post_as("/introspect", &format!("Bearer {token}"), &[("token", token)]).await;
    refused(&answer, (401, "invalid_token"), "as a Bearer token");
}

/// A grant whose tokens are bound to the signer's key, and its refresh token.
async fn bound_grant(node: &Node, client: &Registered, signer: &Signer) -> String {
    let issued = node.issue(client, json!({"refresh": true, "cnf": {"jkt": signer.thumbprint()}})).await;
    issued["refresh_token"].as_str().unwrap().to_owned()
}

async fn section_5_the_refresh_token_of_a_public_client_is_bound_to_the_key(kind: Kind) {
    let node = Node::start(kind).await;
    let public = json!({"token_endpoint_auth_method": "none", "grant_types": ["refresh_token"], "scope": "read write"});
    let (app, signer) = (node.client(public).await, Signer::new());
    let refresh = bound_grant(&node, &app, &signer).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    refused(&ask(&node, &app, &form, &[]).await, (400, "invalid_grant"), "without a proof");
    let other = Signer::new().proof(&node, &json!({}));
    refused(&ask(&node, &app, &form, &[&other]).await, (400, "invalid_grant"), "with another key");
    let answer = ask(&node, &app, &form, &[&signer.proof(&node, &json!({}))]).await;
    assert_eq!(answer.status, 200, "neither of these has used it up: {}", answer.body);
    assert_eq!(answer.json()["token_type"], "DPoP");
    let next = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let form = [("grant_type", "refresh_token"), ("refresh_token", next.as_str())];
    refused(&ask(&node, &app, &form, &[]).await, (400, "invalid_grant"), "its successor without a proof");
}

fn public(members: &Value) -> Value {
    let usual = json!({
        "token_endpoint_auth_method": "none", "grant_types": ["refresh_token"], "scope": "read write",
        "audiences": [AUDIENCE]
    });
    with(&usual, members)
}

fn refreshing_with(token: &str) -> [(&'static str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

async fn section_5_the_refresh_token_of_a_public_client_is_bound_to_the_first_key_it_proves(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    for members in [json!({}), json!({"dpop_bound_access_tokens": true}), json!({"access_token_format": "jwt"})] {
        let (app, signer) = (node.client(public(&members)).await, Signer::new());
        let mut refresh = node.grant(&app, json!({})).await.refresh;
        if members.get("dpop_bound_access_tokens").is_some() {
            refused(&ask(&node, &app, &refreshing_with(&refresh), &[]).await, INVALID, "no proof of any key");
        } else {
            let answer = ask(&node, &app, &refreshing_with(&refresh), &[]).await;
            assert_eq!(answer.json()["token_type"], "Bearer", "no key, no binding: {}", answer.body);
            refresh = Pair::of(&answer.json()).refresh;
        }
        for round in 0..3 {
            if round > 0 {
                let other = Signer::new().proof(&node, &json!({}));
                let answer = ask(&node, &app, &refreshing_with(&refresh), &[&other]).await;
                refused(&answer, (400, "invalid_grant"), "another key");
                if members.get("dpop_bound_access_tokens").is_none() {
                    let answer = ask(&node, &app, &refreshing_with(&refresh), &[]).await;
                    refused(&answer, (400, "invalid_grant"), "no key");
                }
            }
            let proof = signer.proof(&node, &json!({}));
            let answer = ask(&node, &app, &refreshing_with(&refresh), &[&proof]).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let pair = Pair::of(&answer.json());
            let described = node.api.introspect(server.pair(), &pair.access).await.json();
            assert_eq!(described["cnf"], json!({"jkt": signer.thumbprint()}));
            refresh = pair.refresh;
        }
    }
}

/// Within its time of grace the predecessor gets the successor again: for the key that the successor is bound to.
async fn section_5_a_second_key_while_the_first_is_being_bound(kind: Kind) {
    let node = Node::start_with(kind, &[("tokens.refresh_grace", "1m")]).await;
    let (app, signer) = (node.client(public(&json!({}))).await, Signer::new());
    let first = node.grant(&app, json!({})).await.refresh;
    let ask_with =
        async |signer: &Signer| ask(&node, &app, &refreshing_with(&first), &[&signer.proof(&node, &json!({}))]).await;
    let second = Pair::of(&ask_with(&signer).await.json()).refresh;
    refused(&ask_with(&Signer::new()).await, (400, "invalid_grant"), "another key");
    refused(&ask(&node, &app, &refreshing_with(&first), &[]).await, (400, "invalid_grant"), "no key");
    assert_eq!(Pair::of(&ask_with(&signer).await.json()).refresh, second);
}

/// Whoever has stolen an unbound refresh token can bind what comes of it. That does not hide the theft.
async fn section_5_a_thief_who_binds_the_family_first_is_found_out(kind: Kind) {
    let node = Node::start(kind).await;
    let (server, app) = (node.resource_server().await, node.client(public(&json!({}))).await);
    let first = node.grant(&app, json!({})).await;
    let proof = Signer::new().proof(&node, &json!({}));
    let stolen = Pair::of(&ask(&node, &app, &refreshing_with(&first.refresh), &[&proof]).await.json());
    assert!(node.api.is_active(server.pair(), &stolen.access).await);
    let owner = Signer::new().proof(&node, &json!({}));
    let answer = ask(&node, &app, &refreshing_with(&first.refresh), &[&owner]).await;
    refused(&answer, (400, "invalid_grant"), "the owner");
    assert!(!node.api.is_active(server.pair(), &stolen.access).await);
}

async fn section_5_a_key_comes_beside_what_the_grant_is_bound_to(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = (node.client(metadata()).await, Signer::new());
    let granted = json!({"x5t#S256": "a-certificate", "jkt": "another-key"});
    let refresh = node.grant(&app, json!({ "cnf": granted })).await.refresh;
    let answer = ask(&node, &app, &refreshing_with(&refresh), &[&signer.proof(&node, &json!({}))]).await;
    let pair = Pair::of(&answer.json());
    let described = node.api.introspect(app.pair(), &pair.access).await.json();
    assert_eq!(described["cnf"], with(&granted, &json!({"jkt": signer.thumbprint()})));
    let plain = node.rotate(&app, &pair.refresh).await;
    let described = node.api.introspect(app.pair(), &plain.access).await.json();
    assert_eq!(described["cnf"], granted, "the grant of a client that authenticates is as it was");
}

/// A public client is whoever knows its name: what such a one sends must not fill the store.
async fn section_11_1_who_has_proved_nothing_makes_the_server_keep_nothing(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, signer) = (node.client(public(&json!({}))).await, Signer::new());
    let token = node.grant(&app, json!({})).await.refresh;
    let forged = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'B' } else { 'A' });
    let silent = node.client(public(&json!({"grant_types": []}))).await;
    let refresh = |token| vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    let kept = async || {
        let Some(redis) = &node.redis else { return 0 };
        redis.keys().await.iter().filter(|key| key.contains("j:{")).count()
    };
    for (client, form, code) in [
        (&app, refresh("garbage"), "invalid_grant"),
        (&app, refresh("itd_rt_garbage"), "invalid_grant"),
        (&app, refresh(&forged), "invalid_grant"),
        (&app, refresh("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), "invalid_grant"),
        (&app, vec![("grant_type", "refresh_token")], "invalid_request"),
        (&app, [refresh(&token), vec![("scope", "\"")]].concat(), "invalid_scope"),
        (&app, [refresh(&token), vec![("resource", "x")]].concat(), "invalid_target"),
        (&silent, refresh(&token), "unauthorized_client"),
        (&app, GRANT.to_vec(), "unauthorized_client"),
        (&app, vec![("grant_type", "authorization_code")], "unsupported_grant_type"),
        (&app, vec![("scope", "read")], "invalid_request"),
    ] {
        for _ in 0..3 {
            let proof = signer.proof(&node, &json!({}));
            refused(&ask(&node, client, &form, &[&proof]).await, (400, code), &format!("{form:?}"));
        }
        assert_eq!(kept().await, 0, "{form:?}");
    }
    let answer = ask(&node, &app, &refreshing_with(&token), &[&signer.proof(&node, &json!({}))]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(kept().await, usize::from(node.redis.is_some()), "and of a good one the proof");
}

async fn section_5_the_refresh_token_of_a_confidential_client_is_not(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, first, second) = (node.client(metadata()).await, Signer::new(), Signer::new());
    let refresh = bound_grant(&node, &app, &first).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    let answer = ask(&node, &app, &form, &[&second.proof(&node, &json!({}))]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let described = node.api.introspect(app.pair(), answer.json()["access_token"].as_str().unwrap()).await.json();
    assert_eq!(described["cnf"], json!({"jkt": second.thumbprint()}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_11_1_a_proof_works_at_one_node_only() {
    let first = Node::start(Kind::Redis).await;
    let url = first.redis.as_ref().unwrap().url();
    let second = Node::over(("redis.url", url), Clock::System, &[]).await;
    let (app, signer) = (first.client(metadata()).await, Signer::new());
    let proof = signer.proof(&first, &json!({}));
    assert_eq!(ask(&first, &app, &GRANT, &[&proof]).await.status, 200);
    refused(&ask(&second, &app, &GRANT, &[&proof]).await, INVALID, "at the other node");
}

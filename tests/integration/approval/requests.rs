//! Who may revoke and approve, how tokens are named, and what is refused (rules 4 and 8).

use introspectd::token::grant::TokenFormat;
use serde_json::{Value, json};

use super::{Named, with};
use crate::support::node::{Kind, Node, OPERATOR};

over_both_stores! {
    rule_8_only_an_operator_approves
    hostile_bodies_are_refused
    tokens_made_elsewhere_are_revoked_and_approved
}

over_both_stores_and_forms! {
    rule_8_the_clients_own_endpoint_approves_nothing
    rule_8_who_may_revoke_for_others_revokes
    exactly_one_name_is_taken
    hostile_names_name_nothing
    names_of_another_kind_name_nothing
}

const ACTIONS: [&str; 2] = ["/admin/tokens/revoke", "/admin/tokens/approve"];

async fn rule_8_only_an_operator_approves(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let named = Named::issue(&node, &app).await;
    assert!(node.decide("revoke", named.access()[0].clone()).await);
    let others = node.client(json!({"rights": ["introspect", "revoke", "issue"]})).await;
    for client in [&app, &others] {
        for name in named.access().iter().chain(&named.refresh()) {
            let answer = node.api.admin(client.pair(), "POST", "/admin/tokens/approve", Some(name.clone())).await;
            assert_eq!(answer.refusal(), (403, "unauthorized_client".into()), "{name}");
        }
    }
    let url = node.api.admin_url("/admin/tokens/approve");
    let ask = async |authorization: Option<String>| {
        let request = node.api.request("POST", &url).header("content-type", "application/json");
        let request = authorization.into_iter().fold(request, |request, line| request.header("authorization", line));
        node.api.send(request.body(named.access()[0].to_string())).await
    };
    assert_eq!(ask(None).await.status, 401);
    let weak = node.bearer(&others, "introspectd:revoke").await;
    assert_eq!(ask(Some(format!("Bearer {weak}"))).await.refusal(), (403, "insufficient_scope".into()));
    assert_eq!(named.alive(&node, &app).await, [false, false], "nobody of these approved it");
    let operator = node.client(json!({"rights": ["admin"]})).await;
    let bearer = node.bearer(&operator, "introspectd:admin").await;
    assert_eq!(ask(Some(format!("Bearer {bearer}"))).await.json(), json!({"changed": true}));
    assert_eq!(named.alive(&node, &app).await, [true, true]);
}

/// Clients assume that what RFC 7009 revokes is revoked for good.
async fn rule_8_the_clients_own_endpoint_approves_nothing(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    assert_eq!(node.api.revoke(app.pair(), &named.pair.access).await.status, 200);
    for path in ["/approve", "/admin/tokens/approve", "/oauth2/approve", "/revoke?action=approve"] {
        let form = [("token", &*named.pair.access), ("action", "approve"), ("cascade", "true")];
        let answer = node.api.post(path, OPERATOR, &form).await;
        assert!(answer.status == 404 || answer.status == 200, "{path}: {}", answer.status);
        assert_eq!(named.alive(&node, &app).await, [false, false], "{path}");
    }
}

async fn rule_8_who_may_revoke_for_others_revokes(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let helpdesk = node.client(json!({"rights": ["revoke"]})).await;
    let owner = node.api.admin(app.pair(), "POST", ACTIONS[0], Some(json!({"token": "x"}))).await;
    assert_eq!(owner.refusal(), (403, "unauthorized_client".into()), "clients have /revoke for their own");
    for name in 0..5 {
        let named = Named::issue(&node, &app).await;
        let names: Vec<Value> = named.access().into_iter().chain(named.refresh()).collect();
        let answer = node.api.admin(helpdesk.pair(), "POST", ACTIONS[0], Some(names[name].clone())).await;
        assert_eq!((answer.status, &*answer.body), (200, r#"{"changed":true}"#));
        assert_eq!(named.alive(&node, &app).await, [false, false]);
    }
}

async fn exactly_one_name_is_taken(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    let (token, jti) = (&named.pair.access, &named.access_jti);
    for body in [
        json!({}),
        json!({"token": null}),
        json!({"cascade": true}),
        json!({"token_type": "accesstoken"}),
        json!({"token": token, "jti": jti}),
        json!({"token": token, "grant_id": named.grant_id}),
        json!({"jti": jti, "grant_id": named.grant_id}),
        json!({"token": token, "jti": jti, "grant_id": named.grant_id}),
    ] {
        for path in ACTIONS {
            let answer = node.ask_operator(path, body.clone()).await;
            assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{body}");
            assert!(answer.body.contains("Exactly one"), "{}", answer.body);
        }
    }
    assert_eq!(named.alive(&node, &app).await, [true, true]);
    let nulls = json!({"token": token, "jti": null, "grant_id": null, "token_type": null});
    assert!(node.decide("revoke", nulls).await, "what may be left out may also be null");
}

async fn hostile_bodies_are_refused(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let named = Named::issue(&node, &app).await;
    let token = named.pair.access.as_str();
    let valid = json!({"token": token});
    let mut bodies: Vec<String> = [
        ("cascade", json!("true")),
        ("cascade", json!(1)),
        ("cascade", json!(null)),
        ("token_type", json!("access_token")),
        ("token_type", json!("ACCESSTOKEN")),
        ("token_type", json!("")),
        ("token_type", json!(1)),
        ("token", json!(1)),
        ("token", json!([token])),
        ("token", json!({"value": token})),
        ("unknown", json!(1)),
        ("Token", json!("x")),
        ("active", json!(true)),
        ("reason", json!("requested")),
    ]
    .into_iter()
    .map(|(name, value)| with(&valid, name, value).to_string())
    .collect();
    bodies.extend([
        format!(r#"{{"token":"{token}","token":"{token}"}}"#),
        format!(r#"{{"token":"{token}","tok\u0065n":"{token}"}}"#),
        format!(r#"[null,"{token}"]"#),
        format!(r#""{token}""#),
        format!(r#"{{"token":"{token}"}} trailing"#),
        format!(r#"{{"token":"{token}","claims":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000)),
        r#"{"jti":5}"#.to_owned(),
        r#"{"grant_id":["x"]}"#.to_owned(),
        "token=x".to_owned(),
    ]);
    for path in ACTIONS {
        for body in &bodies {
            let request = node.api.request("POST", &node.api.admin_url(path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
            let request = request.header("content-type", "application/json").body(body.clone());
            let answer = node.api.send(request).await;
            let shown = &body[..body.len().min(120)];
            assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{shown}");
            assert!(!answer.body.contains(token) && answer.body.len() < 400, "{shown}: {}", answer.body);
        }
        let request = node.api.request("POST", &node.api.admin_url(path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
        assert_eq!(node.api.send(request.form(&[("token", token)])).await.status, 415);
        let request = node.api.request("GET", &node.api.admin_url(path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
        assert_eq!(node.api.send(request).await.status, 405);
    }
    assert_eq!(named.alive(&node, &app).await, [true, true]);
}

/// A name that could be a key of the store, a pattern, or text that no key can hold.
async fn hostile_names_name_nothing(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    let (jti, grant) = (named.refresh_jti.as_str().unwrap(), named.grant_id.as_str().unwrap());
    let long = "A".repeat(60_000);
    let padded = format!("{grant}==");
    let (cut, extended) = (&jti[..43], format!("{jti}A"));
    let lower = named.access_jti.as_str().unwrap().to_lowercase();
    let turned = format!("{}{}", &jti[22..], &jti[..22]);
    for text in [
        "",
        " ",
        "*",
        "?",
        "itd:t:*",
        "t:",
        "\0",
        "\r\nFLUSHALL\r\n",
        "../../etc/passwd",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "//////////////////////",
        "caf\u{e9}caf\u{e9}caf\u{e9}cafeca",
        "\u{1F511}\u{1F511}\u{1F511}\u{1F511}\u{1F511}ab",
        "11111111-2222-3333-4444-555555555555",
        &long,
        &padded,
        cut,
        &extended,
        &lower,
        &turned,
    ] {
        for name in ["token", "jti", "grant_id"] {
            for path in ACTIONS {
                let answer = node.ask_operator(path, json!({name: text})).await;
                let shown: String = text.chars().take(50).collect();
                assert_eq!(answer.refusal(), (404, "not_found".into()), "{name} {shown:?}");
                assert!(answer.body.len() < 200);
            }
        }
    }
    assert_eq!(named.alive(&node, &app).await, [true, true]);
    node.rotate(&app, &named.pair.refresh).await;
}

/// A token is not its name, and a name is not a token.
async fn names_of_another_kind_name_nothing(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    for body in [
        json!({"jti": named.pair.access}),
        json!({"jti": named.pair.refresh}),
        json!({"jti": named.grant_id}),
        json!({"grant_id": named.pair.access}),
        json!({"grant_id": named.pair.refresh}),
        json!({"token": named.access_jti}),
        json!({"token": named.refresh_jti}),
        json!({"token": named.grant_id}),
    ] {
        for path in ACTIONS {
            assert_eq!(node.ask_operator(path, body.clone()).await.refusal(), (404, "not_found".into()), "{body}");
        }
    }
    assert_eq!(named.alive(&node, &app).await, [true, true]);
    // A token that stands alone is a grant of one, and answers to its name as that too.
    let alone = node.issue(&app, json!({})).await;
    assert_eq!(alone["grant_id"], alone["jti"]);
    assert!(node.decide("revoke", json!({"grant_id": alone["grant_id"]})).await);
    assert!(!node.api.is_active(app.pair(), alone["access_token"].as_str().unwrap()).await);
    assert!(node.decide("approve", json!({"jti": alone["jti"]})).await);
    assert!(node.api.is_active(app.pair(), alone["access_token"].as_str().unwrap()).await);
}

async fn tokens_made_elsewhere_are_revoked_and_approved(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    for (number, refresh) in [(1, true), (2, false)] {
        let token = format!("a-token-from-elsewhere-{number}");
        let issued = node.issue(&app, json!({"token": token, "refresh": refresh})).await;
        for name in [json!({"token": token}), json!({"jti": issued["jti"]}), json!({"grant_id": issued["grant_id"]})] {
            assert!(node.decide("revoke", name.clone()).await);
            assert!(!node.api.is_active(app.pair(), &token).await, "{name}");
            assert!(node.decide("approve", name.clone()).await);
            assert!(node.api.is_active(app.pair(), &token).await, "{name}");
        }
    }
}

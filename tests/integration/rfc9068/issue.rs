//! What is in a signed token: sections 2 and 3.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::{Value, json};

use super::{kid, parts, published, signed};
use crate::support::jose::{ISSUER, Signer};
use crate::support::life::refreshing;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR};

over_both_stores! {
    rfc9068_2_1_the_header_says_what_it_is_and_another_library_verifies_it
    rfc9068_2_2_the_required_claims_are_there_with_their_types
    rfc9068_2_2_a_token_for_nobody_speaks_for_its_client
    rfc9068_2_2_1_acr_and_auth_time_outlive_a_refresh
    rfc9068_2_2_2_what_else_is_known_of_the_token_is_in_it
    rfc9068_3_aud_is_never_absent
    rfc7662_2_2_introspection_says_the_same_of_both_forms
    rfc6749_4_4_a_client_gets_the_form_that_it_is_registered_for
    a_token_that_nobody_would_read_is_not_issued
    a_token_that_was_made_elsewhere_cannot_be_signed
    a_token_that_was_signed_here_is_not_made_elsewhere
    rfc7662_4_without_an_audience_both_forms_are_seen_by_the_same
}

async fn rfc9068_2_1_the_header_says_what_it_is_and_another_library_verifies_it(kind: Kind) {
    let node = Node::start(kind).await;
    for (name, algorithm) in [
        ("ES256", jsonwebtoken::Algorithm::ES256),
        ("EdDSA", jsonwebtoken::Algorithm::EdDSA),
        ("RS256", jsonwebtoken::Algorithm::RS256),
        ("PS256", jsonwebtoken::Algorithm::PS256),
    ] {
        let app = node.client(json!({"access_token_signing_alg": name, "rights": ["introspect"]})).await;
        let token = signed(&node, &app, json!({})).await;
        let (header, claims) = parts(&token);
        let members: Vec<&String> = header.as_object().unwrap().keys().collect();
        assert_eq!(members, ["alg", "kid", "typ"]);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!(name)));
        let jwk: Jwk = serde_json::from_value(published(&node, &kid(&token)).await.unwrap()).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        let verified = decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
        assert_eq!(verified.claims, claims);
        assert!(node.api.is_active(app.pair(), &token).await, "{name}");
    }
}

async fn rfc9068_2_2_the_required_claims_are_there_with_their_types(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let before = node.now();
    let issued = node.issue(&app, json!({"format": "jwt", "sub": "user-1", "expires_in": 600})).await;
    let (_, claims) = parts(issued["access_token"].as_str().unwrap());
    assert_eq!(claims["iss"], json!(ISSUER));
    assert_eq!(claims["aud"], json!(AUDIENCE));
    assert_eq!(claims["sub"], json!("user-1"));
    assert_eq!(claims["client_id"], json!(app.id));
    assert_eq!(claims["scope"], json!("read write"));
    assert_eq!(claims["jti"], issued["jti"]);
    let issued_at = claims["iat"].as_u64().unwrap();
    assert!((before..=before + 60).contains(&issued_at));
    assert_eq!(claims["exp"], json!(issued_at + 600));
    let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub"], "and no other");
}

async fn rfc9068_2_2_a_token_for_nobody_speaks_for_its_client(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({"scope": ""})).await;
    let (_, claims) = parts(&token);
    assert_eq!(claims["sub"], json!(format!("client:{}", app.id)));
    assert_eq!(claims.get("scope"), None, "without scopes there is no such claim");
}

async fn rfc9068_2_2_1_acr_and_auth_time_outlive_a_refresh(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node
        .client(json!({
            "grant_types": ["refresh_token"], "audiences": [AUDIENCE], "scope": "read write", "rights": ["introspect"]
        }))
        .await;
    let claims = json!({"acr": "gold", "auth_time": 1_700_000_000, "amr": ["pwd"], "groups": ["staff"]});
    let issued = node.issue(&app, json!({"format": "jwt", "refresh": true, "sub": "u", "claims": claims})).await;
    let refresh = issued["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let answer = node.api.post("/token", app.pair(), &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let refreshed = answer.json()["access_token"].as_str().unwrap().to_owned();
    let (first, second) = (parts(issued["access_token"].as_str().unwrap()).1, parts(&refreshed).1);
    for (name, value) in claims.as_object().unwrap() {
        assert_eq!((&first[name], &second[name]), (value, value), "{name}");
    }
    assert_eq!(first["sub"], second["sub"]);
    assert_ne!(first["jti"], second["jti"]);
    assert!(node.api.is_active(app.pair(), &refreshed).await);
}

async fn rfc9068_2_2_2_what_else_is_known_of_the_token_is_in_it(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let members = json!({
        "sub": "user-1", "username": "élise", "nbf": node.now(), "cnf": {"jkt": "thumb"},
        "authorization_details": [{"type": "payment", "amount": 3}], "claims": {"level": 3, "nested": {"a": [1, 2.5]}}
    });
    let token = signed(&node, &app, members.clone()).await;
    let (_, claims) = parts(&token);
    for name in ["username", "nbf", "cnf", "authorization_details"] {
        assert_eq!(claims[name], members[name], "{name}");
    }
    assert_eq!((&claims["level"], &claims["nested"]), (&json!(3), &json!({"a": [1, 2.5]})));
    let described = node.api.introspect(app.pair(), &token).await.json();
    assert_eq!(described["token_type"], json!("DPoP"));
    for name in ["username", "nbf", "cnf", "authorization_details"] {
        assert_eq!(described[name], members[name], "{name}");
    }
}

async fn rfc9068_3_aud_is_never_absent(kind: Kind) {
    let node = Node::start(kind).await;
    let several = node.client(json!({"audiences": ["https://a", "https://b"]})).await;
    let none = node.client(json!({})).await;
    for (client, aud, expected) in [
        (&several, json!(["https://c", "https://d"]), json!(["https://c", "https://d"])),
        (&several, json!("https://c"), json!("https://c")),
        (&several, json!([]), json!(ISSUER)),
        (&none, json!([]), json!(ISSUER)),
    ] {
        let token = signed(&node, client, json!({ "aud": aud })).await;
        assert_eq!(parts(&token).1["aud"], expected);
    }
}

async fn rfc7662_2_2_introspection_says_the_same_of_both_forms(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let members = json!({
        "sub": "user-1", "username": "elise", "nbf": node.now(), "exp": node.now() + 600, "aud": [AUDIENCE, "https://b"],
        "authorization_details": [{"type": "payment"}], "claims": {"acr": "gold", "level": 3}
    });
    let opaque = node.issue(&app, members.clone()).await["access_token"].as_str().unwrap().to_owned();
    let jwt = signed(&node, &app, members).await;
    for caller in [&app, &server] {
        let mut described = [&opaque, &jwt].map(|token| (token, Value::Null));
        for (token, answer) in &mut described {
            *answer = node.api.introspect(caller.pair(), token).await.json();
            let members = answer.as_object_mut().unwrap();
            assert!(members.remove("jti").is_some() && members.remove("iat").is_some());
        }
        let [(_, opaque), (_, jwt)] = described;
        assert_eq!(opaque, jwt);
    }
}

async fn rfc6749_4_4_a_client_gets_the_form_that_it_is_registered_for(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node
        .client(json!({
            "access_token_format": "jwt", "access_token_signing_alg": "EdDSA", "scope": "read",
            "grant_types": ["client_credentials"], "audiences": [AUDIENCE], "rights": ["introspect"]
        }))
        .await;
    let answer = node.api.post("/token", app.pair(), &[("grant_type", "client_credentials")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let (header, claims) = parts(&token);
    assert_eq!((&header["alg"], &claims["aud"]), (&json!("EdDSA"), &json!(AUDIENCE)));
    assert!(node.api.is_active(app.pair(), &token).await);
}

async fn a_token_that_nobody_would_read_is_not_issued(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let long: Vec<String> = (0..20).map(|number| format!("https://{number}.example.com/{}", "a".repeat(900))).collect();
    let body = json!({"client_id": app.id, "format": "jwt", "aud": long});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
}

async fn a_token_that_was_made_elsewhere_cannot_be_signed(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let body = json!({"client_id": app.id, "format": "jwt", "token": "a-token-from-elsewhere"});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
}

/// Kept by value, it would outlive its revocation once its key is gone.
async fn a_token_that_was_signed_here_is_not_made_elsewhere(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let take_over = async |token: &str| {
        let body = json!({"client_id": app.id, "aud": AUDIENCE, "token": token});
        node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await
    };
    let token = signed(&node, &app, json!({})).await;
    // Nobody has to know the key: it may be one that is gone.
    let forgotten = Signer::new().sign(&json!({"typ": "application/at+jwt", "kid": "x"}), &json!({"iss": ISSUER}));
    for known in [true, false] {
        for text in [&token, &forgotten] {
            let answer = take_over(text).await;
            assert_eq!(answer.refusal(), (400, "invalid_request".into()));
            assert!(answer.body.contains("signed here"), "{}", answer.body);
        }
        if known {
            assert!(node.api.is_active(server.pair(), &token).await);
            assert_eq!(node.api.revoke(app.pair(), &token).await.status, 200);
            node.operate("DELETE", &format!("/admin/keys/{}", kid(&token)), None).await;
        }
        assert!(!node.api.is_active(server.pair(), &forgotten).await);
    }
    assert!(!node.api.is_active(server.pair(), &token).await);
    for other in [json!({"typ": "at+jwt"}), json!({"typ": "JWT"})] {
        let issuer = if other["typ"] == "JWT" { ISSUER } else { "https://other.example.com" };
        let answer = take_over(&Signer::new().sign(&other, &json!({"iss": issuer}))).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
}

/// RFC 9068 section 3 wants an `aud` in a signed token: that of the issuer is nobody's but who serves everything.
async fn rfc7662_4_without_an_audience_both_forms_are_seen_by_the_same(kind: Kind) {
    let node = Node::start(kind).await;
    let mut metadata = refreshing();
    metadata["audiences"] = json!([AUDIENCE, "https://b"]);
    let (app, server) = (node.client(metadata).await, node.resource_server().await);
    let gateway = node.client(json!({"rights": ["introspect"], "audiences": ["*"]})).await;
    for format in ["opaque", "jwt"] {
        let body = json!({"client_id": app.id, "format": format, "refresh": true, "sub": "u"});
        let issued = node.operate("POST", "/admin/tokens", Some(body)).await;
        let refreshed = node.rotate(&app, issued["refresh_token"].as_str().unwrap()).await.access;
        for token in [issued["access_token"].as_str().unwrap(), &refreshed] {
            for (caller, sees) in [(&app, true), (&gateway, true), (&server, false)] {
                assert_eq!(node.api.is_active(caller.pair(), token).await, sees, "{format}");
            }
            if format == "jwt" {
                assert_eq!(parts(token).1["aud"], json!(ISSUER));
            }
        }
    }
}

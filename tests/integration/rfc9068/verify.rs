//! What is refused: section 4, RFC 8725, RFC 7515. Whatever the reason, the answer is the same 16 bytes.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use introspectd::jose::algorithm::Algorithm;
use introspectd::jose::signing::SigningKey;
use introspectd::service::signing::Purpose;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::forge::{Stolen, encode, text, with_hmac};
use super::{kid, parts, published, signed};
use crate::support::node::{Kind, Node, Registered};

over_both_stores! {
    rfc8725_3_1_no_algorithm_but_the_keys_own
    rfc8725_3_1_a_public_key_is_no_secret
    rfc8725_3_1_rs256_and_ps256_are_not_one
    rfc8725_3_10_keys_that_a_token_brings_along_are_not_used_and_nothing_is_fetched
    rfc8725_3_11_no_other_kind_of_text_is_an_access_token
    rfc7515_4_1_11_what_would_have_to_be_understood_is_refused
    rfc7515_4_1_4_a_kid_names_a_key_and_nothing_else
    rfc9068_4_the_issuer_is_compared_exactly
    rfc7519_4_1_claims_of_the_wrong_type_or_range
    rfc9068_4_a_token_is_active_from_nbf_to_exp
    rfc8725_3_14_nothing_but_the_compact_form
    rfc7518_3_4_signatures_that_are_none
    a_changed_claim_is_noticed
    a_jti_cannot_be_made_up_or_moved_to_another_token
    a_text_that_is_too_long_costs_nothing
    an_imported_text_of_that_form_is_looked_up
}

/// A node with a token of its own, and the key that signed it.
struct Scene {
    node: Node,
    app: Registered,
    token: String,
    header: Value,
    claims: Value,
    key: Stolen,
}

impl Scene {
    async fn set(kind: Kind) -> Self {
        let node = Node::start(kind).await;
        let app = node.application().await;
        let token = signed(&node, &app, json!({"sub": "user-1"})).await;
        let (header, claims) = parts(&token);
        let key = Stolen::from(&node, &kid(&token)).await;
        let scene = Self { node, app, token, header, claims, key };
        // What is forged here differs from a token in one point only: without it, it is one.
        let copy = scene.key.sign(&scene.header.to_string(), &scene.claims.to_string());
        assert!(scene.is_active(&copy).await && scene.is_active(&scene.token).await);
        scene
    }

    async fn is_active(&self, token: &str) -> bool {
        self.node.api.is_active(self.app.pair(), token).await
    }

    async fn refuses(&self, token: &str) {
        assert!(!self.is_active(token).await, "{token}");
    }

    /// The header with other members; `null` takes one away.
    fn header_with(&self, members: &Value) -> String {
        with(&self.header, members)
    }

    fn claims_with(&self, members: &Value) -> String {
        with(&self.claims, members)
    }
}

fn with(object: &Value, members: &Value) -> String {
    let mut object = object.as_object().unwrap().clone();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    Value::Object(object).to_string()
}

async fn rfc8725_3_1_no_algorithm_but_the_keys_own(kind: Kind) {
    let scene = Scene::set(kind).await;
    let claims = scene.claims.to_string();
    let (signed, signature) = scene.token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for name in ["none", "None", "NONE", "nOnE", "", "ES384", "ES512", "ES256K", "es256", "EdDSA", "RS256", "HS256"] {
        let header = scene.header_with(&json!({ "alg": name }));
        scene.refuses(&text(&header, &claims, &signature)).await;
        scene.refuses(&text(&header, &claims, &[])).await;
        scene.refuses(&scene.key.sign(&header, &claims)).await;
    }
    for alg in [json!(1), json!(["ES256"]), json!({"a": 1}), Value::Null] {
        scene.refuses(&scene.key.sign(&scene.header_with(&json!({ "alg": alg })), &claims)).await;
    }
    scene.refuses(&format!("{signed}.")).await;
    scene.refuses(signed).await;
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    scene.refuses(&other.sign("at+jwt", &scene.key.kid, claims.as_bytes()).unwrap()).await;
}

async fn rfc8725_3_1_a_public_key_is_no_secret(kind: Kind) {
    let scene = Scene::set(kind).await;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &scene.key.pkcs8).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let lines: Vec<String> = STANDARD
        .encode(der.as_ref())
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    let jwk = published(&scene.node, &scene.key.kid).await.unwrap().to_string();
    let (header, claims) = (scene.header_with(&json!({"alg": "HS256"})), scene.claims.to_string());
    for secret in
        [pem.as_bytes(), pem.trim_end().as_bytes(), der.as_ref(), pair.public_key().as_ref(), jwk.as_bytes(), b"x"]
    {
        scene.refuses(&with_hmac(&header, &claims, secret)).await;
    }
}

async fn rfc8725_3_1_rs256_and_ps256_are_not_one(kind: Kind) {
    let node = Node::start(kind).await;
    for (own, other) in [(Algorithm::Rs256, Algorithm::Ps256), (Algorithm::Ps256, Algorithm::Rs256)] {
        let app = node.client(json!({"access_token_signing_alg": own, "rights": ["introspect"]})).await;
        let token = signed(&node, &app, json!({})).await;
        let claims = parts(&token).1.to_string();
        let key = Stolen::from(&node, &kid(&token)).await;
        let sign = |algorithm| key.misused_for(algorithm).sign("at+jwt", &key.kid, claims.as_bytes()).unwrap();
        assert!(node.api.is_active(app.pair(), &sign(own)).await);
        assert!(!node.api.is_active(app.pair(), &sign(other)).await);
        let (header, rest) = token.split_once('.').unwrap();
        let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        let swapped = format!("{}.{rest}", encode(header.replace(own.name(), other.name())));
        assert!(!node.api.is_active(app.pair(), &swapped).await);
    }
}

/// RFC 8725 section 3.10: `jwk`, `jku`, `x5u` and `x5c` are an attacker's to choose.
async fn rfc8725_3_10_keys_that_a_token_brings_along_are_not_used_and_nothing_is_fetched(kind: Kind) {
    let scene = Scene::set(kind).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let attacker = SigningKey::generate(Algorithm::Es256).unwrap();
    let pkcs8 = attacker.to_pkcs8().unwrap().to_vec();
    let claims = scene.claims.to_string();
    let jwk = attacker.public().to_jwk(None);
    for kid in [scene.key.kid.clone(), attacker.public().thumbprint()] {
        let by_attacker = Stolen { kid: kid.clone(), pkcs8: pkcs8.clone() };
        for members in [
            json!({"jwk": jwk, "kid": kid}),
            json!({"jku": url, "kid": kid}),
            json!({"x5u": url, "kid": kid}),
            json!({"x5c": [STANDARD.encode([1; 64])], "kid": kid}),
            json!({"jku": url, "x5u": url, "jwk": jwk, "kid": kid}),
        ] {
            scene.refuses(&by_attacker.sign(&scene.header_with(&members), &claims)).await;
        }
    }
    let ignored = scene.key.sign(&scene.header_with(&json!({"jku": url, "x5u": url, "jwk": jwk})), &claims);
    assert!(scene.is_active(&ignored).await, "the server's own key decides, whatever stands beside it");
    let called = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "nobody called");
}

async fn rfc8725_3_11_no_other_kind_of_text_is_an_access_token(kind: Kind) {
    let scene = Scene::set(kind).await;
    let claims = scene.claims.to_string();
    for typ in ["AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        let token = scene.key.sign(&scene.header_with(&json!({ "typ": typ })), &claims);
        assert!(scene.is_active(&token).await, "RFC 9068 section 4: {typ}");
    }
    for typ in [
        "",
        "JWT",
        "jwt",
        "at",
        "at+jwt2",
        " at+jwt",
        "at+jwt;q=1",
        "text/at+jwt",
        "token-introspection+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "logout+jwt",
        "secevent+jwt",
        "oauth-authz-req+jwt",
        "application/jwt",
    ] {
        scene.refuses(&scene.key.sign(&scene.header_with(&json!({ "typ": typ })), &claims)).await;
    }
    for typ in [Value::Null, json!(1), json!(["at+jwt"])] {
        scene.refuses(&scene.key.sign(&scene.header_with(&json!({ "typ": typ })), &claims)).await;
    }
    // A key for introspection answers is published beside the others, and is none for tokens.
    let (signing, now) = (&scene.node.service.signing, scene.node.service.now());
    let answer =
        signing.sign(Purpose::Introspection, Algorithm::Es256, "at+jwt", claims.as_bytes(), now).await.unwrap();
    scene.refuses(&answer.text).await;
}

async fn rfc7515_4_1_11_what_would_have_to_be_understood_is_refused(kind: Kind) {
    let scene = Scene::set(kind).await;
    let claims = scene.claims.to_string();
    for members in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM"}),
        json!({"p2c": 1_000_000_000, "p2s": "AA"}),
    ] {
        scene.refuses(&scene.key.sign(&scene.header_with(&members), &claims)).await;
    }
}

async fn rfc7515_4_1_4_a_kid_names_a_key_and_nothing_else(kind: Kind) {
    let scene = Scene::set(kind).await;
    let claims = scene.claims.to_string();
    let own = &scene.key.kid;
    for kid in [
        json!(""),
        json!("../../../etc/passwd"),
        json!("'; DROP TABLE keys; --"),
        json!("a\u{0}b"),
        json!("k".repeat(10_000)),
        json!(format!("{own} ")),
        json!(format!("{own}\u{0}")),
        json!(own.to_lowercase()),
        json!("*"),
        json!(1),
        json!([own]),
        json!({"kid": own}),
        Value::Null,
        json!(SigningKey::generate(Algorithm::Es256).unwrap().public().thumbprint()),
    ] {
        scene.refuses(&scene.key.sign(&scene.header_with(&json!({ "kid": kid })), &claims)).await;
    }
}

async fn rfc9068_4_the_issuer_is_compared_exactly(kind: Kind) {
    let scene = Scene::set(kind).await;
    let header = scene.header.to_string();
    for issuer in [
        Value::Null,
        json!(""),
        json!("https://as.example.com/"),
        json!("https://AS.example.com"),
        json!("http://as.example.com"),
        json!("https://as.example.com.evil.org"),
        json!(["https://as.example.com"]),
        json!(1),
        json!({}),
    ] {
        scene.refuses(&scene.key.sign(&header, &scene.claims_with(&json!({ "iss": issuer })))).await;
    }
}

async fn rfc7519_4_1_claims_of_the_wrong_type_or_range(kind: Kind) {
    let scene = Scene::set(kind).await;
    let (header, claims) = (scene.header.to_string(), scene.claims.to_string());
    let exp = scene.claims["exp"].as_u64().unwrap();
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!("1800000000"),
            json!(-1),
            json!(1_800_000_000.5),
            json!([exp]),
            json!({"s": exp}),
            json!(true),
            json!((1_u64 << 53) + 1),
        ] {
            scene.refuses(&scene.key.sign(&header, &scene.claims_with(&json!({ name: value })))).await;
        }
        let spelled = |number: &str| {
            let claims = with(&scene.claims, &json!({ name: 4_242_424_242_u64 }));
            scene.key.sign(&header, &claims.replace("4242424242", number))
        };
        for number in ["1e9", "1800000000.0", "null", "-0", "01", "18446744073709551616"] {
            scene.refuses(&spelled(number)).await;
        }
    }
    for (name, value) in [
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("jti", Value::Null),
        ("client_id", Value::Null),
        ("sub", Value::Null),
        ("aud", Value::Null),
        ("aud", json!([])),
        ("aud", json!(1)),
        ("aud", json!({})),
        ("aud", json!(["a", 1])),
        ("aud", json!([["a"]])),
        ("sub", json!(1)),
        ("sub", json!({})),
        ("client_id", json!([])),
        ("jti", json!(7)),
        ("scope", json!(["read"])),
        ("scope", json!("a  b")),
        ("scope", json!(1)),
        ("cnf", json!("x")),
        ("cnf", json!({})),
        ("authorization_details", json!({})),
        ("username", json!(1)),
        ("active", json!(true)),
        ("Active", json!(true)),
        ("exp", json!(exp + 1)),
        ("exp", json!(exp - 1)),
    ] {
        scene.refuses(&scene.key.sign(&header, &scene.claims_with(&json!({ name: value })))).await;
    }
    let (_, members) = claims.split_at(1);
    for twice in [
        format!(r#"{{"sub":"admin",{members}"#),
        format!(r#"{{"\u0073ub":"admin",{members}"#),
        format!(r#"{{"x":{{"a":1,"a":2}},{members}"#),
        format!("[{claims}]"),
        format!("{claims} {claims}"),
        format!("{}{}", &claims[..claims.len() - 1], r#","x":NaN}"#),
        with(&scene.claims, &json!({"deep": nested(200)})),
    ] {
        scene.refuses(&scene.key.sign(&header, &twice)).await;
    }
    let header = format!(r#"{{"typ":"at+jwt",{}"#, &header[1..]);
    scene.refuses(&scene.key.sign(&header, &claims)).await;
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

async fn rfc9068_4_a_token_is_active_from_nbf_to_exp(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.application().await;
    let token = signed(&node, &app, json!({"nbf": node.now() + 10, "expires_in": 20})).await;
    let active = async || node.api.is_active(app.pair(), &token).await;
    assert!(!active().await);
    node.pass(std::time::Duration::from_secs(10)).await;
    assert!(active().await);
    node.pass(std::time::Duration::from_secs(9)).await;
    assert!(active().await, "also from the cache");
    node.pass(std::time::Duration::from_secs(1)).await;
    assert!(!active().await, "no leeway");
    let token = signed(&node, &app, json!({})).await;
    let key = Stolen::from(&node, &kid(&token)).await;
    let (header, claims) = parts(&token);
    for (seconds, expected) in [(30, true), (3600, false)] {
        let issued = with(&claims, &json!({"iat": node.now() + seconds}));
        let future = key.sign(&header.to_string(), &issued);
        assert_eq!(node.api.is_active(app.pair(), &future).await, expected, "iat in {seconds} seconds");
    }
}

async fn rfc8725_3_14_nothing_but_the_compact_form(kind: Kind) {
    let scene = Scene::set(kind).await;
    let token = &scene.token;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let last = token.chars().last().unwrap();
    let spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = spare.find(last).unwrap();
    let altered = spare.chars().nth(position ^ 1).unwrap();
    for bad in [
        format!("{token}="),
        format!("{header}=.{payload}.{signature}"),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{header}. {payload}.{signature}"),
        format!("{token}."),
        format!("{token}.e30"),
        format!("{token}.e30.e30"),
        format!("{header}.{payload}.{signature}.e30.e30"),
        format!("{header}..{payload}.e30.{signature}"),
        format!("{header}..{signature}"),
        format!("{}{altered}", &token[..token.len() - 1]),
        json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string(),
        format!("{header}.{payload}.{}", STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap())),
        format!("{token}%00"),
        format!("{token}\u{0}"),
        format!("Bearer {token}"),
        "eyJ..".into(),
        "eyJ".into(),
    ] {
        scene.refuses(&bad).await;
    }
}

async fn rfc7518_3_4_signatures_that_are_none(kind: Kind) {
    let scene = Scene::set(kind).await;
    let (signed, signature) = scene.token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
    let der = [&[0x30, 70][..], &integer(&signature[..32]), &integer(&signature[32..])].concat();
    for bad in [
        &[0; 64][..],
        &[0; 1],
        &[0xFF; 64],
        &der,
        &signature[..63],
        &[&signature[..], &[0]].concat(),
        &[&[0; 32], &signature[32..]].concat(),
        &[&signature[..32], &[0; 32]].concat(),
        &[&signature[32..], &signature[..32]].concat(),
    ] {
        scene.refuses(&format!("{signed}.{}", encode(bad))).await;
    }
}

async fn a_changed_claim_is_noticed(kind: Kind) {
    let scene = Scene::set(kind).await;
    let (_, signature) = scene.token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let header = scene.header.to_string();
    for members in [json!({"sub": "admin"}), json!({"scope": "read write admin"}), json!({"exp": 4_000_000_000_u64})] {
        let altered = text(&header, &scene.claims_with(&members), &signature);
        assert!(scene.is_active(&scene.token).await);
        scene.refuses(&altered).await;
    }
    // Refused or taken once, the text is judged the same again.
    scene.refuses(&text(&header, &scene.claims_with(&json!({"sub": "admin"})), &signature)).await;
}

async fn a_jti_cannot_be_made_up_or_moved_to_another_token(kind: Kind) {
    let scene = Scene::set(kind).await;
    let header = scene.header.to_string();
    let opaque = scene.node.issue(&scene.app, json!({})).await;
    let longer = scene.node.issue(&scene.app, json!({"format": "jwt", "expires_in": 3000})).await;
    for jti in [
        json!(""),
        json!("x"),
        opaque["jti"].clone(),
        longer["jti"].clone(),
        json!("A".repeat(51)),
        json!("A".repeat(88)),
        json!(format!("{}=", scene.claims["jti"].as_str().unwrap())),
        json!("A".repeat(12_000)),
    ] {
        scene.refuses(&scene.key.sign(&header, &scene.claims_with(&json!({ "jti": jti })))).await;
    }
}

async fn a_text_that_is_too_long_costs_nothing(kind: Kind) {
    let scene = Scene::set(kind).await;
    for size in [16_500, 60_000] {
        let long =
            scene.key.sign(&scene.header.to_string(), &scene.claims_with(&json!({"pad": "x".repeat(size * 3 / 4)})));
        scene.refuses(&long).await;
    }
    scene.refuses(&format!("eyJ{}", ".".repeat(10_000))).await;
    scene.refuses(&format!("eyJhbGciOiJFUzI1NiJ9.{}.AA", "e".repeat(16_000))).await;
}

/// A server that takes over signed tokens of another issuer finds them as it finds any other that was made elsewhere.
async fn an_imported_text_of_that_form_is_looked_up(kind: Kind) {
    let scene = Scene::set(kind).await;
    let foreign = SigningKey::generate(Algorithm::Es256).unwrap();
    let foreign = foreign.sign("at+jwt", "theirs", br#"{"iss":"https://other.example.com"}"#).unwrap();
    scene.refuses(&foreign).await;
    scene.node.issue(&scene.app, json!({"token": foreign})).await;
    assert!(scene.is_active(&foreign).await);
}

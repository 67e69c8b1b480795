//! Authorization server metadata, RFC 8414: what is published, where, and that all of it is true.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::api::Answer;
use crate::support::certificates::SecureNode;
use crate::support::jose::{ISSUER, Signer};
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};
use crate::support::raw;

over_both_stores! {
    section_2_every_advertised_algorithm_is_taken_and_no_other
    rfc8705_3_3_certificates_are_advertised_where_they_are_asked_for
    section_2_every_advertised_algorithm_of_signed_answers_is_used_and_no_other
    section_2_every_advertised_method_works_and_no_other
    section_2_every_advertised_grant_type_works_and_no_other
    section_2_the_members_are_those_that_are_true
    section_3_1_the_issuers_path_comes_behind_the_well_known_part
    section_3_2_the_answer_may_be_kept_and_is_not_sent_twice
    section_3_2_the_document_is_for_everybody_and_nothing_else_is
    section_3_2_there_is_head_and_no_post
    section_3_3_the_issuer_is_the_configured_text
}

/// The signature algorithms of RFC 7518, RFC 8037, RFC 8812 and RFC 9864, and what is none.
const ALGORITHMS: [&str; 21] = [
    "none", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "ES256K", "EdDSA", "Ed25519", "Ed448", "ESP256", "es256", "RSA-OAEP", "",
];

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const PLACE: &str = "/.well-known/oauth-authorization-server";
const OTHER_PLACE: &str = "/.well-known/openid-configuration";

async fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = node.api.request("GET", &node.api.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    node.api.send(request).await
}

/// The path of a published endpoint.
fn path<'a>(document: &'a Value, endpoint: &str) -> &'a str {
    document[endpoint].as_str().unwrap().strip_prefix("https://as.example.com").unwrap()
}

/// A list of the document; none is published that is empty or says anything twice.
fn names<'a>(document: &'a Value, member: &str) -> Vec<&'a str> {
    let names: Vec<&str> = document[member].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert!(!names.is_empty() && distinct.len() == names.len(), "{member}: {names:?}");
    names
}

/// The signature algorithms that this list of the document has, and all others.
fn algorithms(document: &Value, member: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let advertised = names(document, member);
    assert!(advertised.iter().all(|name| ALGORITHMS.contains(name)), "each is to be used: {member}: {advertised:?}");
    ALGORITHMS.into_iter().partition(|name| advertised.contains(name))
}

/// A client that is registered for `method`, as far as a client can be, and may do everything that such a client may.
async fn client_for(node: &Node, method: &str, signer: &Signer) -> Registered {
    let mut metadata = json!({
        "rights": ["introspect", "revoke"], "audiences": [AUDIENCE], "scope": "read",
        "grant_types": ["client_credentials", "refresh_token"]
    });
    match method {
        "none" => {
            metadata["rights"] = json!([]);
            metadata["grant_types"] = json!(["refresh_token"]);
            metadata["token_endpoint_auth_method"] = json!("none");
        }
        "client_secret_basic" | "client_secret_post" => metadata["token_endpoint_auth_method"] = json!(method),
        "private_key_jwt" => {
            metadata["token_endpoint_auth_method"] = json!(method);
            metadata["jwks"] = signer.jwks();
        }
        "tls_client_auth" => {
            metadata["token_endpoint_auth_method"] = json!(method);
            metadata["tls_client_auth_san_dns"] = json!("app.example.com");
        }
        _ => {}
    }
    node.client(metadata).await
}

/// Calls an endpoint as this client, which proves who it is by this method.
async fn call(
    node: &Node,
    (client, signer): (&Registered, &Signer),
    method: &str,
    path: &str,
    form: &[(&str, &str)],
) -> Answer {
    let mut form = form.to_vec();
    let assertion = match method {
        "private_key_jwt" => signer.assertion(node, &client.id, &json!({})),
        _ => "e30.e30.e30".to_owned(),
    };
    let mut request = node.api.request("POST", &node.api.url(path));
    match method {
        "client_secret_basic" => request = request.basic_auth(&client.id, Some(&client.secret)),
        "client_secret_post" => form.extend([("client_id", &*client.id), ("client_secret", &*client.secret)]),
        "Bearer" => {
            let scope = [("grant_type", "client_credentials"), ("scope", "introspectd:introspect")];
            let token = node.api.post("/token", client.pair(), &scope).await.json();
            request = request.bearer_auth(token["access_token"].as_str().unwrap());
        }
        "private_key_jwt" | "client_secret_jwt" => {
            form.extend([("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)]);
        }
        _ => form.push(("client_id", &client.id)),
    }
    node.api.send(request.form(&form)).await
}

/// RFC 8414 section 2 takes the methods of the registry "OAuth Token Endpoint Authentication Methods", and at the
/// introspection endpoint access token types too.
async fn section_2_every_advertised_method_works_and_no_other(kind: Kind) {
    const METHODS: [&str; 8] = [
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
        "none",
        "Bearer",
    ];
    let node = Node::start(kind).await;
    let document = get(&node, PLACE, &[]).await.json();
    for (endpoint, form) in [
        ("introspection_endpoint", [("token", "unknown-token")]),
        ("revocation_endpoint", [("token", "unknown-token")]),
        ("token_endpoint", [("grant_type", "client_credentials")]),
    ] {
        let advertised = names(&document, &format!("{endpoint}_auth_methods_supported"));
        assert!(advertised.iter().all(|method| METHODS.contains(method)), "{advertised:?}");
        for method in METHODS {
            let signer = Signer::new();
            let client = client_for(&node, method, &signer).await;
            let mut form = form.to_vec();
            let refresh;
            if (endpoint, method) == ("token_endpoint", "none") {
                // All that a client without authentication can ask for there.
                refresh = node.tokens(&client).await.1;
                form = vec![("grant_type", "refresh_token"), ("refresh_token", &refresh)];
            }
            let answer = call(&node, (&client, &signer), method, path(&document, endpoint), &form).await;
            if advertised.contains(&method) {
                assert_eq!(answer.status, 200, "{method} is advertised for the {endpoint}: {}", answer.body);
            } else {
                assert!((400..=403).contains(&answer.status), "{method} is not advertised for the {endpoint}");
            }
        }
    }
}

/// RFC 8414 section 2 for assertions, RFC 9449 section 5.1 for proofs of possession.
async fn section_2_every_advertised_algorithm_is_taken_and_no_other(kind: Kind) {
    let node = Node::start_with(kind, &crate::rfc6749::PATIENT).await;
    let document = get(&node, PLACE, &[]).await.json();
    let other = Signer::new();
    let by_other = client_for(&node, "private_key_jwt", &other).await;
    for (endpoint, form) in [
        ("introspection", ("token", "unknown-token")),
        ("revocation", ("token", "unknown-token")),
        ("token", ("grant_type", "client_credentials")),
    ] {
        let member = format!("{endpoint}_endpoint_auth_signing_alg_values_supported");
        let (advertised, others) = algorithms(&document, &member);
        let path = path(&document, &format!("{endpoint}_endpoint"));
        for algorithm in advertised {
            let signer = Signer::called(algorithm);
            let client = client_for(&node, "private_key_jwt", &signer).await;
            let answer = call(&node, (&client, &signer), "private_key_jwt", path, &[form]).await;
            assert_eq!(answer.status, 200, "{algorithm:?} at the {endpoint} endpoint: {}", answer.body);
        }
        for refused in others {
            let claims = json!({"iss": by_other.id, "sub": by_other.id, "aud": ISSUER, "exp": node.now() + 60});
            let assertion = other.sign(&json!({"alg": refused}), &claims);
            let form = [form, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)];
            assert_eq!(node.api.post_bare(path, &form).await.refusal(), (401, "invalid_client".into()), "{refused}");
        }
    }
    let (advertised, others) = algorithms(&document, "dpop_signing_alg_values_supported");
    let app = client_for(&node, "client_secret_basic", &other).await;
    let ask = async |proof: String| {
        let request = node.api.request("POST", &node.api.url("/token")).basic_auth(&app.id, Some(&app.secret));
        node.api.send(request.header("dpop", proof).form(&[("grant_type", "client_credentials")])).await
    };
    for algorithm in advertised {
        let answer = ask(Signer::called(algorithm).proof(&node, &json!({}))).await;
        assert_eq!(answer.status, 200, "{algorithm:?}: {}", answer.body);
    }
    for refused in others {
        let claims = json!({"htm": "POST", "htu": format!("{ISSUER}/token"), "iat": node.now(), "jti": refused});
        let proof = other.sign(&json!({"typ": "dpop+jwt", "jwk": other.jwk(), "alg": refused}), &claims);
        assert_eq!(ask(proof).await.refusal(), (400, "invalid_dpop_proof".into()), "{refused}");
    }
}

/// What can be registered as `introspection_signed_response_alg` (RFC 9701 section 7), and is then signed with.
async fn section_2_every_advertised_algorithm_of_signed_answers_is_used_and_no_other(kind: Kind) {
    let node = Node::start(kind).await;
    let document = get(&node, PLACE, &[]).await.json();
    let (advertised, others) = algorithms(&document, "introspection_signing_alg_values_supported");
    assert!(advertised.contains(&"RS256"), "what a client gets that registered nothing");
    let metadata = |algorithm: &str| json!({"rights": ["introspect"], "introspection_signed_response_alg": algorithm});
    for algorithm in advertised {
        let server = node.client(metadata(algorithm)).await;
        let answer = node.api.introspect(server.pair(), "unknown-token").await;
        assert_eq!(answer.header("content-type"), Some("application/token-introspection+jwt"), "{}", answer.body);
        let header = URL_SAFE_NO_PAD.decode(answer.body.split('.').next().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&header).unwrap()["alg"], json!(algorithm));
    }
    // An empty text is how a member is taken away.
    for algorithm in others.into_iter().filter(|name| !name.is_empty()) {
        let answer = node.api.admin(OPERATOR, "POST", "/admin/clients", Some(metadata(algorithm))).await;
        assert_eq!(answer.refusal(), (400, "invalid_client_metadata".into()), "{algorithm}");
    }
}

async fn rfc8705_3_3_certificates_are_advertised_where_they_are_asked_for(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let document = secure.get(PLACE).await.json();
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], json!(true));
    let app = client_for(&secure.node, "tls_client_auth", &Signer::new()).await;
    let identity = secure.authority.issue("app");
    for (endpoint, form) in [
        ("introspection", ("token", "unknown-token")),
        ("revocation", ("token", "unknown-token")),
        ("token", ("grant_type", "client_credentials")),
    ] {
        let advertised = names(&document, &format!("{endpoint}_endpoint_auth_methods_supported"));
        // The second one is used in the tests of its own RFC.
        for method in ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt"] {
            assert!(advertised.contains(&method), "{endpoint}: {advertised:?}");
        }
        let path = path(&document, &format!("{endpoint}_endpoint"));
        let answer = secure.post(path, Some(&identity), &[form, ("client_id", &*app.id)]).await;
        assert_eq!(answer.status, 200, "{endpoint}: {}", answer.body);
    }
    // Behind a proxy, without authorities: only what is registered itself can be recognised.
    let settings = [("authentication.certificate_proxies", "127.0.0.1")];
    let document = get(&Node::start_with(kind, &settings).await, PLACE, &[]).await.json();
    let advertised = names(&document, "token_endpoint_auth_methods_supported");
    assert!(advertised.contains(&"self_signed_tls_client_auth") && !advertised.contains(&"tls_client_auth"));
}

async fn section_2_every_advertised_grant_type_works_and_no_other(kind: Kind) {
    let node = Node::start(kind).await;
    let document = get(&node, PLACE, &[]).await.json();
    let client = client_for(&node, "client_secret_basic", &Signer::new()).await;
    let advertised = names(&document, "grant_types_supported");
    assert_eq!(names(&document, "response_types_supported"), ["none"], "there is no authorization endpoint");
    assert_eq!(document.get("authorization_endpoint"), None);
    let registered = [
        "authorization_code",
        "implicit",
        "password",
        "client_credentials",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:openid:params:grant-type:ciba",
    ];
    assert!(advertised.iter().all(|name| registered.contains(name)), "each is to be used: {advertised:?}");
    for grant_type in registered {
        let refresh = node.tokens(&client).await.1;
        let form = [("grant_type", grant_type), ("code", "x"), ("username", "x"), ("password", "x")];
        let form = [&form[..], &[("refresh_token", &*refresh), ("assertion", "x"), ("device_code", "x")]].concat();
        let answer = node.api.post(path(&document, "token_endpoint"), client.pair(), &form).await;
        let expected = if advertised.contains(&grant_type) { 200 } else { 400 };
        assert_eq!(answer.status, expected, "{grant_type}: {}", answer.body);
        assert!(expected == 200 || answer.error() == "unsupported_grant_type");
    }
}

async fn section_2_the_members_are_those_that_are_true(kind: Kind) {
    let node = Node::start(kind).await;
    let answer = get(&node, PLACE, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let document = answer.json();
    // Each of these lists has a test of its own, which takes its cases from the document.
    let lists: Vec<&String> =
        document.as_object().unwrap().iter().filter(|(_, value)| value.is_array()).map(|(name, _)| name).collect();
    assert_eq!(
        lists,
        [
            "dpop_signing_alg_values_supported",
            "grant_types_supported",
            "introspection_endpoint_auth_methods_supported",
            "introspection_endpoint_auth_signing_alg_values_supported",
            "introspection_signing_alg_values_supported",
            "response_types_supported",
            "revocation_endpoint_auth_methods_supported",
            "revocation_endpoint_auth_signing_alg_values_supported",
            "token_endpoint_auth_methods_supported",
            "token_endpoint_auth_signing_alg_values_supported",
        ]
    );
    for (name, value) in document.as_object().unwrap() {
        assert_ne!(value, &json!([]), "section 3.2: {name} has no elements and must be left out");
        assert!(!value.is_null(), "{name}");
    }
    let methods: Vec<String> = ["token", "introspection", "revocation"]
        .iter()
        .flat_map(|endpoint| names(&document, &format!("{endpoint}_endpoint_auth_methods_supported")))
        .map(str::to_owned)
        .collect();
    let by_jwt = methods.iter().any(|method| method.ends_with("_jwt"));
    let algorithms =
        document.as_object().unwrap().keys().any(|name| name.ends_with("_auth_signing_alg_values_supported"));
    assert_eq!(by_jwt, algorithms, "present if, and only if, a method that signs is there");
    assert_eq!(document.get("tls_client_certificate_bound_access_tokens"), None, "nobody asks for certificates here");
    for absent in ["registration_endpoint", "authorization_endpoint", "introspection_encryption_alg_values_supported"] {
        assert_eq!(document.get(absent), None, "{absent}");
    }
    assert_eq!(get(&node, OTHER_PLACE, &[]).await.json(), document, "some look only in the place of OpenID Connect");
}

async fn section_3_1_the_issuers_path_comes_behind_the_well_known_part(kind: Kind) {
    for (issuer, places, elsewhere) in [
        (
            "https://as.example.com",
            [PLACE.to_owned(), OTHER_PLACE.to_owned()],
            [format!("{PLACE}/"), format!("{PLACE}/t1")],
        ),
        (
            "https://as.example.com/t1",
            [format!("{PLACE}/t1"), format!("/t1{OTHER_PLACE}")],
            [PLACE.to_owned(), OTHER_PLACE.to_owned()],
        ),
        (
            "https://as.example.com/a/b",
            [format!("{PLACE}/a/b"), format!("/a/b{OTHER_PLACE}")],
            [format!("{PLACE}/a"), format!("/a/b{PLACE}")],
        ),
    ] {
        let node = Node::start_with(kind, &[("issuer", issuer)]).await;
        for place in places {
            assert_eq!(get(&node, &place, &[]).await.json()["issuer"], json!(issuer), "{place}");
        }
        for place in elsewhere {
            assert_eq!(get(&node, &place, &[]).await.refusal(), (404, "not_found".into()), "{issuer}: {place}");
        }
    }
}

async fn section_3_2_the_answer_may_be_kept_and_is_not_sent_twice(kind: Kind) {
    let node = Node::start(kind).await;
    let answer = get(&node, PLACE, &[]).await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(answer.header("pragma"), None);
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
    for known in
        [tag.to_owned(), "*".to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), format!("{tag},\"x\"")]
    {
        let again = get(&node, PLACE, &[("if-none-match", &known)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "RFC 9110 section 13.1.2: {known}");
        assert_eq!(again.header("etag"), Some(tag));
        assert_eq!(again.header("cache-control"), answer.header("cache-control"));
    }
    for unknown in ["\"other\"", "W/\"other\"", "", tag.trim_matches('"')] {
        let again = get(&node, PLACE, &[("if-none-match", unknown)]).await;
        assert_eq!((again.status, again.body.as_str()), (200, answer.body.as_str()), "{unknown:?}");
    }
    let other = Node::start_with(kind, &[("issuer", "https://other.example.com")]).await;
    assert_ne!(get(&other, PLACE, &[]).await.header("etag"), Some(tag), "another document has another tag");
}

async fn section_3_2_the_document_is_for_everybody_and_nothing_else_is(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.resource_server().await;
    let origin = [("origin", "https://app.example.com")];
    for place in [PLACE, OTHER_PLACE] {
        assert_eq!(get(&node, place, &origin).await.header("access-control-allow-origin"), Some("*"), "{place}");
    }
    let header = format!("Basic {}", STANDARD.encode(format!("{}:{}", client.id, client.secret)));
    for (method, path) in [
        ("POST", "/introspect"),
        ("POST", "/revoke"),
        ("POST", "/token"),
        ("OPTIONS", "/introspect"),
        ("OPTIONS", "/revoke"),
        ("OPTIONS", "/token"),
        ("GET", "/livez"),
        ("GET", "/elsewhere"),
    ] {
        let request = node.api.request(method, &node.api.url(path)).header("origin", origin[0].1);
        let request = request.header("access-control-request-method", "POST").header("authorization", &header);
        let answer = node.api.send(request).await;
        assert!(
            !answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")),
            "{method} {path}: {:?}",
            answer.headers
        );
    }
}

async fn section_3_2_there_is_head_and_no_post(kind: Kind) {
    let node = Node::start(kind).await;
    for place in [PLACE, OTHER_PLACE] {
        let ask = async |method: &str| {
            let request = format!("{method} {place} HTTP/1.1\r\nHost: as.example.com\r\nConnection: close\r\n\r\n");
            raw::exchange(node.public, request.as_bytes()).await
        };
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert_eq!((get.status, head.status, head.body.as_str()), (200, 200, ""));
        let but_date = |headers: &[(String, String)]| -> Vec<(String, String)> {
            headers.iter().filter(|(name, _)| name != "date").cloned().collect()
        };
        assert_eq!(but_date(&head.headers), but_date(&get.headers), "the same headers, the length among them");
        assert_eq!(head.header("content-length").unwrap(), get.body.len().to_string());
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = node.api.send(node.api.request(method, &node.api.url(place))).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
        }
    }
}

async fn section_3_3_the_issuer_is_the_configured_text(kind: Kind) {
    for (issuer, place, token_endpoint) in [
        ("https://as.example.com", PLACE, "https://as.example.com/token"),
        ("https://as.example.com/", PLACE, "https://as.example.com/token"),
        (
            "https://AS.example.com:443/T1",
            "/.well-known/oauth-authorization-server/T1",
            "https://AS.example.com:443/T1/token",
        ),
    ] {
        let node = Node::start_with(kind, &[("issuer", issuer)]).await;
        let document = get(&node, place, &[]).await.json();
        assert_eq!(document["issuer"], json!(issuer), "character by character");
        assert_eq!(document["token_endpoint"], json!(token_endpoint));
        let client = node.application().await;
        let token = node.token(&client).await;
        let described = node.api.introspect(client.pair(), &token).await.json();
        assert_eq!(described["iss"], json!(issuer));
    }
}

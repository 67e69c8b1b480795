//! Mutual TLS, RFC 8705: clients that present certificates, to us or to a proxy of ours (RFC 9440), and tokens that are
//! bound to them. What makes a certificate a client's is tested name by name beside the code.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use introspectd::jose::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::rfc6749::ENDPOINTS;
use crate::support::api::Answer;
use crate::support::certificates::{Authority, Identity, SecureNode, authority_file};
use crate::support::jose::{Signer, with};
use crate::support::life::Pair;
use crate::support::node::{AUDIENCE, Kind, Node, Registered};
use crate::support::raw::RawAnswer;

over_both_stores! {
    rfc8705_2_1_a_certificate_of_the_authority_authenticates_at_every_endpoint
    rfc8705_2_1_2_each_kind_of_name_is_taken
    rfc8705_2_2_a_registered_certificate_authenticates
    rfc8705_2_the_registered_method_is_the_only_one
    rfc8705_2_what_is_not_the_clients_is_answered_alike
    rfc8705_3_tokens_are_bound_to_the_certificate
    rfc8705_3_1_a_signed_token_names_its_certificate
    rfc8705_4_the_refresh_token_of_a_public_client_is_bound_to_the_certificate
    rfc9440_3_only_a_declared_proxy_is_believed
}

async fn client(node: &Node, members: Value) -> Registered {
    let usual = json!({
        "token_endpoint_auth_method": "tls_client_auth", "rights": ["introspect"], "audiences": [AUDIENCE],
        "scope": "read", "grant_types": ["client_credentials"]
    });
    node.client(with(&usual, &members)).await
}

async fn introspect(secure: &SecureNode, identity: Option<&Identity>, id: &str) -> RawAnswer {
    secure.post("/introspect", identity, &[("client_id", id), ("token", "unknown-token")]).await
}

/// A set with one key, whose certificate this is.
fn registered(identity: &Identity) -> Value {
    let key = with(&Signer::of(Algorithm::EdDsa).jwk(), &json!({"x5c": [STANDARD.encode(&identity.certificate)]}));
    json!({"keys": [key]})
}

async fn rfc8705_2_1_a_certificate_of_the_authority_authenticates_at_every_endpoint(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let app = client(&secure.node, json!({"tls_client_auth_san_dns": "app.example.com"})).await;
    let identity = secure.authority.issue("app");
    for (path, form) in ENDPOINTS {
        let (name, value) = form.split_once('=').unwrap();
        let answer = secure.post(path, Some(&identity), &[(name, value), ("client_id", &app.id)]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let nameless = secure.post(path, Some(&identity), &[(name, value)]).await;
        assert_eq!(nameless.refusal(), (401, "invalid_client".into()), "section 2: the request names the client");
    }
}

async fn rfc8705_2_1_2_each_kind_of_name_is_taken(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let (identity, other) = (secure.authority.issue("app"), secure.authority.issue("other"));
    for (member, value, shared) in [
        ("tls_client_auth_subject_dn", "CN=app, O=Example", false),
        ("tls_client_auth_san_dns", "APP.example.com", false),
        ("tls_client_auth_san_uri", "spiffe://example.com/app", false),
        ("tls_client_auth_san_ip", "2001:DB8::7", true),
        ("tls_client_auth_san_email", "app@example.com", false),
    ] {
        let app = client(&secure.node, json!({member: value})).await;
        assert_eq!(introspect(&secure, Some(&identity), &app.id).await.status, 200, "{member}");
        let expected = if shared { 200 } else { 401 };
        assert_eq!(introspect(&secure, Some(&other), &app.id).await.status, expected, "{member}");
    }
}

async fn rfc8705_2_2_a_registered_certificate_authenticates(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let (identity, other) = (Identity::self_signed("app"), Identity::self_signed("app"));
    let members = json!({"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": registered(&identity)});
    let app = client(&secure.node, members).await;
    assert_eq!(introspect(&secure, Some(&identity), &app.id).await.status, 200);
    for stranger in [&other, &secure.authority.issue("app")] {
        let answer = introspect(&secure, Some(stranger), &app.id).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()));
    }
}

async fn rfc8705_2_the_registered_method_is_the_only_one(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let identity = secure.authority.issue("app");
    let app = client(&secure.node, json!({"tls_client_auth_san_dns": "app.example.com"})).await;
    assert_eq!(app.secret, "");
    let with_secret = [("client_id", app.id.as_str()), ("client_secret", "a-secret-nobody-registered"), ("token", "x")];
    assert_eq!(secure.post("/introspect", Some(&identity), &with_secret).await.status, 401);
    // A certificate of the connection is no mechanism of a client that is registered for another.
    let by_secret = client(&secure.node, json!({"token_endpoint_auth_method": "client_secret_post"})).await;
    assert_eq!(introspect(&secure, Some(&identity), &by_secret.id).await.status, 401);
    let form = [("client_id", &*by_secret.id), ("client_secret", &*by_secret.secret), ("token", "x")];
    assert_eq!(secure.post("/introspect", Some(&identity), &form).await.status, 200);
    let public = json!({"token_endpoint_auth_method": "none", "rights": [], "grant_types": []});
    let public = client(&secure.node, public).await;
    let form = [("client_id", &*public.id), ("token", "unknown-token")];
    assert_eq!(secure.post("/revoke", Some(&identity), &form).await.status, 200);
}

async fn rfc8705_2_what_is_not_the_clients_is_answered_alike(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let app = client(&secure.node, json!({"tls_client_auth_san_dns": "app.example.com"})).await;
    let mut bodies = Vec::new();
    for (what, identity, id) in [
        ("none", None, app.id.as_str()),
        ("another authority's", Some(Authority::new().issue("app")), &app.id),
        ("nobody's", Some(Identity::self_signed("app")), &app.id),
        ("of another name", Some(secure.authority.issue("other")), &app.id),
        ("of an unknown client", Some(secure.authority.issue("app")), "nobody"),
    ] {
        let answer = introspect(&secure, identity.as_ref(), id).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{what}");
        assert!(answer.header("www-authenticate").is_some());
        bodies.push(answer.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    // A header like a proxy's is nothing but a header.
    let stolen = format!("Client-Cert: {}\r\n", secure.authority.issue("app").header());
    let form = [("client_id", app.id.as_str()), ("token", "unknown-token")];
    assert_eq!(secure.post_with("/introspect", None, &stolen, &form).await.status, 401);
}

async fn rfc8705_3_tokens_are_bound_to_the_certificate(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let node = &secure.node;
    let identity = secure.authority.issue("app");
    let members = json!({
        "tls_client_auth_san_dns": "app.example.com", "tls_client_certificate_bound_access_tokens": true
    });
    let app = client(node, members).await;
    let form = [("client_id", &*app.id), ("grant_type", "client_credentials"), ("scope", "introspectd:introspect")];
    let answer = secure.post("/token", Some(&identity), &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let issued = answer.json();
    assert_eq!(issued["token_type"], "Bearer");
    let token = issued["access_token"].as_str().unwrap();
    let form = [("client_id", &*app.id), ("token", token)];
    let described = secure.post("/introspect", Some(&identity), &form).await.json();
    assert_eq!(described["cnf"], json!({"x5t#S256": thumbprint(&identity)}));
    // Section 3: without the certificate it is worth nothing, and as a Bearer token it comes without.
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let answer = secure.post_with("/introspect", None, &bearer, &[("token", token)]).await;
    assert_eq!(answer.refusal(), (401, "invalid_token".into()));
    // One that authenticates otherwise must present a certificate all the same.
    let members = json!({
        "token_endpoint_auth_method": "client_secret_post", "tls_client_certificate_bound_access_tokens": true
    });
    let by_secret = client(node, members).await;
    let form =
        [("client_id", &*by_secret.id), ("client_secret", &*by_secret.secret), ("grant_type", "client_credentials")];
    assert_eq!(secure.post("/token", None, &form).await.refusal(), (400, "invalid_request".into()));
    let anyone = Identity::self_signed("anyone");
    assert_eq!(secure.post("/token", Some(&anyone), &form).await.status, 200, "any certificate can bind");
}

fn thumbprint(identity: &Identity) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &identity.certificate))
}

async fn rfc8705_3_1_a_signed_token_names_its_certificate(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let identity = secure.authority.issue("app");
    let members = json!({
        "tls_client_auth_san_dns": "app.example.com", "tls_client_certificate_bound_access_tokens": true,
        "access_token_format": "jwt"
    });
    let app = client(&secure.node, members).await;
    let form = [("client_id", &*app.id), ("grant_type", "client_credentials")];
    let answer = secure.post("/token", Some(&identity), &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let issued = answer.json();
    let token = issued["access_token"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["cnf"], json!({"x5t#S256": thumbprint(&identity)}));
    let form = [("client_id", &*app.id), ("token", token)];
    assert_eq!(secure.post("/introspect", Some(&identity), &form).await.json()["cnf"], claims["cnf"]);
}

/// A client that does not authenticate proves with its certificate alone that it is the one that was granted.
async fn rfc8705_4_the_refresh_token_of_a_public_client_is_bound_to_the_certificate(kind: Kind) {
    let secure = SecureNode::start(kind).await;
    let node = &secure.node;
    let server = resource_server(node).await;
    let (identity, other) = (Identity::self_signed("app"), Identity::self_signed("app"));
    let signer = Signer::new();
    for format in ["opaque", "jwt"] {
        let app = node
            .client(json!({
                "token_endpoint_auth_method": "none", "grant_types": ["refresh_token"], "scope": "read write",
                "tls_client_certificate_bound_access_tokens": true, "access_token_format": format
            }))
            .await;
        let ask = async |token: &str, identity: Option<&Identity>, proof: Option<String>| {
            let headers = proof.map_or(String::new(), |proof| format!("DPoP: {proof}\r\n"));
            let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &*app.id)];
            secure.post_with("/token", identity, &headers, &form).await
        };
        // One grant that the issuer bound, and one that the first certificate binds.
        for members in [json!({"cnf": {"x5t#S256": thumbprint(&identity)}}), json!({})] {
            let mut refresh = node.grant(&app, members.clone()).await.refresh;
            for round in 0..2 {
                assert_eq!(ask(&refresh, None, None).await.refusal(), (400, "invalid_request".into()));
                if round > 0 || members.get("cnf").is_some() {
                    let refused = ask(&refresh, Some(&other), None).await;
                    assert_eq!(refused.refusal(), (400, "invalid_grant".into()), "another certificate");
                }
                let answer = ask(&refresh, Some(&identity), None).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let described = described(&secure, &server, &Pair::of(&answer.json()).access).await;
                assert_eq!(described["cnf"], json!({"x5t#S256": thumbprint(&identity)}));
                refresh = Pair::of(&answer.json()).refresh;
            }
            // A key comes beside the certificate (RFC 9449 section 5), and from then on both are needed.
            let proof = || Some(signer.proof(node, &json!({})));
            for _ in 0..2 {
                let answer = ask(&refresh, Some(&identity), proof()).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let described = described(&secure, &server, &Pair::of(&answer.json()).access).await;
                let both = json!({"x5t#S256": thumbprint(&identity), "jkt": signer.thumbprint()});
                assert_eq!(described["cnf"], both);
                refresh = Pair::of(&answer.json()).refresh;
            }
            assert_eq!(ask(&refresh, Some(&identity), None).await.refusal(), (400, "invalid_grant".into()));
            assert_eq!(ask(&refresh, Some(&other), proof()).await.refusal(), (400, "invalid_grant".into()));
        }
    }
}

async fn resource_server(node: &Node) -> Registered {
    let metadata = json!({
        "rights": ["introspect"], "audiences": [AUDIENCE], "token_endpoint_auth_method": "client_secret_post"
    });
    node.client(metadata).await
}

async fn described(secure: &SecureNode, server: &Registered, token: &str) -> Value {
    let form = [("client_id", &*server.id), ("client_secret", &*server.secret), ("token", token)];
    secure.post("/introspect", None, &form).await.json()
}

/// RFC 9700 section 4.13: a header that anybody can send is believed from those alone who are known to set it.
async fn rfc9440_3_only_a_declared_proxy_is_believed(kind: Kind) {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let file = authority_file(folder.path(), &authority);
    let identity = authority.issue("app");
    for (proxies, status) in [("127.0.0.0/8", 200), ("10.0.0.0/8", 401)] {
        let settings = [("authentication.client_ca_file", &*file), ("authentication.certificate_proxies", proxies)];
        let node = Node::start_with(kind, &settings).await;
        let app = client(&node, json!({"tls_client_auth_san_dns": "app.example.com"})).await;
        let ask = async |headers: &[&str]| -> Answer {
            let form = [("client_id", app.id.as_str()), ("token", "unknown-token")];
            let mut request = node.api.request("POST", &node.api.url("/introspect")).form(&form);
            for header in headers {
                request = request.header("client-cert", *header);
            }
            node.api.send(request).await
        };
        assert_eq!(ask(&[&identity.header()]).await.status, status, "{proxies}");
        assert_eq!(ask(&[]).await.status, 401);
        assert_eq!(ask(&[&Authority::new().issue("app").header()]).await.status, 401);
        if status == 200 {
            for broken in [&["nonsense"][..], &[&identity.header(), &identity.header()]] {
                assert_eq!(ask(broken).await.refusal(), (400, "invalid_request".into()));
            }
        }
    }
}

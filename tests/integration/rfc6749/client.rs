//! How clients authenticate (sections 2.2, 2.3, 5.2, appendix A).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use introspectd::client::secret::Secret;
use serde_json::json;

use super::{ENDPOINTS, PATIENT, everything};
use crate::support::api::Answer;
use crate::support::node::{Kind, Node, OPERATOR};

over_both_stores! {
    appendix_a_identifiers_and_secrets_are_printable_ascii
    section_2_2_an_identifier_alone_authenticates_no_confidential_client
    section_2_3_a_client_id_in_the_body_must_agree_with_the_header
    section_2_3_one_mechanism_only
    section_2_3_the_registered_method_is_enforced
    section_2_3_1_basic_vectors_authenticate
    section_2_3_1_malformed_basic_is_a_failed_authentication
    section_2_3_1_raw_and_encoded_pairs_authenticate
    section_2_3_1_the_scheme_is_compared_without_case_and_spaces
    section_2_3_1_two_secrets_are_live_after_a_rotation
    section_5_2_a_revoked_client_is_refused_until_it_is_approved
    section_5_2_every_way_to_fail_looks_the_same
    section_5_2_the_challenge_names_the_scheme
}

/// Introspects an unknown token with this `Authorization` header.
async fn with_header(node: &Node, header: &str) -> Answer {
    let request = node.api.request("POST", &node.api.url("/introspect")).form(&[("token", "unknown-token")]);
    node.api.send(request.header("authorization", header.as_bytes())).await
}

/// Introspects an unknown token with these parameters beside it.
async fn with_body(node: &Node, parameters: &[(&str, &str)]) -> Answer {
    let form: Vec<(&str, &str)> = parameters.iter().copied().chain([("token", "unknown-token")]).collect();
    node.api.send(node.api.request("POST", &node.api.url("/introspect")).form(&form)).await
}

async fn import(node: &Node, id: &str, secret: &str) {
    let metadata = json!({"client_id": id, "client_secret": secret, "rights": ["introspect"]});
    assert_eq!(node.client(metadata).await.pair(), (id, secret));
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Encodes as little as appendix B asks for, with `+` for a space.
fn form(text: &str) -> String {
    introspectd::form::encode(text)
}

/// Encodes everything but letters and digits, as oauth4webapi does; with `%20` for a space.
fn fully(text: &str) -> String {
    let encode = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

/// The same with hexadecimal digits in lower case.
fn lower(text: &str) -> String {
    let encode = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02x}") };
    text.bytes().map(encode).collect()
}

async fn appendix_a_identifiers_and_secrets_are_printable_ascii(kind: Kind) {
    let node = Node::start(kind).await;
    let long = "x".repeat(129);
    for id in ["", "caf\u{e9}", "tab\tid", "nul\0id", "del\u{7f}id", "line\nid", &long] {
        let answer = node.api.admin(OPERATOR, "POST", "/admin/clients", Some(json!({"client_id": id}))).await;
        assert_eq!(answer.refusal(), (400, "invalid_client_metadata".into()), "{id:?}");
    }
    let long = "x".repeat(Secret::MAX_BYTES + 1);
    for secret in ["", "short", "caf\u{e9}-caf\u{e9}", "secret\twith-tab", "secret\0with-nul", &long] {
        let answer = node.api.admin(OPERATOR, "POST", "/admin/clients", Some(json!({"client_secret": secret}))).await;
        assert_eq!(answer.refusal(), (400, "invalid_client_metadata".into()), "{secret:?}");
    }
}

async fn section_2_2_an_identifier_alone_authenticates_no_confidential_client(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    for (path, good) in ENDPOINTS {
        let body = format!("{good}&client_id={}", client.id);
        let request = node.api.request("POST", &node.api.url(path)).body(body);
        let answer = node.api.send(request.header("content-type", "application/x-www-form-urlencoded")).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{path}");
    }
    for secret in ["", " ", "%"] {
        assert_eq!(with_header(&node, &basic(&client.id, secret)).await.status, 401, "{secret:?}");
    }
}

async fn section_2_3_a_client_id_in_the_body_must_agree_with_the_header(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    for (path, good) in ENDPOINTS {
        for (id, status) in [(client.id.as_str(), 200), ("another", 400), (OPERATOR.0, 400)] {
            let request = node.api.request("POST", &node.api.url(path)).basic_auth(&client.id, Some(&client.secret));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = node.api.send(request.body(format!("{good}&client_id={id}"))).await;
            assert_eq!(answer.status, status, "{path} {id}");
            assert!(status == 200 || answer.error() == "invalid_request");
        }
    }
    // The identifier in the header is encoded there in its own way.
    import(&node, "rs-1.a_b~c", "s-e.c_r~t").await;
    let request = node.api.request("POST", &node.api.url("/introspect"));
    let request = request.header("authorization", basic(&fully("rs-1.a_b~c"), &fully("s-e.c_r~t")));
    let answer = node.api.send(request.form(&[("client_id", "rs-1.a_b~c"), ("token", "unknown-token")])).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

async fn section_2_3_one_mechanism_only(kind: Kind) {
    let node = Node::start(kind).await;
    let client = everything(&node).await;
    let token = node.token(&client).await;
    let (id, secret) = client.pair();
    let assertion = "client_assertion=e30.e30.e30\
                     &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let header = basic(id, secret);
    let bearer = format!("Bearer {token}");
    for (path, good) in ENDPOINTS {
        for (header, body) in [
            (Some(&header), format!("client_id={id}&client_secret={secret}")),
            (Some(&header), format!("client_secret={secret}")),
            (Some(&header), assertion.to_owned()),
            (Some(&header), format!("client_id={id}&{assertion}")),
            (Some(&bearer), format!("client_id={id}&client_secret={secret}")),
            (Some(&bearer), assertion.to_owned()),
            (None, format!("client_id={id}&client_secret={secret}&{assertion}")),
        ] {
            let mut request = node.api.request("POST", &node.api.url(path));
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = node.api.send(request.body(format!("{good}&{body}"))).await;
            assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{path} {header:?} {body}");
        }
    }
    // An assertion alone is one mechanism, and none that anybody is registered with.
    let parameters = [("client_id", id), ("client_assertion", "e30.e30.e30"), ("client_assertion_type", "x")];
    assert_eq!(with_body(&node, &parameters).await.refusal(), (401, "invalid_client".into()));
}

async fn section_2_3_the_registered_method_is_enforced(kind: Kind) {
    let node = Node::start(kind).await;
    for (method, by_header, by_body, by_name) in [
        (None, 200, 200, 401),
        (Some("client_secret_basic"), 200, 401, 401),
        (Some("client_secret_post"), 401, 200, 401),
        // Naming itself is enough elsewhere, but nobody introspects without having proved who it is (RFC 7662 section
        // 2.1).
        (Some("none"), 401, 401, 401),
    ] {
        let rights = if method == Some("none") { json!([]) } else { json!(["introspect"]) };
        let mut metadata = json!({"rights": rights});
        if method != Some("none") {
            metadata["client_secret"] = json!("the-secret-of-the-client");
        }
        if let Some(method) = method {
            metadata["token_endpoint_auth_method"] = json!(method);
        }
        let client = node.client(metadata).await;
        let (id, secret) = (client.id.as_str(), "the-secret-of-the-client");
        assert_eq!(with_header(&node, &basic(id, secret)).await.status, by_header, "{method:?} by header");
        let body = [("client_id", id), ("client_secret", secret)];
        assert_eq!(with_body(&node, &body).await.status, by_body, "{method:?} by body");
        assert_eq!(with_body(&node, &[("client_id", id)]).await.status, by_name, "{method:?} by name");
    }
}

async fn section_2_3_1_basic_vectors_authenticate(kind: Kind) {
    let node = Node::start(kind).await;
    import(&node, "1PpG/Q 1", "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=").await;
    import(&node, "rs-1.a_b~c", "s-e.c_r~t").await;
    import(&node, "s6BhdRkqt3", "gX1fBat3bV").await;
    for vector in [
        "MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA==",
        "MVBwRyUyRlElMjAxOnolMkZ0WjlWd0ZacUFwbUlRJTJCWkgxSTVwTGslMkZ1QjR1ZCUzQVgyJTJGOGJMJTJCd2ZGVHQxckZ3JTNE",
        "cnMlMkQxJTJFYSU1RmIlN0VjOnMlMkRlJTJFYyU1RnIlN0V0",
        "cnMtMS5hX2J+YzpzLWUuY19yfnQ=",
        "czZCaGRSa3F0MzpnWDFmQmF0M2JW",
    ] {
        assert_eq!(with_header(&node, &format!("Basic {vector}")).await.status, 200, "{vector}");
    }
}

async fn section_2_3_1_malformed_basic_is_a_failed_authentication(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    let encode = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes));
    for header in [
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic !!!!".to_owned(),
        "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW czZCaGRSa3F0MzpnWDFmQmF0M2JW".to_owned(),
        encode(b""),
        encode(b":"),
        encode(b":secret"),
        encode(b"no-colon"),
        encode(b"\xff\xfe:secret"),
        encode("caf\u{e9}:secret".as_bytes()),
        encode(b"nul\0:secret"),
        encode(b"id:line\r\nbreak"),
        encode(b"id:del\x7f"),
        encode(b"id:%FF%FE"),
        encode(b"id:%00"),
        encode(b"id:%"),
        encode(b"%:%"),
        encode(b"%zz:%4"),
        encode(&[b'x'; 8000]),
        encode(format!("{}:secret", "x".repeat(4000)).as_bytes()),
        encode(format!("id:{}", "x".repeat(8000)).as_bytes()),
        String::new(),
        "Digest username=\"x\", realm=\"y\"".to_owned(),
        "czZCaGRSa3F0MzpnWDFmQmF0M2JW".to_owned(),
    ] {
        let answer = with_header(&node, &header).await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{header:?}");
    }
}

async fn section_2_3_1_raw_and_encoded_pairs_authenticate(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    for (id, secret) in [
        ("plain", "plain-secret"),
        ("rs-1.a_b~c", "s-e.c_r~t"),
        ("with space", "secret with spaces"),
        ("plus+id", "a+b%2Bc+d"),
        ("percent%id", "100%sure%"),
        ("escape%41id", "%41%42%43secret"),
        ("slash/id", "s/e=c@r!e&t?"),
        ("mail@example.com", "colon:in:secret"),
        ("\"quoted\\", "\"quoted\\secret"),
    ] {
        import(&node, id, secret).await;
        for encode in [str::to_owned, form, fully, lower] {
            let pair = (encode(id), encode(secret));
            let header = basic(&pair.0, &pair.1);
            assert_eq!(with_header(&node, &header).await.status, 200, "{id} {secret} as {pair:?}");
        }
        let body = [("client_id", id), ("client_secret", secret)];
        assert_eq!(with_body(&node, &body).await.status, 200, "{id} in the body");
        assert_eq!(with_header(&node, &basic(id, &format!("{secret}x"))).await.status, 401);
    }
    // A colon in an identifier is told from the separator only when it is encoded.
    import(&node, "urn:client:1", "colon-in-the-identifier").await;
    for encode in [form, fully] {
        let header = basic(&encode("urn:client:1"), &encode("colon-in-the-identifier"));
        assert_eq!(with_header(&node, &header).await.status, 200);
    }
    assert_eq!(with_header(&node, &basic("urn:client:1", "colon-in-the-identifier")).await.status, 401);
}

async fn section_2_3_1_the_scheme_is_compared_without_case_and_spaces(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.resource_server().await;
    let pair = STANDARD.encode(format!("{}:{}", client.id, client.secret));
    for scheme in ["Basic ", "basic ", "BASIC ", "bAsIc    "] {
        assert_eq!(with_header(&node, &format!("{scheme}{pair}")).await.status, 200, "{scheme:?}");
    }
    let unpadded = pair.trim_end_matches('=');
    assert_eq!(with_header(&node, &format!("Basic {unpadded}")).await.status, 200);
    for scheme in ["Basi ", "Basic2 ", "Basic:", "Basic"] {
        assert_eq!(with_header(&node, &format!("{scheme}{pair}")).await.status, 401, "{scheme:?}");
    }
}

async fn section_2_3_1_two_secrets_are_live_after_a_rotation(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let client = node.resource_server().await;
    let path = format!("/admin/clients/{}/rotate-secret", client.id);
    let rotate = async |overlap: u64| {
        let body = json!({"overlap_seconds": overlap});
        let answer = node.api.admin(OPERATOR, "POST", &path, Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["client_secret"].as_str().unwrap().to_owned()
    };
    let accepts = async |secret: &str| with_header(&node, &basic(&client.id, secret)).await.status == 200;
    let second = rotate(60).await;
    assert!(accepts(&client.secret).await && accepts(&second).await);
    node.pass(Duration::from_secs(59)).await;
    assert!(accepts(&client.secret).await, "the old one until the last second");
    node.pass(Duration::from_secs(1)).await;
    assert!(!accepts(&client.secret).await, "and not in the next");
    assert!(accepts(&second).await);
    let third = rotate(60).await;
    let fourth = rotate(60).await;
    assert!(!accepts(&second).await, "two are live at most");
    assert!(accepts(&third).await && accepts(&fourth).await);
    let fifth = rotate(0).await;
    assert!(!accepts(&fourth).await, "without an overlap the old one ends at once");
    assert!(accepts(&fifth).await);
    let usual = node.api.admin(OPERATOR, "POST", &path, None).await.json();
    assert!(accepts(&fifth).await, "the usual overlap is a day");
    let expiry = usual["secrets"][1]["expires_at"].as_u64().unwrap();
    assert_eq!(expiry, node.now() + 86_400);
}

async fn section_5_2_a_revoked_client_is_refused_until_it_is_approved(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.resource_server().await;
    let header = basic(&client.id, &client.secret);
    assert_eq!(with_header(&node, &header).await.status, 200);
    node.api.admin(OPERATOR, "POST", &format!("/admin/clients/{}/revoke", client.id), None).await;
    assert_eq!(with_header(&node, &header).await.refusal(), (401, "invalid_client".into()));
    node.api.admin(OPERATOR, "POST", &format!("/admin/clients/{}/approve", client.id), None).await;
    assert_eq!(with_header(&node, &header).await.status, 200);
}

async fn section_5_2_every_way_to_fail_looks_the_same(kind: Kind) {
    let node = Node::start_with(kind, &PATIENT).await;
    let client = everything(&node).await;
    let post_only = node.client(json!({"token_endpoint_auth_method": "client_secret_post"})).await;
    let basic_only = node.client(json!({"token_endpoint_auth_method": "client_secret_basic"})).await;
    let public = node.client(json!({"token_endpoint_auth_method": "none"})).await;
    let revoked = everything(&node).await;
    node.api.admin(OPERATOR, "POST", &format!("/admin/clients/{}/revoke", revoked.id), None).await;
    let long = "x".repeat(2000);
    for (path, _) in ENDPOINTS {
        let mut expected = None;
        for (id, secret) in [
            (client.id.as_str(), "wrong"),
            ("unknown", "wrong"),
            ("unknown", client.secret.as_str()),
            (&long, "wrong"),
            (&client.id, &long),
            (OPERATOR.0, "wrong"),
            (&revoked.id, &revoked.secret),
            (&public.id, "wrong"),
        ] {
            let by_header = node.api.post(path, (id, secret), &[]).await;
            let request = node.api.request("POST", &node.api.url(path));
            let form = [("client_id", id), ("client_secret", secret)];
            let by_body = node.api.send(request.form(&form)).await;
            assert_eq!(by_header.refusal(), (401, "invalid_client".into()), "{path} {id}");
            let expected = expected.get_or_insert_with(|| by_header.seen().2.to_owned()).clone();
            assert_eq!(by_body.seen(), by_header.seen(), "{path} {id}");
            assert_eq!(by_header.body, expected, "{path} {id}");
        }
        let wrong_method = node.api.post(path, post_only.pair(), &[]).await;
        assert_eq!(Some(wrong_method.body), expected);
        let request = node.api.request("POST", &node.api.url(path));
        let form = [("client_id", basic_only.id.as_str()), ("client_secret", &basic_only.secret)];
        assert_eq!(Some(node.api.send(request.form(&form)).await.body), expected);
    }
}

async fn section_5_2_the_challenge_names_the_scheme(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.resource_server().await;
    let challenges = |answer: &Answer| -> Vec<String> {
        let lines = answer.headers.get_all("www-authenticate").iter();
        lines.map(|line| line.to_str().unwrap().split(' ').next().unwrap().to_owned()).collect()
    };
    let wrong = with_header(&node, &basic(&client.id, "wrong")).await;
    assert_eq!((wrong.status, challenges(&wrong)), (401, vec!["Basic".to_owned()]));
    assert!(wrong.header("www-authenticate").unwrap().contains("realm=\""));
    let wrong = with_body(&node, &[("client_id", &client.id), ("client_secret", "wrong")]).await;
    assert_eq!((wrong.status, challenges(&wrong)), (401, vec!["Basic".to_owned()]));
    let wrong = with_header(&node, "Bearer unknown-token-2").await;
    assert_eq!((wrong.status, challenges(&wrong)), (401, vec!["Bearer".to_owned()]));
    assert_eq!(wrong.error(), "invalid_token");
    let none = with_body(&node, &[]).await;
    assert_eq!((none.status, challenges(&none)), (401, vec!["Basic".to_owned(), "Bearer".to_owned()]));
}

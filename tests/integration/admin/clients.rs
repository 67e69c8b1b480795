//! Client records: created, read, listed, changed, deleted.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{HOSTILE, deep, operate, post_bytes};
use crate::support::node::{Kind, Node, OPERATOR};
use crate::support::raw;

over_both_stores! {
    a_client_is_created_read_changed_and_deleted
    a_declared_client_is_changed_nowhere_but_in_the_configuration
    a_patch_changes_what_it_names_and_a_put_everything
    bad_metadata_is_refused_with_the_member_and_the_rule
    identifiers_of_any_printable_kind_work_in_paths
    of_two_creations_at_once_one_succeeds
    pages_hold_every_client_once
    unknown_members_are_ignored
    what_is_no_client_is_not_found
}

fn rfc7591_members(record: &Value) -> BTreeSet<String> {
    record.as_object().unwrap().keys().cloned().collect()
}

/// RFC 7591 sections 2 and 3.2.1.
async fn a_client_is_created_read_changed_and_deleted(kind: Kind) {
    let node = Node::start(kind).await;
    let metadata = json!({
        "client_name": "Gateway", "token_endpoint_auth_method": "client_secret_post", "scope": "read write",
        "grant_types": ["client_credentials", "refresh_token"], "audiences": ["https://api.example.com", "*"],
        "rights": ["introspect", "revoke", "issue", "admin"], "access_token_lifetime": 120
    });
    let answer = operate(&node, "POST", "/admin/clients", Some(metadata.clone())).await;
    assert_eq!((answer.status, answer.header("content-type")), (201, Some("application/json")));
    let created = answer.json();
    for (name, value) in metadata.as_object().unwrap() {
        assert_eq!(&created[name], value, "{name}");
    }
    assert_eq!(created["client_secret_expires_at"], json!(0), "required with a secret: 0 is never");
    assert!(created["client_id_issued_at"].as_u64().unwrap().abs_diff(node.now()) < 20);
    assert_eq!((&created["state"], &created["declared"]), (&json!("approved"), &json!(false)));
    let (id, secret) = (created["client_id"].as_str().unwrap(), created["client_secret"].as_str().unwrap());
    let path = format!("/admin/clients/{id}");

    let read = operate(&node, "GET", &path, None).await;
    assert!(
        !read.body.contains(secret) && !read.body.contains("blake3") && !read.body.contains("hash"),
        "{}",
        read.body
    );
    let shown_once = ["client_secret", "client_secret_expires_at"].map(str::to_owned).into();
    assert_eq!(&rfc7591_members(&created) - &rfc7591_members(&read.json()), shown_once, "the secret is shown once");
    assert_eq!(operate(&node, "GET", "/admin/clients", None).await.json()["clients"][1], read.json());

    let changed = operate(&node, "PATCH", &path, Some(json!({"client_name": "Renamed"}))).await;
    assert_eq!((changed.status, &changed.json()["client_name"]), (200, &json!("Renamed")));
    assert_eq!(operate(&node, "GET", &path, None).await.json(), changed.json());
    let deleted = operate(&node, "DELETE", &path, None).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert_eq!(operate(&node, "GET", &path, None).await.refusal(), (404, "not_found".into()));
    assert_eq!(operate(&node, "DELETE", &path, None).await.refusal(), (404, "not_found".into()));
    assert_eq!(operate(&node, "GET", "/admin/clients", None).await.json()["clients"].as_array().unwrap().len(), 1);
}

async fn a_patch_changes_what_it_names_and_a_put_everything(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node
        .client(json!({
            "client_name": "Gateway", "scope": "read", "audiences": ["a"], "rights": ["introspect"],
            "grant_types": ["client_credentials"], "access_token_lifetime": 60,
            "token_endpoint_auth_method": "client_secret_basic"
        }))
        .await;
    let path = format!("/admin/clients/{}", client.id);
    let before = operate(&node, "GET", &path, None).await.json();
    let mut expected = before.clone();
    expected["scope"] = json!("write");
    let patched = operate(&node, "PATCH", &path, Some(json!({"scope": "write"}))).await.json();
    assert_eq!(patched, expected, "only the member that was named");
    assert_eq!(operate(&node, "PATCH", &path, Some(json!({}))).await.json(), expected);
    assert_eq!(operate(&node, "PATCH", &path, Some(json!({"scope": null}))).await.json(), expected);

    let put =
        operate(&node, "PUT", &path, Some(json!({"client_name": "Other", "rights": ["introspect"]}))).await.json();
    assert_eq!((&put["client_name"], &put["scope"], &put["audiences"]), (&json!("Other"), &json!(""), &json!([])));
    assert_eq!((&put["grant_types"], put.get("access_token_lifetime")), (&json!([]), None));
    for kept in ["client_id", "client_id_issued_at", "secrets", "state"] {
        assert_eq!(put[kept], before[kept], "{kept} is no metadata");
    }
    assert_eq!(node.api.introspect(client.pair(), "unknown-token").await.status, 200, "its secret still works");
    operate(&node, "POST", &format!("{path}/revoke"), None).await;
    for method in ["PUT", "PATCH"] {
        for other in
            [json!({"state": "approved"}), json!({"client_id": "another"}), json!({"client_secret": "another-one"})]
        {
            let answer = operate(&node, method, &path, Some(other.clone())).await;
            assert_eq!(answer.refusal(), (400, "invalid_client_metadata".into()), "{method} {other}");
        }
    }
    let whole = operate(&node, "GET", &path, None).await.json();
    assert_eq!(whole["state"], json!("revoked"), "only approval approves");
    assert_eq!(operate(&node, "PUT", &path, Some(whole.clone())).await.json(), whole, "what was read may be sent back");
    // Without authentication there is nothing to prove, so the secret goes.
    let public = operate(&node, "PUT", &path, Some(json!({"token_endpoint_auth_method": "none"}))).await.json();
    assert_eq!(public["secrets"], json!([]));
}

async fn unknown_members_are_ignored(kind: Kind) {
    let node = Node::start(kind).await;
    let metadata = json!({
        "redirect_uris": ["https://app.example.com/callback"], "logo_uri": "https://app.example.com/logo",
        "client_name#fr": "Passerelle", "x": {"y": [1, 2]}, "client_name": "Gateway", "state": "revoked",
        "secrets": [], "declared": true, "client_id_issued_at": 1
    });
    let answer = operate(&node, "POST", "/admin/clients", Some(metadata)).await;
    assert_eq!(answer.status, 201, "RFC 7591 section 2: {}", answer.body);
    let created = answer.json();
    for ignored in ["redirect_uris", "logo_uri", "client_name#fr", "x"] {
        assert_eq!(created.get(ignored), None, "{ignored}");
    }
    assert_eq!((&created["state"], &created["declared"]), (&json!("approved"), &json!(false)));
    assert_ne!(created["client_id_issued_at"], json!(1));
    let path = format!("/admin/clients/{}", created["client_id"].as_str().unwrap());
    let body = json!({"policy_uri": "https://x.example.com", "x": 1});
    let patched = operate(&node, "PATCH", &path, Some(body)).await.json();
    assert_eq!((&patched["client_id"], patched.get("client_secret")), (&created["client_id"], None));
}

/// RFC 7591 section 3.2.2.
async fn bad_metadata_is_refused_with_the_member_and_the_rule(kind: Kind) {
    let node = Node::start(kind).await;
    let path = format!("/admin/clients/{}", node.application().await.id);
    let before = operate(&node, "GET", &path, None).await.json();
    let many: Vec<String> = (0..65).map(|number| format!("a{number}")).collect();
    let long = "x".repeat(60_000);
    for bad in [
        json!({"client_name": 1}),
        json!({"client_name": "x".repeat(257)}),
        json!({"client_name": "line\nbreak"}),
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
        json!({"token_endpoint_auth_method": "client_secret_jwt"}),
        json!({"token_endpoint_auth_method": "Client_Secret_Basic"}),
        json!({"token_endpoint_auth_method": ["none"]}),
        json!({"grant_types": "client_credentials"}),
        json!({"grant_types": ["password"]}),
        json!({"grant_types": [null]}),
        json!({"scope": ["read"]}),
        json!({"scope": "read  write"}),
        json!({"scope": "re\"ad"}),
        json!({"scope": "introspectd:admin"}),
        json!({"scope": "read introspectd:introspect"}),
        json!({"audiences": "a"}),
        json!({"audiences": [""]}),
        json!({"audiences": ["caf\u{e9}"]}),
        json!({"audiences": ["x".repeat(1025)]}),
        json!({"audiences": many}),
        json!({"rights": ["root"]}),
        json!({"rights": "admin"}),
        json!({"access_token_lifetime": -1}),
        json!({"access_token_lifetime": "60"}),
        json!({"access_token_lifetime": 1.5}),
        json!({"token_endpoint_auth_method": "none", "grant_types": ["client_credentials"]}),
        json!({"token_endpoint_auth_method": "none", "rights": ["introspect"]}),
        json!({"rights": long}),
    ] {
        for (method, path) in [("POST", "/admin/clients"), ("PATCH", &path), ("PUT", &path)] {
            let answer = operate(&node, method, path, Some(bad.clone())).await;
            assert_eq!(answer.refusal(), (400, "invalid_client_metadata".into()), "{method} {bad}");
            assert!(answer.body.len() < 400, "{method}: {} bytes", answer.body.len());
        }
    }
    let secret_of_a_public_client =
        json!({"token_endpoint_auth_method": "none", "client_secret": "long-enough-secret"});
    for bad in
        [json!({"client_id": null}), json!({"client_id": 1}), json!({"client_secret": null}), secret_of_a_public_client]
    {
        let answer = operate(&node, "POST", "/admin/clients", Some(bad.clone())).await;
        assert_eq!(answer.refusal(), (400, "invalid_client_metadata".into()), "{bad}");
    }
    let repeated = b"{\"scope\":\"read\",\"scope\":\"write\"}";
    for body in HOSTILE.into_iter().chain([&deep()[..], repeated]) {
        let answer = post_bytes(&node, "/admin/clients", body).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(operate(&node, "GET", &path, None).await.json(), before, "nothing of it was taken");
}

async fn a_declared_client_is_changed_nowhere_but_in_the_configuration(kind: Kind) {
    let node = Node::start(kind).await;
    let path = format!("/admin/clients/{}", OPERATOR.0);
    let before = operate(&node, "GET", &path, None).await;
    assert_eq!((before.status, &before.json()["declared"]), (200, &json!(true)));
    assert!(!before.body.contains(OPERATOR.1));
    for (method, path, body) in [
        ("POST", "/admin/clients".to_owned(), Some(json!({"client_id": OPERATOR.0}))),
        ("PATCH", path.clone(), Some(json!({"client_name": "x"}))),
        ("PUT", path.clone(), Some(json!({"rights": []}))),
        ("POST", format!("{path}/rotate-secret"), None),
        ("POST", format!("{path}/revoke"), None),
        ("POST", format!("{path}/approve"), None),
        ("DELETE", path.clone(), None),
    ] {
        let answer = operate(&node, method, &path, body).await;
        assert_eq!(answer.refusal(), (409, "invalid_request".into()), "{method} {path}");
    }
    assert_eq!(operate(&node, "GET", &path, None).await.json(), before.json());
}

async fn of_two_creations_at_once_one_succeeds(kind: Kind) {
    let node = Node::start(kind).await;
    for round in 0..5 {
        let body = json!({"client_id": format!("wanted-{round}")});
        let creations = (0..4).map(|_| {
            let (api, body) = (node.api.clone(), body.clone());
            tokio::spawn(async move { api.admin(OPERATOR, "POST", "/admin/clients", Some(body)).await.status })
        });
        let mut statuses = Vec::new();
        for creation in creations.collect::<Vec<_>>() {
            statuses.push(creation.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
    }
}

async fn pages_hold_every_client_once(kind: Kind) {
    let node = Node::start(kind).await;
    let mut expected: BTreeSet<String> = BTreeSet::from([OPERATOR.0.to_owned()]);
    for id in ["a", "b c", "b+c", "b%20c", "b&limit=1", "\u{7e}", "z/z"] {
        expected.insert(node.client(json!({"client_id": id})).await.id);
    }
    for limit in [1, 2, 3, 7, 8, 1000] {
        let (mut seen, mut pages) = (Vec::new(), 0);
        let mut path = format!("/admin/clients?limit={limit}");
        loop {
            let page = operate(&node, "GET", &path, None).await;
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            let page = page.json();
            let clients = page["clients"].as_array().unwrap();
            assert!(clients.len() <= limit + usize::from(pages == 0), "the declared ones come first and beside");
            seen.extend(clients.iter().map(|client| client["client_id"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/admin/clients?limit={limit}&after={}", introspectd::form::encode(next));
        }
        assert_eq!(seen.len(), expected.len(), "limit {limit}: {seen:?}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    for query in ["limit=0", "limit=1001", "limit=", "limit=-1", "limit=x", "after=", "after=%00", "other=1", "after=%"]
    {
        let answer = operate(&node, "GET", &format!("/admin/clients?{query}"), None).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{query}");
    }
}

async fn identifiers_of_any_printable_kind_work_in_paths(kind: Kind) {
    let node = Node::start(kind).await;
    let long = "l".repeat(128);
    for id in
        ["a/b", "a b", "a+b", "a%41", "a?b", "a#b", "..", ".", "~", "\"\\", "revoke", "x/rotate-secret", ":", &long]
    {
        let created = operate(&node, "POST", "/admin/clients", Some(json!({"client_id": id}))).await;
        assert_eq!(created.status, 201, "{id}");
        let encoded = introspectd::form::encode(id).replace('+', "%20");
        let authorization = STANDARD.encode(format!("{}:{}", OPERATOR.0, OPERATOR.1));
        // Byte by byte: a client's URL library would resolve the dots.
        let call = async |method: &str, action: &str| {
            let request = format!(
                "{method} /admin/clients/{encoded}{action} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\
                 Authorization: Basic {authorization}\r\n\r\n"
            );
            raw::exchange(node.admin, request.as_bytes()).await
        };
        let read = call("GET", "").await;
        assert_eq!(read.status, 200, "{id}: {}", read.body);
        assert_eq!(serde_json::from_str::<Value>(&read.body).unwrap()["client_id"], json!(id));
        for action in ["/revoke", "/approve", "/rotate-secret"] {
            assert_eq!(call("POST", action).await.status, 200, "{id} {action}");
        }
        assert_eq!(call("DELETE", "").await.status, 204, "{id}");
        assert_eq!(call("GET", "").await.status, 404, "{id}");
    }
}

async fn what_is_no_client_is_not_found(kind: Kind) {
    let node = Node::start(kind).await;
    let long = "l".repeat(129);
    for id in ["unknown", "%00", "%zz", "%", "caf%C3%A9", "%FF", &long, ""] {
        for (method, action) in
            [("GET", ""), ("PATCH", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/revoke"), ("POST", "/rotate-secret")]
        {
            let answer = operate(&node, method, &format!("/admin/clients/{id}{action}"), Some(json!({}))).await;
            assert_eq!(answer.refusal(), (404, "not_found".into()), "{method} {id}{action}");
        }
    }
}

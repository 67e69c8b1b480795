//! A connection that has proved who is calling need not prove it with every request; and that never makes anybody be
//! believed who would not be on a connection of its own. The client of these tests keeps one connection.

use std::time::Duration;

use serde_json::json;

use crate::support::node::{Kind, Node, Registered};

over_both_stores! {
    a_client_that_is_revoked_is_refused_on_its_connection_too
    a_header_that_differs_in_one_place_is_another
    a_header_that_was_accepted_does_not_vouch_for_the_body
    a_secret_that_has_come_to_its_end_is_refused_on_its_connection_too
    whoever_has_to_wait_waits_on_its_connection_too
}

async fn status(node: &Node, client: (&str, &str), form: &[(&str, &str)]) -> u16 {
    node.api.post("/introspect", client, form).await.status
}

const TOKEN: [(&str, &str); 1] = [("token", "some-token")];

/// Asks often enough for the connection to remember.
async fn warm(node: &Node, client: &Registered) {
    for _ in 0..3 {
        assert_eq!(status(node, client.pair(), &TOKEN).await, 200);
    }
}

async fn a_secret_that_has_come_to_its_end_is_refused_on_its_connection_too(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let server = node.resource_server().await;
    let path = format!("/admin/clients/{}/rotate-secret", server.id);
    node.operate("POST", &path, Some(json!({"overlap_seconds": 60}))).await;
    warm(&node, &server).await;
    node.pass(Duration::from_secs(59)).await;
    warm(&node, &server).await;
    node.pass(Duration::from_secs(1)).await;
    assert_eq!(status(&node, server.pair(), &TOKEN).await, 401);
}

async fn a_client_that_is_revoked_is_refused_on_its_connection_too(kind: Kind) {
    let node = Node::start(kind).await;
    let server = node.resource_server().await;
    for _ in 0..2 {
        warm(&node, &server).await;
        node.operate("POST", &format!("/admin/clients/{}/revoke", server.id), None).await;
        assert_eq!(status(&node, server.pair(), &TOKEN).await, 401);
        node.operate("POST", &format!("/admin/clients/{}/approve", server.id), None).await;
    }
    warm(&node, &server).await;
    node.operate("DELETE", &format!("/admin/clients/{}", server.id), None).await;
    assert_eq!(status(&node, server.pair(), &TOKEN).await, 401);
}

async fn whoever_has_to_wait_waits_on_its_connection_too(kind: Kind) {
    let node = Node::start_still(kind, &[("authentication.failures_per_client", "3")]).await;
    let server = node.resource_server().await;
    warm(&node, &server).await;
    for _ in 0..3 {
        assert_eq!(status(&node, (&server.id, "wrong"), &TOKEN).await, 401);
        // Its own success forgets its failures; so nobody asks rightly between them.
    }
    assert_eq!(status(&node, server.pair(), &TOKEN).await, 429);
    node.pass(Duration::from_secs(2)).await;
    warm(&node, &server).await;
}

async fn a_header_that_differs_in_one_place_is_another(kind: Kind) {
    let node = Node::start(kind).await;
    let (one, other) = (node.resource_server().await, node.resource_server().await);
    warm(&node, &one).await;
    let mut last = one.secret.clone().into_bytes();
    let end = last.last_mut().unwrap();
    *end = if *end == b'A' { b'B' } else { b'A' };
    let longer = format!("{}A", one.secret);
    for wrong in [std::str::from_utf8(&last).unwrap(), &longer, &one.secret[1..], "", &other.secret] {
        assert_eq!(status(&node, (&one.id, wrong), &TOKEN).await, 401);
    }
    assert_eq!(status(&node, (&other.id, &one.secret), &TOKEN).await, 401);
    warm(&node, &other).await;
    warm(&node, &one).await;
    assert_eq!(node.api.post_bare("/introspect", &TOKEN).await.status, 401);
    let authorization = "Bearer some-token";
    assert_eq!(node.api.post_as("/introspect", authorization, &TOKEN).await.status, 401);
}

async fn a_header_that_was_accepted_does_not_vouch_for_the_body(kind: Kind) {
    let node = Node::start(kind).await;
    let (one, other) = (node.resource_server().await, node.resource_server().await);
    warm(&node, &one).await;
    for (name, value) in [
        ("client_id", &*other.id),
        ("client_secret", &one.secret),
        ("client_assertion", "x.y.z"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ] {
        let form = [("token", "some-token"), (name, value)];
        assert_eq!(status(&node, one.pair(), &form).await, 400, "{name}");
    }
    let form = [("token", "some-token"), ("client_id", &one.id)];
    assert_eq!(status(&node, one.pair(), &form).await, 200);
}

//! What both listeners say that they answer: everything in it is there, and the rest is not in it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::node::{Kind, Node};

over_both_stores! {
    every_described_path_is_there_with_the_described_methods
    routes_that_are_off_are_not_described
    the_description_may_be_kept_and_is_not_sent_twice
}

const ALL_ON: [(&str, &str); 2] = [("accounts.enabled", "true"), ("forward_auth.enabled", "true")];

async fn description(node: &Node, url: &str) -> Value {
    let answer = node.api.send(node.api.request("GET", url)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

/// The path with something in it that could be the name of anything.
fn filled(template: &str) -> String {
    let segments = template.split('/').map(|part| if part.starts_with('{') { "p6enp6enp6enp6enp6enpw" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

async fn every_described_path_is_there_with_the_described_methods(kind: Kind) {
    let node = Node::start_with(kind, &ALL_ON).await;
    for (base, least) in [(node.api.url(""), 20), (node.api.admin_url(""), 20)] {
        let document = description(&node, &format!("{base}/openapi.json")).await;
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() >= least, "{} paths", paths.len());
        // Every method is answered there, so that none is named.
        for (template, item) in paths.iter().filter(|(template, _)| !template.starts_with("/forward-auth")) {
            let url = format!("{base}{}", filled(template));
            let answer = node.api.send(node.api.request("NOT-A-METHOD", &url)).await;
            assert_eq!(answer.status, 501, "{template}: {}", answer.body);
            let allowed = answer.header("allow").unwrap().split(", ").map(str::to_lowercase);
            let allowed: BTreeSet<String> = allowed.filter(|method| method != "head" && method != "options").collect();
            let described: BTreeSet<String> = item.as_object().unwrap().keys().cloned().collect();
            assert_eq!(described, allowed, "{template}");
        }
    }
    for path in ["/forward-auth", "/forward-auth/orders/1"] {
        let answer = node.api.send(node.api.request("GET", &node.api.url(path))).await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

async fn routes_that_are_off_are_not_described(kind: Kind) {
    let node = Node::start(kind).await;
    let document = description(&node, &node.api.url("/openapi.json")).await;
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert!(paths.iter().any(|path| *path == "/introspect"));
    for path in ["/login", "/sessions/{session_id}", "/forward-auth", "/admin/clients", "/metrics"] {
        assert!(!paths.iter().any(|described| *described == path), "{path}");
    }
    let metadata = description(&node, &node.api.url("/.well-known/oauth-authorization-server")).await;
    assert_eq!(document["servers"][0]["url"], metadata["issuer"]);
}

async fn the_description_may_be_kept_and_is_not_sent_twice(kind: Kind) {
    let node = Node::start(kind).await;
    for (url, shared) in [(node.api.url("/openapi.json"), Some("*")), (node.api.admin_url("/openapi.json"), None)] {
        let first = node.api.send(node.api.request("GET", &url)).await;
        assert_eq!(first.header("cache-control"), Some("public, max-age=3600"));
        assert_eq!(first.header("access-control-allow-origin"), shared);
        let tag = first.header("etag").unwrap().to_owned();
        let second = node.api.send(node.api.request("GET", &url).header("if-none-match", &tag)).await;
        assert_eq!((second.status, second.body.as_str()), (304, ""));
    }
}

//! Requests that make no sense: each has a clear answer, costs little, and changes nothing.

use serde_json::{Value, json};

use super::{PASSWORD, Site};
use crate::support::node::Kind;

over_both_stores! {
    bodies_that_are_no_json_of_the_right_members_are_refused
    bodies_that_are_too_large_are_refused
    credentials_of_another_kind_are_refused
    unknown_clients_are_refused
    no_answer_may_be_kept
}

async fn bodies_that_are_no_json_of_the_right_members_are_refused(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let bearer = format!("Bearer {}", tokens.access);
    let right = json!({"username": "bob", "email": "bob@example.org", "password": PASSWORD});
    for (path, members) in [
        ("/register/", vec!["username", "email", "password"]),
        ("/login/", vec!["username", "password"]),
        ("/password/change/", vec!["old_password", "new_password"]),
    ] {
        let mut bodies = vec![
            String::new(),
            "nonsense".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            r#"{"username":"#.to_owned(),
            "\u{feff}{}".to_owned(),
            "{}".to_owned(),
            "[".repeat(10_000),
        ];
        for member in &members {
            let whole: Value = members
                .iter()
                .map(|name| ((*name).to_owned(), right.get(*name).cloned().unwrap_or(json!("x y z x y z x y z"))))
                .collect();
            for wrong in [json!(1), json!(null), json!(["x"]), json!({"x": 1}), json!(true)] {
                let mut body = whole.clone();
                body[*member] = wrong;
                bodies.push(body.to_string());
            }
            let mut body = whole.clone();
            body["unknown"] = json!(1);
            bodies.push(body.to_string());
            let text = whole.to_string();
            bodies.push(format!(r#"{},"{member}":"twice"}}"#, &text[..text.len() - 1]));
        }
        for body in bodies {
            let request = site.node.api.request("POST", &site.node.api.url(path)).body(body.clone());
            let request = request.header("content-type", "application/json").header("authorization", &bearer);
            let answer = site.node.api.send(request).await;
            assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{path} {body:.80}");
        }
    }
    for (path, body) in [("/refresh/", json!({"all": true})), ("/logout/", json!({"all": 1})), ("/logout/", json!([]))]
    {
        assert_eq!(site.bear("POST", path, &tokens.refresh, Some(&body)).await.status, 400, "{path} {body}");
    }
    assert!(site.is_active(&tokens.access).await && site.works(&tokens.refresh).await);
}

async fn bodies_that_are_too_large_are_refused(kind: Kind) {
    let site = Site::start(kind).await;
    let large = "x".repeat(70_000);
    for path in ["/register/", "/login/", "/refresh/", "/logout/", "/password/change/"] {
        let body = json!({"username": large, "password": large});
        assert_eq!(site.post(path, &body).await.status, 413, "{path}");
    }
}

async fn credentials_of_another_kind_are_refused(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    for authorization in ["Basic cGhvbmU6", "Bearer", "Bearer a b", "Negotiate abc", ""] {
        for path in ["/refresh/", "/logout/"] {
            let answer = site.send("POST", path, &[("authorization", authorization)], None).await;
            assert!([400, 401, 204].contains(&answer.status), "{path} {authorization:?}: {}", answer.status);
        }
        let answer = site.send("GET", "/sessions/", &[("authorization", authorization)], None).await;
        assert!([400, 401].contains(&answer.status), "{authorization:?}");
    }
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert_eq!(site.send("POST", "/refresh/", &twice, None).await.status, 400);
    assert!(site.is_active(&tokens.access).await);
}

async fn unknown_clients_are_refused(kind: Kind) {
    let site = Site::start(kind).await;
    site.user("alice").await;
    for client in ["", "nobody", "operator", "caf\u{e9}"] {
        let body = json!({"username": "alice", "password": PASSWORD, "client_id": client});
        let answer = site.post("/login/", &body).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{client}");
    }
}

async fn no_answer_may_be_kept(kind: Kind) {
    // That no answer lacks `Cache-Control: no-store` is looked at for each answer of each test.
    let site = Site::start(kind).await;
    let answer = site.register_as("alice", "phone").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("vary"), Some("Origin"));
}

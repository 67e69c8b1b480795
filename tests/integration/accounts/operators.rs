//! `/admin/users`: what operators see of users and do to them.

use serde_json::{Value, json};

use super::{PASSWORD, Site, Tokens};
use crate::support::node::{Kind, OPERATOR};

over_both_stores! {
    asvs_7_4_2_disabling_ends_everything_until_enabled
    asvs_7_4_2_deleting_ends_everything_and_frees_the_names
    asvs_7_4_5_operators_list_and_end_sessions
    operators_set_a_password_that_was_forgotten
    users_are_listed_in_pages_and_found_by_name
    only_operators_may
}

async fn id_of(site: &Site, tokens: &Tokens) -> String {
    site.introspect(&tokens.access).await["sub"].as_str().unwrap().to_owned()
}

async fn asvs_7_4_2_disabling_ends_everything_until_enabled(kind: Kind) {
    let site = Site::start(kind).await;
    let one = site.user("alice").await;
    let other = site.log_in("alice").await;
    let bob = site.user("bob").await;
    let id = id_of(&site, &one).await;
    let (disable, enable) = (format!("/admin/users/{id}/disable"), format!("/admin/users/{id}/enable"));
    assert_eq!(site.node.operate("POST", &disable, Some(json!({}))).await, json!({"changed": true}));
    for tokens in [&one, &other] {
        assert!(!site.is_active(&tokens.access).await && !site.works(&tokens.refresh).await);
    }
    assert_eq!(site.log_in_with("alice", PASSWORD).await.status, 401);
    assert_eq!(site.node.operate("POST", &disable, Some(json!({}))).await, json!({"changed": false}));
    assert_eq!(site.node.operate("GET", &format!("/admin/users/{id}"), None).await["state"], json!("disabled"));
    // Nor does an operator add a token to what has ended.
    let app = site.node.application().await;
    let (issue, import) = ("/admin/tokens", "/admin/tokens/import");
    let token = json!({"client_id": app.id, "sub": id});
    let refused = site.node.api.admin(OPERATOR, "POST", issue, Some(token)).await;
    assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_request"));
    let undated = json!({"client_id": app.id, "sub": id, "token": "ory_at_legacy", "exp": site.node.now() + 60});
    let imported = site.node.operate("POST", import, Some(json!({"tokens": [undated]}))).await;
    let result = &imported["results"][0];
    assert_eq!((&result["outcome"], &result["member"]), (&json!("refused"), &json!("sub")));
    assert!(!site.is_active("ory_at_legacy").await);
    assert_eq!(site.node.operate("POST", &enable, Some(json!({}))).await, json!({"changed": true}));
    assert!(!site.is_active(&one.access).await && !site.works(&other.refresh).await, "what has ended stays so");
    assert!(site.is_active(&site.log_in("alice").await.access).await);
    assert!(site.is_active(&bob.access).await);
}

async fn asvs_7_4_2_deleting_ends_everything_and_frees_the_names(kind: Kind) {
    let site = Site::start(kind).await;
    let gone = site.user("alice").await;
    let id = id_of(&site, &gone).await;
    let path = format!("/admin/users/{id}");
    site.node.operate("DELETE", &path, None).await;
    assert!(!site.is_active(&gone.access).await && !site.works(&gone.refresh).await);
    assert_eq!(site.log_in_with("alice", PASSWORD).await.status, 401);
    for (method, path) in [("GET", &path), ("DELETE", &path)] {
        assert_eq!(site.node.api.admin(OPERATOR, method, path, None).await.status, 404);
    }
    let new = site.user("alice").await;
    assert_ne!(id_of(&site, &new).await, id, "somebody else");
    assert!(!site.is_active(&gone.access).await);
}

async fn asvs_7_4_5_operators_list_and_end_sessions(kind: Kind) {
    let site = Site::start(kind).await;
    let one = site.user("alice").await;
    let other = site.log_in("alice").await;
    let id = id_of(&site, &one).await;
    let path = format!("/admin/users/{id}/sessions");
    let sessions = site.node.operate("GET", &path, None).await["sessions"].as_array().unwrap().clone();
    assert_eq!(sessions.len(), 2);
    let first = sessions[0]["id"].as_str().unwrap();
    site.node.operate("DELETE", &format!("{path}/{first}"), None).await;
    assert!(!site.is_active(&one.access).await && site.is_active(&other.access).await);
    assert_eq!(site.node.api.admin(OPERATOR, "DELETE", &format!("{path}/{first}"), None).await.status, 404);
    site.node.operate("DELETE", &path, None).await;
    assert!(!site.is_active(&other.access).await && !site.works(&other.refresh).await);
    assert_eq!(site.node.operate("GET", &path, None).await, json!({"sessions": []}));
}

async fn operators_set_a_password_that_was_forgotten(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let path = format!("/admin/users/{}/password", id_of(&site, &tokens).await);
    let answer = site.node.api.admin(OPERATOR, "POST", &path, Some(json!({"password": "short"}))).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!("too_short")));
    let new = "another battery of staples";
    site.node.operate("POST", &path, Some(json!({"password": new}))).await;
    assert!(!site.is_active(&tokens.access).await && !site.works(&tokens.refresh).await);
    assert_eq!(site.log_in_with("alice", PASSWORD).await.status, 401);
    assert_eq!(site.log_in_with("alice", new).await.status, 200);
}

async fn users_are_listed_in_pages_and_found_by_name(kind: Kind) {
    let site = Site::start(kind).await;
    for number in 0..7 {
        site.user(&format!("user{number}")).await;
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = site.node.operate("GET", &format!("/admin/users?limit=3{after}"), None).await;
        seen.extend(page["users"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    seen.sort();
    assert_eq!(seen, (0..7).map(|number| format!("user{number}")).collect::<Vec<_>>());
    let found = async |query: &str| -> Vec<Value> {
        let page = site.node.operate("GET", &format!("/admin/users?{query}"), None).await;
        page["users"].as_array().unwrap().clone()
    };
    let by_name = found("username=USER3").await;
    assert_eq!((by_name.len(), &by_name[0]["email"]), (1, &json!("user3@example.org")));
    assert_eq!(found("email=user3%40example.org").await, by_name);
    assert_eq!(found("email=user3%40example.org&username=user3").await, by_name);
    for nobody in
        ["username=nobody", "username=user3%40example.org", "email=user3%40example.org&username=user4", "email=x"]
    {
        assert_eq!(found(nobody).await, Vec::<Value>::new(), "{nobody}");
    }
    for wrong in ["limit=0", "limit=1001", "limit=x", "after=x", "name=x", "limit=1&limit=2"] {
        let answer = site.node.api.admin(OPERATOR, "GET", &format!("/admin/users?{wrong}"), None).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

async fn only_operators_may(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let id = id_of(&site, &tokens).await;
    for (method, path) in [
        ("GET", "/admin/users".to_owned()),
        ("POST", "/admin/users".to_owned()),
        ("GET", format!("/admin/users/{id}")),
        ("DELETE", format!("/admin/users/{id}")),
        ("POST", format!("/admin/users/{id}/disable")),
        ("POST", format!("/admin/users/{id}/password")),
        ("GET", format!("/admin/users/{id}/sessions")),
        ("DELETE", format!("/admin/users/{id}/sessions")),
    ] {
        let body = (method == "POST").then(|| json!({}));
        let answer = site.node.api.admin(site.server.pair(), method, &path, body.clone()).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        let answer = site.node.api.admin((OPERATOR.0, "wrong secret"), method, &path, body).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        // Nor are they on the public listener.
        assert_eq!(site.send(method, &path, &[], None).await.status, 404, "{method} {path}");
    }
    assert!(site.is_active(&tokens.access).await);
}

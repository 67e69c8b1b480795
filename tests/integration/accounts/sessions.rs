//! Logging in and out, listing, ends of all kinds.

use std::time::Duration;

use serde_json::{Value, json};

use super::{API, PASSWORD, Site, Tokens};
use crate::support::node::{Kind, OPERATOR, Registered};

over_both_stores! {
    login_answers_a_short_token_and_a_long_one
    a_login_by_email_is_the_same_as_one_by_username
    asvs_7_2_4_every_login_is_a_new_session
    asvs_7_3_1_and_7_3_2_sessions_end_when_idle_and_in_the_end
    asvs_7_4_1_logout_ends_the_tokens_of_the_session_at_once
    asvs_7_4_1_a_session_that_was_logged_out_of_is_not_brought_back
    asvs_7_4_1_logout_of_a_signed_session_ends_its_signed_tokens
    asvs_7_5_2_a_user_lists_and_ends_sessions
    a_user_has_so_many_sessions_and_the_oldest_goes
    logging_out_everywhere_needs_a_live_session
    rfc9700_4_14_2_a_refresh_token_that_is_used_twice_ends_the_session
    rfc9700_2_4_login_is_no_password_grant
    only_tokens_of_first_party_clients_count_here
    a_bound_token_is_no_bearer_token_here
    routes_are_off_unless_asked_for
}

async fn login_answers_a_short_token_and_a_long_one(kind: Kind) {
    let site = Site::start(kind).await;
    site.user("alice").await;
    let answer = site.log_in_with("alice", PASSWORD).await;
    let body = answer.json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(900), &json!("read write"))
    );
    let tokens = Tokens::of(&answer);
    let seen = site.introspect(&tokens.access).await;
    assert_eq!(
        (&seen["active"], &seen["username"], &seen["client_id"], &seen["aud"], &seen["scope"]),
        (&json!(true), &json!("alice"), &json!("phone"), &json!(API), &json!("read write"))
    );
    assert_eq!(seen["sub"].as_str().unwrap().len(), 22);
    let refreshed = Tokens::of(&site.refresh(&tokens.refresh).await);
    assert_ne!(refreshed.refresh, tokens.refresh);
    assert_eq!(site.introspect(&refreshed.access).await["sub"], seen["sub"]);
}

async fn a_login_by_email_is_the_same_as_one_by_username(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let subject = site.introspect(&tokens.access).await["sub"].clone();
    for name in ["alice", "ALICE", "alice@example.org", "Alice@EXAMPLE.org", "\u{ff41}lice"] {
        let tokens = site.log_in(name).await;
        assert_eq!(site.introspect(&tokens.access).await["sub"], subject, "{name}");
    }
}

async fn asvs_7_2_4_every_login_is_a_new_session(kind: Kind) {
    let site = Site::start(kind).await;
    let first = site.user("alice").await;
    let second = site.log_in("alice").await;
    assert_ne!(first.refresh, second.refresh);
    assert_ne!(first.access, second.access);
    // One that is shown at login is not taken over.
    let answer = site
        .send(
            "POST",
            "/login",
            &[("authorization", &format!("Bearer {}", first.refresh))],
            Some(&json!({"username": "alice", "password": PASSWORD})),
        )
        .await;
    assert_ne!(Tokens::of(&answer).refresh, first.refresh);
    assert!(site.works(&first.refresh).await && site.works(&second.refresh).await);
}

async fn asvs_7_3_1_and_7_3_2_sessions_end_when_idle_and_in_the_end(kind: Kind) {
    let settings = [("tokens.refresh_idle_lifetime", "1h"), ("tokens.refresh_lifetime", "3h")];
    let site = Site::start_with(kind, &settings).await;
    let idle = site.user("alice").await;
    let mut used = site.log_in("alice").await;
    for _ in 0..3 {
        site.node.pass(Duration::from_mins(59)).await;
        used = Tokens::of(&site.refresh(&used.refresh).await);
    }
    assert!(!site.works(&idle.refresh).await, "idle for too long");
    // Three hours after the login, however busy it was.
    site.node.pass(Duration::from_mins(4)).await;
    assert!(!site.works(&used.refresh).await, "too old");
    assert!(!site.is_active(&used.access).await, "no access token outlives its session");
}

async fn asvs_7_4_1_logout_ends_the_tokens_of_the_session_at_once(kind: Kind) {
    let site = Site::start(kind).await;
    let gone = site.user("alice").await;
    let stays = site.log_in("alice").await;
    let refreshed = Tokens::of(&site.refresh(&gone.refresh).await);
    assert!(site.is_active(&gone.access).await && site.is_active(&refreshed.access).await);
    assert_eq!(site.log_out(&refreshed.refresh).await.status, 204);
    for access in [&gone.access, &refreshed.access] {
        assert_eq!(site.introspect(access).await, json!({"active": false}));
    }
    assert!(!site.works(&refreshed.refresh).await);
    assert!(site.is_active(&stays.access).await);
    // Idempotent, whatever is shown.
    for token in [&*refreshed.refresh, &refreshed.access, "made-up", "it_00_made_up"] {
        assert_eq!(site.log_out(token).await.status, 204, "{token:?}");
    }
    assert_eq!(site.send("POST", "/logout/", &[], None).await.status, 204, "nothing is shown");
    // By the access token as well.
    assert_eq!(site.log_out(&stays.access).await.status, 204);
    assert!(!site.is_active(&stays.access).await && !site.works(&stays.refresh).await);
}

async fn asvs_7_4_1_a_session_that_was_logged_out_of_is_not_brought_back(kind: Kind) {
    let site = Site::start(kind).await;
    let (first, second) = (site.user("alice").await, site.log_in("alice").await);
    assert_eq!(site.log_out(&second.refresh).await.status, 204);
    let approval = json!({"token": second.refresh, "cascade": true});
    let answer = site.node.api.admin(OPERATOR, "POST", "/admin/tokens/approve", Some(approval)).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(!site.is_active(&second.access).await && !site.works(&second.refresh).await);
    assert!(site.is_active(&first.access).await);
}

async fn asvs_7_4_1_logout_of_a_signed_session_ends_its_signed_tokens(kind: Kind) {
    let site = Site::start(kind).await;
    site.user("alice").await;
    let body = json!({"username": "alice", "password": PASSWORD, "client_id": "signed"});
    let tokens = Tokens::of(&site.post("/login", &body).await);
    assert_eq!(tokens.access.split('.').count(), 3, "a JWT");
    assert!(site.is_active(&tokens.access).await);
    assert_eq!(site.log_out(&tokens.refresh).await.status, 204);
    assert!(!site.is_active(&tokens.access).await);
}

async fn asvs_7_5_2_a_user_lists_and_ends_sessions(kind: Kind) {
    let site = Site::start(kind).await;
    let own = site.user("alice").await;
    let answer = site
        .send(
            "POST",
            "/login",
            &[("user-agent", "the phone of Alice")],
            Some(&json!({"username": "alice", "password": PASSWORD})),
        )
        .await;
    let phone = Tokens::of(&answer);
    let bob = site.user("bob").await;
    let sessions = site.sessions(&own.access).await;
    let seen: Vec<(&Value, &Value)> =
        sessions.iter().map(|session| (&session["current"], &session["user_agent"])).collect();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].0, &json!(true));
    assert_eq!(seen[1], (&json!(false), &json!("the phone of Alice")));
    for session in &sessions {
        let text = session.to_string();
        for secret in [&own.access, &own.refresh, &phone.access, &phone.refresh] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }
    let id = sessions[1]["id"].as_str().unwrap();
    let path = format!("/sessions/{id}/");
    // Of somebody else's session nothing is told, and nothing happens to it.
    let answer = site.bear("DELETE", &path, &bob.access, None).await;
    let none = site.bear("DELETE", "/sessions/AAAAAAAAAAAAAAAAAAAAAA/", &bob.access, None).await;
    assert_eq!(answer.whole(), none.whole());
    assert_eq!(answer.status, 404);
    assert!(site.is_active(&phone.access).await);
    assert_eq!(site.bear("DELETE", &path, &own.access, None).await.status, 204);
    assert!(!site.is_active(&phone.access).await && !site.works(&phone.refresh).await);
    assert_eq!(site.sessions(&own.access).await.len(), 1);
    assert_eq!(site.bear("DELETE", &path, &own.access, None).await.status, 404);
    for token in ["made-up", &own.refresh, &phone.access] {
        assert_eq!(site.bear("GET", "/sessions/", token, None).await.status, 401, "{token:?}");
    }
    let bare = site.send("GET", "/sessions/", &[], None).await;
    assert_eq!((bare.status, bare.header("www-authenticate")), (401, Some(r#"Bearer realm="introspectd""#)));
}

async fn a_user_has_so_many_sessions_and_the_oldest_goes(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.max_sessions", "3")]).await;
    let mut all = vec![site.user("alice").await];
    for _ in 0..4 {
        all.push(site.log_in("alice").await);
    }
    for (place, tokens) in all.iter().enumerate() {
        assert_eq!(site.is_active(&tokens.access).await, place >= 2, "{place}");
    }
    assert_eq!(site.sessions(&all[4].access).await.len(), 3);
}

async fn logging_out_everywhere_needs_a_live_session(kind: Kind) {
    let site = Site::start(kind).await;
    let ended = site.user("alice").await;
    let live = site.log_in("alice").await;
    let other = site.log_in("alice").await;
    let bob = site.user("bob").await;
    assert_eq!(site.log_out(&ended.refresh).await.status, 204);
    for token in [&*ended.refresh, &ended.access, "made-up"] {
        let answer = site.bear("POST", "/logout/?all=true", token, None).await;
        assert_eq!(answer.refusal(), (401, "invalid_grant".to_owned()), "nothing else would be true");
    }
    assert!(site.is_active(&live.access).await);
    let body = json!({"all": true});
    assert_eq!(site.bear("POST", "/logout", &live.refresh, Some(&body)).await.status, 204);
    for tokens in [&live, &other] {
        assert!(!site.is_active(&tokens.access).await && !site.works(&tokens.refresh).await);
    }
    assert!(site.is_active(&bob.access).await);
    let again = site.log_in("alice").await;
    assert_eq!(site.bear("POST", "/logout/?all=true", &again.refresh, None).await.status, 204);
    assert!(!site.is_active(&again.access).await);
    assert_eq!(site.bear("POST", "/logout/?all=yes", &again.refresh, None).await.status, 400);
}

async fn rfc9700_4_14_2_a_refresh_token_that_is_used_twice_ends_the_session(kind: Kind) {
    let site = Site::start(kind).await;
    let stolen = site.user("alice").await;
    let other = site.log_in("alice").await;
    let next = Tokens::of(&site.refresh(&stolen.refresh).await);
    let answer = site.refresh(&stolen.refresh).await;
    assert_eq!(answer.refusal(), (401, "invalid_grant".to_owned()));
    assert!(!site.works(&next.refresh).await && !site.is_active(&next.access).await);
    assert!(site.is_active(&other.access).await);
    assert_eq!(site.sessions(&other.access).await.len(), 1, "what has ended is not listed");
}

async fn rfc9700_2_4_login_is_no_password_grant(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let grant = [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD), ("client_id", "phone")];
    assert_eq!(site.node.api.post_bare("/token", &grant).await.error(), "unsupported_grant_type");
    // Nor are refresh tokens of users exchanged anywhere but here.
    let grant = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("client_id", "phone")];
    assert_eq!(site.node.api.post_bare("/token", &grant).await.error(), "unauthorized_client");
    assert!(site.works(&tokens.refresh).await);
}

async fn only_tokens_of_first_party_clients_count_here(kind: Kind) {
    let site = Site::start(kind).await;
    let own = site.user("alice").await;
    let subject = site.introspect(&own.access).await["sub"].clone();
    let app = site
        .node
        .client(json!({
            "audiences": [API], "scope": "read write", "grant_types": ["refresh_token"]
        }))
        .await;
    let foreign = site.node.issue(&app, json!({"sub": subject, "refresh": true})).await;
    let (access, refresh) = (foreign["access_token"].as_str().unwrap(), foreign["refresh_token"].as_str().unwrap());
    assert!(site.is_active(access).await);
    assert_eq!(site.bear("GET", "/sessions", access, None).await.status, 401);
    assert_eq!(site.change_password(access, PASSWORD, "another battery of staples").await.status, 401);
    assert_eq!(site.refresh(refresh).await.status, 401);
    assert_eq!(site.bear("POST", "/logout?all=true", refresh, None).await.status, 401);
    assert_eq!(site.log_out(refresh).await.status, 204, "as of every token that is none");
    assert!(site.is_active(access).await && site.is_active(&own.access).await);
}

async fn a_bound_token_is_no_bearer_token_here(kind: Kind) {
    let site = Site::start(kind).await;
    let own = site.user("alice").await;
    let subject = site.introspect(&own.access).await["sub"].clone();
    let phone = Registered { id: "phone".to_owned(), secret: String::new() };
    let issued = async |members: Value| {
        let issued = site.node.issue(&phone, members).await;
        issued["access_token"].as_str().unwrap().to_owned()
    };
    let bound = issued(json!({"sub": subject, "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})).await;
    let unbound = issued(json!({"sub": subject})).await;
    assert!(site.is_active(&bound).await);
    assert_eq!(site.bear("GET", "/sessions", &unbound, None).await.status, 200);
    assert_eq!(site.bear("GET", "/sessions", &bound, None).await.status, 401);
    assert_eq!(site.change_password(&bound, PASSWORD, "another battery of staples").await.status, 401);
}

async fn routes_are_off_unless_asked_for(kind: Kind) {
    let node = crate::support::node::Node::start(kind).await;
    for path in ["/register", "/login/", "/logout/", "/refresh/", "/password/change/", "/sessions/"] {
        let answer = node.api.send(node.api.request("POST", &node.api.url(path))).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let answer = node.api.admin(OPERATOR, "GET", "/admin/users", None).await;
    assert_eq!(answer.status, 404);
}

//! Which passwords are taken, how they are kept, and changing them.

use serde_json::json;

use super::{PASSWORD, Site, Tokens};
use crate::support::node::{Kind, Node};

over_both_stores! {
    asvs_6_2_1_and_nist_3_1_1_2_a_password_has_fifteen_code_points_unless_told_otherwise
    asvs_6_2_4_well_known_passwords_are_refused
    asvs_6_2_8_a_password_is_compared_as_received_but_for_its_composition
    asvs_6_2_9_long_passwords_and_any_characters_are_taken
    asvs_6_2_11_names_of_the_user_do_not_make_a_password
    asvs_6_2_3_changing_it_needs_the_old_one_and_takes_another_one
    asvs_7_4_3_changing_it_ends_every_session_and_every_token_of_the_user
    asvs_14_1_1_no_password_is_ever_told
}

async fn try_password(site: &Site, username: &str, password: &str) -> (u16, String, String) {
    let email = format!("{username}@example.org");
    let answer = site.post("/register", &json!({"username": username, "email": email, "password": password})).await;
    if answer.status == 201 {
        return (201, String::new(), String::new());
    }
    let body = answer.json();
    assert!(!answer.body.contains(password), "{}", answer.body);
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("field"), text("reason"))
}

fn refused(reason: &str) -> (u16, String, String) {
    (400, "password".to_owned(), reason.to_owned())
}

async fn asvs_6_2_1_and_nist_3_1_1_2_a_password_has_fifteen_code_points_unless_told_otherwise(kind: Kind) {
    let site = Site::start(kind).await;
    assert_eq!(try_password(&site, "a", "fourteen chars").await, refused("too_short"));
    assert_eq!(try_password(&site, "b", "fifteen  chars!").await.0, 201);
    // Code points, and neither bytes nor what is seen as one character.
    assert_eq!(try_password(&site, "c", &"\u{1f600}\u{e9}".repeat(7)).await, refused("too_short"));
    assert_eq!(try_password(&site, "d", "\u{1f600}\u{e9}xqz\u{1f4a9}w \u{e8}k\u{1f680}vj\u{df}p").await.0, 201);
    let short = Site::start_with(kind, &[("accounts.password_min_length", "8")]).await;
    assert_eq!(try_password(&short, "a", "7 chars").await, refused("too_short"));
    assert_eq!(try_password(&short, "b", "8 c!hars").await.0, 201);
}

async fn asvs_6_2_4_well_known_passwords_are_refused(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.password_min_length", "8")]).await;
    for known in
        ["password1", "PassWord1", "iloveyou1", "12345678", "qwertyuiop", "passwordpassword", "aaaaaaaaaaaaaaa"]
    {
        assert_eq!(try_password(&site, "alice", known).await, refused("common"), "{known}");
    }
}

async fn asvs_6_2_8_a_password_is_compared_as_received_but_for_its_composition(kind: Kind) {
    let site = Site::start(kind).await;
    let password = " Caf\u{e9} au lait, deux croissants ";
    assert_eq!(try_password(&site, "alice", password).await.0, 201);
    let decomposed = password.replace('\u{e9}', "e\u{301}");
    for (given, status) in [
        (password.to_owned(), 200),
        (decomposed, 200),
        (password.trim().to_owned(), 401),
        (password.to_lowercase(), 401),
        (password[..password.len() - 1].to_owned(), 401),
        (format!("{password} "), 401),
    ] {
        assert_eq!(site.log_in_with("alice", &given).await.status, status, "{given:?}");
    }
}

async fn asvs_6_2_9_long_passwords_and_any_characters_are_taken(kind: Kind) {
    let site = Site::start(kind).await;
    let long: String = (0..256_u32).map(|number| char::from_u32(0x3041 + number * 7 % 83).unwrap()).collect();
    assert_eq!(long.chars().count(), 256);
    for (username, password) in
        [("a", &*long), ("b", "tab\tnul\0quote\"back\\slash"), ("c", "\u{1f600} \u{1f680} emoji & spaces")]
    {
        assert_eq!(try_password(&site, username, password).await.0, 201, "{username}");
        assert_eq!(site.log_in_with(username, password).await.status, 200, "{username}");
    }
    let longer = format!("{long}x");
    assert_eq!(try_password(&site, "d", &longer).await, refused("malformed"), "never cut");
    assert_eq!(site.log_in_with("a", &longer).await.status, 401);
}

async fn asvs_6_2_11_names_of_the_user_do_not_make_a_password(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.password_min_length", "8")]).await;
    for named in ["AliceAliceson7", "aliceson@example.org", "as.example.com!!", "Introspectd2026"] {
        assert_eq!(try_password(&site, "aliceson", named).await, refused("context"), "{named}");
    }
    assert_eq!(try_password(&site, "aliceson", "aliceson likes 17 walks").await.0, 201, "enough is left");
}

async fn asvs_6_2_3_changing_it_needs_the_old_one_and_takes_another_one(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let new = "another battery of staples";
    let answer = site.change_password(&tokens.access, "not the old password", new).await;
    assert_eq!(answer.refusal(), (401, "invalid_credentials".to_owned()));
    assert!(site.is_active(&tokens.access).await, "nothing has ended");
    let answer = site.change_password(&tokens.access, PASSWORD, PASSWORD).await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (400, Some("unchanged")));
    let (composed, decomposed) = ("caf\u{e9} battery of staples", "cafe\u{301} battery of staples");
    let answer = site.change_password(&tokens.access, composed, decomposed).await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (400, Some("unchanged")));
    let answer = site.change_password(&tokens.access, PASSWORD, "short").await;
    let body = answer.json();
    assert_eq!((answer.status, &body["field"], &body["reason"]), (400, &json!("new_password"), &json!("too_short")));
    for access in ["made-up", &tokens.refresh] {
        assert_eq!(site.change_password(access, PASSWORD, new).await.status, 401);
    }
    let answer = site.change_password(&tokens.access, PASSWORD, new).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(site.is_active(&Tokens::of(&answer).access).await);
    assert_eq!(site.log_in_with("alice", PASSWORD).await.status, 401);
    assert_eq!(site.log_in_with("alice", new).await.status, 200);
}

async fn asvs_7_4_3_changing_it_ends_every_session_and_every_token_of_the_user(kind: Kind) {
    let site = Site::start(kind).await;
    let own = site.user("alice").await;
    let other = site.log_in("alice").await;
    let body = json!({"username": "alice", "password": PASSWORD, "client_id": "signed"});
    let signed = Tokens::of(&site.post("/login", &body).await);
    let bystander = site.user("bob").await;
    let subject = site.introspect(&own.access).await["sub"].as_str().unwrap().to_owned();
    // One that an operator had issued for the user to some other application.
    let app = site.node.application().await;
    let elsewhere = site.node.issue(&app, json!({"sub": subject})).await["access_token"].as_str().unwrap().to_owned();
    let answer = site.change_password(&own.access, PASSWORD, "another battery of staples").await;
    let fresh = Tokens::of(&answer);
    for token in [&own.access, &other.access, &signed.access, &elsewhere] {
        assert!(!site.is_active(token).await);
    }
    for refresh in [&own.refresh, &other.refresh, &signed.refresh] {
        assert!(!site.works(refresh).await);
    }
    assert!(site.is_active(&fresh.access).await && site.works(&fresh.refresh).await);
    assert!(site.is_active(&bystander.access).await && site.works(&bystander.refresh).await);
    assert_eq!(site.sessions(&fresh.access).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asvs_11_4_2_raised_parameters_are_taken_over_at_the_next_login() {
    let site = Site::start(Kind::Redis).await;
    site.user("alice").await;
    let hash = async |node: &Node| {
        let users = node.service.store.users(None, 10).await.unwrap();
        let (id, _) = users[0];
        let user = node.service.user(id).await.unwrap().unwrap().user;
        serde_json::to_value(&user.password).unwrap().as_str().unwrap().to_owned()
    };
    let before = hash(&site.node).await;
    assert!(before.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{before}");
    site.log_in("alice").await;
    assert_eq!(hash(&site.node).await, before, "it is as it should be");
    let redis = site.node.redis.as_ref().unwrap();
    // The same store, under a node that has been told to take more.
    let raised = Site::settings(&[("accounts.hash_memory_kib", "9216")]);
    let node = Node::over(("redis.url", redis.url()), introspectd::token::time::Clock::System, &raised).await;
    let other = Site::of(node).await;
    assert_eq!(other.log_in_with("alice", "not the password").await.status, 401);
    assert_eq!(hash(&other.node).await, before, "by who knows it only");
    other.log_in("alice").await;
    let after = hash(&other.node).await;
    assert!(after.starts_with("$argon2id$v=19$m=9216,t=5,p=1$"), "{after}");
    other.log_in("alice").await;
    assert_eq!(hash(&other.node).await, after);
    // Whoever logs in while another login hashes the password anew has shown to know it all the same.
    site.user("bob").await;
    let logins = (0..4).map(|_| other.log_in_with("bob", PASSWORD));
    let answers = futures_util::future::join_all(logins).await;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers.iter().map(|answer| answer.status).collect::<Vec<_>>()
    );
    let tokens = site.user("carol").await;
    let change = other.change_password(&tokens.access, PASSWORD, "another battery of staples");
    let (_, changed) = tokio::join!(other.log_in_with("carol", PASSWORD), change);
    assert_eq!(changed.status, 200);
}

async fn asvs_14_1_1_no_password_is_ever_told(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let id = site.introspect(&tokens.access).await["sub"].as_str().unwrap().to_owned();
    let operators = site.node.operate("GET", &format!("/admin/users/{id}"), None).await.to_string();
    let sessions = site.bear("GET", "/sessions/", &tokens.access, None).await.body;
    let wrong = site.log_in_with("alice", "hunter2 hunter2 hunter2").await.body;
    for shown in [&operators, &sessions, &wrong] {
        assert!(!shown.contains("argon2") && !shown.contains("hunter2") && !shown.contains(PASSWORD), "{shown}");
    }
}

//! That nothing tells whether an account exists, and who must wait.

use std::time::Duration;

use serde_json::json;

use super::{PASSWORD, Site};
use crate::support::api::Answer;
use crate::support::node::Kind;

over_both_stores! {
    asvs_6_3_8_every_failed_login_looks_the_same
    asvs_6_3_8_the_right_password_of_a_disabled_account_counts_as_a_wrong_one
    asvs_6_3_1_failures_for_one_account_from_one_source_make_it_wait
    asvs_6_3_1_known_and_unknown_accounts_are_throttled_alike
    asvs_6_3_1_many_sources_guessing_at_one_account_must_wait
    asvs_6_3_1_one_source_guessing_at_many_accounts_must_wait
    asvs_6_3_1_one_password_for_many_accounts_from_many_sources_is_noticed
    an_owner_is_not_locked_out_where_he_is_known
    a_wrong_old_password_counts_as_a_failed_login
    guesses_at_the_same_time_are_all_counted
    a_full_queue_is_answered_and_nothing_is_compared
    who_tries_out_tokens_must_wait
}

const PROXY: (&str, &str) = ("authentication.trusted_proxies", "127.0.0.1");

async fn from(site: &Site, address: &str, username: &str, password: &str) -> Answer {
    let body = json!({"username": username, "password": password});
    site.send("POST", "/login/", &[("x-forwarded-for", address)], Some(&body)).await
}

async fn asvs_6_3_8_every_failed_login_looks_the_same(kind: Kind) {
    let site = Site::start(kind).await;
    let disabled = site.user("disabled").await;
    let id = site.introspect(&disabled.access).await["sub"].as_str().unwrap().to_owned();
    site.node.operate("POST", &format!("/admin/users/{id}/disable"), Some(json!({}))).await;
    let deleted = site.user("deleted").await;
    let id = site.introspect(&deleted.access).await["sub"].as_str().unwrap().to_owned();
    site.node.operate("DELETE", &format!("/admin/users/{id}"), None).await;
    site.user("alice").await;
    let wrong = site.log_in_with("alice", "not the right password").await;
    assert_eq!(wrong.refusal(), (401, "invalid_credentials".to_owned()));
    assert_eq!(wrong.lines("www-authenticate"), [r#"Bearer realm="introspectd""#], "no dialog of the browser's own");
    let long = "x".repeat(2000);
    for (username, password) in [
        ("nobody", PASSWORD),
        ("nobody@example.org", PASSWORD),
        ("disabled", PASSWORD),
        ("deleted", PASSWORD),
        ("alice@example.org", "not the right password"),
        ("", PASSWORD),
        ("no name at all", PASSWORD),
        ("alice", ""),
        ("alice", &*long),
        (&*long, PASSWORD),
    ] {
        let answer = site.log_in_with(username, password).await;
        assert_eq!(answer.seen(), wrong.seen(), "{username:.20} {password:.20}");
    }
}

async fn asvs_6_3_8_the_right_password_of_a_disabled_account_counts_as_a_wrong_one(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.failures_per_account_and_source", "3")]).await;
    let disabled = site.user("disabled").await;
    let id = site.introspect(&disabled.access).await["sub"].as_str().unwrap().to_owned();
    site.node.operate("POST", &format!("/admin/users/{id}/disable"), Some(json!({}))).await;
    let statuses = async |username: &str| {
        let mut statuses = Vec::new();
        for password in [PASSWORD, "not the right password", PASSWORD, PASSWORD] {
            statuses.push(site.log_in_with(username, password).await.status);
        }
        statuses
    };
    assert_eq!(statuses("disabled").await, [401, 401, 401, 429]);
    assert_eq!(statuses("nobody").await, [401, 401, 401, 429]);
}

async fn who_tries_out_tokens_must_wait(kind: Kind) {
    let site = Site::start_with(kind, &[("authentication.unknown_tokens_per_second", "1")]).await;
    let own = site.user("alice").await;
    for (method, path) in [("GET", "/sessions/"), ("POST", "/refresh/"), ("POST", "/logout/")] {
        let mut last = 0;
        for _ in 0..200 {
            last = site.bear(method, path, "itd_at_no-token-of-anybody", None).await.status;
            if last == 429 {
                break;
            }
        }
        assert_eq!(last, 429, "{path}");
    }
    assert_eq!(site.sessions(&own.access).await.len(), 1, "who has a token does not wait");
}

async fn asvs_6_3_1_failures_for_one_account_from_one_source_make_it_wait(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.failures_per_account_and_source", "3")]).await;
    site.user("alice").await;
    let elsewhere = site.user("bob").await;
    for _ in 0..3 {
        assert_eq!(site.log_in_with("alice", "not the right password").await.status, 401);
    }
    for wait in [1, 2, 4, 8, 16] {
        // Also the right one.
        let answer = site.log_in_with("alice", PASSWORD).await;
        assert_eq!(answer.refusal(), (429, "too_many_requests".to_owned()));
        assert_eq!(answer.header("retry-after"), Some(&*wait.to_string()));
        site.node.pass(Duration::from_secs(wait)).await;
        assert_eq!(site.log_in_with("alice", "not the right password").await.status, 401);
    }
    assert_eq!(site.log_in_with("bob", PASSWORD).await.status, 200);
    assert!(site.is_active(&elsewhere.access).await);
    site.node.pass(Duration::from_secs(32)).await;
    site.log_in("alice").await;
    // Only that makes up for them.
    assert_eq!(site.log_in_with("alice", "not the right password").await.status, 401);
    site.log_in("alice").await;
}

async fn asvs_6_3_1_known_and_unknown_accounts_are_throttled_alike(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.failures_per_account_and_source", "2")]).await;
    site.user("alice").await;
    let seen = async |username: &str| {
        let mut seen = Vec::new();
        for _ in 0..4 {
            let answer = site.log_in_with(username, "not the right password").await;
            let lines = answer.seen();
            seen.push((lines.0, lines.1, lines.2.to_owned()));
        }
        seen
    };
    let known = seen("alice").await;
    assert_eq!(known.iter().map(|answer| answer.0).collect::<Vec<_>>(), [401, 401, 429, 429]);
    assert_eq!(seen("nobody").await, known);
    assert_eq!(seen("no name at all").await, known);
}

async fn asvs_6_3_1_many_sources_guessing_at_one_account_must_wait(kind: Kind) {
    let site = Site::start_with(kind, &[PROXY, ("accounts.failures_per_account", "5")]).await;
    site.user("alice").await;
    for number in 0..5 {
        assert_eq!(from(&site, &format!("192.0.2.{number}"), "alice", "not the right password").await.status, 401);
    }
    assert_eq!(from(&site, "192.0.2.77", "alice", PASSWORD).await.status, 429);
    assert_eq!(from(&site, "192.0.2.77", "bob", PASSWORD).await.status, 401);
}

async fn asvs_6_3_1_one_source_guessing_at_many_accounts_must_wait(kind: Kind) {
    let site = Site::start_with(kind, &[PROXY, ("accounts.failures_per_source", "5")]).await;
    site.user("alice").await;
    for number in 0..5 {
        assert_eq!(from(&site, "2001:db8::1", &format!("user{number}"), PASSWORD).await.status, 401);
    }
    assert_eq!(from(&site, "2001:db8::2", "alice", PASSWORD).await.status, 429, "the same network");
    assert_eq!(from(&site, "2001:db8:0:1::1", "alice", PASSWORD).await.status, 200);
}

async fn asvs_6_3_1_one_password_for_many_accounts_from_many_sources_is_noticed(kind: Kind) {
    let site = Site::start_with(kind, &[PROXY, ("accounts.failures_per_minute", "10")]).await;
    site.user("alice").await;
    site.user("bob").await;
    assert_eq!(from(&site, "192.0.2.1", "alice", PASSWORD).await.status, 200);
    let mut refused = 0;
    for number in 0..20 {
        let address = format!("198.51.100.{number}");
        let answer = from(&site, &address, &format!("user{number}"), "the same for all of them").await;
        refused += u32::from(answer.status == 429);
    }
    assert!(refused > 0);
    assert_eq!(from(&site, "203.0.113.1", "bob", PASSWORD).await.status, 429, "who has never been there waits");
    assert_eq!(from(&site, "192.0.2.1", "alice", PASSWORD).await.status, 200, "who is known does not");
    site.node.pass(Duration::from_mins(20)).await;
    assert_eq!(from(&site, "203.0.113.1", "bob", PASSWORD).await.status, 200);
}

async fn an_owner_is_not_locked_out_where_he_is_known(kind: Kind) {
    let settings = [PROXY, ("accounts.failures_per_account", "5"), ("accounts.failures_per_source", "5")];
    let site = Site::start_with(kind, &settings).await;
    site.user("alice").await;
    assert_eq!(from(&site, "192.0.2.1", "alice", PASSWORD).await.status, 200);
    for number in 0..30 {
        from(&site, &format!("198.51.100.{number}"), "alice", "not the right password").await;
        from(&site, "192.0.2.1", &format!("user{number}"), "not the right password").await;
    }
    assert_eq!(from(&site, "198.51.100.77", "alice", PASSWORD).await.status, 429);
    assert_eq!(from(&site, "192.0.2.1", "alice", PASSWORD).await.status, 200);
}

async fn a_wrong_old_password_counts_as_a_failed_login(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.failures_per_account_and_source", "3")]).await;
    let tokens = site.user("alice").await;
    for _ in 0..3 {
        let answer = site.change_password(&tokens.access, "not the right password", "another battery").await;
        assert_eq!(answer.status, 401);
    }
    let answer = site.change_password(&tokens.access, PASSWORD, "another battery of staples").await;
    assert_eq!(answer.status, 429);
    assert_eq!(site.log_in_with("alice", PASSWORD).await.status, 429);
}

async fn guesses_at_the_same_time_are_all_counted(kind: Kind) {
    let settings = [("accounts.failures_per_account_and_source", "3"), ("accounts.hashing_queue", "100")];
    let site = Site::start_with(kind, &settings).await;
    site.user("alice").await;
    let guesses = (0..50).map(|_| site.log_in_with("alice", "not the right password"));
    let outcomes: Vec<u16> = futures_util::future::join_all(guesses).await.iter().map(|answer| answer.status).collect();
    let compared = outcomes.iter().filter(|status| **status == 401).count();
    assert_eq!(compared, 3, "{outcomes:?}");
    assert!(outcomes.iter().all(|status| [401, 429].contains(status)), "{outcomes:?}");
}

async fn a_full_queue_is_answered_and_nothing_is_compared(kind: Kind) {
    let settings = [("accounts.hashing_queue", "2"), ("accounts.failures_per_account_and_source", "100")];
    let site = Site::start_with(kind, &settings).await;
    let tokens = site.user("alice").await;
    let logins = (0..40).map(|_| site.log_in_with("alice", PASSWORD));
    let mut busy = 0;
    for answer in futures_util::future::join_all(logins).await {
        match answer.status {
            200 => {}
            503 => {
                busy += 1;
                assert_eq!(answer.error(), "temporarily_unavailable");
                assert!(answer.header("retry-after").is_some());
            }
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert!(busy > 0, "the queue was never full");
    assert!(site.is_active(&tokens.access).await);
}

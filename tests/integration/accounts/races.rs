//! What logins, refreshes and password changes do to each other: whoever is told that all has ended never sees anything
//! alive again that began before.

use serde_json::json;

use super::{PASSWORD, Site, Tokens};
use crate::support::node::Kind;

over_both_stores! {
    asvs_7_4_3_no_refresh_survives_a_password_change
    asvs_7_4_3_no_login_with_the_old_password_survives_its_change
    asvs_7_4_2_no_login_survives_disabling
    of_two_password_changes_one_succeeds
    rfc9700_4_14_2_of_many_refreshes_one_succeeds_and_the_session_ends
    logins_at_the_same_time_are_all_listed
}

const NEW: &str = "another battery of staples";
const ROUNDS: usize = 8;

async fn asvs_7_4_3_no_refresh_survives_a_password_change(kind: Kind) {
    let site = Site::start(kind).await;
    for round in 0..ROUNDS {
        let username = format!("user{round}");
        let mut chain = site.user(&username).await;
        let own = site.log_in(&username).await;
        let refreshing = async {
            let mut seen = vec![chain.clone()];
            for _ in 0..30 {
                let answer = site.refresh(&chain.refresh).await;
                if answer.status != 200 {
                    break;
                }
                chain = Tokens::of(&answer);
                seen.push(chain.clone());
            }
            seen
        };
        let (seen, changed) = tokio::join!(refreshing, site.change_password(&own.access, PASSWORD, NEW));
        assert_eq!(changed.status, 200, "{}", changed.body);
        for tokens in &seen {
            assert!(!site.is_active(&tokens.access).await, "round {round}");
        }
        assert!(!site.works(&seen.last().unwrap().refresh).await, "round {round}");
        assert!(site.is_active(&Tokens::of(&changed).access).await);
    }
}

async fn asvs_7_4_3_no_login_with_the_old_password_survives_its_change(kind: Kind) {
    let settings = [
        ("accounts.hashing_threads", "2"),
        ("accounts.hashing_queue", "1000"),
        ("accounts.failures_per_account_and_source", "100"),
    ];
    let site = Site::start_with(kind, &settings).await;
    for round in 0..ROUNDS {
        let username = format!("user{round}");
        let own = site.user(&username).await;
        let logins = futures_util::future::join_all((0..6).map(|_| site.log_in_with(&username, PASSWORD)));
        let (answers, changed) = tokio::join!(logins, site.change_password(&own.access, PASSWORD, NEW));
        assert_eq!(changed.status, 200, "{}", changed.body);
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let tokens = Tokens::of(answer);
            assert!(!site.is_active(&tokens.access).await && !site.works(&tokens.refresh).await, "round {round}");
        }
        let fresh = Tokens::of(&changed);
        assert!(site.is_active(&fresh.access).await);
        assert_eq!(site.sessions(&fresh.access).await.len(), 1);
    }
}

async fn asvs_7_4_2_no_login_survives_disabling(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.hashing_queue", "1000")]).await;
    for round in 0..ROUNDS {
        let username = format!("user{round}");
        let own = site.user(&username).await;
        let id = site.introspect(&own.access).await["sub"].as_str().unwrap().to_owned();
        let disable = format!("/admin/users/{id}/disable");
        let logins = futures_util::future::join_all((0..4).map(|_| site.log_in_with(&username, PASSWORD)));
        let (answers, _) = tokio::join!(logins, site.node.operate("POST", &disable, Some(json!({}))));
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let tokens = Tokens::of(answer);
            assert!(!site.is_active(&tokens.access).await && !site.works(&tokens.refresh).await, "round {round}");
        }
    }
}

async fn of_two_password_changes_one_succeeds(kind: Kind) {
    let site = Site::start(kind).await;
    for round in 0..ROUNDS {
        let username = format!("user{round}");
        let (one, other) = (site.user(&username).await, site.log_in(&username).await);
        let (first, second) = tokio::join!(
            site.change_password(&one.access, PASSWORD, "the first of two passwords"),
            site.change_password(&other.access, PASSWORD, "the second of two passwords")
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "{} {}", first.body, second.body);
        let (winner, password) = if first.status == 200 {
            (first, "the first of two passwords")
        } else {
            (second, "the second of two passwords")
        };
        assert_eq!(site.log_in_with(&username, password).await.status, 200);
        // The one that lost ended nothing of the other.
        assert!(site.is_active(&Tokens::of(&winner).access).await, "round {round}");
    }
}

async fn rfc9700_4_14_2_of_many_refreshes_one_succeeds_and_the_session_ends(kind: Kind) {
    let site = Site::start(kind).await;
    let tokens = site.user("alice").await;
    let answers = futures_util::future::join_all((0..20).map(|_| site.refresh(&tokens.refresh))).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    let won = Tokens::of(won[0]);
    assert!(!site.is_active(&won.access).await && !site.works(&won.refresh).await);
}

async fn logins_at_the_same_time_are_all_listed(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.hashing_queue", "100")]).await;
    let tokens = site.user("alice").await;
    let answers = futures_util::future::join_all((0..10).map(|_| site.log_in_with("alice", PASSWORD))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(site.sessions(&tokens.access).await.len(), 11);
}

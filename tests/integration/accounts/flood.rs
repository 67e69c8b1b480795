//! More logins than can be compared: they are answered that there are too many, and nobody else is.

use std::sync::{Arc, mpsc};

use serde_json::json;

use super::{PASSWORD, Site};
use crate::support::eventually;
use crate::support::node::{Kind, Registered};

over_both_stores! {
    a_flood_of_logins_keeps_neither_introspection_nor_clients_waiting
}

/// Occupies the only thread that compares passwords until what is returned is dropped.
async fn occupy(site: &Site) -> mpsc::Sender<()> {
    let (release, gate) = mpsc::channel::<()>();
    let service = Arc::clone(&site.node.service);
    tokio::spawn(async move {
        let pool = &service.accounts.as_ref().unwrap().hashing;
        pool.run(move |_| gate.recv().is_ok()).await
    });
    eventually("the pool is occupied", async || waiting(site) == 1).await;
    release
}

fn waiting(site: &Site) -> usize {
    site.node.service.accounts.as_ref().unwrap().hashing.depth()
}

async fn a_flood_of_logins_keeps_neither_introspection_nor_clients_waiting(kind: Kind) {
    let site = Site::start_with(kind, &[("accounts.hashing_threads", "1"), ("accounts.hashing_queue", "0")]).await;
    let tokens = site.user("alice").await;
    let secret = "a-secret-that-was-brought-along";
    let members = json!({"client_secret": secret, "rights": ["introspect"], "audiences": [super::API]});
    let brought = Registered { id: site.node.client(members).await.id, secret: secret.into() };

    let occupied = occupy(&site).await;
    for (username, password) in [("alice", PASSWORD), ("alice", "not the right password"), ("nobody", PASSWORD)] {
        let answer = site.log_in_with(username, password).await;
        assert_eq!(answer.refusal(), (503, "temporarily_unavailable".to_owned()), "{username}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(site.register_as("bob", "phone").await.status, 503);
    assert_eq!(site.change_password(&tokens.access, PASSWORD, "another battery of staples").await.status, 503);
    assert!(site.is_active(&tokens.access).await);
    let answer = site.node.api.introspect(brought.pair(), &tokens.access).await;
    assert_eq!(answer.status, 200, "a secret that needs a slow hash has another pool: {}", answer.body);
    assert_eq!(answer.json()["active"], json!(true));
    let refreshed = site.refresh(&tokens.refresh).await;
    assert_eq!(refreshed.status, 200, "nor does a session need a password: {}", refreshed.body);
    assert_eq!(waiting(&site), 1);

    drop(occupied);
    eventually("the pool is free", async || waiting(&site) == 0).await;
    site.log_in("alice").await;
}

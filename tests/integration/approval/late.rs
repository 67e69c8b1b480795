//! Approvals whose command to Redis is late: a partition holds it, the caller is told that nothing is known, and what
//! was decided since must stand (RFC 7009 section 2.1: once a revocation was answered, the token is not active any
//! longer).

use introspectd::token::digest::GrantId;
use introspectd::token::time::Clock;
use serde_json::{Value, json};

use super::Named;
use crate::support::eventually;
use crate::support::life::Pair;
use crate::support::node::{Kind, Node, Registered};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

over_both_stores! {
    every_revocation_of_a_grant_that_can_be_undone_renews_its_mark
}

/// Two nodes over one Redis, one of them over a network that can hold what it sends.
struct Nodes {
    redis: RedisServer,
    proxy: Proxy,
    far: Node,
    near: Node,
    app: Registered,
}

impl Nodes {
    /// The far node waits so long for an answer, the near one longer than any test takes.
    async fn start(patience: &str) -> Self {
        let redis = RedisServer::start().await;
        let proxy = Proxy::start(redis.port()).await;
        let timeout = |duration| [("redis.response_timeout", duration)];
        let far = Node::over(("redis.url", proxy.url()), Clock::System, &timeout(patience)).await;
        let near = Node::over(("redis.url", redis.url()), Clock::System, &timeout(PATIENT)).await;
        let app = near.refresher().await;
        // A script that Redis does not know would be sent a second time, and not by whoever delivers it late.
        for members in [json!({"refresh": true}), json!({"format": "jwt"})] {
            let access = json!({"token": near.issue(&app, members).await["access_token"], "cascade": false});
            assert!(near.decide("revoke", access.clone()).await);
            assert!(near.decide("approve", access).await);
        }
        Self { redis, proxy, far, near, app }
    }

    async fn is_active(&self, token: &str) -> bool {
        self.near.api.is_active(self.app.pair(), token).await
    }

    /// The approval of `body` is late: it changes `key`, is answered with 503, and reaches Redis once all that is done
    /// in `meanwhile` was answered.
    async fn approve_late(&self, body: Value, key: &str, meanwhile: &[&str]) {
        let mut hold = self.proxy.hold(&["EVALSHA", key]);
        let answer = self.far.ask_operator("/admin/tokens/approve", body.clone()).await;
        hold.is_there().await;
        assert_eq!(answer.refusal(), (503, "temporarily_unavailable".into()));
        for action in meanwhile {
            self.near.decide(action, body.clone()).await;
        }
        let before = self.scripts_run().await;
        hold.release();
        eventually("the late command has run", async || self.scripts_run().await > before).await;
    }

    async fn scripts_run(&self) -> u64 {
        let statistics: String = self.redis.command(&["INFO", "commandstats"]).await;
        let line = statistics.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap_or("0");
        line.split(',').next().unwrap().parse().unwrap()
    }
}

/// Longer than what is held is held.
const PATIENT: &str = "20s";
/// Shorter, and long enough for what is not held.
const IMPATIENT: &str = "1s";

/// What is acknowledged while the approval is on its way: another revocation, or an approval with a revocation after
/// it.
const MEANWHILE: [&[&str]; 2] = [&["revoke"], &["approve", "revoke"]];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7009_2_1_an_opaque_token_stays_revoked() {
    let nodes = Nodes::start(IMPATIENT).await;
    for meanwhile in MEANWHILE {
        let issued = nodes.near.issue(&nodes.app, json!({})).await;
        let token = issued["access_token"].as_str().unwrap();
        let name = json!({"token": token});
        assert!(nodes.near.decide("revoke", name.clone()).await);
        nodes.approve_late(name.clone(), &format!("r:{{{}}}", issued["jti"].as_str().unwrap()), meanwhile).await;
        assert!(!nodes.is_active(token).await, "{meanwhile:?}");
        assert!(nodes.near.decide("approve", name).await);
        assert!(nodes.is_active(token).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7009_2_1_a_signed_token_stays_revoked() {
    let nodes = Nodes::start(IMPATIENT).await;
    for meanwhile in MEANWHILE {
        let issued = nodes.near.issue(&nodes.app, json!({"format": "jwt"})).await;
        let token = issued["access_token"].as_str().unwrap();
        let name = json!({"token": token});
        assert!(nodes.near.decide("revoke", name.clone()).await);
        nodes.approve_late(name.clone(), "itd:r:{", meanwhile).await;
        assert!(!nodes.is_active(token).await, "{meanwhile:?}");
        assert!(nodes.near.decide("approve", name).await);
        assert!(nodes.is_active(token).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7009_2_1_a_grant_stays_revoked() {
    let nodes = Nodes::start(IMPATIENT).await;
    for (cascade, meanwhile) in [(true, MEANWHILE[0]), (true, MEANWHILE[1]), (false, MEANWHILE[0])] {
        let issued = nodes.near.issue(&nodes.app, json!({"refresh": true})).await;
        let (pair, grant) = (Pair::of(&issued), issued["grant_id"].as_str().unwrap());
        let name = json!({"grant_id": grant, "cascade": cascade});
        assert!(nodes.near.decide("revoke", name.clone()).await);
        nodes.approve_late(name.clone(), &format!("e:g:{{{grant}}}"), meanwhile).await;
        assert!(!nodes.is_active(&pair.refresh).await, "{cascade} {meanwhile:?}");
        assert_eq!(nodes.is_active(&pair.access).await, !cascade);
        assert!(nodes.near.decide("approve", name).await);
        assert!(nodes.is_active(&pair.refresh).await && nodes.is_active(&pair.access).await);
    }
}

/// What the refresh token was exchanged for while the approval had yet to read anything is none of its business: it
/// stays as revoked as it is by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_brings_back_nothing_that_was_revoked_since_it_began() {
    let nodes = Nodes::start(PATIENT).await;
    let named = Named::issue(&nodes.near, &nodes.app).await;
    let (grant, name) = (named.grant_id.as_str().unwrap(), json!({"grant_id": named.grant_id}));
    assert!(nodes.near.decide("revoke", name.clone()).await);
    // The mark is read first, with nothing of the token before it, only by what is about to change it.
    let read = format!("*2\r\n$3\r\nGET\r\n${}\r\nitd:e:g:{{{grant}}}\r\n", "itd:e:g:{}".len() + grant.len());
    let mut hold = nodes.proxy.hold_beginning(&read);
    let approving = nodes.far.ask_operator("/admin/tokens/approve", super::with(&name, "cascade", false));
    let meanwhile = async {
        hold.is_there().await;
        assert!(nodes.near.decide("approve", name.clone()).await);
        let next = nodes.near.rotate(&nodes.app, &named.pair.refresh).await;
        assert!(nodes.near.decide("revoke", name.clone()).await);
        hold.release();
        next
    };
    let (answer, next) = tokio::join!(approving, meanwhile);
    assert_eq!((answer.status, answer.json()), (200, json!({"changed": true})));
    assert!(nodes.is_active(&next.refresh).await);
    assert_eq!(nodes.near.alive(&nodes.app, [&named.pair.access, &next.access]).await, [false, false]);
}

/// Revoking an access token alone makes its refresh token unusable (rule 2), also when somebody approves both between
/// the two writes that it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_2_no_refresh_token_works_whose_access_token_was_revoked_alone() {
    let nodes = Nodes::start(PATIENT).await;
    let named = Named::issue(&nodes.near, &nodes.app).await;
    let (alone, both) = (super::with(&named.access()[0], "cascade", false), named.access()[0].clone());
    let mut hold = nodes.proxy.hold(&["EVALSHA", &format!("r:{{{}}}", named.access_jti.as_str().unwrap())]);
    let meanwhile = async {
        hold.is_there().await;
        assert!(nodes.near.decide("approve", both.clone()).await);
        hold.release();
    };
    let (changed, ()) = tokio::join!(nodes.far.decide("revoke", alone.clone()), meanwhile);
    assert!(changed);
    assert_eq!(named.alive(&nodes.near, &nodes.app).await, [false, false]);
    assert!(nodes.near.decide("approve", both).await);
    assert_eq!(named.alive(&nodes.near, &nodes.app).await, [true, true]);
}

async fn every_revocation_of_a_grant_that_can_be_undone_renews_its_mark(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let named = Named::issue(&node, &app).await;
    let next = node.rotate(&app, &named.pair.refresh).await;
    let grant = GrantId::from_text(named.grant_id.as_str().unwrap()).unwrap();
    let mark = async || node.service.store.grant_mark(grant).await.unwrap();
    let bodies = [named.refresh()[2].clone(), json!({"token": next.access}), json!({"token": next.refresh})];
    for cascade in [false, true] {
        let mut seen = Vec::new();
        for (body, _) in bodies.iter().cycle().zip(0..6) {
            node.decide("revoke", super::with(body, "cascade", cascade)).await;
            seen.push(mark().await.nonce);
        }
        assert_eq!(node.api.revoke(app.pair(), &next.refresh).await.status, 200);
        seen.push(mark().await.nonce);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 7, "{cascade}");
        assert!(node.decide("approve", bodies[0].clone()).await);
        assert!(mark().await.is_empty());
    }
    // Once nothing can bring it back, whoever presents a spent refresh token makes the store write no more.
    node.refresh(&app, &named.pair.refresh).await;
    let last = mark().await;
    assert!(last.is_final());
    node.refresh(&app, &named.pair.refresh).await;
    node.decide("revoke", bodies[0].clone()).await;
    assert_eq!(mark().await, last);
}

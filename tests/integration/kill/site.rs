//! What is killed, and brought up again on what it kept.

use std::collections::HashSet;
use std::time::Duration;

use introspectd::token::codec;
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::profile::Profile;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::ended::{self, Ended};
use super::family::Family;
use super::{APP, Inquiry, SECRET, Tally, random};
use crate::support::PATIENCE;
use crate::support::api::Api;
use crate::support::life::refreshing;
use crate::support::node::OPERATOR;
use crate::support::program::Program;
use crate::support::redis::{PREFIX, RedisServer};

/// Clients that revoke, beside those that refresh.
const REVOKING: usize = 2;

/// A Redis that keeps what it acknowledges, and a node.
pub(super) struct Site {
    pub(super) redis: RedisServer,
    program: Program,
    variables: Vec<(&'static str, String)>,
}

impl Site {
    pub(super) async fn start(inquiry: Inquiry) -> Self {
        let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
        let operator = json!([{
            "client_id": OPERATOR.0, "client_secret": OPERATOR.1,
            "rights": ["introspect", "revoke", "issue", "admin"]
        }]);
        let variables = vec![
            ("INTROSPECTD_REDIS__URL", redis.url()),
            ("INTROSPECTD_REDIS__RESPONSE_TIMEOUT", "5s".to_owned()),
            ("INTROSPECTD_ISSUER", "https://as.example.com".to_owned()),
            ("INTROSPECTD_KEYS__DIGEST", json!([{"id": "t1", "secret": SECRET}]).to_string()),
            ("INTROSPECTD_CLIENTS", operator.to_string()),
            // None may expire while the proof goes on.
            ("INTROSPECTD_TOKENS__ACCESS_LIFETIME", "2h".to_owned()),
            ("INTROSPECTD_TOKENS__REFRESH_GRACE", if inquiry == Inquiry::Grace { "30s" } else { "0s" }.to_owned()),
        ];
        let program = Self::launch(&variables);
        let site = Self { redis, program, variables };
        let mut app = refreshing();
        (app["client_id"], app["client_secret"]) = (json!(APP.0), json!(APP.1));
        let created = site.api().admin(OPERATOR, "POST", "/admin/clients", Some(app)).await;
        assert_eq!(created.status, 201, "{}", created.body);
        site
    }

    fn launch(variables: &[(&'static str, String)]) -> Program {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::serve(&[], &variables)
    }

    /// A client with connections of its own.
    pub(super) fn api(&self) -> Api {
        self.program.api().clone()
    }

    /// Lets clients refresh and revoke until a kill at a random moment, and brings everything up again. Gives what was
    /// to be revoked meanwhile.
    pub(super) async fn live_through(&mut self, families: &mut Vec<Family>, tally: &mut Tally) -> Vec<Ended> {
        let mut refreshing = JoinSet::new();
        for family in families.drain(..) {
            refreshing.spawn(family.refresh_until_killed(self.api()));
        }
        let mut revoking = JoinSet::new();
        for _ in 0..REVOKING {
            revoking.spawn(ended::revoke_until_killed(self.api()));
        }
        sleep(Duration::from_micros(20_000 + random(130_000))).await;
        let (of_redis, of_node) = [(true, false), (false, true), (true, true)][usize::try_from(random(3)).unwrap()];
        if of_redis {
            self.redis.kill();
            tally.kills_of_redis += 1;
        }
        if of_node {
            self.program.kill();
            tally.kills_of_nodes += 1;
        }
        let all = async { (refreshing.join_all().await, revoking.join_all().await) };
        let (refreshed, revoked) = timeout(PATIENCE, all).await.expect("every client notices that something is gone");
        for (family, acknowledged) in refreshed {
            tally.refreshes += acknowledged;
            families.push(family);
        }
        if of_redis {
            self.redis.launch().await;
        }
        if of_node {
            self.program = Self::launch(&self.variables);
        }
        let ended: Vec<Ended> = revoked.into_iter().flatten().collect();
        tally.revocations += u64::try_from(ended.iter().filter(|ended| ended.acknowledged).count()).unwrap();
        ended
    }

    /// How many access tokens of these grants nobody was given and no grant knows of: each is left of a rotation that
    /// did not get to its second step.
    pub(super) async fn unknown_access_tokens(&self, families: &[Family]) -> usize {
        let known: HashSet<TokenDigest> = families.iter().flat_map(|family| family.accesses.iter().copied()).collect();
        let grants: HashSet<GrantId> = families.iter().map(|family| family.id).collect();
        let (mut unknown, mut cursor) = (HashSet::new(), "0".to_owned());
        let start = format!("{PREFIX}t:{{");
        loop {
            let (next, page): (String, Vec<String>) =
                self.redis.command(&["SCAN", &cursor, "MATCH", &format!("{start}*"), "COUNT", "1000"]).await;
            for key in page {
                let name = key.strip_prefix(&start).and_then(|rest| rest.strip_suffix('}')).unwrap();
                let digest = TokenDigest::from_text(name).unwrap();
                let stored: Vec<u8> = self.redis.command(&["GET", &key]).await;
                let record = match codec::profile_of(&stored).unwrap() {
                    None => codec::decode(&stored),
                    Some(id) => {
                        let profile = format!("{PREFIX}p:{{{}}}", id.to_text());
                        let profile: Vec<u8> = self.redis.command(&["GET", &profile]).await;
                        codec::decode_named(&stored, &Profile::decode(&profile).unwrap())
                    }
                };
                let grant = record.unwrap().grant;
                if grant.is_some_and(|grant| grants.contains(&grant.id)) && !known.contains(&digest) {
                    unknown.insert(digest);
                }
            }
            if next == "0" {
                return unknown.len();
            }
            cursor = next;
        }
    }
}

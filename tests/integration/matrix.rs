//! The failure matrix of one Redis, row by row: what each kind of request is answered while something is wrong, and that
//! all is well again afterwards.
//!
//! The rows about failovers, zombies, shards and slots need several servers: `topology`, `tests/chaos`,
//! `tests/simulation`.

use std::time::Duration;

use introspectd::token::time::Clock;
use serde_json::json;

use crate::support::eventually;
use crate::support::node::{AUDIENCE, Node, OPERATOR, Registered};
use crate::support::redis::RedisServer;

/// Who introspects. Declared, since nobody else can be told from a stranger while nothing can be read.
const GATEWAY: (&str, &str) = ("gateway", "the gateway's secret of the tests");

/// What a node that has something to answer with is asked.
struct Table {
    redis: RedisServer,
    node: Node,
    app: Registered,
    /// Introspected before the fault, and again and again.
    hot: String,
    /// Never introspected before the fault: one for each time that it is asked about.
    cold: Vec<String>,
    /// Revoked on request, introspected before the fault.
    revoked: String,
    /// Ended for good, introspected before the fault.
    ended: String,
    /// To be revoked: one for each time.
    doomed: Vec<String>,
}

/// What is answered: of tokens, what is said of them; of the rest, the status.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    hot: Said,
    cold: Said,
    revoked: Said,
    ended: Said,
    revoke: u16,
    issue: u16,
    live: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Active,
    Inactive,
    Nothing,
}

const HEALTHY: Row = Row {
    hot: Said::Active,
    cold: Said::Active,
    revoked: Said::Inactive,
    ended: Said::Inactive,
    revoke: 200,
    issue: 200,
    live: 200,
};

/// Nothing can be read or written. What can never be active again is remembered all the same.
const AWAY: Row = Row {
    hot: Said::Nothing,
    cold: Said::Nothing,
    revoked: Said::Nothing,
    ended: Said::Inactive,
    revoke: 503,
    issue: 503,
    live: 200,
};

impl Table {
    async fn set(redis: RedisServer) -> Self {
        let clients = json!([
            {"client_id": OPERATOR.0, "client_secret": OPERATOR.1, "rights": ["introspect", "revoke", "issue", "admin"]},
            {"client_id": GATEWAY.0, "client_secret": GATEWAY.1, "rights": ["introspect"], "audiences": [AUDIENCE]},
        ]);
        let clients = clients.to_string();
        let settings =
            [("redis.response_timeout", "700ms"), ("redis.connect_timeout", "700ms"), ("clients", &*clients)];
        let node = Node::over(("redis.url", redis.url()), Clock::System, &settings).await;
        let app = node.refresher().await;
        let mut tokens = Vec::new();
        for _ in 0..62 {
            tokens.push(node.token(&app).await);
        }
        let (hot, revoked) = (tokens.remove(0), tokens.remove(0));
        assert_eq!(node.api.revoke(app.pair(), &revoked).await.status, 200);
        // A refresh token that is used twice ends everything of its grant, and nobody can bring that back.
        let first = node.grant(&app, json!({})).await;
        let second = node.rotate(&app, &first.refresh).await;
        assert_eq!(node.refresh(&app, &first.refresh).await.status, 400);
        let doomed = tokens.split_off(30);
        let table = Self { redis, node, app, hot, cold: tokens, revoked, ended: second.access, doomed };
        for (token, active) in [(&table.hot, true), (&table.revoked, false), (&table.ended, false)] {
            for _ in 0..2 {
                assert_eq!(table.node.api.is_active(GATEWAY, token).await, active);
            }
        }
        table
    }

    async fn says(&self, token: &str) -> Said {
        let answer = self.node.api.introspect(GATEWAY, token).await;
        match (answer.status, answer.status == 200 && answer.json()["active"] == true) {
            (200, true) => Said::Active,
            (200, false) => Said::Inactive,
            (503, _) => {
                assert!(answer.header("retry-after").is_some());
                Said::Nothing
            }
            _ => panic!("{answer:?}"),
        }
    }

    async fn ask(&mut self) -> Row {
        let (cold, doomed) = (self.cold.pop().expect("enough"), self.doomed.pop().expect("enough"));
        let issue = [("grant_type", "client_credentials")];
        let live = self.node.api.request("GET", &self.node.api.url("/livez"));
        Row {
            hot: self.says(&self.hot).await,
            cold: self.says(&cold).await,
            revoked: self.says(&self.revoked).await,
            ended: self.says(&self.ended).await,
            revoke: self.node.api.revoke(self.app.pair(), &doomed).await.status,
            issue: self.node.api.post("/token", self.app.pair(), &issue).await.status,
            live: self.node.api.send(live).await.status,
        }
    }

    /// Waits until it is answered so, and makes sure that on the way nothing was said that is not true.
    async fn comes_to(&mut self, row: &Row) {
        for _ in 0..25 {
            let seen = self.ask().await;
            assert_ne!(seen.hot, Said::Inactive, "it is active");
            assert_ne!(seen.cold, Said::Inactive, "it is active");
            assert_ne!(seen.revoked, Said::Active, "it was revoked");
            assert_ne!(seen.ended, Said::Active, "it has ended");
            if seen == *row {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(self.ask().await, *row);
    }

    async fn stays(&mut self, row: &Row) {
        assert_eq!(self.ask().await, *row);
        assert_eq!(self.ask().await, *row);
    }

    async fn ready(&self) -> u16 {
        let request = self.node.api.request("GET", &self.node.api.url("/readyz"));
        self.node.api.send(request).await.status
    }

    async fn tell(&self, words: &[&str]) {
        self.redis.command::<redis::Value>(words).await;
    }
}

async fn durable() -> RedisServer {
    RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_well() {
    let mut table = Table::set(RedisServer::start().await).await;
    table.stays(&HEALTHY).await;
    assert_eq!(table.ready().await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_down() {
    let mut table = Table::set(durable().await).await;
    table.redis.kill();
    table.comes_to(&AWAY).await;
    table.stays(&AWAY).await;
    assert_eq!(table.ready().await, 200, "a failover may be under way");
    table.redis.launch().await;
    table.comes_to(&HEALTHY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_hangs() {
    let mut table = Table::set(durable().await).await;
    table.redis.freeze();
    table.comes_to(&AWAY).await;
    table.stays(&AWAY).await;
    table.redis.thaw();
    table.comes_to(&HEALTHY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_tells_of_changes_is_lost() {
    let mut table = Table::set(RedisServer::start().await).await;
    for _ in 0..5 {
        let clients: String = table.redis.command(&["CLIENT", "LIST"]).await;
        let field = |line: &str, name: &str| {
            line.split(' ').find_map(|part| part.strip_prefix(name)).map(str::to_owned).unwrap_or_default()
        };
        for line in clients.lines().filter(|line| field(line, "flags=").contains('t')) {
            table.tell(&["CLIENT", "KILL", "ID", &field(line, "id=")]).await;
        }
        table.stays(&HEALTHY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas() {
    let mut table = Table::set(RedisServer::start().await).await;
    table.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let refusing = Row { revoke: 503, issue: 503, ..HEALTHY };
    table.comes_to(&refusing).await;
    table.stays(&refusing).await;
    table.tell(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    table.comes_to(&HEALTHY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_full() {
    let mut table = Table::set(RedisServer::start().await).await;
    table.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let full = Row { issue: 503, ..HEALTHY };
    table.comes_to(&full).await;
    table.stays(&full).await;
    table.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
    table.comes_to(&HEALTHY).await;
}

const SNAPSHOTS: [&str; 6] = ["--appendonly", "no", "--save", "3600 1", "--dbfilename", "taken.rdb"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_cannot_be_written() {
    let mut table = Table::set(RedisServer::start_with(&SNAPSHOTS).await).await;
    // Where the snapshot is to be put, there is a folder.
    std::fs::create_dir(table.redis.folder().join("taken.rdb")).unwrap();
    table.tell(&["BGSAVE"]).await;
    let refusing = Row { revoke: 503, issue: 503, ..HEALTHY };
    table.comes_to(&refusing).await;
    table.stays(&refusing).await;
    std::fs::remove_dir(table.redis.folder().join("taken.rdb")).unwrap();
    table.tell(&["BGSAVE"]).await;
    table.comes_to(&HEALTHY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_is_gone() {
    let mut table = Table::set(RedisServer::start().await).await;
    table.tell(&["FLUSHALL"]).await;
    table.comes_to(&AWAY).await;
    table.stays(&AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_is_that_of_somebody_else() {
    let mut table = Table::set(RedisServer::start().await).await;
    table.redis.kill();
    table.redis.forget();
    let mut stranger = RedisServer::start().await;
    let _theirs = Node::over(("redis.url", stranger.url()), Clock::System, &[]).await;
    eventually("they have a dataset", async || stranger.command::<u64>(&["DBSIZE"]).await >= 128).await;
    table.redis.launch().await;
    table.tell(&["REPLICAOF", "127.0.0.1", &stranger.port().to_string()]).await;
    eventually("their data is there", async || table.redis.command::<u64>(&["DBSIZE"]).await >= 128).await;
    stranger.kill();
    table.tell(&["REPLICAOF", "NO", "ONE"]).await;
    table.comes_to(&AWAY).await;
    table.stays(&AWAY).await;
}

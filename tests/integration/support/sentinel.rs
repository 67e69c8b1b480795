//! One primary, two replicas, and three Sentinels that watch them: on free ports, ended with the test.

use std::collections::HashMap;
use std::time::Duration;

use introspectd::client::secret::Secret;
use introspectd::config::{RedisConfig, RedisTopology};

use super::eventually;
use super::redis::{Certificates, Part, RedisServer, Setup};

/// The name under which the Sentinels watch the primary.
pub(crate) const SERVICE: &str = "introspectd";

/// How many Sentinels must agree.
const QUORUM: usize = 2;

/// What can be chosen about a [`SentinelSet`].
#[derive(Clone)]
pub(crate) struct SentinelOptions {
    /// How long a server must say nothing for a Sentinel to hold it to be down.
    pub(crate) down_after: Duration,
    /// After how long a failover that does not get on is given up. Twice as long passes before the next is tried.
    pub(crate) failover_timeout: Duration,
    /// The password of the servers.
    pub(crate) password: Option<&'static str>,
    /// The password of the Sentinels.
    pub(crate) sentinel_password: Option<&'static str>,
    /// Whether all of them speak TLS.
    pub(crate) encrypted: bool,
    /// Further settings of the servers.
    pub(crate) arguments: &'static [&'static str],
}

impl Default for SentinelOptions {
    fn default() -> Self {
        Self {
            down_after: Duration::from_millis(500),
            failover_timeout: Duration::from_secs(2),
            password: None,
            sentinel_password: None,
            encrypted: false,
            arguments: &["--appendonly", "yes", "--appendfsync", "always"],
        }
    }
}

/// The servers and the Sentinels, each of which can be killed, frozen and launched again by itself.
pub(crate) struct SentinelSet {
    /// The first is the primary at the start.
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<RedisServer>,
    options: SentinelOptions,
}

impl SentinelSet {
    /// A set that keeps its keys on disk, each before it is acknowledged.
    pub(crate) async fn start() -> Self {
        Self::start_with(SentinelOptions::default()).await
    }

    /// A set of the caller's choice, when all are up and know each other.
    pub(crate) async fn start_with(options: SentinelOptions) -> Self {
        let certificates = options.encrypted.then(Certificates::new);
        let setup = Setup {
            arguments: options.arguments.iter().map(|&argument| argument.to_owned()).collect(),
            certificates: certificates.clone(),
            password: options.password.map(str::to_owned),
            part: Part::Data,
        };
        let mut servers: Vec<_> = (0..3).map(|_| RedisServer::prepare(setup.clone())).collect();
        for server in &mut servers {
            server.launch().await;
        }
        let primary = servers[0].port().to_string();
        for replica in &servers[1..] {
            replica.command::<()>(&["REPLICAOF", "127.0.0.1", &primary]).await;
        }
        for server in &servers {
            // As a server in earnest, it knows after a restart what it was last told.
            server.command::<()>(&["CONFIG", "REWRITE"]).await;
        }
        let watching = Setup {
            arguments: Vec::new(),
            certificates,
            password: options.sentinel_password.map(str::to_owned),
            part: Part::Sentinel(instructions(&primary, &options)),
        };
        let sentinels = (0..3).map(|_| RedisServer::prepare(watching.clone())).collect();
        let mut set = Self { servers, sentinels, options };
        for index in 0..3 {
            set.launch_sentinel(index).await;
        }
        set.is_healthy().await;
        set
    }

    /// Launches a Sentinel that is not running.
    pub(crate) async fn launch_sentinel(&mut self, index: usize) {
        let sentinel = &mut self.sentinels[index];
        sentinel.launch().await;
        // Left to themselves they look around every few seconds, and rest for half a minute after a pause. What a
        // replica said is believed for five times the period of pings, and while the primary is down it is asked every
        // second: shorter pings would leave no replica to choose.
        let periods = "INFO-PERIOD 200 PING-PERIOD 300 ASK-PERIOD 100 PUBLISH-PERIOD 200 TILT-PERIOD 1000 \
                       MIN-LINK-RECONNECT-PERIOD 200 SLAVE-RECONF-TIMEOUT 1000 ELECTION-TIMEOUT 2000";
        let words: Vec<_> = ["SENTINEL", "DEBUG"].into_iter().chain(periods.split_whitespace()).collect();
        sentinel.command::<()>(&words).await;
    }

    /// Which server is the primary, by the word of a majority of the Sentinels and by its own.
    pub(crate) async fn primary(&self) -> Option<usize> {
        let mut votes = vec![0; self.servers.len()];
        for sentinel in &self.sentinels {
            let asked = sentinel.try_command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).await;
            let port = asked.ok().and_then(|(_, port): (String, String)| port.parse().ok());
            if let Some(index) = self.servers.iter().position(|server| Some(server.port()) == port) {
                votes[index] += 1;
            }
        }
        let index = votes.iter().position(|&votes| votes >= QUORUM)?;
        let info: String = self.servers[index].try_command(&["INFO", "replication"]).await.ok()?;
        info.contains("role:master").then_some(index)
    }

    /// Waits until the Sentinels know of each other and of every server, and all of these are up and in step.
    pub(crate) async fn is_healthy(&self) {
        eventually("the Sentinels see every server", async || {
            let Some(primary) = self.primary().await else { return false };
            for sentinel in &self.sentinels {
                let words = ["SENTINEL", "CKQUORUM", SERVICE];
                let quorum: Result<String, _> = sentinel.try_command(&words).await;
                let watched: Result<Vec<redis::Value>, _> =
                    sentinel.try_command(&["SENTINEL", "REPLICAS", SERVICE]).await;
                let others: Result<Vec<redis::Value>, _> =
                    sentinel.try_command(&["SENTINEL", "SENTINELS", SERVICE]).await;
                let all = quorum.is_ok_and(|answer| answer.starts_with("OK 3"))
                    && watched.is_ok_and(|replicas| replicas.len() == self.servers.len() - 1)
                    && others.is_ok_and(|others| others.len() == self.sentinels.len() - 1);
                if !all {
                    return false;
                }
            }
            self.replicas_follow(primary).await
        })
        .await;
    }

    /// Lets the Sentinels make another server the primary, and waits for it. All must be well before.
    pub(crate) async fn failover(&self) -> usize {
        let before = self.primary().await;
        let told = &self.sentinels[0];
        eventually("a Sentinel carries a failover out", async || {
            // One that it is told to begin it begins once: where a busy machine has kept the replicas from answering for a
            // moment there is none to choose, and it gives up for good. It refuses to begin another while one is going on.
            let asked: Result<HashMap<String, String>, _> = told.try_command(&["SENTINEL", "MASTER", SERVICE]).await;
            let Ok(seen) = asked else { return false };
            let port = |index: usize| self.servers[index].port().to_string();
            if before.is_some_and(|before| seen.get("port") != Some(&port(before))) {
                return true;
            }
            let _ = told.try_command::<()>(&["SENTINEL", "FAILOVER", SERVICE]).await;
            false
        })
        .await;
        self.is_replaced(before).await
    }

    /// Waits until the Sentinels name another primary than this, and gives it.
    pub(crate) async fn is_replaced(&self, before: Option<usize>) -> usize {
        eventually("another server is the primary", async || {
            self.primary().await.is_some_and(|primary| Some(primary) != before)
        })
        .await;
        self.primary().await.unwrap()
    }

    /// The addresses of all Sentinels, as `host:port`.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::address).collect()
    }

    /// Settings for a store in this set, with which a busy machine is waited for.
    pub(crate) fn config(&self) -> RedisConfig {
        let addresses = self.addresses();
        // How to log in to the servers stands beside the address of a Sentinel.
        let (scheme, login) = (if self.options.encrypted { "rediss" } else { "redis" }, self.servers[0].login());
        RedisConfig {
            url: Secret::new(format!("{scheme}://{login}{}", addresses[0])),
            topology: RedisTopology::Sentinel,
            nodes: addresses[1..].to_vec(),
            sentinel_service: SERVICE.to_owned(),
            sentinel_password: self.options.sentinel_password.map(Secret::new),
            ..self.servers[0].config()
        }
    }

    async fn replicas_follow(&self, primary: usize) -> bool {
        let wanted = format!("master_port:{}", self.servers[primary].port());
        for (index, server) in self.servers.iter().enumerate() {
            let Ok(info) = server.try_command::<String>(&["INFO", "replication"]).await else { return false };
            let mut lines = info.lines();
            let follows = lines.clone().any(|line| line == wanted) && lines.any(|line| line == "master_link_status:up");
            if index != primary && !follows {
                return false;
            }
        }
        true
    }
}

/// What the settings file of a Sentinel says at its first start.
fn instructions(primary: &str, options: &SentinelOptions) -> String {
    let mut lines = vec![
        format!("sentinel monitor {SERVICE} 127.0.0.1 {primary} {QUORUM}"),
        format!("sentinel down-after-milliseconds {SERVICE} {}", options.down_after.as_millis()),
        format!("sentinel failover-timeout {SERVICE} {}", options.failover_timeout.as_millis()),
        format!("sentinel parallel-syncs {SERVICE} 2"),
    ];
    lines.extend(options.password.map(|password| format!("sentinel auth-pass {SERVICE} {password}")));
    lines.extend(options.sentinel_password.map(|password| format!("sentinel sentinel-pass {password}")));
    lines.join("\n") + "\n"
}

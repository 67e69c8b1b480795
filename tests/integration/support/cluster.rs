//! A Redis Cluster of three primaries with a replica each: on free ports, ended with the test.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use introspectd::client::secret::Secret;
use introspectd::config::{RedisConfig, RedisTopology};

use super::eventually;
use super::redis::{Certificates, Part, RedisServer, Setup};

/// How many slots there are (Redis Cluster specification, "Key distribution model").
const SLOTS: u16 = 16_384;

/// What each primary has at the start: its first and its last slot. As many replicas come after the primaries.
const RANGES: [(&str, &str); PRIMARIES] = [("0", "5460"), ("5461", "10921"), ("10922", "16383")];
const PRIMARIES: usize = 3;

/// After how long a node gives up a failover that it was told to do.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be chosen about a [`RedisCluster`].
#[derive(Clone)]
pub(crate) struct ClusterOptions {
    /// How long a node must say nothing for the others to hold it to be down.
    pub(crate) node_timeout: Duration,
    /// The password of all nodes.
    pub(crate) password: Option<&'static str>,
    /// Whether all of them speak TLS, to each other too.
    pub(crate) encrypted: bool,
    /// Further settings of all nodes.
    pub(crate) arguments: &'static [&'static str],
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            node_timeout: Duration::from_secs(1),
            password: None,
            encrypted: false,
            arguments: &["--appendonly", "yes", "--appendfsync", "always"],
        }
    }
}

/// How a replica takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// The primary stands still until the replica is in step.
    Agreed,
    /// A majority of the primaries agrees; nobody asks the primary.
    Forced,
    /// Nobody is asked.
    Alone,
}

/// The nodes, each of which can be killed, frozen and launched again by itself.
pub(crate) struct RedisCluster {
    /// The first three are the primaries at the start, in the order of their slots. Then come their replicas.
    pub(crate) servers: Vec<RedisServer>,
    /// What the nodes call themselves.
    ids: Vec<String>,
}

/// What one node believes of another.
struct Seen {
    id: String,
    is_primary: bool,
    is_well: bool,
    /// First and last slot of each range.
    ranges: Vec<(u16, u16)>,
}

impl RedisCluster {
    /// A cluster that keeps its keys on disk, each before it is acknowledged, and goes on with the rest when a primary
    /// and its replica are down.
    pub(crate) async fn start() -> Self {
        Self::start_with(ClusterOptions::default()).await
    }

    /// A cluster of the caller's choice, when every node sees every other.
    pub(crate) async fn start_with(options: ClusterOptions) -> Self {
        let timeout = options.node_timeout.as_millis().to_string();
        let ours = ["--cluster-node-timeout", &timeout, "--cluster-replica-validity-factor", "0"];
        let shape = ["--cluster-allow-replica-migration", "no", "--cluster-require-full-coverage", "no"];
        let arguments = ours.iter().chain(&shape).chain(options.arguments).map(|&argument| argument.to_owned());
        let setup = Setup {
            arguments: arguments.collect(),
            certificates: options.encrypted.then(Certificates::new),
            password: options.password.map(str::to_owned),
            part: Part::Node,
        };
        let mut servers: Vec<_> = (0..2 * PRIMARIES).map(|_| RedisServer::prepare(setup.clone())).collect();
        let mut ids = Vec::new();
        for server in &mut servers {
            server.launch().await;
            ids.push(server.command(&["CLUSTER", "MYID"]).await);
        }
        let cluster = Self { servers, ids };
        cluster.join().await;
        cluster
    }

    /// Makes one cluster of nodes that do not know each other.
    async fn join(&self) {
        for (index, server) in self.servers.iter().enumerate() {
            let epoch = (index + 1).to_string();
            server.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            let (port, bus) = (server.port().to_string(), server.bus_port().to_string());
            self.servers[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
            if let Some((first, last)) = RANGES.get(index) {
                server.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
            }
        }
        for (index, replica) in self.servers.iter().enumerate().skip(PRIMARIES) {
            let primary = &self.ids[index - PRIMARIES];
            eventually("the replica knows its primary", async || {
                replica.try_command::<()>(&["CLUSTER", "REPLICATE", primary]).await.is_ok()
            })
            .await;
        }
        self.is_healthy().await;
    }

    /// Waits until every node takes every other to be well, all agree who has which slot, and the replicas are in step.
    pub(crate) async fn is_healthy(&self) {
        eventually("every node of the cluster is well", async || {
            let mut first: Option<Vec<Option<usize>>> = None;
            for server in &self.servers {
                let Some(seen) = self.seen_by(server).await else { return false };
                let owners = self.owners(&seen);
                let complete = owners.iter().all(Option::is_some);
                let agreed = first.as_ref().is_none_or(|first| *first == owners);
                let well = seen.len() == self.servers.len() && seen.iter().all(|node| node.is_well);
                let is_up = |info: &String| info.contains("cluster_state:ok");
                let state: Result<String, _> = server.try_command(&["CLUSTER", "INFO"]).await;
                if !(complete && agreed && well && state.as_ref().is_ok_and(is_up) && follows(server).await) {
                    return false;
                }
                first = Some(owners);
            }
            true
        })
        .await;
    }

    /// Which node a majority of those that answer holds to be the primary of a slot.
    pub(crate) async fn owner(&self, slot: u16) -> Option<usize> {
        let mut votes = vec![0; self.servers.len()];
        let mut answers = 0;
        for server in &self.servers {
            let Some(seen) = self.seen_by(server).await else { continue };
            answers += 1;
            if let Some(owner) = self.owners(&seen)[usize::from(slot)] {
                votes[owner] += 1;
            }
        }
        votes.iter().position(|&votes| 2 * votes > answers)
    }

    /// The slot of a key (Redis Cluster specification, "Hash tags").
    pub(crate) async fn slot(&self, key: &str) -> u16 {
        for server in &self.servers {
            if let Ok(slot) = server.try_command(&["CLUSTER", "KEYSLOT", key]).await {
                return slot;
            }
        }
        panic!("no node answers");
    }

    /// Lets a replica become the primary of what its own primary has, and waits until the nodes that answer see it so.
    pub(crate) async fn failover(&self, replica: usize, takeover: Takeover) {
        let how: &[&str] = match takeover {
            Takeover::Agreed => &[],
            Takeover::Forced => &["FORCE"],
            Takeover::Alone => &["TAKEOVER"],
        };
        let words = [&["CLUSTER", "FAILOVER"], how].concat();
        let told = Mutex::new(None::<Instant>);
        eventually("the replica takes over", async || {
            // Now and then Redis drops one: a replica that has just lost an election may count its old votes.
            let again = told.lock().unwrap().is_none_or(|told| told.elapsed() > FAILOVER_TIMEOUT);
            if again {
                self.servers[replica].command::<()>(&words).await;
                *told.lock().unwrap() = Some(Instant::now());
            }
            self.all_see_primary(replica).await
        })
        .await;
    }

    /// Waits until all nodes that answer take this one for a primary with slots.
    pub(crate) async fn is_primary(&self, index: usize) {
        eventually("the replica is a primary", async || self.all_see_primary(index).await).await;
    }

    async fn all_see_primary(&self, index: usize) -> bool {
        for server in &self.servers {
            let Some(seen) = self.seen_by(server).await else { continue };
            if !self.owners(&seen).contains(&Some(index)) {
                return false;
            }
        }
        true
    }

    /// Moves a slot with its keys from one primary to another. Clients may go on meanwhile.
    pub(crate) async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to).await;
        while self.move_keys(slot, from, to, 100).await > 0 {}
        self.end_move(slot, from, to).await;
    }

    /// From here on the one sends clients to the other for keys of this slot that it does not have (ASK).
    pub(crate) async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        self.servers[to].command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.ids[from]]).await;
        self.servers[from].command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.ids[to]]).await;
    }

    /// Moves some keys of a slot whose move has begun, and says how many those were.
    pub(crate) async fn move_keys(&self, slot: u16, from: usize, to: usize, limit: usize) -> usize {
        let (slot, limit) = (slot.to_string(), limit.to_string());
        let keys: Vec<String> = self.servers[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, &limit]).await;
        if keys.is_empty() {
            return 0;
        }
        let port = self.servers[to].port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
        words.extend(self.servers[to].password().into_iter().flat_map(|password| ["AUTH", password]));
        words.push("KEYS");
        words.extend(keys.iter().map(String::as_str));
        self.servers[from].command::<()>(&words).await;
        keys.len()
    }

    /// Gives a slot from which all keys were moved to its new primary, and tells everybody.
    pub(crate) async fn end_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let words = ["CLUSTER", "SETSLOT", &slot, "NODE", &self.ids[to]];
        // The new primary first: should only one of them hear of it, the slot has a primary still.
        self.servers[to].command::<()>(&words).await;
        self.servers[from].command::<()>(&words).await;
        for (index, server) in self.servers.iter().enumerate() {
            if index != from && index != to {
                // Replicas hear of it from their primaries, and one that is down from whom it meets.
                let _ = server.try_command::<()>(&words).await;
            }
        }
    }

    /// Settings for a store in this cluster, with which a busy machine is waited for.
    pub(crate) fn config(&self) -> RedisConfig {
        RedisConfig {
            url: Secret::new(self.servers[0].url()),
            topology: RedisTopology::Cluster,
            nodes: self.servers[1..PRIMARIES].iter().map(RedisServer::address).collect(),
            ..self.servers[0].config()
        }
    }

    /// What a node believes, if it answers.
    async fn seen_by(&self, server: &RedisServer) -> Option<Vec<Seen>> {
        let nodes: String = server.try_command(&["CLUSTER", "NODES"]).await.ok()?;
        nodes.lines().map(Seen::parse).collect()
    }

    /// The primary of each slot.
    fn owners(&self, seen: &[Seen]) -> Vec<Option<usize>> {
        let mut owners = vec![None; usize::from(SLOTS)];
        for node in seen.iter().filter(|node| node.is_primary) {
            let owner = self.ids.iter().position(|id| *id == node.id);
            for &(first, last) in &node.ranges {
                owners[usize::from(first)..=usize::from(last)].fill(owner);
            }
        }
        owners
    }
}

impl Seen {
    /// One line of `CLUSTER NODES`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (id, _address, flags) = (words.next()?, words.next()?, words.next()?);
        let (_primary, _ping, _pong, _epoch, link) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let flags: Vec<_> = flags.split(',').collect();
        let is_well = !flags.iter().any(|flag| ["fail", "fail?", "handshake", "noaddr"].contains(flag));
        let ranges = words
            // Slots on their way stand in brackets.
            .filter(|word| !word.starts_with('['))
            .map(|word| {
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                Some((first.parse().ok()?, last.parse().ok()?))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            id: id.to_owned(),
            is_primary: flags.contains(&"master"),
            is_well: is_well && (link == "connected" || flags.contains(&"myself")),
            ranges,
        })
    }
}

/// Whether a node is a primary that has a replica in step, or a replica that is in step.
async fn follows(server: &RedisServer) -> bool {
    let Ok(info) = server.try_command::<String>(&["INFO", "replication"]).await else { return false };
    info.contains("master_link_status:up") || info.contains("state=online")
}

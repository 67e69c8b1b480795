//! Several servers together: who copies whom, and how far the copies are behind.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Membership, Range, SLOTS};
use super::keyspace::{Effect, Keyspace};
use super::sentinel::Watch;
use super::server::{Kind, Server, ServerId};
use crate::chance::Chance;
use crate::network::{Address, Host, Micros, Network};

pub(crate) use super::failover::Step;

/// How the servers hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server.
    Standalone,
    /// A primary, two replicas, and three Sentinels that watch them.
    Sentinel,
    /// Three primaries with a replica each.
    Cluster,
}

/// All servers.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) topology: Topology,
    /// Those that keep keys come first, primaries before replicas.
    pub(crate) servers: Vec<Server>,
    /// Machines that are off: nothing comes back from them, not even a refusal.
    pub(crate) gone: BTreeSet<ServerId>,
    /// How much longer a replica's copy takes to arrive.
    pub(crate) lag: BTreeMap<ServerId, Micros>,
    latest: BTreeMap<ServerId, Micros>,
    /// What is on the disk of a server that is started again without its last moments.
    pub(crate) saved: BTreeMap<ServerId, Keyspace>,
    /// Since when who has not heard of which primary.
    pub(super) suspicions: BTreeMap<(ServerId, ServerId), Micros>,
    /// Since when each member has not changed its mind about being in touch with the majority.
    pub(super) alone: BTreeMap<ServerId, Micros>,
    /// Primaries that are being replaced, and the epoch of the last replacement.
    pub(crate) replacing: BTreeSet<ServerId>,
    pub(super) epoch: u64,
    /// In which epoch the last primary of each group of servers was made.
    pub(super) promoted: BTreeMap<usize, u64>,
}

/// What became of what a primary sent to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replicated {
    Applied,
    /// Something before it has not arrived.
    Early,
    /// The replica has it, or copies another.
    Dropped,
}

impl Deployment {
    pub(crate) fn new(topology: Topology, chance: &mut Chance) -> Self {
        let (primaries, replicas, sentinels) = match topology {
            Topology::Standalone => (1, 0, 0),
            Topology::Sentinel => (1, 2, 3),
            Topology::Cluster => (3, 3, 0),
        };
        let data = primaries + replicas;
        let address = |id: ServerId| Address { host: format!("10.0.0.{}", id + 1), port: 6379 };
        let addresses: BTreeMap<_, _> = (0..data).map(|id| (id, address(id))).collect();
        let ranges = thirds().into_iter().zip(0..).map(|((first, last), owner)| Range { first, last, owner });
        let ranges: Vec<_> = ranges.collect();
        let servers = (0..data + sentinels).map(|id| {
            let kind = match topology {
                _ if id >= data => Kind::Sentinel(Watch { epoch: 1, primary: address(0) }),
                Topology::Cluster => Kind::Member(Membership {
                    own: id,
                    epoch: 3,
                    ok: true,
                    elected: BTreeMap::new(),
                    ranges: ranges.clone(),
                    addresses: addresses.clone(),
                    leaving: BTreeMap::new(),
                    arriving: BTreeMap::new(),
                }),
                _ => Kind::Alone,
            };
            let mut server = Server::new(id, address(id), kind, chance.fork());
            if (primaries..data).contains(&id) {
                server.follow((id - primaries) % primaries);
            }
            server
        });
        Self {
            topology,
            servers: servers.collect(),
            gone: BTreeSet::new(),
            lag: BTreeMap::new(),
            latest: BTreeMap::new(),
            saved: BTreeMap::new(),
            suspicions: BTreeMap::new(),
            alone: BTreeMap::new(),
            replacing: BTreeSet::new(),
            epoch: 3,
            promoted: BTreeMap::new(),
        }
    }

    /// Those that keep keys.
    pub(crate) fn data(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| !matches!(server.kind, Kind::Sentinel(_)))
    }

    pub(crate) fn sentinels(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| matches!(server.kind, Kind::Sentinel(_)))
    }

    /// Those that take themselves for primaries.
    pub(crate) fn primaries(&self) -> Vec<ServerId> {
        self.data().filter(|server| server.is_primary()).map(|server| server.id).collect()
    }

    /// Whose copy of this server is kept up to date.
    pub(crate) fn replicas(&self, primary: ServerId) -> Vec<ServerId> {
        let copies = |server: &&Server| server.replication.of == Some(primary) && server.running;
        self.data().filter(copies).map(|server| server.id).collect()
    }

    /// Whether a process runs and can be heard by another.
    pub(super) fn hears(&self, one: ServerId, other: ServerId, network: &Network) -> bool {
        let lives = |id: ServerId| self.servers[id].running && !self.servers[id].frozen;
        lives(one) && lives(other) && network.is_open(Host::Server(one), Host::Server(other))
    }

    // --- replication ---

    /// When something that a primary sends now reaches a replica: never before what it sent earlier.
    pub(crate) fn replication_arrival(&mut self, replica: ServerId, arrives: Micros) -> Micros {
        let latest = self.latest.entry(replica).or_default();
        *latest = (arrives + self.lag.get(&replica).copied().unwrap_or(0)).max(*latest);
        *latest
    }

    /// A replica does what its primary did, if it has everything before it.
    pub(crate) fn replicate(
        &mut self,
        from: ServerId,
        to: ServerId,
        effects: &[Effect],
        offset: u64,
        history: &str,
    ) -> Replicated {
        let replica = &mut self.servers[to];
        if replica.replication.of != Some(from) || !replica.running {
            return Replicated::Dropped;
        }
        if !replica.replication.linked || replica.frozen {
            return if replica.running { Replicated::Early } else { Replicated::Dropped };
        }
        if replica.replication.id != history || replica.replication.offset >= offset {
            return Replicated::Dropped;
        }
        if replica.replication.offset + (effects.len() as u64) < offset {
            return Replicated::Early;
        }
        replica.replay(effects, offset);
        Replicated::Applied
    }

    /// A replica takes everything from its primary; returns after how long it has to try again.
    pub(crate) fn synchronise(&mut self, replica: ServerId, network: &mut Network, now: Micros) -> Option<Micros> {
        let server = &self.servers[replica];
        if server.replication.linked || !server.running {
            return None;
        }
        let primary = server.replication.of?;
        let is_possible = self.hears(replica, primary, network) && self.servers[primary].replication.linked;
        if !is_possible {
            return Some(SYNCHRONISATION_INTERVAL);
        }
        let source = &self.servers[primary];
        let (keyspace, offset) = (source.keyspace.snapshot(), source.replication.offset);
        let id = source.replication.id.clone();
        self.servers[replica].copy(keyspace, &id, offset);
        self.latest.insert(replica, now);
        self.servers[primary].acknowledge(replica, offset);
        None
    }

    /// What servers would find on their disks if they were started without their last moments.
    pub(crate) fn save(&mut self) {
        for server in &self.servers {
            self.saved.insert(server.id, server.keyspace.snapshot());
        }
    }
}

/// The slots of three primaries.
fn thirds() -> [(u16, u16); 3] {
    [(0, 5460), (5461, 10922), (10923, SLOTS - 1)]
}

const SYNCHRONISATION_INTERVAL: Micros = 50_000;

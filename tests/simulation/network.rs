//! The network: connections whose bytes arrive late, in order, or not at all.
//!
//! A connection is two directions. What is sent in one arrives after a delay, never before what was sent earlier; while
//! the way between two hosts is cut, it waits as TCP would have it wait, and arrives when the way is open again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::task::Waker;

use crate::chance::Chance;
use crate::node::TURN;
use crate::redis::server::ServerId;

/// Names a connection.
pub(crate) type ConnectionId = u64;

/// Microseconds since the simulation began.
pub(crate) type Micros = u64;

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Somebody on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Node(usize),
    Server(ServerId),
}

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    ToServer,
    ToNode,
}

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    Open,
    Opened,
    Refused,
    Bytes(Vec<u8>),
    Closed,
    Reset,
}

/// How a connection ended, as the node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
    Refused,
}

/// A connection from a node to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) node: usize,
    pub(crate) server: ServerId,
    /// Half-open: whatever is sent vanishes, and nobody is told.
    pub(crate) lost: bool,
    ways: [Direction; 2],
    // What the node has of it.
    pub(crate) opened: bool,
    pub(crate) arrived: VecDeque<u8>,
    pub(crate) end: Option<End>,
    pub(crate) waker: Option<Waker>,
    /// Its own: the order in which a node that ends lets go of its connections is not ours to say.
    chance: Chance,
}

#[derive(Debug, Default)]
struct Direction {
    parcels: VecDeque<Parcel>,
    latest: Micros,
    stalled_until: Micros,
}

/// All connections, and how the ways are between hosts.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// Ways that nothing passes.
    cut: BTreeSet<(Host, Host)>,
    /// How much longer things take from or to a host.
    pub(crate) slow: BTreeMap<Host, Micros>,
    next: ConnectionId,
    chance: Chance,
}

impl Network {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { connections: BTreeMap::new(), cut: BTreeSet::new(), slow: BTreeMap::new(), next: 1, chance }
    }

    /// How long something takes now from one host to another. Never less than a millisecond, which is the step in which
    /// nodes are run.
    pub(crate) fn delay(&mut self, from: Host, to: Host) -> Micros {
        delay(&mut self.chance) + self.slowness(from, to)
    }

    fn slowness(&self, from: Host, to: Host) -> Micros {
        let slow = |host| self.slow.get(&host).copied().unwrap_or(0);
        slow(from) + slow(to)
    }

    /// A connection that is about to be opened.
    pub(crate) fn create(&mut self, node: usize, server: ServerId) -> ConnectionId {
        let id = self.next;
        self.next += 1;
        let chance = self.chance.fork();
        self.connections.insert(
            id,
            Connection {
                node,
                server,
                lost: false,
                ways: Default::default(),
                opened: false,
                arrived: VecDeque::new(),
                end: None,
                waker: None,
                chance,
            },
        );
        id
    }

    /// Sends something; returns when it arrives, unless nobody is there to send it to.
    pub(crate) fn send(&mut self, id: ConnectionId, way: Way, parcel: Parcel, now: Micros) -> Option<Micros> {
        let connection = self.connections.get(&id)?;
        if connection.lost {
            return None;
        }
        let (from, to) = connection.ends(way);
        let slowness = self.slowness(from, to);
        let connection = self.connections.get_mut(&id)?;
        let arrives = now + delay(&mut connection.chance) + slowness;
        let direction = &mut connection.ways[way as usize];
        direction.latest = arrives.max(direction.latest).max(direction.stalled_until);
        direction.parcels.push_back(parcel);
        Some(direction.latest)
    }

    /// What arrives now; or when to ask again.
    pub(crate) fn arrival(&mut self, id: ConnectionId, way: Way, now: Micros) -> Arrival {
        let Some(connection) = self.connections.get_mut(&id) else { return Arrival::Nothing };
        let (from, to) = connection.ends(way);
        let direction = &mut connection.ways[way as usize];
        if self.cut.contains(&(from, to)) || direction.parcels.is_empty() {
            // What waits at a cut is sent again when it is healed.
            Arrival::Nothing
        } else if direction.stalled_until > now {
            Arrival::At(direction.stalled_until)
        } else {
            direction.parcels.pop_front().map_or(Arrival::Nothing, Arrival::Now)
        }
    }

    /// For a time nothing arrives that way on one connection.
    pub(crate) fn stall(&mut self, id: ConnectionId, way: Way, until: Micros) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.ways[way as usize].stalled_until = until;
        }
    }

    pub(crate) fn is_cut(&self, from: Host, to: Host) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Whether two hosts can talk.
    pub(crate) fn is_open(&self, one: Host, other: Host) -> bool {
        !self.is_cut(one, other) && !self.is_cut(other, one)
    }

    /// Whether nothing is cut.
    pub(crate) fn is_whole(&self) -> bool {
        self.cut.is_empty()
    }

    pub(crate) fn cut(&mut self, from: Host, to: Host) {
        self.cut.insert((from, to));
    }

    /// Opens all ways. Returns what arrives now, and when: one entry for each thing that waited.
    pub(crate) fn heal(&mut self, now: Micros) -> Vec<(Micros, ConnectionId, Way)> {
        let cut = std::mem::take(&mut self.cut);
        let mut waiting = Vec::new();
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            for way in [Way::ToServer, Way::ToNode] {
                let (from, to) = self.connections[&id].ends(way);
                if !cut.contains(&(from, to)) {
                    continue;
                }
                // Retransmissions are spread out.
                let arrives = now + self.delay(from, to) + self.chance.within(0..=200_000);
                let Some(connection) = self.connections.get_mut(&id) else { continue };
                let direction = &mut connection.ways[way as usize];
                direction.latest = direction.latest.max(arrives);
                waiting.extend(direction.parcels.iter().map(|_| (direction.latest, id, way)));
            }
        }
        waiting
    }

    /// The connections that are open, to choose from.
    pub(crate) fn open_connections(&self) -> Vec<ConnectionId> {
        let open = self.connections.iter().filter(|(_, it)| it.opened && it.end.is_none() && !it.lost);
        open.map(|(id, _)| *id).collect()
    }
}

/// How long something takes that nothing slows down.
fn delay(chance: &mut Chance) -> Micros {
    let usual = TURN + chance.within(0..=1500);
    let hiccup = if chance.happens(15) { chance.within(2_000..=60_000) } else { 0 };
    usual + hiccup
}

/// What asking for the next thing on a connection brings.
#[derive(Debug)]
pub(crate) enum Arrival {
    Now(Parcel),
    At(Micros),
    Nothing,
}

impl Connection {
    fn ends(&self, way: Way) -> (Host, Host) {
        let (node, server) = (Host::Node(self.node), Host::Server(self.server));
        match way {
            Way::ToServer => (node, server),
            Way::ToNode => (server, node),
        }
    }

    /// Something has changed that the node may wait for.
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

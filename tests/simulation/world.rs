//! Everything outside the nodes: the time, the network, the servers, and what is going to happen when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chance::Chance;
use crate::faults::Fault;
use crate::network::{Address, Arrival, ConnectionId, End, Host, Micros, Network, Parcel, Way};
use crate::redis::deployment::{Deployment, Replicated, Step};
use crate::redis::keyspace::{Effect, Entry};
use crate::redis::server::{Outbox, ServerId};

/// 2026-01-01T00:00:00Z, when every simulation begins.
pub(crate) const BEGINNING: u64 = 1_767_225_600;

/// What happens at a moment.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Something arrives on a connection.
    Arrival(ConnectionId, Way),
    /// A replica hears of what its primary did.
    Replication { from: ServerId, to: ServerId, effects: Vec<Effect>, offset: u64, history: String },
    /// A primary hears how far a replica is.
    Acknowledgement { from: ServerId, to: ServerId, offset: u64 },
    /// A replica asks for everything.
    Synchronisation(ServerId),
    /// A server looks for what has expired.
    Expiry(ServerId),
    /// Those who watch over primaries look after them.
    Watch,
    /// A step of a failover or of a slot's move.
    Step(Step),
    /// A key is put on a server, or taken from it, as a slot moves.
    Put { server: ServerId, key: Vec<u8>, entry: Option<Entry> },
    /// Something goes wrong, or stops going wrong.
    Fault(Fault),
}

/// Everything outside the nodes.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Micros,
    /// What the servers' clocks say, in microseconds since 1970: they move on with each command.
    micros: u64,
    agenda: BTreeMap<(Micros, u64), Event>,
    entries: u64,
    pub(crate) network: Network,
    pub(crate) deployment: Deployment,
    pub(crate) chance: Chance,
    /// What happens to nodes, which whoever runs them carries out.
    pub(crate) orders: Vec<Fault>,
}

/// The world, as those hold it who share it.
#[derive(Clone, Debug)]
pub(crate) struct SharedWorld(Arc<Mutex<World>>);

impl SharedWorld {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(crate) fn new(mut chance: Chance, deployment: Deployment) -> Self {
        let mut world = Self {
            now: 0,
            micros: BEGINNING * 1_000_000,
            agenda: BTreeMap::new(),
            entries: 0,
            network: Network::new(chance.fork()),
            deployment,
            chance,
            orders: Vec::new(),
        };
        for server in 0..world.deployment.servers.len() {
            world.after(EXPIRY_INTERVAL, Event::Expiry(server));
            if world.deployment.servers[server].replication.of.is_some() {
                world.after(1000, Event::Synchronisation(server));
            }
        }
        world.after(WATCH_INTERVAL, Event::Watch);
        world
    }

    /// The wall clock, in milliseconds since 1970.
    pub(crate) fn wall_clock(&self) -> u64 {
        BEGINNING * 1000 + self.now / 1000
    }

    pub(crate) fn at(&mut self, moment: Micros, event: Event) {
        self.entries += 1;
        self.agenda.insert((moment.max(self.now), self.entries), event);
    }

    pub(crate) fn after(&mut self, delay: Micros, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Lets everything happen that happens up to a moment.
    pub(crate) fn advance(&mut self, to: Micros) {
        while let Some(entry) = self.agenda.first_entry() {
            let (moment, _) = *entry.key();
            if moment > to {
                break;
            }
            self.now = self.now.max(moment);
            let event = entry.remove();
            self.happen(event);
        }
        self.now = to;
        self.run_servers();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(connection, way) => match self.network.arrival(connection, way, self.now) {
                Arrival::Nothing => {}
                Arrival::At(moment) => self.at(moment, Event::Arrival(connection, way)),
                Arrival::Now(parcel) => match way {
                    Way::ToServer => self.arrive_at_server(connection, parcel),
                    Way::ToNode => self.arrive_at_node(connection, parcel),
                },
            },
            Event::Replication { from, to, effects, offset, history } => {
                let is_cut = self.network.is_cut(Host::Server(from), Host::Server(to));
                let replicated = if is_cut {
                    Replicated::Early
                } else {
                    self.deployment.replicate(from, to, &effects, offset, &history)
                };
                match replicated {
                    Replicated::Applied => {
                        let delay = self.network.delay(Host::Server(to), Host::Server(from));
                        self.after(delay, Event::Acknowledgement { from: to, to: from, offset });
                    }
                    Replicated::Early => self.after(RETRY, Event::Replication { from, to, effects, offset, history }),
                    Replicated::Dropped => {}
                }
            }
            Event::Acknowledgement { from, to, offset } => {
                if self.network.is_open(Host::Server(from), Host::Server(to))
                    && self.deployment.servers[from].replication.of == Some(to)
                {
                    self.deployment.servers[to].acknowledge(from, offset);
                }
            }
            Event::Synchronisation(replica) => {
                let now = self.now;
                if let Some(again) = self.deployment.synchronise(replica, &mut self.network, now) {
                    self.after(again, Event::Synchronisation(replica));
                }
            }
            Event::Expiry(server) => {
                self.sync_clock();
                let mut out = Outbox::default();
                let micros = self.micros;
                let it = &mut self.deployment.servers[server];
                if it.running && !it.frozen {
                    it.expire(micros, &mut out);
                }
                self.deliver(server, out);
                self.after(EXPIRY_INTERVAL, Event::Expiry(server));
            }
            Event::Watch => {
                let now = self.now;
                let steps = self.deployment.watch(&self.network, now, &mut self.chance);
                self.schedule(steps);
                self.after(WATCH_INTERVAL, Event::Watch);
            }
            Event::Step(step) => {
                let steps = self.deployment.step(step, &self.network, &mut self.chance);
                self.schedule(steps);
            }
            Event::Put { server, key, entry } => {
                let mut out = Outbox::default();
                self.deployment.servers[server].put(&key, entry, &mut out);
                self.deliver(server, out);
            }
            Event::Fault(fault) => self.fault(fault),
        }
    }

    pub(crate) fn schedule(&mut self, steps: Vec<(Micros, Event)>) {
        for (delay, event) in steps {
            self.after(delay, event);
        }
    }

    // --- servers ---

    fn sync_clock(&mut self) {
        self.micros = self.micros.max(BEGINNING * 1_000_000 + self.now);
    }

    /// Gives every server that has something to do a turn.
    fn run_servers(&mut self) {
        self.sync_clock();
        for server in 0..self.deployment.servers.len() {
            if self.deployment.servers[server].is_busy() {
                let mut out = Outbox::default();
                self.deployment.servers[server].turn(&mut self.micros, &mut out);
                self.deliver(server, out);
            }
        }
    }

    /// Sends what a server has to say, to its clients and to its replicas.
    pub(crate) fn deliver(&mut self, server: ServerId, out: Outbox) {
        for (connection, bytes) in out.replies {
            self.send(connection, Way::ToNode, Parcel::Bytes(bytes));
        }
        if out.effects.is_empty() {
            return;
        }
        let offset = self.deployment.servers[server].replication.offset;
        let history = self.deployment.servers[server].replication.id.clone();
        for replica in self.deployment.replicas(server) {
            let delay = self.network.delay(Host::Server(server), Host::Server(replica));
            let arrives = self.deployment.replication_arrival(replica, self.now + delay);
            let (effects, history) = (out.effects.clone(), history.clone());
            self.at(arrives, Event::Replication { from: server, to: replica, effects, offset, history });
        }
    }

    // --- connections ---

    /// A node begins to open a connection; nothing when nobody has this address.
    pub(crate) fn dial(&mut self, node: usize, address: &Address) -> Option<ConnectionId> {
        let server = self.deployment.servers.iter().find(|server| server.address == *address)?.id;
        let connection = self.network.create(node, server);
        self.send(connection, Way::ToServer, Parcel::Open);
        Some(connection)
    }

    pub(crate) fn send(&mut self, connection: ConnectionId, way: Way, parcel: Parcel) {
        if let Some(arrives) = self.network.send(connection, way, parcel, self.now) {
            self.at(arrives, Event::Arrival(connection, way));
        }
    }

    fn arrive_at_server(&mut self, connection: ConnectionId, parcel: Parcel) {
        let Some(server) = self.network.connections.get(&connection).map(|it| it.server) else { return };
        let server = &mut self.deployment.servers[server];
        let machine_is_gone = self.deployment.gone.contains(&server.id);
        match parcel {
            _ if machine_is_gone => {}
            Parcel::Open if server.running => {
                server.accept(connection);
                self.send(connection, Way::ToNode, Parcel::Opened);
            }
            Parcel::Open => self.send(connection, Way::ToNode, Parcel::Refused),
            Parcel::Bytes(bytes) => {
                if !server.receive(connection, &bytes) {
                    self.send(connection, Way::ToNode, Parcel::Reset);
                }
            }
            Parcel::Closed => {
                server.disconnected(connection);
                // The node has let go of it.
                self.network.connections.remove(&connection);
            }
            Parcel::Reset => server.disconnected(connection),
            Parcel::Opened | Parcel::Refused => {}
        }
    }

    fn arrive_at_node(&mut self, connection: ConnectionId, parcel: Parcel) {
        let Some(connection) = self.network.connections.get_mut(&connection) else { return };
        if connection.end.is_some() {
            // After its end nothing is taken from a connection. The reply after one that was lost with a reset would be
            // taken for that one.
            return;
        }
        match parcel {
            Parcel::Opened => connection.opened = true,
            Parcel::Refused => connection.end = Some(End::Refused),
            Parcel::Bytes(bytes) => connection.arrived.extend(bytes),
            Parcel::Closed => connection.end = Some(End::Closed),
            Parcel::Reset => {
                // What has not been read is lost with it.
                connection.arrived.clear();
                connection.end = Some(End::Reset);
            }
            Parcel::Open => {}
        }
        connection.wake();
    }

    /// Opens all ways again.
    pub(crate) fn heal(&mut self) {
        for (moment, connection, way) in self.network.heal(self.now) {
            self.at(moment, Event::Arrival(connection, way));
        }
    }
}

/// How often servers look for what has expired.
const EXPIRY_INTERVAL: Micros = 100_000;
/// How often Sentinels and members of a cluster look after primaries.
pub(crate) const WATCH_INTERVAL: Micros = 50_000;
/// After how long something is tried again that could not be sent.
const RETRY: Micros = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::deployment::Topology;

    #[test]
    fn what_arrives_after_a_reset_is_not_read() {
        let mut chance = Chance::new(0);
        let deployment = Deployment::new(Topology::Standalone, &mut chance);
        let address = deployment.servers[0].address.clone();
        let mut world = World::new(chance, deployment);
        let connection = world.dial(0, &address).expect("there is such a server");
        for parcel in [Parcel::Opened, Parcel::Bytes(b":1".to_vec()), Parcel::Reset, Parcel::Bytes(b":2".to_vec())] {
            world.arrive_at_node(connection, parcel);
        }
        let connection = &world.network.connections[&connection];
        assert!(connection.arrived.is_empty());
        assert!(matches!(connection.end, Some(End::Reset)));
    }
}

//! What goes wrong.

use crate::network::{Host, Micros, Parcel, Way};
use crate::redis::deployment::{Step, Topology};
use crate::redis::server::{Kind, Outbox, ServerId};
use crate::world::{Event, World};

/// One thing that goes wrong, or stops going wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A server process ends; with its machine, nobody is even told.
    Kill {
        server: ServerId,
        machine: bool,
    },
    /// It is started again.
    Start {
        server: ServerId,
        data: Data,
    },
    Freeze(ServerId),
    Thaw(ServerId),
    /// Nothing passes from one to the other.
    Cut {
        from: Host,
        to: Host,
    },
    /// Nothing passes between two groups.
    Split {
        one: Vec<Host>,
        other: Vec<Host>,
    },
    /// All ways are open again.
    Heal,
    /// Everything from and to a host takes so much longer.
    Slow(Host, Micros),
    /// What a replica is behind.
    Lag(ServerId, Micros),
    /// Connections are reset, one in so many.
    Reset {
        one_in: u64,
    },
    /// Connections become half-open.
    Lose {
        one_in: u64,
    },
    /// On connections nothing arrives one way for a while.
    Stall {
        one_in: u64,
        way: Way,
        duration: Micros,
    },
    /// Trackers are told of things that have not happened.
    Repeat(ServerId),
    /// `FLUSHALL`.
    Flush(ServerId),
    /// Memory is full, or not any longer.
    Fill(ServerId, bool),
    /// A planned failover: the old primary lives.
    Failover(ServerId),
    /// What will be found by a server that is started without its last moments.
    Save,
    /// Slots move to another member.
    Move {
        slots: Vec<u16>,
        from: ServerId,
        to: ServerId,
    },
    /// A node is given no time.
    Pause {
        node: usize,
        duration: Micros,
    },
    /// A node is started anew.
    Restart {
        node: usize,
    },
}

/// What a server finds when it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Everything,
    WithoutTheLastMoments,
    Nothing,
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { server, machine } => {
                if machine {
                    self.deployment.gone.insert(server);
                }
                for connection in self.deployment.servers[server].kill() {
                    if !machine {
                        self.send(connection, Way::ToNode, Parcel::Reset);
                    }
                }
            }
            Fault::Start { server, data } => self.start(server, data),
            Fault::Freeze(server) => self.deployment.servers[server].frozen = true,
            Fault::Thaw(server) => self.deployment.servers[server].frozen = false,
            Fault::Cut { from, to } => self.network.cut(from, to),
            Fault::Split { one, other } => {
                for one in one {
                    for other in &other {
                        self.network.cut(one, *other);
                        self.network.cut(*other, one);
                    }
                }
            }
            Fault::Heal => self.heal(),
            Fault::Slow(host, delay) => {
                self.network.slow.insert(host, delay);
            }
            Fault::Lag(replica, delay) => {
                self.deployment.lag.insert(replica, delay);
            }
            Fault::Reset { one_in } => {
                for connection in self.some_connections(one_in) {
                    self.send(connection, Way::ToNode, Parcel::Reset);
                    self.send(connection, Way::ToServer, Parcel::Reset);
                }
            }
            Fault::Lose { one_in } => {
                for connection in self.some_connections(one_in) {
                    if let Some(connection) = self.network.connections.get_mut(&connection) {
                        connection.lost = true;
                    }
                }
            }
            Fault::Stall { one_in, way, duration } => {
                for connection in self.some_connections(one_in) {
                    self.network.stall(connection, way, self.now + duration);
                }
            }
            Fault::Repeat(server) => self.deployment.servers[server].tell_trackers_again(),
            Fault::Flush(server) => {
                let effects = self.deployment.servers[server].empty();
                self.deliver(server, Outbox { effects, ..Outbox::default() });
            }
            Fault::Fill(server, full) => self.deployment.servers[server].full = full,
            Fault::Failover(primary) => {
                if self.deployment.topology != Topology::Standalone && self.deployment.servers[primary].is_primary() {
                    self.after(0, Event::Step(Step::Replace(primary)));
                }
            }
            Fault::Save => self.deployment.save(),
            Fault::Move { slots, from, to } => self.after(0, Event::Step(Step::BeginMove { slots, from, to })),
            Fault::Pause { .. } | Fault::Restart { .. } => self.orders.push(fault),
        }
    }

    fn start(&mut self, server: ServerId, data: Data) {
        self.deployment.gone.remove(&server);
        if self.deployment.servers[server].running {
            return;
        }
        if data == Data::WithoutTheLastMoments
            && let Some(saved) = self.deployment.saved.get(&server)
        {
            self.deployment.servers[server].keyspace = saved.snapshot();
        }
        self.deployment.servers[server].start(data != Data::Nothing);
        if let Kind::Member(membership) = &mut self.deployment.servers[server].kind {
            // It has to hear from the majority first.
            membership.ok = false;
        }
        // Replicas of another process have to begin anew, and so has a replica.
        for replica in self.deployment.replicas(server) {
            self.deployment.servers[replica].follow(server);
            self.after(RESYNCHRONISATION, Event::Synchronisation(replica));
        }
        if self.deployment.servers[server].replication.of.is_some() {
            self.after(RESYNCHRONISATION, Event::Synchronisation(server));
        }
    }

    fn some_connections(&mut self, one_in: u64) -> Vec<u64> {
        let open = self.network.open_connections();
        open.into_iter().filter(|_| self.chance.within(1..=one_in) == 1).collect()
    }

    /// What everybody is and takes others for.
    pub(crate) fn describe(&self) -> String {
        let of = |server: &crate::redis::server::Server| {
            let state = (server.running, server.frozen, server.full);
            let view = match &server.kind {
                Kind::Alone => String::new(),
                Kind::Sentinel(watch) => format!("{} in {}", watch.primary, watch.epoch),
                Kind::Member(member) => {
                    let owners: Vec<_> = member.ranges.iter().map(|range| range.owner).collect();
                    format!("{:?} in {}, ok {}, leaving {}", owners, member.epoch, member.ok, member.leaving.len())
                }
            };
            let (of, linked) = (server.replication.of, server.replication.linked);
            format!("\n{}: {state:?} of {of:?} linked {linked}; {view}", server.id)
        };
        let whole = self.network.is_whole();
        let deployment = &self.deployment;
        let servers: String = deployment.servers.iter().map(of).collect();
        format!("whole {whole}, gone {:?}, replacing {:?}{servers}", deployment.gone, deployment.replacing)
    }

    /// Whether nothing is wrong any longer, and everybody has come to the same view.
    pub(crate) fn is_calm(&self) -> bool {
        let deployment = &self.deployment;
        let settled = |server: &crate::redis::server::Server| {
            server.running && !server.frozen && !server.full && server.replication.linked
        };
        self.network.is_whole()
            && deployment.gone.is_empty()
            && deployment.servers.iter().all(settled)
            && deployment.is_agreed()
    }
}

/// After how long a replica turns to a primary that was started again.
const RESYNCHRONISATION: Micros = 30_000;

//! What goes wrong in one run, and when.

use std::time::Duration;

use checker::history::fault::Fault as Told;
use introspectd::config::{Acknowledge, Durability};

use crate::chance::Chance;
use crate::faults::{Data, Fault};
use crate::network::{Host, Micros, Way};
use crate::product::Settings;
use crate::redis::deployment::{Deployment, Topology};
use crate::redis::server::ServerId;

pub(crate) const NODES: usize = 3;

const MILLISECOND: Micros = 1000;

/// The settings of a run.
pub(crate) fn settings(chance: &mut Chance) -> Settings {
    let topology = topology(chance);
    let acknowledge = if chance.happens(850) { Acknowledge::Visible } else { Acknowledge::Written };
    let durability = match chance.within(0..=9) {
        0..=1 => Durability::Primary,
        // One server has no replica that could have anything.
        2..=3 if topology != Topology::Standalone => Durability::Replicas,
        _ => Durability::Replay,
    };
    Settings { topology, acknowledge, durability, lease: Duration::from_millis(*chance.pick(&[100, 200, 200, 300])) }
}

/// One of the three, or the one that `SIMULATION_TOPOLOGY` asks for.
fn topology(chance: &mut Chance) -> Topology {
    let drawn = match chance.within(0..=9) {
        0..=3 => Topology::Standalone,
        4..=7 => Topology::Sentinel,
        _ => Topology::Cluster,
    };
    match std::env::var("SIMULATION_TOPOLOGY").as_deref() {
        Ok("standalone") => Topology::Standalone,
        Ok("sentinel") => Topology::Sentinel,
        Ok("cluster") => Topology::Cluster,
        _ => drawn,
    }
}

/// One thing that goes wrong, as a history tells it, and what it is made of.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) begin: Micros,
    pub(crate) steps: Vec<(Micros, Fault)>,
    pub(crate) told: Told,
    /// Whether it is never over.
    pub(crate) for_good: bool,
}

impl Trouble {
    pub(crate) fn new(name: &str, begin: Micros) -> Self {
        let told = Told { fault: name.to_owned(), begin: begin * 1000, ..Told::default() };
        Self { begin, steps: Vec::new(), told, for_good: false }
    }

    pub(crate) fn with(mut self, after: Micros, fault: Fault) -> Self {
        self.steps.push((self.begin + after, fault));
        self
    }

    /// Its failover may lose what was written this long before.
    pub(crate) fn losing(mut self, before: Micros) -> Self {
        self.told.loses_since = Some(self.begin.saturating_sub(before) * 1000);
        self
    }

    /// Whether some node may not hear of what others do, while it lasts or until it has connected again.
    fn silences(&self) -> bool {
        self.steps.iter().any(|(_, fault)| match fault {
            Fault::Kill { .. }
            | Fault::Freeze(_)
            | Fault::Cut { .. }
            | Fault::Split { .. }
            | Fault::Slow(..)
            | Fault::Reset { .. }
            | Fault::Lose { .. }
            | Fault::Stall { .. }
            | Fault::Failover(_)
            | Fault::Move { .. }
            | Fault::Pause { .. } => true,
            // A node that is started anew remembers nothing that it could write again.
            Fault::Restart { .. }
            | Fault::Start { .. }
            | Fault::Thaw(_)
            | Fault::Heal
            | Fault::Lag(..)
            | Fault::Repeat(_)
            | Fault::Flush(_)
            | Fault::Fill(..)
            | Fault::Save => false,
        })
    }

    /// Whether a primary may be found in another life: as another process, another server, or with other slots.
    fn begins_another_life(&self) -> bool {
        let begins = |fault: &Fault| matches!(fault, Fault::Kill { .. } | Fault::Failover(_) | Fault::Move { .. });
        self.told.loses_since.is_some() || self.steps.iter().any(|(_, fault)| begins(fault))
    }

    /// When it opens all ways again.
    pub(crate) fn heals(&self) -> impl Iterator<Item = Micros> {
        self.steps.iter().filter(|(_, fault)| matches!(fault, Fault::Heal)).map(|(moment, _)| *moment)
    }

    /// When the last of its steps is.
    pub(crate) fn last(&self) -> Micros {
        self.steps.iter().map(|(moment, _)| *moment).max().unwrap_or(self.begin)
    }
}

/// Makes up what goes wrong, from a moment on.
pub(crate) fn troubles(chance: &mut Chance, settings: Settings, deployment: &Deployment, from: Micros) -> Vec<Trouble> {
    let count = chance.within(1..=3);
    let mut begin = from;
    let mut troubles = Vec::new();
    let mut has_restarted = false;
    let mut is_emptied = false;
    let mut silent_since = None;
    // A failover forgets which keys have moved already: that is for operators to keep apart.
    let moves = settings.topology == Topology::Cluster && chance.happens(150);
    for place in 0..count {
        begin += chance.within(0..=900) * MILLISECOND;
        let mut maker = Maker { chance: &mut *chance, deployment, begin };
        let mut trouble = match settings.topology {
            Topology::Standalone => maker.of_one_server(),
            Topology::Cluster if moves && place == 0 => maker.slots_move(),
            Topology::Cluster if moves => {
                let primary = maker.chance.place(3);
                maker.of_the_network_or_a_node(primary)
            }
            Topology::Sentinel | Topology::Cluster => maker.of_many_servers(settings.topology),
        };
        let restarts = trouble.steps.iter().any(|(_, fault)| matches!(fault, Fault::Restart { .. }));
        if restarts && std::mem::replace(&mut has_restarted, true) {
            // What was revoked lately is safe with the nodes as long as they do not all die.
            continue;
        }
        if restarts && is_emptied {
            // A node that finds an empty Redis when it starts cannot know that it was not always empty.
            continue;
        }
        is_emptied |= trouble.for_good;
        if trouble.silences() {
            silent_since = silent_since.or(Some(begin));
        }
        if settings.durability == Durability::Replay && trouble.begins_another_life() {
            // Whoever has not heard of an approval by then writes the revocation again.
            trouble.told.undoes_since = silent_since.map(|since| since * 1000);
        }
        troubles.push(trouble);
    }
    troubles
}

/// How long a node takes to hear of something and to read it back while nothing is wrong.
pub(crate) const LONGEST_WORD: Micros = 200 * MILLISECOND;

/// How far the copy of a replica can be behind, with what the network adds.
pub(crate) const LONGEST_LAG: Micros = 1_500 * MILLISECOND;

struct Maker<'a> {
    chance: &'a mut Chance,
    deployment: &'a Deployment,
    begin: Micros,
}

impl Maker<'_> {
    /// For so long.
    fn duration(&mut self) -> Micros {
        self.chance.within(50..=1_800) * MILLISECOND
    }

    fn of_one_server(&mut self) -> Trouble {
        match self.chance.within(0..=5) {
            0 => self.restart(0, Topology::Standalone),
            1 => self.freeze(0),
            _ => self.of_the_network_or_a_node(0),
        }
    }

    fn of_many_servers(&mut self, topology: Topology) -> Trouble {
        let primaries = if topology == Topology::Cluster { 3 } else { 1 };
        let primary = self.chance.place(primaries);
        match self.chance.within(0..=9) {
            0..=1 => self.restart(primary, topology),
            2 => self.freeze(primary).losing(LONGEST_LAG),
            3..=4 => self.zombie(primary, topology),
            5 => {
                let trouble = Trouble::new("failover", self.begin).losing(LONGEST_LAG);
                self.lag(trouble).with(self.chance_of_delay(), Fault::Failover(primary))
            }
            _ => self.of_the_network_or_a_node(primary),
        }
    }

    fn chance_of_delay(&mut self) -> Micros {
        self.chance.within(0..=300) * MILLISECOND
    }

    /// A replica's copy falls behind for a while.
    fn lag(&mut self, trouble: Trouble) -> Trouble {
        if self.chance.happens(600) {
            let replicas: Vec<_> =
                self.deployment.data().filter(|server| !server.is_primary()).map(|server| server.id).collect();
            let lag = self.chance.within(50..=900) * MILLISECOND;
            let until = self.chance.within(500..=2_500) * MILLISECOND;
            return replicas.into_iter().fold(trouble, |trouble, replica| {
                trouble.with(0, Fault::Lag(replica, lag)).with(until, Fault::Lag(replica, 0))
            });
        }
        trouble
    }

    /// A server ends and comes back, with what it had, without its last moments, or with nothing.
    fn restart(&mut self, server: ServerId, topology: Topology) -> Trouble {
        let machine = self.chance.happens(400);
        let data = match self.chance.within(0..=19) {
            0 => Data::Nothing,
            1..=7 => Data::WithoutTheLastMoments,
            _ => Data::Everything,
        };
        let before = self.chance.within(0..=400) * MILLISECOND;
        let down = self.duration();
        let mut trouble = Trouble::new("kill", self.begin);
        if topology != Topology::Standalone || data == Data::WithoutTheLastMoments {
            trouble = trouble.losing(LONGEST_LAG);
        }
        trouble.for_good = data == Data::Nothing;
        self.lag(trouble)
            .with(0, Fault::Save)
            .with(before, Fault::Kill { server, machine })
            .with(before + down, Fault::Start { server, data })
    }

    fn freeze(&mut self, server: ServerId) -> Trouble {
        let duration = self.duration();
        let trouble = Trouble::new("freeze", self.begin);
        self.lag(trouble).with(0, Fault::Freeze(server)).with(duration, Fault::Thaw(server))
    }

    /// A primary is left alone with one node, and perhaps with a Sentinel or a member that is no majority.
    fn zombie(&mut self, primary: ServerId, topology: Topology) -> Trouble {
        let mut one = vec![Host::Server(primary), Host::Node(self.chance.place(NODES))];
        if topology == Topology::Sentinel && self.chance.happens(500) {
            let sentinels: Vec<_> = self.deployment.sentinels().map(|sentinel| sentinel.id).collect();
            one.push(Host::Server(*self.chance.pick(&sentinels)));
        }
        if self.chance.happens(200) {
            one.remove(1);
        }
        let everybody = (0..NODES).map(Host::Node).chain((0..self.deployment.servers.len()).map(Host::Server));
        let other: Vec<_> = everybody.filter(|host| !one.contains(host)).collect();
        let duration = self.chance.within(300..=2_200) * MILLISECOND;
        let trouble = Trouble::new("split", self.begin).losing(LONGEST_LAG);
        self.lag(trouble).with(0, Fault::Split { one, other }).with(duration, Fault::Heal)
    }

    fn slots_move(&mut self) -> Trouble {
        let from = self.chance.place(3);
        let to = (from + 1 + self.chance.place(2)) % 3;
        let first = [0, 5461, 10923][from];
        let slots = (0..self.chance.within(5..=40))
            .map(|_| first + u16::try_from(self.chance.place(5460)).expect("fewer than slots"))
            .collect();
        Trouble::new("slots move", self.begin).with(0, Fault::Move { slots, from, to })
    }

    fn of_the_network_or_a_node(&mut self, primary: ServerId) -> Trouble {
        let (begin, duration) = (self.begin, self.duration());
        let node = self.chance.place(NODES);
        let number = u16::try_from(node).expect("there are few nodes");
        let way = if self.chance.happens(500) { Way::ToNode } else { Way::ToServer };
        match self.chance.within(0..=11) {
            0 => {
                let (from, to) = match way {
                    Way::ToServer => (Host::Node(node), Host::Server(primary)),
                    Way::ToNode => (Host::Server(primary), Host::Node(node)),
                };
                Trouble::new("one way is cut", begin).with(0, Fault::Cut { from, to }).with(duration, Fault::Heal)
            }
            1 => {
                let servers = (0..self.deployment.servers.len()).map(Host::Server).collect();
                let mut trouble = Trouble::new("a node is cut off", begin)
                    .with(0, Fault::Split { one: vec![Host::Node(node)], other: servers })
                    .with(duration, Fault::Heal);
                trouble.told.nodes = Some(vec![number]);
                // What was on its way when it was cut off has not arrived.
                trouble.told.silent = Some(((begin + 2 * MILLISECOND) * 1000, (begin + duration) * 1000));
                trouble
            }
            2 => Trouble::new("resets", begin).with(0, Fault::Reset { one_in: self.chance.within(1..=4) }),
            3 => Trouble::new("half-open", begin).with(0, Fault::Lose { one_in: self.chance.within(1..=4) }),
            4 | 5 => {
                let one_in = self.chance.within(1..=3);
                Trouble::new("stall", begin).with(0, Fault::Stall { one_in, way, duration })
            }
            6 => {
                let host = if self.chance.happens(500) { Host::Node(node) } else { Host::Server(primary) };
                let delay = self.chance.within(5..=150) * MILLISECOND;
                Trouble::new("slow", begin).with(0, Fault::Slow(host, delay)).with(duration, Fault::Slow(host, 0))
            }
            7 => {
                let mut trouble = Trouble::new("pushes again", begin);
                for _ in 0..self.chance.within(1..=10) {
                    trouble = trouble.with(self.chance.within(0..=200) * MILLISECOND, Fault::Repeat(primary));
                }
                trouble
            }
            8 => {
                let trouble = Trouble::new("full", begin).with(0, Fault::Fill(primary, true));
                trouble.with(duration, Fault::Fill(primary, false))
            }
            9 if self.chance.happens(250) => {
                let mut trouble = Trouble::new("flush", begin).with(0, Fault::Flush(primary));
                trouble.for_good = true;
                trouble
            }
            10 => {
                let mut trouble = Trouble::new("restart of a node", begin).with(0, Fault::Restart { node });
                trouble.told.nodes = Some(vec![number]);
                trouble
            }
            _ => {
                let mut trouble = Trouble::new("pause of a node", begin).with(0, Fault::Pause { node, duration });
                trouble.told.nodes = Some(vec![number]);
                trouble
            }
        }
    }
}

//! One run: a seed, and the history that follows from it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use checker::History;
use checker::history::event::Outcome;
use checker::history::mode::{Acknowledge, Durability, Mode};
use checker::history::recorder::Recorder;
use checker::history::{Event, fault};
use introspectd::config;

use crate::chance::Chance;
use crate::faults::Fault;
use crate::load::{CLIENTS, Load};
use crate::network::Micros;
use crate::node::{Node, TURN, Time};
use crate::product::{self, Settings};
use crate::redis::deployment::Deployment;
use crate::requests::{self, Desk, Request};
use crate::scenario::{self, LONGEST_WORD, NODES, Trouble};
use crate::world::{Event as Happening, SharedWorld, World};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) settings: Settings,
    pub(crate) troubles: Vec<String>,
    pub(crate) history: History,
    pub(crate) surprises: Vec<String>,
}

/// How long after a fault a node may still refuse.
const GRACE: Micros = 3_500_000;
/// Before anything goes wrong.
const QUIET: Micros = 600_000;
/// How long everybody may take to come to rest after the last fault.
const REST: Micros = 6_000_000;

/// When a node starts that is to come after the others.
const LATE: Micros = 300_000;

/// A simulation under way.
struct Run {
    world: SharedWorld,
    time: Time,
    nodes: Vec<Node>,
    desk: Desk,
    load: Load,
    now: Micros,
    order: Chance,
    open: Vec<fault::Fault>,
}

/// Runs one seed to its end.
pub(crate) fn run(seed: u64) -> Finished {
    let mut chance = Chance::new(seed);
    let settings = scenario::settings(&mut chance);
    play(chance, settings, |chance, deployment| scenario::troubles(chance, settings, deployment, 0))
}

/// Runs what `plan` says to its end; everything else is made up.
pub(crate) fn play(
    mut chance: Chance,
    settings: Settings,
    plan: impl FnOnce(&mut Chance, &Deployment) -> Vec<Trouble>,
) -> Finished {
    let deployment = Deployment::new(settings.topology, &mut chance.fork());
    let configs: Vec<_> = (0..NODES).map(|node| product::redis(settings, node, &deployment)).collect();
    let plan = plan(&mut chance.fork(), &deployment);
    let world = SharedWorld::new(World::new(chance.fork(), deployment));
    let time = Time::default();
    time.set(0, world.lock().wall_clock());
    let mut nodes: Vec<_> = configs
        .into_iter()
        .enumerate()
        .map(|(node, config)| Node::start(node, world.clone(), time.clone(), config))
        .collect();
    for (node, started) in nodes.iter_mut().enumerate() {
        if settings.lease_of(node) != settings.lease {
            // It finds what the others have agreed on.
            started.pause(LATE);
        }
    }
    let desk = Desk {
        recorder: Arc::new(Recorder::new(mode(settings))),
        time: time.clone(),
        known: Arc::default(),
        surprises: Arc::default(),
        caller: Arc::new(product::resource_server()),
        births: Arc::default(),
        orphans: Arc::default(),
        open: Arc::default(),
    };
    let load = Load::new(chance.fork());
    let mut run = Run { world, time, nodes, desk, load, now: 0, order: chance.fork(), open: Vec::new() };
    let names = plan.iter().map(|trouble| trouble.told.fault.clone()).collect();
    run.begin();
    run.go_through(plan);
    run.turns_until("all is answered", 4_000_000, |run| run.desk.open.load(Ordering::Acquire) == 0);
    let surprises = std::mem::take(&mut *run.desk.surprises.lock().expect("nobody panics with it"));
    Finished { settings, troubles: names, history: run.desk.recorder.history(), surprises }
}

impl Run {
    /// One turn for everything.
    fn turn(&mut self) {
        self.now += TURN;
        let (wall, orders) = {
            let mut world = self.world.lock();
            world.advance(self.now);
            (world.wall_clock(), std::mem::take(&mut world.orders))
        };
        self.time.set(self.now, wall);
        for order in orders {
            match order {
                Fault::Pause { node, duration } => self.nodes[node].pause(self.now + duration),
                Fault::Restart { node } => {
                    self.nodes[node].restart();
                    self.desk.bury();
                }
                _ => {}
            }
        }
        let mut order: Vec<_> = (0..self.nodes.len()).collect();
        self.order.shuffle(&mut order);
        for node in order {
            self.nodes[node].run(self.now);
        }
    }

    fn turns_until(&mut self, what: &str, limit: Micros, condition: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !condition(self) {
            assert!(self.now < end, "never happened: {what}");
            self.turn();
        }
    }

    /// Brings everything up, and issues the first tokens.
    fn begin(&mut self) {
        self.turns_until("the nodes are up", 2_000_000, |run| run.nodes.iter().all(|node| node.service().is_some()));
        let ready = Arc::new(Mutex::new(0));
        for (place, node) in self.nodes.iter().enumerate() {
            let (service, ready) = (node.service().expect("it is up"), Arc::clone(&ready));
            node.ask(async move {
                loop {
                    let done = service.store.probe().await.is_ok()
                        && (place > 0 || requests::create_clients(Arc::clone(&service), &CLIENTS).await.is_ok());
                    if done {
                        break;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                *ready.lock().expect("nobody panics with it") += 1;
            });
        }
        self.turns_until("all is ready", 5_000_000, |_| *ready.lock().expect("nobody panics with it") == NODES);
        // Whatever was refused while everything came up is no offence.
        let end = Some(self.now * 1000);
        self.tell(fault::Fault { fault: "start".to_owned(), begin: 0, end, ..fault::Fault::default() });
        for _ in 0..12 {
            let request = self.load.issue(self.now / 1_000_000);
            self.send(0, request);
        }
        let until = self.now + QUIET;
        self.work_until(until);
    }

    fn go_through(&mut self, plan: Vec<Trouble>) {
        let start = self.now;
        let mut last = start;
        let mut for_good = false;
        // One that is healed heals all.
        let healed: Vec<_> = plan.iter().flat_map(Trouble::heals).collect();
        for mut trouble in plan {
            last = last.max(start + trouble.last());
            for_good |= trouble.for_good;
            for (moment, fault) in std::mem::take(&mut trouble.steps) {
                self.world.lock().at(start + moment, Happening::Fault(fault));
            }
            let shift = |moment: u64| moment + start * 1000;
            let mut told = trouble.told;
            told.begin = shift(told.begin);
            told.end = told.end.map(shift);
            told.silent = told.silent.map(|(from, to)| {
                let first = healed.iter().map(|moment| moment * 1000).filter(|moment| *moment >= trouble.begin * 1000);
                (shift(from), shift(first.fold(to, u64::min)))
            });
            told.loses_since = told.loses_since.map(shift);
            // What was approved just before may have been on its way.
            told.undoes_since = told.undoes_since.map(|moment| shift(moment).saturating_sub(LONGEST_WORD * 1000));
            self.open.push(told);
        }
        self.work_until(last + TURN);
        if for_good {
            let until = self.now + 1_500_000;
            self.work_until(until);
        } else {
            self.come_to_rest();
        }
        for told in std::mem::take(&mut self.open) {
            self.tell(told);
        }
        self.ask_about_everything();
        let until = self.now + 300_000;
        self.work_until(until);
    }

    /// Waits until nothing is wrong, and the time that nodes have to see that is over.
    fn come_to_rest(&mut self) {
        let limit = self.now + REST;
        while !self.world.lock().is_calm() || self.nodes.iter().any(|node| node.service().is_none()) {
            assert!(self.now < limit, "the servers never came to rest: {}", self.world.lock().describe());
            let until = self.now + TURN;
            self.work_until(until);
        }
        // Connections that are stalled or half-open are noticed by the nodes alone.
        for told in &mut self.open {
            told.end = told.end.or(Some(self.now * 1000));
        }
        self.load.questions = 60;
        self.load.changes = 8;
        let until = self.now + GRACE;
        self.work_until(until);
        self.load.questions = 600;
        self.load.changes = 50;
        let until = self.now + QUIET;
        self.work_until(until);
    }

    fn work_until(&mut self, until: Micros) {
        while self.now < until {
            self.turn();
            let known = self.desk.known();
            for (node, request) in self.load.turn(NODES, &known, self.now / 1_000_000) {
                self.send(node, request);
            }
        }
    }

    fn ask_about_everything(&mut self) {
        for token in self.desk.known() {
            for node in 0..NODES {
                self.send(node, Request::Introspect(token.clone()));
            }
        }
    }

    fn send(&self, node: usize, request: Request) {
        let service = self.nodes[node].service();
        self.nodes[node].ask(self.desk.clone().carry_out(node, request, service));
    }

    fn tell(&self, told: fault::Fault) {
        self.desk.recorder.record(Event::Fault(told));
    }
}

fn mode(settings: Settings) -> Mode {
    let lease = u64::try_from(settings.longest_lease().as_nanos()).expect("short");
    Mode {
        acknowledge: match settings.acknowledge {
            config::Acknowledge::Visible => Acknowledge::Visible,
            config::Acknowledge::Written => Acknowledge::Written,
        },
        durability: match settings.durability {
            config::Durability::Primary => Durability::Primary,
            config::Durability::Replicas => Durability::Replicas,
            config::Durability::Replay => Durability::Replay,
        },
        lease,
        nodes: u16::try_from(NODES).expect("few"),
        grace: GRACE * 1000,
        approved_within: u64::try_from(product::MAX_AGE.as_nanos()).expect("short") + lease,
    }
}

/// The text of a history, and whether anything happened in it.
pub(crate) fn text(history: &History) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    history.write(&mut text).expect("memory takes everything");
    let is_busy = history.events.iter().any(|event| matches!(event, Event::Revoke(it) if it.outcome == Outcome::Done));
    (text, is_busy)
}

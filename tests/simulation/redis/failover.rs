//! How a primary is replaced: by Sentinels that agree, or by the members of a cluster.
//!
//! What is kept of the real thing is the order of what can be seen. A replica is made a primary first; then those who
//! are asked where the primary is change their minds, one after the other and each only forward; and the old primary,
//! if it lives, goes on as one until somebody reaches it and tells it otherwise.

use super::cluster::Membership;
use super::deployment::{Deployment, Topology};
use super::server::{Kind, Server, ServerId};
use crate::chance::Chance;
use crate::network::{Micros, Network};
use crate::world::{Event, WATCH_INTERVAL};

/// A step on the way to another order of things.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sentinels, or the other members, agree to replace a primary.
    Replace(ServerId),
    /// A replica is made a primary.
    Promote { replica: ServerId, of: ServerId, epoch: u64 },
    /// A member of a cluster hears that another epoch has begun, as a voter does before anybody is elected.
    HearEpoch { member: ServerId, from: ServerId, epoch: u64 },
    /// A Sentinel or a member hears who is the primary now.
    HearPrimary { listener: ServerId, from: ServerId, primary: ServerId, of: ServerId, epoch: u64 },
    /// A server is told whose replica it is.
    Demote { server: ServerId, from: ServerId, primary: ServerId, epoch: u64 },
    /// A member hears that a slot has moved.
    HearSlot { listener: ServerId, from: ServerId, slot: u16, owner: ServerId, epoch: u64 },
    /// Slots begin to move to another member.
    BeginMove { slots: Vec<u16>, from: ServerId, to: ServerId },
    /// The keys of one slot move.
    MoveKeys { slots: Vec<u16>, place: usize, from: ServerId, to: ServerId },
}

/// How long a primary must be silent before it is replaced.
const DOWN_AFTER: Micros = 400_000;
/// How often those are told again who could not be reached.
const TELL_AGAIN: Micros = 100_000;

type Steps = Vec<(Micros, Event)>;

fn step(delay: Micros, step: Step) -> (Micros, Event) {
    (delay, Event::Step(step))
}

impl Deployment {
    /// Sentinels, or members of a cluster, look after each other.
    pub(crate) fn watch(&mut self, network: &Network, now: Micros, chance: &mut Chance) -> Steps {
        let watchers = self.watchers();
        let mut steps = Vec::new();
        for primary in self.known_primaries() {
            let mut votes = 0;
            for &watcher in &watchers {
                if watcher == primary || self.hears(watcher, primary, network) {
                    self.suspicions.remove(&(watcher, primary));
                } else if self.servers[watcher].running && !self.servers[watcher].frozen {
                    let since = *self.suspicions.entry((watcher, primary)).or_insert(now);
                    votes += usize::from(now - since >= DOWN_AFTER);
                }
            }
            if votes * 2 > watchers.len() && self.replacing.insert(primary) {
                steps.push(step(chance.within(10_000..=300_000), Step::Replace(primary)));
            }
        }
        if self.topology == Topology::Cluster {
            self.judge_members(&watchers, network, now);
            self.gossip(network, now);
        }
        steps
    }

    /// Every member hears from another, and takes over the epoch that is in the head of every message between members
    /// (`clusterProcessPacket`): also one in which nobody was elected, of which nothing else would tell.
    fn gossip(&mut self, network: &Network, now: Micros) {
        let epochs: Vec<_> = self.servers.iter().filter_map(membership_of).map(|member| member.epoch).collect();
        let round = usize::try_from(now / WATCH_INTERVAL).expect("a run is short");
        for listener in 0..epochs.len() {
            let teller = (listener + 1 + round % (epochs.len() - 1)) % epochs.len();
            if self.hears(listener, teller, network)
                && let Kind::Member(membership) = &mut self.servers[listener].kind
            {
                membership.epoch = membership.epoch.max(epochs[teller]);
            }
        }
    }

    /// Those who may say that a primary is down.
    fn watchers(&self) -> Vec<ServerId> {
        match self.topology {
            Topology::Standalone => Vec::new(),
            Topology::Sentinel => self.sentinels().map(|sentinel| sentinel.id).collect(),
            Topology::Cluster => self.known_primaries(),
        }
    }

    /// The primaries that the majority knows.
    fn known_primaries(&self) -> Vec<ServerId> {
        match self.topology {
            Topology::Standalone => Vec::new(),
            Topology::Sentinel => {
                let latest = self.sentinels().filter_map(watch_of).max_by_key(|watch| watch.epoch);
                let primary = latest.and_then(|watch| self.servers.iter().find(|it| it.address == watch.primary));
                primary.map(|primary| primary.id).into_iter().collect()
            }
            Topology::Cluster => {
                let latest = self.servers.iter().filter_map(membership_of).max_by_key(|member| member.epoch);
                let mut owners: Vec<_> = latest.iter().flat_map(|it| &it.ranges).map(|range| range.owner).collect();
                owners.sort_unstable();
                owners.dedup();
                owners
            }
        }
    }

    /// Whether everybody has the same view of who the primaries are, and they have it of themselves.
    pub(crate) fn is_agreed(&self) -> bool {
        let known = self.known_primaries();
        let mut acting = self.primaries();
        acting.sort_unstable();
        let views: Vec<_> = self.servers.iter().filter_map(watch_of).map(|watch| &watch.primary).collect();
        let members: Vec<_> = self.servers.iter().filter_map(membership_of).collect();
        self.replacing.is_empty()
            && (self.topology == Topology::Standalone || known == acting)
            && views.windows(2).all(|two| two[0] == two[1])
            && members.windows(2).all(|two| two[0].ranges == two[1].ranges && two[0].epoch == two[1].epoch)
            && members.iter().all(|member| member.ok && member.leaving.is_empty())
    }

    /// The servers that keep the same keys have the same number.
    fn group(&self, server: ServerId) -> usize {
        if self.topology == Topology::Cluster { server % 3 } else { 0 }
    }

    /// A member that has lost touch with the majority refuses everything after a while, and for a while after.
    fn judge_members(&mut self, primaries: &[ServerId], network: &Network, now: Micros) {
        for member in 0..self.servers.len() {
            if self.servers[member].frozen {
                // It knows nothing of the time that passes.
                self.alone.insert(member, now);
                continue;
            }
            let heard = primaries.iter().filter(|it| **it == member || self.hears(member, **it, network)).count();
            let is_in_touch = heard * 2 > primaries.len();
            let since = *self.alone.entry(member).or_insert(now);
            let Kind::Member(membership) = &mut self.servers[member].kind else { continue };
            // The moment is that of the last change between being in touch and not.
            if is_in_touch == membership.ok {
                self.alone.insert(member, now);
            } else if now - since >= DOWN_AFTER {
                membership.ok = is_in_touch;
            }
        }
    }

    /// Carries out a step; returns those that follow.
    pub(crate) fn step(&mut self, it: Step, network: &Network, chance: &mut Chance) -> Steps {
        match it {
            Step::Replace(primary) => self.replace(primary, network, chance),
            Step::Promote { replica, of, epoch } => self.make_primary(replica, of, epoch, network, chance),
            Step::HearEpoch { member, from, epoch } => {
                if !self.hears(member, from, network) {
                    return vec![step(TELL_AGAIN, it)];
                }
                if let Kind::Member(membership) = &mut self.servers[member].kind {
                    membership.epoch = membership.epoch.max(epoch);
                }
                Vec::new()
            }
            Step::HearPrimary { listener, from, primary, of, epoch } => {
                if !self.hears(listener, from, network) {
                    return vec![step(TELL_AGAIN, it)];
                }
                self.hear_primary(listener, primary, of, epoch);
                Vec::new()
            }
            Step::HearSlot { listener, from, slot, owner, epoch } => {
                if !self.hears(listener, from, network) {
                    return vec![step(TELL_AGAIN, it)];
                }
                if let Kind::Member(membership) = &mut self.servers[listener].kind {
                    membership.epoch = membership.epoch.max(epoch);
                    membership.assign([slot], owner);
                }
                Vec::new()
            }
            Step::Demote { server, from, primary, epoch } => {
                if self.promoted.get(&self.group(server)).is_some_and(|latest| *latest > epoch) {
                    // Overtaken: whoever was promoted since has told it something newer.
                    return Vec::new();
                }
                if !self.hears(server, from, network) {
                    return vec![step(TELL_AGAIN, it)];
                }
                if server == primary || self.servers[server].replication.of == Some(primary) {
                    return Vec::new();
                }
                self.servers[server].follow(primary);
                vec![(chance.within(5_000..=100_000), Event::Synchronisation(server))]
            }
            Step::BeginMove { slots, from, to } => {
                for slot in &slots {
                    if let Kind::Member(membership) = &mut self.servers[to].kind {
                        membership.arriving.insert(*slot, from);
                    }
                    if let Kind::Member(membership) = &mut self.servers[from].kind {
                        membership.leaving.insert(*slot, to);
                    }
                }
                vec![step(chance.within(1_000..=50_000), Step::MoveKeys { slots, place: 0, from, to })]
            }
            Step::MoveKeys { slots, place, from, to } => self.move_keys(slots, place, from, to, network, chance),
        }
    }

    fn replace(&mut self, primary: ServerId, network: &Network, chance: &mut Chance) -> Steps {
        self.replacing.insert(primary);
        let watchers = self.watchers();
        let lead = |leader: &ServerId| {
            let heard = watchers.iter().filter(|it| **it == *leader || self.hears(*leader, **it, network)).count();
            let lives = self.servers[*leader].running && !self.servers[*leader].frozen;
            lives && heard * 2 > watchers.len()
        };
        let candidates: Vec<_> = self
            .replicas(primary)
            .into_iter()
            .filter(|replica| self.servers[*replica].replication.linked && !self.servers[*replica].frozen)
            .collect();
        let leader = match self.topology {
            // Any member of the majority that can reach a replica.
            Topology::Sentinel => watchers.iter().find(|leader| lead(leader)).copied(),
            _ => watchers.iter().find(|voter| **voter != primary && lead(voter)).copied(),
        };
        let reachable: Vec<_> = candidates
            .into_iter()
            .filter(|replica| leader.is_some_and(|leader| self.hears(leader, *replica, network)))
            .collect();
        let Some(leader) = leader.filter(|_| !reachable.is_empty()) else {
            self.replacing.remove(&primary);
            return Vec::new();
        };
        let replica = *chance.pick(&reachable);
        self.epoch += 1;
        let epoch = self.epoch;
        let mut steps = Vec::new();
        let mut latest = 0;
        if self.topology == Topology::Cluster {
            // Who votes has heard of the epoch before anybody is elected: a majority at least.
            let mut delays: Vec<_> = watchers.iter().filter(|it| **it != primary).copied().collect();
            delays.insert(0, replica);
            for member in delays {
                let delay = chance.within(1_000..=30_000);
                if self.hears(member, leader, network) {
                    latest = latest.max(delay);
                }
                steps.push(step(delay, Step::HearEpoch { member, from: leader, epoch }));
            }
        }
        let delay = latest + chance.within(1_000..=100_000);
        steps.push(step(delay, Step::Promote { replica, of: primary, epoch }));
        steps
    }

    fn make_primary(
        &mut self,
        replica: ServerId,
        of: ServerId,
        epoch: u64,
        network: &Network,
        chance: &mut Chance,
    ) -> Steps {
        self.replacing.remove(&of);
        let server = &self.servers[replica];
        if !server.running || server.frozen || server.replication.of != Some(of) {
            return Vec::new();
        }
        self.servers[replica].promote();
        // Two who lead a failover at once may both make a primary. The later epoch wins, whichever came first.
        let latest = self.promoted.entry(self.group(replica)).or_default();
        *latest = epoch.max(*latest);
        let mut steps = Vec::new();
        let listeners: Vec<_> = match self.topology {
            Topology::Sentinel => self.sentinels().map(|sentinel| sentinel.id).collect(),
            _ => self.data().map(|server| server.id).collect(),
        };
        let mut teller = replica;
        if self.topology == Topology::Sentinel
            && let Some(leader) = listeners.iter().find(|it| self.hears(**it, replica, network))
        {
            teller = *leader;
        }
        for listener in listeners {
            let delay = if listener == replica { 0 } else { chance.within(1_000..=400_000) };
            steps.push(step(delay, Step::HearPrimary { listener, from: teller, primary: replica, of, epoch }));
        }
        let group = self.group(replica);
        let others: Vec<_> = self.data().map(|server| server.id).filter(|server| *server != replica).collect();
        for server in others.into_iter().filter(|server| self.group(*server) == group) {
            let delay = chance.within(if server == of { 100_000..=1_500_000 } else { 10_000..=400_000 });
            steps.push(step(delay, Step::Demote { server, from: teller, primary: replica, epoch }));
        }
        steps
    }

    fn hear_primary(&mut self, listener: ServerId, primary: ServerId, of: ServerId, epoch: u64) {
        let address = self.servers[primary].address.clone();
        let server = &mut self.servers[listener];
        match &mut server.kind {
            Kind::Sentinel(watch) => {
                let before = watch.primary.clone();
                if watch.advance(epoch, &address) {
                    let text = format!("mymaster {} {} {} {}", before.host, before.port, address.host, address.port);
                    server.publish("+switch-master", &text);
                }
            }
            Kind::Member(membership) => {
                membership.epoch = membership.epoch.max(epoch);
                membership.inherit(of, primary, epoch);
            }
            Kind::Alone => {}
        }
    }

    /// Moves the keys of a slot as `MIGRATE` does, then gives the slot to its new owner, and goes on to the next.
    fn move_keys(
        &mut self,
        slots: Vec<u16>,
        place: usize,
        from: ServerId,
        to: ServerId,
        network: &Network,
        chance: &mut Chance,
    ) -> Steps {
        let Some(&slot) = slots.get(place) else { return Vec::new() };
        let both = [from, to].map(|id| self.servers[id].is_primary() && self.servers[id].running);
        if both != [true, true] || !self.hears(from, to, network) {
            return vec![step(TELL_AGAIN, Step::MoveKeys { slots, place, from, to })];
        }
        let of_slot = |key: &&Vec<u8>| super::cluster::slot_of(key) == slot;
        if let Some(key) = self.servers[from].keyspace.keys().find(of_slot).cloned() {
            let entry = self.servers[from].keyspace.entry(&key).cloned().expect("it was just found");
            return vec![
                (0, Event::Put { server: to, key: key.clone(), entry: Some(entry) }),
                (0, Event::Put { server: from, key, entry: None }),
                step(chance.within(500..=3_000), Step::MoveKeys { slots, place, from, to }),
            ];
        }
        // Its new owner counts on by itself, and tells the others.
        self.epoch += 1;
        let epoch = self.epoch;
        let members: Vec<_> = self.data().map(|server| server.id).collect();
        for member in [to, from] {
            if let Kind::Member(membership) = &mut self.servers[member].kind {
                membership.assign([slot], to);
                membership.arriving.remove(&slot);
                membership.leaving.remove(&slot);
                membership.epoch = membership.epoch.max(epoch);
            }
        }
        let mut steps = Vec::new();
        for listener in members {
            let delay = chance.within(1_000..=200_000);
            steps.push(step(delay, Step::HearSlot { listener, from: to, slot, owner: to, epoch }));
        }
        let delay = chance.within(1_000..=50_000);
        steps.push(step(delay, Step::MoveKeys { slots, place: place + 1, from, to }));
        steps
    }
}

fn watch_of(server: &Server) -> Option<&super::sentinel::Watch> {
    match &server.kind {
        Kind::Sentinel(watch) => Some(watch),
        _ => None,
    }
}

fn membership_of(server: &Server) -> Option<&Membership> {
    match &server.kind {
        Kind::Member(membership) => Some(membership),
        _ => None,
    }
}

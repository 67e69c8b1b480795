//! What keeps a revocation from being lost with a primary, as far as that was asked for, put to work in each life.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::directory::slots::{SlotSet, slot_of};
use super::durability::barrier::{INTERVAL, LIMIT, Member};
use super::durability::group::{self, Terms};
use super::durability::key::Key;
use super::durability::reading::Origin;
use super::durability::reassert::Replay;
use super::durability::ring::Ring;
use super::fault::Fault;
use super::incarnation::{self, Incarnation};
use super::lane::{self, State, Up};
use super::link::Line;
use super::primary::{Common, Primary};
use crate::config::Durability;

/// What this node does so that revocations last.
pub(super) struct Upkeep {
    pub(super) durability: Durability,
    /// How many replicas must have one.
    replicas: usize,
    /// What was revoked lately; filled only where it is to be written again.
    pub(super) ring: Ring,
    /// What other nodes know this one by.
    node: Box<str>,
}

/// What is done for one life of a primary while it is listened to.
pub(super) struct Duty {
    origin: Option<Arc<Origin>>,
    member: Option<Member>,
    announced: Instant,
}

impl Upkeep {
    pub(super) fn new(durability: Durability, replicas: usize, seed: u64) -> Self {
        Self { durability, replicas, ring: Ring::new(super::durability::ring::Limits::default()), node: name(seed) }
    }

    /// A key was named as changed.
    pub(super) fn heard(&self, text: &[u8]) {
        if self.durability == Durability::Replay {
            self.ring.heard(text);
        }
    }

    /// Something was read under a key: what was seen to end a token is to be remembered, though nobody told of it.
    pub(super) fn seen(&self, text: &str) {
        if text.starts_with("r:") || text.starts_with("e:") {
            self.heard(text.as_bytes());
        }
    }

    /// Makes sure that a primary in a life that is new to this node has everything that any node remembers.
    pub(super) async fn catch_up(
        &self,
        primary: &Primary,
        common: &Common,
        incarnation: &Incarnation,
        line: &mut Line,
    ) -> Result<(), Fault> {
        if self.durability != Durability::Replay {
            return Ok(());
        }
        let limit = common.endpoint.response_timeout();
        let mut replay = Replay::new(&self.ring, incarnation.clone(), &common.prefix);
        let is_here = |key: &Key| primary.has([&*common.prefix, &key.text()].concat().as_bytes());
        let mut replayed = replay.catch_up(line, &self.ring, is_here, limit).await?;
        if let Some(member) = self.member(primary, common, incarnation) {
            let arrival = member.arrive(line, LIMIT, limit).await?;
            if !arrival.absent.is_empty() {
                tracing::warn!(server = %primary.address, nodes = ?arrival.absent, "taken for dead: what only they \
                    remember of the revocations of the last seconds may be lost");
            }
            // What a reading has brought meanwhile that was under way at the primary before this one.
            let more = replay.catch_up(line, &self.ring, is_here, limit).await?;
            replayed.entries += more.entries;
            replayed.restored += more.restored;
        }
        common.observer.replayed(replayed.restored as u64);
        tracing::info!(server = %primary.address, looked_at = replayed.entries, restored = replayed.restored,
            "revocations that were remembered have been made sure of");
        primary.set_origin(Some(Arc::new(replay.origin().clone())));
        Ok(())
    }

    /// Has everything read again that is remembered of a primary to which nobody has listened for a while.
    pub(super) fn doubt(&self, primary: &Primary, common: &Common) {
        if self.durability == Durability::Replay {
            self.ring.doubt(|key| primary.has([&*common.prefix, &key.text()].concat().as_bytes()));
        }
    }

    /// The same for slots that have come to a primary in the life that it is in: with all that was in them, if they were
    /// moved key by key, and with nothing otherwise.
    pub(super) async fn catch_up_with_slots(
        &self,
        primary: &Primary,
        common: &Common,
        incarnation: &Incarnation,
        line: &mut Line,
        gained: &SlotSet,
    ) -> Result<(), Fault> {
        if self.durability != Durability::Replay {
            return Ok(());
        }
        let origin = primary.origin().ok_or_else(incarnation::changed)?;
        let mut replay = Replay::new(&self.ring, incarnation.clone(), &common.prefix).of_slots(&origin);
        let is_here = |key: &Key| {
            let key = [&*common.prefix, &key.text()].concat();
            gained.holds(slot_of(key.as_bytes())) && primary.has(key.as_bytes())
        };
        let replayed = replay.catch_up(line, &self.ring, is_here, common.endpoint.response_timeout()).await?;
        common.observer.replayed(replayed.restored as u64);
        Ok(())
    }

    /// What is to be done while a primary is listened to.
    pub(super) fn duty(&self, primary: &Primary, common: &Common, incarnation: &Incarnation) -> Duty {
        Duty { origin: primary.origin(), member: self.member(primary, common, incarnation), announced: Instant::now() }
    }

    fn member(&self, primary: &Primary, common: &Common, incarnation: &Incarnation) -> Option<Member> {
        if self.durability != Durability::Replay {
            return None;
        }
        let roster = beside(primary.markers().first()?, &common.prefix, "n:")?;
        Some(Member::new(&self.node, &roster, incarnation.clone()))
    }

    /// Tells the others that this node is going, so that nobody waits for it.
    pub(super) async fn leave(&self, primary: &Primary, common: &Common, deadline: Instant) {
        if let Ok(state) = primary.lane()
            && let State::Up(up) = &*state
            && let Some(member) = self.member(primary, common, &up.incarnation)
        {
            // Should it fail, they wait a little when this primary ends.
            let _ = member.leave(&mut up.line.clone(), deadline).await;
        }
    }

    /// Returns when what was just written under these keys will last as long as was asked for.
    pub(super) async fn make_last(
        &self,
        primary: &Primary,
        common: &Common,
        up: &Up,
        keys: Vec<Key>,
        deadline: Instant,
    ) -> Result<(), Fault> {
        match self.durability {
            Durability::Primary => Ok(()),
            Durability::Replicas => {
                let group =
                    primary.group().ok_or_else(|| Fault::unavailable("it is not known which replicas have it"))?;
                let committed = group.commit(&up.incarnation, deadline + common.endpoint.response_timeout()).await;
                if committed.is_err() {
                    common.observer.fell_short();
                }
                committed
            }
            Durability::Replay => {
                let origin = primary.origin().ok_or_else(incarnation::changed)?;
                let mut line = up.line.clone();
                // Over the same connection: a life that has begun since would not be the one that has it.
                origin.read_back(&mut line, &self.ring, keys, || common.coherence.now(), deadline).await?;
                if primary.is_in(&up.incarnation) { Ok(()) } else { Err(incarnation::changed()) }
            }
        }
    }

    /// Answers those who want to know what replicas have, over a connection of its own in each life. Never ends.
    pub(super) async fn keep_groups(primary: Arc<Primary>, common: Arc<Common>) {
        let mut backoff = Backoff::new(common.seed ^ 1);
        let mut life = primary.life();
        loop {
            let wanted = life.borrow_and_update().clone();
            if let (Ok(incarnation), Some(marker)) = (wanted, primary.markers().first()) {
                tokio::select! {
                    biased;
                    _ = life.changed() => {}
                    fault = keep_group(&primary, &common, incarnation, marker) => {
                        tracing::debug!(server = %primary.address, fault = fault.detail(), "cannot ask for replicas");
                    }
                }
                primary.set_group(None);
            }
            let _ = timeout(backoff.next(), life.changed()).await;
        }
    }
}

/// Answers those who want to know what replicas have, in one life; returns why it cannot any longer.
async fn keep_group(primary: &Primary, common: &Common, incarnation: Incarnation, marker: &str) -> Fault {
    let limit = common.endpoint.response_timeout();
    let mut link = match lane::open(primary, common, &incarnation, common.endpoint.connect_timeout()).await {
        Ok(link) => link,
        Err(fault) => return fault,
    };
    let Some(key) = beside(marker, &common.prefix, "f:") else { return Fault::unexpected_reply() };
    let replicas = common.upkeep.replicas;
    let terms = Terms { incarnation, key: key.into(), replicas, limit, response_timeout: limit };
    let (group, mut commits) = group::group(terms);
    primary.set_group(Some(Arc::new(group)));
    let (mut line, mut watched, nobody) = (link.line(), link.line(), Notify::new());
    tokio::select! {
        biased;
        fault = link.lost() => fault,
        fault = commits.serve(&mut line) => fault.unwrap_or_else(Fault::closed),
        fault = lane::watch_over(&mut watched, &nobody, limit) => fault,
    }
}

impl Duty {
    /// Reads what was heard of, and says that this node lives when it is time.
    pub(super) async fn perform(&mut self, primary: &Primary, common: &Common, line: &mut Line) -> Result<(), Fault> {
        let limit = common.endpoint.response_timeout();
        let is_here = |key: &Key| primary.has([&*common.prefix, &key.text()].concat().as_bytes());
        // Runs for as long as every primary has just been found in a life that was caught up with.
        if common.leases.all_run() {
            common.upkeep.ring.all_is_well(common.coherence.now());
        }
        if let Some(origin) = &self.origin {
            let ring = &common.upkeep.ring;
            for _ in 0..BATCHES {
                let deadline = Instant::now() + limit;
                if origin.read_heard(line, ring, is_here, || common.coherence.now(), deadline).await? == 0 {
                    break;
                }
            }
        }
        if let Some(member) = &self.member
            && self.announced.elapsed() >= INTERVAL
        {
            self.announced = Instant::now();
            member.refresh(line, Instant::now() + limit).await?;
        }
        Ok(())
    }
}

/// How many batches of what was heard of are read between two renewals of the lease.
const BATCHES: usize = 8;

/// A key of another kind that lies where a marker lies.
fn beside(marker: &str, prefix: &str, kind: &str) -> Option<String> {
    let tag = marker.strip_prefix(prefix)?.strip_prefix("m:")?;
    Some([prefix, kind, tag].concat())
}

/// A name for this process. `seed` decides in a simulation.
fn name(seed: u64) -> Box<str> {
    format!("{seed:016x}").into()
}

//! One primary: what is known of it, and the tasks that keep the connections to it up.
//!
//! Nothing is read from it or written to it before its tracker has made sure of the life that it is in (see
//! [`super::tracker`]), and a connection that leads to another life is not used.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::administration::Administration;
use super::dataset::{self, DatasetId};
use super::dial::Address;
use super::directory::View;
use super::directory::slots::{self, SlotMap, SlotSet};
use super::durability::group::Group;
use super::durability::reading::Origin;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::fence::Fence;
use super::incarnation::Incarnation;
use super::lane::{Lane, State};
use super::leases::Leases;
use super::observe::{FleetObserver, Unobserved};
use super::settings::Finding;
use super::tracker;
use super::upkeep::Upkeep;
use crate::coherence::Coherence;
use crate::config::{Durability, RevocationConfig};
use crate::threads::{self, Threads};
use crate::watch;

/// What everything that deals with Redis shares.
pub(super) struct Common {
    pub(super) endpoint: Endpoint,
    pub(super) prefix: Box<str>,
    pub(super) coherence: Arc<Coherence>,
    pub(super) fence: Arc<Fence>,
    pub(super) leases: Leases,
    pub(super) revocation: RevocationConfig,
    /// What waits are spread by.
    pub(super) seed: u64,
    /// How many connections of the hot path there are to each primary.
    pub(super) connections: usize,
    /// Where these are kept up.
    pub(super) threads: Threads,
    /// Which data this node works with, once it has found out.
    dataset: watch::Sender<Option<DatasetId>>,
    /// How long leases may be by what the markers say, in milliseconds; 0 until that is known.
    agreed_lease: AtomicU64,
    /// Rung whenever a connection has come up or failed.
    pub(super) progress: Notify,
    pub(super) upkeep: Upkeep,
    pub(super) observer: Arc<dyn FleetObserver>,
    /// What a dataset is named by that this node makes; drawn at random without it.
    pub(super) next_dataset: Option<DatasetId>,
}

impl Common {
    pub(super) fn new(
        endpoint: Endpoint,
        prefix: &str,
        coherence: Arc<Coherence>,
        fence: Arc<Fence>,
        revocation: RevocationConfig,
        connections: usize,
        seed: u64,
    ) -> Self {
        Self {
            endpoint,
            prefix: prefix.into(),
            leases: Leases::new(Arc::clone(&coherence), Arc::clone(&fence)),
            coherence,
            fence,
            revocation,
            seed,
            connections: connections.max(1),
            threads: Threads::default(),
            dataset: watch::channel(None).0,
            agreed_lease: AtomicU64::new(0),
            progress: Notify::new(),
            upkeep: Upkeep::new(revocation.durability, revocation.replicas, seed),
            observer: Arc::new(Unobserved),
            next_dataset: None,
        }
    }

    /// The dataset, when it is known.
    pub(super) fn dataset(&self) -> Option<DatasetId> {
        *self.dataset.borrow()
    }

    /// From now on no other dataset will do.
    pub(super) fn bind(&self, dataset: DatasetId, lease: Duration) {
        self.agreed_lease.store(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
        self.fence.set_lease(self.lease());
        self.dataset.send_replace(Some(dataset));
    }

    /// Returns the dataset when it is known.
    pub(super) async fn bound(&self) -> Result<DatasetId, Fault> {
        let mut known = self.dataset.subscribe();
        let dataset = known.wait_for(Option::is_some).await.map_err(|_| Fault::closed())?;
        dataset.ok_or_else(Fault::closed)
    }

    /// Whether all stamps come from one clock.
    pub(super) fn has_one_clock(&self) -> bool {
        self.fence.is_endless()
    }

    /// How long this node's leases are: never longer than all nodes have agreed on.
    pub(super) fn lease(&self) -> Duration {
        let agreed = Duration::from_millis(self.agreed_lease.load(Ordering::Acquire));
        self.revocation.lease.min(agreed)
    }

    /// How long any node's lease may be.
    pub(super) fn longest_lease(&self) -> Duration {
        let agreed = Duration::from_millis(self.agreed_lease.load(Ordering::Acquire));
        self.revocation.lease.max(agreed)
    }
}

/// A primary.
pub(super) struct Primary {
    pub(super) address: Address,
    pub(super) lanes: Box<[Lane]>,
    pub(super) administration: Administration,
    /// The life that everything is known of, or why there is none.
    life: watch::Sender<Result<Incarnation, Fault>>,
    /// Whether it was ever read from.
    lived: AtomicBool,
    /// The slots that it has; none when it has all.
    share: ArcSwap<Option<(Arc<SlotMap>, usize)>>,
    /// Those of them of which it is not known yet what came with them.
    unsure: ArcSwapOption<SlotSet>,
    /// What may be read back from it, once it was caught up with.
    origin: ArcSwapOption<Origin>,
    /// Who knows what its replicas have.
    group: ArcSwapOption<Group>,
    /// What its settings mean.
    findings: ArcSwap<Vec<Finding>>,
    /// The keys of the markers that lie on it.
    markers: ArcSwap<Vec<String>>,
    marker: AtomicUsize,
    /// Whether another has taken its place.
    retired: AtomicBool,
    /// Rung by whoever has reason to doubt that it is what it was.
    doubt: Notify,
    /// Dropped with it, which ends them.
    tasks: Mutex<JoinSet<()>>,
}

impl Primary {
    /// Starts to keep connections to it up.
    pub(super) fn start(address: Address, view: &View, place: usize, common: &Arc<Common>) -> Arc<Self> {
        let administration = Administration::new(&common.endpoint, &address);
        let primary = Arc::new(Self {
            lanes: (0..common.connections).map(|_| Lane::new()).collect(),
            administration,
            address,
            life: watch::channel(Err(Fault::unavailable("not connected to Redis yet"))).0,
            lived: AtomicBool::new(false),
            share: ArcSwap::default(),
            unsure: ArcSwapOption::empty(),
            origin: ArcSwapOption::empty(),
            group: ArcSwapOption::empty(),
            findings: ArcSwap::default(),
            markers: ArcSwap::default(),
            marker: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            doubt: Notify::new(),
            tasks: Mutex::default(),
        });
        primary.set_share(view, place, &common.prefix);
        let mut tasks = JoinSet::new();
        tasks.spawn(tracker::keep_up(Arc::clone(&primary), Arc::clone(common)));
        for place in 0..primary.lanes.len() {
            let kept_up = Lane::keep_up(place, Arc::clone(&primary), Arc::clone(common));
            match common.threads.of(place) {
                Some(thread) => tasks.spawn_on(kept_up, thread),
                None => tasks.spawn(kept_up),
            };
        }
        if common.upkeep.durability == Durability::Replicas {
            tasks.spawn(Upkeep::keep_groups(Arc::clone(&primary), Arc::clone(common)));
        }
        *primary.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        primary
    }

    /// Another has taken its place: nothing that it still says counts.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.end(&Fault::unavailable("this Redis is no longer the primary"));
        self.close();
    }

    /// Lets go of all connections.
    pub(super) fn close(&self) {
        self.administration.close();
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        for lane in &self.lanes {
            lane.close(&Fault::closed());
        }
    }

    /// Whether another has taken its place.
    pub(super) fn expect_current(&self) -> Result<(), Fault> {
        if self.retired.load(Ordering::Acquire) {
            Err(Fault::unavailable("this Redis is no longer the primary"))
        } else {
            Ok(())
        }
    }

    /// A connection that is up: that of this thread, or the next.
    pub(super) fn lane(&self) -> Result<Arc<State>, Fault> {
        let (before, after) = self.lanes.split_at(threads::place(self.lanes.len()));
        let mut fault = None;
        for lane in after.iter().chain(before) {
            let state = lane.state();
            match &*state {
                State::Up(_) => return Ok(state),
                State::Down(down) => fault = fault.or_else(|| Some(down.clone())),
            }
        }
        Err(fault.unwrap_or_else(Fault::closed))
    }

    // --- its life ---

    /// The life that everything is known of, now and as it changes.
    pub(super) fn life(&self) -> watch::Receiver<Result<Incarnation, Fault>> {
        self.life.subscribe()
    }

    /// Whether everything is known of this life.
    pub(super) fn is_in(&self, incarnation: &Incarnation) -> bool {
        self.life.borrow().as_ref() == Ok(incarnation)
    }

    /// Whether it was ever read from.
    pub(super) fn was_alive(&self) -> bool {
        self.lived.load(Ordering::Acquire)
    }

    /// Everything is known of this life: it may be read from and written to.
    pub(super) fn begin(&self, incarnation: Incarnation) {
        self.lived.store(true, Ordering::Release);
        drop(self.life.send_replace(Ok(incarnation)));
    }

    /// It may no longer be read from and written to.
    pub(super) fn end(&self, fault: &Fault) {
        drop(self.life.send_replace(Err(fault.clone())));
    }

    /// Why it still may not be; nothing when it may.
    pub(super) fn note(&self, fault: Fault) {
        self.life.send_if_modified(|life| {
            if life.is_err() {
                *life = Err(fault);
            }
            life.is_err()
        });
    }

    /// Has the tracker look at once.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Returns when somebody has reason for doubt.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    // --- what makes revocations last ---

    /// What may be read back from it.
    pub(super) fn origin(&self) -> Option<Arc<Origin>> {
        self.origin.load_full()
    }

    pub(super) fn set_origin(&self, origin: Option<Arc<Origin>>) {
        self.origin.store(origin);
    }

    /// Who knows what its replicas have.
    pub(super) fn group(&self) -> Option<Arc<Group>> {
        self.group.load_full()
    }

    pub(super) fn set_group(&self, group: Option<Arc<Group>>) {
        self.group.store(group);
    }

    /// What its settings mean.
    pub(super) fn findings(&self) -> Arc<Vec<Finding>> {
        self.findings.load_full()
    }

    pub(super) fn set_findings(&self, findings: Vec<Finding>) {
        self.findings.store(Arc::new(findings));
    }

    // --- its share of the keys ---

    /// What it has now. Whether the slots that it has got came with all that was in them, the tracker finds out.
    pub(super) fn set_share(&self, view: &View, place: usize, prefix: &str) {
        let gained = match &**self.share.load() {
            Some((before, own)) => before.gained(*own, &view.slots, place),
            None => SlotSet::default(),
        };
        let markers = view.slots.markers_of(place).map(|range| dataset::key(prefix, range));
        self.markers.store(Arc::new(markers.collect()));
        let share = (view.primaries.len() > 1).then(|| (Arc::clone(&view.slots), place));
        self.share.store(Arc::new(share));
        if !gained.is_empty() {
            let unsure = self.unsure.load().as_ref().map_or_else(|| gained.clone(), |unsure| unsure.and(&gained));
            self.unsure.store(Some(Arc::new(unsure)));
            self.doubt();
        }
    }

    /// The slots that it has got, and of which it is not known yet what came with them.
    pub(super) fn unsure(&self) -> Option<Arc<SlotSet>> {
        self.unsure.load_full()
    }

    /// It is known of these, unless others have come since.
    pub(super) fn be_sure_of(&self, slots: &Arc<SlotSet>) {
        self.unsure.compare_and_swap(slots, None);
    }

    /// Whether it is known what lies under a key.
    pub(super) fn is_sure_of(&self, key: &[u8]) -> bool {
        self.unsure.load().as_ref().is_none_or(|unsure| !unsure.holds(slots::slot_of(key)))
    }

    /// Whether a key lies on it.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        match &**self.share.load() {
            Some((slots, place)) => slots.owner(slots::slot_of(key)) == Some(*place),
            None => true,
        }
    }

    /// The keys of all markers that lie on it.
    pub(super) fn markers(&self) -> Arc<Vec<String>> {
        self.markers.load_full()
    }

    /// The marker that batches read at present; none when none lies on it.
    pub(super) fn marker(&self) -> Option<String> {
        let markers = self.markers.load();
        markers.get(self.marker.load(Ordering::Relaxed) % markers.len().max(1)).cloned()
    }

    /// Batches read another from now on.
    pub(super) fn next_marker(&self) {
        self.marker.fetch_add(1, Ordering::Relaxed);
    }
}

//! All primaries: who they are is looked up again and again, and confirmed with each look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::backoff::Backoff;
use super::dataset::{self, DatasetId, Marker, Step};
use super::dial::Address;
use super::directory::slots::{self, MARKERS};
use super::directory::{Directory, View};
use super::fault::Fault;
use super::incarnation::Incarnation;
use super::lane::State;
use super::link::accept;
use super::primary::{Common, Primary};

/// Knows the primaries.
pub(super) struct Fleet {
    pub(super) common: Arc<Common>,
    members: ArcSwap<Members>,
    /// Shared with every call that is under way; gone when the store is being closed.
    under_way: Mutex<Option<Arc<()>>>,
    /// Dropped with the store, which ends them.
    tasks: Mutex<JoinSet<()>>,
}

/// The primaries at one moment.
pub(super) struct Members {
    pub(super) view: View,
    /// As in the view.
    pub(super) primaries: Vec<Arc<Primary>>,
    /// Why there are none, as long as there are none.
    fault: Option<Fault>,
}

/// How often the directory is asked while a lease lasts.
const LOOKS: u32 = 4;

impl Fleet {
    /// Starts to look, and returns when everything is up, or the first thing has failed, or `patience` is over.
    pub(super) async fn open(
        common: Arc<Common>,
        directory: Directory,
        pinned: Option<DatasetId>,
        patience: Duration,
    ) -> Arc<Self> {
        let nobody = View { primaries: Vec::new(), slots: Arc::new(slots::SlotMap::empty()), epoch: 0 };
        let fault = Some(Fault::unavailable("not connected to Redis yet"));
        let fleet = Arc::new(Self {
            members: ArcSwap::from_pointee(Members { view: nobody, primaries: Vec::new(), fault }),
            under_way: Mutex::new(Some(Arc::default())),
            tasks: Mutex::default(),
            common: Arc::clone(&common),
        });
        let progress = Arc::clone(&common);
        let keeper = Keeper { common, directory, pinned, fleet: Arc::downgrade(&fleet), reported: false };
        fleet.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(keeper.keep());
        let deadline = Instant::now() + patience;
        loop {
            let heard = progress.progress.notified();
            tokio::pin!(heard);
            heard.as_mut().enable();
            if fleet.is_settled() || timeout_at(deadline, heard).await.is_err() {
                return fleet;
            }
        }
    }

    /// The primaries now.
    pub(super) fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// The primary that has a key.
    pub(super) fn owner_of(&self, key: &[u8]) -> Result<Arc<Primary>, Fault> {
        self.members.load().owner_of(key)
    }

    /// Whether there is nothing to wait for: everything is up, or something has failed.
    fn is_settled(&self) -> bool {
        let members = self.members.load();
        if members.primaries.is_empty() {
            return members.fault.as_ref().is_some_and(|fault| *fault != not_yet());
        }
        members.primaries.iter().all(|primary| match &*primary.life().borrow() {
            Ok(_) => primary.lanes.iter().all(|lane| matches!(&*lane.state(), State::Up(_))),
            Err(fault) => *fault != not_yet(),
        })
    }

    /// The lives that the primaries are in, as far as everything is known of them.
    pub(super) fn lives(&self) -> Vec<Option<Incarnation>> {
        let members = self.members.load();
        members.primaries.iter().map(|primary| primary.life().borrow().clone().ok()).collect()
    }

    /// Lets a call begin; what comes back is to be dropped when it is over.
    pub(super) fn enter(&self) -> Result<Arc<()>, Fault> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(Fault::closed)
    }

    /// Lets calls under way finish, each within its deadline, and then lets go of everything.
    pub(super) async fn finish(&self) {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).take();
        let deadline = Instant::now() + self.common.endpoint.response_timeout();
        while under_way.as_ref().is_some_and(|calls| Arc::strong_count(calls) > 1) && Instant::now() < deadline {
            sleep(Duration::from_millis(1)).await;
        }
        for primary in &self.members().primaries {
            self.common.upkeep.leave(primary, &self.common, deadline).await;
        }
        self.close();
    }

    /// Lets go of everything.
    pub(super) fn close(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        let members = self.members.swap(Arc::new(Members {
            view: self.members.load().view.clone(),
            primaries: Vec::new(),
            fault: Some(Fault::closed()),
        }));
        self.common.coherence.revoke_lease();
        for primary in &members.primaries {
            primary.close();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.close();
    }
}

fn not_yet() -> Fault {
    Fault::unavailable("not connected to Redis yet")
}

impl Members {
    /// The primary that has a key.
    pub(super) fn owner_of(&self, key: &[u8]) -> Result<Arc<Primary>, Fault> {
        // Where there is but one, nothing need be worked out.
        self.owner(if self.primaries.len() == 1 { 0 } else { slots::slot_of(key) })
    }

    /// The primary that has a slot.
    fn owner(&self, slot: u16) -> Result<Arc<Primary>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let owner = self.view.slots.owner(slot).and_then(|place| self.primaries.get(place));
        owner.cloned().ok_or_else(|| Fault::unavailable("no node of the cluster has the slot of the key"))
    }

    /// The primary at an address.
    pub(super) fn at(&self, address: &Address) -> Option<Arc<Primary>> {
        self.primaries.iter().find(|primary| primary.address == *address).cloned()
    }
}

/// The task that looks.
struct Keeper {
    common: Arc<Common>,
    directory: Directory,
    pinned: Option<DatasetId>,
    fleet: std::sync::Weak<Fleet>,
    reported: bool,
}

impl Keeper {
    /// Looks again and again. Ends with the fleet.
    async fn keep(mut self) {
        let mut backoff = Backoff::new(self.common.seed);
        loop {
            let began = self.common.coherence.now();
            let pause = match self.turn().await {
                Ok(()) => {
                    self.common.fence.confirm(began);
                    self.common.leases.refresh();
                    self.reported = false;
                    backoff.reset();
                    self.pause()
                }
                Err(fault) => {
                    if !self.reported {
                        tracing::warn!(fault = fault.detail(), "it is not known which Redis to rely on");
                    }
                    self.reported = true;
                    self.note(fault);
                    backoff.next().min(self.pause().max(Duration::from_millis(50)))
                }
            };
            tokio::select! {
                biased;
                () = self.directory.news() => {}
                _ = timeout(pause, self.common.fence.wanted()) => {}
            }
        }
    }

    /// One look, and what follows from it.
    async fn turn(&mut self) -> Result<(), Fault> {
        let deadline = Instant::now() + self.common.endpoint.connect_timeout();
        let view = self.directory.look(deadline).await?;
        let Some(fleet) = self.fleet.upgrade() else { return Err(Fault::closed()) };
        if fleet.members.load().view != view || fleet.members.load().primaries.is_empty() {
            self.adopt(&fleet, view.clone());
        }
        if self.common.dataset().is_none() {
            let marker = self.find_dataset(&view, deadline).await?;
            let Marker { dataset, lease, .. } = marker;
            if lease != self.common.revocation.lease {
                tracing::warn!(
                    agreed = ?lease, configured = ?self.common.revocation.lease,
                    "leases are as long as the nodes have agreed on when the dataset was made, or shorter"
                );
            }
            tracing::info!(%dataset, "the dataset is known");
            self.common.bind(dataset, lease);
        }
        Ok(())
    }

    /// Works with these primaries from now on.
    fn adopt(&self, fleet: &Fleet, view: View) {
        let before = fleet.members.load_full();
        let primaries: Vec<_> = view
            .primaries
            .iter()
            .enumerate()
            .map(|(place, address)| match before.at(address) {
                Some(primary) => {
                    primary.set_share(&view, place, &self.common.prefix);
                    primary
                }
                None => Primary::start(address.clone(), &view, place, &self.common),
            })
            .collect();
        if !before.primaries.is_empty() {
            tracing::warn!(primaries = ?view.primaries, epoch = view.epoch, "the primaries or their slots have changed");
            self.common.observer.failed_over();
        }
        // Before the fence moves on: whoever sees that this look confirms the new ones must see that the old ones have
        // gone.
        for primary in before.primaries.iter().filter(|primary| !view.primaries.contains(&primary.address)) {
            primary.retire();
        }
        self.common.leases.expect(&view.primaries);
        fleet.members.store(Arc::new(Members { view, primaries, fault: None }));
    }

    /// Finds the dataset, or makes one.
    async fn find_dataset(&self, view: &View, deadline: Instant) -> Result<Marker, Fault> {
        let mut links = Vec::new();
        for address in &view.primaries {
            links.push(self.common.endpoint.open(address, None, deadline).await?);
        }
        let owner = |range: usize| {
            let owner = view.slots.owner(slots::marker_slot(range));
            owner.ok_or_else(|| Fault::unavailable("a slot of the cluster belongs to nobody"))
        };
        // Three steps make one; other nodes may be at it too.
        for _ in 0..STEPS {
            let mut markers = vec![None; MARKERS];
            let places = (0..MARKERS).map(owner).collect::<Result<Vec<_>, _>>()?;
            let reads = dataset::reads(&self.common.prefix);
            for (place, replies) in send(&mut links, places.into_iter().zip(reads).enumerate(), deadline).await? {
                markers[place] = Marker::read(replies)?;
            }
            let (prefix, lease) = (&self.common.prefix, self.common.revocation.lease);
            let fresh = || self.common.next_dataset.map_or_else(DatasetId::generate, Ok);
            match dataset::establish(prefix, &markers, self.pinned, lease, fresh)? {
                Step::Found(marker) => return Ok(marker),
                Step::Write(commands) => {
                    let commands = commands.into_iter().map(|(range, command)| Ok((range, (owner(range)?, command))));
                    let commands = commands.collect::<Result<Vec<_>, Fault>>()?;
                    for (_, reply) in send(&mut links, commands, deadline).await? {
                        accept(reply)?;
                    }
                }
            }
        }
        Err(Fault::unavailable("the dataset is still being made"))
    }

    /// Has everybody who asks told what is wrong.
    fn note(&self, fault: Fault) {
        if let Some(fleet) = self.fleet.upgrade() {
            let members = fleet.members.load_full();
            for primary in &members.primaries {
                primary.note(fault.clone());
            }
            if members.primaries.is_empty() {
                let view = members.view.clone();
                fleet.members.store(Arc::new(Members { view, primaries: Vec::new(), fault: Some(fault) }));
            }
            self.common.progress.notify_waiters();
        }
    }

    fn pause(&self) -> Duration {
        if self.directory.can_change() { self.common.lease() / LOOKS } else { UNCHANGING }
    }
}

/// How often what cannot change is looked at.
const UNCHANGING: Duration = Duration::from_mins(1);
/// How often the markers are read and written until the dataset is there.
const STEPS: usize = 8;

/// Sends each command to its server, in one round trip for each server; the replies, each with what its command is
/// about.
async fn send(
    links: &mut [super::link::Link],
    commands: impl IntoIterator<Item = (usize, (usize, redis::Cmd))>,
    deadline: Instant,
) -> Result<Vec<(usize, Value)>, Fault> {
    let mut by_server = BTreeMap::<usize, (Vec<usize>, Vec<redis::Cmd>)>::new();
    for (about, (server, command)) in commands {
        let (abouts, commands) = by_server.entry(server).or_default();
        abouts.push(about);
        commands.push(command);
    }
    let mut all = Vec::new();
    for (server, (abouts, commands)) in by_server {
        let link = links.get_mut(server).ok_or_else(Fault::unexpected_reply)?;
        all.extend(abouts.into_iter().zip(link.pipeline(commands, deadline).await?));
    }
    Ok(all)
}

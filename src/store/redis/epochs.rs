//! Epochs that stand for many tokens, remembered while it is certain that they are still so: of all tokens, of a client,
//! and of a group of users.
//!
//! With them a token costs one read, and not five, when its answer is in no near cache. What they rest on is what every
//! answer from memory rests on (see [`crate::coherence`]): each was sampled before it was read, and whoever answers from
//! one has sampled its name before it asks for it here.
//!
//! Word of a user's epoch may come before word of the group's, which lies on another primary of a cluster: then the
//! user's has been read, and what is remembered of the group does not know of it yet. Nobody has been told so far that
//! the tokens are revoked; but what this node has said to be over must stay so. So the latest epoch that was seen of any
//! user of a group counts as the group's from then on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cache::near::{Kept, Limits, NearCache, Weigh};
use crate::cache::observe::{CacheName, CacheObserver};
use crate::cache::sample::Sample;
use crate::coherence::Coherence;
use crate::coherence::name::{Name, UserGroup};
use crate::store::Around;
use crate::token::epoch::{Epoch, EpochAxis};
use crate::token::record::Reason;
use crate::token::time::Stamp;

/// How epochs are remembered.
#[derive(Clone)]
pub struct Remembering {
    /// For how long at most, whatever was heard.
    pub max_age: Duration,
    /// Who is told.
    pub observer: Arc<dyn CacheObserver>,
}

/// The memory. One for the whole process.
pub(super) struct EpochMemory {
    near: NearCache<Whose, Remembered>,
    /// For each group the latest epoch that was read of a user of it; 0 for none.
    seen: Box<[AtomicU64]>,
    coherence: Arc<Coherence>,
}

/// Whose epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    Issuer,
    Client(Box<str>),
    Group(UserGroup),
}

/// An epoch, or that there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered(pub(super) Option<Epoch>);

/// What is remembered of the epochs around a token; `None` of what has to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) issuer: Option<Remembered>,
    pub(super) client: Option<Remembered>,
    pub(super) group: Option<Remembered>,
}

/// What was known of an epoch before it was read.
pub(super) struct Asked {
    whose: Whose,
    sample: Sample,
}

/// Clients whose epochs are remembered: as many as there are clients remembered elsewhere.
const CLIENTS: u64 = 10_000;

impl EpochMemory {
    pub(super) fn new(remembering: Remembering, coherence: &Arc<Coherence>) -> Self {
        let Remembering { max_age, observer } = remembering;
        let limits = Limits { capacity: CLIENTS + u64::from(UserGroup::COUNT) + 1, usual: 1, max_age };
        let near = NearCache::new(CacheName::Epochs, limits, Arc::clone(coherence), observer);
        let seen = (0..UserGroup::COUNT).map(|_| AtomicU64::new(0)).collect();
        Self { near, seen, coherence: Arc::clone(coherence) }
    }

    /// What is certain at this moment.
    pub(super) fn around(&self, around: &Around<'_>) -> Known {
        let at = self.coherence.now();
        let get = |whose| self.near.get(&whose, at).map(|kept| kept.value);
        Known {
            issuer: get(Whose::Issuer),
            client: get(Whose::Client(around.client_id.into())),
            group: around.subject.map(UserGroup::of).and_then(|group| {
                let Remembered(known) = get(Whose::Group(group))?;
                Some(Remembered(later(known, self.latest_seen(group))))
            }),
        }
    }

    /// Notes the epoch of a user, or of a client and a user, that was read. To be called before anything is concluded
    /// from it.
    pub(super) fn saw(&self, subject: &str, epoch: Epoch) {
        self.seen[UserGroup::of(subject).place()].fetch_max(epoch.until.0, Ordering::AcqRel);
    }

    fn latest_seen(&self, group: UserGroup) -> Option<Epoch> {
        let until = self.seen[group.place()].load(Ordering::Acquire);
        // Only what it covers matters here, and not why.
        (until > 0).then_some(Epoch { until: Stamp(until), reason: Reason::BULK })
    }

    /// To be called before the epoch is read.
    pub(super) fn asking(&self, whose: Whose) -> Asked {
        let sample = Sample::take(&self.coherence, [whose.name()]);
        Asked { whose, sample }
    }

    /// Remembers what was read, and says what is to be gone by. Epochs never go back: that of all tokens is raised on one
    /// primary after another, and whoever has seen it on the first may ask the last one next.
    pub(super) fn learn(&self, asked: Asked, read: Option<Epoch>) -> Option<Epoch> {
        let known = self.near.recall(&asked.whose, self.coherence.now()).and_then(|kept| kept.value.0);
        let epoch = later(known, read);
        self.near.keep(asked.whose, Arc::new(Kept { sample: asked.sample, value: Remembered(epoch) }));
        epoch
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.near.len()
    }
}

/// The later of two epochs.
fn later(one: Option<Epoch>, other: Option<Epoch>) -> Option<Epoch> {
    one.into_iter().chain(other).max_by_key(|epoch| epoch.until)
}

impl Remembered {
    /// Whether a token of this origin is covered.
    pub(super) fn covers(self, origin: Stamp) -> bool {
        self.0.is_some_and(|epoch| origin <= epoch.until)
    }
}

impl Whose {
    fn name(&self) -> Name<'_> {
        match self {
            Self::Issuer => Name::Epoch(EpochAxis::Issuer),
            Self::Client(client_id) => Name::Epoch(EpochAxis::Client(client_id)),
            Self::Group(group) => Name::Users(*group),
        }
    }
}

impl Weigh for Remembered {
    /// They are counted, not weighed.
    fn weight(&self) -> u64 {
        1
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Remembering").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

//! When something was broken, for whom, and what that explains.

use crate::history::Moment;
use crate::history::fault::Fault;

/// Which shards: one bit for each. All of them when nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards(pub u64);

impl Shards {
    /// Everything.
    pub const ALL: Self = Self(u64::MAX);

    /// Those of a list; `None` when a number is too large.
    pub fn of(list: &[u8]) -> Option<Self> {
        list.iter().try_fold(0, |bits, shard| Some(bits | 1_u64.checked_shl(u32::from(*shard))?)).map(Self)
    }

    /// Whether they have any in common.
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A question that was asked of a node: when, of whom, and which shards the answer rests on.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Before it was asked.
    pub begin: Moment,
    /// After it was answered.
    pub end: Moment,
    /// Of whom.
    pub node: u16,
    /// What the answer rests on.
    pub shards: Shards,
}

/// What faults there were.
#[derive(Debug, Default)]
pub struct Faults {
    faults: Vec<Kept>,
    grace: u64,
}

#[derive(Debug)]
struct Kept {
    begin: Moment,
    end: Moment,
    shards: Shards,
    nodes: Option<Vec<u16>>,
    silent: Option<(Moment, Moment)>,
    loses_since: Option<Moment>,
    undoes_since: Option<Moment>,
    event: usize,
}

impl Kept {
    fn hits_node(&self, node: u16) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(&node))
    }
}

/// What faults say to an answer of 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// One explains it.
    Fault,
    /// There is one, but on shards that the answer does not rest on: which event it is.
    OtherShard(usize),
    /// There is none.
    None,
}

impl Faults {
    /// None yet, with this many nanoseconds to recover from each.
    pub fn new(grace: u64) -> Self {
        Self { faults: Vec::new(), grace }
    }

    /// Adds one; `None` when it names a shard that there cannot be.
    pub fn push(&mut self, fault: &Fault, event: usize) -> Option<()> {
        let shards = fault.shards.as_deref().map_or(Some(Shards::ALL), Shards::of)?;
        self.faults.push(Kept {
            begin: fault.begin,
            end: fault.end.unwrap_or(Moment::MAX),
            shards,
            nodes: fault.nodes.clone(),
            silent: fault.silent,
            loses_since: fault.loses_since,
            undoes_since: fault.undoes_since,
            event,
        });
        Some(())
    }

    /// From when on a failover may have undone what was written between these moments; [`Moment::MAX`] when none may.
    pub fn lost_from(&self, begin: Moment, end: Moment) -> Moment {
        self.first(begin, end, |fault| fault.loses_since)
    }

    /// The same of an approval: a node that has not heard of it may undo it, too.
    pub fn undone_from(&self, begin: Moment, end: Moment) -> Moment {
        self.lost_from(begin, end).min(self.first(begin, end, |fault| fault.undoes_since))
    }

    /// When the first of the faults begins that hit what was done between these moments; each hits what was done from
    /// `since` until it is over.
    fn first(&self, begin: Moment, end: Moment, since: impl Fn(&Kept) -> Option<Moment>) -> Moment {
        let hits = |fault: &&Kept| since(fault).is_some_and(|since| since <= end && begin <= fault.end);
        self.faults.iter().filter(hits).map(|fault| fault.begin).min().unwrap_or(Moment::MAX)
    }

    /// Whether there was a failover between these moments.
    pub fn has_failover(&self, begin: Moment, end: Moment) -> bool {
        self.faults.iter().any(|fault| fault.loses_since.is_some() && fault.begin <= end && begin <= fault.end)
    }

    /// Until when the node can be sure to have heard of everything that the answer rests on: before the first of the
    /// faults that hit it at the time, or when it was asked.
    pub fn heard_until(&self, asked: Asked) -> Moment {
        let hit = |fault: &&Kept| {
            let over = fault.end.saturating_add(self.grace);
            fault.hits_node(asked.node)
                && fault.shards.meet(asked.shards)
                && fault.begin <= asked.end
                && asked.begin <= over
        };
        self.faults.iter().filter(hit).map(|fault| fault.begin).fold(asked.begin, Moment::min)
    }

    /// What explains that there was no answer.
    pub fn excuse(&self, asked: Asked) -> Excuse {
        let mut excuse = Excuse::None;
        for fault in self.faults.iter().filter(|fault| fault.hits_node(asked.node)) {
            let meets = |begin: Moment, end: Moment| begin <= asked.end && asked.begin <= end;
            if !meets(fault.begin, fault.end.saturating_add(self.grace)) {
                continue;
            }
            // Who is the primary of what has to be made out anew when a shard goes and when it comes back.
            let settling = |moment: Moment| meets(moment, moment.saturating_add(self.grace));
            if fault.shards.meet(asked.shards) || settling(fault.begin) || settling(fault.end) {
                return Excuse::Fault;
            }
            excuse = Excuse::OtherShard(fault.event);
        }
        excuse
    }

    /// The fault during which nobody can have vouched for an answer to this, as it came a whole lease after the last
    /// that was heard of a shard on which the answer rests.
    pub fn silence(&self, asked: Asked, lease: u64) -> Option<usize> {
        let deaf = self.faults.iter().find(|fault| {
            fault.silent.is_some_and(|(from, to)| from.saturating_add(lease) < asked.begin && asked.end < to)
                && fault.hits_node(asked.node)
                && fault.shards.meet(asked.shards)
        });
        deaf.map(|fault| fault.event)
    }

    /// Whether there is any fault of which nobody hears anything.
    pub fn has_silence(&self) -> bool {
        self.faults.iter().any(|fault| fault.silent.is_some())
    }
}

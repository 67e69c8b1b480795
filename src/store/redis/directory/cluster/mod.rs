//! The primaries of a Redis Cluster by the word of its nodes.
//!
//! All nodes are the electorate, primaries and replicas: a majority of all that the cluster knows of must say that the
//! same nodes have the same slots. Primaries alone are too few. A replica that takes over is one of them then and the
//! one it replaces is not, so that each of the two could find a majority of "the primaries" without any member of the
//! other's. The number of all nodes stays the same in a failover. Nodes that are gone for good must be forgotten
//! (`CLUSTER FORGET`): until then they count.
//!
//! The number of the current epoch would not do instead of the slots: those who vote for a replica count it up when
//! they do, and hear later that the replica has won.
//!
//! What a node says of slots moves forward only: it gives a slot to another node after it has heard of a configuration
//! with a higher epoch, and keeps that on disk (Redis Cluster specification, "Rule 1" and "Rule 2" of "Hash slots
//! configuration propagation"). Replicas are asked for nothing else.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use self::report::{Layout, NodeId, Report};
use super::View;
use super::member::{Answer, Member};
use super::slots::SlotMap;
use crate::store::redis::dial::Address;
use crate::store::redis::endpoint::Endpoint;
use crate::store::redis::fault::Fault;

/// The nodes of a cluster.
pub(in crate::store::redis) struct Cluster {
    endpoint: Endpoint,
    seed: u64,
    /// The nodes that are configured, which are asked whatever others say.
    configured: Vec<Address>,
    members: BTreeMap<Address, Known>,
    /// The questions on their way; ended with it.
    asking: JoinSet<()>,
    agreed: Option<Agreed>,
}

struct Known {
    member: Member,
    /// When a node last said that it belongs to the cluster.
    named_at: Instant,
}

/// What a majority has last agreed on.
struct Agreed {
    layout: Layout,
    view: View,
    /// Of how many nodes the majority was one.
    electorate: usize,
}

/// How many nodes are asked at the most: as many as a cluster may have by the specification.
const MOST_MEMBERS: usize = 1_000;
/// How long a node is asked that no other one names any more.
const REMEMBERED: Duration = Duration::from_mins(1);

impl Cluster {
    /// Starts to keep up a connection to each node that is configured. Others are found by what these say.
    pub(super) fn new(endpoint: &Endpoint, configured: Vec<Address>, seed: u64) -> Self {
        let (members, asking) = (BTreeMap::new(), JoinSet::new());
        let mut cluster =
            Self { endpoint: endpoint.clone(), seed, configured: configured.clone(), members, asking, agreed: None };
        for address in configured {
            cluster.meet(address, Instant::now());
        }
        cluster
    }

    /// Asks all of them, and those whom they name.
    pub(super) async fn look(&mut self, deadline: Instant) -> Result<View, Fault> {
        while self.asking.try_join_next().is_some() {}
        let began = Instant::now();
        let (configured, last) = (&self.configured, began.checked_sub(REMEMBERED));
        self.members
            .retain(|address, known| configured.contains(address) || last.is_none_or(|last| known.named_at >= last));
        let (sender, mut answers) = mpsc::unbounded_channel();
        let question = self.question();
        for known in self.members.values() {
            known.member.ask(question.clone(), deadline, sender.clone(), &mut self.asking);
        }
        let mut open = self.members.len();
        // Nodes join a cluster and leave it one by one, so that majorities before and after share a member.
        let least = self.agreed.as_ref().map_or(0, |agreed| agreed.electorate.saturating_sub(1));
        let mut ballot = Ballot::default();
        let mut fault = None;
        while open > 0
            && let Ok(Some(Answer { from, replies })) = timeout_at(deadline, answers.recv()).await
        {
            open -= 1;
            match replies.and_then(|replies| Report::read(replies, &from)) {
                Ok(report) => {
                    for address in report.nodes() {
                        if self.meet(address.clone(), began)
                            && let Some(known) = self.members.get(address)
                        {
                            known.member.ask(question.clone(), deadline, sender.clone(), &mut self.asking);
                            open += 1;
                        }
                    }
                    ballot.count(report);
                }
                Err(of_one) => fault = fault.or(Some(of_one)),
            }
            // As long as nothing was ever agreed on, a node that belongs to no cluster, and so agrees with all nodes
            // that it knows of, must not be the first and only one that is heard.
            if self.agreed.is_some()
                && let Some(choice) = ballot.majority(least)
            {
                return Ok(self.adopt(choice));
            }
        }
        if let Some(choice) = ballot.majority(least.max(ballot.electorate())) {
            return Ok(self.adopt(choice));
        }
        Err(ballot.failure().or(fault).unwrap_or_else(Fault::silence))
    }

    /// What every node is asked: who it is, how many nodes it knows, and who has which slots. As long as not all of them
    /// are known here, also where they are.
    fn question(&self) -> Vec<Cmd> {
        let complete = self.agreed.as_ref().is_some_and(|agreed| agreed.electorate <= self.members.len());
        let what = ["MYID", "INFO", "SLOTS", "NODES"].into_iter().take(if complete { 3 } else { 4 });
        what.map(|what| redis::cmd("CLUSTER").arg(what).take()).collect()
    }

    /// Whether there was nobody at this address yet, and is now.
    fn meet(&mut self, address: Address, now: Instant) -> bool {
        if let Some(known) = self.members.get_mut(&address) {
            known.named_at = now;
            return false;
        }
        if self.members.len() >= MOST_MEMBERS {
            return false;
        }
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let member = Member::start(address.clone(), self.endpoint.clone(), None, self.seed);
        self.members.insert(address, Known { member, named_at: now });
        true
    }

    fn adopt(&mut self, choice: Choice) -> View {
        let before = self.agreed.take();
        let epoch = choice.epoch.max(before.as_ref().map_or(0, |before| before.view.epoch));
        let electorate = choice.electorate;
        let (primaries, owners) = choice.primaries();
        let slots = match before {
            Some(before) if before.layout == choice.layout && before.view.primaries == primaries => before.view.slots,
            _ => {
                let mut slots = SlotMap::empty();
                for (range, owner) in choice.layout.ranges().iter().zip(owners) {
                    slots.assign(range.first, range.last, owner);
                }
                Arc::new(slots)
            }
        };
        let view = View { primaries, slots, epoch };
        self.agreed = Some(Agreed { layout: choice.layout, view: view.clone(), electorate });
        view
    }
}

/// What was said in one look.
#[derive(Default)]
struct Ballot {
    choices: Vec<Choice>,
}

/// Who says the same of all slots.
#[derive(Clone)]
struct Choice {
    layout: Layout,
    /// Each node once, by however many addresses it was asked.
    voters: BTreeSet<NodeId>,
    /// The most nodes that one of them knows of.
    electorate: usize,
    /// The latest epoch that one of them knows of.
    epoch: u64,
    /// Where each primary is, and how many say so.
    addresses: BTreeMap<NodeId, BTreeMap<Address, usize>>,
}

impl Ballot {
    fn count(&mut self, report: Report) {
        let place = self.choices.iter().position(|choice| choice.layout == report.layout).unwrap_or_else(|| {
            let (voters, addresses) = Default::default();
            let layout = report.layout.clone();
            self.choices.push(Choice { layout, voters, electorate: 0, epoch: 0, addresses });
            self.choices.len() - 1
        });
        let choice = &mut self.choices[place];
        choice.electorate = choice.electorate.max(report.known);
        choice.epoch = choice.epoch.max(report.epoch);
        if choice.voters.insert(report.node) {
            for (node, address) in report.primaries {
                *choice.addresses.entry(node).or_default().entry(address).or_default() += 1;
            }
        }
    }

    /// What a majority says: of as many nodes as they know of, and of this many at least.
    fn majority(&self, electorate: usize) -> Option<Choice> {
        let is_majority = |choice: &&Choice| 2 * choice.voters.len() > choice.electorate.max(electorate);
        self.choices.iter().find(is_majority).cloned()
    }

    /// The most nodes that anybody knows of.
    fn electorate(&self) -> usize {
        self.choices.iter().map(|choice| choice.electorate).max().unwrap_or_default()
    }

    /// Why there is no majority, if that is what the nodes say.
    fn failure(&self) -> Option<Fault> {
        match self.choices.len() {
            0 => None,
            1 => Some(Fault::unavailable("too few nodes of the cluster say which of them has which slots")),
            _ => Some(Fault::unavailable("the nodes of the cluster do not agree on which of them has which slots")),
        }
    }
}

impl Choice {
    /// The addresses of the primaries in the order of their first slots, and the place of its owner for each range.
    fn primaries(&self) -> (Vec<Address>, Vec<usize>) {
        let (mut nodes, mut primaries, mut owners) = (Vec::<&NodeId>::new(), Vec::new(), Vec::new());
        for range in self.layout.ranges() {
            let place = nodes.iter().position(|node| **node == range.owner).unwrap_or_else(|| {
                nodes.push(&range.owner);
                primaries.extend(self.address(&range.owner));
                nodes.len() - 1
            });
            owners.push(place);
        }
        (primaries, owners)
    }

    /// Where most say that a primary is.
    fn address(&self, node: &NodeId) -> Option<Address> {
        let named = self.addresses.get(node)?;
        named.iter().max_by_key(|(_, count)| **count).map(|(address, _)| address.clone())
    }
}

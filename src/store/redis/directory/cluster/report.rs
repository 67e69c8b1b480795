//! What one node of a cluster says of all of them, read strictly.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value;

use super::super::slots::{SLOTS, number, parse_host};
use crate::store::redis::dial::Address;
use crate::store::redis::endpoint::text;
use crate::store::redis::fault::Fault;
use crate::store::redis::link::accept;

/// What a node calls itself, whatever its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(Box<str>);

/// Who has which slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout(Vec<Range>);

/// Slots in a row of one primary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) first: u16,
    /// Included.
    pub(super) last: u16,
    pub(super) owner: NodeId,
}

/// What one node says.
#[derive(Debug)]
pub(super) struct Report {
    /// Who says it.
    pub(super) node: NodeId,
    /// How many nodes it knows of, itself included.
    pub(super) known: usize,
    /// The latest epoch that it knows of.
    pub(super) epoch: u64,
    pub(super) layout: Layout,
    /// Where the primaries are that have slots.
    pub(super) primaries: BTreeMap<NodeId, Address>,
    /// Where other nodes are, as far as that is said.
    others: BTreeSet<Address>,
}

impl Report {
    /// Reads what the node at `asked` replied to `CLUSTER MYID`, `CLUSTER INFO`, `CLUSTER SLOTS` and, if it was asked
    /// that too, `CLUSTER NODES`.
    pub(super) fn read(replies: Vec<Value>, asked: &Address) -> Result<Self, Fault> {
        let mut replies = replies.into_iter();
        let (Some(id), Some(info), Some(slots)) = (replies.next(), replies.next(), replies.next()) else {
            return Err(Fault::unexpected_reply());
        };
        let node = NodeId::read(&accept(id)?).ok_or_else(Fault::unexpected_reply)?;
        let info = accept(info)?;
        let info = text(&info).ok_or_else(Fault::unexpected_reply)?;
        let member = |name: &str| {
            let value = |line: &'_ str| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned());
            info.lines().find_map(value).ok_or_else(Fault::unexpected_reply)
        };
        let count = |name: &str| member(name)?.parse::<u64>().map_err(|_| Fault::unexpected_reply());
        if member("cluster_state")? != "ok" {
            return Err(Fault::unavailable("a node of the cluster holds the cluster to be down"));
        }
        let (known, epoch) = (count("cluster_known_nodes")?, count("cluster_current_epoch")?);
        let mut report = Self {
            node,
            known: usize::try_from(known).map_err(|_| Fault::unexpected_reply())?,
            epoch,
            layout: Layout(Vec::new()),
            primaries: BTreeMap::new(),
            others: BTreeSet::new(),
        };
        report.read_slots(accept(slots)?, asked).ok_or_else(Fault::unexpected_reply)?;
        // It only helps to find those who can be asked: without it, or with a part of it, fewer are found.
        if let Some(nodes) = replies.next().as_ref().and_then(text) {
            report.read_nodes(nodes, asked);
        }
        Ok(report)
    }

    /// Everybody who is named.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Address> {
        self.primaries.values().chain(&self.others)
    }

    fn read_slots(&mut self, reply: Value, asked: &Address) -> Option<()> {
        let Value::Array(entries) = reply else { return None };
        let mut ranges = Vec::with_capacity(entries.len());
        for entry in &entries {
            let Value::Array(parts) = entry else { return None };
            let [Value::Int(first), Value::Int(last), primary, replicas @ ..] = parts.as_slice() else { return None };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            let (owner, address) = read_node(primary, asked)?;
            let address = address?;
            // One node is at one place.
            if *self.primaries.entry(owner.clone()).or_insert_with(|| address.clone()) != address {
                return None;
            }
            ranges.push(Range { first, last, owner });
            for replica in replicas {
                // Where a replica is matters to nobody whose keys it does not have.
                self.others.extend(read_node(replica, asked)?.1);
            }
        }
        self.layout = Layout::new(ranges)?;
        Some(())
    }

    /// Finds the nodes that `CLUSTER SLOTS` leaves out: replicas that have not replicated anything yet, or are held to
    /// be down.
    fn read_nodes(&mut self, nodes: &str, asked: &Address) {
        let nodes: Vec<_> = nodes.lines().filter_map(|line| Listed::read(line, asked)).collect();
        // Whether clients are to call nodes by their names is a setting that shows in the slots alone.
        let by_name = nodes.iter().any(|node| {
            let slots = self.primaries.get(&node.id);
            matches!(slots, Some(Address::Tcp { host, .. }) if Some(&**host) == node.name)
        });
        for node in nodes {
            let host = if by_name { node.name } else { node.host };
            self.others.extend(host.map(|host| Address::tcp(host, node.port)));
        }
    }
}

/// A line of `CLUSTER NODES`, as far as it is needed: `id ip:port@bus,name flags` and more.
struct Listed<'a> {
    id: NodeId,
    host: Option<&'a str>,
    port: u16,
    name: Option<&'a str>,
}

impl<'a> Listed<'a> {
    /// `None` for a node that cannot be reached or does not belong to the cluster yet.
    fn read(line: &'a str, asked: &'a Address) -> Option<Self> {
        let mut words = line.split(' ');
        let (id, place, flags) = (words.next()?, words.next()?, words.next()?);
        if flags.split(',').any(|flag| matches!(flag, "handshake" | "noaddr")) {
            return None;
        }
        let (place, beside) = place.split_once('@')?;
        let (host, port) = place.rsplit_once(':')?;
        let host = match (host, asked) {
            ("", Address::Tcp { host, .. }) => Some(&**host),
            (host, _) => parse_host(host),
        };
        let name = beside.split(',').nth(1).and_then(parse_host);
        Some(Self { id: NodeId::parse(id)?, host, port: number(port).filter(|&port| port != 0)?, name })
    }
}

impl Layout {
    /// `None` when there is no such slot, or two have the same one, or nobody has any.
    fn new(mut ranges: Vec<Range>) -> Option<Self> {
        ranges.sort_unstable();
        let mut merged = Vec::<Range>::new();
        for range in ranges {
            if range.first > range.last || usize::from(range.last) >= SLOTS {
                return None;
            }
            match merged.last_mut() {
                Some(before) if before.last >= range.first => return None,
                Some(before) if before.last + 1 == range.first && before.owner == range.owner => {
                    before.last = range.last;
                }
                _ => merged.push(range),
            }
        }
        (!merged.is_empty()).then_some(Self(merged))
    }

    /// In the order of the slots, none beside another of the same primary.
    pub(super) fn ranges(&self) -> &[Range] {
        &self.0
    }
}

impl NodeId {
    fn read(value: &Value) -> Option<Self> {
        Self::parse(text(value)?)
    }

    fn parse(id: &str) -> Option<Self> {
        let fits = (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self(id.into()))
    }
}

/// Redis' own have 40.
const MAX_ID_BYTES: usize = 64;

/// The id of a node, and its address if the one that was asked knows it. Without a host it is that of the node asked.
fn read_node(node: &Value, asked: &Address) -> Option<(NodeId, Option<Address>)> {
    let Value::Array(parts) = node else { return None };
    // What comes after these three is for people.
    let [host, Value::Int(port), id, ..] = parts.as_slice() else { return None };
    let port = u16::try_from(*port).ok().filter(|&port| port != 0)?;
    let host = match (host, text(host), asked) {
        (Value::Nil, ..) | (_, Some(""), _) => match asked {
            Address::Tcp { host, .. } => Some(&**host),
            Address::Unix(_) => return None,
        },
        (_, Some(UNKNOWN), _) => None,
        (_, host, _) => Some(parse_host(host?)?),
    };
    Some((NodeId::read(id)?, host.map(|host| Address::tcp(host, port))))
}

/// What stands for a host name that a node does not announce, where nodes are to be called by their names.
const UNKNOWN: &str = "?";

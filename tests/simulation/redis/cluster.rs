//! What a member of a Redis Cluster knows of the cluster, and which commands it takes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::keyspace::Keyspace;
use super::resp::Reply;
use super::server::{ServerId, unknown};
use crate::network::Address;

pub(crate) const SLOTS: u16 = 16384;

/// Consecutive slots and the server that has them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) owner: ServerId,
}

/// The view of one member.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) own: ServerId,
    /// `cluster_current_epoch`: the latest of which it has heard.
    pub(crate) epoch: u64,
    /// Whether it is in touch with the majority.
    pub(crate) ok: bool,
    /// `configEpoch`: in which epoch each of the others was last elected, as far as it has heard.
    pub(crate) elected: BTreeMap<ServerId, u64>,
    /// In order, all slots.
    pub(crate) ranges: Vec<Range>,
    /// Where everybody is.
    pub(crate) addresses: BTreeMap<ServerId, Address>,
    pub(crate) leaving: BTreeMap<u16, ServerId>,
    pub(crate) arriving: BTreeMap<u16, ServerId>,
}

impl Membership {
    pub(crate) fn owner(&self, slot: u16) -> ServerId {
        let range = self.ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        range.expect("all slots are assigned").owner
    }

    /// Gives slots to another owner.
    pub(crate) fn assign(&mut self, slots: impl IntoIterator<Item = u16>, owner: ServerId) {
        let owners = |range: &Range| (range.first..=range.last).map(|_| range.owner).collect::<Vec<_>>();
        let mut owners: Vec<_> = self.ranges.iter().flat_map(owners).collect();
        for slot in slots {
            owners[usize::from(slot)] = owner;
        }
        self.ranges = ranges(&owners);
    }

    /// Gives everything that one has to another, who was elected in an epoch, unless it was elected later itself.
    pub(crate) fn inherit(&mut self, from: ServerId, to: ServerId, epoch: u64) {
        self.elected.insert(to, epoch.max(self.elected.get(&to).copied().unwrap_or_default()));
        if self.elected.get(&from).is_some_and(|later| *later > epoch) {
            return;
        }
        for range in self.ranges.iter_mut().filter(|range| range.owner == from) {
            range.owner = to;
        }
    }

    /// Whether a command about these keys is taken.
    pub(super) fn admit(&self, keyspace: &Keyspace, keys: &[Vec<u8>], asking: bool) -> Result<(), String> {
        let Some(first) = keys.first() else { return Ok(()) };
        let slot = slot_of(first);
        if keys[1..].iter().any(|key| slot_of(key) != slot) {
            return Err("CROSSSLOT Keys in request don't hash to the same slot".to_owned());
        }
        if !self.ok {
            return Err("CLUSTERDOWN The cluster is down".to_owned());
        }
        let there = keys.iter().filter(|key| keyspace.entry(key).is_some()).count();
        let owner = self.owner(slot);
        if owner == self.own {
            return match self.leaving.get(&slot) {
                Some(_) if there == keys.len() => Ok(()),
                Some(_) if there > 0 => Err(TRY_AGAIN.to_owned()),
                Some(to) => Err(self.redirection("ASK", slot, *to)),
                None => Ok(()),
            };
        }
        if asking && self.arriving.contains_key(&slot) {
            return if keys.len() > 1 && there > 0 && there < keys.len() { Err(TRY_AGAIN.to_owned()) } else { Ok(()) };
        }
        Err(self.redirection("MOVED", slot, owner))
    }

    fn redirection(&self, kind: &str, slot: u16, to: ServerId) -> String {
        let Address { host, port } = &self.addresses[&to];
        format!("{kind} {slot} {host}:{port}")
    }

    pub(super) fn answer(&self, arguments: &[Vec<u8>]) -> Reply {
        let word = arguments.first().map(|word| String::from_utf8_lossy(word).to_uppercase());
        match word.as_deref() {
            Some("INFO") => Reply::bulk(format!(
                "cluster_enabled:1\r\ncluster_state:{}\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
                 cluster_known_nodes:{}\r\ncluster_current_epoch:{}\r\ncluster_my_epoch:1\r\n",
                if self.ok { "ok" } else { "fail" },
                self.addresses.len(),
                self.epoch
            )),
            Some("SLOTS") => Reply::Array(self.ranges.iter().map(|range| self.describe(range)).collect()),
            Some("NODES") => Reply::bulk(self.list()),
            Some("MYID") => Reply::bulk(format!("{:040x}", self.own)),
            _ => unknown("CLUSTER", arguments),
        }
    }

    /// What `CLUSTER NODES` says, as far as anybody reads it.
    fn list(&self) -> String {
        let line = |(id, address): (&ServerId, &Address)| {
            let Address { host, port } = address;
            let own = if *id == self.own { "myself," } else { "" };
            let role = if self.ranges.iter().any(|range| range.owner == *id) { "master" } else { "slave" };
            format!("{id:040x} {host}:{port}@1{port} {own}{role} - 0 0 {} connected\n", self.epoch)
        };
        self.addresses.iter().map(line).collect()
    }

    fn describe(&self, range: &Range) -> Reply {
        let Address { host, port } = &self.addresses[&range.owner];
        let owner = vec![
            Reply::bulk(host),
            Reply::Integer(i64::from(*port)),
            Reply::bulk(format!("{:040x}", range.owner)),
            Reply::Array(Vec::new()),
        ];
        let slot = |slot: u16| Reply::Integer(i64::from(slot));
        Reply::Array(vec![slot(range.first), slot(range.last), Reply::Array(owner)])
    }
}

const TRY_AGAIN: &str = "TRYAGAIN Multiple keys request during rehashing of slot";

/// Consecutive slots of one owner, in order.
pub(crate) fn ranges(owners: &[ServerId]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for (slot, owner) in (0..SLOTS).zip(owners) {
        match ranges.last_mut() {
            Some(range) if range.owner == *owner => range.last = slot,
            _ => ranges.push(Range { first: slot, last: slot, owner: *owner }),
        }
    }
    ranges
}

/// The slot of a key: that of what stands in the first braces, if anything does.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC16 of XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let place = usize::from((crc >> 8) ^ u16::from(*byte));
        (crc << 8) ^ TABLE[place]
    })
}

/// What each byte does to it.
static TABLE: LazyLock<[u16; 256]> = LazyLock::new(|| {
    let shift = |crc: u16| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    std::array::from_fn(|byte| {
        let byte = u16::try_from(byte).expect("there are 256");
        (0..8).fold(byte << 8, |crc, _| shift(crc))
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_elections_the_later_counts_in_whichever_order_they_are_heard_of() {
        let member = || Membership {
            own: 1,
            epoch: 3,
            ok: true,
            elected: BTreeMap::new(),
            ranges: ranges(&vec![0; usize::from(SLOTS)]),
            addresses: BTreeMap::new(),
            leaving: BTreeMap::new(),
            arriving: BTreeMap::new(),
        };
        let (mut early, mut late) = (member(), member());
        early.inherit(0, 3, 4);
        assert_eq!(early.owner(7), 3);
        early.inherit(3, 0, 5);
        late.inherit(3, 0, 5);
        late.inherit(0, 3, 4);
        assert_eq!((early.owner(7), late.owner(7)), (0, 0));
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot_of(b"foo{{bar}}zap"), crc16(b"{bar") % SLOTS);
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
    }
}

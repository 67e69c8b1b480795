//! The slots of a Redis Cluster: in which one a key lies, and which primary has it.
//!
//! Source: the Redis Cluster specification, sections "Key distribution model", "Hash tags" and "Redirection".

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use redis::{ServerError, ServerErrorKind};

/// How many slots there are, in every cluster.
pub(in crate::store::redis) const SLOTS: usize = 16_384;

/// The last of them.
const LAST: u16 = 16_383;

/// How many markers of the dataset there are, each in a range of slots of its own.
pub(in crate::store::redis) const MARKERS: usize = 128;

/// The slot of a key.
///
/// Where a key has braces, what stands between the first `{` and the first `}` after it decides alone, unless that is
/// nothing.
pub(in crate::store::redis) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let after = &key[open + 1..];
        let close = after.iter().position(|&byte| byte == b'}')?;
        (close > 0).then_some(&after[..close])
    });
    crc16(tag.unwrap_or(key)) % 16_384
}

/// The hash tag of the marker of a range of slots: the smallest decimal number whose slot lies in it.
///
/// # Panics
/// When there is no such range, from [`MARKERS`] on.
pub(in crate::store::redis) fn marker_tag(range: usize) -> &'static str {
    &MARKER_TAGS[range].0
}

/// The slot of the marker of a range.
pub(in crate::store::redis) fn marker_slot(range: usize) -> u16 {
    MARKER_TAGS[range].1
}

/// The hash tags of all markers, with their slots.
static MARKER_TAGS: LazyLock<Box<[(String, u16)]>> = LazyLock::new(|| {
    let mut tags = vec![(String::new(), 0); MARKERS];
    let mut missing = MARKERS;
    for number in 0_u32.. {
        if missing == 0 {
            break;
        }
        let number = number.to_string();
        let slot = slot_of(number.as_bytes());
        let place = &mut tags[usize::from(slot) / (SLOTS / MARKERS)];
        if place.0.is_empty() {
            *place = (number, slot);
            missing -= 1;
        }
    }
    tags.into()
});

// === SlotMap ===

/// Which primary has each slot: its place in the list of primaries.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::store::redis) struct SlotMap(Box<[u16]>);

impl SlotMap {
    /// Nobody has it.
    const NOBODY: u16 = u16::MAX;

    /// All slots on the first primary.
    pub(in crate::store::redis) fn single() -> Self {
        Self(vec![0; SLOTS].into())
    }

    /// No slot on any.
    pub(in crate::store::redis) fn empty() -> Self {
        Self(vec![Self::NOBODY; SLOTS].into())
    }

    /// Gives the slots from `first` to `last`, both included, to a primary. Slots beyond the last one, and primaries
    /// beyond the 65,534th, which no cluster has, are passed over.
    pub(in crate::store::redis) fn assign(&mut self, first: u16, last: u16, primary: usize) {
        let last = usize::from(last).min(SLOTS - 1);
        if let (Some(slots), Ok(primary)) = (self.0.get_mut(usize::from(first)..=last), u16::try_from(primary)) {
            slots.fill(primary);
        }
    }

    /// The place of the primary that has a slot; `None` when nobody has.
    pub(in crate::store::redis) fn owner(&self, slot: u16) -> Option<usize> {
        let owner = *self.0.get(usize::from(slot))?;
        (owner != Self::NOBODY).then_some(usize::from(owner))
    }

    /// The slots that a primary, at one place here and at another in a later map, has there and not here.
    pub(in crate::store::redis) fn gained(&self, own: usize, later: &Self, place: usize) -> SlotSet {
        let is_new = |slot: &u16| later.owner(*slot) == Some(place) && self.owner(*slot) != Some(own);
        SlotSet((0..=LAST).filter(is_new).collect())
    }

    /// The ranges whose markers lie on a primary. One that has a few slots only may have none of them.
    pub(in crate::store::redis) fn markers_of(&self, primary: usize) -> impl Iterator<Item = usize> {
        (0..MARKERS).filter(move |&range| self.owner(marker_slot(range)) == Some(primary))
    }
}

/// The ranges, of which 16,384 numbers would say less.
impl fmt::Debug for SlotMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = formatter.debug_map();
        let mut first = 0;
        for range in self.0.chunk_by(|one, next| one == next) {
            let last = first + range.len() - 1;
            map.entry(&(first..=last), &(range[0] != Self::NOBODY).then_some(range[0]));
            first = last + 1;
        }
        map.finish()
    }
}

/// Some slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store::redis) struct SlotSet(BTreeSet<u16>);

impl SlotSet {
    /// Whether a slot is among them.
    pub(in crate::store::redis) fn holds(&self, slot: u16) -> bool {
        self.0.contains(&slot)
    }

    /// Whether there are none.
    pub(in crate::store::redis) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and others.
    pub(in crate::store::redis) fn and(&self, others: &Self) -> Self {
        Self(self.0.union(&others.0).copied().collect())
    }
}

// === Redirect ===

/// Where a node sends whoever asks it for a key that it does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::redis) struct Redirect {
    /// For how long it holds.
    pub(in crate::store::redis) kind: RedirectKind,
    /// The slot that it is about.
    pub(in crate::store::redis) slot: u16,
    /// The host; `None` for that of the node which was asked.
    pub(in crate::store::redis) host: Option<Box<str>>,
    /// The port, which is not 0.
    pub(in crate::store::redis) port: u16,
}

/// For how long a [`Redirect`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::redis) enum RedirectKind {
    /// `MOVED`: the other node has the slot. The view is out of date.
    Moved,
    /// `ASK`: this once, after `ASKING`: the slot is on its way, and the key not or no longer where it was.
    Ask,
}

impl Redirect {
    /// What an error says, if it is one of these two.
    pub(in crate::store::redis) fn of(error: &ServerError) -> Option<Self> {
        let kind = match error.kind()? {
            ServerErrorKind::Moved => RedirectKind::Moved,
            ServerErrorKind::Ask => RedirectKind::Ask,
            _ => return None,
        };
        Self::parse(kind, error.details()?)
    }

    /// `3999 127.0.0.1:6381`. An IPv6 address has no brackets there; without a host it is that of the node asked.
    fn parse(kind: RedirectKind, text: &str) -> Option<Self> {
        let (slot, place) = text.split_once(' ')?;
        let slot = number(slot).filter(|&slot| usize::from(slot) < SLOTS)?;
        let (host, port) = place.rsplit_once(':')?;
        let port = number(port).filter(|&port| port != 0)?;
        let host = match host {
            "" => None,
            host => Some(parse_host(host)?.into()),
        };
        Some(Self { kind, slot, host, port })
    }
}

/// Digits and nothing else, where [`str::parse`] takes a sign too.
pub(super) fn number(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A host as a server of the dataset names it: an address or a name. `?` is how Redis says that it knows none.
pub(super) fn parse_host(host: &str) -> Option<&str> {
    let fits = (1..=MAX_HOST_BYTES).contains(&host.len());
    // What else could be meant by other characters is not for a resolver or a log to find out.
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
    (fits && host.bytes().all(known)).then_some(host)
}

/// The longest name of a host (RFC 1035 section 2.3.4), and its final dot.
const MAX_HOST_BYTES: usize = 254;

// === CRC ===

/// The checksum CRC-16/XMODEM: polynomial 0x1021, no reflection, beginning with 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| (crc << 8) ^ CRC_TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

static CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis::{Value, parse_redis_value};

    use super::*;

    #[test]
    fn redis_cluster_specification_key_distribution_model_the_checksum_is_that_of_the_appendix() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn redis_cluster_specification_hash_tags_what_stands_in_the_first_braces_decides() {
        for (key, decides) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("}{user1000}", "user1000"),
            ("{user1000", "{user1000"),
            ("user1000}", "user1000}"),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(slot_of(key.as_bytes()), crc16(decides.as_bytes()) % 16_384, "{key}");
        }
        // What `CLUSTER KEYSLOT` of Redis 7.0 answers.
        for (key, number) in [("foo", 12_182), ("bar", 5_061), ("{user1000}.following", 3_443), ("itd:e:i", 10_297)] {
            assert_eq!(slot_of(key.as_bytes()), number, "{key}");
        }
    }

    #[test]
    fn every_range_has_a_marker_of_its_own_by_the_smallest_number() {
        let range_of = |tag: &str| usize::from(slot_of(format!("itd:m:{{{tag}}}").as_bytes())) / (SLOTS / MARKERS);
        for range in 0..MARKERS {
            let tag = marker_tag(range);
            assert_eq!((range_of(tag), marker_slot(range)), (range, slot_of(tag.as_bytes())));
            let mut smaller = 0..tag.parse::<u32>().unwrap();
            assert!(smaller.all(|number| range_of(&number.to_string()) != range), "{range}: {tag}");
        }
    }

    #[test]
    fn a_slot_has_one_primary_or_none() {
        let mut map = SlotMap::empty();
        map.assign(0, 5_460, 0);
        map.assign(5_462, u16::MAX, 1);
        let owners = [0, 5_460, 5_461, 5_462, 16_383, 16_384].map(|slot| map.owner(slot));
        assert_eq!(owners, [Some(0), Some(0), None, Some(1), Some(1), None]);
        assert_eq!(format!("{map:?}"), "{0..=5460: Some(0), 5461..=5461: None, 5462..=16383: Some(1)}");
        assert_eq!(map.markers_of(0).count() + map.markers_of(1).count(), MARKERS);
        let before = map.clone();
        for (first, last) in [(2, 1), (16_384, u16::MAX)] {
            map.assign(first, last, 2);
        }
        assert!(map == before && map.markers_of(2).next().is_none());
        assert_eq!(SlotMap::single().markers_of(0).count(), MARKERS);
    }

    fn redirect(reply: &str) -> Option<Redirect> {
        let Ok(Value::ServerError(error)) = parse_redis_value(format!("-{reply}\r\n").as_bytes()) else {
            panic!("{reply} is not an error reply");
        };
        Redirect::of(&error)
    }

    #[test]
    fn redis_cluster_specification_redirection_errors_name_a_slot_and_a_node() {
        let expected = |kind, slot, host: &str, port| {
            let host = (!host.is_empty()).then(|| host.into());
            Some(Redirect { kind, slot, host, port })
        };
        let (moved, ask) = (RedirectKind::Moved, RedirectKind::Ask);
        assert_eq!(redirect("MOVED 3999 127.0.0.1:6381"), expected(moved, 3_999, "127.0.0.1", 6_381));
        assert_eq!(redirect("ASK 16383 redis-1.example:6381"), expected(ask, 16_383, "redis-1.example", 6_381));
        assert_eq!(redirect("MOVED 0 2001:db8::1:65535"), expected(moved, 0, "2001:db8::1", 65_535));
        assert_eq!(redirect("MOVED 0 fe80::1%eth0:1"), expected(moved, 0, "fe80::1%eth0", 1));
        assert_eq!(redirect("MOVED 3999 :6381"), expected(moved, 3_999, "", 6_381));
    }

    #[test]
    fn redirections_that_lead_nowhere_are_none() {
        for reply in [
            "MOVED",
            "MOVED 3999",
            "MOVED 16384 127.0.0.1:6381",
            "MOVED -1 127.0.0.1:6381",
            "MOVED +1 127.0.0.1:6381",
            "MOVED 3999 127.0.0.1",
            "MOVED 3999 127.0.0.1:0",
            "MOVED 3999 127.0.0.1:65536",
            "MOVED 3999 127.0.0.1:+1",
            "MOVED 3999 127.0.0.1: 1",
            "MOVED 3999 ?:6381",
            "MOVED 3999 user@host:6381",
            "MOVED 3999  127.0.0.1:6381",
            "MOVED  127.0.0.1:6381",
            "CROSSSLOT Keys in request don't hash to the same slot",
            "ERR MOVED 3999 127.0.0.1:6381",
        ] {
            assert_eq!(redirect(reply), None, "{reply}");
        }
        assert_eq!(redirect(&format!("MOVED 1 {}:1", "a".repeat(255))), None);
    }

    proptest! {
        #[test]
        fn any_key_has_a_slot_and_any_text_is_a_redirection_or_none(key: Vec<u8>, text: String) {
            prop_assert!(usize::from(slot_of(&key)) < SLOTS);
            let _ = Redirect::parse(RedirectKind::Moved, &text);
        }

        #[test]
        fn a_tag_decides_alone(tag in "[^{}]{1,9}", before in "[^{]{0,9}", after in ".{0,9}") {
            prop_assert_eq!(slot_of(format!("{before}{{{tag}}}{after}").as_bytes()), slot_of(tag.as_bytes()));
        }
    }
}

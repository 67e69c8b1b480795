//! Which slot a key lies in, and which primary has which slots (Redis Cluster specification, "Key distribution model").

use std::sync::LazyLock;

/// How many slots there are.
pub(in super::super) const SLOTS: usize = 16_384;

/// How many markers of the dataset there are, each in a range of slots of its own.
pub(in super::super) const MARKERS: usize = 128;

/// What a slot that belongs to nobody is mapped to.
const NOBODY: u16 = u16::MAX;

/// The slot of a key: CRC16 of its hash tag, or of all of it when it has none.
pub(in super::super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    crc16(tag.unwrap_or(key)) % 16_384
}

/// CRC16 as XMODEM has it: polynomial 0x1021, nothing reflected, starting with 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

/// The hash tag of the marker of a range of slots: the smallest number whose slot lies in it.
pub(in super::super) fn marker_tag(range: usize) -> &'static str {
    static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut tags = vec![String::new(); MARKERS];
        let mut missing = MARKERS;
        let mut number = 0_u32;
        while missing > 0 {
            let tag = number.to_string();
            let place = &mut tags[usize::from(slot_of(tag.as_bytes())) / (SLOTS / MARKERS)];
            if place.is_empty() {
                *place = tag;
                missing -= 1;
            }
            number += 1;
        }
        tags
    });
    TAGS.get(range).map_or("", String::as_str)
}

/// The slot of the marker of a range.
pub(in super::super) fn marker_slot(range: usize) -> u16 {
    slot_of(marker_tag(range).as_bytes())
}

/// Which primary has which slots, by the places of the primaries in their list.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct SlotMap(Box<[u16; SLOTS]>);

impl SlotMap {
    /// All slots on the first primary.
    pub(in super::super) fn single() -> Self {
        Self(Box::new([0; SLOTS]))
    }

    /// No slot on any.
    pub(in super::super) fn empty() -> Self {
        Self(Box::new([NOBODY; SLOTS]))
    }

    /// Gives the slots from `first` to `last` to a primary.
    pub(in super::super) fn assign(&mut self, first: u16, last: u16, primary: usize) {
        let primary = u16::try_from(primary).unwrap_or(NOBODY);
        if let Some(slots) = self.0.get_mut(usize::from(first)..=usize::from(last)) {
            slots.fill(primary);
        }
    }

    /// The place of the primary that has a slot; `None` when nobody has.
    pub(in super::super) fn owner(&self, slot: u16) -> Option<usize> {
        self.0.get(usize::from(slot)).filter(|owner| **owner != NOBODY).map(|owner| usize::from(*owner))
    }

    /// The ranges whose markers lie on a primary.
    pub(in super::super) fn markers_of(&self, primary: usize) -> impl Iterator<Item = usize> {
        (0..MARKERS).filter(move |range| self.owner(marker_slot(*range)) == Some(primary))
    }
}

impl std::fmt::Debug for SlotMap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let assigned = self.0.iter().filter(|owner| **owner != NOBODY).count();
        write!(formatter, "SlotMap({assigned} of {SLOTS})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the Redis Cluster specification.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % 16_384);
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{bar"), crc16(b"foo{bar") % 16_384);
    }

    #[test]
    fn every_range_has_a_marker_in_it() {
        for range in 0..MARKERS {
            assert_eq!(usize::from(marker_slot(range)) / (SLOTS / MARKERS), range);
        }
    }

    #[test]
    fn a_map_knows_who_has_what() {
        let mut map = SlotMap::empty();
        map.assign(0, 8191, 0);
        map.assign(8192, 16_382, 1);
        assert_eq!([map.owner(0), map.owner(8191), map.owner(8192)], [Some(0), Some(0), Some(1)]);
        assert_eq!(map.owner(16_383), None);
        assert_eq!(map.markers_of(0).count(), MARKERS / 2);
        assert_eq!(SlotMap::single().markers_of(0).count(), MARKERS);
    }
}

//! What the ring keeps, forgets, and hands on.

use super::*;
use crate::token::digest::TokenDigest;
use crate::token::record::Reason;

const EXPIRY: Option<u64> = Some(9_000);
const NOW: Moment = Moment(1);

fn ring() -> Ring {
    Ring::new(Limits::default())
}

fn key(number: u8) -> Key {
    Key::Tombstone(TokenDigest([number; 16]))
}

fn revoked(stamp: u64) -> Seen {
    Seen::Present(Epoch { until: Stamp(stamp), reason: Reason::REQUESTED }.encode().to_vec(), EXPIRY)
}

fn learn(ring: &Ring, number: u8, seen: Seen) {
    ring.read(Source(0), vec![key(number)]).learn(vec![Answer::Seen(seen)], Stamp(1), NOW);
}

fn all(ring: &Ring) -> Vec<Entry> {
    ring.page(0, usize::MAX, |_, _| true).map_or(Vec::new(), |(entries, _)| entries)
}

fn keys(ring: &Ring) -> Vec<Key> {
    all(ring).into_iter().map(|entry| entry.key).collect()
}

#[test]
fn what_a_server_names_is_read_once_however_often_it_is_named() {
    let ring = ring();
    for _ in 0..3 {
        ring.heard(key(1).text().as_bytes());
        ring.heard(b"t:{BwcHBwcHBwcHBwcHBwcHBw}");
    }
    let reading = ring.read_unread(Source(0), 10, |_| true).unwrap();
    assert_eq!(reading.keys(), [key(1)]);
    assert!(ring.read_unread(Source(0), 10, |_| true).is_none());
    reading.learn(vec![Answer::Seen(revoked(5))], Stamp(1), NOW);
    assert_eq!(keys(&ring), [key(1)]);
    assert!(ring.read_unread(Source(0), 10, |_| true).is_none());
}

#[test]
fn only_so_many_and_only_what_is_wanted_is_read_at_once() {
    let ring = ring();
    for number in 0..5 {
        ring.heard(key(number).text().as_bytes());
    }
    let two = ring.read_unread(Source(0), 2, |key_| *key_ != key(0)).unwrap();
    assert_eq!(two.keys(), [key(1), key(2)]);
    let rest = ring.read_unread(Source(0), 9, |_| true).unwrap();
    assert_eq!(rest.keys(), [key(0), key(3), key(4)]);
}

#[test]
fn a_reading_that_came_to_nothing_is_still_to_be_done() {
    let ring = ring();
    drop(ring.read(Source(0), vec![key(1)]));
    assert_eq!(ring.read_unread(Source(0), 9, |_| true).unwrap().keys(), [key(1)]);
}

#[test]
fn more_keys_than_there_is_room_for_are_counted() {
    let ring = Ring::new(Limits { unread: 2, ..Limits::default() });
    for number in [0, 1, 1, 2] {
        ring.heard(key(number).text().as_bytes());
    }
    assert_eq!((ring.figures().unread, ring.figures().overflows), (2, 1));
}

#[test]
fn what_was_approved_leaves() {
    let ring = ring();
    learn(&ring, 1, revoked(5));
    learn(&ring, 2, revoked(6));
    learn(&ring, 1, Seen::Absent);
    assert_eq!(keys(&ring), [key(2)]);
    learn(&ring, 1, revoked(7));
    assert_eq!(keys(&ring), [key(2), key(1)], "revoked again");
}

/// Two readings under way at once, the answers of which come in the other order.
#[test]
fn of_two_readings_the_one_that_began_later_counts() {
    for later_is_absent in [false, true] {
        let ring = ring();
        let earlier = ring.read(Source(0), vec![key(1)]);
        let later = ring.read(Source(0), vec![key(1)]);
        let (old, new) = if later_is_absent { (revoked(5), Seen::Absent) } else { (Seen::Absent, revoked(5)) };
        later.learn(vec![Answer::Seen(new)], Stamp(1), NOW);
        earlier.learn(vec![Answer::Seen(old)], Stamp(1), NOW);
        let known: Vec<_> = all(&ring).into_iter().map(|entry| entry.known).collect();
        let revoked = Known::Epoch(Epoch { until: Stamp(5), reason: Reason::REQUESTED });
        assert_eq!(known, [if later_is_absent { Known::Gone(Stamp(1)) } else { revoked }]);
    }
}

#[test]
fn a_deleted_client_is_remembered_as_one() {
    let ring = ring();
    let client = Key::Record("c:{YXBw}".into());
    ring.read(Source(0), vec![client.clone()]).learn(vec![Answer::Seen(Seen::Absent)], Stamp(77), NOW);
    assert_eq!(all(&ring), [Entry { key: client, known: Known::Gone(Stamp(77)), expires_at: None }]);
}

#[test]
fn what_is_old_goes() {
    let ring = ring();
    learn(&ring, 1, revoked(5));
    let age = Limits::default().age;
    ring.all_is_well(Moment(NOW.plus(age).0 - 1));
    learn(&ring, 2, revoked(5));
    assert_eq!(keys(&ring), [key(1), key(2)]);
    ring.all_is_well(NOW.plus(age));
    ring.all_is_well(NOW);
    drop(ring.read(Source(0), vec![]));
    ring.read(Source(0), vec![key(3)]).learn(vec![Answer::Seen(revoked(5))], Stamp(1), NOW.plus(age));
    assert_eq!(keys(&ring), [key(3)]);
    assert_eq!((ring.figures().entries, ring.figures().forgotten), (1, 0));
}

/// A primary that is away for an hour, while others are there.
#[test]
fn nothing_grows_old_while_a_primary_is_away() {
    let ring = ring();
    learn(&ring, 1, revoked(5));
    let later = NOW.plus(Duration::from_hours(1));
    ring.read(Source(0), vec![key(2)]).learn(vec![Answer::Seen(revoked(5))], Stamp(1), later);
    assert_eq!(keys(&ring), [key(1), key(2)]);
}

#[test]
fn when_it_is_full_the_oldest_goes_and_is_counted() {
    let ring = Ring::new(Limits { bytes: 3 * (SLOT_BYTES + PLACE_BYTES), ..Limits::default() });
    for number in 0..5 {
        learn(&ring, number, revoked(5));
    }
    assert_eq!(keys(&ring), [key(2), key(3), key(4)]);
    assert_eq!(ring.figures().forgotten, 2);
}

#[test]
fn a_token_revoked_and_approved_all_day_takes_no_more_room_than_is_given() {
    let limit = 10 * (SLOT_BYTES + PLACE_BYTES);
    let ring = Ring::new(Limits { bytes: limit, ..Limits::default() });
    learn(&ring, 1, revoked(1));
    for stamp in 0..1_000 {
        learn(&ring, 2, revoked(stamp));
        learn(&ring, 2, Seen::Absent);
        assert!(ring.figures().bytes <= limit);
    }
    assert!(ring.memory().slots.len() <= limit / SLOT_BYTES);
}

#[test]
fn a_token_takes_little() {
    assert!(SLOT_BYTES + size_of::<(Key, u64)>() <= 144, "{SLOT_BYTES}");
}

#[test]
fn what_was_not_written_by_us_is_counted_and_changes_nothing() {
    let ring = ring();
    learn(&ring, 1, revoked(5));
    let before = all(&ring);
    for odd in [
        Seen::Unreadable,
        Seen::Present(vec![], EXPIRY),
        Seen::Present(vec![0; 9], EXPIRY),
        Seen::Present(Epoch { until: Stamp(5), reason: Reason::BULK }.encode().to_vec(), None),
    ] {
        learn(&ring, 1, odd);
    }
    assert_eq!(all(&ring), before);
    assert_eq!(ring.figures().unreadable, 4);
}

#[test]
fn pages_go_on_where_they_ended_and_meet_what_is_learnt_meanwhile() {
    let ring = ring();
    for number in 0..4 {
        learn(&ring, number, revoked(5));
    }
    let (first, next) = ring.page(0, 3, |_, _| true).unwrap();
    assert_eq!(first.len(), 3);
    learn(&ring, 0, revoked(6));
    let (rest, next) = ring.page(next, 9, |_, _| true).unwrap();
    assert_eq!(rest.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), [key(3), key(0)]);
    assert!(ring.page(next, 9, |_, _| true).is_none());
}

#[test]
fn what_was_read_from_a_primary_itself_can_be_left_out() {
    let ring = ring();
    let (one, other) = (ring.source(), ring.source());
    ring.read(one, vec![key(1)]).learn(vec![Answer::Seen(revoked(5))], Stamp(1), NOW);
    ring.read(other, vec![key(2)]).learn(vec![Answer::Seen(revoked(5))], Stamp(1), NOW);
    let (entries, _) = ring.page(0, 9, |_, source| source != one).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), [key(2)]);
}

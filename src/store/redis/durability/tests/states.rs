//! Writing again what is remembered, to servers that have it, or less, or more, or something else.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use super::server::{PATIENCE, Server, Talk};
use super::{any_mark, any_reason};
use crate::coherence::name::Name;
use crate::store::redis::durability::key::Key;
use crate::store::redis::durability::reassert::Replay;
use crate::store::redis::durability::ring::{Entry, Known, Limits, Ring};
use crate::store::stored_mark;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::{Epoch, EpochAxis};
use crate::token::grant::GrantMark;
use crate::token::record::Reason;
use crate::token::time::Stamp;

/// Long after every test, in milliseconds.
const FAR: u64 = 4_000_000_000_000;
/// What all markers but foreign ones begin with: version, state, dataset, lease.
const MARKER: [u8; 22] = *b"\x01\x01the dataset here\0\0\0\xC8";
const PREFIX: &str = "itd:";

/// One thing that is kept, or remembered.
#[derive(Clone, Debug, PartialEq)]
enum Thing {
    /// A token's record that is approved.
    Approved(u8),
    /// A token that is revoked; with a record or without.
    Revoked(u8, Epoch, bool),
    Mark(u8, GrantMark),
    Epoch(u8, Epoch),
    /// Creation, version.
    Client(u8, u64, u64),
    ClientGone(u8, u64),
    /// When it was claimed, by whom, and whether it is theirs.
    UserName(u64, u8, bool),
    Marker(Epoch),
    Document(u64),
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    (0..6_u64, any_reason()).prop_map(|(until, reason)| Epoch { until: Stamp(until), reason })
}

/// What may be kept by a server.
fn any_kept() -> impl Strategy<Value = Thing> {
    prop_oneof![
        (0..3_u8).prop_map(Thing::Approved),
        (0..3_u8, any_epoch(), any::<bool>())
            .prop_map(|(token, epoch, has_record)| Thing::Revoked(token, epoch, has_record)),
        (0..2_u8, any_mark()).prop_map(|(grant, mark)| Thing::Mark(grant, mark)),
        (0..2_u8, any_epoch()).prop_map(|(axis, epoch)| Thing::Epoch(axis, epoch)),
        (0..2_u8, 1..4_u64, 1..4_u64).prop_map(|(client, created, version)| Thing::Client(client, created, version)),
        (1..4_u64, 0..2_u8, any::<bool>()).prop_map(|(at, by, is_theirs)| Thing::UserName(at, by, is_theirs)),
        any_epoch().prop_map(Thing::Marker),
        (1..4_u64).prop_map(Thing::Document),
    ]
}

/// What may be remembered by a node.
fn any_remembered() -> impl Strategy<Value = Thing> {
    prop_oneof![
        6 => any_kept().prop_filter("an approval is not remembered", |thing| !matches!(thing, Thing::Approved(_))),
        1 => (0..2_u8, 0..5_u64).prop_map(|(client, at)| Thing::ClientGone(client, at)),
    ]
}

fn key_of(thing: &Thing) -> Key {
    match thing {
        Thing::Approved(token) | Thing::Revoked(token, ..) => Key::Tombstone(TokenDigest([*token; 16])),
        Thing::Mark(grant, _) => Key::Mark(GrantId([*grant; 16])),
        Thing::Epoch(axis, _) => Key::Epoch(Name::Epoch(EpochAxis::Client(&axis.to_string())).text().into()),
        Thing::Client(client, ..) | Thing::ClientGone(client, _) => {
            Key::Record(Name::Client(&client.to_string()).text().into())
        }
        Thing::UserName(..) => Key::UserName("l:{name}".into()),
        Thing::Marker(_) => Key::Marker("m:{1}".into()),
        Thing::Document(_) => Key::Document("k:signing".into()),
    }
}

fn client(created: u64, version: u64) -> Vec<u8> {
    [&version.to_be_bytes()[..], &created.to_be_bytes(), format!("{{{created}.{version}}}").as_bytes()].concat()
}

fn user_name(at: u64, by: u8, is_theirs: bool) -> Vec<u8> {
    [&[u8::from(is_theirs)][..], &at.to_be_bytes(), &[by; 16]].concat()
}

fn document(version: u64) -> Vec<u8> {
    [&version.to_be_bytes()[..], b"sealed"].concat()
}

fn marker(epoch: Epoch) -> Vec<u8> {
    [&MARKER[..], &epoch.encode()].concat()
}

/// One thing for each key: a ring and a server have no more.
fn unique(things: Vec<Thing>) -> Vec<Thing> {
    let by_key: BTreeMap<Key, Thing> = things.into_iter().map(|thing| (key_of(&thing), thing)).collect();
    by_key.into_values().collect()
}

fn entries(things: &[Thing]) -> Vec<Entry> {
    let entry = |thing: &Thing| {
        let (known, expires_at) = match thing {
            Thing::Approved(_) => return None,
            Thing::Revoked(_, epoch, _) | Thing::Epoch(_, epoch) => (Known::Epoch(*epoch), Some(FAR)),
            Thing::Mark(_, mark) if mark.is_empty() => return None,
            Thing::Mark(_, mark) => (Known::Stored(mark.encode().into()), Some(FAR)),
            Thing::Client(_, created, version) => (Known::Stored(client(*created, *version).into()), None),
            Thing::ClientGone(_, at) => (Known::Gone(Stamp(*at)), None),
            // What is only claimed has an end, and is not written again.
            Thing::UserName(at, by, is_theirs) => {
                (Known::Stored(user_name(*at, *by, *is_theirs).into()), (!is_theirs).then_some(FAR))
            }
            Thing::Marker(epoch) => (Known::Stored(marker(*epoch).into()), None),
            Thing::Document(version) => (Known::Stored(document(*version).into()), None),
        };
        Some(Entry { key: key_of(thing), known, expires_at })
    };
    things.iter().filter_map(entry).collect()
}

fn name(key: &Key) -> String {
    [PREFIX, &key.text()].concat()
}

fn record_name(token: u8) -> String {
    format!("{PREFIX}t:{{{}}}", TokenDigest([token; 16]).to_text())
}

/// A server that keeps just this.
async fn prepare(talk: &mut Talk, things: &[Thing]) {
    let _: () = talk.command(&["FLUSHALL"]).await;
    for thing in things {
        let key = name(&key_of(thing));
        match thing {
            Thing::Approved(token) => talk.set(&record_name(*token), &[2, 0, 9, 9], Some(FAR)).await,
            Thing::Revoked(token, epoch, has_record) => {
                talk.set(&key, &epoch.encode(), Some(FAR)).await;
                if *has_record {
                    talk.set(&record_name(*token), &[2, epoch.reason.to_byte(), 9, 9], Some(FAR)).await;
                }
            }
            Thing::Mark(_, mark) if mark.is_empty() => {}
            Thing::Mark(_, mark) => talk.set(&key, &stored_mark(mark), Some(FAR)).await,
            Thing::Epoch(_, epoch) => talk.set(&key, &epoch.encode(), Some(FAR)).await,
            Thing::Client(_, created, version) => talk.set(&key, &client(*created, *version), None).await,
            Thing::ClientGone(..) => {}
            Thing::UserName(at, by, is_theirs) => {
                talk.set(&key, &user_name(*at, *by, *is_theirs), (!is_theirs).then_some(FAR)).await;
            }
            Thing::Marker(epoch) => talk.set(&key, &marker(*epoch), None).await,
            Thing::Document(version) => talk.set(&key, &document(*version), None).await,
        }
    }
}

/// Everything that a server keeps, with when it expires.
async fn dump(talk: &mut Talk) -> BTreeMap<String, (Vec<u8>, i64)> {
    let names: Vec<String> = talk.command(&["KEYS", "*"]).await;
    let mut all = BTreeMap::new();
    for name in names {
        let value: Vec<u8> = talk.command(&["GET", &name]).await;
        let expires_at: i64 = talk.command(&["PEXPIRETIME", &name]).await;
        all.insert(name, (value, expires_at));
    }
    all
}

type Dump = BTreeMap<String, (Vec<u8>, i64)>;

fn value<'a>(dump: &'a Dump, key: &Key) -> Option<&'a [u8]> {
    dump.get(&name(key)).map(|(value, _)| &value[..])
}

fn epoch_at(dump: &Dump, key: &Key) -> Option<Epoch> {
    value(dump, key).map(|value| Epoch::decode(&value[value.len() - Epoch::BYTES..]).unwrap())
}

/// Whether what a server keeps says at least as much as a thing does.
fn assert_contains(dump: &Dump, before: &Dump, thing: &Thing) -> Result<(), TestCaseError> {
    let key = key_of(thing);
    let is_covered = |after: Option<Epoch>, epoch: Epoch| {
        after.is_some_and(|after| {
            after.until > epoch.until
                || after.until == epoch.until && (after.reason.is_final() || !epoch.reason.is_final())
        })
    };
    match thing {
        Thing::Approved(_) => {}
        Thing::Revoked(token, epoch, _) => {
            let kept = epoch_at(dump, &key);
            prop_assert!(kept.is_some_and(|kept| kept.reason.is_final() || !epoch.reason.is_final()));
            if let Some((record, _)) = dump.get(&record_name(*token)) {
                prop_assert_eq!(record[1], kept.map_or(0, |kept| kept.reason.to_byte()));
                prop_assert_eq!(&record[2..], &[9, 9]);
            }
        }
        Thing::Mark(_, mark) => {
            let kept = value(dump, &key).map_or_else(GrantMark::default, |value| GrantMark::decode(value).unwrap());
            for stamp in [0, 50, 99, u64::MAX] {
                for token in 0..5 {
                    let token = TokenDigest([token; 16]);
                    prop_assert!(!mark.covers(token, Stamp(stamp)) || kept.covers(token, Stamp(stamp)));
                }
            }
            let is_final = |reason: Option<Reason>| reason.is_some_and(Reason::is_final);
            prop_assert!(mark.refresh.is_none() || kept.refresh.is_some());
            prop_assert!(!is_final(mark.refresh) || is_final(kept.refresh));
            let reason = |mark: &GrantMark| mark.access.map(|cover| cover.reason);
            prop_assert!(!is_final(reason(mark)) || is_final(reason(&kept)));
        }
        Thing::Epoch(_, epoch) => prop_assert!(is_covered(epoch_at(dump, &key), *epoch)),
        Thing::Marker(epoch) => {
            let was_there = value(before, &key).is_some();
            prop_assert!(!was_there || is_covered(epoch_at(dump, &key), *epoch));
            prop_assert_eq!(was_there, value(dump, &key).is_some(), "a marker does not come back by itself");
        }
        Thing::Client(_, created, version) => {
            if let Some(kept) = value(dump, &key) {
                let number = |range: std::ops::Range<usize>| u64::from_be_bytes(kept[range].try_into().unwrap());
                prop_assert!((number(8..16), number(0..8)) >= (*created, *version));
            }
        }
        Thing::ClientGone(_, at) => {
            if let Some(kept) = value(dump, &key) {
                prop_assert!(u64::from_be_bytes(kept[8..16].try_into().unwrap()) > *at);
            }
        }
        Thing::UserName(at, by, is_theirs) => {
            let kept = value(dump, &key).map(|kept| (kept[1..].to_vec(), kept[0]));
            let ours = user_name(*at, *by, *is_theirs);
            prop_assert!(!is_theirs || kept >= Some((ours[1..].to_vec(), 1)), "{kept:?}");
        }
        Thing::Document(version) => {
            prop_assert!(value(dump, &key).is_some_and(|kept| kept[..8] >= version.to_be_bytes()[..]));
        }
    }
    Ok(())
}

/// What two servers must agree on that were told the same in another order: all but which of several final reasons
/// came first, and clients, of which one that is gone stays gone.
fn comparable(dump: Dump) -> Dump {
    dump.into_iter()
        .filter(|(name, _)| !name.starts_with("itd:c:"))
        .map(|(name, (mut value, expires_at))| {
            if name.starts_with("itd:e:c:") || name.starts_with("itd:m:") {
                let last = value.len() - 1;
                value[last] = value[last].min(2);
            }
            (name, (value, expires_at))
        })
        .collect()
}

#[test]
fn whatever_a_server_has_and_in_whatever_order_nodes_come_nothing_revoked_is_lost() {
    let runtime = Runtime::new().unwrap();
    let (server, mut talk) = runtime.block_on(async {
        let server = Server::start().await;
        let talk = server.talk().await;
        (server, talk)
    });
    let incarnation = runtime.block_on(talk.incarnation());
    let replay = Replay::new(&Ring::new(Limits::default()), incarnation, PREFIX);
    let things = |any| proptest::collection::vec(any, 0..8).prop_map(unique);
    let kept = things(any_kept().boxed());
    let (one, two) = (things(any_remembered().boxed()), things(any_remembered().boxed()));
    let mut runner = TestRunner::new(Config { cases: 300, ..Config::default() });
    let outcome = runner.run(&(kept, one, two), |(kept, one, two)| {
        let mut talk = talk.clone();
        runtime.block_on(async {
            prepare(&mut talk, &kept).await;
            let before = dump(&mut talk).await;
            replay.write(&mut talk, &entries(&one), PATIENCE).await.unwrap();
            let after_one = dump(&mut talk).await;
            for thing in kept.iter().filter(|thing| !matches!(thing, Thing::Client(..))).chain(&one) {
                assert_contains(&after_one, &before, thing)?;
            }
            let again = replay.write(&mut talk, &entries(&one), PATIENCE).await.unwrap();
            prop_assert_eq!((again.restored, again.unreadable), (0, 0), "there is nothing left to write");
            prop_assert_eq!(&dump(&mut talk).await, &after_one, "doing it twice changes nothing");
            replay.write(&mut talk, &entries(&two), PATIENCE).await.unwrap();
            let one_two = dump(&mut talk).await;
            for thing in one.iter().chain(&two) {
                assert_contains(&one_two, &before, thing)?;
            }
            prepare(&mut talk, &kept).await;
            replay.write(&mut talk, &entries(&two), PATIENCE).await.unwrap();
            replay.write(&mut talk, &entries(&one), PATIENCE).await.unwrap();
            let two_one = dump(&mut talk).await;
            prop_assert_eq!(comparable(one_two), comparable(two_one), "the order makes no difference");
            Ok(())
        })
    });
    drop(server);
    outcome.unwrap();
}

#[tokio::test]
async fn what_has_expired_is_not_written_and_what_others_wrote_is_left_alone() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let replay = Replay::new(&Ring::new(Limits::default()), talk.incarnation().await, PREFIX);
    let epoch = Epoch { until: Stamp(5), reason: Reason::BULK };
    let mark = GrantMark::default().revoked(Reason::BULK);
    let things = [Thing::Revoked(1, epoch, false), Thing::Mark(1, mark), Thing::Epoch(1, epoch)];
    let mut expired = entries(&things);
    for entry in &mut expired {
        entry.expires_at = Some(1_000);
    }
    replay.write(&mut talk, &expired, PATIENCE).await.unwrap();
    assert_eq!(dump(&mut talk).await, BTreeMap::new());

    for odd in ["", "odd"] {
        for thing in &things {
            talk.set(&name(&key_of(thing)), odd.as_bytes(), Some(FAR)).await;
        }
        talk.set(&name(&key_of(&Thing::Client(1, 1, 1))), b"odd", None).await;
        let before = dump(&mut talk).await;
        let all = [&things[..], &[Thing::Client(1, 1, 1), Thing::ClientGone(1, 9)]].concat();
        let replayed = replay.write(&mut talk, &entries(&all), PATIENCE).await.unwrap();
        assert_eq!((replayed.entries, replayed.restored, replayed.unreadable), (5, 0, 5), "{odd:?}");
        assert_eq!(dump(&mut talk).await, before);
    }
    let _: () = talk.command(&["FLUSHALL"]).await;
    for thing in &things {
        let _: i64 = talk.command(&["LPUSH", &name(&key_of(thing)), "odd"]).await;
    }
    let replayed = replay.write(&mut talk, &entries(&things), PATIENCE).await.unwrap();
    assert_eq!(replayed.unreadable, 3);
}

#[tokio::test]
async fn it_gets_through_when_memory_is_full() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let replay = Replay::new(&Ring::new(Limits::default()), talk.incarnation().await, PREFIX);
    let kept =
        [Thing::Approved(1), Thing::Client(1, 1, 1), Thing::Marker(Epoch { until: Stamp(1), reason: Reason::BULK })];
    prepare(&mut talk, &kept).await;
    let _: () = talk.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let epoch = Epoch { until: Stamp(5), reason: Reason::BULK };
    let things = [
        Thing::Revoked(1, epoch, true),
        Thing::Revoked(2, epoch, false),
        Thing::Mark(1, GrantMark::default().revoked(Reason::REQUESTED)),
        Thing::Epoch(1, epoch),
        Thing::Client(1, 1, 2),
        Thing::UserName(1, 1, true),
        Thing::Marker(epoch),
        Thing::Document(1),
    ];
    let replayed = replay.write(&mut talk, &entries(&things), PATIENCE).await.unwrap();
    assert_eq!((replayed.restored, replayed.unreadable), (8, 0));
    let replayed = replay.write(&mut talk, &entries(&[Thing::ClientGone(1, 9)]), PATIENCE).await.unwrap();
    assert_eq!(replayed.restored, 1);
}

#[tokio::test]
async fn a_foreign_or_missing_marker_is_left_as_it_is() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let replay = Replay::new(&Ring::new(Limits::default()), talk.incarnation().await, PREFIX);
    let epoch = Epoch { until: Stamp(5), reason: Reason::BULK };
    let remembered = entries(&[Thing::Marker(epoch)]);
    let foreign = [b"\x01\x01the dataset away\0\0\0\xC8", &[0; 9][..]].concat();
    for kept in [None, Some(foreign), Some(b"short".to_vec())] {
        let _: () = talk.command(&["FLUSHALL"]).await;
        if let Some(kept) = &kept {
            talk.set("itd:m:{1}", kept, None).await;
        }
        let before = dump(&mut talk).await;
        assert_eq!(replay.write(&mut talk, &remembered, PATIENCE).await.unwrap().restored, 0);
        assert_eq!(dump(&mut talk).await, before);
    }
    let none_yet = [b"\x01\0", &MARKER[2..], &[0; 9]].concat();
    talk.set("itd:m:{1}", &none_yet, None).await;
    assert_eq!(replay.write(&mut talk, &remembered, PATIENCE).await.unwrap().restored, 1);
    assert_eq!(epoch_at(&dump(&mut talk).await, &Key::Marker("m:{1}".into())), Some(epoch));
}

#[tokio::test]
async fn of_two_clients_of_one_id_the_later_one_stays_and_one_that_was_deleted_does_not_come_back() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let replay = Replay::new(&Ring::new(Limits::default()), talk.incarnation().await, PREFIX);
    let is = |created, version| Some(Thing::Client(0, created, version));
    let was_gone = |at| Thing::ClientGone(0, at);
    let table = [
        // What the server has, what is remembered, what the server has then.
        (is(5, 1), Thing::Client(0, 5, 2), is(5, 2)),
        (is(5, 3), Thing::Client(0, 5, 2), is(5, 3)),
        (is(5, 1), Thing::Client(0, 6, 1), is(6, 1)),
        (is(6, 1), Thing::Client(0, 5, 2), is(6, 1)),
        (None, Thing::Client(0, 5, 2), None),
        (is(5, 1), was_gone(5), None),
        (is(5, 1), was_gone(6), None),
        (is(5, 1), was_gone(4), is(5, 1)),
        (None, was_gone(4), None),
    ];
    for (kept, remembered, expected) in table {
        let expected: Vec<_> = expected.into_iter().collect();
        prepare(&mut talk, &expected).await;
        let expected = dump(&mut talk).await;
        prepare(&mut talk, &kept.into_iter().collect::<Vec<_>>()).await;
        replay.write(&mut talk, &entries(std::slice::from_ref(&remembered)), PATIENCE).await.unwrap();
        assert_eq!(dump(&mut talk).await, expected, "{remembered:?}");
    }
}

#[tokio::test]
async fn of_two_who_had_a_name_the_later_one_has_it_and_what_is_only_claimed_is_not_written() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let replay = Replay::new(&Ring::new(Limits::default()), talk.incarnation().await, PREFIX);
    let theirs = |at, by| Thing::UserName(at, by, true);
    let claimed = |at, by| Thing::UserName(at, by, false);
    let table = [
        // What the server has, what is remembered, what the server has then.
        (None, theirs(5, 1), Some(theirs(5, 1))),
        (Some(claimed(5, 1)), theirs(5, 1), Some(theirs(5, 1))),
        (Some(theirs(5, 1)), theirs(5, 1), Some(theirs(5, 1))),
        (Some(theirs(6, 2)), theirs(5, 1), Some(theirs(6, 2))),
        (Some(claimed(6, 2)), theirs(5, 1), Some(claimed(6, 2))),
        (Some(theirs(5, 1)), theirs(6, 2), Some(theirs(6, 2))),
        (None, claimed(5, 1), None),
        (Some(theirs(5, 1)), claimed(6, 2), Some(theirs(5, 1))),
    ];
    for (kept, remembered, expected) in table {
        prepare(&mut talk, expected.as_slice()).await;
        let expected = dump(&mut talk).await;
        prepare(&mut talk, kept.as_slice()).await;
        replay.write(&mut talk, &entries(std::slice::from_ref(&remembered)), PATIENCE).await.unwrap();
        assert_eq!(dump(&mut talk).await, expected, "{kept:?} {remembered:?}");
    }
    for odd in ["", "odd"] {
        talk.set(&name(&key_of(&theirs(1, 1))), odd.as_bytes(), None).await;
        let before = dump(&mut talk).await;
        let replayed = replay.write(&mut talk, &entries(&[theirs(9, 1)]), PATIENCE).await.unwrap();
        assert_eq!((replayed.restored, replayed.unreadable), (0, 1));
        assert_eq!(dump(&mut talk).await, before);
    }
}

/// The same epoch, raised again to be kept for longer.
#[tokio::test]
async fn what_is_to_be_kept_for_longer_is() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let replay = Replay::new(&Ring::new(Limits::default()), talk.incarnation().await, PREFIX);
    let epoch = Epoch { until: Stamp(5), reason: Reason::BULK };
    let mark = GrantMark::default().revoked(Reason::BULK);
    let things = [Thing::Revoked(1, epoch, false), Thing::Mark(1, mark), Thing::Epoch(1, epoch)];
    prepare(&mut talk, &things).await;
    let mut remembered = entries(&things);
    for (longer, more) in [(FAR - 1, 0), (FAR, 0), (FAR + 1, 1)] {
        for entry in &mut remembered {
            entry.expires_at = Some(longer);
        }
        replay.write(&mut talk, &remembered, PATIENCE).await.unwrap();
        for (_, expires_at) in dump(&mut talk).await.into_values() {
            assert_eq!(expires_at, i64::try_from(FAR + more).unwrap());
        }
    }
}

/// Scripts that the server has forgotten between two round trips, as a new primary has.
#[tokio::test]
async fn scripts_that_a_server_does_not_know_are_sent_in_full() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let replay = Replay::new(&Ring::new(Limits::default()), talk.incarnation().await, PREFIX);
    let epoch = Epoch { until: Stamp(5), reason: Reason::BULK };
    for _ in 0..2 {
        let _: () = talk.command(&["FLUSHALL"]).await;
        let _: () = talk.command(&["SCRIPT", "FLUSH"]).await;
        let things = [Thing::Revoked(1, epoch, false), Thing::Epoch(1, epoch), Thing::Revoked(2, epoch, false)];
        let replayed = replay.write(&mut talk, &entries(&things), PATIENCE).await.unwrap();
        assert_eq!(replayed.restored, 3);
    }
}

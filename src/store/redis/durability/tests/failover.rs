//! From one primary to the next.

use std::time::Duration;

use super::server::{PATIENCE, Server, Talk, eventually, soon};
use crate::coherence::clock::Moment;
use crate::store::redis::durability::Conversation;
use crate::store::redis::durability::barrier::Member;
use crate::store::redis::durability::group::{Terms, group};
use crate::store::redis::durability::key::Key;
use crate::store::redis::durability::reassert::Replay;
use crate::store::redis::durability::ring::{Answer, Entry, Known, Limits, Ring, Seen};
use crate::store::redis::scripts;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::Epoch;
use crate::token::grant::GrantMark;
use crate::token::record::Reason;
use crate::token::time::Stamp;

const PREFIX: &str = "itd:";
const FAR: u64 = 4_000_000_000_000;

fn now() -> Moment {
    Moment(1)
}

fn key(token: u8) -> Key {
    Key::Tombstone(TokenDigest([token; 16]))
}

fn names(token: u8) -> [String; 2] {
    let text = TokenDigest([token; 16]).to_text();
    [format!("{PREFIX}t:{{{text}}}"), format!("{PREFIX}r:{{{text}}}")]
}

async fn issue(talk: &mut Talk, token: u8) {
    talk.set(&names(token)[0], &[2, 0, 9, 9], Some(FAR)).await;
}

async fn revoke(talk: &mut Talk, token: u8, reason: u8) {
    let invocation = scripts::tokens::REVOKE.on(names(token), [vec![reason]]);
    let reply = talk.pipeline(vec![invocation.in_full()], soon()).await.unwrap().pop().unwrap();
    reply.extract_error().unwrap();
}

async fn approve(talk: &mut Talk, token: u8) {
    let [record, tombstone] = names(token);
    let seen: Vec<u8> = talk.command(&["GET", &tombstone]).await;
    let invocation = scripts::tokens::APPROVE.on([record, tombstone], [b"0".to_vec(), seen]);
    let reply = talk.pipeline(vec![invocation.in_full()], soon()).await.unwrap().pop().unwrap();
    assert_eq!(reply, redis::Value::Int(scripts::tokens::CHANGED));
}

async fn state(talk: &mut Talk, token: u8) -> (u8, bool) {
    let [record, tombstone] = names(token);
    let kept: Vec<u8> = talk.command(&["GET", &record]).await;
    let tombstone: bool = talk.command(&["EXISTS", &tombstone]).await;
    (kept[1], tombstone)
}

/// A replica that had not yet got the last of it takes the place of its primary.
#[tokio::test]
async fn what_a_replica_had_not_got_is_written_to_it_again() {
    let old = Server::start().await;
    let mut at_old = old.talk().await;
    for token in 1..=4 {
        issue(&mut at_old, token).await;
    }
    revoke(&mut at_old, 3, 1).await;
    let new = old.replica().await;
    let mut at_new = new.talk().await;
    // From here on it gets no more, as if the network had been cut.
    let _: () = at_new.command(&["REPLICAOF", "NO", "ONE"]).await;

    let ring = Ring::new(Limits::default());
    let mut replay = Replay::new(&ring, at_old.incarnation().await, PREFIX);
    replay.catch_up(&mut at_old, &ring, |_| true, PATIENCE).await.unwrap();
    // One by this node, one by another, of which it hears; and one that was revoked and is approved.
    revoke(&mut at_old, 1, 1).await;
    replay.origin().read_back(&mut at_old, &ring, vec![key(1)], now, soon()).await.unwrap();
    revoke(&mut at_old, 2, 3).await;
    ring.heard(key(2).text().as_bytes());
    assert_eq!(replay.origin().read_heard(&mut at_old, &ring, |_| true, now, soon()).await.unwrap(), 1);
    assert_eq!(replay.origin().read_heard(&mut at_old, &ring, |_| true, now, soon()).await.unwrap(), 0);
    revoke(&mut at_old, 4, 1).await;
    replay.origin().read_back(&mut at_old, &ring, vec![key(4)], now, soon()).await.unwrap();
    approve(&mut at_old, 4).await;
    replay.origin().read_back(&mut at_old, &ring, vec![key(4)], now, soon()).await.unwrap();
    let again = replay.catch_up(&mut at_old, &ring, |_| true, PATIENCE).await.unwrap();
    assert_eq!(again.entries, 0, "what was read from it is not written to it");

    drop(old);
    assert_eq!(state(&mut at_new, 1).await, (0, false), "it was lost");
    let mut replay = Replay::new(&ring, at_new.incarnation().await, PREFIX);
    let not_here = replay.catch_up(&mut at_new, &ring, |_| false, PATIENCE).await.unwrap();
    assert_eq!(not_here.entries, 0);
    let mut replay = Replay::new(&ring, at_new.incarnation().await, PREFIX);
    let replayed = replay.catch_up(&mut at_new, &ring, |_| true, PATIENCE).await.unwrap();
    assert_eq!((replayed.entries, replayed.restored, replayed.unreadable), (2, 2, 0));
    let mut states = Vec::new();
    for token in 1..=4 {
        states.push(state(&mut at_new, token).await);
    }
    assert_eq!(states, [(1, true), (3, true), (1, true), (0, false)]);
}

/// A reading that was under way at the primary before this one, and ends after this one was caught up with.
#[tokio::test]
async fn what_is_learnt_late_is_written_late() {
    let (old, new) = (Server::start().await, Server::start().await);
    let (mut at_old, mut at_new) = (old.talk().await, new.talk().await);
    let ring = Ring::new(Limits::default());
    let before = Replay::new(&ring, at_old.incarnation().await, PREFIX);
    let mut after = Replay::new(&ring, at_new.incarnation().await, PREFIX);
    issue(&mut at_old, 1).await;
    issue(&mut at_new, 1).await;
    revoke(&mut at_old, 1, 1).await;
    assert_eq!(after.catch_up(&mut at_new, &ring, |_| true, PATIENCE).await.unwrap().entries, 0);
    before.origin().read_back(&mut at_old, &ring, vec![key(1)], now, soon()).await.unwrap();
    assert_eq!(after.catch_up(&mut at_new, &ring, |_| true, PATIENCE).await.unwrap().restored, 1);
    assert_eq!(state(&mut at_new, 1).await, (1, true));
}

/// The same connection, at the other end of which the server has become a replica and lost what it had.
#[tokio::test]
async fn what_a_server_says_that_is_no_longer_the_same_is_not_learnt() {
    let (server, other) = (Server::start().await, Server::start().await);
    let mut talk = server.talk().await;
    let ring = Ring::new(Limits::default());
    let replay = Replay::new(&ring, talk.incarnation().await, PREFIX);
    issue(&mut talk, 1).await;
    revoke(&mut talk, 1, 1).await;
    replay.origin().read_back(&mut talk, &ring, vec![key(1)], now, soon()).await.unwrap();

    let _: () = talk.command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).await;
    eventually(async || talk.command::<i64>(&["DBSIZE"]).await == 0).await;
    ring.heard(key(1).text().as_bytes());
    for promoted in [false, true] {
        if promoted {
            let _: () = talk.command(&["REPLICAOF", "NO", "ONE"]).await;
        }
        assert!(replay.origin().read_heard(&mut talk, &ring, |_| true, now, soon()).await.is_err());
        assert_eq!((ring.figures().entries, ring.figures().unread), (1, 1), "it is still remembered, and to be read");
        let entries = ring.page(0, 9, |_, _| true).unwrap().0;
        assert!(replay.write(&mut talk, &entries, PATIENCE).await.is_err());
    }
}

/// More than fits into one round trip, while more comes.
#[tokio::test]
async fn thousands_are_written_in_batches() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let ring = Ring::new(Limits::default());
    let before = ring.source();
    let count = 2_000_u32;
    for number in 0..count {
        let mut digest = [0; 16];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        let tombstone = [&1_u64.to_be_bytes()[..], &[1]].concat();
        let seen = Seen::Present(tombstone, Some(FAR));
        let reading = ring.read(before, vec![Key::Tombstone(TokenDigest(digest))]);
        reading.learn(vec![Answer::Seen(seen)], Stamp(1), now());
    }
    let mut replay = Replay::new(&ring, talk.incarnation().await, PREFIX);
    let replayed = replay.catch_up(&mut talk, &ring, |_| true, Duration::from_secs(10)).await.unwrap();
    assert_eq!((replayed.entries, replayed.restored), (2_000, 2_000));
    assert_eq!(talk.command::<i64>(&["DBSIZE"]).await, 2_000);
}

/// What the head of `store/redis/mod.rs` says that a user needs for it.
#[tokio::test]
async fn a_user_needs_no_more_permissions_than_are_named() {
    let server = Server::start().await;
    let mut operator = server.talk().await;
    let rules = "on nopass ~itd:* +get +set +setrange +getrange +unlink +del +pexpiretime +time +eval +evalsha +info \
                 +hset +hgetall +hdel +pexpire +wait";
    let words: Vec<&str> = ["ACL", "SETUSER", "itd"].into_iter().chain(rules.split_ascii_whitespace()).collect();
    let _: () = operator.command(&words).await;
    issue(&mut operator, 1).await;
    operator.set("itd:c:{MQ}", &[0; 20], None).await;
    operator.set("itd:m:{1}", &[1; 31], None).await;
    let mut talk = server.talk().await;
    let _: () = talk.command(&["AUTH", "itd", "x"]).await;

    let ring = Ring::new(Limits::default());
    let incarnation = talk.incarnation().await;
    let replay = Replay::new(&ring, incarnation.clone(), PREFIX);
    let stored = |bytes: &[u8]| Known::Stored(bytes.into());
    let epoch = Epoch { until: Stamp(u64::MAX), reason: Reason::BULK };
    let later = [&[1; 22][..], &epoch.encode()].concat();
    let entry = |key: Key, known: Known| {
        let expires_at = key.expires().then_some(FAR);
        Entry { key, known, expires_at }
    };
    let entries = [
        entry(key(1), Known::Epoch(epoch)),
        entry(Key::Mark(GrantId([1; 16])), stored(&GrantMark::default().revoked(Reason::BULK).encode())),
        entry(Key::Epoch("e:c:{MQ}".into()), Known::Epoch(epoch)),
        entry(Key::Record("c:{MQ}".into()), stored(&[1; 20])),
        entry(Key::Marker("m:{1}".into()), stored(&later)),
        entry(Key::Document("k:signing".into()), stored(&[1; 20])),
    ];
    let replayed = replay.write(&mut talk, &entries, PATIENCE).await.unwrap();
    assert_eq!((replayed.restored, replayed.unreadable), (6, 0));
    let gone = [entry(Key::Record("c:{MQ}".into()), Known::Gone(Stamp(u64::MAX)))];
    assert_eq!(replay.write(&mut talk, &gone, PATIENCE).await.unwrap().restored, 1);
    replay.origin().read_back(&mut talk, &ring, vec![key(1)], now, soon()).await.unwrap();
    let member = Member::new("a", "itd:n:{1}", incarnation.clone());
    member.arrive(&mut talk, PATIENCE, PATIENCE).await.unwrap();
    member.leave(&mut talk, soon()).await.unwrap();
    let limit = Duration::from_secs(1);
    let life = incarnation.clone();
    let terms = Terms { incarnation, key: "itd:f:{1}".into(), replicas: 0, limit, response_timeout: PATIENCE };
    let (group, mut commits) = group(terms);
    let (committed, ()) = tokio::join!(async move { group.commit(&life, soon()).await }, async {
        assert!(commits.serve(&mut talk).await.is_none());
    });
    committed.unwrap();
}

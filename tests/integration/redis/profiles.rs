//! What many tokens have in common: kept once, found by every node, and never taken for something else.

use introspectd::store::redis::{CLOCK_GRACE, RedisStore};
use introspectd::store::{Insertion, StoreErrorKind};
use introspectd::token::claims::Claims;
use introspectd::token::record::Record;
use introspectd::token::scope::Scope;
use introspectd::token::time::{Stamp, UnixSeconds};

use super::{key, now};
use crate::support::redis::{PREFIX, RedisServer};
use crate::support::{digest, eventually, record};

/// A token as most are.
fn usual(lifetime: u64) -> Record {
    let issued_at = now().seconds();
    Record {
        issued_at,
        not_before: None,
        subject: Some("20 Characters |: Abc".into()),
        username: None,
        grant: None,
        claims: Claims::default(),
        ..record(issued_at.plus(lifetime))
    }
}

fn scoped(scope: &str) -> Record {
    Record { scope: Scope::parse(scope).unwrap(), ..usual(600) }
}

async fn put(store: &RedisStore, number: u8, record: &Record) {
    assert_eq!(store.insert(&[(digest(number), record.clone())], None, now()).await.unwrap(), Insertion::Done);
}

/// Two tokens that have everything in common: the second names its profile.
async fn put_two(store: &RedisStore) -> Record {
    let record = usual(600);
    put(store, 1, &record).await;
    put(store, 2, &record).await;
    record
}

async fn read(store: &RedisStore, number: u8) -> Record {
    let (_, record) = store.token(&[digest(number)]).await.unwrap().unwrap();
    assert_ne!(record.stamp, Stamp(0));
    Record { stamp: Stamp(0), ..record }
}

async fn fault(store: &RedisStore, number: u8) -> StoreErrorKind {
    store.token(&[digest(number)]).await.unwrap_err().kind()
}

/// The keys of all profiles.
async fn profiles(server: &RedisServer) -> Vec<String> {
    let mut keys = server.keys().await;
    keys.retain(|key| key.starts_with(&format!("{PREFIX}p:{{")));
    keys
}

async fn the_profile(server: &RedisServer) -> String {
    let [profile] = profiles(server).await.try_into().unwrap();
    profile
}

async fn end_of(server: &RedisServer, key: &str) -> u64 {
    server.command(&["PEXPIRETIME", key]).await
}

/// Has the node lose its connections, and with them the certainty that Redis has kept everything.
async fn disturb(server: &RedisServer, store: &RedisStore) {
    let before = store.coherence().generation();
    server.command::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    eventually("the node has noticed", async || store.coherence().generation() != before).await;
    eventually("the node is connected", async || {
        store.probe().await.is_ok() && store.token(&[digest(99)]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn what_tokens_have_in_common_is_kept_once_and_every_node_finds_it() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let record = put_two(&store).await;
    for number in 3..=9 {
        put(&store, number, &record).await;
    }
    assert_eq!(profiles(&server).await.len(), 1);
    // At most 44 bytes are kept in one piece.
    assert_eq!(server.command::<usize>(&["STRLEN", &key("t", 9)]).await, 44);
    assert_eq!(server.command::<String>(&["OBJECT", "ENCODING", &key("t", 9)]).await, "embstr");
    let (other, started_again) = (server.store().await, server.store().await);
    drop(store);
    for number in 1..=9 {
        assert_eq!(read(&other, number).await, record);
        assert_eq!(read(&started_again, 10 - number).await, record);
    }
    // Whoever has read it names it from the first token on.
    put(&other, 10, &record).await;
    assert_eq!(server.command::<usize>(&["STRLEN", &key("t", 10)]).await, 44);
    assert_eq!(read(&started_again, 10).await, record);
}

#[tokio::test]
async fn a_profile_that_is_missing_is_a_fault_and_whoever_knows_it_still_answers() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let record = put_two(&store).await;
    let profile = the_profile(&server).await;
    server.command::<()>(&["DEL", &profile]).await;
    let other = server.store().await;
    assert_eq!(fault(&other, 2).await, StoreErrorKind::Unavailable);
    assert_eq!(read(&other, 1).await, record, "it has everything in it");
    assert_eq!(read(&store, 2).await, record);
    assert_eq!(fault(&other, 2).await, StoreErrorKind::Unavailable);
    // A revocation needs no profile.
    other.set_state(digest(2), super::REQUESTED, now()).await.unwrap();
    assert_eq!(read(&store, 2).await, Record { state: super::REQUESTED, ..record });
}

#[tokio::test]
async fn a_profile_that_is_not_what_its_name_says_is_damage_and_never_another_profile() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    put_two(&store).await;
    let own = the_profile(&server).await;
    for number in [3, 4] {
        put(&store, number, &scoped("admin")).await;
    }
    let foreign = profiles(&server).await.into_iter().find(|key| *key != own).unwrap();
    let (own_value, foreign_value): (Vec<u8>, Vec<u8>) =
        (server.command(&["GET", &own]).await, server.command(&["GET", &foreign]).await);
    let other = server.store().await;
    for copied in ["", "\u{1}", "no profile"] {
        server.command::<()>(&["SET", &own, copied]).await;
        assert_eq!(fault(&other, 2).await, StoreErrorKind::Damaged, "{copied:?}");
    }
    assert_ne!(own_value, foreign_value);
    server.command::<()>(&["COPY", &foreign, &own, "REPLACE"]).await;
    assert_eq!(fault(&other, 2).await, StoreErrorKind::Damaged);
    server.command::<()>(&["SETRANGE", &foreign, "2", "x"]).await;
    assert_eq!(fault(&other, 4).await, StoreErrorKind::Damaged);
    server.command::<()>(&["DEL", &own]).await;
    server.command::<()>(&["LPUSH", &own, "x"]).await;
    assert_eq!(fault(&other, 2).await, StoreErrorKind::Damaged);
}

#[tokio::test]
async fn where_another_profile_has_the_name_a_record_keeps_its_own() {
    let server = RedisServer::start().await;
    let record = put_two(&server.store().await).await;
    let profile = the_profile(&server).await;
    server.command::<()>(&["SET", &profile, "another"]).await;
    let store = server.store().await;
    for number in 3..=5 {
        put(&store, number, &record).await;
    }
    let other = server.store().await;
    for number in 3..=5 {
        assert_eq!(read(&other, number).await, record);
    }
    assert_eq!(server.command::<String>(&["GET", &profile]).await, "another");
}

#[tokio::test]
async fn a_profile_outlives_every_token_that_names_it() {
    let server = RedisServer::start().await;
    let (store, other) = (server.store().await, server.store().await);
    put_two(&store).await;
    let mut end = 0;
    for (number, lifetime) in (3..).zip([60, 60, 7200, 20, 90 * 24 * 3600, 3600, 300]) {
        let issuer = if number % 2 == 0 { &store } else { &other };
        // Whoever has read one names it.
        read(issuer, 2).await;
        put(&store, number, &usual(lifetime)).await;
        put(issuer, number + 100, &usual(lifetime)).await;
        let profile = the_profile(&server).await;
        for token in [number, number + 100] {
            let token = end_of(&server, &key("t", token)).await;
            assert!(end_of(&server, &profile).await >= token + CLOCK_GRACE * 1000, "{number}");
        }
        assert!(end_of(&server, &profile).await >= end, "it is never shortened");
        end = end_of(&server, &profile).await;
    }
}

#[tokio::test]
async fn combinations_that_come_up_once_are_not_kept_apart() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    for number in 0..200 {
        put(&store, number, &scoped(&format!("payment:{number}"))).await;
    }
    assert!(profiles(&server).await.is_empty());
    let other = server.store().await;
    assert_eq!(read(&other, 150).await.scope.as_str(), "payment:150");
    // Nor is anything kept for a token that has expired.
    let expired = Record { expires_at: UnixSeconds(now().seconds().0 - 1), ..usual(600) };
    for number in 201..=203 {
        put(&store, number, &expired).await;
    }
    assert!(profiles(&server).await.is_empty());
}

#[tokio::test]
async fn whoever_issues_after_a_disturbance_writes_the_profile_again_before() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let record = put_two(&store).await;
    let profile = the_profile(&server).await;
    disturb(&server, &store).await;
    server.command::<()>(&["DEL", &profile]).await;
    put(&store, 3, &record).await;
    assert_eq!(profiles(&server).await, [&*profile]);
    let other = server.store().await;
    assert_eq!(read(&other, 2).await, record);
    assert_eq!(read(&other, 3).await, record);
}

#[tokio::test]
async fn whoever_reads_after_a_disturbance_writes_the_profile_again() {
    let server = RedisServer::start().await;
    let (issuer, reader) = (server.store().await, server.store().await);
    let record = put_two(&issuer).await;
    assert_eq!(read(&reader, 2).await, record);
    let profile = the_profile(&server).await;
    drop(issuer);
    disturb(&server, &reader).await;
    server.command::<()>(&["DEL", &profile]).await;
    assert_eq!(read(&reader, 2).await, record);
    eventually("it is there again", async || profiles(&server).await == [&*profile]).await;
    let token = end_of(&server, &key("t", 2)).await;
    assert!(end_of(&server, &profile).await >= token + CLOCK_GRACE * 1000);
    assert_eq!(read(&server.store().await, 2).await, record);
}

#[tokio::test]
async fn nobody_is_refused_a_token_because_its_profile_cannot_be_written() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let record = usual(600);
    put(&store, 1, &record).await;
    // The second one would be the first to name it, under a key that holds something else altogether.
    let sample = server.store().await;
    for number in [2, 3] {
        put(&sample, number, &record).await;
    }
    let profile = the_profile(&server).await;
    server.command::<()>(&["DEL", &profile]).await;
    server.command::<()>(&["LPUSH", &profile, "x"]).await;
    put(&store, 4, &record).await;
    assert_eq!(read(&server.store().await, 4).await.scope, record.scope);
}

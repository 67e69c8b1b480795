//! A server that is not there, hangs, dies, is full, is a replica; and the end of the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use introspectd::client::ClientId;
use introspectd::store::redis::RedisStore;
use introspectd::store::{ClientWrite, Insertion, NewGrant, Rotation, RotationOutcome, StoreErrorKind, Transition};
use introspectd::token::digest::GrantId;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::GrantMark;
use introspectd::token::record::State;
use introspectd::user::id::UserId;
use introspectd::user::name::UniqueName;
use tokio::task::JoinSet;

use super::{
    NAMES, REQUESTED, USER, app, everything_works, insert, is_up, mark, new_grant, now, raise, revoked, rotation,
};
use crate::support::redis::RedisServer;
use crate::support::{digest, eventually};

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_found_when_it_comes() {
    let mut server = RedisServer::not_yet_started();
    let store = server.store().await;
    for outcome in [store.token(&[digest(1)]).await.map(drop), store.clients(None, 1).await.map(drop)] {
        assert_eq!(outcome.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    server.launch().await;
    eventually("the store is up", async || is_up(&store).await).await;
    everything_works(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_and_taken_back() {
    let server = RedisServer::start().await;
    let store = RedisStore::open(&server.impatient_config()).await.unwrap();
    insert(&store, 1).await.unwrap();
    server.freeze();
    let deadline = server.impatient_config().response_timeout;
    let slack = Duration::from_millis(400);
    let (begun, outcome) = (Instant::now(), store.token(&[digest(1)]).await);
    assert_eq!(outcome.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(begun.elapsed() < deadline + slack, "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(insert(&store, 2).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(begun.elapsed() < deadline + slack, "{:?}", begun.elapsed());
    eventually("calls fail at once", async || {
        let begun = Instant::now();
        store.token(&[digest(1)]).await.unwrap_err();
        begun.elapsed() < deadline / 10
    })
    .await;
    server.thaw();
    eventually("the store is up", async || is_up(&store).await).await;
    assert!(store.token(&[digest(1)]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_crowd_of_calls_at_a_hanging_server_is_bounded_too() {
    let server = RedisServer::start().await;
    let store = Arc::new(RedisStore::open(&server.impatient_config()).await.unwrap());
    server.freeze();
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    // More than the queue of a connection holds.
    for _ in 0..5000 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.token(&[digest(1)]).await.unwrap_err().kind() });
    }
    assert!(calls.join_all().await.into_iter().all(|kind| kind == StoreErrorKind::Unavailable));
    assert!(
        begun.elapsed() < server.impatient_config().response_timeout + Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    server.thaw();
    eventually("the store is up", async || is_up(&store).await).await;
}

#[tokio::test]
async fn a_server_that_was_killed_is_taken_back_with_all_that_was_acknowledged() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    insert(&store, 2).await.unwrap();
    store.set_state(digest(2), REQUESTED, now()).await.unwrap();
    let before = [store.token(&[digest(1)]).await.unwrap(), store.token(&[digest(2)]).await.unwrap()];
    server.kill();
    eventually("the loss is noticed", async || !is_up(&store).await).await;
    assert_eq!(store.token(&[digest(1)]).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    server.launch().await;
    eventually("the store is up", async || is_up(&store).await).await;
    let after = [store.token(&[digest(1)]).await.unwrap(), store.token(&[digest(2)]).await.unwrap()];
    assert_eq!(before, after);
    assert_eq!(after[1].as_ref().unwrap().1.state, REQUESTED);
}

#[tokio::test]
async fn connections_that_are_cut_come_back() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    for _ in 0..3 {
        let before: i64 = server.command(&["CLIENT", "ID"]).await;
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        eventually("all are back", async || {
            let list: String = server.command(&["CLIENT", "LIST"]).await;
            let newer = |line: &&str| line.split([' ', '=']).nth(1).unwrap().parse::<i64>().unwrap() > before;
            list.lines().filter(newer).count() == 4
        })
        .await;
        eventually("the store is up", async || is_up(&store).await).await;
    }
}

#[tokio::test]
async fn a_replica_is_not_served_from() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    server.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    // A write finds out by itself; a server that is only read from is asked now and then.
    // One failure may have been a deadline missed on a busy machine; several in a row are not.
    eventually("reads stop", async || {
        for _ in 0..5 {
            if store.token(&[digest(1)]).await.is_ok() {
                return false;
            }
        }
        true
    })
    .await;
    assert_eq!(store.token(&[digest(1)]).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(insert(&store, 2).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    eventually("the store is up", async || is_up(&store).await).await;
    assert!(store.token(&[digest(1)]).await.unwrap().is_some());
}

#[tokio::test]
async fn when_memory_is_full_revoking_works_and_issuing_is_refused() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    insert(&store, 2).await.unwrap();
    store.set_state(digest(2), REQUESTED, now()).await.unwrap();
    store.create_client(&app(), Bytes::new(), now()).await.unwrap();
    let end = now().seconds().plus(60);
    store.insert(&[], Some(&new_grant(end)), now()).await.unwrap();
    store.create_user(USER, NAMES, Bytes::new(), now()).await.unwrap();
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    // With scripts known to Redis, and with scripts that have to be sent again.
    for round in 0..2_u8 {
        assert_eq!(insert(&store, 10).await.unwrap_err().kind(), StoreErrorKind::Refused);
        let approval = store.set_state(digest(2), State::Approved, now()).await;
        assert_eq!(approval.unwrap_err().kind(), StoreErrorKind::Refused);
        let creation = store.create_client(&ClientId::parse("new").unwrap(), Bytes::new(), now()).await;
        assert_eq!(creation.unwrap_err().kind(), StoreErrorKind::Refused);
        let revocation = store.set_state(digest(1), REQUESTED, now()).await.unwrap();
        assert_eq!(revocation, [Transition::Changed, Transition::Unchanged][usize::from(round)]);
        let other = NewGrant { id: GrantId([round + 50; 16]), ..new_grant(end) };
        let insertion = store.insert(&[], Some(&other), now()).await;
        assert_eq!(insertion.unwrap_err().kind(), StoreErrorKind::Refused);
        for access in [rotation(end).access, None] {
            let rotated = store.rotate(&Rotation { access, ..rotation(end) }, now()).await;
            assert_eq!(rotated.unwrap_err().kind(), StoreErrorKind::Refused);
        }
        let signed = store.set_signed_state(digest(round + 100), REQUESTED, end, now()).await.unwrap();
        assert_eq!(signed, Transition::Changed);
        assert!(mark(&store, GrantId([round + 50; 16]), &GrantMark::default(), &revoked()).await.unwrap());
        assert_eq!(store.grant_mark(GrantId([round + 50; 16])).await.unwrap(), revoked());
        assert!(raise(&store, EpochAxis::Client("app")).await.unwrap());
        // A client that proves itself with an assertion must be able to revoke.
        assert!(store.use_once([round; 32], end, now()).await.unwrap());
        assert!(store.write_signing_keys(round.into(), Bytes::new()).await.unwrap());
        let version = u64::from(round) + 1;
        let created = store.client("app").await.unwrap().unwrap().created;
        let body = Bytes::from_static(b"revoked");
        let replacement = store.replace_client(&app(), version, created, body).await.unwrap();
        assert_eq!(replacement, ClientWrite::Done { version: version + 1 });
        let names = NAMES.map(|name| UniqueName { canonical: "bob", ..name });
        let creation = store.create_user(UserId([8; UserId::BYTES]), names, Bytes::new(), now()).await;
        assert_eq!(creation.unwrap_err().kind(), StoreErrorKind::Refused);
        let created = store.user(USER).await.unwrap().unwrap().created;
        let disabled = store.replace_user(USER, version, created, Bytes::from_static(b"disabled")).await.unwrap();
        assert_eq!(disabled, ClientWrite::Done { version: version + 1 });
        server.command::<()>(&["SCRIPT", "FLUSH"]).await;
    }
    assert!(store.delete_client(&app()).await.unwrap());
    assert!(store.delete_user(USER, NAMES).await.unwrap());
    assert_eq!(store.user_named(NAMES[0]).await.unwrap(), None);
    assert_eq!(store.token(&[digest(1)]).await.unwrap().unwrap().1.state, REQUESTED);
    assert_eq!(store.token(&[digest(10)]).await.unwrap(), None);
    assert_eq!(store.clients(None, 10).await.unwrap(), []);
    // Memory comes back.
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(insert(&store, 10).await.unwrap(), Insertion::Done);
    assert_eq!(store.rotate(&rotation(end), now()).await.unwrap(), RotationOutcome::Done);
}

#[tokio::test]
async fn a_server_with_too_few_replicas_refuses_writes_and_serves_reads() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    server.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    assert_eq!(insert(&store, 2).await.unwrap_err().kind(), StoreErrorKind::Refused);
    let revocation = store.set_state(digest(1), REQUESTED, now()).await;
    assert_eq!(revocation.unwrap_err().kind(), StoreErrorKind::Refused);
    assert_eq!(store.token(&[digest(1)]).await.unwrap().unwrap().1.state, State::Approved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_lets_calls_finish_and_leaves_no_connection_behind() {
    let server = RedisServer::start().await;
    let store = Arc::new(server.store().await);
    everything_works(&store).await;
    assert_eq!(server.connections().await, 4);
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let store = Arc::clone(&store);
        calls.spawn(async move { insert(&store, number).await });
    }
    store.close().await;
    // Those that had begun were answered; the others were told that the store is closed, and wrote nothing.
    let outcomes = calls.join_all().await;
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let late = outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(|e| e.to_string().contains("closed")));
    assert_eq!(done + late.count(), 100);
    eventually("all are closed", async || server.connections().await == 0).await;
}

#[tokio::test]
async fn dropping_leaves_no_connection_and_no_task_behind() {
    let server = RedisServer::start().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let store = server.store().await;
    everything_works(&store).await;
    assert_eq!(server.connections().await, 4);
    drop(store);
    eventually("all are closed", async || server.connections().await == 0).await;
    eventually("all tasks have ended", async || tasks() <= before).await;
    // The same while there is nothing to connect to.
    let nowhere = RedisServer::not_yet_started().store().await;
    assert!(tasks() > before);
    drop(nowhere);
    eventually("all tasks have ended", async || tasks() <= before).await;
}

//! Creations that are cut off between two of their steps, as by a process that dies there.

use ::bytes::Bytes;

use super::creation::{Claim, Creation};
use crate::client::secret::Secret;
use crate::config::{Acknowledge, Durability, RedisConfig, RedisTopology, RevocationConfig, UnsafeSettings};
use crate::store::redis::RedisStore;
use crate::store::redis::durability::tests::server::{PATIENCE, Server, Talk, eventually};
use crate::store::{StoreErrorKind, UserCreation};
use crate::token::time::{Clock, Now, UnixSeconds};
use crate::user::id::UserId;
use crate::user::name::{NameKind, UniqueName};

const ALICE: UserId = UserId([1; UserId::BYTES]);
const RIVAL: UserId = UserId([2; UserId::BYTES]);
const NAMES: [UniqueName<'static>; 2] = [
    UniqueName { kind: NameKind::Username, canonical: "alice" },
    UniqueName { kind: NameKind::Email, canonical: "alice@example.com" },
];
const DONE: UserCreation = UserCreation::Done { version: 1 };
/// How many steps there are, each claim one of its own.
const STEPS: usize = 5;

async fn open(server: &Server) -> RedisStore {
    let config = RedisConfig {
        url: Secret::new(format!("redis://127.0.0.1:{}", server.port())),
        key_prefix: "itd:".to_owned(),
        connect_timeout: PATIENCE,
        response_timeout: PATIENCE,
        connections: 1,
        ca_file: None,
        topology: RedisTopology::Standalone,
        nodes: Vec::new(),
        sentinel_service: String::new(),
        sentinel_username: None,
        sentinel_password: None,
        dataset: None,
        unsafe_settings: UnsafeSettings::Warn,
        revocation: RevocationConfig {
            acknowledge: Acknowledge::Written,
            durability: Durability::Replay,
            replicas: 1,
            lease: std::time::Duration::from_millis(200),
        },
    };
    let store = RedisStore::open(&config).await.unwrap();
    eventually(async || store.probe().await.is_ok()).await;
    store
}

fn now() -> Now {
    Clock::manual(UnixSeconds(1_800_000_000)).now()
}

/// One of the steps; whether it was done.
async fn step(store: &RedisStore, creation: &Creation, number: usize) -> bool {
    let call = store.begin().unwrap();
    match number {
        0 | 1 => creation.claim(&call, creation.name(number)).await.unwrap() == Claim::Ours,
        2 => creation.begin(&call, Bytes::new()).await.unwrap(),
        3 => creation.keep_names(&call).await.unwrap().is_none(),
        _ => creation.finish(&call).await.unwrap(),
    }
}

/// Has everything expire that ever will, of users and names.
async fn pass_time(talk: &mut Talk) {
    for kind in ["itd:u:*", "itd:l:*"] {
        let keys: Vec<String> = talk.command(&["KEYS", kind]).await;
        for key in keys {
            let left: i64 = talk.command(&["PTTL", &key]).await;
            assert!(left == -1 || (100_000..=120_000).contains(&left), "{key} {left}");
            if left > 0 {
                let _: i64 = talk.command(&["DEL", &key]).await;
            }
        }
    }
}

async fn assert_is_nobody(store: &RedisStore, id: UserId) {
    assert_eq!(store.user(id).await.unwrap(), None);
    for name in NAMES {
        assert_eq!(store.user_named(name).await.unwrap().filter(|(found, _)| *found == id), None);
    }
    assert!(store.users(None, 10).await.unwrap().iter().all(|(found, _)| *found != id));
}

async fn assert_is_there(store: &RedisStore, id: UserId) {
    for name in NAMES {
        assert_eq!(store.user_named(name).await.unwrap().unwrap().0, id);
    }
    assert_eq!(store.users(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_creation_that_is_cut_off_anywhere_leaves_its_names_to_others_when_its_claims_have_expired() {
    for done in 1..STEPS {
        let server = Server::start().await;
        let (store, mut talk) = (open(&server).await, server.talk().await);
        let creation = Creation::new(&store.fleet, &store.keys, ALICE, NAMES);
        for number in 0..done {
            assert!(step(&store, &creation, number).await, "{number}");
        }
        // Until then nobody has them, and nobody gets them.
        assert_is_nobody(&store, ALICE).await;
        // Nor is anybody told that they are taken: whoever lost the answer may be the one who asks again.
        let rival = store.create_user(RIVAL, NAMES, Bytes::new(), now()).await.unwrap_err();
        assert_eq!(rival.kind(), StoreErrorKind::Unavailable, "cut off after {done}: {rival:?}");
        assert_is_nobody(&store, RIVAL).await;
        pass_time(&mut talk).await;
        assert_eq!(store.create_user(RIVAL, NAMES, Bytes::new(), now()).await.unwrap(), DONE, "cut off after {done}");
        assert_is_there(&store, RIVAL).await;
        // Whoever was only slow finds out.
        let mut number = done;
        while step(&store, &creation, number).await {
            number += 1;
            assert!(number < STEPS, "cut off after {done}");
        }
        for name in NAMES {
            assert_eq!(store.user_named(name).await.unwrap().unwrap().0, RIVAL);
        }
    }
}

#[tokio::test]
async fn a_creation_whose_time_is_up_gives_way_and_gives_back_what_it_has() {
    for lost in 0..2 {
        let server = Server::start().await;
        let (store, mut talk) = (open(&server).await, server.talk().await);
        let creation = Creation::new(&store.fleet, &store.keys, ALICE, NAMES);
        for number in 0..3 {
            assert!(step(&store, &creation, number).await, "{number}");
        }
        let _: i64 = talk.command(&["DEL", creation.name(lost)]).await;
        assert!(!step(&store, &creation, 3).await, "a claim has gone");
        creation.give_back_all().await;
        let keys: Vec<String> = talk.command(&["KEYS", "itd:[ilu]:*"]).await;
        assert_eq!(keys, [] as [String; 0]);
        assert_eq!(store.create_user(RIVAL, NAMES, Bytes::new(), now()).await.unwrap(), DONE);
        assert_is_there(&store, RIVAL).await;
    }
}

#[tokio::test]
async fn a_user_who_has_come_is_not_taken_back() {
    let server = Server::start().await;
    let store = open(&server).await;
    let creation = Creation::new(&store.fleet, &store.keys, ALICE, NAMES);
    for number in 0..STEPS {
        assert!(step(&store, &creation, number).await, "{number}");
    }
    creation.give_back_all().await;
    assert_is_there(&store, ALICE).await;
}

/// What the names are kept by when the primary has lost them: the memory of a node.
#[tokio::test]
async fn a_user_is_found_by_both_names_after_a_primary_has_come_back_without_them() {
    let server = Server::start().await;
    let (store, mut talk) = (open(&server).await, server.talk().await);
    assert_eq!(store.create_user(ALICE, NAMES, Bytes::new(), now()).await.unwrap(), DONE);
    let created = store.user(ALICE).await.unwrap().unwrap().created;
    let record: Vec<u8> = talk.command(&["GET", &store.keys.user(ALICE)]).await;
    let replaced = store.replace_user(ALICE, 1, created, Bytes::from_static(b"disabled")).await.unwrap();
    assert_eq!(replaced, crate::store::DocumentWrite::Done { version: 2 });
    // What a replica has that has not heard of the last writes, and takes the place of the primary.
    let replica = server.replica().await;
    let mut other = replica.talk().await;
    let _: () = other.command(&["REPLICAOF", "NO", "ONE"]).await;
    for name in NAMES {
        let _: i64 = other.command(&["DEL", &store.keys.user_name(name)]).await;
    }
    other.set(&store.keys.user(ALICE), &record, None).await;
    let ring = &store.fleet.common.upkeep.ring;
    let incarnation = other.incarnation().await;
    let mut replay = crate::store::redis::durability::reassert::Replay::new(ring, incarnation, "itd:");
    let replayed = replay.catch_up(&mut other, ring, |_| true, PATIENCE).await.unwrap();
    assert_eq!(replayed.restored, 3, "{replayed:?}");
    let after = open(&replica).await;
    assert_is_there(&after, ALICE).await;
    assert_eq!(after.user(ALICE).await.unwrap().unwrap().body, &b"disabled"[..]);
    assert!(matches!(after.create_user(RIVAL, NAMES, Bytes::new(), now()).await.unwrap(), UserCreation::Taken(_)));
}

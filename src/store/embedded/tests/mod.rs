//! What needs a hand inside: a disk that fills up, a power loss, a writer that is held, bytes that are wrong.

mod announced;
mod hands;
mod power;

use std::sync::PoisonError;
use std::time::Instant;

use tempfile::TempDir;

pub(super) use self::hands::Hands;
use super::*;
use crate::store::embedded::tables::{CLIENTS, DOCUMENTS, ENTRIES, EXPIRY, Entry, TOKENS, USERS};
use crate::store::{Around, Signed};
use crate::token::claims::Claims;
use crate::token::grant::{GrantRecord, TokenFormat};
use crate::token::scope::Scope;
use crate::token::value::TokenKind;
use crate::user::name::NameKind;

const START: UnixSeconds = UnixSeconds(1_000_000);

const AROUND: Around<'_> = Around::of_client("app");

fn token(number: u64, lifetime: u64) -> (TokenDigest, Record) {
    let mut digest = [0; TokenDigest::BYTES];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    let record = Record {
        state: State::Approved,
        stamp: Stamp(0),
        owner_created: Stamp(0),
        kind: TokenKind::Access,
        issued_at: START,
        not_before: None,
        expires_at: START.plus(lifetime),
        client_id: "app".into(),
        subject: None,
        username: None,
        scope: Scope::default(),
        audience: vec![],
        grant: None,
        claims: Claims::default(),
    };
    (TokenDigest(digest), record)
}

fn open(limits: Limits) -> (TempDir, Clock, EmbeddedStore) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = EmbeddedStore::open_with(folder.path(), clock.clone(), limits).unwrap();
    (folder, clock, store)
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_the_store_recovers_when_there_is_room() {
    let (_folder, clock, store) = open(Limits::default());
    store.insert(&[token(1, 60)], None, clock.now()).await.unwrap();

    store.shared.traffic.hands.fill_disk(true);
    for number in 2..5 {
        let error = store.insert(&[token(number, 60)], None, clock.now()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    }
    // Absence must not be concluded from a store that cannot read.
    if let Ok(found) = store.token(&[token(1, 60).0]).await {
        assert!(found.is_some());
    }

    store.shared.traffic.hands.fill_disk(false);
    until("a write succeeds again", async || store.insert(&[token(9, 60)], None, clock.now()).await.is_ok()).await;
    assert!(store.token(&[token(1, 60).0]).await.unwrap().is_some(), "acknowledged before the disk was full");
    assert!(store.token(&[token(9, 60).0]).await.unwrap().is_some());
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
async fn a_full_disk_met_by_the_sweep_mends_without_any_write() {
    let (_folder, clock, store) = open(Limits::default());
    store.insert(&[token(1, 60)], None, clock.now()).await.unwrap();
    store.shared.traffic.hands.fill_disk(true);
    clock.advance(Duration::from_secs(61));
    until("the sweep meets the full disk", async || store.probe().await.is_err()).await;

    store.shared.traffic.hands.fill_disk(false);
    until("the store answers and has forgotten the token", async || {
        store.audit().is_ok_and(|audit| audit.expiries == 0)
    })
    .await;
}

#[tokio::test]
async fn a_read_that_fails_is_a_fault_and_mends_when_the_disk_does() {
    let (folder, clock, store) = open(Limits::default());
    let tokens: Vec<_> = (0..5_000).map(|number| token(number, 60)).collect();
    store.insert(&tokens, None, clock.now()).await.unwrap();
    store.close().await;

    // Opened anew, so that not every page is in memory.
    let store = EmbeddedStore::open(folder.path(), clock).unwrap();
    store.shared.traffic.hands.break_reading(true);
    let mut faults = 0;
    for (digest, _) in &tokens {
        match store.token(&[*digest]).await {
            Ok(found) => assert!(found.is_some(), "a fault was taken for absence"),
            Err(error) => faults += usize::from(error.kind() != StoreErrorKind::Damaged),
        }
    }
    assert!(faults > 0);

    store.shared.traffic.hands.break_reading(false);
    until("everything is read again", async || {
        let mut found = 0;
        for (digest, _) in &tokens {
            found += usize::from(store.token(&[*digest]).await.is_ok_and(|found| found.is_some()));
        }
        found == tokens.len()
    })
    .await;
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the lock is what holds the writer back")]
async fn a_full_queue_refuses_at_once_and_what_it_took_is_still_written() {
    let (_folder, clock, store) = open(Limits { max_waiting: 8, ..Limits::default() });
    let now = clock.now();
    let held = store.shared.access.write().unwrap_or_else(PoisonError::into_inner);
    let store = &store;
    let (refused, taken) = {
        let mut waiting = Vec::new();
        let mut refused = 0;
        // The writer has taken at most one group out of the queue, and the queue holds eight.
        for number in 0..100 {
            let token = [token(number, 60)];
            let mut write = Box::pin(async move { store.insert(&token, None, now).await });
            match poll_once(&mut write).await {
                Some(answer) => {
                    let error = answer.unwrap_err();
                    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                    assert!(error.is_transient());
                    refused += 1;
                }
                None => waiting.push((number, write)),
            }
        }
        (refused, waiting)
    };
    assert!(refused >= 100 - 8 - 8, "only {refused} were refused");
    drop(held);
    for (number, write) in taken {
        assert_eq!(write.await.unwrap(), Insertion::Done);
        assert!(store.token(&[token(number, 60).0]).await.unwrap().is_some());
    }
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the lock is what holds the writer back")]
async fn a_write_that_the_disk_does_not_take_in_time_is_unavailable_and_may_still_happen() {
    let (_folder, clock, store) = open(Limits { write_deadline: Duration::from_millis(20), ..Limits::default() });
    let held = store.shared.access.write().unwrap_or_else(PoisonError::into_inner);
    let error = store.insert(&[token(1, 60)], None, clock.now()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    drop(held);
    until("the write is done", async || store.token(&[token(1, 60).0]).await.is_ok_and(|found| found.is_some())).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_damage_and_never_absence() {
    let (_folder, clock, store) = open(Limits::default());
    let digest = TokenDigest([7; 16]);
    let id = ClientId::parse("app").unwrap();
    tamper(&store, |transaction| {
        transaction.open_table(TOKENS).unwrap().insert(&digest.0, &[1u8, 2, 3][..]).unwrap();
        transaction.open_table(CLIENTS).unwrap().insert(&b"app"[..], &[1u8][..]).unwrap();
    });
    let damaged = |error: StoreError| error.kind() == StoreErrorKind::Damaged;
    assert!(damaged(store.token(&[digest]).await.unwrap_err()));
    assert!(damaged(store.set_state(digest, State::Approved, clock.now()).await.unwrap_err()));
    assert!(damaged(store.insert(&[(digest, token(1, 60).1)], None, clock.now()).await.unwrap_err()));
    assert!(damaged(store.client("app").await.unwrap_err()));
    assert!(damaged(store.surroundings(AROUND).await.unwrap_err()));
    assert!(damaged(store.clients(None, 9).await.unwrap_err()));
    assert!(damaged(store.replace_client(&id, 1, Stamp(1), Bytes::new()).await.unwrap_err()));
    assert!(damaged(store.audit().unwrap_err()));
    // The rest of the file is as good as before.
    assert_eq!(store.insert(&[token(1, 60)], None, clock.now()).await.unwrap(), Insertion::Done);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_damage_and_never_absence() {
    let (_folder, clock, store) = open(Limits::default());
    let (grant, token, now) = (GrantId([3; 16]), TokenDigest([7; 16]), clock.now());
    let pair = EpochAxis::ClientUser { client_id: "app", subject: "alice" };
    let axes = [EpochAxis::Issuer, EpochAxis::Client("app"), EpochAxis::User("alice"), pair, EpochAxis::Key("k")];
    let around =
        Around { subject: Some("alice"), grant: Some(grant), signed: Some(Signed { token, key: "k" }), ..AROUND };
    let damaged = |error: StoreError| error.kind() == StoreErrorKind::Damaged;
    let names = axes.map(Name::epoch).into_iter().chain([Name::mark(grant), Name::signed(token)]);
    for name in names.chain([Name::grant(grant)]) {
        for value in [&[][..], &[1, 2, 3], &[0; 9]] {
            tamper(&store, |transaction| {
                let mut entries = transaction.open_table(ENTRIES).unwrap();
                entries.insert(&name.to_bytes(), Entry::row(START.plus(60), value).as_slice()).unwrap();
            });
            if name.kind == tables::Kind::Grant {
                assert!(damaged(store.grant(grant).await.unwrap_err()), "{name:?}");
            } else {
                assert!(damaged(store.surroundings(around).await.unwrap_err()), "{name:?}");
            }
            assert!(damaged(store.audit().unwrap_err()), "{name:?}");
        }
        if name.kind == tables::Kind::Mark {
            assert!(damaged(store.grant_mark(grant).await.unwrap_err()));
        }
        tamper(&store, |transaction| {
            transaction.open_table(ENTRIES).unwrap().remove(&name.to_bytes()).unwrap();
        });
    }
    assert!(store.surroundings(around).await.is_ok());

    tamper(&store, |transaction| {
        let mut entries = transaction.open_table(ENTRIES).unwrap();
        for name in [Name::epoch(EpochAxis::Issuer), Name::signed(token), Name::mark(grant), Name::grant(grant)] {
            entries.insert(&name.to_bytes(), Entry::row(START.plus(60), &[]).as_slice()).unwrap();
        }
        transaction.open_table(DOCUMENTS).unwrap().insert(SIGNING_KEYS, &[1u8][..]).unwrap();
    });
    let raised = store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, START.plus(60), now).await;
    assert!(damaged(raised.unwrap_err()));
    let revoked = store.set_signed_state(token, State::Approved, START.plus(60), now).await;
    assert!(damaged(revoked.unwrap_err()));
    assert!(damaged(store.signing_keys().await.unwrap_err()));
    assert!(damaged(store.write_signing_keys(1, Bytes::new()).await.unwrap_err()));
}

#[tokio::test]
async fn a_damaged_mark_or_grant_stops_a_rotation() {
    let (_folder, clock, store) = open(Limits::default());
    let (grant, now) = (GrantId([3; 16]), clock.now());
    let current = TokenDigest([1; 16]);
    let record = GrantRecord {
        current,
        previous: None,
        rotated_at: START,
        access: TokenDigest([9; 16]),
        format: TokenFormat::Opaque,
        token: token(1, 60).1,
    };
    let rotation = Rotation { grant, from: current, to: record, keep_until: START.plus(60), access: None };
    for name in [Name::mark(grant), Name::grant(grant)] {
        tamper(&store, |transaction| {
            let mut entries = transaction.open_table(ENTRIES).unwrap();
            entries.insert(&name.to_bytes(), Entry::row(START.plus(60), &[1, 2]).as_slice()).unwrap();
        });
        assert_eq!(store.rotate(&rotation, now).await.unwrap_err().kind(), StoreErrorKind::Damaged, "{name:?}");
        tamper(&store, |transaction| {
            transaction.open_table(ENTRIES).unwrap().remove(&name.to_bytes()).unwrap();
        });
    }
    assert_eq!(store.rotate(&rotation, now).await.unwrap(), RotationOutcome::Absent);
}

const USER: UserId = UserId([5; UserId::BYTES]);
const NAMES: [UniqueName<'static>; 2] = [
    UniqueName { kind: NameKind::Username, canonical: "alice" },
    UniqueName { kind: NameKind::Email, canonical: "alice@example.com" },
];

#[tokio::test]
async fn a_user_that_cannot_be_read_is_damage_and_never_absence() {
    let (_folder, clock, store) = open(Limits::default());
    store.create_user(USER, NAMES, Bytes::new(), clock.now()).await.unwrap();
    let damaged = |error: StoreError| error.kind() == StoreErrorKind::Damaged;
    for length in 0..16 {
        tamper(&store, |transaction| {
            transaction.open_table(USERS).unwrap().insert(&USER.0, &[1_u8; 16][..length]).unwrap();
        });
        assert!(damaged(store.user(USER).await.unwrap_err()));
        assert!(damaged(store.user_named(NAMES[1]).await.unwrap_err()));
        assert!(damaged(store.users(None, 9).await.unwrap_err()));
        assert!(damaged(store.replace_user(USER, 1, Stamp(1), Bytes::new()).await.unwrap_err()));
        assert!(damaged(store.audit().unwrap_err()));
    }
    assert!(store.delete_user(USER, NAMES).await.unwrap());
}

#[tokio::test]
async fn the_audit_sees_names_of_nobody_and_users_without_names_and_such_names_can_be_taken() {
    let (_folder, clock, store) = open(Limits::default());
    store.create_user(USER, NAMES, Bytes::new(), clock.now()).await.unwrap();
    let audit = store.audit().unwrap();
    assert_eq!((audit.users, audit.names, audit.misnamed, audit.is_sound()), (1, 2, 0, true));
    tamper(&store, |transaction| {
        transaction.open_table(USERS).unwrap().remove(&USER.0).unwrap();
    });
    let audit = store.audit().unwrap();
    assert_eq!((audit.users, audit.names, audit.misnamed, audit.is_sound()), (0, 2, 2, false));
    assert_eq!(store.user_named(NAMES[0]).await.unwrap(), None);
    let heir = UserId([6; UserId::BYTES]);
    let outcome = store.create_user(heir, NAMES, Bytes::new(), clock.now()).await.unwrap();
    assert_eq!(outcome, UserCreation::Done { version: 1 });
    assert!(store.audit().unwrap().is_sound());
    tamper(&store, |transaction| {
        transaction.open_table(tables::NAMES).unwrap().pop_first().unwrap();
    });
    let audit = store.audit().unwrap();
    assert_eq!((audit.users, audit.names, audit.misnamed, audit.is_sound()), (1, 1, 1, false));
}

#[tokio::test]
async fn a_folder_of_before_there_were_users_is_opened_and_takes_them() {
    let (folder, clock, store) = open(Limits::default());
    store.insert(&[token(1, 60)], None, clock.now()).await.unwrap();
    tamper(&store, |transaction| {
        assert!(transaction.delete_table(USERS).unwrap());
        assert!(transaction.delete_table(tables::NAMES).unwrap());
    });
    store.close().await;
    drop(store);
    for version in [1, 2] {
        let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
        assert!(store.token(&[token(1, 60).0]).await.unwrap().is_some());
        if version == 1 {
            assert_eq!(store.user_named(NAMES[0]).await.unwrap(), None);
            assert_eq!(store.users(None, 9).await.unwrap(), []);
            store.create_user(USER, NAMES, Bytes::new(), clock.now()).await.unwrap();
        }
        let created = store.user_named(NAMES[0]).await.unwrap().unwrap().1.created;
        let replaced = store.replace_user(USER, version, created, Bytes::new()).await.unwrap();
        assert_eq!(replaced, DocumentWrite::Done { version: version + 1 });
        assert!(store.audit().unwrap().is_sound());
    }
}

/// Writes past the store.
fn tamper(store: &EmbeddedStore, write: impl FnOnce(&redb::WriteTransaction)) {
    let access = store.shared.access.read().unwrap();
    let Access::Open(database) = &*access else { panic!("open") };
    let transaction = database.begin_write().unwrap();
    write(&transaction);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn the_audit_sees_a_token_that_nothing_would_forget_and_an_expiry_of_nothing() {
    let (_folder, clock, store) = open(Limits::default());
    store.insert(&[token(1, 60), token(2, 60)], None, clock.now()).await.unwrap();
    assert!(store.audit().unwrap().is_sound());
    tamper(&store, |transaction| {
        let mut expiry = transaction.open_table(EXPIRY).unwrap();
        expiry.pop_first().unwrap();
        expiry.insert(&[0xEE; 21], ()).unwrap();
    });
    let audit = store.audit().unwrap();
    assert!(!audit.is_sound());
    assert_eq!((audit.unforgettable, audit.stray), (1, 1));
}

#[tokio::test]
async fn every_acknowledged_write_cost_a_sync_of_its_own_when_nobody_else_wrote() {
    let (_folder, clock, store) = open(Limits::default());
    let before = store.statistics();
    for number in 0..20 {
        store.insert(&[token(number, 60)], None, clock.now()).await.unwrap();
        let after = store.statistics();
        assert_eq!(after.commits - before.commits, number + 1);
        assert!(after.syncs - before.syncs > number, "{after:?}");
    }
}

/// Polls once: what is ready at once, or `None`.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut future = std::pin::Pin::new(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

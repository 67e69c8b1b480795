//! One folder, one process; what is found in it and what is made of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use introspectd::client::ClientId;
use introspectd::store::embedded::{EmbeddedStore, OpenError};
use introspectd::store::{Around, ClientWrite, Insertion, NewGrant, Signed, StoreErrorKind, Transition};
use introspectd::token::digest::GrantId;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::GrantMark;
use introspectd::token::record::{Reason, State};
use introspectd::token::time::{Clock, Stamp};

use crate::child::{self, Role};
use crate::common::{START, created, grant, token};

const REVOKED: State = State::Revoked(Reason::REQUESTED);

fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, Clock::manual(START)).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn database(folder: &Path) -> std::path::PathBuf {
    folder.join("tokens.redb")
}

fn other_process(folder: &Path) -> String {
    let output = child::command(Role::Open, folder).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_second_process_is_refused_by_name_of_the_folder_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::manual(START).now();
    let store = open(folder.path());
    let first = token(1, START.plus(60));
    store.insert(std::slice::from_ref(&first), None, now).await.unwrap();

    let said = other_process(folder.path());
    assert!(said.contains("refused: the store in ") && said.contains("in use by another process"), "{said}");
    assert!(said.contains(folder.path().to_str().unwrap()), "{said}");

    assert_eq!(store.set_state(first.0, REVOKED, now).await.unwrap(), Transition::Changed);
    assert_eq!(store.token(&[first.0]).await.unwrap().unwrap().1.state, REVOKED);
    store.close().await;

    // Closing is enough: the handle may live on, and a folder once used has no lock left in it.
    let said = other_process(folder.path());
    assert!(said.contains("opened"), "{said}");
    assert_eq!(store.token(&[first.0]).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_second_store_in_the_same_process_is_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = EmbeddedStore::open(folder.path(), Clock::manual(START)).unwrap_err();
    assert!(matches!(&error, OpenError::InUse { folder: named } if named == folder.path()), "{error:?}");
    store.probe().await.unwrap();
    drop(store);
    open(folder.path()).probe().await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_closing_and_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::manual(START).now();
    let tokens: Vec<_> = (0..50).map(|number| token(number, START.plus(60))).collect();
    let (id, signed, end) = (GrantId([3; 16]), token(99, START).0, START.plus(60));
    let kept = grant(1, end);
    let mark = GrantMark::default().revoked(Reason::REQUESTED);
    let client = ClientId::parse("app").unwrap();
    {
        let store = open(folder.path());
        let new = NewGrant { id, record: kept.clone(), keep_until: end };
        assert_eq!(store.insert(&tokens, Some(&new), now).await.unwrap(), Insertion::Done);
        store.set_state(tokens[7].0, REVOKED, now).await.unwrap();
        assert!(store.mark_grant(id, &GrantMark::default(), &mark, end).await.unwrap());
        assert!(store.raise_epoch(EpochAxis::User("alice"), None, Reason::BULK, end, now).await.unwrap());
        store.set_signed_state(signed, REVOKED, end, now).await.unwrap();
        assert!(store.use_once([7; 32], end, now).await.unwrap());
        assert!(store.write_signing_keys(0, "keys".into()).await.unwrap());
        store.create_client(&client, "{}".into(), now).await.unwrap();
        let done = store.replace_client(&client, 1, created(&store, &client).await, "{\"a\":1}".into()).await.unwrap();
        assert_eq!(done, ClientWrite::Done { version: 2 });
        store.close().await;
    }
    let store = open(folder.path());
    for (number, (digest, _)) in tokens.iter().enumerate() {
        let (_, record) = store.token(&[*digest]).await.unwrap().unwrap();
        assert_eq!(record.state, if number == 7 { REVOKED } else { State::Approved });
    }
    let signed = Some(Signed { token: signed, key: "k" });
    let around = Around { subject: Some("alice"), grant: Some(id), signed, ..Around::of_client("app") };
    let around = store.surroundings(around).await.unwrap();
    assert_eq!((around.grant, around.revoked), (mark, Some(Reason::REQUESTED)));
    assert_eq!(around.epochs.user.unwrap().reason, Reason::BULK);
    assert_eq!(store.grant(id).await.unwrap(), Some(kept));
    assert!(!store.use_once([7; 32], end, now).await.unwrap());
    assert_eq!(store.signing_keys().await.unwrap().unwrap().body, "keys");
    let document = around.client.unwrap();
    assert_eq!((document.version, &*document.body), (2, &b"{\"a\":1}"[..]));
    assert!(store.audit().unwrap().is_sound());
}

#[tokio::test]
async fn dropping_the_store_finishes_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::manual(START).now();
    let first = token(1, START.plus(60));
    let store = open(folder.path());
    let write = async { store.insert(std::slice::from_ref(&first), None, now).await };
    // Polled once, so that it is queued, and then left.
    drop(tokio::time::timeout(std::time::Duration::ZERO, write).await);
    drop(store);
    assert!(open(folder.path()).token(&[first.0]).await.unwrap().is_some());
}

#[tokio::test]
async fn after_closing_every_call_is_unavailable_and_closing_again_is_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::manual(START).now();
    let store = open(folder.path());
    let client = ClientId::parse("app").unwrap();
    let first = token(1, START.plus(60));
    tokio::join!(store.close(), store.close());
    store.close().await;
    let nobody = Around::of_client("app");
    let kinds = [
        store.token(&[first.0]).await.unwrap_err().kind(),
        store.surroundings(nobody).await.unwrap_err().kind(),
        store.insert(std::slice::from_ref(&first), None, now).await.unwrap_err().kind(),
        store.set_state(first.0, REVOKED, now).await.unwrap_err().kind(),
        store.client("app").await.unwrap_err().kind(),
        store.clients(None, 1).await.unwrap_err().kind(),
        store.create_client(&client, "{}".into(), now).await.unwrap_err().kind(),
        store.replace_client(&client, 1, Stamp(1), "{}".into()).await.unwrap_err().kind(),
        store.delete_client(&client).await.unwrap_err().kind(),
        store.probe().await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [StoreErrorKind::Unavailable; 10]);
}

#[test]
fn a_missing_folder_is_made_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    drop(open(&path));
    assert_eq!((mode(&path), mode(&database(&path))), (0o700, 0o600));
}

#[test]
fn a_file_in_place_of_the_folder_is_named_as_the_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::write(&path, "").unwrap();
    for path in [path.clone(), path.join("below")] {
        let error = EmbeddedStore::open(&path, Clock::System).unwrap_err();
        assert!(matches!(&error, OpenError::NotAFolder { path: named } if *named == path), "{error:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named_as_the_mistake() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let opened = EmbeddedStore::open(folder.path(), Clock::System);
    let privileged = fs::write(folder.path().join("probe"), "").is_ok();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    // The superuser may write anywhere; there is nothing to refuse then.
    if !privileged {
        assert!(matches!(opened, Err(OpenError::NotWritable { .. })), "{opened:?}");
    }
}

#[test]
fn a_file_that_is_no_database_is_damaged_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let content = b"not a database, whatever its name".repeat(400);
    fs::write(database(folder.path()), &content).unwrap();
    let error = EmbeddedStore::open(folder.path(), Clock::System).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert_eq!(fs::read(database(folder.path())).unwrap(), content);
}

#[test]
fn an_empty_file_is_not_taken_for_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(database(folder.path()), "").unwrap();
    let error = EmbeddedStore::open(folder.path(), Clock::System).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn what_a_process_left_that_was_killed_while_it_made_the_database_is_tidied_up() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".tokens.redb.q9w8e7"), [0; 4096]).unwrap();
    drop(open(folder.path()));
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["tokens.redb"]);
}

#[test]
fn of_several_that_make_the_store_at_the_same_time_one_has_it() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(4);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let make = || {
                start.wait();
                EmbeddedStore::open(folder.path(), Clock::manual(START))
            };
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(OpenError::InUse { .. }))).count();
        assert_eq!((outcomes.iter().flatten().count(), refused), (1, 3), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_cut_or_overwritten_database_is_never_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::manual(START).now();
    let tokens: Vec<_> = (0..500).map(|number| token(number, START.plus(60))).collect();
    let store = open(folder.path());
    store.insert(&tokens, None, now).await.unwrap();
    store.close().await;
    let whole = fs::read(database(folder.path())).unwrap();

    let mut damages: Vec<Vec<u8>> = [64, 4096, whole.len() / 2].map(|length| whole[..length].to_vec()).into();
    for (from, to) in [(0, 64), (64, 512), (4096, whole.len())] {
        let mut overwritten = whole.clone();
        overwritten[from..to].fill(0xA5);
        damages.push(overwritten);
    }
    for (number, damage) in damages.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(database(folder.path()), damage).unwrap();
        match EmbeddedStore::open(folder.path(), Clock::manual(START)) {
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "damage {number}: {error:?}"),
            // redb reads pages when they are asked for. What it cannot read must be a fault, or the token itself.
            Ok(store) => {
                for (digest, _) in &tokens {
                    if let Ok(found) = store.token(&[*digest]).await {
                        assert!(found.is_some(), "damage {number} made a token absent");
                    }
                }
            }
        }
    }
}

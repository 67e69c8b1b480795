//! The store contract, sentence by sentence: one list of tests, run over every store.
//!
//! A test sees a [`Subject`]: a store, and a clock that it can wait by. Over Redis the clock is the system's, and
//! waiting is real; over a store with a clock of its own it is a hand that is moved.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use introspectd::client::ClientId;
use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{Backend, ClientWrite, Insertion, Store, StoreErrorKind, Transition};
use introspectd::token::claims::Claims;
use introspectd::token::decision::Standing;
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Clock, Now, Stamp, UnixSeconds};
use tokio::task::JoinSet;

use crate::support::redis::RedisServer;
use crate::support::{digest, eventually, grant, record};

/// The list. `over!(redis)` runs all of it over what `Subject::redis` makes, in a module of that name.
macro_rules! over {
    ($store:ident) => {
        over! { $store:
            a_client_that_exists_is_listed_whatever_was_deleted_beside_it
            a_closed_store_is_unavailable
            a_created_client_is_read_back_everywhere
            a_deleted_client_is_gone
            a_duplicate_is_refused_and_the_first_one_stays
            a_grant_can_be_revoked_before_and_after_its_tokens_are_issued
            a_grant_without_a_mark_and_no_grant_at_all_are_approved
            a_large_client_reads_back
            a_mark_is_kept_until_the_latest_expiry_named
            a_record_that_cannot_be_stored_leaves_no_companion_behind
            a_recreated_client_is_created_later
            a_replacement_cannot_reach_the_successor_of_a_deleted_client
            a_replacement_must_name_the_present_version
            a_token_is_read_back_as_it_was_put_in
            a_token_may_be_taken_over_revoked
            a_write_whose_caller_goes_away_is_done_or_not_done
            an_approved_token_can_be_revoked_again
            an_expired_record_is_accepted_and_forgotten
            an_expired_token_cannot_be_approved_and_can_still_be_revoked
            an_unknown_token_has_no_state
            clients_are_listed_in_the_order_of_their_bytes_whatever_they_are_called
            nothing_is_found_under_no_digest
            of_concurrent_creations_exactly_one_wins
            of_concurrent_inserts_exactly_one_is_done
            of_concurrent_replacements_exactly_one_wins
            of_several_digests_the_first_that_is_kept_is_found
            revoking_an_expired_grant_does_nothing
            revoking_changes_the_state_and_nothing_else
            revoking_twice_keeps_the_first_reason
            stamps_follow_the_order_of_writes
            tokens_inserted_together_are_all_kept
            what_has_expired_is_forgotten_without_being_asked
        }
    };
    ($store:ident: $($name:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(super::Subject::$store().await).await;
                }
            )*
        }
    };
}

over!(redis);

over!(embedded);

/// A store under test.
struct Subject {
    store: Arc<Store>,
    clock: Clock,
    /// What the store lives in, and goes away after it.
    _keeper: Box<dyn Any + Send>,
}

impl Subject {
    #[allow(clippy::unused_async, reason = "the other store's has to wait")]
    async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(UnixSeconds(1_800_000_000));
        let store = EmbeddedStore::open(folder.path(), clock.clone()).unwrap();
        Self { store: Arc::new(Store::new(Backend::Embedded(store))), clock, _keeper: Box::new(folder) }
    }

    async fn redis() -> Self {
        let server = RedisServer::start().await;
        let store = Arc::new(Store::new(Backend::Redis(server.store().await)));
        Self { store, clock: Clock::System, _keeper: Box::new(server) }
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    /// The moment this many seconds from now.
    fn within(&self, seconds: u64) -> UnixSeconds {
        self.now().seconds().plus(seconds)
    }

    /// Lets time pass until this moment.
    async fn pass(&self, until: UnixSeconds) {
        let left = until.since(self.now().seconds());
        self.clock.advance(std::time::Duration::from_secs(left));
        eventually("time passes", async || self.now().seconds() >= until).await;
    }

    async fn insert(&self, number: u8, record: &Record) -> Insertion {
        self.store.insert(&[(digest(number), record.clone())], self.now()).await.unwrap()
    }

    async fn read(&self, number: u8) -> Option<Record> {
        let found = self.store.token(&[digest(number)]).await.unwrap();
        found.map(|(found, record)| {
            assert_eq!(found, digest(number));
            record
        })
    }

    async fn set_state(&self, number: u8, state: State) -> Transition {
        self.store.set_state(digest(number), state, self.now()).await.unwrap()
    }

    async fn create(&self, id: &ClientId, body: &'static str) -> ClientWrite {
        self.store.create_client(id, Bytes::from_static(body.as_bytes()), self.now()).await.unwrap()
    }

    async fn replace(&self, id: &ClientId, version: u64, body: &'static str) -> ClientWrite {
        let created = self.created(id).await;
        self.store.replace_client(id, version, created, Bytes::from_static(body.as_bytes())).await.unwrap()
    }

    /// When a client was created; a moment at which none was, if there is none.
    async fn created(&self, id: &ClientId) -> Stamp {
        self.store.client(id.as_str()).await.unwrap().map_or(Stamp(1), |document| document.created)
    }

    async fn standing(&self, number: u8) -> Standing {
        let grant = grant(number, UnixSeconds(0)).id;
        self.store.surroundings("app", Some(grant)).await.unwrap().grant
    }
}

fn client_id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

/// A record without the part that the store writes.
fn unstamped(record: Record) -> Record {
    Record { stamp: Stamp(0), ..record }
}

const REQUESTED: State = State::Revoked(Reason::REQUESTED);

fn reason(byte: u8) -> Reason {
    Reason::from_byte(byte).unwrap()
}

// === tokens ===

async fn a_token_is_read_back_as_it_was_put_in(subject: Subject) {
    let full = record(subject.within(60));
    let bare = Record {
        not_before: None,
        subject: None,
        username: None,
        scope: Scope::default(),
        audience: vec![],
        grant: None,
        claims: Claims::default(),
        expires_at: UnixSeconds::MAX,
        ..full.clone()
    };
    for (number, record) in [(1, full), (2, bare)] {
        assert_eq!(subject.insert(number, &record).await, Insertion::Done);
        let read = subject.read(number).await.unwrap();
        assert_ne!(read.stamp, Stamp(0));
        assert_eq!(unstamped(read), record);
    }
    assert_eq!(subject.read(3).await, None);
}

async fn tokens_inserted_together_are_all_kept(subject: Subject) {
    let record = record(subject.within(60));
    let tokens: Vec<_> = (1..=5).map(|number| (digest(number), record.clone())).collect();
    assert_eq!(subject.store.insert(&tokens, subject.now()).await.unwrap(), Insertion::Done);
    for number in 1..=5 {
        assert_eq!(unstamped(subject.read(number).await.unwrap()), record);
    }
    assert_eq!(subject.store.insert(&[], subject.now()).await.unwrap(), Insertion::Done);
}

async fn nothing_is_found_under_no_digest(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    assert_eq!(subject.store.token(&[]).await.unwrap(), None);
}

async fn of_several_digests_the_first_that_is_kept_is_found(subject: Subject) {
    let record = record(subject.within(60));
    subject.insert(2, &record).await;
    subject.insert(4, &record).await;
    for (asked, found) in [([1, 2, 3, 4], Some(2)), ([4, 3, 2, 1], Some(4)), ([5, 6, 7, 8], None)] {
        let read = subject.store.token(&asked.map(digest)).await.unwrap();
        assert_eq!(read.map(|(digest, _)| digest), found.map(digest), "{asked:?}");
    }
}

async fn a_duplicate_is_refused_and_the_first_one_stays(subject: Subject) {
    let first = record(subject.within(60));
    assert_eq!(subject.insert(1, &first).await, Insertion::Done);
    let kept = subject.read(1).await.unwrap();
    let other = Record { client_id: "other".into(), expires_at: subject.within(600), ..first };
    assert_eq!(subject.insert(1, &other).await, Insertion::Exists);
    assert_eq!(subject.read(1).await.unwrap(), kept);
    // Neither in the company of a new one, nor once revoked.
    let pair = [(digest(2), other.clone()), (digest(1), other.clone())];
    assert_eq!(subject.store.insert(&pair, subject.now()).await.unwrap(), Insertion::Exists);
    subject.set_state(1, REQUESTED).await;
    assert_eq!(subject.insert(1, &other).await, Insertion::Exists);
    assert_eq!(subject.read(1).await.unwrap(), Record { state: REQUESTED, ..kept });
}

async fn of_concurrent_inserts_exactly_one_is_done(subject: Subject) {
    let record = record(subject.within(60));
    let mut inserts = JoinSet::new();
    for attempt in 0..16_u8 {
        let record = Record { client_id: attempt.to_string().into(), ..record.clone() };
        let (store, now) = (Arc::clone(&subject.store), subject.now());
        inserts.spawn(async move { (attempt, store.insert(&[(digest(1), record)], now).await.unwrap()) });
    }
    let outcomes = inserts.join_all().await;
    let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == Insertion::Done).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert_eq!(*subject.read(1).await.unwrap().client_id, winners[0].0.to_string());
}

async fn a_record_that_cannot_be_stored_leaves_no_companion_behind(subject: Subject) {
    let fits = record(subject.within(60));
    let huge = "x".repeat(40_000);
    for unfit in [
        Record { subject: Some(huge.clone().into()), ..fits.clone() },
        Record { audience: vec!["a".into(); 300], ..fits.clone() },
        Record { expires_at: UnixSeconds(u64::MAX), ..fits.clone() },
    ] {
        let pair = [(digest(1), fits.clone()), (digest(2), unfit)];
        let error = subject.store.insert(&pair, subject.now()).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        assert!(!error.to_string().contains("xxx"), "{error}");
        assert_eq!((subject.read(1).await, subject.read(2).await), (None, None));
    }
    let longest = Record { subject: Some(huge[..32_767].into()), ..fits };
    assert_eq!(subject.insert(3, &longest).await, Insertion::Done);
    assert_eq!(unstamped(subject.read(3).await.unwrap()), longest);
}

async fn a_write_whose_caller_goes_away_is_done_or_not_done(subject: Subject) {
    for round in 0..50_u8 {
        let numbers = [round * 2, round * 2 + 1];
        let pair = numbers.map(|number| (digest(number), record(subject.within(60))));
        let (store, now) = (Arc::clone(&subject.store), subject.now());
        let insert = tokio::spawn(async move { store.insert(&pair, now).await });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        insert.abort();
        let _ = insert.await;
        // What was on its way still arrives.
        eventually("both are kept or neither", async || {
            subject.read(numbers[0]).await.is_some() == subject.read(numbers[1]).await.is_some()
        })
        .await;
    }
}

async fn an_expired_record_is_accepted_and_forgotten(subject: Subject) {
    let now = subject.now().seconds();
    for (number, expires_at) in [(1, now), (2, UnixSeconds(now.0 - 1)), (3, UnixSeconds(0))] {
        assert_eq!(subject.insert(number, &record(expires_at)).await, Insertion::Done);
        assert_eq!(subject.set_state(number, REQUESTED).await, Transition::Absent);
        // Another takes its place.
        assert_eq!(subject.insert(number, &record(subject.within(60))).await, Insertion::Done);
        assert!(subject.read(number).await.is_some());
    }
}

async fn what_has_expired_is_forgotten_without_being_asked(subject: Subject) {
    let expires_at = subject.within(2);
    subject.insert(1, &record(expires_at)).await;
    subject.insert(2, &record(subject.within(600))).await;
    subject.set_state(1, REQUESTED).await;
    subject.pass(expires_at).await;
    // It may still be read for a while, but never as one that lives longer than it was given.
    assert!(subject.read(1).await.is_none_or(|read| read.expires_at == expires_at));
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Absent);
    assert!(subject.read(2).await.is_some());
}

async fn stamps_follow_the_order_of_writes(subject: Subject) {
    let id = client_id("app");
    subject.create(&id, "{}").await;
    let mut last = subject.store.client("app").await.unwrap().unwrap().created;
    assert_ne!(last, Stamp(0));
    for number in 0..100 {
        subject.insert(number, &record(subject.within(60))).await;
        let stamp = subject.read(number).await.unwrap().stamp;
        assert!(stamp > last, "{stamp:?} is not later than {last:?}");
        last = stamp;
    }
    // Of this clock, in microseconds.
    assert!(last.0.abs_diff(subject.now().stamp().0) < 60_000_000);
}

// === states ===

async fn an_unknown_token_has_no_state(subject: Subject) {
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Absent);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Absent);
    assert_eq!(subject.read(1).await, None);
    // Revoking what is not there leaves nothing that would stand in the way of a later token.
    assert_eq!(subject.insert(1, &record(subject.within(60))).await, Insertion::Done);
}

async fn an_expired_token_cannot_be_approved_and_can_still_be_revoked(subject: Subject) {
    let expires_at = subject.within(600);
    subject.insert(1, &record(expires_at)).await;
    let late = Now::from_unix(std::time::Duration::from_secs(expires_at.0));
    let approved = subject.store.set_state(digest(1), State::Approved, late).await.unwrap();
    assert_eq!(approved, Transition::Absent);
    // The clock of another node may be behind, and there it has not expired.
    assert_eq!(subject.store.set_state(digest(1), REQUESTED, late).await.unwrap(), Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap().state, REQUESTED);
}

async fn revoking_changes_the_state_and_nothing_else(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    let before = subject.read(1).await.unwrap();
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Unchanged);
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap(), Record { state: REQUESTED, ..before.clone() });
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap(), before);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Unchanged);
}

async fn revoking_twice_keeps_the_first_reason(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    let (first, second) = (State::Revoked(reason(10)), State::Revoked(reason(255)));
    assert_eq!(subject.set_state(1, first).await, Transition::Changed);
    assert_eq!(subject.set_state(1, second).await, Transition::Unchanged);
    assert_eq!(subject.set_state(1, first).await, Transition::Unchanged);
    assert_eq!(subject.read(1).await.unwrap().state, first);
}

async fn an_approved_token_can_be_revoked_again(subject: Subject) {
    subject.insert(1, &record(subject.within(60))).await;
    for byte in [1, 13, 10, 128, 255] {
        let state = State::Revoked(reason(byte));
        assert_eq!(subject.set_state(1, state).await, Transition::Changed);
        assert_eq!(subject.read(1).await.unwrap().state, state);
        assert_eq!(subject.set_state(1, State::Approved).await, Transition::Changed);
    }
}

async fn a_token_may_be_taken_over_revoked(subject: Subject) {
    let record = Record { state: REQUESTED, ..record(subject.within(60)) };
    assert_eq!(subject.insert(1, &record).await, Insertion::Done);
    assert_eq!(unstamped(subject.read(1).await.unwrap()), record);
    assert_eq!(subject.set_state(1, REQUESTED).await, Transition::Unchanged);
    assert_eq!(subject.set_state(1, State::Approved).await, Transition::Changed);
    assert_eq!(subject.read(1).await.unwrap().state, State::Approved);
}

// === grants ===

async fn a_grant_without_a_mark_and_no_grant_at_all_are_approved(subject: Subject) {
    assert_eq!(subject.standing(1).await, Standing::Approved);
    let surroundings = subject.store.surroundings("app", None).await.unwrap();
    assert_eq!((surroundings.client, surroundings.grant), (None, Standing::Approved));
}

async fn a_grant_can_be_revoked_before_and_after_its_tokens_are_issued(subject: Subject) {
    let expires_at = subject.within(60);
    let member = Record { grant: Some(grant(1, expires_at)), ..record(expires_at) };
    subject.insert(1, &member).await;
    subject.store.revoke_grant(grant(1, expires_at), Reason::REQUESTED).await.unwrap();
    assert_eq!(subject.standing(1).await, Standing::Revoked);
    assert_eq!(subject.standing(2).await, Standing::Approved);
    // A token issued into it later is kept, and its grant says that it is dead.
    assert_eq!(subject.insert(2, &member).await, Insertion::Done);
    assert_eq!(subject.standing(1).await, Standing::Revoked);
    // The tokens themselves are as they were.
    assert_eq!(subject.read(1).await.unwrap().state, State::Approved);
}

async fn a_mark_is_kept_until_the_latest_expiry_named(subject: Subject) {
    let (early, late) = (subject.within(2), subject.within(600));
    for (number, expiries) in [(1, [early, late]), (2, [late, early])] {
        for expires_at in expiries {
            subject.store.revoke_grant(grant(number, expires_at), Reason::REQUESTED).await.unwrap();
        }
    }
    subject.pass(early.plus(1)).await;
    assert_eq!(subject.standing(1).await, Standing::Revoked);
    assert_eq!(subject.standing(2).await, Standing::Revoked);
}

async fn revoking_an_expired_grant_does_nothing(subject: Subject) {
    let expired = UnixSeconds(subject.now().seconds().0 - 1);
    subject.store.revoke_grant(grant(1, expired), Reason::REQUESTED).await.unwrap();
    // Nor does it end a mark that is there.
    subject.store.revoke_grant(grant(2, subject.within(60)), Reason::REQUESTED).await.unwrap();
    subject.store.revoke_grant(grant(2, expired), Reason::REQUESTED).await.unwrap();
    assert_eq!(subject.standing(2).await, Standing::Revoked);
}

// === clients ===

async fn a_created_client_is_read_back_everywhere(subject: Subject) {
    let id = client_id("app");
    assert_eq!(subject.store.client("app").await.unwrap(), None);
    assert_eq!(subject.create(&id, r#"{"a":1}"#).await, ClientWrite::Done { version: 1 });
    let document = subject.store.client("app").await.unwrap().unwrap();
    assert_eq!((document.version, &document.body[..]), (1, &br#"{"a":1}"#[..]));
    assert_eq!(subject.store.surroundings("app", None).await.unwrap().client, Some(document.clone()));
    assert_eq!(subject.store.clients(None, 10).await.unwrap(), [(id.clone(), document.clone())]);
    // There is one now.
    assert_eq!(subject.create(&id, "{}").await, ClientWrite::Conflict);
    assert_eq!(subject.store.client("app").await.unwrap(), Some(document));
    assert_eq!(subject.store.client("APP").await.unwrap(), None);
}

async fn a_replacement_cannot_reach_the_successor_of_a_deleted_client(subject: Subject) {
    let id = client_id("app");
    subject.create(&id, r#"{"a":1}"#).await;
    let created = subject.created(&id).await;
    assert!(subject.store.delete_client(&id).await.unwrap());
    subject.create(&id, r#"{"a":2}"#).await;
    let late = subject.store.replace_client(&id, 1, created, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(late, ClientWrite::Conflict);
    assert_eq!(subject.store.client("app").await.unwrap().unwrap().body, &br#"{"a":2}"#[..]);
}

async fn a_replacement_must_name_the_present_version(subject: Subject) {
    let id = client_id("app");
    assert_eq!(subject.replace(&id, 1, "{}").await, ClientWrite::Conflict);
    subject.create(&id, "first").await;
    let created = subject.store.client("app").await.unwrap().unwrap().created;
    assert_eq!(subject.replace(&id, 1, "second").await, ClientWrite::Done { version: 2 });
    for version in [0, 1, 3, u64::MAX] {
        assert_eq!(subject.replace(&id, version, "third").await, ClientWrite::Conflict, "{version}");
    }
    let document = subject.store.client("app").await.unwrap().unwrap();
    assert_eq!((document.version, &document.body[..], document.created), (2, &b"second"[..], created));
    // 300 versions: more than a byte counts.
    for version in 2..300 {
        assert_eq!(subject.replace(&id, version, "next").await, ClientWrite::Done { version: version + 1 });
    }
}

async fn a_deleted_client_is_gone(subject: Subject) {
    let id = client_id("app");
    assert!(!subject.store.delete_client(&id).await.unwrap());
    subject.create(&id, "{}").await;
    assert!(subject.store.delete_client(&id).await.unwrap());
    assert!(!subject.store.delete_client(&id).await.unwrap());
    assert_eq!(subject.store.client("app").await.unwrap(), None);
    assert_eq!(subject.store.surroundings("app", None).await.unwrap().client, None);
    assert_eq!(subject.store.clients(None, 10).await.unwrap(), []);
    assert_eq!(subject.replace(&id, 1, "{}").await, ClientWrite::Conflict);
}

async fn a_recreated_client_is_created_later(subject: Subject) {
    let id = client_id("app");
    subject.create(&id, "{}").await;
    let first = subject.store.client("app").await.unwrap().unwrap().created;
    subject.insert(1, &record(subject.within(60))).await;
    subject.store.delete_client(&id).await.unwrap();
    assert_eq!(subject.create(&id, "{}").await, ClientWrite::Done { version: 1 });
    let second = subject.store.client("app").await.unwrap().unwrap().created;
    let between = subject.read(1).await.unwrap().stamp;
    assert!(first < between && between < second, "{first:?} {between:?} {second:?}");
    assert_eq!(subject.store.clients(None, 10).await.unwrap().len(), 1);
}

async fn clients_are_listed_in_the_order_of_their_bytes_whatever_they_are_called(subject: Subject) {
    let longest = "z".repeat(ClientId::MAX_BYTES);
    let mut ids =
        ["a", "A", "aa", "b", "a:b", "{a}", "}{", "*", "[a-z]*", "(a", "[a", "-", "+", " ", "a\\b", "\"", "~"]
            .map(client_id)
            .to_vec();
    ids.push(client_id(&longest));
    for id in &ids {
        assert_eq!(subject.create(id, "{}").await, ClientWrite::Done { version: 1 }, "{id}");
    }
    ids.sort_by(|one, other| one.as_str().as_bytes().cmp(other.as_str().as_bytes()));
    for limit in [1, 2, 5, 17, 18, 19, 1000] {
        let mut listed = Vec::new();
        loop {
            let page = subject.store.clients(listed.last(), limit).await.unwrap();
            let is_last = page.len() < limit;
            assert!(page.len() <= limit);
            listed.extend(page.into_iter().map(|(id, _)| id));
            if is_last {
                break;
            }
        }
        assert_eq!(listed, ids, "{limit} at a time");
    }
    // A page may begin after an id that is not there, and be empty.
    let after = subject.store.clients(Some(&client_id("aaa")), 1).await.unwrap();
    assert_eq!(after[0].0, client_id("b"));
    assert_eq!(subject.store.clients(Some(&client_id("~~")), 5).await.unwrap(), []);
    assert_eq!(subject.store.clients(None, 0).await.unwrap(), []);
    for id in &ids {
        assert!(subject.store.client(id.as_str()).await.unwrap().is_some(), "{id}");
        assert!(subject.store.delete_client(id).await.unwrap(), "{id}");
    }
    assert_eq!(subject.store.clients(None, 5).await.unwrap(), []);
}

async fn of_concurrent_creations_exactly_one_wins(subject: Subject) {
    let mut creations = JoinSet::new();
    for attempt in 0..16_u8 {
        let (store, now) = (Arc::clone(&subject.store), subject.now());
        let body = Bytes::from(attempt.to_string());
        creations
            .spawn(async move { (body.clone(), store.create_client(&client_id("app"), body, now).await.unwrap()) });
    }
    let outcomes = creations.join_all().await;
    let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome != ClientWrite::Conflict).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert_eq!(subject.store.client("app").await.unwrap().unwrap().body, winners[0].0);
}

async fn of_concurrent_replacements_exactly_one_wins(subject: Subject) {
    let id = client_id("app");
    subject.create(&id, "{}").await;
    let created = subject.created(&id).await;
    for version in 1..=5 {
        let mut replacements = JoinSet::new();
        for attempt in 0..8_u8 {
            let (store, id) = (Arc::clone(&subject.store), id.clone());
            let body = Bytes::from(attempt.to_string());
            replacements
                .spawn(async move { (body.clone(), store.replace_client(&id, version, created, body).await.unwrap()) });
        }
        let outcomes = replacements.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome != ClientWrite::Conflict).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert_eq!(winners[0].1, ClientWrite::Done { version: version + 1 });
        let document = subject.store.client("app").await.unwrap().unwrap();
        assert_eq!((document.version, document.body), (version + 1, winners[0].0.clone()));
    }
}

async fn a_client_that_exists_is_listed_whatever_was_deleted_beside_it(subject: Subject) {
    let id = client_id("app");
    for round in 0..100 {
        subject.create(&id, "{}").await;
        let (store, now) = (Arc::clone(&subject.store), subject.now());
        let creation = {
            let (store, id) = (Arc::clone(&store), id.clone());
            tokio::spawn(async move { store.create_client(&id, Bytes::new(), now).await.unwrap() })
        };
        let deletion = {
            let (store, id) = (Arc::clone(&store), id.clone());
            tokio::spawn(async move { store.delete_client(&id).await.unwrap() })
        };
        let created = creation.await.unwrap() != ClientWrite::Conflict;
        assert!(deletion.await.unwrap());
        let exists = store.client("app").await.unwrap().is_some();
        assert_eq!(exists, created, "round {round}");
        assert_eq!(store.clients(None, 100).await.unwrap().len(), usize::from(exists), "round {round}");
    }
}

async fn a_large_client_reads_back(subject: Subject) {
    let id = client_id("app");
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    subject.store.create_client(&id, body.clone(), subject.now()).await.unwrap();
    assert_eq!(subject.store.client("app").await.unwrap().unwrap().body, body);
    subject.replace(&id, 1, "").await;
    assert!(subject.store.client("app").await.unwrap().unwrap().body.is_empty());
}

// === the store itself ===

async fn a_closed_store_is_unavailable(subject: Subject) {
    let (store, now, id) = (&subject.store, subject.now(), client_id("app"));
    store.probe().await.unwrap();
    store.close().await;
    let record = record(subject.within(60));
    let grant = grant(1, subject.within(60));
    let outcomes = [
        store.token(&[digest(1)]).await.map(drop),
        store.token(&[digest(1), digest(2)]).await.map(drop),
        store.surroundings("app", Some(grant.id)).await.map(drop),
        store.insert(&[(digest(1), record)], now).await.map(drop),
        store.set_state(digest(1), REQUESTED, now).await.map(drop),
        store.revoke_grant(grant, Reason::REQUESTED).await,
        store.client("app").await.map(drop),
        store.clients(None, 1).await.map(drop),
        store.create_client(&id, Bytes::new(), now).await.map(drop),
        store.replace_client(&id, 1, Stamp(1), Bytes::new()).await.map(drop),
        store.delete_client(&id).await.map(drop),
        store.probe().await,
    ];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap_err().kind(), StoreErrorKind::Unavailable, "{number}");
    }
    // Once more does no harm.
    store.close().await;
}

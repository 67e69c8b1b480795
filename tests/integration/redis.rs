//! What only the Redis store has to show.
//!
//! That commands leave at once (`TCP_NODELAY`) cannot be seen from outside; `store/redis/endpoint.rs` asserts it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use introspectd::client::ClientId;
use introspectd::client::secret::Secret;
use introspectd::config::RedisConfig;
use introspectd::store::redis::{CLOCK_GRACE, RedisStore};
use introspectd::store::{
    Around, ClientWrite, Insertion, NewGrant, Rotation, RotationOutcome, Signed, StoreError, StoreErrorKind, Transition,
};
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::{GrantMark, GrantRecord};
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::time::{Clock, Now, Stamp, UnixSeconds};
use tokio::task::JoinSet;

use crate::support::redis::{PREFIX, RedisServer};
use crate::support::{around, digest, eventually, grant_record, record};

const REQUESTED: State = State::Revoked(Reason::REQUESTED);

fn now() -> Now {
    Clock::System.now()
}

fn fresh() -> Record {
    record(now().seconds().plus(600))
}

fn app() -> ClientId {
    ClientId::parse("app").unwrap()
}

async fn insert(store: &RedisStore, number: u8) -> Result<Insertion, StoreError> {
    store.insert(&[(digest(number), fresh())], None, now()).await
}

const GRANT: GrantId = GrantId([1; GrantId::BYTES]);

/// A token that everything which surrounds tokens can be about.
const ALICE: Around<'static> = Around {
    client_id: "app",
    subject: Some("alice"),
    grant: Some(GRANT),
    signed: Some(Signed { token: TokenDigest([9; TokenDigest::BYTES]), key: "k" }),
};

const AXES: [EpochAxis<'static>; 5] = [
    EpochAxis::Issuer,
    EpochAxis::Client("app"),
    EpochAxis::User("alice"),
    EpochAxis::ClientUser { client_id: "app", subject: "alice" },
    EpochAxis::Key("k"),
];

fn new_grant(end: UnixSeconds) -> NewGrant {
    NewGrant { id: GRANT, record: grant_record(1, end), keep_until: end }
}

/// From refresh token 1 to refresh token 2, with access token 60.
fn rotation(end: UnixSeconds) -> Rotation {
    let to = GrantRecord { previous: Some(digest(1)), ..grant_record(2, end) };
    Rotation { grant: GRANT, from: digest(1), to, keep_until: end, access: Some((digest(60), record(end))) }
}

fn revoked() -> GrantMark {
    GrantMark::default().revoked(Reason::REQUESTED)
}

async fn mark(store: &RedisStore, id: GrantId, before: &GrantMark, after: &GrantMark) -> Result<bool, StoreError> {
    store.mark_grant(id, before, after, now().seconds().plus(600)).await
}

async fn raise(store: &RedisStore, axis: EpochAxis<'_>) -> Result<bool, StoreError> {
    store.raise_epoch(axis, None, Reason::BULK, now().seconds().plus(600), now()).await
}

fn key(kind: &str, number: u8) -> String {
    format!("{PREFIX}{kind}:{{{}}}", digest(number).to_text())
}

async fn is_up(store: &RedisStore) -> bool {
    store.token(&[digest(0)]).await.is_ok() && store.probe().await.is_ok()
}

async fn with_url(server: &RedisServer, url: &str) -> RedisStore {
    RedisStore::open(&RedisConfig { url: Secret::new(url), ..server.config() }).await.unwrap()
}

/// One of each call, and what it must come to in a server that lets the store do its work.
async fn everything_works(store: &RedisStore) {
    let expires_at = now().seconds().plus(60);
    assert_eq!(insert(store, 1).await.unwrap(), Insertion::Done);
    assert_eq!(store.token(&[digest(2), digest(1)]).await.unwrap().unwrap().0, digest(1));
    assert_eq!(store.set_state(digest(1), REQUESTED, now()).await.unwrap(), Transition::Changed);
    assert_eq!(store.set_state(digest(1), State::Approved, now()).await.unwrap(), Transition::Changed);
    let signed = digest(9);
    for (state, outcome) in [
        (State::Approved, Transition::Unchanged),
        (REQUESTED, Transition::Changed),
        (State::Approved, Transition::Changed),
        (State::Revoked(Reason::REUSED), Transition::Changed),
        (State::Approved, Transition::Final(Reason::REUSED)),
    ] {
        assert_eq!(store.set_signed_state(signed, state, expires_at, now()).await.unwrap(), outcome);
    }
    assert_eq!(store.insert(&[], Some(&new_grant(expires_at)), now()).await.unwrap(), Insertion::Done);
    for outcome in [RotationOutcome::Done, RotationOutcome::Superseded] {
        let other = Rotation { access: Some((digest(61), fresh())), ..rotation(expires_at) };
        let rotation = if outcome == RotationOutcome::Done { rotation(expires_at) } else { other };
        assert_eq!(store.rotate(&rotation, now()).await.unwrap(), outcome);
    }
    assert_eq!(store.grant(GRANT).await.unwrap(), Some(rotation(expires_at).to));
    assert!(mark(store, GRANT, &GrantMark::default(), &revoked()).await.unwrap());
    assert!(mark(store, GRANT, &revoked(), &GrantMark::default()).await.unwrap());
    assert!(mark(store, GRANT, &GrantMark::default(), &revoked()).await.unwrap());
    assert_eq!(store.grant_mark(GRANT).await.unwrap(), revoked());
    for axis in AXES {
        assert!(raise(store, axis).await.unwrap());
    }
    assert!(store.clock(now()).await.unwrap() > Stamp(0));
    assert!(store.use_once([7; 32], expires_at, now()).await.unwrap());
    assert!(store.write_signing_keys(0, Bytes::from_static(b"keys")).await.unwrap());
    assert_eq!(store.signing_keys().await.unwrap().unwrap().body, b"keys"[..]);
    assert_eq!(store.create_client(&app(), Bytes::new(), now()).await.unwrap(), ClientWrite::Done { version: 1 });
    let created = store.client("app").await.unwrap().unwrap().created;
    let replaced = store.replace_client(&app(), 1, created, Bytes::new()).await.unwrap();
    assert_eq!(replaced, ClientWrite::Done { version: 2 });
    let surroundings = store.surroundings(ALICE).await.unwrap();
    assert_eq!((surroundings.client.unwrap().version, surroundings.grant), (2, revoked()));
    assert_eq!(surroundings.revoked, Some(Reason::REUSED));
    assert!(surroundings.epochs.client_user.is_some() && surroundings.epochs.key.is_some());
    // Twice: the pool asks a connection whether it is good before it hands it out again.
    for _ in 0..2 {
        assert_eq!(store.clients(None, 10).await.unwrap().len(), 1);
    }
    assert!(store.delete_client(&app()).await.unwrap());
    store.probe().await.unwrap();
}

// === what is kept ===

#[tokio::test]
async fn everything_that_is_kept_has_its_end_but_clients_and_signing_keys() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let now = now();
    let (token, family, end) = (now.seconds().plus(600), now.seconds().plus(900), now.seconds().plus(1200));
    store
        .insert(&[(digest(1), record(token)), (digest(2), record(token))], Some(&new_grant(family)), now)
        .await
        .unwrap();
    store.set_state(digest(1), REQUESTED, now).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, token, now).await.unwrap();
    let rotated = Rotation { keep_until: family.plus(1), ..rotation(token) };
    assert_eq!(store.rotate(&rotated, now).await.unwrap(), RotationOutcome::Done);
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), family).await.unwrap();
    for axis in AXES {
        // Once more with an earlier end changes nothing.
        for end in [end, token] {
            store.raise_epoch(axis, Some(Stamp(5)), Reason::BULK, end, now).await.unwrap();
        }
    }
    store.use_once([7; 32], token, now).await.unwrap();
    store.write_signing_keys(0, Bytes::from_static(b"{}")).await.unwrap();
    store.create_client(&app(), Bytes::from_static(b"{}"), now).await.unwrap();
    let mut expiries = BTreeMap::new();
    for key in server.keys().await {
        let expiry: i64 = server.command(&["PEXPIRETIME", &key]).await;
        expiries.insert(key, expiry);
    }
    let at = |second: UnixSeconds| i64::try_from(second.0).unwrap() * 1000;
    let grace = |second: UnixSeconds| at(second.plus(CLOCK_GRACE));
    let named = |name: &str| format!("{PREFIX}{name}");
    let digested = |kind: &str| {
        let start = named(kind);
        let mut found = expiries.keys().filter(|key| key.starts_with(&start));
        let name = found.next().unwrap().clone();
        assert!(found.next().is_none() && name.len() == start.len() + 32 + 1, "{name}");
        name
    };
    let expected = BTreeMap::from([
        (key("t", 1), at(token)),
        (key("t", 2), at(token)),
        (key("t", 60), at(token)),
        (key("r", 1), at(token)),
        (key("r", 9), grace(token)),
        (key("g", 1), at(family.plus(1))),
        (key("e:g", 1), grace(family)),
        (named("e:i"), grace(end)),
        (named("e:c:{YXBw}"), grace(end)),
        (digested("e:s:{"), grace(end)),
        (digested("e:cs:{"), grace(end)),
        (named("e:k:{aw}"), grace(end)),
        (digested("j:{"), at(token)),
        (named("k:signing"), -1),
        (named("c:{YXBw}"), -1),
        (named("i:c"), -1),
    ]);
    assert_eq!(expiries, expected);
}

#[tokio::test]
async fn a_final_reason_replaces_another_in_the_record_and_in_the_tombstone() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    let reason = async || server.command::<Vec<u8>>(&["GET", &key("r", 1)]).await[8];
    for (asked, there) in [(Reason::REQUESTED, 1), (Reason::BULK, 3), (Reason::REUSED, 3), (Reason::REQUESTED, 3)] {
        store.set_state(digest(1), State::Revoked(asked), now()).await.unwrap();
        assert_eq!(reason().await, there);
        let record = store.token(&[digest(1)]).await.unwrap().unwrap().1;
        assert_eq!(record.state.to_byte(), there);
    }
    // Approving in vain leaves both as they are.
    store.set_state(digest(1), State::Approved, now()).await.unwrap();
    assert_eq!(reason().await, 3);
}

#[tokio::test]
async fn a_tombstone_says_when_and_why_and_goes_when_the_token_is_approved() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    let inserted = store.token(&[digest(1)]).await.unwrap().unwrap().1.stamp;
    let record_key = format!("{PREFIX}t:{{{}}}", digest(1).to_text());
    let expiry: i64 = server.command(&["PEXPIRETIME", &record_key]).await;
    let key = format!("{PREFIX}r:{{{}}}", digest(1).to_text());
    for _ in 0..3 {
        store.set_state(digest(1), REQUESTED, now()).await.unwrap();
        // A second one changes nothing.
        store.set_state(digest(1), REQUESTED, now()).await.unwrap();
        let tombstone: Vec<u8> = server.command(&["GET", &key]).await;
        let (stamp, reason) = tombstone.split_first_chunk().unwrap();
        let stamp = u64::from_be_bytes(*stamp);
        assert!(stamp > inserted.0 && stamp <= now().stamp().0 + 1_000_000, "{stamp}");
        assert_eq!(reason, [1]);
        store.set_state(digest(1), State::Approved, now()).await.unwrap();
        assert!(!server.command::<bool>(&["EXISTS", &key]).await);
        assert_eq!(server.command::<i64>(&["PEXPIRETIME", &record_key]).await, expiry);
    }
}

#[tokio::test]
async fn a_record_is_never_put_where_a_tombstone_stands() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    server.command::<()>(&["SET", &format!("{PREFIX}r:{{{}}}", digest(1).to_text()), "x"]).await;
    assert_eq!(insert(&store, 1).await.unwrap(), Insertion::Exists);
    assert_eq!(store.token(&[digest(1)]).await.unwrap(), None);
}

#[tokio::test]
async fn expired_keys_are_gone_from_redis() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let soon = now().seconds().plus(2);
    store.insert(&[(digest(1), record(soon))], Some(&new_grant(soon)), now()).await.unwrap();
    store.set_state(digest(1), REQUESTED, now()).await.unwrap();
    store.use_once([7; 32], soon, now()).await.unwrap();
    // What outlives its tokens by the grace, of tokens that ended that long ago.
    let (ending, now) = (UnixSeconds(soon.0 - CLOCK_GRACE), now());
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), ending).await.unwrap();
    store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, ending, now).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, ending, now).await.unwrap();
    assert_eq!(server.keys().await.len(), 7);
    eventually("nothing is left", async || server.keys().await.is_empty()).await;
    // What had passed already never comes in.
    store.insert(&[(digest(1), record(soon))], Some(&new_grant(soon)), now).await.unwrap();
    store.use_once([7; 32], soon, now).await.unwrap();
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), ending).await.unwrap();
    store.raise_epoch(EpochAxis::Issuer, None, Reason::BULK, ending, now).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, ending, now).await.unwrap();
    assert!(server.keys().await.is_empty());
}

/// The clock of a node may be behind that of Redis: by it, a token that is signed lives on, and has no record that
/// would be gone.
#[tokio::test]
async fn what_ends_a_signed_token_outlives_it_by_the_clock_of_redis() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let soon = now().seconds().plus(1);
    store.set_signed_state(digest(9), REQUESTED, soon, now()).await.unwrap();
    store.mark_grant(GRANT, &GrantMark::default(), &revoked(), soon).await.unwrap();
    store.raise_epoch(EpochAxis::Key("k"), None, Reason::KEY_REMOVED, soon, now()).await.unwrap();
    eventually("time passes", async || now().seconds() > soon).await;
    let surroundings = store.surroundings(ALICE).await.unwrap();
    assert_eq!((surroundings.revoked, surroundings.grant), (Some(Reason::REQUESTED), revoked()));
    assert!(surroundings.epochs.key.is_some());
}

#[tokio::test]
async fn stores_with_different_prefixes_do_not_see_each_other() {
    let server = RedisServer::start().await;
    let one = server.store().await;
    let other = RedisStore::open(&RedisConfig { key_prefix: "other:".to_owned(), ..server.config() }).await.unwrap();
    insert(&one, 1).await.unwrap();
    one.create_client(&app(), Bytes::new(), now()).await.unwrap();
    assert_eq!(other.token(&[digest(1)]).await.unwrap(), None);
    assert_eq!(other.clients(None, 10).await.unwrap(), []);
    everything_works(&other).await;
}

#[tokio::test]
async fn an_index_entry_without_a_client_is_passed_over() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    for id in ["b", "e"] {
        store.create_client(&ClientId::parse(id).unwrap(), Bytes::new(), now()).await.unwrap();
    }
    for id in ["a", "c", "d", "f"] {
        server.command::<()>(&["ZADD", &format!("{PREFIX}i:c"), "0", id]).await;
    }
    for limit in [1, 2, 3] {
        let listed = store.clients(None, limit).await.unwrap();
        let expected = ["b", "e"].into_iter().take(limit).collect::<Vec<_>>();
        assert_eq!(listed.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn what_was_not_written_by_us_is_damaged_and_not_absent() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let kind = |outcome: Result<(), StoreError>| outcome.map_err(|error| error.kind());
    let damaged = Err(StoreErrorKind::Damaged);
    let token = format!("{PREFIX}t:{{{}}}", digest(1).to_text());
    for value in ["", "\u{1}", "no record of ours"] {
        server.command::<()>(&["SET", &token, value]).await;
        assert_eq!(kind(store.token(&[digest(1)]).await.map(drop)), damaged, "{value:?}");
    }
    for state in [REQUESTED, State::Approved] {
        assert_eq!(kind(store.set_state(digest(1), state, now()).await.map(drop)), damaged);
    }
    server.command::<()>(&["DEL", &token]).await;
    server.command::<()>(&["LPUSH", &token, "x"]).await;
    assert_eq!(kind(store.token(&[digest(1)]).await.map(drop)), damaged);
    assert_eq!(kind(store.token(&[digest(2), digest(1)]).await.map(drop)), damaged);
    let client = format!("{PREFIX}c:{{YXBw}}");
    server.command::<()>(&["SET", &client, "short"]).await;
    assert_eq!(kind(store.client("app").await.map(drop)), damaged);
    assert_eq!(kind(store.surroundings(around()).await.map(drop)), damaged);
    assert_eq!(kind(store.replace_client(&app(), 1, Stamp(1), Bytes::new()).await.map(drop)), damaged);
}

#[tokio::test]
async fn a_mark_an_epoch_or_a_tombstone_that_cannot_be_read_is_damage_and_never_absence() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    let end = now().seconds().plus(60);
    for axis in AXES {
        raise(&store, axis).await.unwrap();
    }
    mark(&store, GRANT, &GrantMark::default(), &revoked()).await.unwrap();
    store.set_signed_state(digest(9), REQUESTED, end, now()).await.unwrap();
    let kind = |outcome: Result<(), StoreError>| outcome.map_err(|error| error.kind());
    let damaged = Err(StoreErrorKind::Damaged);
    let keys = server.keys().await;
    assert_eq!(keys.len(), 7);
    for key in keys {
        for value in ["", "short", "12345678\u{0}", "far too long for it"] {
            server.command::<()>(&["SET", &key, value, "EX", "60"]).await;
            // An empty mark is too short as well.
            assert_eq!(kind(store.surroundings(ALICE).await.map(drop)), damaged, "{key} {value:?}");
        }
        server.command::<()>(&["DEL", &key]).await;
        server.command::<()>(&["LPUSH", &key, "x"]).await;
        assert_eq!(kind(store.surroundings(ALICE).await.map(drop)), damaged, "{key}");
        server.command::<()>(&["DEL", &key]).await;
    }
    assert!(store.surroundings(ALICE).await.is_ok());
    // The scripts that write beside them say so too, instead of overwriting.
    let (epoch, tombstone, document) = (format!("{PREFIX}e:i"), key("r", 9), format!("{PREFIX}k:signing"));
    for value in ["short", "12345678\u{0}", "no expiry"] {
        for key in [&epoch, &tombstone] {
            server.command::<()>(&["SET", key, value]).await;
        }
        assert_eq!(kind(raise(&store, EpochAxis::Issuer).await.map(drop)), damaged, "{value:?}");
        for state in [REQUESTED, State::Approved] {
            assert_eq!(
                kind(store.set_signed_state(digest(9), state, end, now()).await.map(drop)),
                damaged,
                "{value:?}"
            );
        }
    }
    server.command::<()>(&["SET", &document, "short"]).await;
    assert_eq!(kind(store.signing_keys().await.map(drop)), damaged);
    assert_eq!(kind(store.write_signing_keys(1, Bytes::new()).await.map(drop)), damaged);
    // Neither a grant nor its mark is looked through.
    for (kept, mark) in [("short", None), ("no grant of ours, and long enough", Some("short"))] {
        server.command::<()>(&["SET", &key("g", 1), kept]).await;
        if let Some(mark) = mark {
            server.command::<()>(&["SET", &key("e:g", 1), mark]).await;
        }
        assert_eq!(kind(store.grant(GRANT).await.map(drop)), damaged);
        let rotated = store.rotate(&Rotation { access: None, ..rotation(end) }, now()).await;
        assert_eq!(kind(rotated.map(drop)), damaged, "{kept:?}");
    }
    assert_eq!(kind(store.grant_mark(GRANT).await.map(drop)), damaged);
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    everything_works(&store).await;
    server.command::<()>(&["FLUSHALL"]).await;
    server.command::<()>(&["SCRIPT", "FLUSH"]).await;
    let pair = [(digest(7), fresh()), (digest(8), fresh())];
    assert_eq!(store.insert(&pair, None, now()).await.unwrap(), Insertion::Done);
    everything_works(&store).await;
}

// === ways in ===

#[tokio::test]
async fn a_unix_socket_and_another_database_serve_as_well() {
    let server = RedisServer::start().await;
    let socket = with_url(&server, &format!("{}?db=1", server.unix_url())).await;
    everything_works(&socket).await;
    let database = with_url(&server, &server.url_with("", 2)).await;
    everything_works(&database).await;
    assert!(server.keys().await.is_empty(), "database 0 was used");
    let none = with_url(&server, &server.url_with("", 99)).await;
    assert_eq!(insert(&none, 1).await.unwrap_err().kind(), StoreErrorKind::Refused);
}

#[tokio::test]
async fn tls_works_with_the_right_authority_and_not_with_another() {
    let server = RedisServer::start_encrypted().await;
    let store = server.store().await;
    everything_works(&store).await;
    let other = RedisServer::start_encrypted().await;
    let config = RedisConfig { ca_file: Some(other.ca_file()), ..server.config() };
    let distrustful = RedisStore::open(&config).await.unwrap();
    assert_eq!(distrustful.probe().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(distrustful.clients(None, 1).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(server.connections().await, 3, "two of the hot path and one of the pool");
    store.close().await;
}

#[tokio::test]
async fn a_user_with_the_documented_permissions_can_do_everything() {
    let server = RedisServer::start().await;
    let documented = "+get +set +setrange +getrange +exists +del +unlink +pexpiretime +time \
                      +zadd +zrem +zrange +eval +evalsha +select +ping +unwatch";
    let keys = format!("~{PREFIX}*");
    let mut words = vec!["ACL", "SETUSER", "itd", "on", ">pass word#1", &keys, "-@all"];
    words.extend(documented.split_whitespace());
    server.command::<()>(&words).await;
    let store = with_url(&server, &server.url_with("itd:pass%20word%231@", 0)).await;
    everything_works(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_being_shown_until_it_is_right() {
    let server = RedisServer::start().await;
    server.command::<()>(&["ACL", "SETUSER", "itd", "on", ">right", "~*", "+@all"]).await;
    let store = with_url(&server, &server.url_with("itd:hunter2@", 0)).await;
    let error = insert(&store, 1).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"), "{error:?}");
    server.command::<()>(&["ACL", "SETUSER", "itd", ">hunter2"]).await;
    eventually("it is let in", async || is_up(&store).await).await;
    // Taken away while connected, a permission is missed at the next call.
    server.command::<()>(&["ACL", "SETUSER", "itd", "-evalsha"]).await;
    assert_eq!(insert(&store, 1).await.unwrap_err().kind(), StoreErrorKind::Refused);
    server.command::<()>(&["CONFIG", "SET", "requirepass", "secret"]).await;
    let anonymous = server.store().await;
    assert_eq!(insert(&anonymous, 1).await.unwrap_err().kind(), StoreErrorKind::Refused);
}

// === trouble ===

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
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    server.freeze();
    let deadline = server.config().response_timeout;
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
    let store = Arc::new(server.store().await);
    server.freeze();
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    // More than the queue of a connection holds.
    for _ in 0..5000 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.token(&[digest(1)]).await.unwrap_err().kind() });
    }
    assert!(calls.join_all().await.into_iter().all(|kind| kind == StoreErrorKind::Unavailable));
    assert!(begun.elapsed() < server.config().response_timeout + Duration::from_secs(2), "{:?}", begun.elapsed());
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
        eventually("both are back", async || {
            let list: String = server.command(&["CLIENT", "LIST"]).await;
            let newer = |line: &&str| line.split([' ', '=']).nth(1).unwrap().parse::<i64>().unwrap() > before;
            list.lines().filter(newer).count() == 3
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
        server.command::<()>(&["SCRIPT", "FLUSH"]).await;
    }
    assert!(store.delete_client(&app()).await.unwrap());
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

// === the end ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_lets_calls_finish_and_leaves_no_connection_behind() {
    let server = RedisServer::start().await;
    let store = Arc::new(server.store().await);
    everything_works(&store).await;
    assert_eq!(server.connections().await, 3);
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
    assert_eq!(server.connections().await, 3);
    drop(store);
    eventually("all are closed", async || server.connections().await == 0).await;
    eventually("all tasks have ended", async || tasks() <= before).await;
    // The same while there is nothing to connect to.
    let nowhere = RedisServer::not_yet_started().store().await;
    assert!(tasks() > before);
    drop(nowhere);
    eventually("all tasks have ended", async || tasks() <= before).await;
}

//! What only the Redis store has to show.
//!
//! That commands leave at once (`TCP_NODELAY`) cannot be seen from outside; `store/redis/dial.rs` asserts it.
//!
//! - [`kept`] keys and their ends; [`profiles`] what many tokens have in common; [`damage`] what was not written by us
//! - [`ways`] ways in; [`trouble`] a server in trouble, and the end; [`late`] scripts that arrive late; [`crowd`] many reads at once
//! - [`groups`] what is remembered of epochs

mod crowd;
mod damage;
mod groups;
mod kept;
mod late;
mod profiles;
mod trouble;
mod ways;

use bytes::Bytes;
use introspectd::client::ClientId;
use introspectd::client::secret::Secret;
use introspectd::config::RedisConfig;
use introspectd::store::redis::RedisStore;
use introspectd::store::{
    Around, ClientWrite, DocumentWrite, Insertion, NewGrant, Rotation, RotationOutcome, Signed, StoreError, Transition,
    UserCreation,
};
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::{GrantMark, GrantRecord};
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::time::{Clock, Now, Stamp, UnixSeconds};
use introspectd::user::id::UserId;
use introspectd::user::name::{NameKind, UniqueName};

use crate::support::redis::{PREFIX, RedisServer};
use crate::support::{digest, grant_record, record};

const REQUESTED: State = State::Revoked(Reason::REQUESTED);
const GRANT: GrantId = GrantId([1; GrantId::BYTES]);

const USER: UserId = UserId([7; UserId::BYTES]);
const NAMES: [UniqueName<'static>; 2] = [
    UniqueName { kind: NameKind::Username, canonical: "alice" },
    UniqueName { kind: NameKind::Email, canonical: "alice@example.com" },
];

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

/// A token that everything which surrounds tokens can be about.
const ALICE: Around<'static> = Around {
    subject: Some("alice"),
    grant: Some(GRANT),
    signed: Some(Signed { token: TokenDigest([9; TokenDigest::BYTES]), key: "k" }),
    ..Around::of_client("app")
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
pub(crate) async fn everything_works(store: &RedisStore) {
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
    assert_eq!(store.create_user(USER, NAMES, Bytes::new(), now()).await.unwrap(), UserCreation::Done { version: 1 });
    let rival = store.create_user(UserId([8; UserId::BYTES]), NAMES, Bytes::new(), now()).await.unwrap();
    assert!(matches!(rival, UserCreation::Taken(_)));
    let (id, document) = store.user_named(NAMES[0]).await.unwrap().unwrap();
    assert_eq!((id, store.user(USER).await.unwrap()), (USER, Some(document.clone())));
    let replaced = store.replace_user(USER, 1, document.created, Bytes::new()).await.unwrap();
    assert_eq!(replaced, DocumentWrite::Done { version: 2 });
    assert_eq!(store.users(None, 10).await.unwrap().len(), 1);
    assert!(store.delete_user(USER, NAMES).await.unwrap());
    store.probe().await.unwrap();
}

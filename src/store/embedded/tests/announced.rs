//! What near caches hear of: each write that can end a token, before whoever asked for it is answered.

use super::*;
use crate::coherence::Versions;
use crate::coherence::name::Name;
use crate::token::record::Grant;

const APP: &str = "app";
const GRANT: GrantId = GrantId([7; GrantId::BYTES]);

/// Does something, and says whether it was heard of under this name.
async fn is_heard<T>(
    store: &EmbeddedStore,
    name: Name<'_>,
    write: impl Future<Output = Result<T, StoreError>>,
) -> bool {
    let before: Versions = store.coherence().sample([name]);
    write.await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
    !store.coherence().is_unchanged(&before)
}

#[tokio::test]
async fn every_write_that_can_end_a_token_is_heard_of_before_its_answer() {
    let (_folder, clock, store) = open(Limits::default());
    let now = clock.now();
    let (digest, record) = token(1, 60);
    store.insert(&[(digest, record)], None, now).await.unwrap();
    let revoked = State::Revoked(Reason::REQUESTED);
    let (of_token, end) = (Name::Token(digest), START.plus(60));
    for state in [revoked, State::Approved, revoked] {
        assert!(is_heard(&store, of_token, store.set_state(digest, state, now)).await);
    }
    let signed = TokenDigest([9; 16]);
    for state in [revoked, State::Approved] {
        let write = store.set_signed_state(signed, state, end, now);
        assert!(is_heard(&store, Name::Token(signed), write).await);
    }
    let none = GrantMark::default();
    let mark = none.revoked(Reason::REQUESTED);
    let write = store.mark_grant(GRANT, &none, &mark, end);
    assert!(is_heard(&store, Name::Grant(GRANT), write).await);
    let write = store.mark_grant(GRANT, &mark, &none, end);
    assert!(is_heard(&store, Name::Grant(GRANT), write).await);
    for axis in [
        EpochAxis::Issuer,
        EpochAxis::Client(APP),
        EpochAxis::User("user"),
        EpochAxis::ClientUser { client_id: APP, subject: "user" },
        EpochAxis::Key("kid"),
    ] {
        let write = store.raise_epoch(axis, None, Reason::BULK, end, now);
        assert!(is_heard(&store, Name::Epoch(axis), write).await);
    }
    let id = ClientId::parse(APP).unwrap();
    let of_client = Name::Client(APP);
    assert!(is_heard(&store, of_client, store.create_client(&id, Bytes::from_static(b"{}"), now)).await);
    let created = store.client(APP).await.unwrap().unwrap().created;
    assert!(is_heard(&store, of_client, store.replace_client(&id, 1, created, Bytes::from_static(b"[]"))).await);
    assert!(is_heard(&store, of_client, store.delete_client(&id)).await);
    let write = store.write_signing_keys(0, Bytes::from_static(b"keys"));
    assert!(is_heard(&store, Name::SigningKeys, write).await);
}

/// New tokens end none: were they heard of, near caches would forget all the more the more is issued.
#[tokio::test]
async fn what_can_end_no_token_is_not_heard_of() {
    let (_folder, clock, store) = open(Limits::default());
    let now = clock.now();
    let (digest, mut record) = token(1, 60);
    record.grant = Some(Grant { id: GRANT, expires_at: START.plus(60), born: Stamp(0) });
    let insert = async || store.insert(&[(digest, record.clone())], None, now).await;
    for name in [Name::Token(digest), Name::Grant(GRANT), Name::Client(APP)] {
        assert!(!is_heard(&store, name, insert()).await);
    }
    assert!(!is_heard(&store, Name::Token(digest), store.set_state(digest, State::Approved, now)).await);
    assert!(!is_heard(&store, Name::Token(digest), store.use_once([1; 32], START.plus(60), now)).await);
    let id = ClientId::parse(APP).unwrap();
    assert!(!is_heard(&store, Name::Client(APP), store.delete_client(&id)).await, "there was none");
}

/// Whether a write that failed has happened is known only when the file has been opened again, and nothing that was read
/// before that may be believed.
#[tokio::test]
async fn a_write_of_which_nothing_is_known_ends_all_that_was_believed() {
    let (_folder, clock, store) = open(Limits::default());
    let now = clock.now();
    let (digest, record) = token(1, 60);
    store.insert(&[(digest, record)], None, now).await.unwrap();
    let before = store.coherence().generation();
    store.shared.traffic.hands.fill_disk(true);
    store.set_state(digest, State::Revoked(Reason::BULK), now).await.unwrap_err();
    assert!(store.coherence().generation() > before, "at once");
    store.shared.traffic.hands.fill_disk(false);
    until("writes work again", async || store.use_once([1; 32], START.plus(60), now).await.is_ok()).await;
    assert!(store.coherence().generation() > before + 1, "and when it was opened");
}

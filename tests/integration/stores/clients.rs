//! Clients: created once, replaced by whoever knows the version, listed in order.

use std::sync::Arc;

use bytes::Bytes;
use introspectd::client::ClientId;
use introspectd::store::ClientWrite;
use tokio::task::JoinSet;

use super::{Subject, client_id};
use crate::support::{around, record};

over_stores! {
    a_client_that_exists_is_listed_whatever_was_deleted_beside_it
    a_created_client_is_read_back_everywhere
    a_deleted_client_is_gone
    a_large_client_reads_back
    a_recreated_client_is_created_later
    a_replacement_cannot_reach_the_successor_of_a_deleted_client
    a_replacement_must_name_the_present_version
    clients_are_listed_in_the_order_of_their_bytes_whatever_they_are_called
    of_concurrent_creations_exactly_one_wins
    of_concurrent_replacements_exactly_one_wins
}

async fn a_created_client_is_read_back_everywhere(subject: Subject) {
    let id = client_id("app");
    assert_eq!(subject.store.client("app").await.unwrap(), None);
    assert_eq!(subject.create(&id, r#"{"a":1}"#).await, ClientWrite::Done { version: 1 });
    let document = subject.store.client("app").await.unwrap().unwrap();
    assert_eq!((document.version, &document.body[..]), (1, &br#"{"a":1}"#[..]));
    assert_eq!(subject.store.surroundings(around()).await.unwrap().client, Some(document.clone()));
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
    assert_eq!(subject.store.surroundings(around()).await.unwrap().client, None);
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

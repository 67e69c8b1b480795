//! Waiting for replicas.

use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::server::{PATIENCE, Server, Talk, eventually, soon};
use crate::store::redis::durability::Conversation;
use crate::store::redis::durability::group::{Commits, Group, Terms, group};
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::Incarnation;

async fn terms(talk: &mut Talk, replicas: usize, limit: Duration) -> Terms {
    let incarnation = talk.incarnation().await;
    Terms { incarnation, key: "itd:f:{1}".into(), replicas, limit, response_timeout: PATIENCE }
}

#[tokio::test]
async fn it_returns_when_the_replicas_have_it_and_says_so_when_they_do_not() {
    let primary = Server::start().await;
    let replica = primary.replica().await;
    let mut talk = primary.talk().await;
    let mut writer = primary.talk().await;
    let mut at_replica = replica.talk().await;
    let (one, mut commits) = group(terms(&mut talk, 1, PATIENCE).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    for round in 0..20 {
        writer.set("itd:x", round.to_string().as_bytes(), None).await;
        one.commit(soon()).await.unwrap();
        // A replica says that it has received something before others can read it there.
        eventually(async || at_replica.command::<String>(&["GET", "itd:x"]).await == round.to_string()).await;
    }
    assert_eq!((one.figures().reached, one.figures().shortfalls), (20, 0));
    drop(one);
    assert!(serving.await.unwrap(), "it ends when nobody can come any more");

    let (two, mut commits) = group(terms(&mut talk, 2, Duration::from_millis(50)).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    assert!(two.commit(soon()).await.is_err(), "there is only one");
    assert_eq!((two.figures().reached, two.figures().shortfalls), (0, 1));
    drop(two);
    assert!(serving.await.unwrap());

    replica.signal("-STOP");
    let (one, mut commits) = group(terms(&mut talk, 1, Duration::from_millis(50)).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    assert!(one.commit(soon()).await.is_err(), "it hangs");
    replica.signal("-CONT");
    eventually(async || one.commit(soon()).await.is_ok()).await;
    let _: () = writer.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(one.commit(soon()).await.is_ok(), "memory is full");
    drop(one);
    assert!(serving.await.unwrap());
}

#[tokio::test]
async fn what_was_written_before_the_primary_was_replaced_is_not_vouched_for() {
    let primary = Server::start().await;
    let mut talk = primary.talk().await;
    let (group, mut commits) = group(terms(&mut talk, 0, PATIENCE).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await });
    group.commit(soon()).await.unwrap();
    let _: () = talk.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let _: () = talk.command(&["REPLICAOF", "NO", "ONE"]).await;
    assert!(group.commit(soon()).await.is_err());
    assert!(serving.await.unwrap().is_some(), "the connection is given up");
    assert_eq!(group.figures().failures, 1);
}

/// Answers each round trip only when it is told to.
struct Slow(mpsc::Receiver<Option<i64>>, Value);

impl Conversation for Slow {
    async fn pipeline(&mut self, commands: Vec<Cmd>, _: Instant) -> Result<Vec<Value>, Fault> {
        assert_eq!(commands.len(), 3);
        match self.0.recv().await.flatten() {
            Some(reached) => Ok(vec![Value::Int(1), Value::Int(reached), self.1.clone()]),
            None => Err(Fault::silence()),
        }
    }
}

fn slow(replicas: usize) -> (Group, Commits, Slow, mpsc::Sender<Option<i64>>) {
    let info = Value::BulkString(b"run_id:aa\r\nrole:master\r\nmaster_replid:bb\r\n".to_vec());
    let incarnation = Incarnation::read(info.clone(), info.clone()).unwrap();
    let limit = Duration::from_secs(1);
    let (group, commits) = group(Terms { incarnation, key: "f".into(), replicas, limit, response_timeout: limit });
    let (teller, told) = mpsc::channel(9);
    (group, commits, Slow(told, info), teller)
}

#[tokio::test(start_paused = true)]
async fn all_who_came_before_it_was_sent_are_answered_by_one_and_who_comes_later_by_the_next() {
    let (group, mut commits, mut lane, teller) = slow(2);
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    let commit = |group: &Group| {
        let group = group.clone();
        tokio::spawn(async move { group.commit(soon()).await.is_ok() })
    };
    let first: Vec<_> = (0..5).map(|_| commit(&group)).collect();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let later = commit(&group);
    tokio::time::sleep(Duration::from_millis(10)).await;
    teller.send(Some(2)).await.unwrap();
    for committed in first {
        assert!(committed.await.unwrap());
    }
    assert!(!later.is_finished(), "it was written after the wait had begun");
    teller.send(Some(1)).await.unwrap();
    assert!(!later.await.unwrap());
    let figures = group.figures();
    assert_eq!((figures.groups, figures.reached, figures.shortfalls), (2, 5, 1));
    drop(group);
    assert!(serving.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_told_and_a_broken_connection_is_said() {
    let (group, mut commits, mut lane, teller) = slow(1);
    let deadline = || Instant::now() + Duration::from_millis(100);
    assert!(group.commit(deadline()).await.is_err(), "nobody serves");
    teller.send(None).await.unwrap();
    let (outcome, broken) = tokio::join!(group.commit(deadline()), commits.serve(&mut lane));
    assert!(outcome.is_err() && broken.is_some());
    drop(commits);
    assert!(group.commit(deadline()).await.is_err(), "it is closed");
    assert_eq!(group.figures().failures, 3);
    assert_eq!(group.figures().groups, 1, "who has given up is not waited for");
}

#[tokio::test(start_paused = true)]
async fn more_than_there_is_room_for_are_turned_away_at_once() {
    let (group, _commits, _lane, _teller) = slow(1);
    let waiting: Vec<_> = (0..4096)
        .map(|_| {
            let group = group.clone();
            tokio::spawn(async move { group.commit(soon()).await.is_ok() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    assert!(group.commit(soon()).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    for task in waiting {
        task.abort();
    }
}

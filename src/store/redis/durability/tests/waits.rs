//! Waiting for replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    let life = talk.incarnation().await;
    let (one, mut commits) = group(terms(&mut talk, 1, PATIENCE).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    for round in 0..20 {
        writer.set("itd:x", round.to_string().as_bytes(), None).await;
        one.commit(&life, soon()).await.unwrap();
        // A replica says that it has received something before others can read it there.
        eventually(async || at_replica.command::<String>(&["GET", "itd:x"]).await == round.to_string()).await;
    }
    drop(one);
    assert!(serving.await.unwrap(), "it ends when nobody can come any more");

    let (two, mut commits) = group(terms(&mut talk, 2, Duration::from_millis(50)).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    assert!(two.commit(&life, soon()).await.is_err(), "there is only one");
    drop(two);
    assert!(serving.await.unwrap());

    replica.signal("-STOP");
    let (one, mut commits) = group(terms(&mut talk, 1, Duration::from_millis(50)).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    assert!(one.commit(&life, soon()).await.is_err(), "it hangs");
    replica.signal("-CONT");
    eventually(async || one.commit(&life, soon()).await.is_ok()).await;
    let _: () = writer.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(one.commit(&life, soon()).await.is_ok(), "memory is full");
    drop(one);
    assert!(serving.await.unwrap());
}

#[tokio::test]
async fn what_was_written_before_the_primary_was_replaced_is_not_vouched_for() {
    let primary = Server::start().await;
    let mut talk = primary.talk().await;
    let life = talk.incarnation().await;
    let (before, mut commits) = group(terms(&mut talk, 0, PATIENCE).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await });
    before.commit(&life, soon()).await.unwrap();
    let _: () = talk.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let _: () = talk.command(&["REPLICAOF", "NO", "ONE"]).await;
    assert!(before.commit(&life, soon()).await.is_err());
    assert!(serving.await.unwrap().is_some(), "the connection is given up");

    let next = talk.incarnation().await;
    let (after, mut commits) = group(terms(&mut talk, 0, PATIENCE).await);
    let mut lane = primary.talk().await;
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    assert!(after.commit(&life, soon()).await.is_err(), "by the time that it is asked for the next life has begun");
    after.commit(&next, soon()).await.unwrap();
    drop(after);
    assert!(serving.await.unwrap());
}

/// Answers each round trip only when it is told to, and notes how many there were.
struct Slow {
    told: mpsc::Receiver<Option<i64>>,
    info: Value,
    rounds: Arc<AtomicUsize>,
}

impl Conversation for Slow {
    async fn pipeline(&mut self, commands: Vec<Cmd>, _: Instant) -> Result<Vec<Value>, Fault> {
        assert_eq!(commands.len(), 3);
        self.rounds.fetch_add(1, Ordering::Relaxed);
        match self.told.recv().await.flatten() {
            Some(reached) => Ok(vec![Value::Int(1), Value::Int(reached), self.info.clone()]),
            None => Err(Fault::silence()),
        }
    }
}

/// What a test of a slow server works with.
struct Scene {
    group: Group,
    life: Incarnation,
    commits: Commits,
    lane: Slow,
    rounds: Arc<AtomicUsize>,
    teller: mpsc::Sender<Option<i64>>,
}

fn slow(replicas: usize) -> Scene {
    let info = Value::BulkString(b"run_id:aa\r\nrole:master\r\nmaster_replid:bb\r\n".to_vec());
    let life = Incarnation::read(info.clone(), info.clone()).unwrap();
    let limit = Duration::from_secs(1);
    let terms = Terms { incarnation: life.clone(), key: "f".into(), replicas, limit, response_timeout: limit };
    let (group, commits) = group(terms);
    let (teller, told) = mpsc::channel(9);
    let rounds = Arc::new(AtomicUsize::new(0));
    let lane = Slow { told, info, rounds: Arc::clone(&rounds) };
    Scene { group, life, commits, lane, rounds, teller }
}

#[tokio::test(start_paused = true)]
async fn all_who_came_before_it_was_sent_are_answered_by_one_and_who_comes_later_by_the_next() {
    let Scene { group, life, mut commits, mut lane, rounds, teller } = slow(2);
    let serving = tokio::spawn(async move { commits.serve(&mut lane).await.is_none() });
    let commit = |group: &Group| {
        let (group, life) = (group.clone(), life.clone());
        tokio::spawn(async move { group.commit(&life, soon()).await.is_ok() })
    };
    let first: Vec<_> = (0..5).map(|_| commit(&group)).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let later = commit(&group);
    tokio::time::sleep(Duration::from_millis(10)).await;
    teller.send(Some(2)).await.unwrap();
    for committed in first {
        assert!(committed.await.unwrap());
    }
    assert!(!later.is_finished(), "it was written after the wait had begun");
    teller.send(Some(1)).await.unwrap();
    assert!(!later.await.unwrap(), "too few have it");
    assert_eq!(rounds.load(Ordering::Relaxed), 2);
    drop(group);
    assert!(serving.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_told_and_a_broken_connection_is_said() {
    let Scene { group, life, mut commits, mut lane, rounds, teller } = slow(1);
    let deadline = || Instant::now() + Duration::from_millis(100);
    assert!(group.commit(&life, deadline()).await.is_err(), "nobody serves");
    teller.send(None).await.unwrap();
    let (outcome, broken) = tokio::join!(group.commit(&life, deadline()), commits.serve(&mut lane));
    assert!(outcome.is_err() && broken.is_some());
    assert_eq!(rounds.load(Ordering::Relaxed), 1, "who has given up is not waited for");
    drop(commits);
    assert!(group.commit(&life, deadline()).await.is_err(), "it is closed");
}

#[tokio::test(start_paused = true)]
async fn more_than_there_is_room_for_are_turned_away_at_once() {
    let Scene { group, life, commits: _commits, .. } = slow(1);
    let waiting: Vec<_> = (0..4096)
        .map(|_| {
            let (group, life) = (group.clone(), life.clone());
            tokio::spawn(async move { group.commit(&life, soon()).await.is_ok() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    assert!(group.commit(&life, soon()).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    for task in waiting {
        task.abort();
    }
}

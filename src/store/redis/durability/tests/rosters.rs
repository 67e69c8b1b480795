//! Who waits for whom.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::server::{PATIENCE, Server, Talk, soon};
use crate::store::redis::durability::barrier::{Arrival, Member};

const ROSTER: &str = "itd:n:{1}";
const SHORT: Duration = Duration::from_millis(100);

async fn member(talk: &mut Talk, node: &str) -> Member {
    Member::new(node, ROSTER, talk.incarnation().await)
}

/// Notes in a copy of the roster that a node was alive so long ago.
async fn was_alive(talk: &mut Talk, node: &str, ago: Duration) {
    let time: Vec<u64> = talk.command(&["TIME"]).await;
    let word = format!("{:014}{}", time[0] * 1000 - u64::try_from(ago.as_millis()).unwrap(), "0:0");
    let _: i64 = talk.command(&["HSET", ROSTER, node, &word]).await;
}

fn names(arrival: &Arrival) -> Vec<&str> {
    let mut names: Vec<_> = arrival.absent.iter().map(|name| &**name).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn where_nobody_was_before_nobody_is_waited_for() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let member = member(&mut talk, "a").await;
    for _ in 0..2 {
        assert!(member.arrive(&mut talk, PATIENCE, PATIENCE).await.unwrap().absent.is_empty());
    }
}

/// The primary was away for long, so everybody's last word is old.
#[tokio::test]
async fn those_who_were_alive_when_the_primary_ended_are_waited_for_however_long_ago_that_was() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let second = Duration::from_secs(1);
    for (node, ago) in [("a", 30 * second), ("b", 31 * second), ("c", 32 * second), ("dead", 34 * second)] {
        was_alive(&mut talk, node, ago).await;
    }
    let a = member(&mut talk, "a").await;
    let arrival = a.arrive(&mut talk, SHORT, PATIENCE).await.unwrap();
    assert_eq!(names(&arrival), ["b", "c"]);
    assert!(arrival.waited >= SHORT);
    // Whom to wait for is settled by the first who comes: the others' words do not change it.
    let b = member(&mut talk, "b").await;
    assert_eq!(names(&b.arrive(&mut talk, SHORT, PATIENCE).await.unwrap()), ["c"]);
    let newcomer = member(&mut talk, "newcomer").await;
    assert_eq!(names(&newcomer.arrive(&mut talk, SHORT, PATIENCE).await.unwrap()), ["c"]);

    let mut other = server.talk().await;
    let c = member(&mut other, "c").await;
    let began = Instant::now();
    let (waited, ()) = tokio::join!(a.arrive(&mut talk, PATIENCE, PATIENCE), async {
        tokio::time::sleep(SHORT).await;
        c.refresh(&mut other, soon()).await.unwrap();
    });
    assert!(waited.unwrap().absent.is_empty());
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn who_leaves_is_not_waited_for_and_who_is_long_gone_is_forgotten() {
    let old = Server::start().await;
    let mut at_old = old.talk().await;
    for node in ["a", "b", "c"] {
        member(&mut at_old, node).await.refresh(&mut at_old, soon()).await.unwrap();
    }
    was_alive(&mut at_old, "long gone", Duration::from_secs(62)).await;
    member(&mut at_old, "b").await.leave(&mut at_old, soon()).await.unwrap();
    let new = old.replica().await;
    drop(old);
    let mut at_new = new.talk().await;
    let _: () = at_new.command(&["REPLICAOF", "NO", "ONE"]).await;
    let a = member(&mut at_new, "a").await;
    assert_eq!(names(&a.arrive(&mut at_new, SHORT, PATIENCE).await.unwrap()), ["c"]);
    let mut listed: Vec<String> = at_new.command(&["HKEYS", ROSTER]).await;
    listed.sort();
    assert_eq!(listed, ["@", "a", "c"]);
}

/// The server is promoted anew under a node that has not noticed: it must not speak for an incarnation that it has not
/// caught up with, nor disturb the others.
#[tokio::test]
async fn nobody_speaks_for_an_incarnation_that_has_ended() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let before = member(&mut talk, "a").await;
    before.refresh(&mut talk, soon()).await.unwrap();
    let _: () = talk.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert!(before.refresh(&mut talk, soon()).await.is_err());
    let _: () = talk.command(&["REPLICAOF", "NO", "ONE"]).await;
    let kept: BTreeMap<String, String> = talk.command(&["HGETALL", ROSTER]).await;
    assert!(before.refresh(&mut talk, soon()).await.is_err());
    assert!(before.arrive(&mut talk, SHORT, PATIENCE).await.is_err());
    assert_eq!(talk.command::<BTreeMap<String, String>>(&["HGETALL", ROSTER]).await, kept);
    let after = member(&mut talk, "b").await;
    assert_eq!(names(&after.arrive(&mut talk, SHORT, PATIENCE).await.unwrap()), ["a"]);
}

#[tokio::test]
async fn it_works_when_memory_is_full_and_leaves_what_it_cannot_read() {
    let server = Server::start().await;
    let mut talk = server.talk().await;
    let _: () = talk.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let a = member(&mut talk, "a").await;
    a.refresh(&mut talk, soon()).await.unwrap();
    let _: () = talk.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let _: i64 = talk.command(&["HSET", ROSTER, "odd", "odd"]).await;
    assert!(a.refresh(&mut talk, soon()).await.is_err());
    let _: () = talk.command(&["SET", ROSTER, "odd"]).await;
    assert!(a.refresh(&mut talk, soon()).await.is_err());
}

//! Reads that are under way, and those who wait for them.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};

use super::super::flights::{Flights, Way};
use super::super::near::Kept;
use super::super::sample::Sample;
use super::Bench;
use crate::coherence::name::Name;
use crate::token::digest::TokenDigest;

const KEY: TokenDigest = TokenDigest([1; 16]);

/// A store of one number, whose reads end when they are let.
#[derive(Default)]
struct Slow {
    value: AtomicU64,
    reads: AtomicU64,
    go: Notify,
}

impl Slow {
    /// What is read is what is there when the read begins.
    async fn read(&self) -> u64 {
        let value = self.value.load(Ordering::SeqCst);
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.go.notified().await;
        value
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    async fn until_read(&self, times: u64) {
        while self.reads() < times {
            yield_now().await;
        }
    }
}

/// Lets all tasks get as far as they can.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_share_one_read() {
    let (flights, store) = (Arc::new(Flights::new()), Arc::new(Slow::default()));
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (flights, store) = (Arc::clone(&flights), Arc::clone(&store));
        asking.spawn(async move { flights.share(&KEY, |_| true, || store.read()).await });
    }
    store.until_read(1).await;
    settle().await;
    store.go.notify_one();
    let outcomes = asking.join_all().await;
    assert_eq!(store.reads(), 1);
    assert_eq!(outcomes.iter().filter(|(_, way)| *way == Way::Led).count(), 1);
    assert!(flights.is_empty());
}

/// A revocation that was acknowledged after a read began and before somebody else asked: that one must not be told what
/// the read brings.
#[tokio::test]
async fn who_joins_a_read_is_not_told_what_was_so_before_the_question() {
    let bench = Arc::new(Bench::new());
    let (flights, store) = (Arc::new(Flights::new()), Arc::new(Slow::default()));
    let ask = || {
        let (bench, flights, store) = (Arc::clone(&bench), Arc::clone(&flights), Arc::clone(&store));
        tokio::spawn(async move {
            let current = |kept: &Arc<Kept<u64>>| kept.sample.holds(&bench.coherence, bench.coherence.now());
            let read = async || {
                let sample = Sample::take(&bench.coherence, [Name::Token(KEY)]);
                Arc::new(Kept { sample, value: store.read().await })
            };
            flights.share(&KEY, current, read).await.0.value
        })
    };
    let early = ask();
    store.until_read(1).await;
    store.value.store(1, Ordering::SeqCst);
    bench.coherence.heard(Name::Token(KEY).text().as_bytes());
    let late = ask();
    settle().await;
    assert_eq!(store.reads(), 1, "it waits");
    store.go.notify_one();
    assert_eq!(early.await.unwrap(), 0, "it had asked before");
    store.until_read(2).await;
    store.go.notify_one();
    assert_eq!(late.await.unwrap(), 1);
}

/// Without a lease no early read can be believed, and still nobody waits for more than two.
#[tokio::test]
async fn those_who_cannot_believe_an_early_read_share_the_next_one() {
    let (flights, store) = (Arc::new(Flights::new()), Arc::new(Slow::default()));
    let mut asking = JoinSet::new();
    let mut ask = || {
        let (flights, store) = (Arc::clone(&flights), Arc::clone(&store));
        asking.spawn(async move { flights.share(&KEY, |_| false, || store.read()).await.0 });
    };
    ask();
    store.until_read(1).await;
    store.value.store(1, Ordering::SeqCst);
    for _ in 0..50 {
        ask();
    }
    settle().await;
    store.go.notify_one();
    store.until_read(2).await;
    settle().await;
    store.go.notify_one();
    let outcomes = asking.join_all().await;
    assert_eq!(store.reads(), 2);
    assert_eq!(outcomes.iter().filter(|value| **value == 1).count(), 50);
}

/// redis-py #4306: a read that failed left its placeholder for ever.
#[tokio::test]
async fn a_read_that_fails_leaves_nothing_behind() {
    let flights = Flights::new();
    let (failed, _) = flights.share(&KEY, |_| true, async || Err::<u64, &str>("away")).await;
    assert_eq!(failed, Err("away"));
    assert!(flights.is_empty());
    assert_eq!(flights.share(&KEY, |_| true, async || Ok(7)).await, (Ok(7), Way::Led));
}

/// Whoever waits for a read that is dropped reads instead.
#[tokio::test]
async fn a_read_that_is_dropped_leaves_nothing_behind() {
    let (flights, store) = (Arc::new(Flights::new()), Arc::new(Slow::default()));
    let ask = || {
        let (flights, store) = (Arc::clone(&flights), Arc::clone(&store));
        tokio::spawn(async move { flights.share(&KEY, |_| true, || store.read()).await })
    };
    let leader = ask();
    store.until_read(1).await;
    let waiting = [ask(), ask()];
    settle().await;
    leader.abort();
    store.until_read(2).await;
    settle().await;
    store.go.notify_one();
    for joiner in waiting {
        assert_eq!(joiner.await.unwrap().0, 0);
    }
    assert_eq!(store.reads(), 2);
    assert!(flights.is_empty());
}

#[tokio::test]
async fn a_read_that_panics_leaves_nothing_behind() {
    let flights = Arc::new(Flights::<TokenDigest, u64>::new());
    let other = AssertUnwindSafe(Arc::clone(&flights));
    let panicked = tokio::spawn(async move { other.share(&KEY, |_| true, async || panic!("a defect")).await });
    assert!(panicked.await.is_err());
    assert!(flights.is_empty());
    assert_eq!(flights.share(&KEY, |_| true, async || 7).await.0, 7);
}

#[tokio::test]
async fn others_are_not_waited_for() {
    let (flights, store) = (Arc::new(Flights::new()), Arc::new(Slow::default()));
    let (busy, slow) = (Arc::clone(&flights), Arc::clone(&store));
    let leader = tokio::spawn(async move { busy.share(&KEY, |_| true, || slow.read()).await });
    store.until_read(1).await;
    let asked = Cell::new(false);
    let read = async || {
        asked.set(true);
        9
    };
    assert_eq!(flights.share(&TokenDigest([2; 16]), |_| true, read).await, (9, Way::Led));
    assert!(asked.get());
    store.go.notify_one();
    assert_eq!(leader.await.unwrap(), (0, Way::Led));
}

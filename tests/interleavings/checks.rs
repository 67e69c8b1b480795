//! What must hold in every order: nobody is answered what was so before a write that was acknowledged before the
//! question.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use shuttle::{future, thread};

use crate::Check;
use crate::cache::flights::Flights;
use crate::cache::near::{Kept, Limits, NearCache, Weigh};
use crate::cache::observe::{CacheName, Unobserved};
use crate::cache::sample::Sample;
use crate::coherence::Coherence;
use crate::coherence::clock::{BootClock, Moment};
use crate::coherence::name::Name;
use crate::token::digest::TokenDigest;

pub(crate) const ALL: &[Check] = &[
    check("a_store_that_announces_before_it_answers_is_never_contradicted", || of_one_process(Order::Announced)),
    mistake("a_store_that_answers_before_it_announces_is_found_out", || of_one_process(Order::Answered)),
    check("a_store_that_is_listened_to_is_never_contradicted", || of_listening(Renewal::FromTheQuestion)),
    mistake("a_lease_that_counts_from_its_answer_is_found_out", || of_listening(Renewal::FromTheAnswer)),
    check("nobody_is_told_what_was_so_before_the_question_by_a_shared_read", || of_sharing(true)),
    mistake("a_shared_read_that_is_believed_unseen_is_found_out", || of_sharing(false)),
];

const fn check(name: &'static str, run: fn()) -> Check {
    Check { name, run, mistaken: false }
}

const fn mistake(name: &'static str, run: fn()) -> Check {
    Check { name, run, mistaken: true }
}

const KEY: TokenDigest = TokenDigest([1; 16]);

/// Few, so that each order is set up quickly.
const STRIPES: usize = 4;

const LEASE: Duration = Duration::from_millis(200);

/// What is read.
#[derive(Clone, Copy, Debug)]
struct Number(u64);

impl Weigh for Number {
    fn weight(&self) -> u64 {
        1
    }
}

/// A node, and the store that it reads.
struct World {
    coherence: Arc<Coherence>,
    clock: BootClock,
    cache: NearCache<TokenDigest, Number>,
    flights: Flights<TokenDigest, Arc<Kept<Number>>>,
    /// What the store holds, counted up by each write.
    store: AtomicU64,
    /// The last write that was acknowledged.
    acknowledged: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        let clock = BootClock::manual();
        let coherence = Arc::new(Coherence::of_stripes(STRIPES, clock.clone()));
        let limits = Limits { capacity: 10, usual: 1, max_age: Duration::from_secs(30) };
        let observer = Arc::new(Unobserved);
        Arc::new(Self {
            cache: NearCache::new(CacheName::Tokens, limits, Arc::clone(&coherence), observer),
            flights: Flights::new(),
            coherence,
            clock,
            store: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        })
    }

    fn announce(&self) {
        self.coherence.heard(Name::Token(KEY).text().as_bytes());
    }

    fn read(&self) -> Arc<Kept<Number>> {
        let sample = Sample::take(&self.coherence, [Name::Token(KEY)]);
        let value = Number(self.store.load(Ordering::SeqCst));
        Arc::new(Kept { sample, value })
    }

    /// Asks as a request does: from memory, else from the store.
    fn ask(&self) {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let value = if let Some(kept) = self.cache.get(&KEY, self.coherence.now()) {
            kept.value.0
        } else {
            let kept = self.read();
            self.cache.keep(KEY, Arc::clone(&kept));
            kept.value.0
        };
        assert!(value >= acknowledged, "{value} was answered after {acknowledged} had been acknowledged");
    }
}

fn spawn(world: &Arc<World>, work: impl FnOnce(&World) + Send + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || work(&world))
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// What a writer does first.
#[derive(Clone, Copy)]
enum Order {
    Announced,
    Answered,
}

/// The embedded store: its lease has no end, and it says of each write before it answers.
fn of_one_process(order: Order) {
    let world = World::new();
    world.coherence.extend(Moment(u64::MAX));
    let writer = spawn(&world, move |world| {
        for number in 1..=2 {
            world.store.store(number, Ordering::SeqCst);
            if matches!(order, Order::Announced) {
                world.announce();
            }
            world.acknowledged.store(number, Ordering::SeqCst);
            if matches!(order, Order::Answered) {
                world.announce();
            }
        }
    });
    let asking = [0, 1].map(|_| spawn(&world, |world| (0..3).for_each(|_| world.ask())));
    let disturbing = spawn(&world, |world| {
        world.cache.forget(&KEY);
        world.coherence.flush();
    });
    join(asking.into_iter().chain([writer, disturbing]));
}

/// From when a lease counts.
#[derive(Clone, Copy)]
enum Renewal {
    FromTheQuestion,
    FromTheAnswer,
}

/// Word of writes, in their order, as long as somebody listens.
struct Wire {
    connected: AtomicBool,
    words: Mutex<VecDeque<()>>,
}

/// A store in another process, with one connection over which word of writes and renewals of the lease come in order. It
/// acknowledges a write when every lease has ended that was granted before.
fn of_listening(renewal: Renewal) {
    let world = World::new();
    let wire = Arc::new(Wire { connected: AtomicBool::new(true), words: Mutex::new(VecDeque::new()) });
    let heard = Arc::clone(&wire);
    let tracker = spawn(&world, move |world| {
        for round in 0..4 {
            if round == 2 {
                // The connection is lost, and with it whatever was under way on it.
                let mut words = heard.words.lock().unwrap();
                heard.connected.store(false, Ordering::SeqCst);
                words.clear();
                drop(words);
                world.coherence.revoke_lease();
                thread::yield_now();
                heard.connected.store(true, Ordering::SeqCst);
            }
            let sent = world.coherence.now();
            let before: Vec<()> = heard.words.lock().unwrap().drain(..).collect();
            for () in before {
                world.announce();
            }
            thread::yield_now();
            let from = match renewal {
                Renewal::FromTheQuestion => sent,
                Renewal::FromTheAnswer => world.coherence.now(),
            };
            world.coherence.extend(from.plus(LEASE));
        }
    });
    let said = Arc::clone(&wire);
    let writer = spawn(&world, move |world| {
        for number in 1..=2 {
            let mut words = said.words.lock().unwrap();
            world.store.store(number, Ordering::SeqCst);
            if said.connected.load(Ordering::SeqCst) {
                words.push_back(());
            }
            drop(words);
            // As long as a lease.
            for _ in 0..2 {
                world.clock.advance(LEASE / 2);
                thread::yield_now();
            }
            world.acknowledged.store(number, Ordering::SeqCst);
        }
    });
    let asking = [0, 1].map(|_| spawn(&world, |world| (0..4).for_each(|_| world.ask())));
    join(asking.into_iter().chain([tracker, writer]));
}

/// Several who ask share a read.
fn of_sharing(checked: bool) {
    let world = World::new();
    world.coherence.extend(Moment(u64::MAX));
    let writer = spawn(&world, |world| {
        world.store.store(1, Ordering::SeqCst);
        world.announce();
        world.acknowledged.store(1, Ordering::SeqCst);
    });
    let asking = [0, 1, 2].map(|_| {
        spawn(&world, move |world| {
            let acknowledged = world.acknowledged.load(Ordering::SeqCst);
            let current =
                |kept: &Arc<Kept<Number>>| !checked || kept.sample.holds(&world.coherence, world.coherence.now());
            let read = async || {
                let kept = world.read();
                future::yield_now().await;
                kept
            };
            let (kept, _) = future::block_on(world.flights.share(&KEY, current, read));
            assert!(kept.value.0 >= acknowledged, "{} after {acknowledged}", kept.value.0);
        })
    });
    join(asking.into_iter().chain([writer]));
    assert!(world.flights.is_empty());
}

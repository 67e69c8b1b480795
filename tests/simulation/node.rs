//! A service node: the product, with its tasks, in a time and on a network of ours.
//!
//! Each node has a runtime of its own, and all are given a millisecond in turn. So one can be left out for a while, as a
//! machine does to a process: its clock goes on meanwhile, and when it is run again everything that was due is late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use introspectd::cache::observe::Unobserved;
use introspectd::coherence::clock::BootClock;
use introspectd::config::RedisConfig;
use introspectd::service::Service;
use introspectd::store::redis::dial::{self, Dial, Dialling};
use introspectd::store::redis::{Outside, RedisStore, Remembering};
use introspectd::store::{Backend, Store};
use introspectd::token::time::Clock;
use tokio::runtime::{Builder, Runtime};

use crate::network::{Address, Micros};
use crate::product;
use crate::stream::Stream;
use crate::world::SharedWorld;

/// How long each node is run in turn.
pub(crate) const TURN: Micros = 2000;

/// The clocks that are the same for everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Time {
    /// Nanoseconds since the beginning.
    passed: Arc<AtomicU64>,
    /// Milliseconds since 1970.
    wall: Arc<AtomicU64>,
}

impl Time {
    pub(crate) fn set(&self, now: Micros, wall: u64) {
        self.passed.store(now * 1000, Ordering::Release);
        self.wall.store(wall, Ordering::Release);
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }

    fn clock(&self) -> Clock {
        Clock::Manual(Arc::clone(&self.wall))
    }
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    index: usize,
    world: SharedWorld,
    time: Time,
    config: RedisConfig,
    runtime: Runtime,
    service: Arc<Mutex<Option<Arc<Service>>>>,
    /// How far its clock is behind while it is not run.
    behind: Micros,
    paused_until: Micros,
    /// How often it was started.
    lives: u64,
}

impl Node {
    pub(crate) fn start(index: usize, world: SharedWorld, time: Time, config: RedisConfig) -> Self {
        let mut node = Self {
            index,
            world,
            time,
            config,
            runtime: runtime(),
            service: Arc::default(),
            behind: 0,
            paused_until: 0,
            lives: 0,
        };
        node.open();
        node
    }

    /// The process ends and another begins; nothing of the old one is left.
    pub(crate) fn restart(&mut self) {
        // What it was doing ends with the runtime, its connections included.
        self.runtime = runtime();
        self.service = Arc::default();
        self.behind = 0;
        self.paused_until = 0;
        self.open();
    }

    fn open(&mut self) {
        self.lives += 1;
        let network = NodeNetwork { world: self.world.clone(), node: self.index };
        let seed = self.lives * 100 + self.index as u64 + 1;
        let (config, clock, slot) = (self.config.clone(), self.time.clock(), Arc::clone(&self.service));
        self.runtime.spawn(async move {
            let epochs = Remembering { max_age: product::MAX_AGE, observer: Arc::new(Unobserved) };
            let outside = Outside {
                dial: Arc::new(network),
                clock: BootClock::of_runtime(),
                seed,
                epochs: Some(epochs),
                ..Outside::default()
            };
            let store = RedisStore::open_with(&config, outside).await.expect("the configuration is a good one");
            let service = product::service(Store::new(Backend::Redis(store)), clock);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(service));
        });
    }

    pub(crate) fn pause(&mut self, until: Micros) {
        self.paused_until = until;
    }

    /// Runs it for its turn, which ends `now`.
    pub(crate) fn run(&mut self, now: Micros) {
        if now < self.paused_until {
            self.behind += TURN;
            return;
        }
        let _named = tracing::info_span!("node", number = self.index).entered();
        let behind = std::mem::take(&mut self.behind);
        self.runtime.block_on(async {
            if behind > 0 {
                tokio::time::advance(Duration::from_micros(behind)).await;
            }
            tokio::time::sleep(Duration::from_micros(TURN)).await;
        });
    }

    /// Has a request carried out, whenever the node is run.
    pub(crate) fn ask(&self, request: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(request);
    }

    /// The product, as soon as it is there.
    pub(crate) fn service(&self) -> Option<Arc<Service>> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O needs nothing that could be missing")
}

/// The network as one node finds it.
#[derive(Debug)]
struct NodeNetwork {
    world: SharedWorld,
    node: usize,
}

impl Dial for NodeNetwork {
    fn dial<'a>(&'a self, address: &'a dial::Address, limit: Duration) -> Dialling<'a> {
        Box::pin(async move {
            let dial::Address::Tcp { host, port } = address else { return Err(std::io::ErrorKind::Unsupported.into()) };
            let address = Address { host: host.to_string(), port: *port };
            let opened = tokio::time::timeout(limit, Stream::open(self.world.clone(), self.node, &address)).await;
            let stream: Box<dyn dial::Stream> = Box::new(opened??);
            Ok(stream)
        })
    }
}

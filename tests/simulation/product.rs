//! How the product is set up: its configuration, and everything between its store and its callers.

use std::sync::Arc;
use std::time::Duration;

use introspectd::cache::near::{Limits, NearCache};
use introspectd::cache::observe::{CacheName, CacheObserver, Unobserved};
use introspectd::client::metadata::blank;
use introspectd::client::secret::Secret;
use introspectd::client::{Client, ClientId, Right, Rights};
use introspectd::config::{
    Acknowledge, CacheConfig, Durability, RedisConfig, RedisTopology, RevocationConfig, SigningConfig, TokensConfig,
    UnsafeSettings,
};
use introspectd::jose::algorithm::Algorithm;
use introspectd::service::Service;
use introspectd::service::access_token::VerifiedTexts;
use introspectd::service::hashing::HashingPool;
use introspectd::service::introspect::BATCH_READS;
use introspectd::service::registry::Registry;
use introspectd::service::remembered::RememberedTokens;
use introspectd::service::signed_answer::SignedAnswers;
use introspectd::service::signing::SigningKeys;
use introspectd::store::Store;
use introspectd::token::keyring::{Key, KeyId, KeyRing};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Clock, UnixSeconds};
use tokio::sync::Semaphore;

use crate::redis::deployment::{Deployment, Topology};
use crate::scenario::NODES;
use crate::world::BEGINNING;

/// What is different from run to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) topology: Topology,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) durability: Durability,
    pub(crate) lease: Duration,
}

impl Settings {
    /// What a node is configured with. One of them may be set to much more than the others: the fleet must hold what it
    /// promises all the same.
    pub(crate) fn lease_of(self, node: usize) -> Duration {
        // Only where no node may say active after the answer: how long it may otherwise, the longest lease decides.
        let odd = self.acknowledge == Acknowledge::Visible && self.lease == UNEQUAL && node == 2;
        if odd { 5 * self.lease } else { self.lease }
    }

    /// The longest that a lease can be, whichever node has made the dataset.
    pub(crate) fn longest_lease(self) -> Duration {
        (0..NODES).map(|node| self.lease_of(node)).max().unwrap_or(self.lease)
    }
}

/// With this lease one node is set to another.
pub(crate) const UNEQUAL: Duration = Duration::from_millis(300);

/// The `[redis]` section of a node for these servers.
pub(crate) fn redis(settings: Settings, node: usize, deployment: &Deployment) -> RedisConfig {
    let Settings { topology, acknowledge, durability, .. } = settings;
    let lease = settings.lease_of(node);
    let asked: Vec<_> = match topology {
        Topology::Standalone | Topology::Cluster => deployment.data().map(|it| it.address.to_string()).collect(),
        Topology::Sentinel => deployment.sentinels().map(|it| it.address.to_string()).collect(),
    };
    RedisConfig {
        url: Secret::new(format!("redis://{}", asked[0])),
        key_prefix: "itd:".to_owned(),
        connect_timeout: Duration::from_millis(300),
        response_timeout: Duration::from_millis(250),
        // One, since which of several is taken depends on the thread that a simulation happens to run on.
        connections: 1,
        ca_file: None,
        topology: match topology {
            Topology::Standalone => RedisTopology::Standalone,
            Topology::Sentinel => RedisTopology::Sentinel,
            Topology::Cluster => RedisTopology::Cluster,
        },
        nodes: if topology == Topology::Standalone { Vec::new() } else { asked[1..].to_vec() },
        sentinel_service: "mymaster".to_owned(),
        sentinel_username: None,
        sentinel_password: None,
        dataset: None,
        unsafe_settings: UnsafeSettings::Warn,
        revocation: RevocationConfig { acknowledge, durability, replicas: 1, lease },
    }
}

/// Everything between a store and its callers.
pub(crate) fn service(store: Store, clock: Clock) -> Service {
    let store = Arc::new(store);
    let tokens = TokensConfig {
        access_lifetime: Duration::from_mins(10),
        refresh_lifetime: Duration::from_hours(1),
        refresh_idle_lifetime: Duration::ZERO,
        refresh_grace: Duration::ZERO,
        max_lifetime: Duration::from_hours(24),
        imports: true,
    };
    let keys = Arc::new(keys());
    let cache = CacheConfig {
        enabled: true,
        max_bytes: 1 << 24,
        max_age: MAX_AGE,
        negative_ttl: Duration::from_secs(1),
        negative_entries: 1000,
    };
    let observer: Arc<dyn CacheObserver> = Arc::new(Unobserved);
    let limits = Limits { capacity: 1000, usual: 1, max_age: MAX_AGE };
    let clients = NearCache::new(CacheName::Clients, limits, Arc::clone(store.coherence()), Arc::clone(&observer));
    let signing = SigningConfig { algorithm: Algorithm::Es256, publish_ahead: Duration::from_mins(1) };
    Service {
        registry: Registry::new([resource_server()], Arc::clone(&store), Some(clients)),
        remembered: RememberedTokens::new(&cache, store.coherence(), &observer),
        signing: Arc::new(SigningKeys::new(Arc::clone(&store), Arc::clone(&keys), signing, tokens.max_lifetime)),
        signed_answers: SignedAnswers::default(),
        verified: VerifiedTexts::new().expect("this machine has randomness"),
        store,
        keys,
        batch_reads: Semaphore::new(BATCH_READS),
        accounts: None,
        hashing: HashingPool::new(1, 1, introspectd::service::hashing::Priority::Usual)
            .expect("this machine has threads"),
        clock,
        tokens,
        issuer: "https://issuer.example".into(),
    }
}

/// How long something may be said again. Also how long a token that was revoked and has been approved again may still
/// be called inactive by a node that has heard of nothing since.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(2);

/// The same key on all nodes, and tokens that are made elsewhere: their texts, and with them their digests and the
/// slots that they lie in, are the same whenever a simulation is repeated.
pub(crate) fn keys() -> KeyRing {
    let id = KeyId::from_bytes(b"00").expect("two digits are a key id");
    let key = Key::derive(id, b"a key for simulations, known to everybody").expect("long enough");
    KeyRing::new(key, Vec::new(), true).expect("one key")
}

/// Who introspects: declared, so that it is there whatever becomes of the store.
pub(crate) fn resource_server() -> Client {
    let id = ClientId::parse("resource-server").expect("printable");
    Client {
        rights: Rights::of(&[Right::Introspect]),
        scope: Scope::parse("read").expect("a name"),
        audiences: vec!["*".into()],
        ..blank(id, UnixSeconds(BEGINNING))
    }
}

/// Who tokens are issued to: kept in the store.
pub(crate) fn application(name: &str) -> Client {
    blank(ClientId::parse(name).expect("printable"), UnixSeconds(BEGINNING))
}

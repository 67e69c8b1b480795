//! Configuration to running service: opens the store, binds the sockets, starts the owned tasks, and waits for the end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{HeaderValue, STRICT_TRANSPORT_SECURITY};
use tokio::sync::Semaphore;

use crate::admin::AdminFace;
use crate::auth::budget::Budget;
use crate::auth::verify::{Authenticator, AuthenticatorError};
use crate::cache::near::{Limits, NearCache};
use crate::cache::observe::{CacheName, CacheObserver};
use crate::client::Client;
use crate::client::secret::{SecretHash, StoredSecret};
use crate::config::{AccountsConfig, Config, DeclaredClient, KeysConfig, StoreConfig, UnsafeSettings};
use crate::http::accounts::AccountsFace;
use crate::http::forward_auth::ForwardAuth;
use crate::http::health::Readiness;
use crate::http::metadata::{CertificateSupport, MetadataDocument};
use crate::http::observe::Observer;
use crate::http::published::Published;
use crate::http::{Answer, Context, PublicFace};
use crate::openapi::{self, Features};
use crate::reload::Parts;
use crate::server::{BindError, Bound, Handler, Peer, Refusal, RequestBody, Server};
use crate::service::Service;
use crate::service::access_token::VerifiedTexts;
use crate::service::accounts::Accounts;
use crate::service::hashing::{HashingPool, Priority};
use crate::service::introspect::BATCH_READS;
use crate::service::registry::{MOST_CLIENTS, Registry};
use crate::service::remembered::RememberedTokens;
use crate::service::signed_answer::SignedAnswers;
use crate::service::signing::SigningKeys;
use crate::shutdown::{Drain, Outcome};
use crate::store::embedded::{self, EmbeddedStore};
use crate::store::redis::observe::FleetObserver;
use crate::store::redis::{Outside, RedisStore, Remembering};
use crate::store::{Backend, Store, StoreError, StoreErrorKind, StoreObserver, StoreOperation};
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::label::Label as _;
use crate::telemetry::traces::export::{ExportConfigError, Exporter};
use crate::telemetry::traces::sampling::Sampled;
use crate::telemetry::traces::span::Kind;
use crate::telemetry::traces::{self, RequestLine, Tracer};
use crate::threads::Threads;
use crate::token::keyring::{Key, KeyId, KeyRing, KeyRingError};
use crate::token::time::{Clock, Now};

/// A service that is built and has its addresses, but does not answer yet.
#[derive(Debug)]
pub struct App {
    service: Arc<Service>,
    context: Arc<Context>,
    public: PublicFace,
    drain: Drain,
    server: Server,
    threads: Threads,
    traces: Option<(Tracer, Exporter)>,
}

/// Why a service could not be built. The texts name settings and files, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address or files.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The embedded store's folder.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// The key in the embedded store's folder.
    #[error(transparent)]
    KeyFile(#[from] embedded::key::KeyError),
    /// The Redis section.
    #[error(transparent)]
    Redis(#[from] crate::store::redis::RedisConfigError),
    /// The keys section.
    #[error("keys.digest: {0}")]
    Keys(#[from] KeyRingError),
    /// A key that is too short.
    #[error("keys.digest: the key {0} has less than {min} bytes", min = Key::MIN_MATERIAL_BYTES)]
    ShortKey(KeyId),
    /// No keys, and no place to make one.
    #[error("keys.digest: with Redis, every node needs the same key: none is configured")]
    NoKeys,
    /// The operating system has no threads for connections.
    #[error("no threads for connections: {0}")]
    Threads(io::Error),
    /// No randomness for the names of cached texts.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    /// No randomness for what accounts need.
    #[error("accounts: {0}")]
    Accounts(String),
    /// The operating system has no threads for slow hashes.
    #[error("no threads for slow hashes: {0}")]
    HashingThreads(io::Error),
    /// The file of the audit log, or its thread.
    #[error("audit: {0}")]
    Audit(io::Error),
    /// No randomness, or the file of authorities.
    #[error(transparent)]
    Authenticator(#[from] AuthenticatorError),
    /// The tracing section.
    #[error(transparent)]
    Traces(#[from] ExportConfigError),
}

/// How often the store is asked whether it answers.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// For how long a store may fail before the node says that it is not ready. A failover takes some seconds, and all
/// nodes going away together would turn it into an outage of everything.
const PROBE_GRACE: u32 = 10;

impl App {
    /// Builds the service: everything that can fail at the start fails here, before anything is answered.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(&config.metrics));
        let threads = Threads::start(config.http.threads).map_err(StartError::Threads)?;
        let (backend, keys) = open_store(&config, &clock, &metrics, &threads).await?;
        let audit = Audit::open(&config.audit, &metrics).map_err(StartError::Audit)?;
        let traces = Exporter::start(&config.tracing, &metrics)?;
        let calls = Arc::clone(&metrics) as Arc<dyn StoreObserver>;
        let calls = if traces.is_some() { StoreCalls::over(calls, &config.store) } else { calls };
        let store = Arc::new(Store::new(backend).observed_by(calls));
        let keys = Arc::new(keys);
        if config.accounts.enabled {
            for client in config.accounts.first_party_clients() {
                if client.record.audiences.is_empty() {
                    let client_id = client.record.client_id.as_str();
                    tracing::warn!(
                        client_id,
                        "tokens of users of this client have no audience: set accounts.clients.audiences, or no resource \
                         server but one that serves * sees them"
                    );
                }
            }
        }
        let declared = declared_clients(&config.clients, &config.accounts, &keys, clock.now());
        let drain = Drain::new(&config.drain);
        let certificates = CertificateSupport::of(&config);
        let features = Features::of(&config);
        let server = Server::bind(&[(PUBLIC, &config.public), (ADMIN, &config.admin)], &config.http)?;
        let issuer = config.issuer.clone().unwrap_or_else(|| url(&server.bound()[0]));
        let signing =
            SigningKeys::new(Arc::clone(&store), Arc::clone(&keys), config.signing.clone(), config.tokens.max_lifetime);
        let observer = Arc::clone(&metrics) as Arc<dyn CacheObserver>;
        let clients = config.cache.enabled.then(|| {
            let limits = Limits { capacity: MOST_CLIENTS, usual: 1, max_age: config.cache.max_age };
            NearCache::new(CacheName::Clients, limits, Arc::clone(store.coherence()), Arc::clone(&observer))
        });
        let (hashers, queue) = (config.authentication.hashing_threads, config.authentication.hashing_queue);
        let hashing = HashingPool::new(hashers, queue, Priority::Usual).map_err(StartError::HashingThreads)?;
        let accounts = Accounts::new(&config.accounts, &issuer).map_err(StartError::HashingThreads)?;
        let service = Arc::new(Service {
            registry: Registry::new(declared, Arc::clone(&store), clients),
            remembered: RememberedTokens::new(&config.cache, store.coherence(), &observer),
            signing: Arc::new(signing),
            signed_answers: SignedAnswers::default(),
            verified: VerifiedTexts::new().map_err(StartError::Randomness)?,
            store,
            keys,
            batch_reads: Semaphore::new(BATCH_READS),
            hashing,
            accounts,
            clock,
            tokens: config.tokens.clone(),
            issuer: issuer.into(),
        });
        let metadata = MetadataDocument::new(&service.issuer, certificates);
        let context = Arc::new(Context {
            authenticator: Authenticator::new(Arc::clone(&service), &config.authentication)?,
            service: Arc::clone(&service),
            limits: config.http.clone(),
            scanning: Budget::new(config.authentication.unknown_tokens_per_second),
            authentication: config.authentication,
            readiness: Readiness::new(drain.clone(), refuses_unsafe_settings(&config.store)),
            observer: Observer::new(metrics, &config.log),
            audit,
        });
        let guesses = context.authentication.unknown_tokens_per_second;
        let accounts = AccountsFace::new(&service, &config.accounts, guesses).map_err(StartError::Accounts)?;
        let gateways = ForwardAuth::new(&config.forward_auth);
        let description = Published::new(openapi::public(features, &context.service.issuer).to_string());
        let public = PublicFace::new(Arc::clone(&context), metadata, accounts, gateways, description);
        Ok(Self { service, context, public, drain, server, threads, traces })
    }

    /// Where the listeners listen: the public one first, then the admin one.
    pub fn bound(&self) -> &[Bound] {
        self.server.bound()
    }

    /// What the product does, for those who run it in their own process.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// What answers the public listener, for those who have requests without a socket.
    pub fn public(&self) -> &PublicFace {
        &self.public
    }

    /// The numbers.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.context.observer.metrics()
    }

    /// The handle that ends the service.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Whether it should be sent requests.
    pub fn readiness(&self) -> &Readiness {
        &self.context.readiness
    }

    /// Where connections are served.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// What of it can be changed while it runs.
    pub fn parts(&self) -> Parts {
        Parts {
            service: Arc::clone(&self.service),
            metrics: Arc::clone(self.metrics()),
            audit: self.context.audit.clone(),
            certificates: self.server.certificates(),
        }
    }

    /// Answers until the drain has come to its end.
    pub async fn run(self) -> Outcome {
        let Self { service, context, public, drain, server, threads, traces } = self;
        // Asked once before the first answer, so that readiness is true from the start when it can be.
        let watched = WatchedStore::found(service.store.probe().await);
        watched.show(&context);
        let prober = tokio::spawn(watched.watch(Arc::clone(&context)));
        let keys = Arc::clone(&service.signing);
        let reader = tokio::spawn(async move { keys.watch().await });
        let audit = context.audit.clone();
        let (tracer, exporter) = traces.unzip();
        let description = Published::new(openapi::admin().to_string());
        let admin = AdminFace::new(context, server.statistics(), description);
        let faces = Faces { public, admin, tracer };
        let outcome = server.serve(faces, &drain, &threads).await;
        prober.abort();
        reader.abort();
        service.store.close().await;
        // Nobody acts any more. It waits for a disk or a pipe, so it is done where that holds nobody up.
        let _ = tokio::task::spawn_blocking(move || audit.close()).await;
        if let Some(exporter) = exporter {
            exporter.finish().await;
        }
        outcome
    }
}

const PUBLIC: &str = "public";
pub(crate) const ADMIN: &str = "admin";

/// Sent over our own TLS only: over plain HTTP it has no meaning (RFC 6797 section 7.2).
const ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Both faces behind one server, so that they share its connection limit and its end.
#[derive(Clone, Debug)]
struct Faces {
    public: PublicFace,
    admin: AdminFace,
    tracer: Option<Tracer>,
}

impl Faces {
    async fn answer(&self, request: &mut Request<RequestBody>, peer: &Peer) -> Answer {
        if peer.listener == ADMIN {
            // Large and seldom used: it would make the future of every introspection as large.
            Box::pin(self.admin.handle(request, peer)).await
        } else {
            self.public.handle(request, peer).await
        }
    }

    async fn record(
        &self,
        tracer: &Tracer,
        sampled: Sampled,
        request: &mut Request<RequestBody>,
        peer: &Peer,
    ) -> Answer {
        let path = request.uri().path();
        let route = if peer.listener == ADMIN { AdminFace::template(path) } else { self.public.template(path) };
        let line = RequestLine::of(request, route, peer.encrypted);
        // On the heap, for the same reason.
        tracer.record(sampled, line, Box::pin(self.answer(request, peer))).await
    }
}

impl Handler for Faces {
    async fn handle(&self, request: &mut Request<RequestBody>, peer: &Peer) -> Answer {
        let sampled = self.tracer.as_ref().and_then(|tracer| Some((tracer, tracer.decide(request.headers())?)));
        let mut answer = match sampled {
            None => self.answer(request, peer).await,
            Some((tracer, sampled)) => self.record(tracer, sampled, request, peer).await,
        };
        if peer.encrypted {
            answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, ONE_YEAR);
        }
        answer
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        self.public.refuse(refusal)
    }
}

/// Counts calls of the store, and shows each in the trace of the request that made it.
struct StoreCalls {
    counted: Arc<dyn StoreObserver>,
    system: &'static str,
    kind: Kind,
}

impl StoreCalls {
    fn over(counted: Arc<dyn StoreObserver>, store: &StoreConfig) -> Arc<dyn StoreObserver> {
        let (system, kind) = match store {
            StoreConfig::Embedded { .. } => ("redb", Kind::Internal),
            StoreConfig::Redis(_) => ("redis", Kind::Client),
        };
        Arc::new(Self { counted, system, kind })
    }
}

impl StoreObserver for StoreCalls {
    fn observed(&self, operation: StoreOperation, error: Option<StoreErrorKind>, duration: Duration) {
        self.counted.observed(operation, error, duration);
        let about = || {
            let mut about =
                vec![("db.system.name", self.system.into()), ("db.operation.name", operation.value().into())];
            about.extend(error.map(|kind| ("error.type", kind.value().into())));
            about
        };
        let name = if operation.is_write() { "store write" } else { "store read" };
        traces::note(name, self.kind, duration, about, error.is_some());
    }
}

/// The URL of a listener.
pub fn url(bound: &Bound) -> String {
    let scheme = if bound.encrypted { "https" } else { "http" };
    format!("{scheme}://{}", bound.address)
}

fn refuses_unsafe_settings(store: &StoreConfig) -> bool {
    matches!(store, StoreConfig::Redis(redis) if redis.unsafe_settings == UnsafeSettings::Refuse)
}

/// What asking the store from time to time has shown, for readiness and for the gauge.
#[derive(Debug)]
struct WatchedStore {
    /// How often in a row it has not answered; from [`PROBE_GRACE`] on the node is not ready.
    failures: u32,
}

impl WatchedStore {
    /// What the first probe found: a store that has never answered has no grace.
    fn found(outcome: Result<(), StoreError>) -> Self {
        let mut watched = Self { failures: PROBE_GRACE };
        watched.note(outcome);
        watched
    }

    fn note(&mut self, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) if self.failures > 0 => {
                tracing::info!("the store answers");
                self.failures = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.failures == 0 || self.failures == PROBE_GRACE {
                    tracing::error!(%error, "the store does not answer");
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    fn is_good(&self) -> bool {
        self.failures < PROBE_GRACE
    }

    fn show(&self, context: &Context) {
        context.observer.metrics().store_up.set(self.failures == 0);
        context.readiness.set_store(self.is_good());
        context.readiness.set_findings(context.service.store.condition().findings);
    }

    /// Never ends.
    async fn watch(mut self, context: Arc<Context>) {
        let mut ticks = tokio::time::interval(PROBE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.note(context.service.store.probe().await);
            self.show(&context);
        }
    }
}

async fn open_store(
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    threads: &Threads,
) -> Result<(Backend, KeyRing), StartError> {
    match &config.store {
        StoreConfig::Embedded { path } => {
            // The key before the database: beside a database, a key that is missing is lost, and not still to be made.
            let keys = match key_ring(&config.keys, config.tokens.imports)? {
                Some(keys) => keys,
                None => key_from_folder(path, config.tokens.imports)?,
            };
            Ok((Backend::Embedded(EmbeddedStore::open(path, clock.clone())?), keys))
        }
        StoreConfig::Redis(redis) => {
            let keys = key_ring(&config.keys, config.tokens.imports)?.ok_or(StartError::NoKeys)?;
            let observer = Arc::clone(metrics) as Arc<dyn FleetObserver>;
            let epochs = config.cache.enabled.then(|| Remembering {
                max_age: config.cache.max_age,
                observer: Arc::clone(metrics) as Arc<dyn CacheObserver>,
            });
            let outside = Outside { observer, epochs, threads: threads.clone(), ..Outside::default() };
            Ok((Backend::Redis(RedisStore::open_with(redis, outside).await?), keys))
        }
    }
}

fn key_ring(config: &KeysConfig, imports: bool) -> Result<Option<KeyRing>, StartError> {
    let mut keys = Vec::new();
    for key in &config.digest {
        keys.push(Key::derive(key.id, key.secret.expose().as_bytes()).ok_or(StartError::ShortKey(key.id))?);
    }
    let mut keys = keys.into_iter();
    keys.next().map(|active| KeyRing::new(active, keys.collect(), imports)).transpose().map_err(Into::into)
}

/// The key of a store that is one machine's own, made when the store is.
fn key_from_folder(path: &Path, imports: bool) -> Result<KeyRing, StartError> {
    let id = KeyId::from_bytes(b"00").expect("two digits are a key id");
    let secret = embedded::key::load_or_create_key(path)?;
    let key = Key::derive(id, secret.expose().as_bytes()).ok_or(StartError::ShortKey(id))?;
    Ok(KeyRing::new(key, Vec::new(), imports)?)
}

/// The clients that the configuration declares, by themselves and as those that users log in with.
pub(crate) fn declared_clients(
    clients: &[DeclaredClient],
    accounts: &AccountsConfig,
    keys: &KeyRing,
    now: Now,
) -> Vec<Client> {
    let now = now.seconds();
    let first_party = accounts.enabled.then(|| accounts.first_party_clients()).into_iter().flatten();
    let first_party = first_party.map(|client| Client { client_id_issued_at: now, ..client.record });
    clients.iter().map(|client| declare(client, keys, now)).chain(first_party).collect()
}

/// A declared secret is never stored, so the digest that it is compared with can be a fast one, whatever its strength.
fn declare(declared: &DeclaredClient, keys: &KeyRing, now: crate::token::time::UnixSeconds) -> Client {
    let secrets = declared
        .client_secret
        .iter()
        .map(|secret| StoredSecret { hash: SecretHash::keyed(keys, secret), created_at: now, expires_at: None })
        .collect();
    Client { secrets, client_id_issued_at: now, ..declared.record.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreErrorKind;

    fn silence() -> Result<(), StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable, "nothing is answered"))
    }

    #[test]
    fn a_store_that_has_answered_once_has_its_grace_from_then_on() {
        let mut store = WatchedStore::found(Ok(()));
        for _ in 0..2 {
            for _ in 1..PROBE_GRACE {
                store.note(silence());
                assert!(store.is_good(), "after {} failures", store.failures);
            }
            store.note(silence());
            assert!(!store.is_good());
            store.note(Ok(()));
        }
        assert!(store.is_good());
    }

    #[test]
    fn a_store_that_has_never_answered_has_none() {
        let mut store = WatchedStore::found(silence());
        assert!(!store.is_good());
        store.note(silence());
        assert!(!store.is_good());
        store.note(Ok(()));
        assert!(store.is_good());
    }
}

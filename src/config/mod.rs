//! What an operator can set: one struct per section, each value with its unit in its type.
//!
//! Values come from flags, the environment, files and defaults, in this order of precedence. Everything is read before
//! anything is used, and all mistakes are reported at once.
//!
//! A setting is declared where it is read, in `sections`, and nowhere else. [`Config::load`], [`print()`], [`schema()`]
//! and [`reference()`] all follow from that.

mod declaration;
mod error;
mod format;
mod kind;
mod print;
mod reader;
mod reference;
mod schema;
mod sections;
mod snapshot;
mod source;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use error::{ConfigError, ConfigErrors};
pub use print::print;
pub use reference::reference;
pub use schema::schema;
pub use snapshot::Snapshot;
pub use source::{Environment, ProcessEnvironment, Sources};
pub use tree::Origin;

use crate::client::Client;
use crate::client::secret::Secret;
use crate::jose::algorithm::Algorithm;
use crate::token::keyring::KeyId;
use crate::user::hash::HashParameters;
use declaration::Declarations;
use reader::{Log, Reader};
use tree::Node;

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `issuer`: the `iss` of tokens and the base of published URLs (RFC 8414 section 2). `None` takes the public
    /// listener's own address, which is right on one machine only.
    pub issuer: Option<String>,
    /// `[public]`: the listener for clients and resource servers.
    pub public: ListenerConfig,
    /// `[admin]`: the listener for operators.
    pub admin: ListenerConfig,
    /// `[store]` or `[redis]`.
    pub store: StoreConfig,
    /// `[keys]`: what token and secret digests are made with.
    pub keys: KeysConfig,
    /// `[tokens]`.
    pub tokens: TokensConfig,
    /// `[signing]`.
    pub signing: SigningConfig,
    /// `[cache]`.
    pub cache: CacheConfig,
    /// `[[clients]]`: clients that exist by configuration alone.
    pub clients: Vec<DeclaredClient>,
    /// `[authentication]`.
    pub authentication: AuthenticationConfig,
    /// `[accounts]`.
    pub accounts: AccountsConfig,
    /// `[forward_auth]`.
    pub forward_auth: ForwardAuthConfig,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[drain]`.
    pub drain: DrainConfig,
    /// `[reload]`.
    pub reload: ReloadConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[audit]`.
    pub audit: AuditConfig,
    /// `[metrics]`.
    pub metrics: MetricsConfig,
    /// `[tracing]`.
    pub tracing: TracingConfig,
}

impl Config {
    /// Reads all sources. Everything that is wrong with them comes back at once.
    pub fn load<E: Environment>(sources: &Sources<E>) -> Result<Self, ConfigErrors> {
        load(sources).map(|(config, _)| config)
    }
}

impl Default for Config {
    /// What an empty configuration means.
    fn default() -> Self {
        let nothing = Sources { files: vec![], environment: BTreeMap::new(), overrides: vec![] };
        Self::load(&nothing).expect("the defaults are valid: a test loads them")
    }
}

fn load<E: Environment>(sources: &Sources<E>) -> Result<(Config, Log), ConfigErrors> {
    read(sources).map(|(config, log, _)| (config, log))
}

fn read<E: Environment>(sources: &Sources<E>) -> Result<(Config, Log, Node), ConfigErrors> {
    let mut errors = Vec::new();
    let tree = source::gather(sources, &declarations(), &mut errors);
    let mut log = Log::default();
    let config = sections::read(&mut Reader::new(&tree, &mut log));
    reader::reject_unknown(&tree, "", "", &mut log);
    errors.append(&mut log.errors);
    ConfigErrors::check(errors)?;
    Ok((config, log, tree))
}

/// All settings there are, as reading nothing brings them to light.
fn declarations() -> Declarations {
    let mut log = Log::default();
    sections::read(&mut Reader::new(&Node::empty(), &mut log));
    log.declarations
}

/// Where a listener listens, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// `address`. Port 0 takes a free one.
    pub address: SocketAddr,
    /// `unix`: a socket file for callers on the same machine, beside the address.
    pub unix: Option<PathBuf>,
    /// `tls_certificate_file` and `tls_key_file`: PEM files; both or neither. The unix socket is never encrypted.
    pub tls: Option<TlsFiles>,
    /// `insecure`, of the admin listener only: an address that other machines reach may go without TLS.
    pub insecure: bool,
}

/// The PEM files of a TLS listener.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// `tls_client_certificates`: whether peers are asked for theirs.
    pub client_certificates: ClientCertificates,
}

/// Whether peers are asked for a certificate in the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No.
    #[default]
    None,
    /// Yes, and those that have none are served as well: which clients need one says their registration.
    Optional,
}

/// Which store, and how to reach it.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// `store.path`: a folder of this process alone.
    Embedded {
        /// The folder; created when missing.
        path: PathBuf,
    },
    /// `[redis]`: present as soon as `redis.url` is set.
    Redis(Box<RedisConfig>),
}

/// `[redis]`.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `url` (or `url_file`): `redis://`, `rediss://`, `unix://`, with user, password and database number. A secret.
    pub url: Secret,
    /// `key_prefix`: put before every key.
    pub key_prefix: String,
    /// `connect_timeout`.
    pub connect_timeout: Duration,
    /// `response_timeout`: how long one command may take before the request is answered 503.
    pub response_timeout: Duration,
    /// `connections`: multiplexed connections for the hot path.
    pub connections: usize,
    /// `ca_file`: PEM of the authority that signed Redis' certificate, for `rediss://`.
    pub ca_file: Option<PathBuf>,
    /// `topology`: what `url` and `nodes` are addresses of.
    pub topology: RedisTopology,
    /// `nodes`: further addresses beside that of `url`, as `host:port`; its scheme and user hold for them too.
    pub nodes: Vec<String>,
    /// `sentinel_service`: the name under which the Sentinels watch the primary.
    pub sentinel_service: String,
    /// `sentinel_username`, when the Sentinels ask for one.
    pub sentinel_username: Option<String>,
    /// `sentinel_password` (or `sentinel_password_file`), when the Sentinels ask for one. A secret.
    pub sentinel_password: Option<Secret>,
    /// `dataset`: the only dataset that will do; without it, the one that is found or made at the first start.
    pub dataset: Option<String>,
    /// `unsafe_settings`: what to do when Redis' own settings may lose a revocation.
    pub unsafe_settings: UnsafeSettings,
    /// `[revocation]`.
    pub revocation: RevocationConfig,
}

/// How several Redis servers belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server, at `url`.
    Standalone,
    /// One primary with replicas, which Sentinels watch: `url` and `nodes` are theirs.
    Sentinel,
    /// A Redis Cluster: `url` and `nodes` are those of some of its nodes.
    Cluster,
}

/// What to do about settings of Redis that may lose a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsafeSettings {
    /// Say so in the log and in readiness.
    Warn,
    /// Be not ready.
    Refuse,
}

/// `[revocation]`: what has been reached when a revocation is answered 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationConfig {
    /// `acknowledge`.
    pub acknowledge: Acknowledge,
    /// `durability`.
    pub durability: Durability,
    /// `replicas`: how many replicas must have a revocation, with `durability = "replicas"`.
    pub replicas: usize,
    /// `lease`: for how long a near cache may be used after it was last confirmed.
    pub lease: Duration,
}

/// When a revocation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// When no node can say active any more.
    Visible,
    /// When it is written; other nodes may say active for the length of a lease.
    Written,
}

/// What a revocation survives once it has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What the primary survives by its own settings.
    Primary,
    /// A failover to any of the replicas that have it: answered only when so many do.
    Replicas,
    /// A failover to any replica, as long as one node that has heard of it lives: it is written again then.
    Replay,
}

/// `[keys]`.
#[derive(Clone, Debug)]
pub struct KeysConfig {
    /// The keys, the active one first. Empty with the embedded store: a key is then made and kept in its folder.
    ///
    /// `[[keys.digest]]` with `id` and `secret` or `secret_file`; `keys.active` names the active one, by default the
    /// first.
    pub digest: Vec<DigestKeyConfig>,
}

/// One `[[keys.digest]]`.
#[derive(Clone, Debug)]
pub struct DigestKeyConfig {
    /// `id`: two characters of `[0-9A-Za-z]`.
    pub id: KeyId,
    /// `secret` (or `secret_file`): at least 32 bytes of text or file content.
    pub secret: Secret,
}

/// `[tokens]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokensConfig {
    /// `access_lifetime`: of access tokens for which nothing else is said.
    pub access_lifetime: Duration,
    /// `refresh_lifetime`: of refresh tokens for which nothing else is said.
    pub refresh_lifetime: Duration,
    /// `refresh_idle_lifetime`: how long a refresh token that nobody uses works; zero for as long as its grant.
    pub refresh_idle_lifetime: Duration,
    /// `refresh_grace`: for how long the immediate predecessor of a refresh token is answered with the same successor.
    pub refresh_grace: Duration,
    /// `max_lifetime`: no token lives longer, whatever an issuer asks for.
    pub max_lifetime: Duration,
    /// `imports`: whether tokens made elsewhere may be taken over by value. Off, every text without our prefix is
    /// refused without a look-up.
    pub imports: bool,
}

impl TokensConfig {
    /// The most that any lifetime can be set to, and so the longest that any token lives: ten years. A token that
    /// outlives its software is not a token.
    pub const LONGEST_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);
}

/// `[signing]`: of tokens and answers.
#[derive(Clone, Debug, PartialEq)]
pub struct SigningConfig {
    /// `algorithm`: what is signed with when a client is registered for nothing else.
    pub algorithm: Algorithm,
    /// `publish_ahead`: how long a key is published before it signs.
    pub publish_ahead: Duration,
}

/// `[cache]`: what a node remembers of what it has read.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheConfig {
    /// `enabled`: off, each request reads the store.
    pub enabled: bool,
    /// `max_bytes`: of tokens with their answers; 0 for none.
    pub max_bytes: usize,
    /// `max_age`: how long something is answered again at most, however certain it is.
    pub max_age: Duration,
    /// `negative_ttl`: the same for tokens that the store does not have.
    pub negative_ttl: Duration,
    /// `negative_entries`: how many of those are remembered.
    pub negative_entries: usize,
}

/// One `[[clients]]`: a client that exists as long as the configuration names it, and cannot be changed otherwise.
#[derive(Clone, Debug)]
pub struct DeclaredClient {
    /// Everything but its secret, and the moment of its creation, which is that of the start.
    pub record: Client,
    /// `client_secret` (or `client_secret_file`); none for a client that authenticates otherwise or not at all.
    pub client_secret: Option<Secret>,
}

/// `[authentication]`: of callers.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthenticationConfig {
    /// `failures_per_client`: wrong secrets for one client from one source before it must wait.
    pub failures_per_client: u32,
    /// `failures_per_source`: wrong secrets from one source, over all clients, before it must wait.
    pub failures_per_source: u32,
    /// `max_wait`: the longest that a client or source must wait; the wait starts at a second and doubles.
    pub max_wait: Duration,
    /// `hashing_threads`: how many slow secret comparisons may run at once; each takes 19 MiB.
    pub hashing_threads: usize,
    /// `hashing_queue`: how many more may wait for their turn before callers are answered 503.
    pub hashing_queue: usize,
    /// `secret_overlap`: how long the old secret keeps working after a rotation, unless the rotation says otherwise.
    pub secret_overlap: Duration,
    /// `bearer_may_ask_about_itself`: whether an access token may be introspected with nothing but itself as
    /// credentials.
    pub bearer_may_ask_about_itself: bool,
    /// `unknown_tokens_per_second`: how many unknown tokens one caller may ask about; 0 for no limit.
    pub unknown_tokens_per_second: u32,
    /// `trusted_proxies`: addresses, or networks as `10.0.0.0/8`, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// `certificate_proxies`: addresses whose `Client-Cert` is believed (RFC 9440).
    pub certificate_proxies: Vec<Network>,
    /// `client_ca_file`: PEM of the authorities whose certificates `tls_client_auth` takes.
    pub client_ca_file: Option<PathBuf>,
}

/// `[accounts]`: users who log in here with a name and a password.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// `enabled`: off, there are no such routes.
    pub enabled: bool,
    /// `registration`: whether people register themselves.
    pub registration: Registration,
    /// `[[accounts.clients]]`; none for the usual one alone: see [`AccountsConfig::first_party_clients`].
    pub clients: Vec<FirstPartyClient>,
    /// `password_min_length`, in code points.
    pub password_min_length: usize,
    /// `hash_memory_kib`, `hash_passes` and `hash_lanes`.
    pub hash: HashParameters,
    /// `hashing_threads`: how many passwords are hashed at once.
    pub hashing_threads: usize,
    /// `hashing_queue`: how many more may wait for their turn before they are answered 503.
    pub hashing_queue: usize,
    /// `failures_per_account_and_source`: wrong passwords for one account from one source before it must wait.
    pub failures_per_account_and_source: u32,
    /// `failures_per_account`: the same over all sources.
    pub failures_per_account: u32,
    /// `failures_per_source`: wrong passwords from one source, over all accounts, before it must wait.
    pub failures_per_source: u32,
    /// `failures_per_minute`: wrong passwords of all accounts from all sources.
    pub failures_per_minute: u32,
    /// `max_wait`: the longest that anybody must wait; the wait starts at a second and doubles.
    pub max_wait: Duration,
    /// `registrations_per_hour`: from one source; 0 for no limit.
    pub registrations_per_hour: u32,
    /// `max_sessions`: of one user; a further login ends the oldest.
    pub max_sessions: usize,
}

/// Who makes accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Everybody, for themselves.
    Open,
    /// Operators only.
    Closed,
}

/// One `[[accounts.clients]]`: an application of the operator's own, which users trust with their password.
#[derive(Clone, Debug)]
pub struct FirstPartyClient {
    /// What its tokens are like. A public client that may not use the token endpoint.
    pub record: Client,
    /// `delivery`: how it gets refresh tokens.
    pub delivery: Delivery,
    /// `origins`: those of its pages.
    pub origins: Vec<WebOrigin>,
    /// `cookie`: the name of the cookie.
    pub cookie: Box<str>,
}

/// How a refresh token reaches a first-party client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As a member of the JSON answer: for programs that can keep a secret, as apps on a phone.
    Body,
    /// As a cookie that scripts cannot read: for browsers.
    Cookie,
}

/// The origin of a page (RFC 6454 section 6.2), exactly as a browser sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(Box<str>);

impl WebOrigin {
    /// Reads an origin; `None` unless it is written as browsers write it: in lower case, without a path, without the
    /// usual port. Plain `http` is taken of this machine only, where browsers treat it as they treat `https`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address),
            None => !host.is_empty() && !host.ends_with('.') && host.bytes().all(plain),
        };
        let usual = if scheme == "https" { "443" } else { "80" };
        let is_port = port.is_none_or(|port| {
            port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port) && port != usual
        });
        let is_local = host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1" || host == "[::1]";
        let is_scheme = scheme == "https" || scheme == "http" && is_local;
        (is_scheme && is_host && is_port).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `[forward_auth]`: gateways that ask whether a request may pass.
#[derive(Clone, Debug)]
pub struct ForwardAuthConfig {
    /// `enabled`: off, there is no such route.
    pub enabled: bool,
    /// `sources`: addresses of the gateways.
    pub sources: Vec<Network>,
    /// `secret` (or `secret_file`): what they prove themselves with, beside their address.
    pub secret: Option<Secret>,
    /// `audiences`: those of the APIs behind the gateways.
    pub audiences: Vec<Box<str>>,
}

/// An address range, as `address/prefix-length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix_length: u8,
}

impl Network {
    /// Whether `address` lies in the range. An IPv4 address written inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix_length.min(32));
                u32::from(own).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix_length.min(128));
                u128::from(own).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// `[http]`: what a peer may send, and how long it may take.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// `max_body_bytes`: a longer body is answered 413.
    pub max_body_bytes: usize,
    /// `max_batch_bytes`: the same for a batch of tokens.
    pub max_batch_bytes: usize,
    /// `max_header_bytes`: a longer head is answered 431.
    pub max_header_bytes: usize,
    /// `max_headers`: more header lines are answered 431.
    pub max_headers: usize,
    /// `max_connections`, over both listeners; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// `header_timeout`: from the first byte of a head, or the opening of the connection, to its end.
    pub header_timeout: Duration,
    /// `body_timeout`: from the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// `idle_timeout`: between two requests on one connection.
    pub idle_timeout: Duration,
    /// `request_timeout`: from the end of the body to the answer; beyond it the answer is 503.
    pub request_timeout: Duration,
    /// `threads`.
    pub threads: ThreadModel,
}

/// Which threads work for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadModel {
    /// One from the beginning to the end; each has its own connections to the store.
    PerCore,
    /// Any that has nothing else to do.
    Shared,
}

/// `[drain]`: how the service ends on SIGTERM.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainConfig {
    /// `min`: how long it keeps accepting after readiness has turned false, for load balancers to notice.
    pub min: Duration,
    /// `max`: from the signal to closing whatever is still open.
    pub max: Duration,
}

/// `[reload]`: settings that are taken over while the service runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ReloadConfig {
    /// `interval`: how often files are looked at; zero for only when told to.
    pub interval: Duration,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `format`.
    pub format: LogFormat,
    /// `level`: `error`, `warn`, `info` or `debug`, or directives as `info,introspectd::store=debug`.
    pub level: String,
    /// `access`: which requests are logged.
    pub access: AccessLog,
    /// `access_ratio`: the share of requests that a sample holds, between 0 and 1.
    pub access_ratio: f64,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Those answered 5xx.
    Errors,
    /// Those answered 5xx, and a share of all others.
    Sampled,
    /// All.
    All,
}

/// `[audit]`: who did what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// `enabled`: off, nothing is recorded.
    pub enabled: bool,
    /// `path`: the file; none for standard output.
    pub path: Option<PathBuf>,
    /// `queue`: how many lines may wait to be written.
    pub queue: usize,
    /// `on_failure`: what becomes of acts whose line cannot be written.
    pub on_failure: AuditFailure,
}

/// What becomes of acts while the audit log cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFailure {
    /// They are done; lines that find no room are lost, and counted.
    Continue,
    /// Operators are answered 503, but for what only takes rights away.
    Refuse,
}

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsConfig {
    /// `latency_buckets`: upper edges of the request histogram, ascending, at most 64.
    pub latency_buckets: Vec<Duration>,
}

/// `[tracing]`: what is sent to a collector of OpenTelemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingConfig {
    /// `endpoint` with the path of traces behind it; `None` for no traces.
    pub endpoint: Option<http::Uri>,
    /// `ca_file`: PEM of the authorities that a collector behind `https` is trusted by; those of the system if not set.
    pub ca_file: Option<PathBuf>,
    /// `sample_ratio`: the share of requests that is recorded when their callers do not say.
    pub sample_ratio: Ratio,
    /// `follow_callers`: whether a caller's `traceparent` decides for its request.
    pub follow_callers: bool,
    /// `service_name`.
    pub service_name: String,
    /// `resource_attributes`: names and values that every span is sent with.
    pub resource_attributes: Vec<(String, String)>,
    /// `queue`: how many spans may wait for being sent.
    pub queue: usize,
    /// `interval`: the longest that a span waits for others to be sent with.
    pub interval: Duration,
    /// `timeout`: how long one export may take.
    pub timeout: Duration,
}

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

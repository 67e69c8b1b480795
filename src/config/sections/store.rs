//! `[store]`, `[redis]` and `[keys]`.

use std::path::PathBuf;
use std::time::Duration;

use redis::IntoConnectionInfo as _;

use super::clients::repeated;
use crate::client::secret::Secret;
use crate::config::reader::Reader;
use crate::config::tree::Origin;
use crate::config::{
    Acknowledge, DigestKeyConfig, Durability, KeysConfig, RedisConfig, RedisTopology, RevocationConfig, StoreConfig,
    UnsafeSettings,
};
use crate::token::keyring::{Key, KeyId, KeyRing};

/// Beside the process, so that the first start needs no decision; a service manager sets its own.
const PATH: &str = "./data";

/// Put before every key, and paid for once per token: short, yet nobody else's by accident.
const KEY_PREFIX: &str = "itd:";

/// The longest prefix: it is paid for with every token.
const MAX_KEY_PREFIX_BYTES: usize = 32;

/// A connection inside one data centre is made in a few milliseconds; beyond 300 the node is better off answering 503.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);

/// A read takes less than a millisecond. A quarter of a second outlasts a fork or a fail-over's hiccup and is still
/// shorter than what callers of an introspection endpoint usually wait.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);

/// Each connection carries any number of requests at once. Two, so that a large answer on one does not hold up the
/// other; more only spread the batches thinner.
const CONNECTIONS: usize = 2;

/// Long enough for a Redis that is busy for a moment, short enough that waiting for it to end is no burden on a
/// revocation.
const LEASE: Duration = Duration::from_millis(200);

/// What the examples of Redis call it.
const SENTINEL_SERVICE: &str = "mymaster";

pub(super) fn store(reader: &mut Reader<'_>) -> StoreConfig {
    let redis_origin = redis_origin(reader);
    let path = reader.section("store", "The embedded store: durable, for one process.", |section| {
        let path: PathBuf =
            section.value("path", PATH.into(), "Its folder; created when missing. Not used with Redis.");
        if section.is_set("path")
            && let Some(origin) = &redis_origin
        {
            section.reject("path", format!("redis.url is set too, in {origin}; only one store can be used"));
        }
        if redis_origin.is_some() {
            section.set_aside();
        }
        path
    });
    let revocation = revocation(reader);
    let redis =
        reader.section("redis", "The Redis store: for any number of nodes; used when `url` is set.", |section| {
            redis(section, revocation)
        });
    redis.map_or(StoreConfig::Embedded { path }, |redis| StoreConfig::Redis(Box::new(redis)))
}

/// Who chose Redis; `None` when nobody did.
fn redis_origin(reader: &Reader<'_>) -> Option<Origin> {
    reader.section_origin("redis", &["url", "url_file"])
}

/// `[revocation]`: with the embedded store all of it is reached at once.
fn revocation(reader: &mut Reader<'_>) -> RevocationConfig {
    reader.section(
        "revocation",
        "What has been reached when a revocation is answered 200, with Redis; otherwise it is answered 503.",
        |section| {
            let acknowledge = section.value(
                "acknowledge",
                Acknowledge::Visible,
                "`visible`: no node says active any more; `written`: other nodes may, for the length of a lease.",
            );
            let durability = section.value(
                "durability",
                Durability::Replay,
                "What it survives: what the `primary` does, a failover to one of the `replicas` that have it, or a \
                 failover to any replica because the nodes `replay` what they have heard.",
            );
            let replicas = section.within(
                "replicas",
                1,
                1..=16,
                "How many replicas must have it, with `durability = \"replicas\"`.",
            );
            let lease = section.within(
                "lease",
                LEASE,
                Duration::from_millis(20)..=Duration::from_secs(5),
                "For how long a near cache may be used after it was last confirmed. The same for all nodes.",
            );
            RevocationConfig { acknowledge, durability, replicas, lease }
        },
    )
}

/// What tells of several servers.
struct Servers {
    topology: RedisTopology,
    nodes: Vec<String>,
    sentinel_service: String,
    sentinel_username: Option<String>,
    sentinel_password: Option<Secret>,
}

fn redis(section: &mut Reader<'_>, revocation: RevocationConfig) -> Option<RedisConfig> {
    let url = section.secret(
        "url",
        false,
        "`redis://`, `rediss://` (TLS) or `unix://`, with user, password and database number: of the server, of a \
         Sentinel, or of a node of the cluster.",
    );
    let servers = servers(section);
    let dataset: Option<String> = section.optional(
        "dataset",
        "The only dataset that will do, as the log names it; without it, the one that is found at the start or made \
         in an empty Redis.",
    );
    let unsafe_settings = section.value(
        "unsafe_settings",
        UnsafeSettings::Warn,
        "What to do when settings of Redis may lose a revocation: `warn`, or `refuse` to be ready.",
    );
    let key_prefix: String = section.value("key_prefix", KEY_PREFIX.into(), "Put before every key.");
    // Braces decide which Redis Cluster slot a key lives in, and that is ours to choose.
    if key_prefix.len() > MAX_KEY_PREFIX_BYTES
        || !key_prefix.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'{' && byte != b'}')
    {
        section.reject(
            "key_prefix",
            format!("must be at most {MAX_KEY_PREFIX_BYTES} printable ASCII characters without spaces and braces"),
        );
    }
    let connect_timeout = section.within(
        "connect_timeout",
        CONNECT_TIMEOUT,
        Duration::from_millis(10)..=Duration::from_secs(30),
        "How long opening a connection may take.",
    );
    let response_timeout = section.within(
        "response_timeout",
        RESPONSE_TIMEOUT,
        Duration::from_millis(1)..=Duration::from_secs(30),
        "How long one command may take before the request is answered 503.",
    );
    let connections = section.within(
        "connections",
        CONNECTIONS,
        1..=64,
        "Multiplexed connections for the hot path, to each primary; more where `http.threads` is `per_core` and there are \
         more threads: one for each.",
    );
    let ca_file: Option<PathBuf> =
        section.optional("ca_file", "PEM file of the authority that signed Redis' certificate, for `rediss://`.");
    if let Some(url) = &url {
        if url.expose().into_connection_info().is_err() {
            let key = if section.is_set("url") { "url" } else { "url_file" };
            section.reject(key, "must hold a redis://, rediss:// or unix:// URL");
        } else if ca_file.is_some() && !["rediss://", "valkeys://"].iter().any(|tls| url.expose().starts_with(tls)) {
            section.reject("ca_file", "has no effect unless redis.url begins with rediss://");
        }
    }
    if !section.is_set("url") && !section.is_set("url_file") {
        for key in [
            "key_prefix",
            "connect_timeout",
            "response_timeout",
            "connections",
            "ca_file",
            "topology",
            "dataset",
            "unsafe_settings",
        ] {
            if section.is_set(key) {
                section.reject(key, "has no effect without redis.url");
            }
        }
        section.set_aside();
    }
    url.map(|url| RedisConfig {
        url,
        key_prefix,
        connect_timeout,
        response_timeout,
        connections,
        ca_file,
        topology: servers.topology,
        nodes: servers.nodes,
        sentinel_service: servers.sentinel_service,
        sentinel_username: servers.sentinel_username,
        sentinel_password: servers.sentinel_password,
        dataset,
        unsafe_settings,
        revocation,
    })
}

fn servers(section: &mut Reader<'_>) -> Servers {
    let topology = section.value(
        "topology",
        RedisTopology::Standalone,
        "Whether `url` and `nodes` are addresses of a `standalone` server, of Sentinels (`sentinel`), or of nodes of a \
         Redis Cluster (`cluster`).",
    );
    let nodes: Vec<String> =
        section.value("nodes", Vec::new(), "Further Sentinels or cluster nodes beside that of `url`, as `host:port`.");
    let sentinel_service: String = section.value(
        "sentinel_service",
        SENTINEL_SERVICE.into(),
        "The name under which the Sentinels watch the primary.",
    );
    let sentinel_username: Option<String> = section.optional("sentinel_username", "The user name for the Sentinels.");
    let sentinel_password = section.secret("sentinel_password", false, "The password for the Sentinels.");
    if topology == RedisTopology::Standalone && !nodes.is_empty() {
        section.reject("nodes", "has no effect unless redis.topology is `sentinel` or `cluster`");
    }
    for node in &nodes {
        if !is_host_and_port(node) {
            section.reject("nodes", "must be addresses as `host:port`");
            break;
        }
    }
    if topology != RedisTopology::Sentinel {
        for key in ["sentinel_service", "sentinel_username", "sentinel_password", "sentinel_password_file"] {
            if section.is_set(key) {
                section.reject(key, "has no effect unless redis.topology is `sentinel`");
            }
        }
    }
    Servers { topology, nodes, sentinel_service, sentinel_username, sentinel_password }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

pub(super) fn keys(reader: &mut Reader<'_>) -> KeysConfig {
    let shared = redis_origin(reader).is_some();
    reader.section("keys", "What token and secret digests are made with.", |section| {
        let active: Option<KeyId> = section.optional(
            "active",
            "The `id` of the key that new digests are made with; without it, the first of the list.",
        );
        let mut digest = section.tables(
            "digest",
            "The keys: one active, the others recognise what was made before a rotation. With the embedded store and \
             without keys, one is made and kept in its folder.",
            |element| {
                let id = element.required("id", "Names the key; carried in each token.");
                let secret = element.secret("secret", true, "At least 32 bytes of text.");
                if let Some(secret) = &secret
                    && secret.expose().len() < Key::MIN_MATERIAL_BYTES
                {
                    let key = if element.is_set("secret") { "secret" } else { "secret_file" };
                    element.reject(
                        key,
                        format!(
                            "must hold at least {} bytes; `openssl rand -base64 32` makes enough",
                            Key::MIN_MATERIAL_BYTES
                        ),
                    );
                }
                Some(DigestKeyConfig { id: id?, secret: secret? })
            },
        );
        if digest.len() > KeyRing::MAX_KEYS {
            section.reject("digest", format!("must have at most {} keys", KeyRing::MAX_KEYS));
        }
        for id in repeated(digest.iter().map(|key| key.id)) {
            section.reject("digest", format!("two keys have the id {id}"));
        }
        if let Some(active) = active {
            match digest.iter().position(|key| key.id == active) {
                Some(position) => digest[..=position].rotate_right(1),
                None => section.reject("active", format!("no key of keys.digest has the id {active}")),
            }
        }
        if shared && section.elements("digest") == 0 {
            section.complain(
                "digest",
                "is missing, and with redis.url every node needs the same keys; make one with \
                 `openssl rand -base64 32 > digest.key` and name it: [[keys.digest]] id = \"01\" \
                 secret_file = \"digest.key\"",
            );
        }
        KeysConfig { digest }
    })
}

//! Defaults, the three formats, precedence, the environment, flags.

use std::time::Duration;

use super::*;
use crate::client::certificate::CertificateName;
use crate::client::secret::Secret;
use crate::client::{AuthenticationMethod, GrantType, Right, Rights};
use crate::config::{
    AccountsConfig, Acknowledge, AuditConfig, AuditFailure, Delivery, Durability, ForwardAuthConfig, RedisConfig,
    RedisTopology, Registration, RevocationConfig, ThreadModel, UnsafeSettings, WebOrigin,
};
use crate::jose::algorithm::Algorithm;
use crate::token::grant::TokenFormat;
use crate::user::hash::HashParameters;

/// All settings, each different from its default.
const EVERYTHING: &str = r#"
issuer = "https://id.example.com/t"

[public]
address = "0.0.0.0:9080"
unix = "/run/introspectd/public.sock"
tls_certificate_file = "public.pem"
tls_key_file = "public.key"
tls_client_certificates = "optional"

[admin]
address = "[::]:9081"
unix = "/run/introspectd/admin.sock"
tls_certificate_file = "admin.pem"
tls_key_file = "admin.key"
tls_client_certificates = "none"
insecure = true

[redis]
url = "rediss://user:hunter2@redis.example.com:6380/3"
key_prefix = "x:"
connect_timeout = "1s"
response_timeout = "20ms"
connections = 4
ca_file = "ca.pem"
topology = "sentinel"
nodes = ["redis-2.example.com:26379", "[::1]:26379"]
sentinel_service = "tokens"
sentinel_username = "watcher"
sentinel_password = "hunter3"
dataset = "000102030405060708090a0b0c0d0e0f"
unsafe_settings = "refuse"

[revocation]
acknowledge = "written"
durability = "replicas"
replicas = 2
lease = "100ms"

[keys]
active = "02"

[[keys.digest]]
id = "01"
secret = "0123456789abcdef0123456789abcdef"

[[keys.digest]]
id = "02"
secret = "fedcba9876543210fedcba9876543210"

[tokens]
access_lifetime = "5m"
refresh_lifetime = "7d"
refresh_idle_lifetime = "1d"
refresh_grace = "10s"
max_lifetime = "90d"
imports = false

[signing]
algorithm = "RS256"
publish_ahead = "2h"

[cache]
enabled = false
max_bytes = 2000000
max_age = "5s"
negative_ttl = "250ms"
negative_entries = 77

[[clients]]
client_id = "gateway"
client_secret = "swordfish"
client_name = "The gateway"
token_endpoint_auth_method = "client_secret_basic"
grant_types = ["client_credentials", "refresh_token"]
scope = "read write"
audiences = ["https://api.example.com", "*"]
rights = ["introspect", "admin"]
access_token_lifetime = "60s"
refresh_token_lifetime = "1d"
refresh_token_idle_lifetime = "1h"
access_token_format = "jwt"
access_token_signing_alg = "EdDSA"
introspection_signed_response_alg = "RS256"
token_endpoint_auth_signing_alg = "PS256"
assertion_audience_endpoints = true
authorization_details_types = ["payment"]
tls_client_auth_subject_dn = "CN=gateway,O=Example"
tls_client_certificate_bound_access_tokens = true
dpop_bound_access_tokens = true

[[clients]]
client_id = "app"
token_endpoint_auth_method = "none"
grant_types = ["refresh_token"]

[authentication]
failures_per_client = 3
failures_per_source = 30
max_wait = "1h"
hashing_threads = 2
hashing_queue = 8
secret_overlap = "1h"
unknown_tokens_per_second = 5
bearer_may_ask_about_itself = true
trusted_proxies = ["10.0.0.0/8", "::1"]
certificate_proxies = ["10.1.0.0/16"]
client_ca_file = "clients.pem"

[accounts]
enabled = true
registration = "closed"
password_min_length = 12
hash_memory_kib = 47104
hash_passes = 1
hash_lanes = 2
hashing_threads = 3
hashing_queue = 9
failures_per_account_and_source = 4
failures_per_account = 40
failures_per_source = 44
failures_per_minute = 400
max_wait = "20m"
registrations_per_hour = 7
max_sessions = 5

[[accounts.clients]]
client_id = "web"
client_name = "The web application"
scope = "read"
audiences = ["https://api.example.com"]
access_token_lifetime = "10m"
refresh_token_lifetime = "2d"
refresh_token_idle_lifetime = "2h"
access_token_format = "jwt"
access_token_signing_alg = "EdDSA"
delivery = "cookie"
origins = ["https://app.example.com", "http://localhost:3000"]
cookie = "__Host-web"

[forward_auth]
enabled = true
sources = ["10.2.0.0/16"]
audiences = ["https://api.example.com"]
secret = "a-secret-of-a-gateway"

[http]
max_body_bytes = 4096
max_batch_bytes = 5000
max_header_bytes = 8192
max_headers = 50
max_connections = 100
header_timeout = "1s"
body_timeout = "2s"
idle_timeout = "3s"
request_timeout = "4s"
threads = "shared"

[drain]
min = "0s"
max = "1m"

[reload]
interval = "15s"

[log]
format = "json"
level = "warn,introspectd::store=debug"
access = "off"
access_ratio = 0.25

[audit]
enabled = true
path = "/var/log/introspectd/audit.log"
queue = 100
on_failure = "refuse"

[metrics]
latency_buckets = ["1ms", "10ms", "1s"]

[tracing]
endpoint = "https://collector.example.com:4318"
ca_file = "/etc/collector-ca.pem"
sample_ratio = 0.5
follow_callers = false
service_name = "tokens"
resource_attributes = ["site=one%20two"]
queue = 512
interval = "2s"
timeout = "3s"
"#;

/// The same document in another format.
fn everything_as_json() -> String {
    let table: serde_json::Value = toml::from_str(EVERYTHING).unwrap();
    serde_json::to_string_pretty(&table).unwrap()
}

fn everything_as_yaml() -> String {
    // With words that YAML 1.1 would take for something else.
    let table: serde_json::Value = toml::from_str(EVERYTHING).unwrap();
    let yaml = serde_saphyr::to_string(&table).unwrap();
    let plain = yaml.replace("\"off\"", "off").replace("'off'", "off").replace("\"01\"", "01").replace("'01'", "01");
    assert!(plain.contains("access: off") && plain.contains("id: 01"), "{plain}");
    plain
}

#[track_caller]
fn check_clients(config: &Config) {
    let [gateway, app] = config.clients.as_slice() else { panic!("{:?}", config.clients) };
    assert_eq!(gateway.record.client_id.as_str(), "gateway");
    assert_eq!(gateway.client_secret.as_ref().unwrap().expose(), "swordfish");
    assert_eq!(gateway.record.client_name.as_deref(), Some("The gateway"));
    assert_eq!(gateway.record.authentication, Some(AuthenticationMethod::ClientSecretBasic));
    assert_eq!(gateway.record.grant_types, [GrantType::ClientCredentials, GrantType::RefreshToken]);
    assert_eq!(gateway.record.scope.as_str(), "read write");
    assert_eq!(gateway.record.audiences, [Box::from("https://api.example.com"), Box::from("*")]);
    assert_eq!(gateway.record.rights, Rights::of(&[Right::Introspect, Right::Admin]));
    assert_eq!(gateway.record.access_token_lifetime, Some(60));
    assert_eq!(gateway.record.refresh_token_lifetime, Some(86_400));
    assert_eq!(gateway.record.refresh_token_idle_lifetime, Some(3600));
    assert_eq!(gateway.record.access_token_format, TokenFormat::Jwt);
    assert_eq!(gateway.record.access_token_signing_alg, Some(Algorithm::EdDsa));
    assert_eq!(gateway.record.introspection_signed_response_alg, Some(Algorithm::Rs256));
    assert_eq!(gateway.record.token_endpoint_auth_signing_alg, Some(Algorithm::Ps256));
    assert_eq!(gateway.record.authorization_details_types, [Box::from("payment")]);
    assert_eq!(
        gateway.record.tls_client_auth.as_ref().map(CertificateName::member),
        Some(("tls_client_auth_subject_dn", "CN=gateway,O=Example".to_owned()))
    );
    assert!(gateway.record.tls_client_certificate_bound_access_tokens && gateway.record.dpop_bound_access_tokens);
    assert!(gateway.record.assertion_audience_endpoints);
    assert_eq!(app.record.authentication, Some(AuthenticationMethod::None));
    assert!(app.client_secret.is_none() && app.record.rights.is_empty());
}

fn check_cache(config: &Config) {
    assert_eq!(
        config.cache,
        CacheConfig {
            enabled: false,
            max_bytes: 2_000_000,
            max_age: Duration::from_secs(5),
            negative_ttl: Duration::from_millis(250),
            negative_entries: 77,
        }
    );
}

fn check_servers(redis: &RedisConfig) {
    assert_eq!(redis.topology, RedisTopology::Sentinel);
    assert_eq!(redis.nodes, ["redis-2.example.com:26379", "[::1]:26379"]);
    assert_eq!(redis.sentinel_service, "tokens");
    assert_eq!(redis.sentinel_username.as_deref(), Some("watcher"));
    assert_eq!(redis.sentinel_password.as_ref().map(Secret::expose), Some("hunter3"));
    assert_eq!(redis.dataset.as_deref(), Some("000102030405060708090a0b0c0d0e0f"));
    assert_eq!(redis.unsafe_settings, UnsafeSettings::Refuse);
    let expected = RevocationConfig {
        acknowledge: Acknowledge::Written,
        durability: Durability::Replicas,
        replicas: 2,
        lease: Duration::from_millis(100),
    };
    assert_eq!(redis.revocation, expected);
}

#[expect(clippy::too_many_lines, reason = "one list of all settings")]
fn check_everything(config: &Config) {
    assert_eq!(config.issuer.as_deref(), Some("https://id.example.com/t"));
    assert_eq!(
        config.public,
        ListenerConfig {
            address: "0.0.0.0:9080".parse().unwrap(),
            unix: Some("/run/introspectd/public.sock".into()),
            tls: Some(TlsFiles {
                certificate: "public.pem".into(),
                key: "public.key".into(),
                client_certificates: ClientCertificates::Optional
            }),
            insecure: false,
        }
    );
    assert_eq!(
        config.admin,
        ListenerConfig {
            address: "[::]:9081".parse().unwrap(),
            unix: Some("/run/introspectd/admin.sock".into()),
            tls: Some(TlsFiles {
                certificate: "admin.pem".into(),
                key: "admin.key".into(),
                client_certificates: ClientCertificates::None
            }),
            insecure: true,
        }
    );
    let StoreConfig::Redis(redis) = &config.store else { panic!("{:?}", config.store) };
    assert_eq!(redis.url.expose(), "rediss://user:hunter2@redis.example.com:6380/3");
    assert_eq!(redis.key_prefix, "x:");
    assert_eq!(redis.connect_timeout, Duration::from_secs(1));
    assert_eq!(redis.response_timeout, Duration::from_millis(20));
    assert_eq!(redis.connections, 4);
    assert_eq!(redis.ca_file, Some("ca.pem".into()));
    check_servers(redis);
    let keys: Vec<_> = config.keys.digest.iter().map(|key| (key.id.as_str(), key.secret.expose())).collect();
    assert_eq!(
        keys,
        [("02", "fedcba9876543210fedcba9876543210"), ("01", "0123456789abcdef0123456789abcdef")],
        "the active key comes first"
    );
    assert_eq!(
        config.tokens,
        TokensConfig {
            access_lifetime: Duration::from_mins(5),
            refresh_lifetime: Duration::from_hours(7 * 24),
            refresh_idle_lifetime: Duration::from_hours(24),
            refresh_grace: Duration::from_secs(10),
            max_lifetime: Duration::from_hours(90 * 24),
            imports: false,
        }
    );
    assert_eq!(config.signing, SigningConfig { algorithm: Algorithm::Rs256, publish_ahead: Duration::from_hours(2) });
    check_cache(config);
    check_clients(config);
    check_accounts(&config.accounts);
    assert_eq!(config.reload.interval, Duration::from_secs(15));
    check_gateways(&config.forward_auth);
    assert_eq!(
        config.authentication,
        AuthenticationConfig {
            failures_per_client: 3,
            failures_per_source: 30,
            max_wait: Duration::from_hours(1),
            hashing_threads: 2,
            hashing_queue: 8,
            secret_overlap: Duration::from_hours(1),
            bearer_may_ask_about_itself: true,
            unknown_tokens_per_second: 5,
            trusted_proxies: vec![
                Network { address: "10.0.0.0".parse().unwrap(), prefix_length: 8 },
                Network { address: "::1".parse().unwrap(), prefix_length: 128 },
            ],
            certificate_proxies: vec![Network { address: "10.1.0.0".parse().unwrap(), prefix_length: 16 }],
            client_ca_file: Some("clients.pem".into()),
        }
    );
    assert_eq!(
        config.http,
        HttpConfig {
            max_body_bytes: 4096,
            max_batch_bytes: 5000,
            max_header_bytes: 8192,
            max_headers: 50,
            max_connections: 100,
            header_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(4),
            threads: ThreadModel::Shared,
        }
    );
    assert_eq!(config.drain, DrainConfig { min: Duration::ZERO, max: Duration::from_mins(1) });
    assert_eq!(
        config.log,
        LogConfig {
            format: LogFormat::Json,
            level: "warn,introspectd::store=debug".into(),
            access: AccessLog::Off,
            access_ratio: 0.25
        }
    );
    let path = Some("/var/log/introspectd/audit.log".into());
    assert_eq!(config.audit, AuditConfig { enabled: true, path, queue: 100, on_failure: AuditFailure::Refuse });
    assert_eq!(config.metrics.latency_buckets, [1, 10, 1000].map(Duration::from_millis));
    assert_eq!(
        config.tracing,
        TracingConfig {
            endpoint: Some("https://collector.example.com:4318/v1/traces".parse().unwrap()),
            ca_file: Some("/etc/collector-ca.pem".into()),
            sample_ratio: Ratio(0.5),
            follow_callers: false,
            service_name: "tokens".to_owned(),
            resource_attributes: vec![("site".to_owned(), "one two".to_owned())],
            queue: 512,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(3),
        }
    );
}

#[test]
fn an_empty_configuration_is_the_default() {
    for case in
        [Case::new(), Case::new().file("a.toml", ""), Case::new().file("a.yaml", ""), Case::new().file("a.json", "{}")]
    {
        let config = case.config();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }
    let config = Config::default();
    assert_eq!(config.issuer, None);
    assert_eq!(config.public.address, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.admin.address, "127.0.0.1:8081".parse().unwrap());
    assert!(matches!(&config.store, StoreConfig::Embedded { path } if path == "./data"));
    assert!(config.keys.digest.is_empty() && config.clients.is_empty());
    assert_eq!(config.tokens.access_lifetime, Duration::from_mins(15));
    assert_eq!(config.authentication.hashing_threads, 1);
    assert_eq!(config.http.idle_timeout, Duration::from_secs(75));
    assert_eq!(config.metrics.latency_buckets.len(), 16);
}

#[test]
fn every_setting_is_read_from_each_format() {
    check_everything(&Case::new().file("all.toml", EVERYTHING).config());
    check_everything(&Case::new().file("all.json", &everything_as_json()).config());
    check_everything(&Case::new().file("all.yaml", &everything_as_yaml()).config());
    check_everything(&Case::new().file("all.yml", &everything_as_yaml()).config());
}

fn check_gateways(gateways: &ForwardAuthConfig) {
    assert!(gateways.enabled);
    assert_eq!(gateways.sources, [Network { address: "10.2.0.0".parse().unwrap(), prefix_length: 16 }]);
    assert_eq!(gateways.audiences, [Box::<str>::from("https://api.example.com")]);
    assert_eq!(gateways.secret.as_ref().map(Secret::expose), Some("a-secret-of-a-gateway"));
}

fn check_accounts(accounts: &AccountsConfig) {
    assert_eq!((accounts.enabled, accounts.registration), (true, Registration::Closed));
    assert_eq!((accounts.password_min_length, accounts.max_sessions), (12, 5));
    assert_eq!(accounts.hash, HashParameters { memory_kib: 47_104, passes: 1, lanes: 2 });
    assert_eq!((accounts.hashing_threads, accounts.hashing_queue), (3, 9));
    assert_eq!((accounts.failures_per_account_and_source, accounts.failures_per_account), (4, 40));
    assert_eq!((accounts.failures_per_source, accounts.failures_per_minute), (44, 400));
    assert_eq!((accounts.max_wait, accounts.registrations_per_hour), (Duration::from_mins(20), 7));
    let clients = accounts.first_party_clients();
    let [web] = &clients[..] else { panic!("{clients:?}") };
    assert_eq!((web.delivery, &*web.cookie), (Delivery::Cookie, "__Host-web"));
    let origins: Vec<&str> = web.origins.iter().map(WebOrigin::as_str).collect();
    assert_eq!(origins, ["https://app.example.com", "http://localhost:3000"]);
    assert_eq!(web.record.client_id.as_str(), "web");
    assert_eq!(web.record.client_name.as_deref(), Some("The web application"));
    assert_eq!(
        (web.record.scope.as_str(), &web.record.audiences[..]),
        ("read", &["https://api.example.com".into()][..])
    );
    assert_eq!(web.record.access_token_lifetime, Some(600));
    assert_eq!(web.record.refresh_token_lifetime, Some(172_800));
    assert_eq!(web.record.refresh_token_idle_lifetime, Some(7200));
    assert_eq!(web.record.access_token_format, TokenFormat::Jwt);
    assert_eq!(web.record.access_token_signing_alg, Some(Algorithm::EdDsa));
    assert!(web.record.is_public() && web.record.grant_types.is_empty());
    // One that is called by its usual name, where none is named.
    let usual = Config::default().accounts.first_party_clients();
    assert_eq!(usual.iter().map(|client| client.record.client_id.as_str()).collect::<Vec<_>>(), ["first-party"]);
}

/// Every setting that is declared appears in the document above, so the test above forgets none.
#[test]
fn the_document_of_everything_holds_every_setting() {
    let document: serde_json::Value = toml::from_str(EVERYTHING).unwrap();
    for declaration in declarations().iter() {
        let pointer = format!("/{}", declaration.path.replace("[]", "/0").replace('.', "/"));
        let embedded = declaration.path.starts_with("store");
        // Those of which a client has one at most, and a file that must exist: tested with the mistakes.
        let exclusive = ["clients[].tls_client_auth_san_", "clients[].jwks_file"];
        let exclusive = exclusive.iter().any(|prefix| declaration.path.starts_with(prefix));
        assert!(embedded || exclusive || document.pointer(&pointer).is_some(), "{} is missing", declaration.path);
    }
}

/// Each setting through its own variable; lists of tables as JSON.
#[test]
fn every_setting_is_read_from_the_environment() {
    let document: serde_json::Value = toml::from_str(EVERYTHING).unwrap();
    let mut case = Case::new();
    for declaration in declarations().iter() {
        if declaration.path.contains("[]") || matches!(declaration.shape, declaration::Shape::Section) {
            continue;
        }
        let pointer = format!("/{}", declaration.path.replace('.', "/"));
        let Some(value) = document.pointer(&pointer) else { continue };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        case = case.variable(&declaration::variable(&declaration.path), &text);
    }
    check_everything(&case.config());
}

#[test]
fn every_setting_is_read_from_flags() {
    let document: serde_json::Value = toml::from_str(EVERYTHING).unwrap();
    let mut case = Case::new();
    for (section, value) in document.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        case = case.flag(section, &text);
    }
    check_everything(&case.config());
}

#[test]
fn the_stronger_source_wins() {
    let mut case = Case::new();
    let max_headers = |case: &Case| case.config().http.max_headers;
    assert_eq!(max_headers(&case), 100);
    case = case.file("one.toml", "[http]\nmax_headers = 11\nmax_connections = 5\n");
    assert_eq!(max_headers(&case), 11);
    case = case.file("two.yaml", "http:\n  max_headers: 12\n");
    assert_eq!(max_headers(&case), 12);
    case = case.variable("INTROSPECTD_HTTP", r#"{"max_headers": 13}"#);
    assert_eq!(max_headers(&case), 13);
    case = case.variable("INTROSPECTD_HTTP__MAX_HEADERS", "14");
    assert_eq!(max_headers(&case), 14);
    case = case.flag("http.max_headers", "15");
    assert_eq!(max_headers(&case), 15);
    case = case.flag("http.max_headers", "16");
    assert_eq!(max_headers(&case), 16);
    assert_eq!(case.config().http.max_connections, 5, "what a stronger source does not say stays");
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    let case = Case::new()
        .file("one.toml", "[[clients]]\nclient_id = \"a\"\nclient_secret = \"swordfish\"\n")
        .file("two.toml", "[[clients]]\nclient_id = \"b\"\nclient_secret = \"swordfish\"\n");
    let ids: Vec<_> = case.config().clients.iter().map(|client| client.record.client_id.to_string()).collect();
    assert_eq!(ids, ["b"]);
}

#[test]
fn plain_lists_in_the_environment_are_separated_by_commas() {
    let case = Case::new()
        .variable("INTROSPECTD_AUTHENTICATION__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1")
        .variable("INTROSPECTD_METRICS__LATENCY_BUCKETS", "1ms,2ms");
    let config = case.config();
    assert_eq!(config.authentication.trusted_proxies.len(), 2);
    assert_eq!(config.metrics.latency_buckets, [1, 2].map(Duration::from_millis));
}

/// OpenTelemetry's own specification of its environment variables: what is empty is not set, and one switches all off.
#[test]
fn the_usual_variables_of_opentelemetry_count_and_ours_are_stronger() {
    let usual = || {
        Case::new()
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
            .variable("OTEL_TRACES_SAMPLER_ARG", "0.25")
            .variable("OTEL_SERVICE_NAME", "")
            .variable("OTEL_RESOURCE_ATTRIBUTES", "site=one%20two,team=identity")
    };
    let tracing = usual().config().tracing;
    assert_eq!(tracing.endpoint.unwrap(), "http://collector:4318/v1/traces");
    assert_eq!((tracing.sample_ratio, &*tracing.service_name), (Ratio(0.25), "introspectd"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(tracing.resource_attributes, [pair("site", "one two"), pair("team", "identity")]);
    let ours =
        usual().variable("INTROSPECTD_TRACING__SAMPLE_RATIO", "1").file("a.toml", "tracing.service_name = \"x\"");
    let tracing = ours.config().tracing;
    assert_eq!((tracing.sample_ratio, &*tracing.service_name), (Ratio(1.0), "x"));
    assert_eq!(usual().variable("OTEL_SDK_DISABLED", "TRUE").config().tracing.endpoint, None);
}

/// Kubernetes puts these into every pod of a namespace that has a Service called introspectd, or introspectd-admin.
#[test]
fn service_links_and_reserved_variables_are_no_settings() {
    let mut case = Case::new().variable("INTROSPECTD_CONFIG", "/etc/introspectd.toml").variable("PATH", "/bin");
    for name in [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_8080_TCP",
        "PORT_8080_TCP_ADDR",
        "ADMIN_SERVICE_HOST",
        "ADMIN_SERVICE_PORT",
        "ADMIN_PORT",
        "ADMIN_PORT_8081_TCP_PROTO",
    ] {
        case = case.variable(&format!("INTROSPECTD_{name}"), "tcp://10.0.0.1:8080");
    }
    case.config();
}

#[test]
fn a_section_whose_lines_are_all_commented_out_is_empty() {
    let config = Case::new().file("a.yaml", "redis:\n#  url: x\nhttp:\n  max_headers: 20\n").config();
    assert!(matches!(config.store, StoreConfig::Embedded { .. }));
    let config = Case::new().file("a.yaml", "http:\n  max_headers: 20\n").file("b.yaml", "http:\n").config();
    assert_eq!(config.http.max_headers, 20);
}

#[test]
fn what_is_in_effect_is_printed_with_its_origin_and_can_be_read_again() {
    let case = Case::new()
        .file(
            "a.toml",
            "[http]\nmax_headers = 20\n[[clients]]\nclient_id = \"a \\\"b\\\"\"\nclient_secret = \"hidden-secret\"\n",
        )
        .variable("INTROSPECTD_DRAIN__MAX", "1m")
        .flag("log.access", "all");
    let page = case.printed();
    for line in [
        "# issuer is not set",
        "[public]",
        "address = \"127.0.0.1:8080\" # default",
        "# unix is not set",
        "max_headers = 20 # a.toml",
        "[[clients]]",
        "client_id = 'a \"b\"' # a.toml",
        "client_secret = \"<redacted>\" # a.toml",
        "max = \"1m\" # INTROSPECTD_DRAIN__MAX",
        "access = \"all\" # command line",
        "grant_types = [] # default",
        "path = \"./data\" # default",
        "# connections = 2 is not in use",
    ] {
        assert!(page.lines().any(|held| held == line), "{line}\n{page}");
    }
    assert!(!page.contains("hidden"));
    let again = Case::new().file("again.toml", &page).config();
    assert_eq!(again.http, case.config().http);
    assert_eq!(again.drain, case.config().drain);
    assert_eq!(again.clients[0].record.client_id, case.config().clients[0].record.client_id);
}

//! How one gets into Redis: what `[redis]` says, checked once, and opening connections by it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo, Value};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::dial::{self, Address, Dial, Stream};
use super::fault::Fault;
use super::link::{Driver, Link, Listener, accept};
use crate::client::secret::Secret;
use crate::config::{RedisConfig, RedisTopology};

/// A `[redis]` section that no connection can be made from. Holds no part of the URL.
#[derive(Debug, thiserror::Error)]
pub enum RedisConfigError {
    /// `redis.url` cannot be used.
    #[error("redis.url: {0}")]
    Url(&'static str),
    /// `redis.ca_file` cannot be used.
    #[error("redis.ca_file {}: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `redis.nodes` cannot be used.
    #[error("redis.nodes: not addresses as host:port")]
    Node,
    /// `redis.dataset` cannot be used.
    #[error("redis.dataset: not 32 hexadecimal digits")]
    Dataset,
    /// `rediss://` without `ca_file`, on a system that has no root certificates.
    #[error("redis.url asks for TLS, and this system has no root certificates: set redis.ca_file")]
    NoRootCertificates,
}

/// What is needed to open connections to any of the servers.
#[derive(Clone)]
pub(super) struct Endpoint {
    info: ConnectionInfo,
    login: RedisConnectionInfo,
    encryption: Option<TlsConnector>,
    dial: Arc<dyn Dial>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Endpoint {
    /// What the configuration says, and the addresses that it names.
    pub(super) fn new(config: &RedisConfig, dial: Arc<dyn Dial>) -> Result<(Self, Vec<Address>), RedisConfigError> {
        let info = parse_url(config.url.expose())?;
        let (info, encryption, first) = match info.addr().clone() {
            ConnectionAddr::Tcp(host, port) => (info, None, Address::tcp(host, port)),
            ConnectionAddr::TcpTls { host, port, .. } => {
                server_name(&host).ok_or(RedisConfigError::Url("the host cannot stand in a certificate"))?;
                let pem = config.ca_file.as_deref().map(read_ca_file).transpose()?;
                let connector = connector(pem.as_deref(), config.ca_file.as_deref())?;
                (with_root(info, pem)?, Some(connector), Address::tcp(host, port))
            }
            ConnectionAddr::Unix(path) => (info, None, Address::Unix(path)),
            _ => return Err(RedisConfigError::Url("a way to connect that is not supported")),
        };
        if config.ca_file.is_some() && encryption.is_none() {
            // Somebody who names an authority believes that the connection is encrypted.
            return Err(RedisConfigError::Url("redis.ca_file is set, so it must begin with rediss://"));
        }
        if config.topology == RedisTopology::Cluster && info.redis_settings().db() != 0 {
            return Err(RedisConfigError::Url("names a database, and a Redis Cluster has no other than 0"));
        }
        let mut addresses = vec![first];
        for node in &config.nodes {
            let address = Address::parse(node).ok_or(RedisConfigError::Node)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let login = info.redis_settings().clone();
        let endpoint = Self {
            info,
            login,
            encryption,
            dial,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
        };
        Ok((endpoint, addresses))
    }

    /// The same with another user: that of the Sentinels, which know no databases.
    pub(super) fn with_login(&self, username: Option<&str>, password: Option<&Secret>) -> Self {
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        if let Some(username) = username {
            login = login.set_username(username);
        }
        if let Some(password) = password {
            login = login.set_password(password.expose());
        }
        Self { login, ..self.clone() }
    }

    /// Opens a connection by the deadline, and no later than after the connect timeout. `listener` is told of what the
    /// server says unasked.
    pub(super) async fn open(
        &self,
        address: &Address,
        listener: Option<Listener>,
        deadline: Instant,
    ) -> Result<Link, Fault> {
        let deadline = deadline.min(Instant::now() + self.connect_timeout);
        timeout_at(deadline, async {
            let stream = self.dial.dial(address, self.connect_timeout).await;
            let stream = stream.map_err(|error| Fault::of_dialling(&error))?;
            match (&self.encryption, address) {
                (Some(connector), Address::Tcp { host, .. }) => {
                    let name = server_name(host).ok_or_else(|| {
                        Fault::unavailable("cannot connect to Redis: its host cannot stand in a certificate")
                    })?;
                    let encrypted = connector.connect(name, stream).await;
                    self.set_up(encrypted.map_err(|error| Fault::of_dialling(&error))?, listener).await
                }
                _ => self.set_up(stream, listener).await,
            }
        })
        .await
        .unwrap_or_else(|_| Err(Fault::silence()))
    }

    /// What the client library needs to open connections of its own to a server, for the pool.
    pub(super) fn info(&self, address: &Address) -> ConnectionInfo {
        let address = match (address, self.info.addr()) {
            (Address::Tcp { host, port }, ConnectionAddr::TcpTls { insecure, tls_params, .. }) => {
                let (insecure, tls_params) = (*insecure, tls_params.clone());
                ConnectionAddr::TcpTls { host: host.to_string(), port: *port, insecure, tls_params }
            }
            (Address::Tcp { host, port }, _) => ConnectionAddr::Tcp(host.to_string(), *port),
            (Address::Unix(path), _) => ConnectionAddr::Unix(path.clone()),
        };
        self.info.clone().set_addr(address)
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    async fn set_up(&self, stream: impl Stream + 'static, listener: Option<Listener>) -> Result<Link, Fault> {
        let mut config = AsyncConnectionConfig::new()
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            // Deadlines are ours: one spans all round trips of a call, where the library's begins anew with each.
            .set_response_timeout(None);
        if let Some(listener) = listener {
            config = config.set_push_sender(move |push| {
                listener(push);
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let opened = MultiplexedConnection::new_with_config(&self.login, stream, config).await;
        let (connection, driver) = opened.map_err(|error| Fault::of_client(&error))?;
        let driver: Driver = Box::pin(driver);
        Ok(Link::new(connection, driver))
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// What a server is asked to find out whether it is a primary, and one that knows what we need. Any user may: `HELLO`
/// is open to everybody, unlike `ROLE` and even `PING`.
///
/// A replica answers reads like a primary does, and late: after a failover, a connection that stayed behind would show
/// revoked tokens as active.
pub(super) fn hello() -> Cmd {
    redis::cmd("HELLO")
}

/// Judges the reply to [`hello`].
pub(super) fn expect_primary(reply: Value) -> Result<(), Fault> {
    let Value::Map(members) = accept(reply)? else { return Err(Fault::unexpected_reply()) };
    let member =
        |wanted: &str| members.iter().find(|(name, _)| text(name) == Some(wanted)).and_then(|(_, it)| text(it));
    let version = member("version").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    match (member("role"), version) {
        (_, Some(version)) if version < OLDEST_VERSION => Err(Fault::too_old()),
        (Some("master"), Some(_)) => Ok(()),
        (Some(_), Some(_)) => Err(Fault::unavailable("this Redis is a replica")),
        _ => Err(Fault::unexpected_reply()),
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// The first version with script flags. Valkey counts on from 7.2.
const OLDEST_VERSION: u32 = 7;

fn parse_url(text: &str) -> Result<ConnectionInfo, RedisConfigError> {
    let url = redis::parse_redis_url(text)
        .ok_or(RedisConfigError::Url("not a URL that begins with redis://, rediss:// or unix://"))?;
    if url.fragment().is_some() {
        // Also how a password with an unescaped # reads, whose beginning would then be taken for a port.
        return Err(RedisConfigError::Url("holds a #, which must be written as %23"));
    }
    if !url.scheme().ends_with("unix") && url.query().is_some_and(|query| query.contains('@')) {
        return Err(RedisConfigError::Url("holds an unescaped ?, which must be written as %3F"));
    }
    let info = redis::IntoConnectionInfo::into_connection_info(url)
        .map_err(|_| RedisConfigError::Url("the host, the database number or another part cannot be read"))?;
    let login = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    Ok(info.set_redis_settings(login).set_tcp_settings(tcp_settings()))
}

fn read_ca_file(path: &Path) -> Result<Vec<u8>, RedisConfigError> {
    std::fs::read(path).map_err(|error| RedisConfigError::CaFile { path: path.to_owned(), reason: error.to_string() })
}

/// The TLS side of connections: trusts the authority in `pem` alone, or without one those of this system.
fn connector(pem: Option<&[u8]>, path: Option<&Path>) -> Result<TlsConnector, RedisConfigError> {
    let mut roots = RootCertStore::empty();
    if let (Some(pem), Some(path)) = (pem, path) {
        let unusable = |reason: String| RedisConfigError::CaFile { path: path.to_owned(), reason };
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("holds no certificate".to_owned()));
        }
    } else {
        // Some files of a system's collection are commonly unreadable or outdated; the rest still counts.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(RedisConfigError::NoRootCertificates);
        }
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Tells the client library, too, which authority to trust.
fn with_root(info: ConnectionInfo, pem: Option<Vec<u8>>) -> Result<ConnectionInfo, RedisConfigError> {
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: pem };
    redis::Client::build_with_tls(info, certificates)
        .map(|client| client.get_connection_info().clone())
        .map_err(|_| RedisConfigError::Url("TLS cannot be set up for it"))
}

/// Commands of one connection that wait for being written; more wait in their callers, until their deadline.
pub(super) const PIPELINE_BUFFER: usize = 1024;
/// As [`dial`] does it, for connections that the client library opens: left to itself it keeps Nagle's algorithm on.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(dial::keepalive());
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(dial::USER_TIMEOUT);
    settings
}

#[cfg(test)]
mod tests {
    use super::super::dial::Network;
    use super::*;
    use crate::client::secret::Secret;
    use crate::config::{Acknowledge, Durability, RedisTopology, RevocationConfig, UnsafeSettings};

    fn config(url: &str) -> RedisConfig {
        RedisConfig {
            url: Secret::new(url),
            key_prefix: String::new(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            connections: 1,
            ca_file: None,
            topology: RedisTopology::Standalone,
            nodes: Vec::new(),
            sentinel_service: String::new(),
            sentinel_username: None,
            sentinel_password: None,
            dataset: None,
            unsafe_settings: UnsafeSettings::Warn,
            revocation: RevocationConfig {
                acknowledge: Acknowledge::Visible,
                durability: Durability::Primary,
                replicas: 1,
                lease: Duration::from_millis(200),
            },
        }
    }

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new(&config(url), Arc::new(Network)).ok().unwrap().0
    }

    #[test]
    fn urls_that_cannot_be_used_are_refused_without_quoting_them() {
        for url in [
            "",
            "hunter2",
            "http://:hunter2@localhost",
            "redis://:hunter2@",
            "redis://:hunter2@localhost/x",
            "redis://:hunter2#@localhost",
            "redis://:hunter2/1@localhost",
            "redis://hunter:2?@localhost",
            "redis://:hunter2@localhost:port",
            "rediss://:hunter2@localhost/#insecure",
            "unix://",
        ] {
            let error =
                Endpoint::new(&config(url), Arc::new(Network)).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_cluster_has_one_database() {
        let cluster = |url: &str| RedisConfig { topology: RedisTopology::Cluster, ..config(url) };
        assert!(Endpoint::new(&cluster("redis://localhost/0"), Arc::new(Network)).is_ok());
        let refused = Endpoint::new(&cluster("redis://localhost/1"), Arc::new(Network));
        assert!(matches!(refused, Err(RedisConfigError::Url(_))));
    }

    #[test]
    fn user_password_and_database_are_taken_from_every_kind_of_url() {
        for url in ["redis://itd:p%23ss@localhost/3", "unix:///run/redis?user=itd&pass=p%23ss&db=3"] {
            let login = endpoint(url).login;
            assert_eq!((login.username(), login.password(), login.db()), (Some("itd"), Some("p#ss"), 3), "{url}");
            assert_eq!(login.protocol(), ProtocolVersion::RESP3);
        }
    }

    #[test]
    fn further_nodes_are_reached_with_the_same_login() {
        let nodes = vec!["b:7001".to_owned(), "a:7000".to_owned(), "[::1]:7002".to_owned()];
        let config = RedisConfig { nodes, ..config("redis://itd:hunter2@a:7000/1") };
        let (_, addresses) = Endpoint::new(&config, Arc::new(Network)).ok().unwrap();
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a:7000", "b:7001", "[::1]:7002"]);
        let config = RedisConfig { nodes: vec!["nowhere".to_owned()], ..config };
        assert!(matches!(Endpoint::new(&config, Arc::new(Network)), Err(RedisConfigError::Node)));
    }

    #[test]
    fn only_a_primary_that_is_new_enough_will_do() {
        let hello = |role: &str, version: &str| {
            let text = |text: &str| Value::BulkString(text.into());
            expect_primary(Value::Map(vec![
                (text("server"), text("redis")),
                (text("version"), text(version)),
                (text("proto"), Value::Int(3)),
                (text("role"), text(role)),
                (text("modules"), Value::Array(vec![])),
            ]))
        };
        assert!(hello("master", "7.0.15").is_ok());
        assert!(hello("master", "10.1.0").is_ok());
        for (role, version) in [("replica", "7.0.15"), ("slave", "7.2"), ("master", "6.2.14"), ("master", "")] {
            assert!(hello(role, version).is_err(), "{role} {version}");
        }
        assert!(expect_primary(Value::Okay).is_err());
        assert!(expect_primary(Value::Map(vec![])).is_err());
    }

    #[test]
    fn an_authority_without_tls_or_one_that_cannot_be_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let with = |url: &str| {
            let config = RedisConfig { ca_file: Some(path.clone()), ..config(url) };
            Endpoint::new(&config, Arc::new(Network)).map(|_| ())
        };
        assert!(matches!(with("rediss://localhost"), Err(RedisConfigError::CaFile { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(with("rediss://localhost"), Err(RedisConfigError::CaFile { .. })));
        assert!(matches!(with("redis://localhost"), Err(RedisConfigError::Url(_))));
    }

    #[test]
    fn connections_of_the_library_are_not_held_back_by_the_kernel_either() {
        let settings = endpoint("redis://localhost").info(&Address::tcp("localhost", 1));
        assert!(settings.tcp_settings().nodelay());
        assert!(settings.tcp_settings().keepalive().is_some());
    }
}

//! Where Redis is and how one gets in: what `[redis]` says, checked once, and opening connections by it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, ProtocolVersion, Value};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use crate::config::RedisConfig;

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
    /// `rediss://` without `ca_file`, on a system that has no root certificates.
    #[error("redis.url asks for TLS, and this system has no root certificates: set redis.ca_file")]
    NoRootCertificates,
}

/// A Redis server, and what is needed to open connections to it.
pub(super) struct Endpoint {
    info: ConnectionInfo,
    transport: Transport,
    connect_timeout: Duration,
    response_timeout: Duration,
}

enum Transport {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, connector: TlsConnector, name: ServerName<'static> },
    Unix(PathBuf),
}

/// A connection that was just opened.
pub(super) struct Opened {
    /// What commands are sent through.
    pub(super) connection: MultiplexedConnection,
    /// Moves the bytes; ends when the connection is lost or nobody can send through it any more.
    pub(super) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// For the log: host and port or path, nothing else of the URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.addr().fmt(formatter)
    }
}

impl Endpoint {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, RedisConfigError> {
        let info = parse_url(config.url.expose())?;
        let (info, transport) = match info.addr().clone() {
            ConnectionAddr::Tcp(host, port) => (info, Transport::Tcp { host, port }),
            ConnectionAddr::TcpTls { host, port, .. } => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| RedisConfigError::Url("the host cannot stand in a certificate"))?;
                let pem = config.ca_file.as_deref().map(read_ca_file).transpose()?;
                let connector = connector(pem.as_deref(), config.ca_file.as_deref())?;
                (with_root(info, pem)?, Transport::Tls { host, port, connector, name })
            }
            ConnectionAddr::Unix(path) => (info, Transport::Unix(path)),
            _ => return Err(RedisConfigError::Url("a way to connect that is not supported")),
        };
        if config.ca_file.is_some() && !matches!(transport, Transport::Tls { .. }) {
            // Somebody who names an authority believes that the connection is encrypted.
            return Err(RedisConfigError::Url("redis.ca_file is set, so it must begin with rediss://"));
        }
        Ok(Self { info, transport, connect_timeout: config.connect_timeout, response_timeout: config.response_timeout })
    }

    /// Opens a connection, within the connect timeout, to a server that takes writes.
    pub(super) async fn open(&self) -> Result<Opened, Fault> {
        timeout(self.connect_timeout, async {
            match &self.transport {
                Transport::Tcp { host, port } => self.set_up(self.connect_tcp(host, *port).await?).await,
                Transport::Tls { host, port, connector, name } => {
                    let stream = self.connect_tcp(host, *port).await?;
                    let encrypted = connector.connect(name.clone(), stream).await;
                    self.set_up(encrypted.map_err(|error| Fault::of_dialling(&error))?).await
                }
                Transport::Unix(path) => {
                    let stream = UnixStream::connect(path).await;
                    self.set_up(stream.map_err(|error| Fault::of_dialling(&error))?).await
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err(Fault::silence()))
    }

    /// What the client library needs to open connections of its own, for the pool.
    pub(super) fn info(&self) -> ConnectionInfo {
        self.info.clone()
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Tries the addresses of a host in turn, each for its share of the connect timeout: one address behind which
    /// packets vanish must not hide another that works.
    async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| Fault::of_dialling(&error))?;
        let addresses: Vec<_> = addresses.collect();
        let share = self.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut fault = Fault::unavailable("cannot connect to Redis: its host name has no address");
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    set_socket_options(&stream).map_err(|error| Fault::of_dialling(&error))?;
                    return Ok(stream);
                }
                Ok(Err(error)) => fault = Fault::of_dialling(&error),
                Err(_) => fault = Fault::silence(),
            }
        }
        Err(fault)
    }

    async fn set_up<S>(&self, stream: S) -> Result<Opened, Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = AsyncConnectionConfig::new()
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            // Deadlines are ours: one spans all round trips of a call, where the library's begins anew with each.
            .set_response_timeout(None);
        let opened = MultiplexedConnection::new_with_config(self.info.redis_settings(), stream, config).await;
        let (mut connection, driver) = opened.map_err(|error| Fault::of_client(&error))?;
        let mut driver: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(driver);
        // The driver is not running yet, so it is run here beside the first command.
        tokio::select! {
            checked = check(&mut connection) => checked?,
            () = &mut driver => return Err(Fault::unavailable("the connection to Redis was lost")),
        }
        Ok(Opened { connection, driver })
    }
}

/// Asks the server whether it is a primary, and one that knows what we need. Any user may: `HELLO` is open to
/// everybody, unlike `ROLE` and even `PING`.
///
/// A replica answers reads like a primary does, and late: after a failover, a connection that stayed behind would show
/// revoked tokens as active.
pub(super) async fn check(connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    let reply = connection.send_packed_command(&redis::cmd("HELLO")).await;
    judge(&reply.map_err(|error| Fault::of_client(&error))?)
}

fn judge(hello: &Value) -> Result<(), Fault> {
    let members = match hello {
        Value::Map(members) => members,
        Value::ServerError(error) => return Err(Fault::of_server(error)),
        _ => return Err(Fault::unexpected_reply()),
    };
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

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
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
/// When a silent peer is first asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// After how long without an acknowledgement of sent bytes the kernel gives a connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(2);

/// Small commands must leave at once: with Nagle's algorithm they would wait for the acknowledgement of earlier ones.
fn set_socket_options(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// The same for connections that the client library opens; left to itself it keeps Nagle's algorithm on.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive());
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

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
            let error = Endpoint::new(&config(url)).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn user_password_and_database_are_taken_from_every_kind_of_url() {
        for url in ["redis://itd:p%23ss@localhost/3", "unix:///run/redis?user=itd&pass=p%23ss&db=3"] {
            let endpoint = Endpoint::new(&config(url)).ok().unwrap();
            let login = endpoint.info.redis_settings();
            assert_eq!((login.username(), login.password(), login.db()), (Some("itd"), Some("p#ss"), 3), "{url}");
            assert_eq!(login.protocol(), ProtocolVersion::RESP3);
        }
    }

    #[test]
    fn a_url_in_the_log_is_host_and_port() {
        let endpoint = Endpoint::new(&config("redis://itd:hunter2@redis.example:7000/1")).ok().unwrap();
        assert_eq!(endpoint.to_string(), "redis.example:7000");
    }

    #[test]
    fn only_a_primary_that_is_new_enough_will_do() {
        let hello = |role: &str, version: &str| {
            let text = |text: &str| Value::BulkString(text.into());
            judge(&Value::Map(vec![
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
        assert!(judge(&Value::Okay).is_err());
        assert!(judge(&Value::Map(vec![])).is_err());
    }

    #[test]
    fn an_authority_without_tls_or_one_that_cannot_be_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let with = |url: &str| Endpoint::new(&RedisConfig { ca_file: Some(path.clone()), ..config(url) });
        assert!(matches!(with("rediss://localhost"), Err(RedisConfigError::CaFile { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(with("rediss://localhost"), Err(RedisConfigError::CaFile { .. })));
        assert!(matches!(with("redis://localhost"), Err(RedisConfigError::Url(_))));
    }

    #[tokio::test]
    async fn commands_are_never_held_back_by_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Endpoint::new(&config(&format!("redis://127.0.0.1:{port}"))).ok().unwrap();
        let stream = endpoint.connect_tcp("127.0.0.1", port).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        let settings = endpoint.info.tcp_settings();
        assert!(settings.nodelay());
        assert!(settings.keepalive().is_some());
    }
}

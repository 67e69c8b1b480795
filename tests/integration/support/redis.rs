//! A Redis server of the test's own: on a free port, in a temporary folder, ended with the test.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use introspectd::client::secret::Secret;
use introspectd::config::{Acknowledge, Durability, RedisConfig, RedisTopology, RevocationConfig, UnsafeSettings};
use introspectd::store::redis::RedisStore;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use redis::FromRedisValue;
use tempfile::TempDir;

use super::eventually;

/// The prefix that stores made by [`RedisServer::config`] use.
pub(crate) const PREFIX: &str = "itd:";

/// How long connecting may take in tests. The service's own default is for a network that works; tests run beside each
/// other on few cores and a slow disk, and a deadline that is missed there is no defect.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take in tests, for the same reason.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How the server is reached over the network.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    None,
    Tls,
}

/// A server, running or not.
pub(crate) struct RedisServer {
    child: Option<Child>,
    folder: TempDir,
    port: Port,
    arguments: Vec<String>,
    encryption: Encryption,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "no"]).await
    }

    /// A server with further settings.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self::prepare(Encryption::None, arguments);
        server.launch().await;
        server
    }

    /// A server that speaks TLS only, with a certificate for `localhost` signed by the authority in its `ca_file`.
    pub(crate) async fn start_encrypted() -> Self {
        let mut server = Self::prepare(Encryption::Tls, &[]);
        server.issue_certificate();
        server.launch().await;
        server
    }

    /// A server that is yet to be launched.
    pub(crate) fn not_yet_started() -> Self {
        Self::prepare(Encryption::None, &[])
    }

    fn prepare(encryption: Encryption, arguments: &[&str]) -> Self {
        Self {
            child: None,
            folder: tempfile::tempdir().unwrap(),
            port: Port::claim(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            encryption,
        }
    }

    /// Starts the process and waits until it takes connections. What it kept on disk is there again.
    pub(crate) async fn launch(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let port = self.port.number.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--logfile", "redis.log"]);
        command.arg("--dir").arg(self.folder.path()).arg("--unixsocket").arg(self.socket());
        match self.encryption {
            Encryption::None => command.args(["--port", &port]),
            Encryption::Tls => command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]).args([
                "--tls-cert-file",
                "server.pem",
                "--tls-key-file",
                "server.key",
                "--tls-ca-cert-file",
                "ca.pem",
            ]),
        };
        let spawned = command.args(&self.arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("these tests need a Redis server: apt-get install redis-server")
            }
            Err(error) => panic!("redis-server does not start: {error}"),
        });
        eventually("redis-server takes connections", async || {
            // Any reply will do: a server that asks for a password is up as well.
            self.try_command::<redis::Value>(&["PING"]).await.map_or_else(|error| error.code().is_some(), |_| true)
        })
        .await;
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the process where it is. Its sockets stay open, and the kernel even takes new connections for it.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it is running").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Runs a command, over the socket file.
    pub(crate) async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).await.unwrap()
    }

    async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("unix://{}", self.socket().display())).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }

    /// Runs several commands in one piece, over the socket file.
    pub(crate) async fn pipeline<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> T {
        let client = redis::Client::open(format!("unix://{}", self.socket().display())).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        commands.query_async(&mut connection).await.unwrap()
    }

    /// The keys that are kept, in order.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.command(&["KEYS", "*"]).await;
        keys.sort();
        keys
    }

    /// How many connections are open, the asking one left out.
    pub(crate) async fn connections(&self) -> usize {
        let list: String = self.command(&["CLIENT", "LIST"]).await;
        list.lines().count() - 1
    }

    /// The port that it takes connections at.
    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    /// Its URL, over the network.
    pub(crate) fn url(&self) -> String {
        match self.encryption {
            Encryption::None => format!("redis://127.0.0.1:{}", self.port.number),
            Encryption::Tls => format!("rediss://localhost:{}", self.port.number),
        }
    }

    /// Its URL with a user and a database.
    pub(crate) fn url_with(&self, login: &str, database: u8) -> String {
        format!("redis://{login}127.0.0.1:{}/{database}", self.port.number)
    }

    /// Its URL by the socket file.
    pub(crate) fn unix_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The authority that signed its certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Settings for a store in this server, with which a busy machine is waited for.
    pub(crate) fn config(&self) -> RedisConfig {
        RedisConfig {
            url: Secret::new(self.url()),
            key_prefix: PREFIX.to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            connections: 2,
            ca_file: (self.encryption == Encryption::Tls).then(|| self.ca_file()),
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

    /// The same settings for tests that see how long a store waits for a server that hangs.
    pub(crate) fn impatient_config(&self) -> RedisConfig {
        RedisConfig { response_timeout: Duration::from_millis(500), ..self.config() }
    }

    /// A store in this server.
    pub(crate) async fn store(&self) -> RedisStore {
        RedisStore::open(&self.config()).await.unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn issue_certificate(&self) {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        for (name, pem) in [("ca.pem", issuer.pem()), ("server.pem", leaf.pem()), ("server.key", key.serialize_pem())] {
            std::fs::write(self.folder.path().join(name), pem).unwrap();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody else takes as long as this is held, even while no server listens there.
struct Port {
    number: u16,
    /// The same port of another loopback address: what test runs beside each other keep away by.
    _claim: Option<TcpListener>,
}

impl Port {
    /// One that is free now and is not handed out for outgoing connections.
    fn claim() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        const FIRST: u16 = 20_000;
        const COUNT: u16 = 12_000;
        const BESIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
        // Test runs beside each other begin at different places.
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
        loop {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let number = FIRST + offset;
            let claim = match TcpListener::bind((BESIDE, number)) {
                Ok(claim) => Some(claim),
                // Not every system has more than one loopback address.
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => None,
                Err(_) => continue,
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _claim: claim };
            }
        }
    }
}

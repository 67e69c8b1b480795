//! A Redis server of the test's own: on a free port, in a temporary folder, ended with the test.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use introspectd::client::secret::Secret;
use introspectd::config::{Acknowledge, Durability, RedisConfig, RedisTopology, RevocationConfig, UnsafeSettings};
use introspectd::store::redis::RedisStore;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis::FromRedisValue;
use tempfile::TempDir;

use super::eventually;
use super::port::Port;

/// The prefix that stores made by [`RedisServer::config`] use.
pub(crate) const PREFIX: &str = "itd:";

/// How long connecting may take in tests. The service's own default is for a network that works; tests run beside each
/// other on few cores and a slow disk, and a deadline that is missed there is no defect.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take in tests, for the same reason.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a server is set up. Servers that belong together are set up alike.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// Further settings, as they stand on the command line.
    pub(crate) arguments: Vec<String>,
    /// What it speaks TLS with, and with nothing else; without them it speaks plainly.
    pub(crate) certificates: Option<Certificates>,
    /// What everybody must know who logs in without a name.
    pub(crate) password: Option<String>,
    pub(super) part: Part,
}

/// Which part a server plays.
#[derive(Clone, Default)]
pub(super) enum Part {
    /// It keeps keys.
    #[default]
    Data,
    /// It keeps keys, and is a node of a cluster.
    Node,
    /// It watches others: what its settings file says at the first start.
    Sentinel(String),
}

/// An authority, and a certificate for `localhost` that it has signed, all as PEM.
#[derive(Clone)]
pub(crate) struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

impl Certificates {
    /// New ones, which nobody else trusts.
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // One name for both would read as a certificate that has signed itself.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        // Servers that name each other do so by address.
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        Self { authority: issuer.pem(), certificate: leaf.pem(), key: key.serialize_pem() }
    }
}

/// A server, running or not.
pub(crate) struct RedisServer {
    child: Option<Child>,
    folder: TempDir,
    port: Port,
    /// Where the nodes of a cluster speak to each other.
    bus: Option<Port>,
    setup: Setup,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "no"]).await
    }

    /// A server with further settings.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self::prepare(Setup { arguments, ..Setup::default() });
        server.launch().await;
        server
    }

    /// A server that speaks TLS only, with a certificate for `localhost` signed by the authority in its `ca_file`.
    pub(crate) async fn start_encrypted() -> Self {
        let mut server = Self::prepare(Setup { certificates: Some(Certificates::new()), ..Setup::default() });
        server.launch().await;
        server
    }

    /// A server that is yet to be launched.
    pub(crate) fn not_yet_started() -> Self {
        Self::prepare(Setup::default())
    }

    /// A server of this setup that is yet to be launched.
    pub(crate) fn prepare(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
        if let Some(Certificates { authority, certificate, key }) = &setup.certificates {
            write("ca.pem", authority);
            write("server.pem", certificate);
            write("server.key", key);
        }
        // What the server is told while it runs it writes there, and knows again after a restart.
        write("redis.conf", if let Part::Sentinel(settings) = &setup.part { settings } else { "" });
        let bus = matches!(setup.part, Part::Node).then(Port::claim);
        Self { child: None, folder, port: Port::claim(), bus, setup }
    }

    /// Starts the process and waits until it takes connections. What it kept on disk is there again.
    pub(crate) async fn launch(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let spawned = self.program().stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("these tests need a Redis server: apt-get install redis-server")
            }
            Err(error) => panic!("redis-server does not start: {error}"),
        });
        eventually("redis-server takes connections", async || {
            // Nearly any reply will do: a server that asks for a password is up as well, one that still reads its file
            // is not.
            let reply = self.try_command::<redis::Value>(&["PING"]).await;
            reply.map_or_else(|error| error.code().is_some_and(|code| code != "LOADING"), |_| true)
        })
        .await;
    }

    fn program(&self) -> Command {
        let port = self.port.number.to_string();
        let mut program = Command::new("redis-server");
        program.arg(self.folder.path().join("redis.conf"));
        program.args(["--bind", "127.0.0.1", "--daemonize", "no", "--logfile", "redis.log"]);
        program.arg("--dir").arg(self.folder.path()).arg("--unixsocket").arg(self.socket());
        if let Some(password) = &self.setup.password {
            program.args(["--requirepass", password]);
        }
        if self.setup.certificates.is_none() {
            program.args(["--port", &port]);
        } else {
            program.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-replication", "yes"]);
            program.args(["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"]);
            program.args(["--tls-ca-cert-file", "ca.pem"]);
        }
        if let Some(bus) = &self.bus {
            program.args(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]);
            program.args(["--cluster-port", &bus.number.to_string()]);
            program.args(["--tls-cluster", if self.setup.certificates.is_some() { "yes" } else { "no" }]);
        }
        if let Part::Sentinel(_) = self.setup.part {
            program.arg("--sentinel");
        } else {
            program.args(["--save", "", "--repl-diskless-sync-delay", "0"]);
            if let Some(password) = &self.setup.password {
                program.args(["--masterauth", password]);
            }
        }
        program.args(&self.setup.arguments);
        program
    }

    /// Where it keeps what it keeps on disk.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Removes the keys that a server which is not running keeps on disk; who it is and whom it knows it keeps.
    pub(crate) fn forget(&self) {
        assert!(self.child.is_none(), "it is running");
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else if path.extension().is_some_and(|extension| extension == "rdb") {
                std::fs::remove_file(path).unwrap();
            }
        }
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

    /// The same, of which an error or no answer may come.
    pub(crate) async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.unix_login()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }

    /// Runs several commands in one piece, over the socket file.
    pub(crate) async fn pipeline<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> T {
        let client = redis::Client::open(self.unix_login()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        commands.query_async(&mut connection).await.unwrap()
    }

    /// The keys that are kept, in order, but for the markers of the dataset and the roster of the nodes.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.command(&["KEYS", "*"]).await;
        keys.retain(|key| !["m:", "n:"].iter().any(|kind| key.starts_with(&format!("{PREFIX}{kind}"))));
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

    /// The port that it speaks to other nodes of its cluster at.
    pub(crate) fn bus_port(&self) -> u16 {
        self.bus.as_ref().expect("it is a node of a cluster").number
    }

    /// Its URL, over the network, with its password.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.setup.certificates.is_none() { "redis" } else { "rediss" };
        format!("{scheme}://{}{}", self.login(), self.address())
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        let host = if self.setup.certificates.is_none() { "127.0.0.1" } else { "localhost" };
        format!("{host}:{}", self.port.number)
    }

    /// The password of the default user.
    pub(crate) fn password(&self) -> Option<&str> {
        self.setup.password.as_deref()
    }

    /// What stands before its host in a URL.
    pub(crate) fn login(&self) -> String {
        self.setup.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default()
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
            ca_file: self.setup.certificates.is_some().then(|| self.ca_file()),
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

    fn unix_login(&self) -> String {
        let password = self.setup.password.as_ref().map(|password| format!("?pass={password}")).unwrap_or_default();
        self.unix_url() + &password
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

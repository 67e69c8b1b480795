//! TLS: protocols, versions, and files that cannot be used.

use std::path::Path;
use std::sync::Arc;

use introspectd::config::{ClientCertificates, TlsFiles};
use introspectd::server::Protocol;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Client, Options, Running, SOON, eventually};

const GET: &str = "GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Identity {
    folder: tempfile::TempDir,
    issued: CertifiedKey<KeyPair>,
}

impl Identity {
    fn new() -> Self {
        let issued = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let identity = Self { folder: tempfile::tempdir().unwrap(), issued };
        identity.write("certificate.pem", &identity.issued.cert.pem());
        identity.write("key.pem", &identity.issued.signing_key.serialize_pem());
        identity
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn files(&self) -> TlsFiles {
        let file = |name: &str| Path::join(self.folder.path(), name);
        TlsFiles {
            certificate: file("certificate.pem"),
            key: file("key.pem"),
            client_certificates: ClientCertificates::None,
        }
    }

    fn options(&self) -> Options {
        Options { tls: Some(self.files()), ..Options::default() }
    }

    /// Why a server does not start with these files.
    fn complaint(&self) -> String {
        let error = self.options().bind().unwrap_err().to_string();
        let folder = self.folder.path().to_str().unwrap();
        assert!(error.starts_with("the public listener: "), "{error}");
        assert!(error.contains(folder), "{error}");
        error.rsplit('/').next().unwrap().to_owned()
    }

    async fn connect(
        &self,
        server: &Running,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issued.cert.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(server.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_tls_are_served() {
    let identity = Identity::new();
    let server = identity.options().start();
    for only in [&version::TLS12, &version::TLS13] {
        let mut client = Client::new(identity.connect(&server, &[], &[only]).await.unwrap());
        assert_eq!(client.exchange(GET).await.text(), "public true true");
        assert_eq!(client.exchange(GET).await.status, 200);
    }
    assert_eq!(server.statistics.connections_by_protocol(Protocol::Http1), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alpn_chooses_http2_where_it_is_offered() {
    let identity = Identity::new();
    let server = identity.options().start();
    let both = identity.connect(&server, &["http/1.1", "h2"], &[&version::TLS13]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = hyper_util::rt::TokioIo::new(both);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/").body(String::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);

    let old = identity.connect(&server, &["http/1.1"], &[&version::TLS13]).await.unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(Client::new(old).exchange(GET).await.status, 200);
    assert!(identity.connect(&server, &["spdy/3"], &[&version::TLS13]).await.is_err(), "nothing in common");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_says_other_than_it_agreed_on_is_closed() {
    let identity = Identity::new();
    let server = identity.options().start();
    let mut client = Client::new(identity.connect(&server, &["h2"], &[&version::TLS13]).await.unwrap());
    client.send(GET).await;
    eventually("it is closed", || server.statistics.connections_open() == 0).await;
    assert_eq!(server.statistics.requests_by_protocol(Protocol::Http1), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_peer_can_ask_for_the_connection_to_be_closed() {
    let identity = Identity::new();
    let server = identity.options().start();
    let mut client = Client::new(identity.connect(&server, &[], &[&version::TLS13]).await.unwrap());
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    // Ends by close_notify: rustls reports anything less as an error.
    assert_eq!(client.until_closed().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_handshake_disturbs_nobody() {
    let identity = Identity::new();
    let server = identity.options().start();
    let mut plain = server.connect().await;
    plain.send(GET).await;
    eventually("the handshake fails", || server.statistics.failed_handshakes() == 1).await;
    let mut client = Client::new(identity.connect(&server, &[], &[&version::TLS13]).await.unwrap());
    assert_eq!(client.exchange(GET).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_does_not_come_is_cut_off_beside_others() {
    let identity = Identity::new();
    let mut options = identity.options();
    options.http.header_timeout = SOON;
    let server = options.start();
    let mut silent = server.connect().await;
    let mut client = Client::new(identity.connect(&server, &[], &[&version::TLS13]).await.unwrap());
    assert_eq!(client.exchange(GET).await.status, 200, "meanwhile");
    silent.closed().await;
    assert_eq!(server.statistics.failed_handshakes(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_used_are_named_with_their_fault() {
    let identity = Identity::new();
    let key = identity.issued.signing_key.serialize_pem();
    let certificate = identity.issued.cert.pem();

    std::fs::remove_file(identity.files().certificate).unwrap();
    assert!(identity.complaint().starts_with("certificate.pem: cannot be read: "));
    identity.write("certificate.pem", "no PEM at all");
    assert_eq!(identity.complaint(), "certificate.pem: holds no certificate (BEGIN CERTIFICATE)");
    identity.write("certificate.pem", &key);
    assert_eq!(identity.complaint(), "certificate.pem: holds no certificate (BEGIN CERTIFICATE)");
    identity.write("certificate.pem", "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n");
    assert!(identity.complaint().starts_with("certificate.pem: cannot be used: "));
    identity.write("certificate.pem", &certificate);

    identity.write("key.pem", "");
    assert_eq!(identity.complaint(), "key.pem: holds no private key (BEGIN PRIVATE KEY)");
    identity.write("key.pem", &key.replace("-----END PRIVATE KEY-----", ""));
    assert_eq!(identity.complaint(), "key.pem: is not a valid PEM file");
    identity.write("key.pem", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
    let complaint = identity.complaint();
    assert!(complaint.contains(": cannot be used: ") && !complaint.contains("secret"), "{complaint}");
    identity.write("key.pem", &KeyPair::generate().unwrap().serialize_pem());
    assert_eq!(identity.complaint(), "key.pem: is not the key of the certificate");
    identity.write("key.pem", &key);
    assert!(identity.options().bind().is_ok());
}

//! Certificates of clients: asked for when configured, kept with the connection, and only taken with their key.

use std::sync::Arc;

use introspectd::config::{ClientCertificates, TlsFiles};
use introspectd::server::PeerCertificate;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion, sign, version};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Client, Options, Running, eventually};

const GET: &str = "GET /certificate HTTP/1.1\r\nHost: localhost\r\n\r\n";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// A server with its certificate, which asks clients for theirs or does not.
struct Case {
    server: Running,
    own: CertifiedKey<KeyPair>,
    _folder: tempfile::TempDir,
}

impl Case {
    fn new(client_certificates: ClientCertificates) -> Self {
        let (folder, own) = (tempfile::tempdir().unwrap(), new_identity());
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, own.cert.pem()).unwrap();
        std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let files = TlsFiles { certificate, key, client_certificates };
        Self { server: Options { tls: Some(files), ..Options::default() }.start(), own, _folder: folder }
    }

    /// What a client says that has this certificate and this key, whether or not they belong together.
    fn client(
        &self,
        identity: Option<(&CertifiedKey<KeyPair>, &KeyPair)>,
        only: &'static SupportedProtocolVersion,
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.cert.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[only])
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
                let identity = sign::CertifiedKey::new(vec![certificate.cert.der().clone()], key);
                builder.with_client_cert_resolver(Arc::new(Always(Arc::new(identity))))
            }
        };
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(&self, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.server.address).await.unwrap();
        connector.connect(ServerName::try_from("localhost").unwrap(), socket).await
    }
}

fn new_identity() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn thumbprint(identity: &CertifiedKey<KeyPair>) -> String {
    PeerCertificate::new(identity.cert.der().clone(), vec![]).thumbprint()
}

/// Presents the same certificate whatever is asked for.
#[derive(Debug)]
struct Always(Arc<sign::CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn rfc8705_2_any_certificate_is_taken_with_its_key_and_so_is_none() {
    let (case, identity) = (Case::new(ClientCertificates::Optional), new_identity());
    for only in VERSIONS {
        let connector = case.client(Some((&identity, &identity.signing_key)), only);
        let mut client = Client::new(case.connect(&connector).await.unwrap());
        for _ in 0..2 {
            assert_eq!(client.exchange(GET).await.text(), thumbprint(&identity));
        }
        let mut client = Client::new(case.connect(&case.client(None, only)).await.unwrap());
        assert_eq!(client.exchange(GET).await.text(), "none");
    }
}

#[tokio::test]
async fn rfc8705_2_a_certificate_without_its_key_ends_the_handshake() {
    let (case, identity, thief) = (Case::new(ClientCertificates::Optional), new_identity(), new_identity());
    for (count, only) in (1..).zip(VERSIONS) {
        // In TLS 1.3 the client learns of it after its own handshake.
        let _connection = case.connect(&case.client(Some((&identity, &thief.signing_key)), only)).await;
        eventually("the handshake fails", || case.server.statistics.failed_handshakes() == count).await;
    }
}

#[tokio::test]
async fn a_resumed_connection_keeps_the_certificate() {
    let (case, identity) = (Case::new(ClientCertificates::Optional), new_identity());
    for only in VERSIONS {
        let connector = case.client(Some((&identity, &identity.signing_key)), only);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = case.connect(&connector).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
            assert_eq!(Client::new(stream).exchange(GET).await.text(), thumbprint(&identity), "{expected:?}");
        }
    }
}

#[tokio::test]
async fn nobody_is_asked_unless_configured() {
    let (case, identity) = (Case::new(ClientCertificates::None), new_identity());
    for only in VERSIONS {
        let connector = case.client(Some((&identity, &identity.signing_key)), only);
        assert_eq!(Client::new(case.connect(&connector).await.unwrap()).exchange(GET).await.text(), "none");
    }
}

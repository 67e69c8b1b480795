//! Authorities, certificates, and requests over connections that present them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::node::{Kind, Node};
use super::raw::{self, RawAnswer};

/// An authority that signs certificates of clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a client, with names of every kind.
    pub(crate) fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(name).signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.der().clone(), key }
    }
}

impl Identity {
    /// A certificate that nobody but its holder has signed.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(name).self_signed(&key).unwrap();
        Self { certificate: certificate.der().clone(), key }
    }

    /// As RFC 9440 section 2.1 writes it.
    pub(crate) fn header(&self) -> String {
        format!(":{}:", STANDARD.encode(&self.certificate))
    }
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "Example");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.subject_alt_names = vec![
        SanType::DnsName(format!("{name}.example.com").try_into().unwrap()),
        SanType::URI(format!("spiffe://example.com/{name}").try_into().unwrap()),
        SanType::IpAddress("2001:db8::7".parse().unwrap()),
        SanType::Rfc822Name(format!("{name}@example.com").try_into().unwrap()),
    ];
    parameters
}

/// A node whose public listener speaks TLS and asks for certificates, and which trusts one authority for clients.
pub(crate) struct SecureNode {
    pub(crate) node: Node,
    pub(crate) authority: Authority,
    server: CertificateDer<'static>,
    _folder: TempDir,
}

impl SecureNode {
    pub(crate) async fn start(kind: Kind) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, content: &str| written(folder.path(), name, content).display().to_string();
        let settings = [
            ("public.tls_certificate_file", file("server.pem", &server.cert.pem())),
            ("public.tls_key_file", file("server.key", &server.signing_key.serialize_pem())),
            ("public.tls_client_certificates", "optional".to_owned()),
            ("authentication.client_ca_file", file("ca.pem", &authority.0.pem())),
        ];
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let node = Node::start_with(kind, &settings).await;
        Self { node, authority, server: server.cert.der().clone(), _folder: folder }
    }

    /// Posts a form over a connection that presents this certificate, or none.
    pub(crate) async fn post(&self, path: &str, identity: Option<&Identity>, form: &[(&str, &str)]) -> RawAnswer {
        self.post_with(path, identity, "", form).await
    }

    /// The same with further header lines, each ended by CRLF.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        identity: Option<&Identity>,
        headers: &str,
        form: &[(&str, &str)],
    ) -> RawAnswer {
        let encode = introspectd::form::encode;
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let body = body.join("&");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        raw::exchange_over(self.connect(identity).await, request.as_bytes()).await
    }

    /// Reads what everybody may.
    pub(crate) async fn get(&self, path: &str) -> RawAnswer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        raw::exchange_over(self.connect(None).await, request.as_bytes()).await
    }

    async fn connect(&self, identity: Option<&Identity>) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![identity.certificate.clone()], key).unwrap()
            }
        };
        let socket = TcpStream::connect(self.node.public).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
    }
}

/// Writes a file and gives its path.
pub(crate) fn written(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The authority in a file of this folder.
pub(crate) fn authority_file(folder: &Path, authority: &Authority) -> String {
    written(folder, "clients.pem", &authority.0.pem()).display().to_string()
}

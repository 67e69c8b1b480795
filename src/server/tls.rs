//! TLS: certificate files, versions and the handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, version};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{AnyCertificate, PeerCertificate};
use super::statistics::Protocol;
use crate::config::{ClientCertificates, TlsFiles};

const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A certificate or key file that cannot be used. Says which file and what is wrong with it, never what is in it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct TlsError {
    file: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Unreadable(io::Error),
    NotPem,
    NoCertificate,
    NoKey,
    Mismatch,
    Unusable(rustls::Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(formatter, "cannot be read: {error}"),
            Self::NotPem => formatter.write_str("is not a valid PEM file"),
            Self::NoCertificate => formatter.write_str("holds no certificate (BEGIN CERTIFICATE)"),
            Self::NoKey => formatter.write_str("holds no private key (BEGIN PRIVATE KEY)"),
            Self::Mismatch => formatter.write_str("is not the key of the certificate"),
            Self::Unusable(error) => write!(formatter, "cannot be used: {error}"),
        }
    }
}

/// Reads the files of a listener. TLS 1.2 and 1.3, HTTP/2 preferred to HTTP/1.1, stateless resumption.
fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.certificate).map_err(|problem| blame(&files.certificate, problem))?;
    let key = private_key(&files.key).map_err(|problem| blame(&files.key, problem))?;
    // Named here rather than installed for the process: a library may not decide for those that link it.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match files.client_certificates {
        ClientCertificates::None => WebPkiClientVerifier::no_client_auth(),
        ClientCertificates::Optional => Arc::new(AnyCertificate::new(Arc::clone(&provider))),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("the provider has cipher suites for both versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => blame(&files.key, Problem::Mismatch),
            // What the key cannot do is said about keys alone; everything else is about the certificate.
            rustls::Error::General(_) => blame(&files.key, Problem::Unusable(error)),
            error => blame(&files.certificate, Problem::Unusable(error)),
        })?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    // Tickets instead of the default session cache, whose lock all handshakes would share.
    if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}

/// The certificate of a listener, which can be swapped while it listens: handshakes that begin then are made with the
/// other one, and connections that are open stay so.
#[derive(Clone, Debug)]
pub struct TlsHandle(Arc<ArcSwap<ServerConfig>>);

/// A certificate that was read and found to be usable.
#[derive(Debug)]
pub struct Prepared(Arc<ServerConfig>);

impl TlsHandle {
    /// Reads the files of a listener.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::new(read(files)?))))
    }

    /// Reads other files, and changes nothing yet.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn prepare(&self, files: &TlsFiles) -> Result<Prepared, TlsError> {
        read(files).map(Prepared)
    }

    /// Puts what was prepared in the place of what is there.
    pub fn swap(&self, prepared: Prepared) {
        self.0.store(prepared.0);
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

/// Shakes hands within `patience`. Returns with the stream what ALPN has agreed on, if the peer asked.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    socket: TcpStream,
    patience: Duration,
) -> io::Result<(TlsStream<TcpStream>, Option<Protocol>)> {
    let stream = timeout(patience, acceptor.accept(socket)).await??;
    let agreed = match stream.get_ref().1.alpn_protocol() {
        Some(ALPN_HTTP2) => Some(Protocol::Http2),
        Some(ALPN_HTTP1) => Some(Protocol::Http1),
        // Without ALPN the first bytes decide, as in cleartext.
        _ => None,
    };
    Ok((stream, agreed))
}

/// The certificate that the peer has presented, in this handshake or in the one that it resumes.
pub(super) fn certificate(stream: &TlsStream<TcpStream>) -> Option<Arc<PeerCertificate>> {
    PeerCertificate::of_chain(stream.get_ref().1.peer_certificates()).map(Arc::new)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| problem(error, Problem::NoCertificate))?;
    if chain.is_empty() { Err(Problem::NoCertificate) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| problem(error, Problem::NoKey))
}

/// The parser's own messages quote the line they stumble over, which may be part of a key.
fn problem(error: pem::Error, nothing_found: Problem) -> Problem {
    match error {
        pem::Error::Io(error) => Problem::Unreadable(error),
        pem::Error::NoItemsFound => nothing_found,
        _ => Problem::NotPem,
    }
}

fn blame(file: &Path, problem: Problem) -> TlsError {
    TlsError { file: file.to_path_buf(), problem }
}

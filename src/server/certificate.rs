//! The certificate of a peer: asked for in the handshake, which proves that the peer has its key, and judged later by
//! those who know whose it should be.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

/// A certificate of whose key the peer has proved possession, with those that it sent to lead to a trusted one.
///
/// Nothing in it has been checked: neither who issued it, nor its dates, nor whom it names.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

impl PeerCertificate {
    /// The most certificates looked at beside the first.
    pub const MAX_INTERMEDIATES: usize = 8;

    /// A certificate in DER, with the others of its chain in any order.
    pub fn new(leaf: CertificateDer<'static>, intermediates: Vec<CertificateDer<'static>>) -> Self {
        Self { leaf, intermediates }
    }

    /// The chain that a peer sent, the peer's own certificate first; `None` when it sent none.
    pub(super) fn of_chain(chain: Option<&[CertificateDer<'static>]>) -> Option<Self> {
        let (leaf, intermediates) = chain?.split_first()?;
        let intermediates = intermediates.iter().take(Self::MAX_INTERMEDIATES).cloned().collect();
        Some(Self::new(leaf.clone(), intermediates))
    }

    /// The peer's own certificate.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    /// The others.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// Its `x5t#S256` (RFC 8705 section 3.1): base64url of the SHA-256 of its DER form.
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.leaf))
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PeerCertificate({})", self.thumbprint())
    }
}

/// Asks for a certificate and takes any, or none, as long as the peer has its key.
///
/// Which authority to trust, if any, follows from the client that the request names, and the request comes after the
/// handshake. So the handshake names no authorities either: a peer then offers what it has.
#[derive(Debug)]
pub(super) struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl AnyCertificate {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

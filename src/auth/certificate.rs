//! Whether a certificate is a client's (RFC 8705 section 2). That the peer has its key was proved in the handshake.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::asn1_rs::ToDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::client::certificate::CertificateName;
use crate::client::distinguished_name::Attribute;
use crate::client::{AuthenticationMethod, Client};
use crate::server::PeerCertificate;
use crate::token::time::Now;

/// Whose certificates are taken from clients that are registered for `tls_client_auth`; nobody's, by default.
#[derive(Clone, Default)]
pub struct Authorities(Option<Arc<dyn ClientCertVerifier>>);

/// A file of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("authentication.client_ca_file: {}: {reason}", file.display())]
pub struct AuthoritiesError {
    file: PathBuf,
    reason: String,
}

/// Why a certificate was refused: for the log alone, the peer is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Form,
    /// It does not have the name that the client is registered with.
    #[error("the certificate does not have the registered name")]
    Name,
    /// It is none of those that the client is registered with.
    #[error("the certificate is not registered")]
    Unregistered,
    /// It does not lead to a trusted authority, is not for clients, or its time is not now.
    #[error("the certificate does not lead to a trusted authority, is not for clients, or has expired")]
    Untrusted,
    /// Its time is not now.
    #[error("the certificate has expired or is not valid yet")]
    Expired,
    /// The client is not registered for certificates.
    #[error("the client is not registered for certificates")]
    Method,
}

impl Authorities {
    /// Reads a PEM file of certificates.
    ///
    /// # Errors
    /// [`AuthoritiesError`] names the file and what is wrong with it.
    pub fn read(file: &Path) -> Result<Self, AuthoritiesError> {
        let fault = |reason: String| AuthoritiesError { file: file.to_path_buf(), reason };
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| fault(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).map_err(|error| fault(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fault("holds no certificate (BEGIN CERTIFICATE)".to_owned()));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self(Some(verifier.map_err(|error| fault(error.to_string()))?)))
    }

    /// Decides whether this certificate is the client's, as it is registered.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(&self, client: &Client, certificate: &PeerCertificate, now: Now) -> Result<(), CertificateError> {
        let (rest, leaf) =
            x509_parser::parse_x509_certificate(certificate.leaf()).map_err(|_| CertificateError::Form)?;
        if !rest.is_empty() {
            return Err(CertificateError::Form);
        }
        match client.authentication {
            Some(AuthenticationMethod::TlsClientAuth) => {
                let registered = client.tls_client_auth.as_ref().ok_or(CertificateError::Method)?;
                // The name before the chain: it costs no signature check.
                if !is_named(&leaf, registered) {
                    return Err(CertificateError::Name);
                }
                self.verify_chain(certificate, now)
            }
            // Section 2.2: who signed it is of no interest. Its dates are: they are the client's own statement.
            Some(AuthenticationMethod::SelfSignedTlsClientAuth) => {
                let mut registered = client.jwks.iter().flat_map(|keys| keys.certificates());
                if !registered.any(|registered| *registered == **certificate.leaf()) {
                    return Err(CertificateError::Unregistered);
                }
                let now = i64::try_from(now.seconds().0).map_err(|_| CertificateError::Expired)?;
                let validity = leaf.validity();
                let valid = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now);
                if valid { Ok(()) } else { Err(CertificateError::Expired) }
            }
            _ => Err(CertificateError::Method),
        }
    }

    fn verify_chain(&self, certificate: &PeerCertificate, now: Now) -> Result<(), CertificateError> {
        let verifier = self.0.as_ref().ok_or(CertificateError::Untrusted)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.seconds().0));
        verifier
            .verify_client_cert(certificate.leaf(), certificate.intermediates(), now)
            .map(|_| ())
            .map_err(|_| CertificateError::Untrusted)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Authorities").field(&self.0.is_some()).finish()
    }
}

fn is_named(certificate: &X509Certificate<'_>, registered: &CertificateName) -> bool {
    if let CertificateName::Subject(name) = registered {
        return name.is(&subject(certificate));
    }
    // A certificate with two such extensions, or one that cannot be read, has no names.
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return false };
    extension.value.general_names.iter().any(|name| match (registered, name) {
        (CertificateName::Dns(registered), GeneralName::DNSName(name)) => registered.eq_ignore_ascii_case(name),
        (CertificateName::Uri(registered), GeneralName::URI(name)) => **registered == **name,
        (CertificateName::Ip(registered), GeneralName::IPAddress(octets)) => is_address(*registered, octets),
        (CertificateName::Email(registered), GeneralName::RFC822Name(name)) => is_mailbox(registered, name),
        _ => false,
    })
}

fn subject<'a>(certificate: &'a X509Certificate<'_>) -> Vec<Vec<Attribute<'a>>> {
    let parts = certificate.subject().iter();
    parts
        .map(|part| {
            part.iter()
                .map(|attribute| Attribute {
                    attribute: attribute.attr_type().to_id_string(),
                    text: attribute.as_str().ok(),
                    der: attribute.attr_value().to_der_vec().unwrap_or_default(),
                })
                .collect()
        })
        .collect()
}

/// RFC 5280 section 4.2.1.6: four octets for IPv4, sixteen for IPv6.
fn is_address(registered: IpAddr, octets: &[u8]) -> bool {
    match registered {
        IpAddr::V4(address) => address.octets() == *octets,
        IpAddr::V6(address) => address.octets() == *octets,
    }
}

/// RFC 5280 section 7.5: the part before the `@` is compared exactly, the domain without regard to case.
fn is_mailbox(registered: &str, name: &str) -> bool {
    match (registered.rsplit_once('@'), name.rsplit_once('@')) {
        (Some((local, domain)), Some((other, other_domain))) => {
            local == other && domain.eq_ignore_ascii_case(other_domain)
        }
        _ => false,
    }
}

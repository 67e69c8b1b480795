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
use crate::client::keys::ClientKeys;
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
                let mut registered = client.jwks.iter().flat_map(ClientKeys::certificates);
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, DnValue,
        ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType, date_time_ymd,
    };
    use serde_json::json;

    use super::*;
    use crate::client::ClientId;
    use crate::client::metadata::blank;
    use crate::token::time::UnixSeconds;

    /// In 2026, when the certificates made here are valid.
    const NOW: u64 = 1_790_000_000;

    fn at(seconds: u64) -> Now {
        Now::from_unix(Duration::from_secs(seconds))
    }

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    fn parameters() -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.not_before = date_time_ymd(2026, 1, 1);
        parameters.not_after = date_time_ymd(2027, 1, 1);
        parameters.distinguished_name.push(DnType::CountryName, DnValue::PrintableString("DE".try_into().unwrap()));
        parameters.distinguished_name.push(DnType::OrganizationName, "Example, Ltd");
        parameters.distinguished_name.push(DnType::CommonName, "app");
        parameters.subject_alt_names = vec![
            SanType::DnsName("app.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/app".try_into().unwrap()),
            SanType::IpAddress("10.0.0.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
            SanType::Rfc822Name("App@example.com".try_into().unwrap()),
        ];
        parameters
    }

    fn issued(by: &CertifiedIssuer<'static, KeyPair>, parameters: &CertificateParams) -> PeerCertificate {
        let certificate = parameters.signed_by(&KeyPair::generate().unwrap(), by).unwrap();
        PeerCertificate::new(certificate.der().clone(), vec![])
    }

    fn trusting(authority: &CertifiedIssuer<'static, KeyPair>) -> Authorities {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        Authorities::read(&file).unwrap()
    }

    fn client(member: &str, value: &str) -> Client {
        let read = CertificateName::MEMBERS.into_iter().find(|(name, _)| *name == member).unwrap().1;
        Client {
            authentication: Some(AuthenticationMethod::TlsClientAuth),
            tls_client_auth: Some(read(value).unwrap()),
            ..blank(ClientId::parse("app").unwrap(), UnixSeconds(0))
        }
    }

    #[test]
    fn rfc8705_2_1_2_the_registered_name_decides() {
        let authority = authority("ca");
        let (authorities, certificate) = (trusting(&authority), issued(&authority, &parameters()));
        let verify = |member: &str, value: &str| authorities.verify(&client(member, value), &certificate, at(NOW));
        for (member, value) in [
            ("tls_client_auth_subject_dn", "CN=app,O=Example\\, Ltd,C=DE"),
            ("tls_client_auth_subject_dn", "2.5.4.3=app, o=Example\\2c Ltd, C=#13024445"),
            ("tls_client_auth_san_dns", "APP.example.com"),
            ("tls_client_auth_san_uri", "spiffe://example.com/app"),
            ("tls_client_auth_san_ip", "10.0.0.7"),
            ("tls_client_auth_san_ip", "2001:DB8:0::7"),
            ("tls_client_auth_san_email", "App@EXAMPLE.com"),
        ] {
            assert_eq!(verify(member, value), Ok(()), "{member} {value}");
        }
        for (member, value) in [
            ("tls_client_auth_subject_dn", "CN=app"),
            ("tls_client_auth_subject_dn", "C=DE,O=Example\\, Ltd,CN=app"),
            ("tls_client_auth_san_dns", "example.com"),
            ("tls_client_auth_san_dns", "app.example.com.evil.example"),
            ("tls_client_auth_san_uri", "spiffe://example.com/APP"),
            ("tls_client_auth_san_ip", "10.0.0.8"),
            ("tls_client_auth_san_ip", "::ffff:10.0.0.7"),
            ("tls_client_auth_san_email", "app@example.com"),
        ] {
            assert_eq!(verify(member, value), Err(CertificateError::Name), "{member} {value}");
        }
        let mut other = client("tls_client_auth_san_dns", "app.example.com");
        other.authentication = Some(AuthenticationMethod::ClientSecretBasic);
        assert_eq!(authorities.verify(&other, &certificate, at(NOW)), Err(CertificateError::Method));
    }

    #[test]
    fn rfc8705_2_1_the_chain_must_lead_to_a_trusted_authority() {
        let (authority, stranger) = (authority("ca"), authority("ca"));
        let authorities = trusting(&authority);
        let app = client("tls_client_auth_san_dns", "app.example.com");
        let verify = |certificate: &PeerCertificate, now: u64| authorities.verify(&app, certificate, at(now));
        let good = issued(&authority, &parameters());
        assert_eq!(verify(&good, NOW), Ok(()));
        assert_eq!(verify(&issued(&stranger, &parameters()), NOW), Err(CertificateError::Untrusted));
        assert_eq!(Authorities::default().verify(&app, &good, at(NOW)), Err(CertificateError::Untrusted));
        for outside in [1_700_000_000, 1_800_000_000] {
            assert_eq!(verify(&good, outside), Err(CertificateError::Untrusted), "{outside}");
        }
        let mut for_servers = parameters();
        for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        assert_eq!(verify(&issued(&authority, &for_servers), NOW), Err(CertificateError::Untrusted));
        let own = parameters().self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(verify(&PeerCertificate::new(own.der().clone(), vec![]), NOW), Err(CertificateError::Untrusted));
        let garbage = PeerCertificate::new(vec![1, 2, 3].into(), vec![]);
        assert_eq!(verify(&garbage, NOW), Err(CertificateError::Form));
    }

    #[test]
    fn rfc8705_2_1_certificates_in_between_may_be_sent_along() {
        let root = authority("root");
        let mut between = CertificateParams::default();
        between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        between.distinguished_name.push(DnType::CommonName, "between");
        let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &root).unwrap();
        let leaf = parameters().signed_by(&KeyPair::generate().unwrap(), &between).unwrap();
        let app = client("tls_client_auth_san_dns", "app.example.com");
        let verify = |chain: Vec<CertificateDer<'static>>| {
            trusting(&root).verify(&app, &PeerCertificate::new(leaf.der().clone(), chain), at(NOW))
        };
        assert_eq!(verify(vec![between.der().clone()]), Ok(()));
        assert_eq!(verify(vec![]), Err(CertificateError::Untrusted));
    }

    #[test]
    fn rfc8705_2_2_a_registered_certificate_needs_no_authority() {
        let certificate = parameters().self_signed(&KeyPair::generate().unwrap()).unwrap();
        let key = json!({"kty": "EC", "crv": "P-256", "use": "enc", "x5c": [STANDARD.encode(certificate.der())]});
        let jwks = json!({"keys": [key]});
        let app = Client {
            authentication: Some(AuthenticationMethod::SelfSignedTlsClientAuth),
            jwks: Some(ClientKeys::parse(jwks.as_object().unwrap().clone()).unwrap()),
            ..blank(ClientId::parse("app").unwrap(), UnixSeconds(0))
        };
        let presented = PeerCertificate::new(certificate.der().clone(), vec![]);
        let nobody = Authorities::default();
        assert_eq!(nobody.verify(&app, &presented, at(NOW)), Ok(()));
        assert_eq!(nobody.verify(&app, &presented, at(1_800_000_000)), Err(CertificateError::Expired));
        assert_eq!(nobody.verify(&app, &presented, at(1_700_000_000)), Err(CertificateError::Expired));
        let other = parameters().self_signed(&KeyPair::generate().unwrap()).unwrap();
        let other = PeerCertificate::new(other.der().clone(), vec![]);
        assert_eq!(nobody.verify(&app, &other, at(NOW)), Err(CertificateError::Unregistered));
    }

    #[test]
    fn a_file_that_holds_no_authority_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(Authorities::read(&file).unwrap_err().to_string().contains("ca.pem"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(Authorities::read(&file).unwrap_err().to_string().contains("holds no certificate"));
    }
}

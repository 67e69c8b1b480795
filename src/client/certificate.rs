//! What a client's certificate must say of it (RFC 8705 section 2.1.2).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::distinguished_name::DistinguishedName;
use super::is_vschar;

/// The one name by which a certificate of a trusted authority is known as the client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateName {
    /// The whole subject.
    #[serde(rename = "tls_client_auth_subject_dn")]
    Subject(DistinguishedName),
    /// A `dNSName` among the subject's alternative names; compared without regard to case, and never a wildcard.
    #[serde(rename = "tls_client_auth_san_dns")]
    Dns(Box<str>),
    /// A `uniformResourceIdentifier`; compared character by character.
    #[serde(rename = "tls_client_auth_san_uri")]
    Uri(Box<str>),
    /// An `iPAddress`; compared in binary.
    #[serde(rename = "tls_client_auth_san_ip")]
    Ip(IpAddr),
    /// An `rfc822Name`; its domain is compared without regard to case.
    #[serde(rename = "tls_client_auth_san_email")]
    Email(Box<str>),
}

/// Reads a value into a name; `None` when it cannot be one.
pub type ReadName = fn(&str) -> Option<CertificateName>;

impl CertificateName {
    /// The longest name taken, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// The member names of RFC 8705, each with how its value is read.
    pub const MEMBERS: [(&'static str, ReadName); 5] = [
        ("tls_client_auth_subject_dn", |text| DistinguishedName::parse(text).map(Self::Subject)),
        ("tls_client_auth_san_dns", |text| usable(text).filter(|name| !name.contains('*')).map(Self::Dns)),
        ("tls_client_auth_san_uri", |text| usable(text).filter(|name| name.contains(':')).map(Self::Uri)),
        ("tls_client_auth_san_ip", |text| text.parse().ok().map(Self::Ip)),
        ("tls_client_auth_san_email", |text| usable(text).filter(|name| name.contains('@')).map(Self::Email)),
    ];

    /// Its member name, and its value as text.
    pub fn member(&self) -> (&'static str, String) {
        match self {
            Self::Subject(name) => (Self::MEMBERS[0].0, name.as_str().to_owned()),
            Self::Dns(name) => (Self::MEMBERS[1].0, name.clone().into()),
            Self::Uri(name) => (Self::MEMBERS[2].0, name.clone().into()),
            Self::Ip(address) => (Self::MEMBERS[3].0, address.to_string()),
            Self::Email(name) => (Self::MEMBERS[4].0, name.clone().into()),
        }
    }
}

/// Alternative names are IA5 strings: what is not printable ASCII could never match.
fn usable(text: &str) -> Option<Box<str>> {
    let usable = (1..=CertificateName::MAX_BYTES).contains(&text.len()) && is_vschar(text) && !text.contains(' ');
    usable.then(|| text.into())
}

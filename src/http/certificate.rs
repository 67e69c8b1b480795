//! The certificate that a request comes with: of its connection, or in the header of a trusted proxy (RFC 9440).

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use rustls_pki_types::CertificateDer;

use super::error::ApiError;
use crate::config::Network;
use crate::server::{Peer, PeerCertificate};

const CLIENT_CERT: &str = "client-cert";
const CLIENT_CERT_CHAIN: &str = "client-cert-chain";

/// A byte sequence of RFC 9651 section 3.3.5; section 4.2.7 asks readers not to insist on padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The certificate of whoever sent the request, if there is one.
///
/// The headers of RFC 9440 are believed from the `trusted` proxies alone; from anybody else they are as good as absent.
/// Of a proxy, the header alone counts: a certificate of its own connection to us is the proxy's, and says nothing of
/// the client.
///
/// # Errors
/// 400 when a trusted proxy sends a header that cannot be read.
pub fn presented(
    headers: &HeaderMap,
    peer: &Peer,
    trusted: &[Network],
) -> Result<Option<Arc<PeerCertificate>>, ApiError> {
    let is_proxy = peer.address.is_some_and(|address| trusted.iter().any(|network| network.contains(address.ip())));
    if !is_proxy {
        return Ok(peer.certificate.clone());
    }
    let mut lines = headers.get_all(CLIENT_CERT).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let malformed = || ApiError::invalid_request("The Client-Cert or Client-Cert-Chain header is malformed");
    if lines.next().is_some() {
        return Err(malformed());
    }
    let leaf = line.to_str().ok().and_then(byte_sequence).ok_or_else(malformed)?;
    let mut intermediates = Vec::new();
    for line in headers.get_all(CLIENT_CERT_CHAIN) {
        for member in line.to_str().map_err(|_| malformed())?.split(',') {
            if intermediates.len() == PeerCertificate::MAX_INTERMEDIATES {
                return Err(malformed());
            }
            intermediates.push(byte_sequence(member).ok_or_else(malformed)?);
        }
    }
    Ok(Some(Arc::new(PeerCertificate::new(leaf, intermediates))))
}

fn byte_sequence(text: &str) -> Option<CertificateDer<'static>> {
    let encoded = text.trim_matches([' ', '\t']).strip_prefix(':')?.strip_suffix(':')?;
    BASE64.decode(encoded).ok().filter(|bytes| !bytes.is_empty()).map(Into::into)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::server::ConnectionMemory;

    const PROXY: &str = "10.0.0.1:1";

    fn own() -> Arc<PeerCertificate> {
        Arc::new(PeerCertificate::new(vec![9].into(), vec![]))
    }

    fn seen(address: Option<&str>, lines: &[(&'static str, &str)]) -> Result<Option<Arc<PeerCertificate>>, ApiError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let peer = Peer {
            address: address.map(|address| address.parse().unwrap()),
            encrypted: true,
            listener: "public",
            certificate: Some(own()),
            memory: ConnectionMemory::default(),
        };
        presented(&headers, &peer, &[Network { address: "10.0.0.0".parse().unwrap(), prefix_length: 8 }])
    }

    #[test]
    fn rfc9440_2_headers_of_a_trusted_proxy_are_read() {
        let certificate = |leaf: &[u8], others: &[&[u8]]| {
            let others = others.iter().map(|other| other.to_vec().into()).collect();
            Some(Arc::new(PeerCertificate::new(leaf.to_vec().into(), others)))
        };
        assert_eq!(seen(Some(PROXY), &[("client-cert", ":AQI=:")]).unwrap(), certificate(&[1, 2], &[]));
        let chain =
            [("client-cert", " :AQI: "), ("client-cert-chain", ":Aw==:, :BA==:"), ("client-cert-chain", ":BQ==:")];
        assert_eq!(seen(Some(PROXY), &chain).unwrap(), certificate(&[1, 2], &[&[3], &[4], &[5]]));
        assert_eq!(seen(Some(PROXY), &[]).unwrap(), None, "the proxy's own certificate is not the client's");
        assert_eq!(seen(Some(PROXY), &[("client-cert-chain", ":Aw==:")]).unwrap(), None);
    }

    /// RFC 9700 section 4.13.
    #[test]
    fn rfc9440_3_from_anybody_else_the_headers_are_as_good_as_absent() {
        for address in [Some("192.0.2.1:1"), None] {
            assert_eq!(seen(address, &[("client-cert", ":AQI=:")]).unwrap(), Some(own()));
            assert_eq!(seen(address, &[("client-cert", "nonsense")]).unwrap(), Some(own()));
        }
    }

    #[test]
    fn rfc9440_2_1_what_cannot_be_read_is_refused() {
        let many = [":Aw==:"; PeerCertificate::MAX_INTERMEDIATES + 1].join(",");
        for lines in [
            &[("client-cert", "AQI=")][..],
            &[("client-cert", ":AQI=")],
            &[("client-cert", "::")],
            &[("client-cert", ":A_I=:")],
            &[("client-cert", ":AQI=:, :AQI=:")],
            &[("client-cert", ":AQI=:"), ("client-cert", ":AQI=:")],
            &[("client-cert", "\u{e9}")],
            &[("client-cert", ":AQI=:"), ("client-cert-chain", "AQI=")],
            &[("client-cert", ":AQI=:"), ("client-cert-chain", ":AQI=:,")],
            &[("client-cert", ":AQI=:"), ("client-cert-chain", &many)],
        ] {
            assert!(seen(Some(PROXY), lines).is_err(), "{lines:?}");
        }
    }
}

//! `issuer`, `[public]` and `[admin]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use url::{Host, Url};

use crate::config::kind::{Description, Kind};
use crate::config::reader::Reader;
use crate::config::tree::Value;
use crate::config::{ClientCertificates, ListenerConfig, TlsFiles};

/// Loopback, so that trying the service out opens nothing to the network; 8080 is where people look for HTTP.
const PUBLIC_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Beside the public one, and loopback for good reason: whoever reaches it can try operators' secrets.
const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// A URL that can be the issuer of tokens.
struct Issuer(String);

impl Kind for Issuer {
    fn describe() -> Description {
        Description {
            name: "URL".into(),
            noun: "an https URL without query and fragment (http is taken for loopback hosts only)".into(),
            schema: json!({"type": "string", "format": "uri"}),
        }
    }

    /// RFC 8414 section 2: "a URL that uses the "https" scheme and has no query or fragment components". Kept as
    /// written, because issuers are compared character by character (section 3.3).
    fn parse(value: &Value) -> Option<Self> {
        let (Value::Text(text) | Value::Plain(text)) = value else { return None };
        let url = Url::parse(text).ok()?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => is_loopback(&url.host()?),
            _ => false,
        };
        let bare = url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        let clean = text.chars().all(|character| character.is_ascii_graphic());
        (secure && bare && anonymous && clean).then(|| Self(text.clone()))
    }

    fn write(&self) -> Json {
        json!(self.0)
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
    }
}

pub(super) fn issuer(reader: &mut Reader<'_>) -> Option<String> {
    let issuer: Option<Issuer> = reader.optional(
        "issuer",
        "The `iss` of tokens and the base of published URLs; without it, the public listener's own address, which is \
         right on one machine only.",
    );
    issuer.map(|issuer| issuer.0)
}

pub(super) fn both(reader: &mut Reader<'_>) -> (ListenerConfig, ListenerConfig) {
    let public = reader.section("public", "The listener for clients and resource servers.", |section| {
        listener(section, PUBLIC_ADDRESS)
    });
    let admin = reader.section("admin", "The listener for operators.", |section| {
        let mut admin = listener(section, ADMIN_ADDRESS);
        admin.insecure = section.value(
            "insecure",
            false,
            "Whether an address that other machines reach is accepted without TLS, although secrets then cross the \
             network in the clear.",
        );
        let reachable = !admin.address.ip().to_canonical().is_loopback();
        let has_tls = admin.tls.is_some() || section.is_set("tls_certificate_file") || section.is_set("tls_key_file");
        if reachable && !has_tls && !admin.insecure {
            section.reject(
                "address",
                format!(
                    "other machines can reach {}, and operators' secrets would cross the network in the clear; set \
                     admin.tls_certificate_file and admin.tls_key_file, or a loopback address, or admin.insecure = true",
                    admin.address
                ),
            );
        }
        if public.address == admin.address && admin.address.port() != 0 {
            section.reject("address", format!("{} is the address of the public listener too", admin.address));
        }
        if public.unix.is_some() && public.unix == admin.unix {
            section.reject("unix", "is the socket of the public listener too");
        }
        admin
    });
    (public, admin)
}

fn listener(section: &mut Reader<'_>, address: SocketAddr) -> ListenerConfig {
    let address = section.value("address", address, "Where it listens; port 0 takes a free one.");
    let unix = section.optional("unix", "A socket file for callers on the same machine, beside the address.");
    let certificate: Option<PathBuf> = section.optional(
        "tls_certificate_file",
        "PEM file of the certificate chain, leaf first; with it, the address speaks TLS.",
    );
    let key: Option<PathBuf> = section.optional("tls_key_file", "PEM file of the certificate's private key.");
    for (one, other) in [("tls_certificate_file", "tls_key_file"), ("tls_key_file", "tls_certificate_file")] {
        if section.is_set(one) && !section.is_set(other) {
            let missing = section.at(other);
            section.reject(one, format!("needs {missing} too"));
        }
    }
    let client_certificates = section.value(
        "tls_client_certificates",
        ClientCertificates::None,
        "Whether callers are asked for a certificate of theirs (RFC 8705); one that has none is served all the same.",
    );
    if client_certificates != ClientCertificates::None && !section.is_set("tls_certificate_file") {
        let missing = section.at("tls_certificate_file");
        section.reject("tls_client_certificates", format!("needs {missing} too: only TLS knows certificates"));
    }
    let tls = certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key, client_certificates });
    ListenerConfig { address, unix, tls, insecure: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8414_2_the_issuer_is_an_https_url_without_query_and_fragment() {
        let issuer = |text: &str| Issuer::parse(&Value::Text(text.into())).map(|issuer| issuer.0);
        for good in [
            "https://id.example.com",
            "https://id.example.com/tenant/1",
            "https://id.example.com:8443/",
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:8080",
            "http://id.localhost",
        ] {
            assert_eq!(issuer(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "id.example.com",
            "http://id.example.com",
            "http://localhost.example.com",
            "ftp://localhost",
            "https://id.example.com?x=1",
            "https://id.example.com/#top",
            "https://user@id.example.com",
            "https://user:password@id.example.com",
            " https://id.example.com",
            "https://id.example.com/a b",
            "data:text/plain,x",
            "https://",
        ] {
            assert_eq!(issuer(bad), None, "{bad}");
        }
    }
}

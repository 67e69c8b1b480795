//! Reading what a peer sent: limits before work, and each refusal in the order that the RFCs give.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http::{Method, Request};
use hyper::body::Body as _;

use super::error::ApiError;
use super::{Context, certificate};
use crate::auth::credentials::{BodyCredentials, Credentials};
use crate::auth::throttle::Source;
use crate::auth::{self, Caller};
use crate::client::Client;
use crate::config::Network;
use crate::form::{Form, Parameter};
use crate::server::{Peer, RequestBody};
use crate::telemetry::metrics::ClientAuthMethod;
use crate::telemetry::traces::{self, Step};
use crate::token::time::Now;

/// A body that an endpoint understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

impl MediaType {
    fn name(self) -> &'static str {
        match self {
            Self::Form => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
        }
    }
}

/// Refuses a method that the endpoint does not have.
///
/// # Errors
/// 405 with `Allow`, or 501 for a method that HTTP does not know.
pub fn expect_method(method: &Method, allowed: &[Method], allow: &'static str) -> Result<(), ApiError> {
    if allowed.contains(method) {
        return Ok(());
    }
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
        Method::QUERY,
    ];
    Err(ApiError::method_not_allowed(known.contains(method), allow))
}

/// Reads the whole body, bounded in size and time, once its type has been found to be the expected one.
///
/// # Errors
/// 400, 408, 413 or 415.
pub async fn read(
    context: &Context,
    request: &mut Request<RequestBody>,
    expected: MediaType,
) -> Result<Bytes, ApiError> {
    expect_media_type(request, expected)?;
    Ok(request.body_mut().read(context.limits.max_body_bytes).await?)
}

/// Refuses a body that is of another type.
///
/// # Errors
/// 400 or 415.
pub fn expect_media_type(request: &Request<RequestBody>, expected: MediaType) -> Result<(), ApiError> {
    check_media_type(request.headers(), expected, request.body().is_end_stream())
}

fn check_media_type(headers: &HeaderMap, expected: MediaType, empty: bool) -> Result<(), ApiError> {
    let mut found = None;
    // One pass: looking both up costs more than a usual request's few lines.
    for (name, value) in headers {
        if name == CONTENT_TYPE {
            if found.replace(value).is_some() {
                return Err(ApiError::invalid_request("More than one Content-Type header"));
            }
        } else if name == CONTENT_ENCODING && !value.as_bytes().eq_ignore_ascii_case(b"identity") {
            return Err(ApiError::unsupported_media_type(true));
        }
    }
    let Some(line) = found else {
        return if empty { Ok(()) } else { Err(ApiError::unsupported_media_type(false)) };
    };
    // As nearly everybody writes it.
    if line.as_bytes() == expected.name().as_bytes() {
        return Ok(());
    }
    let acceptable = line.to_str().is_ok_and(|line| {
        let mut parts = line.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(expected.name())) && parts.all(is_utf8_charset)
    });
    if acceptable { Ok(()) } else { Err(ApiError::unsupported_media_type(false)) }
}

/// Any parameter is fine but a character set that is not UTF-8 or a part of it.
fn is_utf8_charset(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return true };
    let value = value.trim_matches('"');
    !name.eq_ignore_ascii_case("charset")
        || value.eq_ignore_ascii_case("utf-8")
        || value.eq_ignore_ascii_case("us-ascii")
}

impl Context {
    /// Decides who is calling.
    ///
    /// # Errors
    /// 400, 401, 429 or 503.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &Form<'_>,
        peer: &Peer,
        now: Now,
    ) -> Result<Caller, ApiError> {
        let step = traces::step("authenticate client");
        let outcome = self.identify(headers, form, peer, now).await;
        if let Some(step) = step {
            end(step, &outcome);
        }
        outcome
    }

    async fn identify(&self, headers: &HeaderMap, form: &Form<'_>, peer: &Peer, now: Now) -> Result<Caller, ApiError> {
        let source = source(headers, peer, &self.authentication.trusted_proxies);
        let mut body = BodyCredentials {
            client_id: form.get(Parameter::ClientId),
            client_secret: form.get(Parameter::ClientSecret),
            assertion: form.get(Parameter::ClientAssertion),
            assertion_type: form.get(Parameter::ClientAssertionType),
            certificate: None,
        };
        if body.is_silent()
            && let Some(caller) = self.authenticator.again(headers, source, &peer.memory, now)
        {
            self.observer.authenticated_again();
            return Ok(caller);
        }
        let mut presented = None;
        // Only a client that proves nothing else is asked for its certificate, so only then is one decoded.
        if body.is_name_alone() && !headers.contains_key(AUTHORIZATION) {
            presented = certificate::presented(headers, peer, &self.authentication.certificate_proxies)?;
        }
        body.certificate = presented.as_deref();
        let credentials = Credentials::find(headers, body)?;
        let memory = &peer.memory;
        let outcome = self.authenticator.authenticate_on(&credentials, headers, source, memory, now).await;
        self.observer.authentication(&credentials, &outcome);
        Ok(outcome?)
    }
}

/// Says in the trace who was calling, or why that is not known.
fn end(step: Step, outcome: &Result<Caller, ApiError>) {
    match outcome {
        Ok(caller) => {
            let method = match caller.method() {
                auth::Method::SecretBasic => ClientAuthMethod::Basic,
                auth::Method::SecretPost => ClientAuthMethod::Post,
                auth::Method::Assertion => ClientAuthMethod::Assertion,
                auth::Method::Certificate => ClientAuthMethod::Certificate,
                auth::Method::Public => ClientAuthMethod::None,
                auth::Method::Bearer(_) => ClientAuthMethod::Bearer,
            };
            let id = caller.client().client_id.as_str().to_owned();
            let about = vec![("introspectd.client.id", id.into()), ("introspectd.auth.method", method.as_str().into())];
            step.end(about, false);
        }
        Err(error) => step.end(vec![("error.type", error.code().into())], error.status().is_server_error()),
    }
}

impl Context {
    /// Takes one from the budget of tokens that are not active, which a caller may ask about.
    ///
    /// # Errors
    /// 429 when it is spent.
    pub fn spend_on_guess(&self, caller: &Client, now: Now) -> Result<(), ApiError> {
        self.scanning.spend(&caller.client_id, now).map_err(|seconds| {
            self.observer.scanning();
            ApiError::too_many_requests(seconds)
        })
    }
}

/// Where the request comes from: the peer, or what a trusted proxy says of it.
///
/// Each proxy appends the address it saw, so the last entry that no trusted proxy wrote of another is the caller;
/// everything before it may have been made up.
pub fn source(headers: &HeaderMap, peer: &Peer, trusted: &[Network]) -> Source {
    Source::of(address(headers, peer, trusted))
}

/// The same as an address, whole.
pub fn address(headers: &HeaderMap, peer: &Peer, trusted: &[Network]) -> Option<IpAddr> {
    let mut address = peer.address.map(|address| address.ip());
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    // A unix socket's peer is a program on this machine, not a proxy that was declared.
    if address.is_some_and(is_trusted) {
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        // A line that cannot be read may hide what a proxy wrote, and anything before it may have been made up.
        for entry in lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')) {
            let Some(entry) = address_of(entry.trim()) else { break };
            address = Some(entry);
            if !is_trusted(entry) {
                break;
            }
        }
    }
    address
}

/// An address, which some proxies write with the port behind it.
fn address_of(entry: &str) -> Option<IpAddr> {
    entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::server::ConnectionMemory;

    fn media_type(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        check_media_type(&headers, MediaType::Form, false).is_ok()
    }

    #[test]
    fn rfc6749_3_2_the_media_type_is_compared_without_case_and_parameters() {
        for good in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-URLEncoded",
            "application/x-www-form-urlencoded;charset=UTF-8",
            "application/x-www-form-urlencoded ; Charset=\"utf-8\"",
        ] {
            assert!(media_type(good), "{good}");
        }
        for bad in [
            "application/json",
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded; charset=utf-16",
            "",
        ] {
            assert!(!media_type(bad), "{bad}");
        }
    }

    #[test]
    fn forwarded_addresses_count_from_trusted_proxies_only() {
        let trusted = [Network { address: "10.0.0.0".parse().unwrap(), prefix_length: 8 }];
        let seen = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            let peer = Peer {
                address: Some(format!("{peer}:1").parse().unwrap()),
                encrypted: false,
                listener: "public",
                certificate: None,
                memory: ConnectionMemory::default(),
            };
            source(&headers, &peer, &trusted)
        };
        let of = |address: &str| Source::of(Some(address.parse().unwrap()));
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"]), of("192.0.2.1"), "an untrusted peer is not believed");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7"]), of("198.51.100.7"));
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), of("198.51.100.7"), "the first entry is made up");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7, 10.0.0.2"]), of("198.51.100.7"));
        assert_eq!(seen("10.0.0.1", &["203.0.113.9", "198.51.100.7"]), of("198.51.100.7"));
        assert_eq!(seen("10.0.0.1", &["nonsense"]), of("10.0.0.1"));
        assert_eq!(seen("10.0.0.1", &[]), of("10.0.0.1"));
        assert_eq!(seen("10.0.0.1", &["198.51.100.7:4711"]), of("198.51.100.7"));
        assert_eq!(seen("10.0.0.1", &["[2001:db8::7]:4711"]), of("2001:db8::7"));
        let unreadable = "203.0.113.9, \u{e9}";
        assert_eq!(seen("10.0.0.1", &["203.0.113.9", unreadable]), of("10.0.0.1"), "what is before it is made up");
    }
}

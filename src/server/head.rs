//! What the server itself demands of a request's head, because hyper does not.
//!
//! The rules are those of RFC 9112 section 3.2 and 6.1, RFC 9113 section 8.3.1 and RFC 9110 section 10.1.1. Everything
//! that needs to know what a resource accepts is the handler's.

use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Uri, Version};

use super::refusal::Refusal;

/// The longest request target that is served. RFC 9112 section 3 asks for at least 8000 octets.
pub const MAX_TARGET_BYTES: usize = 8192;

/// Checks the head of `request`, which may have at most `max_headers` header lines.
pub(super) fn check<B>(request: &Request<B>, max_headers: usize) -> Result<(), Refusal> {
    let headers = request.headers();
    if headers.len() > max_headers {
        return Err(Refusal::TooManyHeaders);
    }
    check_target(request.method(), request.uri())?;
    // One pass: looking each of them up costs several times as much as a usual request's few lines.
    let (mut host, mut chunked) = (None, false);
    for (name, value) in headers {
        if name == HOST {
            if host.replace(value).is_some() {
                return Err(Refusal::HostRepeated);
            }
        } else if name == TRANSFER_ENCODING {
            // HTTP/2 has none, and hyper refuses it there.
            check_transfer_encoding(value, &mut chunked)?;
        } else if name == EXPECT && !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::ExpectationUnknown);
        }
    }
    let host = host.map(HeaderValue::as_bytes);
    if host.is_some_and(|host| !is_host_and_port(host)) {
        return Err(Refusal::HostInvalid);
    }
    match request.version() {
        Version::HTTP_2 => check_authority(request.uri(), host),
        // "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host
        // header field and to any request message that contains more than one Host header field line or a Host header
        // field with an invalid field value" (RFC 9112 section 3.2). This holds for a target in absolute-form too, which
        // then decides.
        Version::HTTP_11 if host.is_none() => Err(Refusal::HostMissing),
        _ => Ok(()),
    }
}

fn check_target(method: &Method, target: &Uri) -> Result<(), Refusal> {
    let authority_bytes = target.authority().map_or(0, |authority| authority.as_str().len());
    let path_bytes = target.path_and_query().map_or(0, |path| path.as_str().len());
    if authority_bytes + path_bytes > MAX_TARGET_BYTES {
        return Err(Refusal::TargetTooLong);
    }
    if let Some(authority) = target.authority()
        && !is_host_and_port(authority.as_str().as_bytes())
    {
        return Err(Refusal::HostInvalid);
    }
    let fits = if *method == Method::CONNECT {
        // authority-form
        target.scheme().is_none() && target.authority().is_some()
    } else if target.path() == "*" {
        // asterisk-form
        *method == Method::OPTIONS
    } else if let Some(scheme) = target.scheme_str() {
        // absolute-form, and every request of HTTP/2
        (scheme == "http" || scheme == "https") && target.authority().is_some()
    } else {
        // origin-form
        target.authority().is_none() && target.path().starts_with('/')
    };
    if fits { Ok(()) } else { Err(Refusal::TargetInvalid) }
}

/// A request of HTTP/2 names its host by `:authority`, by `host`, or by both if they are the same.
fn check_authority(target: &Uri, host: Option<&[u8]>) -> Result<(), Refusal> {
    let authority = target.authority().map(|authority| authority.as_str().as_bytes());
    match (authority, host) {
        (None, None) => Err(Refusal::HostMissing),
        (Some(authority), Some(host)) => {
            let scheme = target.scheme_str();
            let same = without_default_port(authority, scheme).eq_ignore_ascii_case(without_default_port(host, scheme));
            if same { Ok(()) } else { Err(Refusal::HostMismatch) }
        }
        _ => Ok(()),
    }
}

/// `uri-host [ ":" port ]`, without an empty host: such an `http` URI is invalid (RFC 9110 section 4.2.1).
///
/// Narrower than the grammar in one point: the sub-delimiters of a registered name, a comma among them, occur in no
/// name of the DNS and may be read differently by whoever stands before us.
fn is_host_and_port(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let literal = &rest[..end];
            let inside = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            if literal.is_empty() || !literal.iter().all(inside) {
                return false;
            }
            match &rest[end + 1..] {
                [] => return true,
                [b':', port @ ..] => (literal, port),
                _ => return false,
            }
        }
        _ => match value.iter().position(|byte| *byte == b':') {
            Some(colon) => (&value[..colon], &value[colon + 1..]),
            None => (value, &[][..]),
        },
    };
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%');
    let host_fits = value.starts_with(b"[") || (!host.is_empty() && host.iter().all(in_name));
    host_fits && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

fn without_default_port<'a>(authority: &'a [u8], scheme: Option<&str>) -> &'a [u8] {
    let default: &[u8] = if scheme == Some("https") { b":443" } else { b":80" };
    authority.strip_suffix(default).unwrap_or(authority)
}

/// hyper takes every list that ends in `chunked`, also one with codings that it does not undo, or `chunked` twice.
fn check_transfer_encoding(line: &HeaderValue, chunked: &mut bool) -> Result<(), Refusal> {
    for coding in line.as_bytes().split(|byte| *byte == b',') {
        if !coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::TransferEncodingUnknown);
        }
        if std::mem::replace(chunked, true) {
            return Err(Refusal::TransferEncodingInvalid);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(request: http::request::Builder) -> Result<(), Refusal> {
        check(&request.body(()).unwrap(), 100)
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for good in
            ["localhost", "a.example", "a.example:8080", "127.0.0.1:1", "[::1]", "[2001:db8::1]:443", "a_b", "a:"]
        {
            assert!(is_host_and_port(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a,b", "a/b", "u@a", "a:b", "a:123456", "[", "[]", "[::1", "[::1]x", "[g]", "a?", "a#",
            "ä",
        ] {
            assert!(!is_host_and_port(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn http2_may_name_its_host_twice_if_it_is_the_same() {
        let http2 = || Request::builder().version(Version::HTTP_2);
        assert_eq!(verdict(http2().uri("https://a.example/")), Ok(()));
        assert_eq!(verdict(http2().uri("https://a.example/").header(HOST, "A.example:443")), Ok(()));
        assert_eq!(verdict(http2().uri("https://a.example/").header(HOST, "a.example:80")), Err(Refusal::HostMismatch));
        assert_eq!(verdict(http2().uri("/")), Err(Refusal::HostMissing));
        assert_eq!(verdict(http2().uri("/").header(HOST, "a.example")), Ok(()));
    }

    #[test]
    fn targets_fit_their_methods() {
        let http1 = |method: &str, target: &str| {
            verdict(Request::builder().method(method).uri(target).header(HOST, "a.example"))
        };
        assert_eq!(http1("GET", "/a?b"), Ok(()));
        assert_eq!(http1("GET", "http://other.example/a"), Ok(()));
        assert_eq!(http1("OPTIONS", "*"), Ok(()));
        assert_eq!(http1("CONNECT", "a.example:443"), Ok(()));
        assert_eq!(http1("GET", "*"), Err(Refusal::TargetInvalid));
        assert_eq!(http1("GET", "a.example:443"), Err(Refusal::TargetInvalid));
        assert_eq!(http1("GET", "ftp://a.example/"), Err(Refusal::TargetInvalid));
        assert_eq!(http1("CONNECT", "/"), Err(Refusal::TargetInvalid));
        assert_eq!(http1("GET", "http://user@a.example/"), Err(Refusal::HostInvalid));
    }

    #[test]
    fn one_chunked_is_the_only_transfer_coding() {
        let with = |lines: &[&str]| {
            let request = Request::builder().uri("/").header(HOST, "a.example");
            verdict(lines.iter().fold(request, |request, line| request.header(TRANSFER_ENCODING, *line)))
        };
        assert_eq!(with(&["chunked"]), Ok(()));
        assert_eq!(with(&["Chunked"]), Ok(()));
        assert_eq!(with(&["chunked, chunked"]), Err(Refusal::TransferEncodingInvalid));
        assert_eq!(with(&["chunked", "chunked"]), Err(Refusal::TransferEncodingInvalid));
        assert_eq!(with(&["gzip, chunked"]), Err(Refusal::TransferEncodingUnknown));
        assert_eq!(with(&["identity", "chunked"]), Err(Refusal::TransferEncodingUnknown));
        assert_eq!(with(&["xchunked"]), Err(Refusal::TransferEncodingUnknown));
    }
}

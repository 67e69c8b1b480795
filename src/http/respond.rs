//! What answers look like: the same headers everywhere, and nothing that helps anybody but the caller.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, PRAGMA, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use super::Answer;

/// Answers that carry tokens, secrets or what is known of them must not be kept by anybody (RFC 6749 section 5.1), and
/// a browser that meets one must not try to show it.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (PRAGMA, HeaderValue::from_static("no-cache")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// The headers of a JSON answer. A copy is cheaper than putting them together.
static TEMPLATE: LazyLock<HeaderMap> = LazyLock::new(|| HEADERS.into_iter().collect());

/// A JSON body.
pub fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().clone_from(&TEMPLATE);
    answer
}

/// No body: `Content-Length: 0`.
pub fn empty(status: StatusCode) -> Answer {
    bare(status, Bytes::new())
}

/// Another kind of body.
pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = bare(StatusCode::OK, body.into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The answer to `OPTIONS`. No `Access-Control-Allow-*`: these endpoints are not for browsers.
pub fn options(allow: &'static str) -> Answer {
    let mut answer = empty(StatusCode::NO_CONTENT);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn bare(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = json(status, body);
    answer.headers_mut().remove(CONTENT_TYPE);
    answer
}

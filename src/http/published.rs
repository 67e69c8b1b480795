//! Documents for everybody: kept by whoever asked, for a while, and not sent twice (RFC 9110 section 13.1.2, RFC 9111).

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, PRAGMA};

use super::{Answer, respond};

/// A document that anybody may read, from any origin.
#[derive(Clone, Debug)]
pub struct Published {
    body: Bytes,
    tag: HeaderValue,
}

impl Published {
    /// The document of this JSON text.
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..16]);
        Self { body, tag: HeaderValue::try_from(tag).expect("hexadecimal digits in quotes make a header value") }
    }

    /// The answer to a request for it, to be kept for so long.
    pub fn answer(&self, headers: &HeaderMap, keep: Duration) -> Answer {
        let known = headers.get_all(IF_NONE_MATCH).iter().any(|line| self.is_tagged(line));
        let mut answer = if known {
            respond::empty(StatusCode::NOT_MODIFIED)
        } else {
            respond::json(StatusCode::OK, self.body.clone())
        };
        let keep = format!("public, max-age={}", keep.as_secs());
        let headers = answer.headers_mut();
        headers.remove(PRAGMA);
        headers.insert(CACHE_CONTROL, HeaderValue::try_from(keep).expect("digits make a header value"));
        headers.insert(ETAG, self.tag.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        answer
    }

    /// Whether a line of `If-None-Match` holds our tag: `*`, or a list that is compared weakly, because a proxy that
    /// compresses makes tags weak (RFC 9110 section 13.1.2).
    fn is_tagged(&self, line: &HeaderValue) -> bool {
        let ours = |tag: &[u8]| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.tag.as_bytes();
        line.as_bytes().split(|&byte| byte == b',').any(|tag| ours(tag.trim_ascii()))
    }
}

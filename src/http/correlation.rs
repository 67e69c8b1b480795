//! What a request is called by those who sent it on, so that log lines of several programs can be put together.

use http::{HeaderMap, HeaderName};

use crate::telemetry::traces::context::Parent;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What gateways make is shorter, and a line is read by people.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// The text of `X-Request-Id`; `None` when there is none, or it is none that can stand in a log.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&byte);
    ((1..=MAX_REQUEST_ID_BYTES).contains(&text.len()) && text.bytes().all(plain)).then_some(text)
}

/// The trace that a request is part of (W3C Trace Context section 3.2.2.3); what is malformed counts as absent.
pub fn trace_id(headers: &HeaderMap) -> Option<&str> {
    Parent::of(headers)?;
    headers.get(TRACE_PARENT)?.to_str().ok()?.get(3..35)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn w3c_trace_context_3_2_a_malformed_trace_is_none() {
        let of = |lines: &[&str]| trace_id(&headers(&TRACE_PARENT, lines)).map(str::to_owned);
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(of(&[&good]).as_deref(), Some(trace));
        assert_eq!(of(&[&format!("01-{trace}-00f067aa0ba902b7-01-more")]).as_deref(), Some(trace), "a later version");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[&good, &good]), None);
        for bad in [
            "",
            "00",
            &format!("{good}-more"),
            &good.to_uppercase(),
            &good.replace("00-", "ff-"),
            &good.replace(trace, &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good[1..],
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn a_request_is_called_by_no_text_that_could_spoil_the_log() {
        let of = |line: &str| request_id(&headers(&REQUEST_ID, &[line])).map(str::to_owned);
        assert_eq!(of("f47ac10b-58cc:1=").as_deref(), Some("f47ac10b-58cc:1="));
        for bad in ["", "a b", "a\"b", "a\tb", "{}", &"x".repeat(65)] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(request_id(&HeaderMap::new()), None);
    }
}

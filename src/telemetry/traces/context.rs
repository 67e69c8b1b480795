//! What a caller says of the trace that its request belongs to (W3C Trace Context).

use http::HeaderMap;

/// Identifies a trace; never all zeros.
pub type TraceId = [u8; 16];
/// Identifies a span within its trace; never all zeros.
pub type SpanId = [u8; 8];

/// The span of a caller that a request is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
    /// Whether the caller records it.
    pub sampled: bool,
}

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// What every receiver keeps of `tracestate` at least (section 3.3.1.5); a longer one is not kept.
const MOST_STATE: usize = 512;

impl Parent {
    /// The caller's span; `None` when it names none, and when what it says is malformed, which section 3.2 wants to be
    /// treated as if nothing was said.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all("traceparent").iter();
        let line = lines.next()?;
        if lines.next().is_some() {
            return None;
        }
        Self::parse(line.as_bytes())
    }

    /// `version-trace-parent-flags`, all in lower-case hexadecimal digits. Later versions may say more behind it.
    fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
            return None;
        }
        let [version] = bytes(&head[..2])?;
        match version {
            0 if !rest.is_empty() => return None,
            0xff => return None,
            _ if !rest.is_empty() && rest[0] != b'-' => return None,
            _ => {}
        }
        let (trace, span): (TraceId, SpanId) = (bytes(&head[3..35])?, bytes(&head[36..52])?);
        let [flags] = bytes(&head[53..])?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// What other tracing systems want to be told with the span, as it was sent; nothing when it is too long or not text.
pub fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let mut whole = String::new();
    for line in headers.get_all("tracestate") {
        let line = line.to_str().ok()?;
        if whole.len() + line.len() >= MOST_STATE {
            return None;
        }
        if !whole.is_empty() {
            whole.push(',');
        }
        whole.push_str(line);
    }
    (!whole.is_empty()).then(|| whole.into_boxed_str())
}

/// Reads lower-case hexadecimal digits; `digits` has two for each byte.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parse(text: &str) -> Option<Parent> {
        Parent::parse(text.as_bytes())
    }

    #[test]
    fn w3c_3_2_a_parent_is_read() {
        let parent = parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!((parent.trace[0], parent.trace[15]), (0x4b, 0x36));
        assert_eq!(parent.span, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(parent.sampled);
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap().sampled, sampled, "{flags}");
        }
        for later in [format!("01-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what-comes-later")] {
            assert!(parse(&later).is_some(), "{later}");
        }
    }

    #[test]
    fn w3c_3_2_a_malformed_parent_is_no_parent() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01").replace('4', "\u{e9}"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_str(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        headers.append("traceparent", line.clone());
        assert!(Parent::of(&headers).is_some());
        headers.append("traceparent", line);
        assert_eq!(Parent::of(&headers), None, "two parents are none");
    }

    #[test]
    fn w3c_3_3_a_state_is_kept_as_it_is_unless_it_is_too_long() {
        let mut headers = HeaderMap::new();
        assert_eq!(state(&headers), None);
        headers.append("tracestate", HeaderValue::from_static("one=1"));
        headers.append("tracestate", HeaderValue::from_static("two=2"));
        assert_eq!(state(&headers).as_deref(), Some("one=1,two=2"));
        headers.append("tracestate", HeaderValue::from_str(&"x".repeat(MOST_STATE)).unwrap());
        assert_eq!(state(&headers), None);
    }
}

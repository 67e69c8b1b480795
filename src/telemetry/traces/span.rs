//! One span, and its text as the collector reads it (OTLP 1, the JSON encoding of its protocol buffers).

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::context::{SpanId, TraceId};

/// What a span says of what it stands for: name and value, by the semantic conventions where they have a name.
pub type Attributes = Vec<(&'static str, Value)>;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// What a span stands for, as OTLP numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work of this process.
    Internal = 1,
    /// A request that it answers.
    Server = 2,
    /// A question to another process.
    Client = 3,
}

/// Something that took its time.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace.
    pub trace: TraceId,
    /// This span.
    pub id: SpanId,
    /// What it is part of.
    pub parent: Option<SpanId>,
    /// `tracestate` of the caller.
    pub state: Option<Box<str>>,
    /// What it is called.
    pub name: Cow<'static, str>,
    /// What it stands for.
    pub kind: Kind,
    /// When it began, in nanoseconds since 1970.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// What else is known of it.
    pub attributes: Attributes,
    /// Whether it failed through no fault of the caller.
    pub failed: bool,
}

impl Span {
    /// As the collector reads it. Integers of 64 bits are texts in it, and ids hexadecimal.
    fn to_json(&self) -> Json {
        let mut json = json!({
            "traceId": hex(&self.trace),
            "spanId": hex(&self.id),
            // Bits 8 and 9: it is known whether the parent is another process.
            "flags": 0x101 | if self.kind == Kind::Server && self.parent.is_some() { 0x200 } else { 0 },
            "name": self.name,
            "kind": self.kind as u8,
            "startTimeUnixNano": self.began.to_string(),
            "endTimeUnixNano": self.ended.to_string(),
            "attributes": attributes(self.attributes.iter().map(|(name, value)| (*name, value))),
            "status": if self.failed { json!({"code": 2}) } else { json!({}) },
        });
        if let Some(parent) = &self.parent {
            json["parentSpanId"] = hex(parent).into();
        }
        if let Some(state) = &self.state {
            json["traceState"] = (**state).into();
        }
        json
    }
}

/// The body of an export.
pub fn export(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let resource: Vec<_> = resource.iter().map(|(name, value)| (name.as_str(), Value::from(value.clone()))).collect();
    let resource = attributes(resource.iter().map(|(name, value)| (*name, value)));
    let spans: Vec<Json> = spans.iter().map(Span::to_json).collect();
    let scope = json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")});
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]});
    body.to_string().into_bytes()
}

fn attributes<'a>(attributes: impl Iterator<Item = (&'a str, &'a Value)>) -> Json {
    attributes
        .map(|(name, value)| match value {
            Value::Text(text) => json!({"key": name, "value": {"stringValue": text}}),
            Value::Number(number) => json!({"key": name, "value": {"intValue": number.to_string()}}),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otlp_json_has_hexadecimal_ids_and_numbers_as_text() {
        let span = Span {
            trace: [0xab; 16],
            id: [1; 8],
            parent: Some([2; 8]),
            state: Some("one=1".into()),
            name: "POST /introspect".into(),
            kind: Kind::Server,
            began: 1_800_000_000_000_000_001,
            ended: 1_800_000_000_000_000_002,
            attributes: vec![("http.response.status_code", 503.into()), ("url.scheme", "http".into())],
            failed: true,
        };
        let body = export(&[("service.name".into(), "one".into())], &[span]);
        let body: Json = serde_json::from_slice(&body).unwrap();
        let expected = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "one"}}]},
            "scopeSpans": [{
                "scope": {"name": "introspectd", "version": env!("CARGO_PKG_VERSION")},
                "spans": [{
                    "traceId": "ab".repeat(16),
                    "spanId": "01".repeat(8),
                    "parentSpanId": "02".repeat(8),
                    "traceState": "one=1",
                    "flags": 0x301,
                    "name": "POST /introspect",
                    "kind": 2,
                    "startTimeUnixNano": "1800000000000000001",
                    "endTimeUnixNano": "1800000000000000002",
                    "attributes": [
                        {"key": "http.response.status_code", "value": {"intValue": "503"}},
                        {"key": "url.scheme", "value": {"stringValue": "http"}},
                    ],
                    "status": {"code": 2},
                }],
            }],
        }]});
        assert_eq!(body, expected);
    }
}

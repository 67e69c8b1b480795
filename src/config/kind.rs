//! The types that a setting can have: how each is read from what a source says, and how it is described.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::tree::Value;
use super::{
    AccessLog, Acknowledge, AuditFailure, ClientCertificates, Delivery, Durability, LogFormat, Network, Ratio,
    RedisTopology, Registration, ThreadModel, UnsafeSettings, WebOrigin,
};
use crate::client::{AuthenticationMethod, ClientId, GrantType, Right};
use crate::jose::algorithm::Algorithm;
use crate::token::grant::TokenFormat;
use crate::token::keyring::KeyId;
use crate::token::scope::Scope;

/// What a type is called, and what the schema says of it.
#[derive(Clone, Debug)]
pub(super) struct Description {
    /// A word or two, for the reference.
    pub(super) name: String,
    /// As in "must be ..".
    pub(super) noun: String,
    pub(super) schema: Json,
}

/// A type of settings.
pub(super) trait Kind: Sized {
    fn describe() -> Description;

    /// `None` when the value is not of this type. The reader makes the message, because only it knows whether the value
    /// may be shown.
    fn parse(value: &Value) -> Option<Self>;

    /// As it is written in a file.
    fn write(&self) -> Json;
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Plain(text) => Some(text),
        _ => None,
    }
}

fn describe(name: &str, noun: &str, schema: Json) -> Description {
    Description { name: name.to_owned(), noun: noun.to_owned(), schema }
}

// === the plain ones ===

impl Kind for bool {
    fn describe() -> Description {
        describe("boolean", "true or false", json!({"type": "boolean"}))
    }

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(boolean) => Some(*boolean),
            Value::Plain(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn write(&self) -> Json {
        json!(self)
    }
}

impl Kind for u32 {
    fn describe() -> Description {
        describe("integer", "a whole number", json!({"type": "integer"}))
    }

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(integer) => Self::try_from(*integer).ok(),
            Value::Plain(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn write(&self) -> Json {
        json!(self)
    }
}

impl Kind for Ratio {
    fn describe() -> Description {
        describe("number", "a number from 0 to 1", json!({"type": "number", "minimum": 0, "maximum": 1}))
    }

    fn parse(value: &Value) -> Option<Self> {
        let ratio = match value {
            Value::Integer(0) => 0.0,
            Value::Integer(1) => 1.0,
            Value::Float(ratio) => *ratio,
            Value::Plain(text) => text.parse().ok()?,
            _ => return None,
        };
        (0.0..=1.0).contains(&ratio).then_some(Self(ratio))
    }

    fn write(&self) -> Json {
        json!(self.0)
    }
}

impl Kind for usize {
    fn describe() -> Description {
        u32::describe()
    }

    /// No count and no size of ours needs more than 32 bits, and so a file means the same on every machine.
    fn parse(value: &Value) -> Option<Self> {
        u32::parse(value).and_then(|number| number.try_into().ok())
    }

    fn write(&self) -> Json {
        json!(self)
    }
}

impl Kind for f64 {
    fn describe() -> Description {
        describe("number", "a number", json!({"type": "number"}))
    }

    fn parse(value: &Value) -> Option<Self> {
        let number: Self = match value {
            Value::Float(number) => *number,
            Value::Integer(integer) => f64::from(i32::try_from(*integer).ok()?),
            Value::Plain(text) => text.parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn write(&self) -> Json {
        json!(self)
    }
}

impl Kind for String {
    fn describe() -> Description {
        describe("text", "text", json!({"type": "string"}))
    }

    fn parse(value: &Value) -> Option<Self> {
        text_of(value).map(str::to_owned)
    }

    fn write(&self) -> Json {
        json!(self)
    }
}

impl Kind for PathBuf {
    fn describe() -> Description {
        describe("path", "a path", json!({"type": "string", "minLength": 1}))
    }

    fn parse(value: &Value) -> Option<Self> {
        text_of(value).filter(|text| !text.is_empty()).map(Self::from)
    }

    fn write(&self) -> Json {
        json!(self.to_string_lossy())
    }
}

impl Kind for SocketAddr {
    fn describe() -> Description {
        describe(
            "address and port",
            "an IP address and a port, as 127.0.0.1:8080 or [::1]:8080",
            json!({"type": "string"}),
        )
    }

    fn parse(value: &Value) -> Option<Self> {
        text_of(value)?.parse().ok()
    }

    fn write(&self) -> Json {
        json!(self.to_string())
    }
}

/// A list; from the environment and from flags, commas stand between its elements, or it is JSON.
impl<T: Kind> Kind for Vec<T> {
    fn describe() -> Description {
        let element = T::describe();
        Description {
            name: format!("list: {}", element.name),
            noun: format!("a list, each element {}", element.noun),
            schema: json!({"type": "array", "items": element.schema}),
        }
    }

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::List(nodes) => nodes.iter().map(|node| T::parse(&node.value)).collect(),
            Value::Plain(text) if text.trim().is_empty() => Some(Self::new()),
            Value::Plain(text) if text.trim_start().starts_with('[') => {
                let nodes: Vec<super::tree::Node> = serde_json::from_str(text).ok()?;
                nodes.iter().map(|node| T::parse(&node.value)).collect()
            }
            Value::Plain(text) => text.split(',').map(|part| T::parse(&Value::Plain(part.trim().to_owned()))).collect(),
            _ => None,
        }
    }

    fn write(&self) -> Json {
        self.iter().map(Kind::write).collect()
    }
}

// === durations ===

/// The units, longest first, with their length in microseconds.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

impl Kind for Duration {
    fn describe() -> Description {
        describe(
            "duration",
            "a duration with its unit (us, ms, s, m, h, d), as 250ms or 15m",
            json!({"type": "string", "pattern": "^[0-9]+(us|ms|s|m|h|d)$"}),
        )
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = text_of(value)?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, microseconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        Some(Self::from_micros(number.parse::<u64>().ok()?.checked_mul(microseconds)?))
    }

    fn write(&self) -> Json {
        json!(duration_text(*self))
    }
}

/// A duration in the largest unit that shows it exactly.
pub(super) fn duration_text(duration: Duration) -> String {
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if microseconds == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.into_iter().find(|(_, length)| microseconds.is_multiple_of(*length));
    let (unit, length) = exact.expect("every number is a multiple of 1");
    format!("{}{unit}", microseconds / length)
}

// === the field's own ===

impl Kind for ClientId {
    fn describe() -> Description {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": Self::MAX_BYTES, "pattern": "^[ -~]+$"});
        describe("text", "1 to 128 printable ASCII characters", schema)
    }

    fn parse(value: &Value) -> Option<Self> {
        Self::parse(text_of(value)?)
    }

    fn write(&self) -> Json {
        json!(self.as_str())
    }
}

impl Kind for KeyId {
    fn describe() -> Description {
        describe(
            "two letters or digits",
            "two characters of 0-9, A-Z, a-z, as text",
            json!({"type": "string", "pattern": "^[0-9A-Za-z]{2}$"}),
        )
    }

    fn parse(value: &Value) -> Option<Self> {
        Self::from_bytes(text_of(value)?.as_bytes())
    }

    fn write(&self) -> Json {
        json!(self.as_str())
    }
}

impl Kind for Scope {
    fn describe() -> Description {
        describe("text", "scopes separated by one space", json!({"type": "string", "maxLength": Self::MAX_BYTES}))
    }

    fn parse(value: &Value) -> Option<Self> {
        Self::parse(text_of(value)?).ok()
    }

    fn write(&self) -> Json {
        json!(self.as_str())
    }
}

impl Kind for Network {
    fn describe() -> Description {
        describe("network", "an address, or a network as 10.0.0.0/8", json!({"type": "string"}))
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = text_of(value)?;
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let length: u8 = length.map_or(Some(whole), |text| text.parse().ok()).filter(|&length| length <= whole)?;
        // Peers are compared as IPv4 when they are, so a range of mapped addresses must be too.
        match address.to_canonical() {
            IpAddr::V4(mapped) if address.is_ipv6() => {
                Some(Self { address: IpAddr::V4(mapped), prefix_length: length.checked_sub(96)? })
            }
            _ => Some(Self { address, prefix_length: length }),
        }
    }

    fn write(&self) -> Json {
        json!(format!("{}/{}", self.address, self.prefix_length))
    }
}

impl Kind for WebOrigin {
    fn describe() -> Description {
        let noun = "an origin as browsers send it, as https://app.example.com; http only for this machine's own names";
        describe("web origin", noun, json!({"type": "string", "pattern": "^https?://[^/]+$"}))
    }

    fn parse(value: &Value) -> Option<Self> {
        Self::parse(text_of(value)?)
    }

    fn write(&self) -> Json {
        json!(self.as_str())
    }
}

/// Reads and writes a type that is one of a few words.
macro_rules! choice {
    ($($type:ty: $($text:literal = $value:path),+;)+) => {$(
        impl Kind for $type {
            fn describe() -> Description {
                let words = [$($text,)+];
                let name = format!("`{}`", words.join("`, `"));
                Description { name, noun: format!("one of {}", words.join(", ")), schema: json!({"enum": words}) }
            }

            fn parse(value: &Value) -> Option<Self> {
                match text_of(value)? {
                    $($text => Some($value),)+
                    _ => None,
                }
            }

            fn write(&self) -> Json {
                match self {
                    $($value => json!($text),)+
                }
            }
        }
    )+};
}

choice! {
    ClientCertificates: "none" = ClientCertificates::None, "optional" = ClientCertificates::Optional;
    Delivery: "body" = Delivery::Body, "cookie" = Delivery::Cookie;
    Registration: "open" = Registration::Open, "closed" = Registration::Closed;
    ThreadModel: "per_core" = ThreadModel::PerCore, "shared" = ThreadModel::Shared;
    LogFormat: "text" = LogFormat::Text, "json" = LogFormat::Json;
    AccessLog: "off" = AccessLog::Off, "errors" = AccessLog::Errors, "sampled" = AccessLog::Sampled,
        "all" = AccessLog::All;
    AuditFailure: "continue" = AuditFailure::Continue, "refuse" = AuditFailure::Refuse;
    RedisTopology: "standalone" = RedisTopology::Standalone, "sentinel" = RedisTopology::Sentinel,
        "cluster" = RedisTopology::Cluster;
    UnsafeSettings: "warn" = UnsafeSettings::Warn, "refuse" = UnsafeSettings::Refuse;
    Acknowledge: "visible" = Acknowledge::Visible, "written" = Acknowledge::Written;
    Durability: "primary" = Durability::Primary, "replicas" = Durability::Replicas, "replay" = Durability::Replay;
    AuthenticationMethod: "client_secret_basic" = AuthenticationMethod::ClientSecretBasic,
        "client_secret_post" = AuthenticationMethod::ClientSecretPost,
        "private_key_jwt" = AuthenticationMethod::PrivateKeyJwt, "tls_client_auth" = AuthenticationMethod::TlsClientAuth,
        "self_signed_tls_client_auth" = AuthenticationMethod::SelfSignedTlsClientAuth, "none" = AuthenticationMethod::None;
    TokenFormat: "opaque" = TokenFormat::Opaque, "jwt" = TokenFormat::Jwt;
    Algorithm: "ES256" = Algorithm::Es256, "EdDSA" = Algorithm::EdDsa, "RS256" = Algorithm::Rs256,
        "PS256" = Algorithm::Ps256;
    GrantType: "client_credentials" = GrantType::ClientCredentials, "refresh_token" = GrantType::RefreshToken;
    Right: "introspect" = Right::Introspect, "revoke" = Right::Revoke, "issue" = Right::Issue,
        "import" = Right::Import, "admin" = Right::Admin;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain<T: Kind>(text: &str) -> Option<T> {
        T::parse(&Value::Plain(text.to_owned()))
    }

    #[test]
    fn durations_need_a_unit_and_read_back_as_written() {
        for (text, microseconds) in [
            ("0s", 0),
            ("25us", 25),
            ("2500us", 2_500),
            ("250ms", 250_000),
            ("15m", 900_000_000),
            ("2h", 7_200_000_000),
        ] {
            let duration: Duration = plain(text).unwrap();
            assert_eq!(duration, Duration::from_micros(microseconds), "{text}");
            assert_eq!(duration.write(), json!(text));
        }
        assert_eq!(plain::<Duration>("90s").unwrap().write(), json!("90s"));
        assert_eq!(plain::<Duration>("720h").unwrap().write(), json!("30d"));
        for text in ["", "5", "s", "5 s", "1.5s", "-5s", "5S", "5sec", "1h30m", "+5s", "99999999999999999999s"] {
            assert_eq!(plain::<Duration>(text), None, "{text}");
        }
        assert_eq!(plain::<Duration>("213503982334602d"), None, "beyond what can be counted");
        assert_eq!(Duration::parse(&Value::Integer(5)), None);
    }

    #[test]
    fn text_in_a_file_is_not_a_number_and_text_of_a_variable_may_be() {
        assert_eq!(u32::parse(&Value::Text("2".into())), None);
        assert_eq!(u32::parse(&Value::Plain("2".into())), Some(2));
        assert_eq!(u32::parse(&Value::Integer(-1)), None);
        assert_eq!(usize::parse(&Value::Integer(i64::MAX)), None);
        assert_eq!(bool::parse(&Value::Text("true".into())), None);
        assert_eq!(plain::<bool>("true"), Some(true));
        assert_eq!(plain::<bool>("yes"), None);
    }

    #[test]
    fn plain_lists_are_separated_by_commas_or_are_json() {
        let three = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(plain::<Vec<String>>("a, b,c"), Some(three.clone()));
        assert_eq!(plain::<Vec<String>>(r#" ["a","b","c"]"#), Some(three));
        assert_eq!(plain::<Vec<String>>(" "), Some(vec![]));
        assert_eq!(plain::<Vec<String>>("[\"a\""), None);
        assert_eq!(plain::<Vec<Right>>("introspect,fly"), None);
    }

    #[test]
    fn a_network_is_an_address_with_a_prefix() {
        let network = |text: &str| plain::<Network>(text).map(|network| network.write());
        assert_eq!(network("10.0.0.0/8"), Some(json!("10.0.0.0/8")));
        assert_eq!(network("10.0.0.1"), Some(json!("10.0.0.1/32")));
        assert_eq!(network("fd00::/8"), Some(json!("fd00::/8")));
        assert_eq!(network("::ffff:10.0.0.0/104"), Some(json!("10.0.0.0/8")));
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "::ffff:10.0.0.0/95", "host/8"] {
            assert_eq!(network(text), None, "{text}");
        }
        let all: Network = plain("0.0.0.0/0").unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        let mapped: Network = plain("::ffff:10.0.0.0/104").unwrap();
        assert!(mapped.contains("10.200.0.1".parse().unwrap()));
        assert!(mapped.contains("::ffff:10.200.0.1".parse().unwrap()));
    }

    #[test]
    fn asvs_3_4_2_an_origin_is_taken_only_as_browsers_send_it() {
        for good in [
            "https://app.example.com",
            "https://app.example.com:8443",
            "http://localhost:3000",
            "http://app.localhost",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(plain::<WebOrigin>(good).map(|origin| origin.write()), Some(json!(good)));
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com:443",
            "https://App.example.com",
            "https://*.example.com",
            "https://app.example.com.",
            "https://user@app.example.com",
            "https://app.example.com:0",
            "https://app.example.com:08443",
            "https://app.example.com:65536",
            "https://b\u{fc}cher.example",
            "http://app.example.com",
            "http://localhost:80",
            "ftp://app.example.com",
            "https://[::1",
            "https://[0:0::1]",
        ] {
            assert_eq!(plain::<WebOrigin>(bad), None, "{bad}");
        }
    }
}

//! The settings themselves: each section is read, and thereby declared, by one function. Defaults are constants beside
//! it, each with the reason for the number.

mod accounts;
mod cache;
mod clients;
mod gateways;
mod limits;
mod listeners;
mod signing;
mod store;
mod tracing;

use super::Config;
use super::kind::duration_text;
use super::reader::Reader;
use super::tree::Value;

/// Reads everything. What comes back can be used only if nothing was noted.
pub(super) fn read(reader: &mut Reader<'_>) -> Config {
    let issuer = listeners::issuer(reader);
    let (public, admin) = listeners::both(reader);
    let store = store::store(reader);
    let keys = store::keys(reader);
    let tokens = limits::tokens(reader);
    let signing = signing::signing(reader);
    let cache = cache::cache(reader);
    let clients = clients::clients(reader, &tokens);
    let accounts = accounts::accounts(reader, &tokens, &clients);
    Config {
        issuer,
        public,
        admin,
        store,
        keys,
        tokens,
        signing,
        cache,
        clients,
        authentication: limits::authentication(reader),
        accounts,
        forward_auth: gateways::forward_auth(reader),
        http: limits::http(reader),
        drain: limits::drain(reader),
        reload: limits::reload(reader),
        log: limits::log(reader),
        audit: limits::audit(reader),
        metrics: limits::metrics(reader),
        tracing: tracing::tracing(reader),
    }
}

/// A duration of whole seconds: what `exp`, `iat` and `expires_in` can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WholeSeconds(std::time::Duration);

impl super::kind::Kind for WholeSeconds {
    fn describe() -> super::kind::Description {
        super::kind::Description {
            name: "duration".into(),
            noun: "a duration of whole seconds with its unit (s, m, h, d), as 15m or 30d".into(),
            schema: serde_json::json!({"type": "string", "pattern": "^[0-9]+(s|m|h|d)$"}),
        }
    }

    fn parse(value: &Value) -> Option<Self> {
        let fine =
            matches!(value, Value::Text(text) | Value::Plain(text) if text.ends_with("us") || text.ends_with("ms"));
        std::time::Duration::parse(value).filter(|_| !fine).map(Self)
    }

    fn write(&self) -> serde_json::Value {
        serde_json::json!(duration_text(self.0))
    }
}

/// A duration of whole seconds, for constants.
const fn seconds(seconds: u64) -> WholeSeconds {
    WholeSeconds(std::time::Duration::from_secs(seconds))
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

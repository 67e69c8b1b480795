//! A client's public keys, given by value (RFC 7591 section 2, RFC 7517 section 5).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A registered `jwks`. Nothing in it is secret: private members are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct ClientKeys {
    document: Map<String, Value>,
}

impl ClientKeys {
    /// The most keys that a client may register. It bounds what one assertion can cost.
    pub const MAX_KEYS: usize = 8;

    /// Reads a key set.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub fn parse(document: Map<String, Value>) -> Result<Self, String> {
        let keys = document.get("keys").and_then(Value::as_array).ok_or("must be an object with an array of keys")?;
        if !(1..=Self::MAX_KEYS).contains(&keys.len()) || !keys.iter().all(Value::is_object) {
            return Err(format!("must hold 1 to {} keys, each an object", Self::MAX_KEYS));
        }
        Ok(Self { document })
    }

    /// As it was registered.
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }
}

impl TryFrom<Map<String, Value>> for ClientKeys {
    type Error = String;

    fn try_from(document: Map<String, Value>) -> Result<Self, Self::Error> {
        Self::parse(document)
    }
}

impl From<ClientKeys> for Map<String, Value> {
    fn from(keys: ClientKeys) -> Self {
        keys.document
    }
}

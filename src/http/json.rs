//! JSON bodies: strict in what is read.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use crate::json::{StrictValue, explain};

/// Reads a JSON body in which no member name is repeated; an empty body counts as `{}`.
///
/// # Errors
/// 400 with what is wrong, shortened.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    read_value(if body.is_empty() { b"{}" } else { body })
        .and_then(|value| {
            // A list would be read as the members in the order in which they happen to be declared.
            if value.is_object() { Ok(value) } else { Err(ApiError::invalid_request("The body must be a JSON object")) }
        })
        .and_then(|value| serde_json::from_value(value).map_err(|error| refuse(&error)))
}

fn read_value(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice::<StrictValue>(body).map(|StrictValue(value)| value).map_err(|error| refuse(&error))
}

fn refuse(error: &serde_json::Error) -> ApiError {
    ApiError::invalid_request(format!("The body cannot be read: {}", explain(error)))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Sample {
        number: u64,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Opaque,
        Jwt,
    }

    #[test]
    fn a_mistake_is_named_without_the_value() {
        let explained = |value: Value| explain(&serde_json::from_value::<Sample>(value).unwrap_err());
        for secret in ["hunter2hunter2", "a \" quote, expected nothing", "back`tick"] {
            assert_eq!(explained(json!({"number": secret})), "invalid type: string, expected u64");
            assert_eq!(explained(json!({"number": 1, "kind": secret})), "unknown variant, expected 'opaque' or 'jwt'");
            assert_eq!(explained(json!({"number": 1, secret: 1})), "unknown field, expected 'number' or 'kind'");
        }
        assert_eq!(explained(json!({"number": -77_123_456})), "invalid value: integer, expected u64");
        assert_eq!(explained(json!({"number": [1]})), "invalid type: sequence, expected u64");
        assert_eq!(explained(json!({})), "missing field 'number'");
    }
}

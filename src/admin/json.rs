//! JSON bodies: strict in what is read.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::error::ApiError;
use crate::token::claims::StrictValue;

/// Reads a JSON body in which no member name is repeated; an empty body counts as `{}`.
///
/// # Errors
/// 400 with what is wrong, shortened.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    read_value(if body.is_empty() { b"{}" } else { body })
        .and_then(|value| serde_json::from_value(value).map_err(|error| refuse(&error)))
}

fn read_value(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice::<StrictValue>(body).map(|StrictValue(value)| value).map_err(|error| refuse(&error))
}

fn refuse(error: &serde_json::Error) -> ApiError {
    ApiError::invalid_request(format!("The body cannot be read: {}", explain(error)))
}

/// What a parser says, shortened: it quotes what it read.
pub fn explain(error: &serde_json::Error) -> String {
    const LONGEST: usize = 160;
    error.to_string().replace(['`', '"'], "'").chars().take(LONGEST).collect()
}

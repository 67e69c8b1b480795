//! `GET /jwks.json`: the public halves of the signing keys (RFC 7517 section 5).

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};

use super::error::ApiError;
use super::published::Published;
use super::{Answer, Context};
use crate::token::time::Now;

/// A verifier that keeps the keys for no longer has every key before it signs.
const LONGEST: Duration = Duration::from_hours(1);

/// The keys that sign, that will, and that have signed what is still valid.
///
/// # Errors
/// 503 when they could not be read since the start.
pub async fn answer(context: &Context, headers: &HeaderMap, now: Now) -> Result<Answer, ApiError> {
    let signing = &context.service.signing;
    let keys = signing.published(now).await?;
    let keys: Vec<Value> = keys.iter().map(|key| key.public().to_jwk(Some(key.kid()))).collect();
    // Without keys there is nothing to keep: the first token makes one.
    let keep = if keys.is_empty() { Duration::ZERO } else { LONGEST.min(signing.publish_ahead()) };
    Ok(Published::new(json!({ "keys": keys }).to_string()).answer(headers, keep))
}

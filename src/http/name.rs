//! How the audit log names what peers have sent in the place of a name.
//!
//! Somebody may send a token there, by mistake or so that it is read elsewhere. Then a pseudonym stands for it: a line
//! that says nothing of whom would let operators hide what they do by the choice of a name.

use crate::service::Service;
use crate::telemetry::audit::Details;
use crate::token::time::Now;
use crate::token::value::{Presented, TokenValue, holds_token};

/// The most parts of a text that are looked up among imported tokens; a text with more is not written.
const MAX_PARTS: usize = 4;

/// Adds a text under `member`, or what stands for it under `member` with `_withheld` at its end.
pub(super) async fn add(service: &Service, target: &mut Details, member: &'static str, text: &str, now: Now) {
    if may_be_written(service, text, now).await {
        target.text(member, text);
    } else {
        target.withheld(member, &service.keys.pseudonym(text));
    }
}

/// Whether a text can be a name: there is no token in it, as far as can be told.
pub async fn may_be_written(service: &Service, text: &str, now: Now) -> bool {
    if holds_token(text) {
        return false;
    }
    if !service.keys.takes_imports() {
        return true;
    }
    // What was made elsewhere has no form by which it could be told: only the store knows it.
    let foreign = |letter: char| !(letter.is_ascii_alphanumeric() || "-._~+/=".contains(letter));
    let parts = text.split(foreign).filter(|part| TokenValue::IMPORT_BYTES.contains(&part.len()));
    for (count, part) in parts.enumerate() {
        if count == MAX_PARTS
            || !matches!(service.records_of(Presented::new(part), now).await, Ok(found) if found.is_empty())
        {
            return false;
        }
    }
    true
}

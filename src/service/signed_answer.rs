//! Introspection answers as signed texts (RFC 9701): evidence that a resource server can keep.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::value::RawValue;

use super::Service;
use super::signing::{Purpose, SignedText, SigningError};
use crate::client::Client;
use crate::jose::algorithm::Algorithm;
use crate::token::time::{Now, UnixSeconds};

/// The media type's own `typ`, so that an answer cannot be taken for a token (RFC 9701 section 5).
const TYPE: &str = "token-introspection+jwt";

/// What RFC 9701 section 6 assumes of a caller that registered nothing.
const USUAL: Algorithm = Algorithm::Rs256;

/// The most that is kept, in bytes: some thirty thousand answers of the usual size.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// What an answer takes beside its text, about.
const ENTRY_BYTES: u64 = 128;

/// What an answer of the usual size takes, about.
const USUAL_BYTES: u64 = 1024;

/// For how long an answer may be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until the token ends that it is about: as long as that is active and the answer is the same.
    Until(UnixSeconds),
    /// For a moment: that a token is not active has no end of its own.
    Briefly,
    /// Not at all: it is another one each second.
    Never,
}

/// For how many seconds an answer that a token is not active is given again: it has no end of its own.
const INACTIVE_SECONDS: u64 = 1;

/// Signed answers that have been given before: a signature costs more than all the rest of an answer.
///
/// An entry is found by the caller, the key and every byte that is signed, which were read anew for this request. So it
/// says nothing about the state of a token.
pub struct SignedAnswers(Cache<[u8; 32], SignedAnswer, AnswerWeight>);

/// Until when an answer is given again, and its text.
type SignedAnswer = (UnixSeconds, Arc<str>);

#[derive(Clone, Copy, Debug)]
struct AnswerWeight;

impl Weighter<[u8; 32], SignedAnswer> for AnswerWeight {
    fn weight(&self, _: &[u8; 32], (_, text): &SignedAnswer) -> u64 {
        ENTRY_BYTES + text.len() as u64
    }
}

impl Default for SignedAnswers {
    fn default() -> Self {
        let usual = usize::try_from(CACHE_BYTES / USUAL_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(usual, CACHE_BYTES, AnswerWeight))
    }
}

impl std::fmt::Debug for SignedAnswers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SignedAnswers").field("kept", &self.0.len()).finish()
    }
}

/// The claims, in the order of RFC 9701 section 5. No `sub` and no `exp` beside them: those of the token are inside.
#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: UnixSeconds,
    token_introspection: &'a RawValue,
}

impl Service {
    /// Signs an answer for the caller that asked.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn sign_answer(
        &self,
        caller: &Client,
        answer: &[u8],
        keep: Keep,
        now: Now,
    ) -> Result<Arc<str>, SigningError> {
        let algorithm = caller.introspection_signed_response_alg.unwrap_or(USUAL);
        let signer = self.signing.signer(Purpose::Introspection, algorithm, now);
        if let Some(name) = signer.map(|signer| name_of(caller, signer.kid(), answer))
            && let Some((end, text)) = self.signed_answers.0.get(&name)
            && now.seconds() < end
        {
            return Ok(text);
        }
        let body = answer;
        let answer: &RawValue = serde_json::from_slice(answer).expect("an answer of ours is JSON");
        let caller_id = caller.client_id.as_str();
        let claims = Claims { iss: &self.issuer, aud: caller_id, iat: now.seconds(), token_introspection: answer };
        let claims = serde_json::to_vec(&claims).expect("texts and numbers can be written as JSON");
        let SignedText { text, kid } = self.signing.sign(Purpose::Introspection, algorithm, TYPE, &claims, now).await?;
        let text: Arc<str> = text.into();
        let end = match keep {
            Keep::Until(end) => end,
            Keep::Briefly => now.seconds().plus(INACTIVE_SECONDS),
            Keep::Never => return Ok(text),
        };
        self.signed_answers.0.insert(name_of(caller, &kid, body), (end, Arc::clone(&text)));
        Ok(text)
    }
}

fn name_of(caller: &Client, key: &str, answer: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [caller.client_id.as_str().as_bytes(), key.as_bytes(), answer] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let answers = SignedAnswers::default();
        let long: Arc<str> = "x".repeat(16 * 1024).into();
        for number in 0..10_000_u32 {
            let name = *blake3::hash(&number.to_be_bytes()).as_bytes();
            answers.0.insert(name, (UnixSeconds(1), Arc::clone(&long)));
        }
        let kept = answers.0.len() as u64;
        assert!(kept > 100 && kept * long.len() as u64 <= CACHE_BYTES, "{kept}");
    }
}

//! `POST /introspect/batch`: many tokens in one request, for gateways and for programs that read logs. Ours; RFC 7662
//! asks about one token at a time.
//!
//! ```text
//! {"tokens": ["itd_at_...", "..."], "minimal": false, "scope": "read", "audience": "...", "expires_in": false}
//! {"results": [{"active":true,...}, {"active":false}]}
//! ```
//!
//! Each token is answered by the rules of `/introspect`, in the order of the question. There is no half of an answer: if
//! the state of one token cannot be read, the whole is 503.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::error::ApiError;
use super::introspect::{expect_right, freshness, is_own_bearer};
use super::request::{self, MediaType};
use super::{Answer, Context, accept, respond};
use crate::auth::Method;
use crate::form::Form;
use crate::json;
use crate::server::{Peer, RequestBody};
use crate::service::introspect::Wanted;
use crate::token::answer::INACTIVE;
use crate::token::scope::Scope;
use crate::token::value::Presented;

/// The most tokens in one request.
pub const MOST_TOKENS: usize = 1_000;

/// What is asked. Member names may not be repeated, and there are no others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question<'a> {
    #[serde(borrow)]
    tokens: Tokens<'a>,
    #[serde(default)]
    minimal: bool,
    #[serde(default)]
    expires_in: bool,
    #[serde(default, borrow)]
    scope: Cow<'a, str>,
    #[serde(default, borrow)]
    audience: Option<Cow<'a, str>>,
}

/// Never more than [`MOST_TOKENS`]: what is beyond is not even read.
struct Tokens<'a>(Vec<Text<'a>>);

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Tokens<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Vec<Text<'de>>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a list of at most {MOST_TOKENS} tokens")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = list.next_element()? {
                    if tokens.len() == MOST_TOKENS {
                        return Err(de::Error::invalid_length(MOST_TOKENS + 1, &self));
                    }
                    tokens.push(token);
                }
                Ok(tokens)
            }
        }

        deserializer.deserialize_seq(List).map(Self)
    }
}

/// Answers whether tokens are active, and what this caller may see of them.
///
/// # Errors
/// In this order: the caller's, the caller's right, the body's, the store's, the budget for tokens that are not active.
/// The caller's come first: the body may be large, and nobody else's is read.
pub async fn handle(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    request::expect_media_type(request, MediaType::Json)?;
    let caller = context.authenticate(request.headers(), &Form::default(), peer, context.service.now()).await?;
    expect_right(&caller)?;
    let body = request.body_mut().read(context.limits.max_batch_bytes).await?;
    let question = read(&body)?;
    // The body may have been slow: what is answered is so now.
    let now = context.service.now();
    let tokens: Vec<_> = question.tokens.0.iter().map(|token| Presented::new(&token.0)).collect();
    if matches!(caller.method(), Method::Bearer(_))
        && !context.authentication.bearer_may_ask_about_itself
        && question.tokens.0.iter().any(|token| is_own_bearer(request.headers(), &token.0))
    {
        return Err(ApiError::invalid_token());
    }
    let client = caller.client();
    if client.introspection_signed_response_alg.is_some() || accept::prefers_signed(request.headers()) {
        return Err(ApiError::invalid_request("Answers about many tokens are not signed"));
    }
    let scope = Scope::parse(&question.scope);
    let wanted = Wanted {
        scope: scope.map_err(|_| ApiError::bad_request("invalid_scope", "The scope is malformed"))?,
        audience: question.audience.as_deref(),
        minimal: question.minimal,
        expires_in: question.expires_in,
        freshness: freshness(request.headers()),
    };
    let answers = context.service.introspect_all(client, &tokens, &wanted, now).await?;
    context.observer.batch(answers.len());
    let length = answers.iter().map(|answer| answer.as_ref().map_or(INACTIVE.len(), Bytes::len) + 1).sum::<usize>();
    let mut text = Vec::with_capacity(length + 16);
    text.extend(br#"{"results":["#);
    for (place, answer) in answers.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        match answer {
            Ok(body) => text.extend_from_slice(body),
            Err(reason) => {
                context.observer.inactive(*reason);
                context.spend_on_guess(client, now)?;
                text.extend_from_slice(INACTIVE);
            }
        }
    }
    text.extend(b"]}");
    Ok(respond::json(StatusCode::OK, text.into()))
}

fn read(body: &[u8]) -> Result<Question<'_>, ApiError> {
    // A list would be read as the members in the order in which they happen to be declared.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::invalid_request("The body must be a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid_request(format!("The body cannot be read: {}", json::explain(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        read(body.as_bytes()).err().map(|error| format!("{error:?}")).unwrap_or_default()
    }

    #[test]
    fn tokens_are_read_without_a_copy_unless_they_are_escaped() {
        let question = read(br#" {"tokens":["plain","\u0065scaped",""],"minimal":true}"#).ok().unwrap();
        let texts: Vec<_> = question.tokens.0.iter().map(|text| &*text.0).collect();
        assert_eq!(texts, ["plain", "escaped", ""]);
        assert!(matches!(question.tokens.0[0].0, Cow::Borrowed(_)) && question.minimal);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_the_tokens_in_it() {
        let secret = "itd_at_secret";
        for body in [
            String::new(),
            format!(r#"["{secret}"]"#),
            format!(r#"{{"tokens":"{secret}"}}"#),
            format!(r#"{{"tokens":["{secret}",1]}}"#),
            format!(r#"{{"tokens":["{secret}"],"tokens":[]}}"#),
            format!(r#"{{"tokens":["{secret}"],"{secret}":1}}"#),
            format!(r#"{{"tokens":["{secret}"],"minimal":"{secret}"}}"#),
            format!(r#"{{"tokens":["{secret}"]}}{{}}"#),
            format!(r#"{{"tokens":["{secret}""#),
            r#"{"minimal":true}"#.to_owned(),
            format!(r#"{{"tokens":[{}"x"]}}"#, r#""x","#.repeat(MOST_TOKENS)),
            format!(r#"{{"tokens":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000)),
        ] {
            let refusal = refusal(&body);
            assert!(!refusal.is_empty() && !refusal.contains(secret), "{}: {refusal}", &body[..body.len().min(80)]);
        }
        assert!(read(b"{\"tokens\":[\"\xff\"]}").is_err(), "no text");
        assert!(read(format!(r#"{{"tokens":[{}"x"]}}"#, r#""x","#.repeat(MOST_TOKENS - 1)).as_bytes()).is_ok());
    }
}

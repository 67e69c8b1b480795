//! Every way to refuse a request: status, RFC error code, what the peer is told, and what only the log is told.

use std::borrow::Cow;
use std::fmt;

use http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::{Answer, respond};
use crate::auth::Refusal as AuthRefusal;
use crate::auth::verify::Refused;
use crate::client::Right;
use crate::form::FormError;
use crate::server::{BodyError, Refusal};
use crate::store::StoreError;
use crate::token::scope::Scope;

/// A refusal: `{"error","error_description"}` (RFC 6749 section 5.2) under a status that is never a success.
///
/// Boxed, so that the results of functions that seldom fail stay small.
#[derive(Debug)]
pub struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    description: Cow<'static, str>,
    headers: HeaderMap,
    /// The member of the request that is at fault, and what is wrong with it, for programs.
    about: Option<(&'static str, &'static str)>,
    log: Option<String>,
    overload: bool,
}

const BASIC_CHALLENGE: &str = r#"Basic realm="introspectd", charset="UTF-8""#;
const BEARER_CHALLENGE: &str = r#"Bearer realm="introspectd""#;
const INVALID_REQUEST_CHALLENGE: &str = r#"Bearer realm="introspectd", error="invalid_request""#;
const INVALID_TOKEN_CHALLENGE: &str =
    r#"Bearer realm="introspectd", error="invalid_token", error_description="The access token is not active""#;

/// How long a caller is asked to wait for a store that does not answer.
const RETRY_SECONDS: u64 = 1;

impl ApiError {
    fn new(status: StatusCode, code: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        let description = description.into();
        let headers = HeaderMap::new();
        Self(Box::new(Parts { status, code, description, headers, about: None, log: None, overload: false }))
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn logged(mut self, message: impl fmt::Display) -> Self {
        self.0.log = Some(message.to_string());
        self
    }

    /// 400: the request is malformed or lacks something.
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// 400: another code of the same kind, as `invalid_scope` or `invalid_grant`.
    pub fn bad_request(code: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, description)
    }

    /// 400: a Bearer token is presented in a way that no request may (RFC 6750 section 3.1).
    pub fn invalid_bearer_request(description: &'static str) -> Self {
        Self::invalid_request(description).with(WWW_AUTHENTICATE, INVALID_REQUEST_CHALLENGE)
    }

    /// 401: who is calling is not known. One answer for every reason.
    pub fn invalid_client() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed")
            .with(WWW_AUTHENTICATE, BASIC_CHALLENGE)
    }

    /// 401: the request says nothing of who is calling; both ways to do so are offered (RFC 6750 section 3.1: without
    /// an error code).
    pub fn missing_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication is required")
            .with(WWW_AUTHENTICATE, BASIC_CHALLENGE)
            .with(WWW_AUTHENTICATE, BEARER_CHALLENGE)
    }

    /// Whether it is [`ApiError::missing_credentials`]: the only 401 that offers two ways to authenticate.
    pub fn is_missing_credentials(&self) -> bool {
        self.0.headers.get_all(WWW_AUTHENTICATE).iter().count() == 2
    }

    /// 401: the Bearer token is not active (RFC 6750 section 3.1, RFC 7662 section 2.3).
    pub fn invalid_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is not active")
            .with(WWW_AUTHENTICATE, INVALID_TOKEN_CHALLENGE)
    }

    /// The Bearer token does not carry the scope for this right: 401 at the introspection endpoint, where RFC 7662
    /// section 2.3 asks for it; 403 elsewhere (RFC 6750 section 3.1).
    pub fn insufficient_scope(status: StatusCode, right: Right) -> Self {
        let mut error = Self::new(status, "insufficient_scope", "The access token does not carry the scope for this");
        let challenge = format!(r#"{BEARER_CHALLENGE}, error="insufficient_scope", scope="{}""#, right.scope());
        error.0.headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::try_from(challenge).expect("constants of printable characters make a header value"),
        );
        error
    }

    /// 403: the token lacks a scope that this needs (RFC 6750 section 3.1).
    pub fn lacking_scope(wanted: &Scope) -> Self {
        let description = "The access token does not carry the scope for this";
        let mut error = Self::new(StatusCode::FORBIDDEN, "insufficient_scope", description);
        let challenge = format!(r#"{BEARER_CHALLENGE}, error="insufficient_scope", scope="{}""#, wanted.as_str());
        // A scope has neither quotes nor control characters (RFC 6749 section 3.3).
        error.0.headers.extend(HeaderValue::try_from(challenge).ok().map(|line| (WWW_AUTHENTICATE, line)));
        error
    }

    /// 403: the caller is known and may not do this.
    pub fn forbidden(description: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "unauthorized_client", description)
    }

    /// 401: there is no access token (RFC 6750 section 3.1: without an error code). Nothing but Bearer is offered, since
    /// a browser would ask its user for a password of its own.
    pub fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "An access token is required")
            .with(WWW_AUTHENTICATE, BEARER_CHALLENGE)
    }

    /// 401: the name or the password is wrong. One answer for every reason.
    pub fn invalid_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "The name or the password is wrong")
            .with(WWW_AUTHENTICATE, BEARER_CHALLENGE)
    }

    /// 401: there is no session, or it has ended: one answer for everything that can be wrong with a refresh token.
    pub fn session_over() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_grant", "There is no session, or it has ended")
            .with(WWW_AUTHENTICATE, BEARER_CHALLENGE)
    }

    /// 403: the request does not come from a page that may send it.
    pub fn access_denied(description: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "access_denied", description)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here")
    }

    /// 405, or 501 for a method that HTTP does not know (RFC 9110 section 9.1).
    pub fn method_not_allowed(known: bool, allow: &'static str) -> Self {
        let status = if known { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_IMPLEMENTED };
        Self::new(status, "invalid_request", "The method is not allowed here").with(ALLOW, allow)
    }

    /// 408: the body did not arrive in time.
    pub fn request_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request", "The request body did not arrive in time")
    }

    /// 409.
    pub fn conflict(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "invalid_request", description)
    }

    /// 413.
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "The request body is too large")
    }

    /// 415: the media type, or with `coding` the content coding; only then may `Accept-Encoding` be sent (RFC 9110
    /// section 12.5.3).
    pub fn unsupported_media_type(coding: bool) -> Self {
        let error = Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request",
            if coding { "Content codings are not supported" } else { "The media type of the body is not supported" },
        );
        if coding { error.with(ACCEPT_ENCODING, "identity") } else { error }
    }

    /// 429: wait so many seconds (RFC 6585 section 4).
    pub fn too_many_requests(seconds: u64) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many attempts, try again later");
        error.retry_after(seconds)
    }

    /// 500: a fault of ours; the peer learns nothing, the log does.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "The server failed to answer").logged(message)
    }

    /// 503: the state of things could not be read or written (RFC 7009 section 2.2.1).
    pub fn unavailable(message: impl fmt::Display) -> Self {
        let description = "The server cannot answer at the moment, try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description)
            .retry_after(RETRY_SECONDS)
            .logged(message)
    }

    /// 503: there is too much to do at the moment.
    pub fn overloaded(message: impl fmt::Display) -> Self {
        let mut error = Self::unavailable(message);
        error.0.overload = true;
        error
    }

    /// The same, with these headers as well.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// The same, with the member of the request that is at fault and a word for what is wrong with it.
    #[must_use]
    pub fn about(mut self, member: &'static str, reason: &'static str) -> Self {
        self.0.about = Some((member, reason));
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.0.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The RFC's code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What the peer is told in words.
    pub fn description(&self) -> &str {
        &self.0.description
    }

    /// The headers that this refusal has and others do not.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The member at fault and the word for what is wrong with it.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        self.0.about
    }

    /// Whether a 503 is due to too much work, and not to the store.
    pub fn is_overload(&self) -> bool {
        self.0.overload
    }

    /// What the log is told, if there is more to say than the answer does.
    pub fn log(&self) -> Option<&str> {
        self.0.log.as_deref()
    }

    /// The answer.
    pub fn into_answer(self) -> Answer {
        let Parts { status, code, description, headers, about, .. } = *self.0;
        let description: String = description.chars().map(printable).collect();
        let about = about.map(|(member, reason)| format!(r#","field":"{member}","reason":"{reason}""#));
        let about = about.unwrap_or_default();
        let body = format!(r#"{{"error":"{code}","error_description":"{description}"{about}}}"#);
        let mut answer = respond::json(status, body.into());
        answer.headers_mut().extend(headers);
        answer
    }
}

/// RFC 6749 section 5.2 allows `%x20-21 / %x23-5B / %x5D-7E` in a description; what else a text holds is masked.
fn printable(character: char) -> char {
    if matches!(character, ' '..='!' | '#'..='[' | ']'..='~') { character } else { '?' }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<FormError> for ApiError {
    fn from(error: FormError) -> Self {
        Self::invalid_request(match error {
            FormError::Escape => "The form is malformed: percent-encoding",
            FormError::Repeated => "A parameter is repeated",
            FormError::Text => "The form is malformed: not UTF-8",
            FormError::TooMany => "The form has too many parameters",
        })
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::too_large(),
            BodyError::Timeout => Self::request_timeout(),
            BodyError::Broken => Self::invalid_request("The request body is malformed"),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused.refusal {
            AuthRefusal::Missing => Self::missing_credentials(),
            AuthRefusal::BadRequest(description) => Self::invalid_request(description),
            AuthRefusal::BadBearerRequest(description) => Self::invalid_bearer_request(description),
            AuthRefusal::InvalidClient => Self::invalid_client(),
            AuthRefusal::InvalidToken => Self::invalid_token(),
            AuthRefusal::Throttled { seconds } => Self::too_many_requests(seconds),
            AuthRefusal::Busy => Self::overloaded("the queue for slow hashes is full"),
            AuthRefusal::Unavailable(error) => error.into(),
        }
    }
}

impl From<AuthRefusal> for ApiError {
    fn from(refusal: AuthRefusal) -> Self {
        Refused::from(refusal).into()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Panicked => Self::internal("a request handler panicked"),
            Refusal::TimedOut => Self::overloaded("a request took longer than http.request_timeout"),
            other => Self::new(other.status(), "invalid_request", other.description()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn body(error: ApiError) -> String {
        let bytes = error.into_answer().into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.into()).unwrap()
    }

    #[tokio::test]
    async fn rfc6749_5_2_descriptions_hold_only_allowed_characters() {
        let text = body(ApiError::invalid_request(String::from("claim \"\u{e9}\\\n\u{7f}x"))).await;
        assert_eq!(text, r#"{"error":"invalid_request","error_description":"claim ?????x"}"#);
    }

    #[tokio::test]
    async fn rfc9110_11_6_1_every_401_has_a_challenge() {
        for error in [
            ApiError::invalid_client(),
            ApiError::missing_credentials(),
            ApiError::invalid_token(),
            ApiError::insufficient_scope(StatusCode::UNAUTHORIZED, Right::Introspect),
        ] {
            let answer = error.into_answer();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            assert!(answer.headers().contains_key(WWW_AUTHENTICATE));
        }
    }

    #[tokio::test]
    async fn the_reason_of_a_fault_stays_inside() {
        assert!(!body(ApiError::internal("redis://user:password@host")).await.contains("redis"));
        assert!(!body(ApiError::unavailable("connection refused")).await.contains("refused"));
    }
}

//! What each step of a request can be refused with: the very values that the routes answer with, so that status, code,
//! words and headers are said once.

use crate::form::FormError;
use crate::http::error::ApiError;
use crate::server::{BodyError, Refusal};

/// What the server refuses before it looks at a path, and what it says when a route takes too long or fails.
pub(super) fn everywhere() -> Vec<ApiError> {
    Refusal::ALL.into_iter().map(ApiError::from).collect()
}

/// Of every body.
pub(super) fn body() -> Vec<ApiError> {
    vec![
        ApiError::invalid_request("More than one Content-Type header"),
        ApiError::from(BodyError::Broken),
        ApiError::from(BodyError::Timeout),
        ApiError::from(BodyError::TooLarge),
        ApiError::unsupported_media_type(false),
        ApiError::unsupported_media_type(true),
    ]
}

/// Of a form.
pub(super) fn form() -> Vec<ApiError> {
    query().into_iter().chain(body()).collect()
}

/// Of a query that is written as forms are.
pub(super) fn query() -> Vec<ApiError> {
    [FormError::Escape, FormError::Repeated, FormError::Text, FormError::TooMany].map(ApiError::from).into()
}

/// Of a list that comes a page at a time.
pub(super) fn page() -> Vec<ApiError> {
    let mut refusals = query();
    refusals.extend(
        [
            "The query may hold (what it may hold)",
            "A member of the query is repeated",
            "limit must be 1 to 1000",
            "after must be (an identifier)",
        ]
        .map(ApiError::invalid_request),
    );
    refusals
}

/// Of a JSON body.
pub(super) fn json() -> Vec<ApiError> {
    let mut refusals = body();
    refusals.push(ApiError::invalid_request("The body must be a JSON object"));
    refusals.push(ApiError::invalid_request("The body cannot be read: (what and where)"));
    refusals
}

/// Of a client that proves who it is.
pub(super) fn caller() -> Vec<ApiError> {
    let mut refusals = bearer();
    refusals.push(ApiError::missing_credentials());
    refusals.push(ApiError::invalid_client());
    refusals.push(ApiError::invalid_request("(what is wrong with the credentials, or that there are several)"));
    refusals.push(ApiError::overloaded("the hashing of secrets"));
    refusals
}

/// Of a Bearer token.
pub(super) fn bearer() -> Vec<ApiError> {
    vec![
        ApiError::invalid_token(),
        ApiError::invalid_bearer_request("(what is wrong with the Bearer credentials)"),
        ApiError::too_many_requests(1),
        unavailable(),
    ]
}

/// When the store does not answer.
pub(super) fn unavailable() -> ApiError {
    ApiError::unavailable("described")
}

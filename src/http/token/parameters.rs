//! Parameters that several grant types share.

use serde_json::Value;
use url::Url;

use crate::client::is_vschar;
use crate::client::metadata::{MAX_AUDIENCE_BYTES, MAX_AUDIENCES};
use crate::form::{Form, Parameter};
use crate::http::error::ApiError;
use crate::json::StrictValue;

/// The most authorization details of one token.
const MAX_DETAILS: usize = 64;

/// `resource` (RFC 8707 section 2): each an absolute URI without a fragment. One that is repeated counts once.
pub(super) fn resources(form: &Form<'_>) -> Result<Vec<Box<str>>, ApiError> {
    let mut resources: Vec<Box<str>> = Vec::new();
    for resource in form.resources() {
        let usable = resource.len() <= MAX_AUDIENCE_BYTES && is_vschar(resource) && !resource.contains('#');
        if !usable || Url::parse(resource).is_err() {
            return Err(invalid_target());
        }
        if !resources.iter().any(|known| **known == *resource) {
            resources.push(resource.into());
        }
    }
    if resources.len() <= MAX_AUDIENCES { Ok(resources) } else { Err(invalid_target()) }
}

/// `authorization_details` (RFC 9396 section 2): an array of objects that each have a string `type`.
pub(super) fn authorization_details(form: &Form<'_>) -> Result<Option<Value>, ApiError> {
    let Some(text) = form.get(Parameter::AuthorizationDetails) else { return Ok(None) };
    let StrictValue(value) = serde_json::from_str(text).map_err(|_| invalid_authorization_details())?;
    let typed = |detail: &Value| detail.get("type").is_some_and(Value::is_string);
    let usable = value.as_array().is_some_and(|list| (1..=MAX_DETAILS).contains(&list.len()) && list.iter().all(typed));
    if usable { Ok(Some(value)) } else { Err(invalid_authorization_details()) }
}

pub(super) fn invalid_scope() -> ApiError {
    ApiError::bad_request("invalid_scope", "The scope is malformed or more than the client may have")
}

pub(super) fn invalid_target() -> ApiError {
    ApiError::bad_request("invalid_target", "A resource is malformed, unknown or not for this client")
}

pub(super) fn invalid_authorization_details() -> ApiError {
    let description = "The authorization_details are malformed, unknown or not for this client";
    ApiError::bad_request("invalid_authorization_details", description)
}

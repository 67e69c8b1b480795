//! Claims beyond those that have a place of their own in the record: checked and rendered once, when a token is issued.

use serde_json::{Map, Value};

use crate::json::depth;

/// Members that only the server writes into an introspection answer, and names that readers take for an error.
///
/// Custom data that could change `active` would change everything, so these are refused when a token is issued.
pub const RESERVED: [&str; 18] = [
    "active",
    "aud",
    "authorization_details",
    "client_id",
    "cnf",
    "error",
    "error_description",
    "exp",
    "expires_in",
    "iat",
    "iss",
    "jti",
    "nbf",
    "scope",
    "sub",
    "token_introspection",
    "token_type",
    "username",
];

/// Rendered members of the introspection answer: `"name":value` pairs joined by commas, without the outer braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Box<str>);

/// Why claims were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// `authorization_details` is not an array of objects that each have a string `type` (RFC 9396 section 2).
    #[error("authorization_details must be an array of objects with a string type")]
    AuthorizationDetails,
    /// `cnf` is not an object with at least one member (RFC 7800 section 3.1).
    #[error("cnf must be an object with at least one member")]
    Confirmation,
    /// Nested deeper than [`Claims::MAX_DEPTH`].
    #[error("claims are nested deeper than {} levels", Claims::MAX_DEPTH)]
    Depth,
    /// A claim is `null`: readers fail on it, and leaving it out means the same.
    #[error("claim {0} is null: leave it out instead")]
    Null(String),
    /// One of [`RESERVED`].
    #[error("claim {0} is reserved")]
    Reserved(String),
    /// `acr` is not a string or `auth_time` is not a whole number of seconds (RFC 9470 section 6.2).
    #[error("claim {0} has the wrong type")]
    Type(String),
    /// Rendered longer than [`Claims::MAX_BYTES`].
    #[error("claims are longer than {} bytes", Claims::MAX_BYTES)]
    TooLong,
}

impl Claims {
    /// The most that all claims of a token may take, rendered, in bytes.
    pub const MAX_BYTES: usize = 8 * 1024;
    /// The deepest nesting of arrays and objects.
    pub const MAX_DEPTH: usize = 16;

    /// Checks and renders the claims of a token to be issued.
    ///
    /// # Errors
    /// [`ClaimsError`] names the claim and the rule.
    pub fn build(
        confirmation: Option<&Value>,
        authorization_details: Option<&Value>,
        extra: &Map<String, Value>,
    ) -> Result<Self, ClaimsError> {
        let mut text = String::new();
        if let Some(value) = confirmation {
            if value.as_object().is_none_or(Map::is_empty) {
                return Err(ClaimsError::Confirmation);
            }
            push(&mut text, "cnf", value)?;
        }
        if let Some(value) = authorization_details {
            let typed = |element: &Value| element.get("type").is_some_and(Value::is_string);
            if !value.as_array().is_some_and(|elements| elements.iter().all(typed)) {
                return Err(ClaimsError::AuthorizationDetails);
            }
            push(&mut text, "authorization_details", value)?;
        }
        for (name, value) in extra {
            // Some readers match member names without regard to case.
            if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
                return Err(ClaimsError::Reserved(name.clone()));
            }
            if value.is_null() {
                return Err(ClaimsError::Null(name.clone()));
            }
            if (name == "acr" && !value.is_string()) || (name == "auth_time" && !value.is_u64()) {
                return Err(ClaimsError::Type(name.clone()));
            }
            push(&mut text, name, value)?;
        }
        Self::from_rendered(text.into()).ok_or(ClaimsError::TooLong)
    }

    /// Takes what [`Claims::as_str`] gave; `None` when it is too long.
    pub fn from_rendered(text: Box<str>) -> Option<Self> {
        (text.len() <= Self::MAX_BYTES).then_some(Self(text))
    }

    /// The rendered members, possibly none.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the token is bound to something that its presenter must prove to have (RFC 7800).
    pub fn has_confirmation(&self) -> bool {
        self.0.starts_with(CONFIRMATION)
    }

    /// Whether `cnf` holds this member.
    pub fn confirms(&self, member: &str) -> bool {
        let first = |rest| serde_json::Deserializer::from_str(rest).into_iter::<Map<String, Value>>().next();
        let confirmation = self.0.strip_prefix(CONFIRMATION).and_then(first);
        confirmation.and_then(Result::ok).is_some_and(|members| members.contains_key(member))
    }

    /// The members, read back.
    pub fn to_members(&self) -> Map<String, Value> {
        // Rendered by this type, from values that were read as JSON.
        serde_json::from_str(&format!("{{{}}}", self.0)).unwrap_or_default()
    }

    /// The same claims with another value for `cnf` or `authorization_details`; `None` leaves it out.
    ///
    /// # Errors
    /// As of [`Claims::build`].
    pub fn with(&self, name: &str, value: Option<&Value>) -> Result<Self, ClaimsError> {
        let mut members = self.to_members();
        members.remove(name);
        if let Some(value) = value {
            members.insert(name.to_owned(), value.clone());
        }
        let confirmation = members.remove("cnf");
        let details = members.remove("authorization_details");
        Self::build(confirmation.as_ref(), details.as_ref(), &members)
    }

    /// The value of one claim.
    pub fn get(&self, name: &str) -> Option<Value> {
        // Most tokens have none, and this is asked of every refresh.
        if self.is_empty() { None } else { self.to_members().remove(name) }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How the rendered members begin when there is a `cnf`, which [`Claims::build`] writes before all others.
const CONFIRMATION: &str = "\"cnf\":";

fn push(text: &mut String, name: &str, value: &Value) -> Result<(), ClaimsError> {
    if depth(value) > Claims::MAX_DEPTH {
        return Err(ClaimsError::Depth);
    }
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(&Value::from(name).to_string());
    text.push(':');
    text.push_str(&value.to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "so that tests can write json!() in the call")]
    fn build(extra: Value) -> Result<Claims, ClaimsError> {
        Claims::build(None, None, extra.as_object().unwrap())
    }

    #[test]
    fn claims_are_rendered_as_members() {
        let claims = Claims::build(
            Some(&json!({"x5t#S256": "abc"})),
            Some(&json!([{"type": "payment"}])),
            json!({"department": "a \"b\"", "level": 3}).as_object().unwrap(),
        )
        .unwrap();
        let parsed: Value = serde_json::from_str(&format!("{{{}}}", claims.as_str())).unwrap();
        assert_eq!(parsed["cnf"]["x5t#S256"], "abc");
        assert_eq!(parsed["authorization_details"][0]["type"], "payment");
        assert_eq!(parsed["department"], "a \"b\"");
        assert_eq!(parsed["level"], 3);
    }

    #[test]
    fn a_confirmation_is_found_and_nothing_else_is_taken_for_one() {
        let none = Map::new();
        let bound = |confirmation: &Value, extra| Claims::build(Some(confirmation), None, extra).unwrap();
        let extra = json!({"jkt": "y"});
        let extra = extra.as_object().unwrap();
        for claims in [bound(&json!({"x5t#S256": "x", "jkt": "y"}), &none), bound(&json!({"jkt": "y"}), extra)] {
            assert!(claims.has_confirmation() && claims.confirms("jkt"));
        }
        let by_certificate = bound(&json!({"x5t#S256": "x"}), extra);
        assert!(by_certificate.has_confirmation() && !by_certificate.confirms("jkt"));
        for unbound in
            [build(json!({"a": "\"cnf\":{\"jkt\":\"y\"}", "cnfx": {"jkt": "y"}})).unwrap(), Claims::default()]
        {
            assert!(!unbound.has_confirmation() && !unbound.confirms("jkt"));
        }
    }

    #[test]
    fn no_claim_can_take_the_place_of_a_registered_member() {
        for name in RESERVED {
            assert_eq!(build(json!({name: "x"})), Err(ClaimsError::Reserved(name.into())));
            let shouted = name.to_uppercase();
            assert_eq!(build(json!({shouted.clone(): "x"})), Err(ClaimsError::Reserved(shouted)));
        }
    }

    #[test]
    fn null_wrong_types_depth_and_size_are_refused() {
        assert_eq!(build(json!({"a": null})), Err(ClaimsError::Null("a".into())));
        assert_eq!(build(json!({"acr": 1})), Err(ClaimsError::Type("acr".into())));
        assert_eq!(build(json!({"auth_time": "now"})), Err(ClaimsError::Type("auth_time".into())));
        let deep = (0..=Claims::MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(build(json!({ "a": deep })), Err(ClaimsError::Depth));
        assert_eq!(build(json!({"a": "x".repeat(Claims::MAX_BYTES)})), Err(ClaimsError::TooLong));
        let none = Map::new();
        assert_eq!(Claims::build(Some(&json!("x")), None, &none), Err(ClaimsError::Confirmation));
        assert_eq!(Claims::build(Some(&json!({})), None, &none), Err(ClaimsError::Confirmation));
        for details in [json!({}), json!([1]), json!([{"type": 1}])] {
            assert_eq!(Claims::build(None, Some(&details), &none), Err(ClaimsError::AuthorizationDetails));
        }
    }
}

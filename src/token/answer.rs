//! The introspection answer for an active token (RFC 7662 section 2.2), written in one pass.

use super::identity::Identity;
use super::record::Record;
use super::scope::Scope;
use super::time::UnixSeconds;

/// The answer for every token that is not active, whatever the reason: 16 bytes, always the same.
pub const INACTIVE: &[u8] = br#"{"active":false}"#;

/// The answer for an active token when the caller wants to know no more than that.
pub const ACTIVE: &[u8] = br#"{"active":true}"#;

/// The same answer with one more member: for how many seconds the token is active from now on, so that a caller whose
/// clock is wrong can keep the answer for no longer. Not a member of RFC 7662; added only when it is asked for.
pub fn with_expires_in(mut answer: Vec<u8>, seconds: u64) -> Vec<u8> {
    answer.pop();
    answer.extend(br#","expires_in":"#);
    answer.extend(itoa::Buffer::new().format(seconds).as_bytes());
    answer.push(b'}');
    answer
}

/// Renders the answer for an active token, with the part of its scope that the caller may see.
///
/// Members that have no value are left out, never `null` or empty. Custom claims come first and cannot hold a
/// registered name (see [`super::claims::RESERVED`]), so nothing after them can be overwritten.
pub fn render(identity: &Identity, record: &Record, scope: &Scope, issuer: &str) -> Vec<u8> {
    let mut json = Json::with_capacity(320 + record.claims.as_str().len() + scope.as_str().len());
    json.0.extend(br#"{"active":true"#);
    if !record.claims.is_empty() {
        json.0.push(b',');
        json.0.extend(record.claims.as_str().as_bytes());
    }
    json.text("iss", issuer);
    json.text("client_id", &record.client_id);
    if let Some(subject) = &record.subject {
        json.text("sub", subject);
    }
    if let Some(username) = &record.username {
        json.text("username", username);
    }
    if !scope.is_empty() {
        json.text("scope", scope.as_str());
    }
    json.audience(&record.audience);
    if let Some(token_type) = record.token_type() {
        json.text("token_type", token_type);
    }
    json.seconds("exp", record.expires_at);
    json.seconds("iat", record.issued_at);
    if let Some(not_before) = record.not_before {
        json.seconds("nbf", not_before);
    }
    json.text("jti", &identity.to_text());
    json.0.push(b'}');
    json.0
}

/// Appends members to an object that has at least one already.
struct Json(Vec<u8>);

impl Json {
    fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    fn name(&mut self, name: &str) {
        self.0.extend(b",\"");
        self.0.extend(name.as_bytes());
        self.0.extend(b"\":");
    }

    fn string(&mut self, value: &str) {
        serde_json::to_writer(&mut self.0, value).expect("writing a string into memory cannot fail");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.string(value);
    }

    fn seconds(&mut self, name: &str, value: UnixSeconds) {
        self.name(name);
        self.0.extend(itoa::Buffer::new().format(value.0).as_bytes());
    }

    /// One audience is a string, several are an array (RFC 7519 section 4.1.3).
    fn audience(&mut self, audience: &[Box<str>]) {
        match audience {
            [] => {}
            [only] => self.text("aud", only),
            several => {
                self.name("aud");
                for (position, name) in several.iter().enumerate() {
                    self.0.push(if position == 0 { b'[' } else { b',' });
                    self.string(name);
                }
                self.0.push(b']');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::claims::Claims;
    use super::super::digest::TokenDigest;
    use super::super::record::State;
    use super::super::time::Stamp;
    use super::super::value::TokenKind;
    use super::*;

    fn record() -> Record {
        Record {
            state: State::Approved,
            stamp: Stamp(1),
            owner_created: Stamp(0),
            kind: TokenKind::Access,
            issued_at: UnixSeconds(1_790_000_000),
            not_before: Some(UnixSeconds(1_790_000_000)),
            expires_at: UnixSeconds(1_790_000_900),
            client_id: "app\"1".into(),
            subject: Some("u\u{e9}\n".into()),
            username: None,
            scope: Scope::parse("read write").unwrap(),
            audience: vec!["https://rs".into()],
            grant: None,
            claims: Claims::build(None, None, json!({"acr": "gold"}).as_object().unwrap()).unwrap(),
        }
    }

    fn parse(record: &Record, scope: &Scope) -> Value {
        serde_json::from_slice(&render(&Identity::Opaque(TokenDigest([0; 16])), record, scope, "https://as")).unwrap()
    }

    #[test]
    fn rfc7662_2_2_members_and_their_types() {
        let record = record();
        assert_eq!(
            parse(&record, &record.scope),
            json!({
                "active": true, "iss": "https://as", "client_id": "app\"1", "sub": "u\u{e9}\n", "scope": "read write",
                "aud": "https://rs", "token_type": "Bearer", "exp": 1_790_000_900_u64, "iat": 1_790_000_000_u64,
                "nbf": 1_790_000_000_u64, "jti": "AAAAAAAAAAAAAAAAAAAAAA", "acr": "gold"
            })
        );
    }

    #[test]
    fn absent_values_are_left_out_and_a_refresh_token_has_no_type() {
        let bare = Record {
            kind: TokenKind::Refresh,
            not_before: None,
            subject: None,
            audience: vec![],
            claims: Claims::default(),
            ..record()
        };
        let answer = parse(&bare, &Scope::default());
        let names: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(names, ["active", "client_id", "exp", "iat", "iss", "jti"]);
    }

    #[test]
    fn several_audiences_are_an_array() {
        let record = Record { audience: vec!["a".into(), "b".into()], ..record() };
        assert_eq!(parse(&record, &record.scope)["aud"], json!(["a", "b"]));
    }
}

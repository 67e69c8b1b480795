//! What a caller may see of a token, and ask for in one of its own: pure functions, deny by default.

use std::borrow::Cow;

use serde_json::Value;

use super::{Client, EVERY_AUDIENCE, Right};
use crate::token::record::Record;
use crate::token::scope::Scope;
use crate::token::value::TokenKind;

/// What of a token's scope the caller may see; `None` when it may not see the token at all.
///
/// - The owner sees its own tokens whole.
/// - A refresh token is nobody else's business: a resource server that saw it could take it for an access token.
/// - A resource server sees access tokens made for an audience that it serves (RFC 7662 section 4), and of their scopes
///   those that it is registered for (section 2.2; RFC 9701 section 5). One registered for no scope sees them all; one
///   to which no scope is left sees nothing.
pub fn visible_scope<'a>(caller: &Client, record: &'a Record) -> Option<Cow<'a, Scope>> {
    if *record.client_id == *caller.client_id.as_str() {
        return Some(Cow::Borrowed(&record.scope));
    }
    if record.kind == TokenKind::Refresh || !serves_any(caller, &record.audience) {
        return None;
    }
    if caller.scope.is_empty() || record.scope.is_empty() {
        return Some(Cow::Borrowed(&record.scope));
    }
    let narrowed = record.scope.intersection(&caller.scope);
    (!narrowed.is_empty()).then_some(Cow::Owned(narrowed))
}

fn serves_any(caller: &Client, audience: &[Box<str>]) -> bool {
    caller
        .audiences
        .iter()
        .any(|served| &**served == EVERY_AUDIENCE || audience.iter().any(|intended| intended == served))
}

/// The scope of a token that `client` asks for on its own behalf: what it asked for, or all it is registered for.
///
/// Scopes that stand for a right of ours are given only on request and only to a client that has the right.
/// `None` when it asked for more than it may have: `invalid_scope` (RFC 6749 section 5.2).
pub fn granted_scope(client: &Client, requested: &Scope) -> Option<Scope> {
    if requested.is_empty() {
        return Some(client.scope.filtered(|name| Right::of_scope(name).is_none()));
    }
    let allowed = |name: &str| match Right::of_scope(name) {
        Some(right) => client.rights.contains(right),
        None => client.scope.contains(name),
    };
    requested.names().all(allowed).then(|| requested.clone())
}

/// The audience of a token that `client` asks for on its own behalf: the resources it asked for, or all its audiences.
///
/// `None` when it asked for one that is not its own: `invalid_target` (RFC 8707 section 2).
pub fn granted_audience(client: &Client, requested: &[Box<str>]) -> Option<Vec<Box<str>>> {
    let own = || client.audiences.iter().filter(|audience| &***audience != EVERY_AUDIENCE);
    if requested.is_empty() {
        return Some(own().cloned().collect());
    }
    requested.iter().all(|resource| client.serves(resource)).then(|| requested.to_vec())
}

/// Whether `client` may ask for these authorization details: all of types that it is registered for (RFC 9396 section
/// 5).
pub fn may_ask_for(client: &Client, details: &Value) -> bool {
    let registered = |kind: &str| client.authorization_details_types.iter().any(|registered| **registered == *kind);
    let asked = details.as_array().map(Vec::as_slice).unwrap_or_default();
    asked.iter().all(|detail| detail.get("type").and_then(Value::as_str).is_some_and(registered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::metadata::blank;
    use crate::client::{ClientId, Rights};
    use crate::token::claims::Claims;
    use crate::token::record::State;
    use crate::token::time::{Stamp, UnixSeconds};

    fn client(id: &str, scope: &str, audiences: &[&str]) -> Client {
        Client {
            scope: Scope::parse(scope).unwrap(),
            audiences: audiences.iter().map(|&audience| audience.into()).collect(),
            ..blank(ClientId::parse(id).unwrap(), UnixSeconds(0))
        }
    }

    fn token(kind: TokenKind, scope: &str, audience: &[&str]) -> Record {
        Record {
            state: State::Approved,
            stamp: Stamp(1),
            owner_created: Stamp(0),
            kind,
            issued_at: UnixSeconds(0),
            not_before: None,
            expires_at: UnixSeconds(10),
            client_id: "owner".into(),
            subject: None,
            username: None,
            scope: Scope::parse(scope).unwrap(),
            audience: audience.iter().map(|&name| name.into()).collect(),
            grant: None,
            claims: Claims::default(),
        }
    }

    fn sees(caller: &Client, record: &Record) -> Option<String> {
        visible_scope(caller, record).map(|scope| scope.to_string())
    }

    #[test]
    fn the_owner_sees_its_tokens_whole() {
        let owner = client("owner", "", &[]);
        for kind in [TokenKind::Access, TokenKind::Refresh] {
            assert_eq!(sees(&owner, &token(kind, "a b", &["x"])), Some("a b".into()));
        }
    }

    /// RFC 7662 sections 2.2 and 4: only for an audience it serves, and a token without audience is for nobody.
    #[test]
    fn rfc7662_4_a_resource_server_sees_its_audience_only() {
        let access = |audience: &[&str]| token(TokenKind::Access, "a", audience);
        let server = client("rs", "", &["https://rs"]);
        assert_eq!(sees(&server, &access(&["https://rs"])), Some("a".into()));
        assert_eq!(sees(&server, &access(&["https://other", "https://rs"])), Some("a".into()));
        assert_eq!(sees(&server, &access(&["https://other"])), None);
        assert_eq!(sees(&server, &access(&["https://rs.evil"])), None);
        assert_eq!(sees(&server, &access(&[])), None);
        assert_eq!(sees(&client("none", "", &[]), &access(&["https://rs"])), None);
        assert_eq!(sees(&client("gateway", "", &["*"]), &access(&[])), Some("a".into()));
        assert_eq!(sees(&server, &access(&["*"])), None, "a token cannot name every audience");
    }

    #[test]
    fn nobody_but_the_owner_sees_a_refresh_token() {
        assert_eq!(sees(&client("gateway", "", &["*"]), &token(TokenKind::Refresh, "a", &["https://rs"])), None);
    }

    #[test]
    fn a_resource_server_sees_the_scopes_it_is_registered_for() {
        let server = client("rs", "b c", &["https://rs"]);
        assert_eq!(sees(&server, &token(TokenKind::Access, "a b c", &["https://rs"])), Some("b c".into()));
        assert_eq!(sees(&server, &token(TokenKind::Access, "a", &["https://rs"])), None);
        assert_eq!(sees(&server, &token(TokenKind::Access, "", &["https://rs"])), Some(String::new()));
    }

    #[test]
    fn a_client_is_granted_no_more_than_it_is_registered_for() {
        let mut app = client("app", "read write", &["https://rs", "*"]);
        let ask = |app: &Client, scope: &str| {
            granted_scope(app, &Scope::parse(scope).unwrap()).map(|granted| granted.to_string())
        };
        assert_eq!(ask(&app, ""), Some("read write".into()));
        assert_eq!(ask(&app, "write"), Some("write".into()));
        assert_eq!(ask(&app, "read delete"), None);
        assert_eq!(ask(&app, "introspectd:introspect"), None);
        app.rights = Rights::of(&[Right::Introspect]);
        assert_eq!(ask(&app, "introspectd:introspect"), Some("introspectd:introspect".into()));
        assert_eq!(ask(&app, "introspectd:admin"), None);
        app.scope = Scope::parse("introspectd:admin").unwrap();
        assert_eq!(ask(&app, "introspectd:admin"), None, "a registered scope is not a right");
        assert_eq!(ask(&app, ""), Some(String::new()), "nor is it given unasked");
    }

    #[test]
    fn rfc8707_2_a_client_names_its_own_resources_only() {
        let app = client("app", "", &["https://a", "https://b"]);
        let ask = |names: &[&str]| granted_audience(&app, &names.iter().map(|&name| name.into()).collect::<Vec<_>>());
        assert_eq!(ask(&[]), Some(vec!["https://a".into(), "https://b".into()]));
        assert_eq!(ask(&["https://b"]), Some(vec!["https://b".into()]));
        assert_eq!(ask(&["https://b", "https://c"]), None);
    }
}

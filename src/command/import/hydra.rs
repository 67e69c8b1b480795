//! Clients as Ory Hydra lists them.
//!
//! `hydra list oauth2-clients --format json` prints `{"items": [...], "is_last_page": ..., "next_page_token": ...}`,
//! and version 1 a list. What of a client has no meaning here is left behind: redirect URIs, consent, pages for people.

use serde_json::{Map, Value, json};

use super::Failure;
use super::lines::Source;
use crate::json::{StrictValue, explain};

/// The most that is read at once, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// The grants that are offered here; the others begin with somebody who logs in at Hydra's pages.
const GRANTS: [&str; 2] = ["client_credentials", "refresh_token"];

/// One line for each client of a document, of several, or of a list of objects.
pub(super) fn as_lines(mut source: Source) -> Result<Source, Failure> {
    let name = source.name().to_owned();
    let text = source.whole(MOST_BYTES)?;
    let text = text.ok_or_else(|| Failure::Usage(format!("{name} is longer than 64 MiB: list fewer at a time")))?;
    let mut lines = String::new();
    for document in serde_json::Deserializer::from_slice(&text).into_iter::<StrictValue>() {
        let StrictValue(document) =
            document.map_err(|error| Failure::Usage(format!("{name} is not JSON: {}", explain(&error))))?;
        let clients = match document {
            Value::Array(clients) => clients,
            Value::Object(mut page) => match page.remove("items") {
                Some(Value::Array(clients)) => {
                    if page.get("is_last_page") == Some(&json!(false)) {
                        eprintln!("{name} holds a page that is not the last: list the next with its next_page_token");
                    }
                    clients
                }
                _ => vec![Value::Object(page)],
            },
            other => vec![other],
        };
        for client in clients {
            lines.push_str(&client.to_string());
            lines.push('\n');
        }
    }
    Ok(Source::of_text(lines.into_bytes(), name))
}

/// A client of Hydra in the member names of ours.
///
/// # Errors
/// The member that cannot be taken over, and why.
pub(super) fn translate(mut client: Map<String, Value>) -> Result<Map<String, Value>, (&'static str, String)> {
    let mut taken = Map::new();
    let mut keep = |name: &str, value: Value| taken.insert(name.to_owned(), value);
    for name in ["client_id", "client_name", "client_secret", "scope", "token_endpoint_auth_method"] {
        if let Some(value) = client.remove(name).filter(is_said) {
            keep(name, value);
        }
    }
    if let Some(audience) = client.remove("audience").filter(is_said) {
        keep("audiences", audience);
    }
    if let Some(Value::Array(grants)) = client.remove("grant_types") {
        let kept = grants.into_iter().filter(|grant| grant.as_str().is_some_and(|name| GRANTS.contains(&name)));
        keep("grant_types", kept.collect());
    }
    // An empty key set stands for none, there; and what is signed with a key that is fetched cannot be verified here.
    let keys = client.remove("jwks").filter(|keys| keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()));
    match (keys, client.remove("jwks_uri").filter(is_said)) {
        (Some(keys), _) => {
            keep("jwks", keys);
        }
        (None, Some(_)) => {
            let reason = "keys are not fetched here: put what the URI answers into jwks";
            return Err(("jwks_uri", reason.to_owned()));
        }
        (None, None) => {}
    }
    let by_assertion = taken.get("token_endpoint_auth_method") == Some(&json!("private_key_jwt"));
    let algorithm = client.remove("token_endpoint_auth_signing_alg").filter(is_said);
    if let Some(algorithm) = algorithm.filter(|_| by_assertion) {
        taken.insert("token_endpoint_auth_signing_alg".to_owned(), algorithm);
    }
    if let Some(Value::String(strategy)) = client.remove("access_token_strategy").filter(is_said) {
        taken.insert("access_token_format".to_owned(), json!(strategy));
    }
    for (theirs, ours) in [
        ("client_credentials_grant_access_token_lifespan", "access_token_lifetime"),
        ("refresh_token_grant_refresh_token_lifespan", "refresh_token_lifetime"),
    ] {
        if let Some(lifespan) = client.remove(theirs).filter(is_said) {
            let seconds = lifespan.as_str().and_then(seconds).ok_or((theirs, "must be like 1h30m".to_owned()))?;
            taken.insert(ours.to_owned(), json!(seconds));
        }
    }
    Ok(taken)
}

fn is_said(value: &Value) -> bool {
    !value.is_null() && value != "" && value != &json!([])
}

/// Whole seconds of a duration as Go writes it: `720h`, `1h30m0s`.
fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = &rest[end..];
        let (factor, length) = match unit.as_bytes() {
            [b'h', ..] => (3600, 1),
            [b'm', next, ..] if next.is_ascii_alphabetic() => return None,
            [b'm', ..] => (60, 1),
            [b's', ..] => (1, 1),
            _ => return None,
        };
        total = number.checked_mul(factor).and_then(|seconds| total.checked_add(seconds))?;
        rest = &unit[length..];
    }
    (total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(client: Value) -> Result<Value, (&'static str, String)> {
        let Value::Object(client) = client else { panic!("an object is given") };
        translate(client).map(Value::Object)
    }

    #[test]
    fn what_has_a_meaning_here_is_taken_over() {
        let client = json!({
            "client_id": "e0a2", "client_name": "", "audience": ["https://api"], "grant_types":
            ["authorization_code", "refresh_token"], "jwks": {}, "jwks_uri": "", "scope": "offline read",
            "redirect_uris": ["https://app/cb"], "token_endpoint_auth_method": "client_secret_basic",
            "token_endpoint_auth_signing_alg": "RS256", "access_token_strategy": "jwt", "metadata": {},
            "client_credentials_grant_access_token_lifespan": "1h30m0s",
            "refresh_token_grant_refresh_token_lifespan": null
        });
        let expected = json!({
            "client_id": "e0a2", "audiences": ["https://api"], "grant_types": ["refresh_token"],
            "scope": "offline read", "token_endpoint_auth_method": "client_secret_basic",
            "access_token_format": "jwt", "access_token_lifetime": 5400
        });
        assert_eq!(translated(client), Ok(expected));
        assert_eq!(translated(json!({"jwks_uri": "https://x"})).unwrap_err().0, "jwks_uri");
        let lifespan = json!({"client_credentials_grant_access_token_lifespan": "soon"});
        assert_eq!(translated(lifespan).unwrap_err().0, "client_credentials_grant_access_token_lifespan");
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("720h", Some(2_592_000)),
            ("1h0m0s", Some(3600)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("", None),
            ("1", None),
            ("1.5h", None),
            ("10ms", None),
            ("-1h", None),
            ("0s", None),
            ("99999999999999999999h", None),
            ("5124095576030432h", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}

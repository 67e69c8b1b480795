//! A list of tokens with what is true of them: how any RFC 7662 server is measured.

use serde::{Deserialize, Serialize};

use super::Kind;

/// One token: `{"token": "...", "active": true}`, with the kind and the subject where they are known.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// Its text.
    pub(crate) token: String,
    /// Whether it is active for the caller.
    pub(crate) active: bool,
    /// What it is, where a workload mixes kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    /// The `sub` that an answer for it must have: an answer for another token would be a lie, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<String>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Known").field("active", &self.active).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Reads a list, one JSON object a line. Faults name the line, never the token.
pub(crate) fn parse(text: &str) -> Result<Vec<Known>, String> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let refuse = |why: &str| format!("--tokens: line {}: {why}", number + 1);
        let known: Known =
            serde_json::from_str(line).map_err(|_| refuse(r#"is not {"token": "...", "active": true or false}"#))?;
        if known.token.is_empty() {
            return Err(refuse("the token is empty"));
        }
        if known.kind.is_some_and(|kind| kind.is_active() != known.active) {
            return Err(refuse("its kind and its state exclude each other"));
        }
        tokens.push(known);
    }
    if tokens.is_empty() {
        return Err("--tokens: the file is empty".to_owned());
    }
    Ok(tokens)
}

/// The list as lines.
pub(crate) fn render(tokens: &[Known]) -> String {
    let line = |known| serde_json::to_string(known).expect("its members are texts and truths");
    tokens.iter().map(|known| line(known) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_being_written() {
        let text = "{\"token\": \"a+b\", \"active\": true}\n\n\
                    {\"token\": \"c\", \"active\": false, \"kind\": \"wrong-client\", \"sub\": \"alice\"}\n";
        let tokens = parse(text).unwrap();
        assert_eq!((tokens.len(), tokens[1].kind), (2, Some(Kind::WrongClient)));
        assert_eq!(parse(&render(&tokens)).unwrap()[1].sub.as_deref(), Some("alice"));
        assert!(!format!("{tokens:?}").contains("a+b"));
    }

    #[test]
    fn a_fault_names_the_line_and_not_the_token() {
        let good = r#"{"token": "a+b", "active": true}"#;
        for bad in [
            r#"{"token": "hunter2"}"#,
            "hunter2",
            r#"{"token": "hunter2", "active": 1}"#,
            r#"{"token": "", "active": true}"#,
            r#"{"token": "hunter2", "active": true, "kind": "revoked"}"#,
            r#"{"token": "hunter2", "active": true, "kind": "hunter2"}"#,
        ] {
            let message = parse(&format!("{good}\n{bad}\n")).unwrap_err();
            assert!(message.contains("line 2") && !message.contains("hunter2"), "{message}");
        }
        assert!(parse("\n").is_err());
    }
}

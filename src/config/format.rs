//! The three formats of files, chosen by their extension.

use std::path::Path;

use serde_saphyr::options::DuplicateKeyPolicy;

use super::tree::Node;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Toml,
    Yaml,
    Json,
}

impl Format {
    /// The format of a file; `None` for an extension that is none of ours.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Reads a text. The message says where it breaks the format, and shows nothing of it: the line may hold a secret.
    pub(super) fn parse(self, text: &str) -> Result<Node, String> {
        match self {
            Self::Toml => toml::from_str(text).map_err(|error| {
                let start = error.span().map_or(0, |span| span.start);
                let (line, column) = position(text, start);
                // The parser's sentences are fixed; only its `Display` quotes the line.
                format!("line {line}, column {column}: {}", error.message())
            }),
            Self::Yaml => serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|error| {
                let what = match error.without_snippet() {
                    serde_saphyr::Error::DuplicateMappingKey { .. } => "the key is given twice",
                    _ => "not valid YAML",
                };
                match error.location() {
                    Some(place) => format!("line {}, column {}: {what}", place.line(), place.column()),
                    None => what.to_owned(),
                }
            }),
            Self::Json => serde_json::from_str(text)
                .map_err(|error| format!("line {}, column {}: not valid JSON", error.line(), error.column())),
        }
    }
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        // `access: off` is a word, and `id: 01` is two characters.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
    }
}

/// Line and column of a byte, both from 1.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Value;
    use super::*;

    #[test]
    fn the_extension_chooses() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a.toml"), Some(Format::Toml));
        assert_eq!(of("a.yaml"), Some(Format::Yaml));
        assert_eq!(of("a.yml"), Some(Format::Yaml));
        assert_eq!(of("a.json"), Some(Format::Json));
        assert_eq!(of("a.conf"), None);
        assert_eq!(of("toml"), None);
    }

    #[test]
    fn faults_say_where_and_never_what() {
        for (format, text, message) in [
            (Format::Toml, "[redis]\nurl = hunter2\n", "line 2, column 7: "),
            (Format::Toml, "a = 1\na = 2\n", "line 2, column 1: duplicate key"),
            (Format::Yaml, "redis:\n  url: \"hunter2\n", "line "),
            (Format::Yaml, "a: 1\na: 2\n", "line 2, column 1: the key is given twice"),
            (Format::Json, "{\"redis\": {\"url\": hunter2}}", "line 1, column 19: not valid JSON"),
        ] {
            let error = format.parse(text).unwrap_err();
            assert!(error.starts_with(message), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn yaml_words_stay_words() {
        let node = Format::Yaml.parse("access: off\nid: 01\non: yes\n").unwrap();
        for key in ["access", "id", "on"] {
            assert!(matches!(node.get(key).unwrap().value, Value::Text(_)), "{key}");
        }
        let node = Format::Yaml.parse("a: true\nb: 12\nc:\n").unwrap();
        assert!(matches!(node.get("a").unwrap().value, Value::Boolean(true)));
        assert!(matches!(node.get("b").unwrap().value, Value::Integer(12)));
        assert!(matches!(node.get("c").unwrap().value, Value::Null));
    }
}

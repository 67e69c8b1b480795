//! `docs/configuration.md`, written from the declarations.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::declaration::{Declaration, Setting, Shape, variable};

/// The reference page, as Markdown.
pub fn reference() -> String {
    let declarations = super::declarations();
    let mut page = String::from(HEAD);
    section(&mut page, "", declarations.iter());
    for declaration in declarations.iter() {
        let (title, table) = match declaration.shape {
            Shape::Setting(_) => continue,
            Shape::Section => (format!("[{}]", declaration.path), declaration.path.clone()),
            Shape::Tables => (format!("[[{}]]", declaration.path), format!("{}[]", declaration.path)),
        };
        write(&mut page, format_args!("\n## `{title}`\n\n{}\n", declaration.meaning));
        if matches!(declaration.shape, Shape::Tables) {
            let variable = variable(&declaration.path);
            write(&mut page, format_args!("`{variable}` takes the whole list, as JSON.\n"));
        }
        section(&mut page, &table, declarations.iter());
    }
    page
}

fn section<'a>(page: &mut String, table: &str, declarations: impl Iterator<Item = &'a Declaration>) {
    let in_list = table.ends_with("[]");
    let rows: Vec<_> = declarations
        .filter_map(|declaration| match &declaration.shape {
            Shape::Setting(setting) => Some((key_in(table, &declaration.path)?, declaration, setting)),
            _ => None,
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    page.push_str(if in_list {
        "\n| key | type | default | meaning |\n|---|---|---|---|\n"
    } else {
        "\n| key | environment variable | type | default | meaning |\n|---|---|---|---|---|\n"
    });
    for (key, declaration, setting) in rows {
        let kind = &setting.name;
        let default = default_text(setting);
        let meaning = declaration.meaning;
        if in_list {
            write(page, format_args!("| `{key}` | {kind} | {default} | {meaning} |\n"));
        } else {
            let variable = variable(&declaration.path);
            write(page, format_args!("| `{key}` | `{variable}` | {kind} | {default} | {meaning} |\n"));
        }
        if setting.secret {
            let meaning = format!("A file that holds `{key}`; set one of the two.");
            if in_list {
                write(page, format_args!("| `{key}_file` | path | | {meaning} |\n"));
            } else {
                let variable = variable(&declaration.path);
                write(page, format_args!("| `{key}_file` | `{variable}_FILE` | path | | {meaning} |\n"));
            }
        }
    }
}

fn key_in<'a>(table: &str, path: &'a str) -> Option<&'a str> {
    let key = if table.is_empty() { path } else { path.strip_prefix(table)?.strip_prefix('.')? };
    (!key.contains(['.', '['])).then_some(key)
}

fn default_text(setting: &Setting) -> String {
    match &setting.default {
        Some(Json::String(text)) if text.is_empty() => "empty".into(),
        Some(Json::String(text)) => format!("`{text}`"),
        Some(Json::Array(elements)) if elements.is_empty() => "empty".into(),
        Some(Json::Array(elements)) => {
            let texts: Vec<_> = elements.iter().map(|element| element.as_str().unwrap_or_default()).collect();
            format!("`{}`", texts.join("`, `"))
        }
        Some(other) => format!("`{other}`"),
        None if setting.required => "must be set".into(),
        None => "not set".into(),
    }
}

fn write(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    page.write_fmt(arguments).expect("writing to a String cannot fail");
}

const HEAD: &str = "\
# Configuration

<!-- Written from src/config/sections; `UPDATE_DOCS=1 cargo test documentation` writes it anew. -->

Sources, the stronger first: flags, environment variables, the last file given with `-c`, earlier files, the defaults.
Files are TOML, YAML or JSON by their extension. Tables of several files are joined key by key; a list is replaced as a
whole. A key that does not exist is an error, and all errors are reported at once.

- In the environment, a list is separated by commas or given as JSON; a list of tables, or a whole section, is JSON.
- A duration needs its unit: `us`, `ms`, `s`, `m`, `h` or `d`, as in `250ms`. Keys that end in `_bytes` are whole numbers.
- Each secret can also be read from a file, by the key with `_file` at its end. One line break at the end is left out.
- `introspectd config check` says whether a configuration is right, `config print` shows what is in effect and who set it,
  and `config schema` prints a JSON Schema for editors.
";

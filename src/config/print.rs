//! `config print`: what is in effect, and who said so.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::reader::Effective;
use super::tree::Origin;
use super::{ConfigErrors, Environment, Sources, load};

/// The effective configuration as TOML. Each line ends with where its value came from; secrets are not shown.
pub fn print<E: Environment>(sources: &Sources<E>) -> Result<String, ConfigErrors> {
    let (_, log) = load(sources)?;
    let mut page = String::new();
    let mut table = "";
    for effective in &log.effective {
        if effective.table != table {
            table = &effective.table;
            // An element's position is not part of its header.
            let header = match table.rsplit_once('[') {
                Some((list, _)) => format!("[[{list}]]"),
                None => format!("[{table}]"),
            };
            write(&mut page, format_args!("\n{header}\n"));
        }
        line(&mut page, effective);
    }
    Ok(page)
}

fn line(page: &mut String, effective: &Effective) {
    let Effective { key, value, origin, secret, used, .. } = effective;
    match value {
        None => write(page, format_args!("# {key} is not set\n")),
        Some(value) if !used => write(page, format_args!("# {key} = {} is not in use\n", toml_value(value))),
        Some(_) if *secret => write(page, format_args!("{key} = \"<redacted>\" # {}\n", comment(origin))),
        Some(value) => write(page, format_args!("{key} = {} # {}\n", toml_value(value), comment(origin))),
    }
}

/// A path may hold line breaks, which would end the comment.
fn comment(origin: &Origin) -> String {
    origin.to_string().chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn toml_value(value: &Json) -> String {
    match value {
        Json::String(text) => toml::Value::String(text.clone()).to_string(),
        Json::Array(elements) => format!("[{}]", elements.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        // Booleans and whole numbers are written alike in both.
        other => other.to_string(),
    }
}

fn write(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    page.write_fmt(arguments).expect("writing to a String cannot fail");
}

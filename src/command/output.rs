//! Answers as tables for people or JSON for programs.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Failure, print};

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
}

/// Prints one object: a line for each member, or JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn object(value: &Value, format: Format) -> Result<(), Failure> {
    let Some(members) = value.as_object().filter(|_| format == Format::Table) else { return json(value) };
    let width = members.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in members {
        let _ = writeln!(text, "{name:width$}  {}", cell(value));
    }
    print(text.as_bytes())
}

/// Prints a list of objects: the named members as columns, or everything as JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn list(values: &[Value], columns: &[&str], format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return json(&Value::from(values));
    }
    let heads: Vec<String> = columns.iter().map(|name| name.to_uppercase()).collect();
    let rows: Vec<Vec<String>> =
        values.iter().map(|value| columns.iter().map(|name| cell(&value[*name])).collect()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| std::iter::once(&heads).chain(&rows).map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(&rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    print(text.as_bytes())
}

fn json(value: &Value) -> Result<(), Failure> {
    print(format!("{value:#}\n").as_bytes())
}

/// A terminal acts on control characters, and some of these texts were chosen by others.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => elements.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

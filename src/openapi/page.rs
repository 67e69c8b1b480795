//! `docs/api.md`, written from the descriptions.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Features, admin, public};

/// The reference page, as Markdown.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    let public = public(Features::ALL, "");
    listener(&mut page, "The public listener", &public);
    listener(&mut page, "The admin listener", &admin());
    shared(&mut page, &public);
    page
}

fn listener(page: &mut String, title: &str, document: &Value) {
    let about = text(&document["info"], "description");
    write(page, format_args!("\n# {title}\n\n{about}\n"));
    for tag in list(&document["tags"]) {
        for (path, item) in map(&document["paths"]) {
            let operations = map(item).filter(|(method, _)| METHODS.contains(&method.as_str()));
            for (method, operation) in operations.filter(|(_, operation)| operation["tags"][0] == tag["name"]) {
                section(page, &format!("{} {path}", method.to_uppercase()), operation);
            }
        }
    }
    write(page, format_args!("\n## Objects of {}\n", title.to_lowercase()));
    for (name, schema) in map(&document["components"]["schemas"]) {
        // Both listeners have some of them.
        if page.contains(&format!("\n### `{name}`\n")) {
            continue;
        }
        let closed = schema["additionalProperties"] == Value::Bool(false);
        let rest = if closed { "Anything else is refused." } else { "There may be more." };
        write(page, format_args!("\n### `{name}`\n\n{rest}\n\n| member | type | | meaning |\n|---|---|---|---|\n"));
        for (member, schema_of) in map(&schema["properties"]) {
            let required = list(&schema["required"]).any(|name| name == member);
            let (kind, needed) = (kind(schema_of), if required { "required" } else { "" });
            write(page, format_args!("| `{member}` | {kind} | {needed} | {} |\n", text(schema_of, "description")));
        }
    }
}

fn section(page: &mut String, title: &str, operation: &Value) {
    let summary = text(operation, "summary");
    if summary.starts_with(ALIAS) {
        write(page, format_args!("\n## `{title}`\n\n{summary}.\n"));
        return;
    }
    write(page, format_args!("\n## `{title}`\n\n{summary}.\n\n{}\n", text(operation, "description")));
    let body = &operation["requestBody"];
    for (media_type, content) in map(&body["content"]) {
        let may = if body["required"] == Value::Bool(true) { "" } else { " May be left out." };
        write(page, format_args!("\nBody: {} as `{media_type}`.{may}\n", kind(&content["schema"])));
    }
    let parameters: Vec<&Value> = list(&operation["parameters"]).collect();
    if !parameters.is_empty() {
        page.push_str("\n| parameter | in | type | meaning |\n|---|---|---|---|\n");
    }
    for parameter in parameters {
        let (name, place) = (text(parameter, "name"), text(parameter, "in"));
        let (kind, meaning) = (kind(&parameter["schema"]), text(parameter, "description"));
        write(page, format_args!("| `{name}` | {place} | {kind} | {meaning} |\n"));
    }
    page.push_str("\n| status | answer |\n|---|---|\n");
    for (status, response) in map(&operation["responses"]) {
        // What every route can answer stands at the end of the page.
        if !response["$ref"].is_string() {
            answer(page, status, response);
        }
    }
}

fn answer(page: &mut String, status: &str, response: &Value) {
    let mut words = text(response, "description").replace("\n- ", "<br>").replace('\n', "<br>");
    if let Some(rest) = words.strip_prefix("- ") {
        words = rest.to_owned();
    }
    let kinds: Vec<String> = map(&response["content"])
        .filter(|(_, content)| content["schema"]["properties"].is_null())
        .map(|(media_type, content)| match media_type.as_str() {
            "application/json" => kind(&content["schema"]),
            other => format!("`{other}`"),
        })
        .collect();
    let body = if kinds.is_empty() { String::new() } else { format!("<br>Body: {}.", kinds.join(" or ")) };
    let usual = |header: &Value| header["$ref"].is_string();
    let headers: Vec<String> =
        map(&response["headers"]).filter(|(_, header)| !usual(header)).map(|(name, _)| format!("`{name}`")).collect();
    let headers = if headers.is_empty() { String::new() } else { format!("<br>Headers: {}.", headers.join(", ")) };
    write(page, format_args!("| {status} | {words}{body}{headers} |\n"));
}

/// What every route can answer.
fn shared(page: &mut String, document: &Value) {
    page.push_str("\n# What every route can answer\n\n| answer | when |\n|---|---|\n");
    for (name, response) in map(&document["components"]["responses"]) {
        let words = text(response, "description").replace("\n- ", "<br>");
        write(page, format_args!("| {name} | {} |\n", words.trim_start_matches("- ")));
    }
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return format!("[`{name}`](#{})", name.to_lowercase());
    }
    for choice in ["anyOf", "oneOf"] {
        if schema[choice].is_array() {
            return list(&schema[choice]).map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if schema["enum"].is_array() {
        let names = list(&schema["enum"]).filter(|name| name.as_str() != Some(""));
        return names.map(|name| format!("`{}`", name.as_str().unwrap_or("null"))).collect::<Vec<_>>().join(", ");
    }
    if schema["type"].is_null() {
        return "anything".to_owned();
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let words = names.into_iter().map(|name| match name {
        "string" => sized(schema),
        "array" => format!("list of: {}", kind(&schema["items"])),
        "integer" => "whole number".to_owned(),
        "null" => "`null`".to_owned(),
        other => other.to_owned(),
    });
    words.collect::<Vec<_>>().join(" or ")
}

fn sized(schema: &Value) -> String {
    let (least, most) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
    match (least.filter(|least| *least > 0), most) {
        (None, None) => "text".to_owned(),
        (Some(least), None) => format!("text of {least} characters or more"),
        (None, Some(most)) => format!("text of at most {most} characters"),
        (Some(least), Some(most)) => format!("text of {least} to {most} characters"),
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().map(Map::iter).into_iter().flatten()
}

fn write(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    page.write_fmt(arguments).expect("writing to a String cannot fail");
}

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// How the summary of a path begins that is beside the usual one.
pub(super) const ALIAS: &str = "The same as ";

const HEAD: &str = "\
# The API

<!-- Written from src/openapi; `UPDATE_DOCS=1 cargo test documentation` writes it anew. -->

What a node answers, route by route. The same for programs, in OpenAPI 3.1: `GET /openapi.json` at either listener, with the
routes that are on there, or `introspectd openapi --public` and `--admin`, with all of them. The routes of accounts are there
with `accounts.enabled`, those of gateways with `forward_auth.enabled`.

Every refusal is a JSON object with `error`, a code for programs, and `error_description` (RFC 6749 section 5.2). Answers are
kept by nobody (`Cache-Control: no-store`), except for documents, which say for how long. 401 comes with `WWW-Authenticate`,
429 and 503 with `Retry-After`.
";

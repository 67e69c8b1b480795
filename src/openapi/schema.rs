//! The words that schemas are written in (JSON Schema 2020-12, which OpenAPI 3.1 takes over whole).

#![expect(clippy::needless_pass_by_value, reason = "schemas are written inside each other")]

use serde_json::{Map, Value, json};

/// A member of an object: its name, whether it must be there, its schema and what it means.
pub(super) struct Member {
    name: &'static str,
    required: bool,
    schema: Value,
}

/// A member that must be there.
pub(super) fn must(name: &'static str, schema: Value, meaning: &str) -> Member {
    Member { name, required: true, schema: said(schema, meaning) }
}

/// A member that may be there.
pub(super) fn may(name: &'static str, schema: Value, meaning: &str) -> Member {
    Member { name, required: false, schema: said(schema, meaning) }
}

/// A member that may be there, and for which `null` says the same as leaving it out.
pub(super) fn or_null(name: &'static str, mut schema: Value, meaning: &str) -> Member {
    if let Some(names) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        names.push(Value::Null);
    }
    match schema.get("type").cloned() {
        Some(kind @ Value::String(_)) => schema["type"] = json!([kind, "null"]),
        _ => schema = json!({"anyOf": [schema, {"type": "null"}]}),
    }
    may(name, schema, meaning)
}

/// The same schema, with what it means.
pub(super) fn said(mut schema: Value, meaning: &str) -> Value {
    schema["description"] = meaning.into();
    schema
}

/// An object that may hold more than is said: readers pass over what they do not know.
pub(super) fn open(members: Vec<Member>) -> Value {
    let required: Vec<&str> = members.iter().filter(|member| member.required).map(|member| member.name).collect();
    let mut schema = json!({"type": "object"});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let properties: Map<String, Value> =
        members.into_iter().map(|member| (member.name.to_owned(), member.schema)).collect();
    schema["properties"] = properties.into();
    schema
}

/// An object that is refused when it holds anything else.
pub(super) fn closed(members: Vec<Member>) -> Value {
    let mut schema = open(members);
    schema["additionalProperties"] = false.into();
    schema
}

/// Any text.
pub(super) fn text() -> Value {
    json!({"type": "string"})
}

/// A text of so many characters.
pub(super) fn sized(least: usize, most: usize) -> Value {
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// Printable ASCII of so many characters (`VSCHAR`, RFC 6749 appendix A).
pub(super) fn printable(least: usize, most: usize) -> Value {
    json!({"type": "string", "pattern": "^[ -~]*$", "minLength": least, "maxLength": most})
}

/// One of these.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    json!({"type": "string", "enum": names.into_iter().collect::<Vec<_>>()})
}

/// Yes or no.
pub(super) fn flag() -> Value {
    json!({"type": "boolean"})
}

/// Yes or no, and what it is where nothing is said.
pub(super) fn flag_or(usual: bool) -> Value {
    json!({"type": "boolean", "default": usual})
}

/// A whole number that is not negative.
pub(super) fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// A whole number of these, and what it is where nothing is said.
pub(super) fn within(least: u64, most: u64, usual: u64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "default": usual})
}

/// A moment, in seconds since 1970.
pub(super) fn moment() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": crate::token::time::UnixSeconds::MAX.0})
}

/// A list.
pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// A list of at most so many.
pub(super) fn list_of_at_most(most: usize, items: Value) -> Value {
    json!({"type": "array", "maxItems": most, "items": items})
}

/// A schema that has a name of its own.
pub(super) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A scope: names with one space between them (RFC 6749 section 3.3).
pub(super) fn scope() -> Value {
    let most = crate::token::scope::Scope::MAX_BYTES;
    json!({"type": "string", "pattern": r"^([!#-\[\]-~]+( [!#-\[\]-~]+)*)?$", "maxLength": most})
}

/// 16 bytes as base64url without padding, as users, sessions and grants are named.
pub(super) fn identifier() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"})
}

/// The identifier of a client.
pub(super) fn client_id() -> Value {
    printable(1, crate::client::ClientId::MAX_BYTES)
}

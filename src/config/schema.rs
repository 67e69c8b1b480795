//! `config schema`: JSON Schema, for editors and for what writes configuration files.

use serde_json::{Map, Value as Json, json};

use super::declaration::{Declaration, Declarations, Setting, Shape};

/// The schema of a configuration file, draft 2020-12.
pub fn schema() -> Json {
    let declarations = super::declarations();
    let mut root = object(&declarations, "");
    let own = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "introspectd",
        "description": "Configuration of introspectd.",
    });
    if let (Json::Object(root), Json::Object(own)) = (&mut root, own) {
        root.extend(own);
    }
    root
}

/// The table at a path, as `redis` or `keys.digest[]`.
fn object(declarations: &Declarations, path: &str) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut rules = Vec::new();
    for declaration in declarations.iter() {
        let Some(key) = child(path, &declaration.path) else { continue };
        match &declaration.shape {
            Shape::Setting(setting) => {
                properties.insert(key.to_owned(), property(declaration, setting));
                if setting.secret {
                    let file = format!("{key}_file");
                    let about = format!("A file that holds `{key}`.");
                    properties.insert(file.clone(), json!({"type": "string", "minLength": 1, "description": about}));
                    rules.push(json!({"not": {"required": [key, file]}}));
                    if setting.required {
                        rules.push(json!({"anyOf": [{"required": [key]}, {"required": [file]}]}));
                    }
                } else if setting.required {
                    required.push(key);
                }
            }
            Shape::Section => {
                let mut section = object(declarations, &declaration.path);
                section["description"] = json!(declaration.meaning);
                properties.insert(key.to_owned(), section);
            }
            Shape::Tables => {
                let items = object(declarations, &format!("{}[]", declaration.path));
                let list = json!({"type": "array", "description": declaration.meaning, "items": items});
                properties.insert(key.to_owned(), list);
            }
        }
    }
    let mut table = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    if !rules.is_empty() {
        table["allOf"] = json!(rules);
    }
    table
}

fn property(declaration: &Declaration, setting: &Setting) -> Json {
    let mut property = setting.schema.clone();
    property["description"] = json!(declaration.meaning);
    if let Some(default) = &setting.default {
        property["default"] = default.clone();
    }
    property
}

/// The key of a path that lies directly in a table.
fn child<'a>(table: &str, path: &'a str) -> Option<&'a str> {
    let key = if table.is_empty() { path } else { path.strip_prefix(table)?.strip_prefix('.')? };
    (!key.contains(['.', '['])).then_some(key)
}

//! The schema, and the pages that are written from the code.

use std::path::Path;

use serde_json::Value as Json;

use super::*;

/// Compares a page with what the code says, or writes it anew when `UPDATE_DOCS` is set.
#[track_caller]
fn is_current(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(held == expected, "docs/{name} is stale: run `UPDATE_DOCS=1 cargo test documentation` and commit it");
}

#[test]
fn the_configuration_page_is_current() {
    is_current("configuration.md", &reference());
}

#[test]
fn the_metrics_page_is_current() {
    is_current("metrics.md", &crate::telemetry::metrics::reference());
}

#[test]
fn the_api_page_is_current() {
    is_current("api.md", &crate::openapi::page());
}

#[test]
fn the_page_of_the_command_line_is_current() {
    is_current("command-line.md", &crate::command::reference::reference());
}

#[test]
fn the_schema_describes_every_setting_and_nothing_else() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut found = Vec::new();
    collect(&schema, "", &mut found);
    let mut declared = Vec::new();
    for declaration in declarations().iter() {
        if let declaration::Shape::Setting(setting) = &declaration.shape {
            declared.push(declaration.path.clone());
            if setting.secret {
                declared.push(format!("{}_file", declaration.path));
            }
        }
    }
    found.sort();
    declared.sort();
    assert_eq!(found, declared);
    assert_eq!(schema.pointer("/properties/http/properties/max_headers/default"), Some(&Json::from(100)));
    assert_eq!(schema.pointer("/properties/http/properties/max_headers/minimum"), Some(&Json::from(10)));
    assert_eq!(schema.pointer("/properties/clients/items/required"), Some(&serde_json::json!(["client_id"])));
    assert_eq!(schema.pointer("/properties/redis/allOf/0/not/required"), Some(&serde_json::json!(["url", "url_file"])));
}

/// The paths of all values of a schema; each table must be closed.
fn collect(schema: &Json, path: &str, found: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false, "{path}");
        for (key, value) in properties {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            collect(value, &at, found);
        }
    } else if schema["items"]["properties"].is_object() {
        collect(&schema["items"], &format!("{path}[]"), found);
    } else {
        assert!(schema["description"].is_string(), "{path}");
        found.push(path.to_owned());
    }
}

/// A table row may not be broken by a sentence, and each sentence ends.
#[test]
fn meanings_are_sentences_on_one_line() {
    for declaration in declarations().iter() {
        let meaning = declaration.meaning;
        assert!(meaning.ends_with('.') && !meaning.contains(['|', '\n']), "{}: {meaning}", declaration.path);
    }
    for family in crate::telemetry::metrics::catalogue() {
        assert!(family.help.ends_with('.') && !family.help.contains(['|', '\n']), "{}", family.name);
    }
}

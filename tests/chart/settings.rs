//! The settings of the service within the chart's values: what the schema says of `config` is what the service says.

use std::fs;

use serde_json::{Value, json};

use super::{chart, declared, schema};

/// What the chart writes from other values; each can be said in one place only.
const WRITTEN: [&str; 13] = [
    "public.address",
    "public.tls_certificate_file",
    "public.tls_key_file",
    "admin.address",
    "admin.insecure",
    "admin.tls_certificate_file",
    "admin.tls_key_file",
    "redis.url",
    "redis.url_file",
    "redis.ca_file",
    "keys",
    // One process has it, and a fleet has Redis.
    "store",
    // The root of pods cannot be written to, and nobody else is in there.
    "public.unix",
];

/// The schema of the service for what is left to `config`.
fn expected() -> Value {
    let mut schema = introspectd::config::schema();
    let members = schema.as_object_mut().unwrap();
    members.remove("$schema");
    members.remove("title");
    let about = "By the names of docs/configuration.md; what the chart sets from other values is refused here.";
    members.insert("description".to_owned(), json!(about));
    for path in WRITTEN {
        let pointer = format!("/properties/{}", path.replace('.', "/properties/"));
        *schema.pointer_mut(&pointer).unwrap_or_else(|| panic!("{path} is no setting")) = json!(false);
    }
    narrow(&mut schema);
    schema
}

/// A `ConfigMap` is no place for a secret: what must not be read back is refused, and comes from a file. Defaults are
/// left to docs/configuration.md, and formats are not checked by Helm.
fn narrow(schema: &mut Value) {
    match schema {
        Value::Object(members) if members.get("writeOnly") == Some(&json!(true)) => *schema = json!(false),
        Value::Object(members) => {
            members.remove("default");
            members.remove("format");
            for (keyword, value) in members {
                // Names of settings are no keywords: there is one that is called `format`.
                match value {
                    Value::Object(settings) if keyword == "properties" => settings.values_mut().for_each(narrow),
                    _ => narrow(value),
                }
            }
        }
        Value::Array(members) => members.iter_mut().for_each(narrow),
        _ => {}
    }
}

#[test]
fn the_schema_of_config_is_that_of_the_service() {
    let mut held = schema();
    let expected = expected();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        held["properties"]["config"] = expected;
        // In one step: other tests read it at the same time.
        let written = chart().join("values.schema.json.tmp");
        fs::write(&written, format!("{held:#}\n")).unwrap();
        fs::rename(written, chart().join("values.schema.json")).unwrap();
        return;
    }
    let is_same = held["properties"]["config"] == expected;
    assert!(is_same, "values.schema.json is stale: run `UPDATE_DOCS=1 cargo test --test chart` and commit it");
}

#[test]
fn what_the_chart_sets_is_refused_in_config_and_so_are_secrets() {
    let schema = schema();
    for path in WRITTEN.iter().chain(&["redis.sentinel_password"]) {
        assert!(declared(&schema, &format!("config.{path}")).is_none(), "config.{path}");
    }
    let client = declared(&schema, "config.clients").unwrap();
    assert_eq!(client["items"]["properties"]["client_secret"], false);
    assert_eq!(client["items"]["properties"]["client_secret_file"]["type"], "string");
    for path in ["issuer", "redis.connections", "redis.sentinel_password_file", "redis.dataset", "revocation.lease"] {
        assert!(declared(&schema, &format!("config.{path}")).is_some(), "config.{path}");
    }
    assert_eq!(schema["properties"]["config"]["additionalProperties"], false);
}

//! The Helm chart against itself and against the service, with no tool: values, schema, templates and defaults agree.
//!
//! - [`settings`] what the schema says of the service's own settings
//! - [`monitoring`] alert rules, dashboard and runbook
//!
//! What only Helm and other tools can show, that the templates render and make sense to Kubernetes, is in `tools`
//! beside this.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod monitoring;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use introspectd::command::CommandLine;
use introspectd::config::{Config, Sources};
use serde_json::Value;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/introspectd")
}

fn yaml(path: impl AsRef<Path>) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(chart().join(path)).unwrap()).unwrap()
}

fn values() -> Value {
    yaml("values.yaml")
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(chart().join("values.schema.json")).unwrap()).unwrap()
}

/// The text of every template, by its name.
fn templates() -> BTreeMap<String, String> {
    let folders = [chart().join("templates"), chart().join("templates/tests")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Every `.Values.a.b` of the templates, as `a.b`, with the template it was found in.
fn used() -> BTreeSet<(String, String)> {
    let mut used = BTreeSet::new();
    for (name, text) in templates() {
        for rest in text.split(".Values.").skip(1) {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.').unwrap_or(rest.len());
            used.insert((rest[..end].trim_end_matches('.').to_owned(), name.clone()));
        }
    }
    used
}

/// Every value, as `a.b`; what is below `config` belongs to the service and not to the chart.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !members.is_empty() && path != "config" => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(member, &path, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// What the schema says of a path; `None` where it refuses it.
fn declared<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |at, name| match at["properties"].get(name) {
        Some(declared) => (*declared != Value::Bool(false)).then_some(declared),
        // Anything may be below: labels, resources, what the service reads.
        None => (at["type"] == "object" && at["additionalProperties"] != false).then_some(at),
    })
}

#[test]
fn every_value_that_a_template_uses_exists_and_is_declared() {
    let (values, schema) = (values(), schema());
    let used = used();
    assert!(used.len() > 30, "the scan finds too little: {used:?}");
    for (path, template) in used {
        assert!(values.pointer(&format!("/{}", path.replace('.', "/"))).is_some(), "{template}: {path} is no value");
        assert!(declared(&schema, &path).is_some(), "{template}: {path} is not in the schema");
    }
}

#[test]
fn every_value_is_used_and_declared() {
    let (schema, used) = (schema(), used());
    let mut all = BTreeSet::new();
    leaves(&values(), "", &mut all);
    for path in all {
        let is_used = used.iter().any(|(used, _)| path == *used || path.starts_with(&format!("{used}.")));
        assert!(is_used, "{path} does nothing");
        assert!(declared(&schema, &path).is_some(), "{path} is not in the schema");
    }
}

#[test]
fn the_schema_refuses_what_it_does_not_know_and_knows_nothing_that_is_no_value() {
    fn walk(schema: &Value, values: &Value, path: &str) {
        let Some(properties) = schema["properties"].as_object() else { return };
        // Other charts read `global`, and the sub-chart has a schema of its own.
        if !["/config", "/global", "/valkey"].contains(&path) {
            assert_eq!(schema["additionalProperties"], false, "{path}");
        }
        for (name, declared) in properties {
            // Helm's own, what the service reads, and what a probe may have besides.
            let free = name == "global" || path == "/config" || path.ends_with("Probe");
            let value = &values[name];
            assert!(free || !value.is_null(), "{path}/{name} is in the schema, but not in values.yaml");
            if !free {
                walk(declared, value, &format!("{path}/{name}"));
            }
        }
    }
    walk(&schema(), &values(), "");
}

#[test]
fn ports_and_times_are_those_of_the_service() {
    let (values, defaults) = (values(), Config::default());
    for (port, default) in [("public", defaults.public.address.port()), ("admin", defaults.admin.address.port())] {
        assert_eq!(values["ports"][port], default, "{port}");
    }
    assert_eq!(values["service"]["port"], defaults.public.address.port());
    assert_eq!(values["admin"]["service"]["port"], defaults.admin.address.port());
    let drain = defaults.drain.max.as_secs();
    let (grace, sleep) = (&values["terminationGracePeriodSeconds"], &values["preStopSleepSeconds"]);
    assert!(grace.as_u64().unwrap() > sleep.as_u64().unwrap() + drain);
    assert_eq!(values["config"]["drain"]["max"], format!("{drain}s"));
    let helpers = &templates()["_helpers.tpl"];
    assert!(helpers.contains(&format!(r#"dig "drain" "max" "{drain}s""#)), "the template assumes another drain.max");
}

#[test]
fn the_service_accepts_the_default_settings() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("config.yaml");
    let mut settings = values()["config"].clone();
    // Nobody else knows it, so it is asked for.
    settings["issuer"] = Value::from("https://tokens.example.com");
    // JSON is YAML.
    fs::write(&file, settings.to_string()).unwrap();
    let config = Config::load(&Sources { files: vec![file], environment: BTreeMap::new(), overrides: vec![] }).unwrap();
    assert_eq!(config.drain, Config::default().drain);
}

#[test]
fn the_service_understands_how_the_chart_calls_it() {
    for call in [
        &["serve", "-c", "/etc/introspectd/config.yaml"][..],
        &["health", "--ready", "--admin-url=https://introspectd-admin:8081", "--ca-file=/run/ca/admin/ca.crt"],
        &[
            "token",
            "introspect",
            "helm-test",
            "--client-id=gateway",
            "--client-secret-file=/run/client/secret",
            "--public-url=https://introspectd:8080",
            "--ca-file=/run/ca/public/ca.crt",
        ],
    ] {
        assert!(CommandLine::try_parse_from([&["introspectd"], call].concat()).is_ok(), "{call:?}");
    }
    let templates = templates();
    assert!(templates["deployment.yaml"].contains("args: [serve, -c, /etc/introspectd/config.yaml]"));
    for flag in
        ["- health", "- --ready", "- --admin-url=", "- --ca-file=/run/ca/admin/ca.crt", "- token", "- introspect"]
    {
        assert!(templates["test-health.yaml"].contains(flag), "{flag}");
    }
    let probes = templates["deployment.yaml"].matches("port: admin").count();
    assert_eq!(probes, 3, "start-up, liveness and readiness ask the admin listener");
}

#[test]
fn the_chart_has_the_version_of_the_service() {
    let chart = yaml("Chart.yaml");
    assert_eq!(chart["apiVersion"], "v2");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// What is safer is what is there when nothing is said.
#[test]
fn what_protects_is_on_and_what_needs_something_else_is_off() {
    let values = values();
    for on in ["pdb", "networkPolicy"] {
        assert_eq!(values[on]["enabled"], true, "{on}");
    }
    for off in ["valkey", "autoscaling", "ingress", "httpRoute", "serviceMonitor", "prometheusRule", "dashboard"] {
        assert_eq!(values[off]["enabled"], false, "{off}");
    }
    assert!(values["replicaCount"].as_u64().unwrap() > 1);
    assert_eq!(values["keys"]["create"], false);
    assert_eq!(values["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let (pod, container) = (&values["podSecurityContext"], &values["securityContext"]);
    assert_eq!(pod["runAsNonRoot"], true);
    assert_eq!(pod["runAsUser"], 65532);
    assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["capabilities"]["drop"], serde_json::json!(["ALL"]));
}

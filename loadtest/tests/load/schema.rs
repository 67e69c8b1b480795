//! What is written has the form that is published.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::{Behaviour, Server};
use super::{TOKENS, call, command, report};

const SCHEMA: &str = include_str!("../../schema/result.schema.json");

/// What is wrong with a value, by as much of JSON Schema as the schema uses. A keyword that is not known is a fault of
/// the schema.
fn faults(schema: &Value, root: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, rule) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap();
                found.extend(faults(target, root, value, place));
                true
            }
            "oneOf" => {
                rule.as_array().unwrap().iter().filter(|one| faults(one, root, value, place).is_empty()).count() == 1
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|one| is_a(value, one)),
                one => is_a(value, one),
            },
            "required" => {
                let missing = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                found.extend(rule.as_array().unwrap().iter().filter(missing).map(|name| format!("{place}: no {name}")));
                true
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        found.extend(faults(rule, root, member, &format!("{place}/{name}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                for (name, member) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| known.get(name).is_none()) {
                        match rule {
                            Value::Bool(allowed) => assert!(!allowed, "the schema names all members"),
                            rule => {
                                found.extend(faults(rule, root, member, &format!("{place}/{name}")));
                                continue;
                            }
                        }
                        found.push(format!("{place}: {name} is not in the schema"));
                    }
                }
                true
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    found.extend(faults(rule, root, item, &format!("{place}[]")));
                }
                true
            }
            other => panic!("{other} is not known here"),
        };
        if !holds {
            found.push(format!("{place}: {keyword} {rule} does not hold for {value}"));
        }
    }
    found
}

fn is_a(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("{other} is no type"),
    }
}

/// Held against the definition of its kind, so that faults are named.
fn check(value: &Value, definition: &str) {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    let found = faults(&root["$defs"][definition], &root, value, "");
    assert!(found.is_empty(), "{found:#?}");
    assert!(faults(&root, &root, value, "").is_empty(), "it fits more than one definition, or none");
}

#[test]
fn every_kind_of_result_has_the_published_form() {
    let server = Server::start(Behaviour::default());
    let short = "--connections 2 --duration 300ms --warmup 0s";
    for (arguments, definition) in [
        ("run --mode open --rate 50", "run"),
        ("run --mode closed", "run"),
        ("soak --rate 100 --window 10ms", "run"),
        ("burst --rate 50 --peak 100 --every 200ms --length 50ms", "run"),
        ("churn", "run"),
        ("sweep --rates 20,40,60 --bound 1s", "sweep"),
        ("search --bound 1s --from 20 --to 40", "search"),
    ] {
        let output = call(server.address(), TOKENS, &format!("{arguments} {short}"));
        check(&report(&output), definition);
    }
    let lies =
        call(server.address(), r#"{"token": "live", "active": false}"#, &format!("run --mode open --rate 50 {short}"));
    check(&report(&lies), "run");
    let nobody =
        call(super::wire::start(|_| super::wire::close()), TOKENS, &format!("run --mode open --rate 50 {short}"));
    check(&report(&nobody), "run");
}

#[test]
fn what_is_made_of_results_has_the_published_form() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let result = json!({"valid": true, "figures": {"latency_us": {"p50": 5.0}}}).to_string();
    let results = write("results", &result.repeat(3));
    let compared = command("compare").args([&results, &results]).args(["--format", "json"]).output().unwrap();
    check(&report(&compared), "comparison");
    let points = write("points", "1 10\n2 18\n4 28\n8 32\n16 28\n");
    let arguments = ["--rates", "20,1000", "--format", "json"];
    let capacity = command("capacity").arg(&points).args(arguments).output().unwrap();
    check(&report(&capacity), "capacity");
}

#[test]
fn what_does_not_have_the_form_is_noticed() {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    let good = json!({"p50": 1, "p90": 1.5, "p99": 2, "p99.9": 3, "max": 4});
    let noticed = |change: fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        !faults(&root["$defs"]["quantiles"], &root, &value, "").is_empty()
    };
    assert!(!noticed(|_| {}));
    assert!(noticed(|value| value["p50"] = json!("1")));
    assert!(noticed(|value| value["p50"] = json!(-1)));
    assert!(noticed(|value| value["p75"] = json!(1)));
    assert!(noticed(|value| *value = json!({"p50": 1})));
    assert!(noticed(|value| *value = json!([])));
}

#[test]
fn a_folder_has_the_result_the_page_and_the_histograms() {
    let server = Server::start(Behaviour::default());
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("deep/down");
    let run =
        format!("run --mode open --rate 100 --connections 2 --duration 1s --warmup 0s --output {}", output.display());
    let told = report(&call(server.address(), TOKENS, &run));
    let read = |name: &str| fs::read_to_string(output.join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read("result.json")).unwrap(), told);
    assert!(read("latency.hgrm").contains("Total count    =          100]"));
    assert_eq!(read("latency.v2.base64").trim(), told["figures"]["latency_histogram"]);
    assert!(read("service.v2.base64").starts_with("HISTFA"), "the first bytes are those of every such histogram");
    let page = read("report.html");
    assert_eq!(page.matches("<svg").count(), 2);
    for outside in ["<script", "http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let sweep =
        format!("sweep --rates 20,40 --connections 2 --duration 300ms --warmup 0s --output {}", output.display());
    call(server.address(), TOKENS, &sweep);
    assert!(read("report.html").contains("Latency and throughput") && read("latency-40.hgrm").contains("Percentile"));
}

//! `config check|print|schema`, and what is said of a configuration that is wrong.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::program::{Finished, run};

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Nearly everything in it is wrong, and some of it is a secret in the wrong place.
const WRONG: &str = r#"
issuer = "http://as.example.com"
unknown_setting = "hunter-at-the-top"

[public]
adress = "127.0.0.1:0"

[tokens]
access_lifetime = "15 parsecs"

[authentication]
failures_per_client = 0
trusted_proxies = ["10.0.0.0/33"]

[http]
client_secret = "hunter-in-http"
max_headers = "many"

[redis]
url = "https://user:hunter-in-redis@redis.example.com"

[[keys.digest]]
id = "t1"
secret = "hunter-too-short"

[[clients]]
client_id = "one"
client_secret = "hunter\twith a tab"

[[clients]]
client_id = "two"
client_secret = "hunter-of-a-public-client"
token_endpoint_auth_method = "none"
rights = ["root"]
"#;

fn assert_all_is_said(finished: &Finished) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
    for key in [
        "issuer",
        "unknown_setting",
        "public.adress",
        "tokens.access_lifetime",
        "authentication.failures_per_client",
        "authentication.trusted_proxies",
        "http.client_secret",
        "http.max_headers",
        "redis.url",
        "keys.digest[0].secret",
        "clients[0].client_secret",
        "clients[1].token_endpoint_auth_method",
        "clients[1].rights",
    ] {
        assert!(finished.stderr.lines().any(|line| line.contains(key)), "{key} is not in {}", finished.stderr);
    }
    assert!(finished.stderr.contains("public.address"), "it knows what was meant: {}", finished.stderr);
    assert!(!finished.stderr.contains("hunter"), "a secret is printed: {}", finished.stderr);
}

#[test]
fn every_mistake_is_told_at_once_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "wrong.toml", WRONG);
    for verb in [&["config", "check"][..], &["config", "print"], &["serve"]] {
        let finished = run(&[verb, &["-c", &file]].concat(), &[]);
        assert_all_is_said(&finished);
        assert!(finished.stderr.contains(&file), "it says which file: {}", finished.stderr);
    }
}

#[test]
fn mistakes_in_variables_name_the_variable() {
    let variables = [
        ("INTROSPECTD_PUBLIC__ADRESS", "127.0.0.1:0"),
        ("INTROSPECTD_TOKENS__MAX_LIFETIME", "-1d"),
        ("INTROSPECTD_CLIENTS", "hunter-is-no-list"),
        ("INTROSPECTD_KEYS__DIGEST", r#"[{"id": "t1", "secret": "hunter-too-short"}]"#),
        ("INTROSPECTD_HUNTER", "hunter-of-no-setting"),
    ];
    let finished = run(&["config", "check"], &variables);
    assert_eq!(finished.code, Some(2));
    for (name, _) in variables {
        assert!(finished.stderr.contains(name), "{name} is not in {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("hunter-"), "{}", finished.stderr);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        folder.path().join("missing.toml").to_str().unwrap().to_owned(),
        write(folder.path(), "broken.toml", "[tokens\nsecret = \"hunter\""),
        write(folder.path(), "broken.json", r#"{"tokens": {"secret": "hunter",}}"#),
        write(folder.path(), "settings.ini", "[tokens]"),
    ];
    let arguments: Vec<&str> = files.iter().flat_map(|file| ["-c", file.as_str()]).collect();
    let finished = run(&[&["config", "check"], &arguments[..]].concat(), &[]);
    assert_eq!(finished.code, Some(2));
    for file in &files {
        assert!(finished.stderr.contains(file), "{file} is not in {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("hunter"), "{}", finished.stderr);
}

#[test]
fn what_is_in_force_is_printed_with_its_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path(), "first.toml", "[tokens]\naccess_lifetime = \"1m\"\nrefresh_lifetime = \"1h\"\n");
    let second = write(folder.path(), "second.yaml", "tokens:\n  access_lifetime: 2m\nhttp:\n  max_headers: 50\n");
    let key = r#"[{"id": "t1", "secret": "hunter-which-is-long-enough-for-a-key"}]"#;
    let variables = [("INTROSPECTD_HTTP__MAX_HEADERS", "60"), ("INTROSPECTD_KEYS__DIGEST", key)];
    let printed = run(&["config", "print", "-c", &first, "-c", &second], &variables);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let line = |start: &str| {
        let lines: Vec<&str> = printed.stdout.lines().filter(|line| line.starts_with(start)).collect();
        let [line] = lines[..] else { panic!("{start}: {lines:?} in {}", printed.stdout) };
        line.to_owned()
    };
    assert!(line("access_lifetime = \"2m\"").contains(&second), "a later file wins");
    assert!(line("refresh_lifetime = \"1h\"").contains(&first));
    assert!(line("max_headers = 60").contains("INTROSPECTD_HTTP__MAX_HEADERS"), "the environment wins over files");
    assert!(line("failures_per_client = 10").contains("default"));
    assert!(line("secret = \"<redacted>\"").contains("INTROSPECTD_KEYS__DIGEST"));
    assert!(!printed.stdout.contains("hunter"), "{}", printed.stdout);
    assert_eq!(run(&["config", "check", "-c", &first], &variables).stdout, "The configuration is good.\n");

    // Flags win over all.
    let flag = run(&["serve", "--public", "127.0.0.1:0", "--redis", "hunter"], &variables);
    assert_eq!(flag.code, Some(2));
    assert!(flag.stderr.contains("redis.url") && !flag.stderr.contains("hunter"), "{}", flag.stderr);
}

#[test]
fn a_file_can_be_named_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "named.toml", "[http]\nmax_headers = 77\n");
    let printed = run(&["config", "print"], &[("INTROSPECTD_CONFIG", &file)]);
    assert!(printed.stdout.contains("max_headers = 77"), "{printed:?}");
    let other = write(folder.path(), "other.toml", "[http]\nmax_headers = 78\n");
    let printed = run(&["config", "print", "-c", &other], &[("INTROSPECTD_CONFIG", &file)]);
    assert!(printed.stdout.contains("max_headers = 78"), "the flag takes its place: {printed:?}");
}

#[test]
fn the_schema_is_a_schema_of_every_section() {
    let schema = run(&["config", "schema"], &[]).json();
    assert_eq!(schema["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
    assert_eq!((&schema["type"], &schema["additionalProperties"]), (&json!("object"), &json!(false)));
    for section in ["public", "admin", "store", "redis", "keys", "tokens", "authentication", "http", "drain", "log"] {
        let properties = schema["properties"][section]["properties"].as_object();
        assert!(properties.is_some_and(|properties| !properties.is_empty()), "{section}: {schema}");
    }
    let described = |value: &Value| value["description"].as_str().is_some_and(|text| !text.is_empty());
    assert!(schema["properties"].as_object().unwrap().values().all(described));
}

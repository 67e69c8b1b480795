//! What is seeded can be found again, the figures' arithmetic holds, and README.md says what the raw results say.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use introspectd::app::App;
use introspectd::config::{Config, ProcessEnvironment, Sources};
use introspectd::token::keyring::Candidates;
use introspectd::token::time::Clock;
use introspectd::token::value::Presented;
use serde_json::{Value, json};
use tempfile::TempDir;

fn figures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../figures").join(name)
}

fn holds(done: &Output) {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn run(program: PathBuf, argument: &str) {
    holds(&Command::new(program).arg(argument).stdin(Stdio::null()).output().expect("python3 is needed"));
}

#[test]
fn arithmetic_of_cost_against_size() {
    run(figures("size"), "--self-test");
}

#[test]
fn arithmetic_of_the_table_and_the_curve() {
    run(figures("table"), "--self-test");
}

#[test]
fn arithmetic_of_logins() {
    run(figures("login"), "--self-test");
}

#[test]
fn readme_says_what_the_results_say() {
    run(figures("table"), "--check");
}

fn configuration(folder: &Path) -> PathBuf {
    let file = folder.join("introspectd.json");
    let settings = json!({
        "store": {"path": folder.join("data")},
        "public": {"address": "127.0.0.1:0"},
        "admin": {"address": "127.0.0.1:0"},
        "clients": [{
            "client_id": "application", "client_secret": "a secret that is long enough to be one",
            "grant_types": ["client_credentials"], "scope": "read write", "audiences": ["https://api.example.com"],
        }],
    });
    std::fs::write(&file, settings.to_string()).expect("there is room for a file");
    file
}

fn seed(configuration: &Path, output: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_introspectd-seed"))
        .args(["--audience", "https://api.example.com", "-c"])
        .args([configuration.as_os_str(), "--output".as_ref(), output.as_os_str()])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("it was built")
}

#[tokio::test]
async fn what_was_written_down_is_in_the_store_as_the_service_would_have_put_it_there() {
    let folder = TempDir::new().expect("there is room for a folder");
    let (file, output) = (configuration(folder.path()), folder.path().join("tokens.jsonl"));
    let more = ["--client", "application", "--tokens", "2500", "--first", "7", "--every", "1000", "--lifetime", "600"];
    holds(&seed(&file, &output, &more));
    let written = std::fs::read_to_string(&output).expect("it was written");
    let mut lines: Vec<Value> =
        written.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    lines.sort_by_key(|line| line["sub"].to_string());
    let subjects: Vec<_> = lines.iter().map(|line| line["sub"].as_str().expect("a text")).collect();
    assert_eq!(subjects, ["user-00000007", "user-00001007", "user-00002007"]);

    let sources = Sources { files: vec![file], environment: ProcessEnvironment, overrides: Vec::new() };
    let config = Config::load(&sources).expect("the seeder has read it");
    let app = App::build(config, Clock::System).await.expect("nobody else has the folder any more");
    let service = app.service();
    for line in &lines {
        assert_eq!(line["active"], true);
        let token = line["token"].as_str().expect("a text");
        let Candidates::One(digest) = service.keys.recognise(Presented::new(token)) else {
            panic!("the token is not one of ours")
        };
        let found = service.store.token(&[digest]).await.expect("the store is open");
        let (_, record) = found.expect("it was inserted");
        assert_eq!(record.subject.as_deref(), line["sub"].as_str());
        assert_eq!(record.expires_at.since(record.issued_at), 600);
        assert_ne!(record.stamp.0, 0, "the store has stamped it");
    }
    service.store.close().await;
}

#[test]
fn a_client_that_is_not_declared_is_refused_without_a_word_about_anything_else() {
    let folder = TempDir::new().expect("there is room for a folder");
    let (file, output) = (configuration(folder.path()), folder.path().join("tokens.jsonl"));
    let done = seed(&file, &output, &["--client", "nobody", "--tokens", "1"]);
    assert!(!done.status.success());
    assert_eq!(String::from_utf8_lossy(&done.stderr), "failed: --client: the configuration declares none such\n");
}

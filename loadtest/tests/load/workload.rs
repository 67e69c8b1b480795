//! Tokens that are made, revoked and issued while they are read.

use std::fs;
use std::process::Output;

use tempfile::TempDir;

use super::authority::Authority;
use super::{command, complaint, report};

const EVERYTHING: &str = "seed = 3\n[mix]\nactive-hot = 40\nactive-cold = 20\nexpired = 10\nrevoked = 10\n\
                          unknown = 10\nmalformed = 10\njwt = 10\nwrong-client = 10\n\
                          [population]\nhot = 50\ncold = 50\nothers = 8\n";

fn with(authority: &Authority, workload: &str, subcommand: &str, arguments: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let (file, secret) = (folder.path().join("workload.toml"), folder.path().join("secret"));
    fs::write(&file, workload).unwrap();
    fs::write(&secret, "an operator's").unwrap();
    let address = format!("http://{}", authority.address);
    let mut command = command(subcommand);
    command.arg("--workload").arg(&file).args(["--admin-url", &address, "--admin-client-id", "operator"]);
    command.arg("--admin-client-secret-file").arg(&secret).args(arguments.split_whitespace());
    if subcommand == "run" {
        command.args(["--url", &format!("{address}/introspect"), "--format", "json"]);
    }
    command.output().unwrap()
}

const RUN: &str = "--mode open --rate 400 --connections 8 --duration 2s --warmup 200ms";

#[test]
fn a_mix_of_all_kinds_is_made_and_answered_rightly() {
    let authority = Authority::start(false);
    let output = with(&authority, EVERYTHING, "run", RUN);
    let report = report(&output);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report["answers"]["right"], 880);
    assert_eq!(report["questions"], 50 + 50 + 6 * 8);
    let state = authority.state.lock().unwrap();
    assert!(state.clients.is_empty(), "left behind: {:?}", state.clients);
    let count = |what: fn(&serde_json::Value) -> bool| state.tokens.values().filter(|(asked, _)| what(asked)).count();
    assert_eq!(count(|asked| asked["format"] == "jwt"), 8);
    assert_eq!(count(|asked| asked["expires_in"] == 1), 8);
    assert_eq!(count(|asked| asked["aud"] != "https://load.example.com"), 8);
    assert_eq!(state.tokens.values().filter(|(_, active)| !active).count(), 8);
}

const CHANGING: &str = "[mix]\nactive-hot = 1\n[population]\nhot = 20\nzipf-exponent = 0.0\n\
                        [changes]\nrevocations-per-second = 20\nissues-per-second = 20\n";

#[test]
fn the_truth_moves_along_with_revocations_and_issues() {
    let authority = Authority::start(false);
    let output = with(&authority, CHANGING, "run", RUN);
    let report = report(&output);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&report["answers"]["right"], &report["changes"]["failed"]), (&880.into(), &0.into()));
    let changed = |what: &str| report["changes"][what].as_u64().unwrap();
    assert!(changed("revoked") >= 20 && changed("issued") >= 20, "{report}");
    assert!(authority.state.lock().unwrap().tokens.len() >= 40);
}

/// A server that answers a revocation and goes on saying that the token is active.
#[test]
fn a_revocation_that_is_not_done_is_found() {
    let authority = Authority::start(true);
    let output = with(&authority, CHANGING, "run", RUN);
    assert!(complaint(&output).starts_with("wrong answers: "));
}

#[test]
fn tokens_can_be_made_now_and_asked_later() {
    let authority = Authority::start(false);
    let folder = TempDir::new().unwrap();
    let (tokens, secret) = (folder.path().join("tokens"), folder.path().join("caller"));
    let files = format!("--tokens {} --client-secret-file {}", tokens.display(), secret.display());
    let seeded = with(&authority, EVERYTHING, "seed", &files);
    assert!(seeded.status.success(), "{}", String::from_utf8_lossy(&seeded.stderr));
    let client = String::from_utf8(seeded.stdout).unwrap();
    assert!(authority.state.lock().unwrap().clients.contains(&client.trim().to_owned()));
    assert_eq!(fs::read_to_string(&tokens).unwrap().lines().count(), 148);
    let later = with(&authority, EVERYTHING, "run", &format!("{RUN} {files} --client-id {}", client.trim()));
    assert!(later.status.success(), "{}", report(&later));
    assert_eq!(authority.state.lock().unwrap().clients.len(), 2, "what was there before stays");
}

#[test]
fn an_authority_that_issues_nothing_ends_it_and_keeps_nothing() {
    let authority = Authority::start(false);
    authority.state.lock().unwrap().issues_nothing = true;
    let output = with(&authority, EVERYTHING, "run", RUN);
    assert_eq!(complaint(&output), "cannot seed: POST /admin/tokens: status 503 The store is away\n");
    assert!(authority.state.lock().unwrap().clients.is_empty());
}

#[test]
fn a_workload_that_cannot_be_made_is_refused() {
    let authority = Authority::start(false);
    for (workload, word) in
        [("[mix]\nactive-hot = -1", "mix"), ("nonsense", "workload.toml"), ("[mix]\nhot = 1", "hot")]
    {
        let output = with(&authority, workload, "run", RUN);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(word));
    }
}

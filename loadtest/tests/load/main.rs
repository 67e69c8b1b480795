//! The load tester against servers whose behaviour is known: it must report their delay, their lies and their stalls.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod server;

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use server::{Behaviour, Server};

/// Two live tokens and a dead one; each needs form encoding.
const TOKENS: &str = r#"{"token": "live/1+", "active": true}
{"token": "live 2", "active": true}
{"token": "dead&3", "active": false}
"#;

fn load(server: &Server, arguments: &str) -> Output {
    load_with(server, TOKENS, arguments)
}

fn load_with(server: &Server, tokens: &str, arguments: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let (tokens_file, secret_file) = (folder.path().join("tokens.jsonl"), folder.path().join("secret"));
    fs::write(&tokens_file, tokens).unwrap();
    fs::write(&secret_file, "a secret\n").unwrap();
    Command::new(env!("CARGO_BIN_EXE_introspectd-load"))
        .args(["run", "--url", &format!("http://{}/introspect", server.address()), "--client-id", "rs"])
        .args(
            [
                ["--tokens".as_ref(), tokens_file.as_os_str()],
                ["--client-secret-file".as_ref(), secret_file.as_os_str()],
            ]
            .concat(),
        )
        .args(if arguments.contains("--format") { &[][..] } else { &["--format", "json"] })
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn milliseconds(value: &Value) -> f64 {
    value.as_f64().unwrap() / 1000.0
}

#[test]
fn a_known_delay_is_reported_in_both_modes() {
    let server = Server::start(Behaviour { delay: Duration::from_millis(20), ..Behaviour::default() });
    for mode in ["--mode closed", "--mode open --rate 100"] {
        let output = load(&server, &format!("{mode} --connections 8 --duration 1s --warmup 200ms"));
        let report = report(&output);
        assert!(output.status.success(), "{report}");
        let p50 = milliseconds(&report["figures"]["latency_us"]["p50"]);
        // The upper bound leaves room for a busy machine; the lower one must hold on any.
        assert!((20.0..60.0).contains(&p50), "{report}");
        assert_eq!(report["valid"], true);
    }
}

#[test]
fn an_open_loop_sends_what_it_promised_and_all_of_it_is_accounted_for() {
    let server = Server::start(Behaviour::default());
    let output = load(&server, "--mode open --rate 500 --connections 8 --threads 2 --duration 1s --warmup 500ms");
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["figures"]["requests"], 500);
    assert_eq!(report["answers"]["right"], 750);
    assert_eq!(server.asked(), 750);
}

#[test]
fn one_lie_in_a_thousand_fails_the_run() {
    let server = Server::start(Behaviour { lie_every: Some(1000), ..Behaviour::default() });
    let output = load(&server, "--mode closed --connections 8 --duration 2s --warmup 0s");
    let (complaint, report) = (complaint(&output), report(&output));
    let lies = server.asked() / 1000;
    assert!(lies > 0, "the machine was too slow for a single lie: {report}");
    assert!(complaint.starts_with(&format!("wrong answers: {lies} ")), "{complaint}");
    assert_eq!(report["valid"], false);
    assert!(report.get("figures").is_none(), "figures of wrong answers: {report}");
}

#[test]
fn lies_during_the_warm_up_count_too() {
    let server = Server::start(Behaviour::default());
    // The truth is the other way round for this one, from the first answer on.
    let tokens = r#"{"token": "live", "active": false}"#;
    let output = load_with(&server, tokens, "--mode open --rate 10 --connections 1 --duration 10ms --warmup 300ms");
    assert!(complaint(&output).starts_with("wrong answers: 4 (the first for token 1)"));
}

/// A server that stands still for half a second makes a quarter of these arrivals wait. Seen from the senders, of which
/// each waited once, it was a handful of requests; seen from the plan, it was all of them.
#[test]
fn a_stall_shows_in_an_open_loop_and_hides_from_senders() {
    let stall = Some((Duration::from_millis(700), Duration::from_millis(500)));
    let server = Server::start(Behaviour { stall, ..Behaviour::default() });
    let output = load(&server, "--mode open --rate 200 --connections 4 --duration 2s --warmup 0s");
    let open = report(&output);
    assert!(output.status.success(), "{open}");
    assert_eq!(open["figures"]["requests"], 400);
    let figures = &open["figures"];
    assert!(milliseconds(&figures["latency_us"]["p99"]) > 350.0, "{open}");
    assert!(milliseconds(&figures["latency_us"]["p90"]) > 150.0, "{open}");
    assert!(milliseconds(&figures["service_us"]["p90"]) < 100.0, "{open}");

    let server = Server::start(Behaviour { stall, ..Behaviour::default() });
    let closed = report(&load(&server, "--mode closed --connections 4 --duration 2s --warmup 0s"));
    let latency = &closed["figures"]["latency_us"];
    assert!(milliseconds(&latency["p99"]) < 100.0, "{closed}");
    assert!(milliseconds(&latency["max"]) > 350.0, "{closed}");
}

#[test]
fn other_statuses_are_failures_and_not_lies() {
    let server = Server::start(Behaviour { refuse_every: Some(10), ..Behaviour::default() });
    let output = load(&server, "--mode open --rate 100 --connections 4 --duration 1s --warmup 0s");
    assert_eq!(complaint(&output), "failed requests: 10\n");
    let report = report(&output);
    assert_eq!(report["answers"]["refused"]["503"], 10);
    assert_eq!(report["answers"]["wrong"], 0);
    assert_eq!(report["valid"], false);
}

#[test]
fn a_connection_that_the_server_closes_is_opened_again() {
    let server = Server::start(Behaviour { close_every: Some(5), ..Behaviour::default() });
    let output = load(&server, "--mode open --rate 100 --connections 2 --duration 1s --warmup 0s");
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["answers"]["right"], 100);
    assert!(report["answers"]["reconnects"].as_u64().unwrap() >= 15, "{report}");
}

#[test]
fn what_a_slow_server_never_took_is_counted() {
    let server = Server::start(Behaviour { delay: Duration::from_millis(200), ..Behaviour::default() });
    let output = load(&server, "--mode open --rate 100 --connections 1 --duration 1s --warmup 0s --timeout 1s");
    assert!(complaint(&output).contains("never sent"));
    let report = report(&output);
    assert_eq!(report["figures"]["requests"], 100, "each start is measured, whether or not it came: {report}");
    assert!(report["answers"]["unsent"].as_u64().unwrap() >= 80, "{report}");
    assert!(milliseconds(&report["figures"]["latency_us"]["p50"]) > 1000.0, "{report}");
}

#[test]
fn a_generator_that_lags_says_so() {
    let server = Server::start(Behaviour::default());
    let run = "--mode open --rate 100 --connections 2 --duration 500ms --warmup 0s";
    let strict = report(&load(&server, &format!("{run} --lag-bound 0us")));
    assert_eq!(strict["generator"]["limited"], true);
    let text = load(&server, &format!("{run} --lag-bound 0us --format text"));
    assert!(String::from_utf8_lossy(&text.stdout).contains("generator-limited"));
    let lenient = report(&load(&server, &format!("{run} --lag-bound 10s")));
    assert_eq!(lenient["generator"]["limited"], false);
}

#[test]
fn without_a_server_or_with_a_wrong_call_it_says_why() {
    let server = Server::start(Behaviour::default());
    let wrong = load(&server, "--mode closed --rate 5");
    assert_eq!(wrong.status.code(), Some(2));
    let address = server.address();
    drop(server);
    let nobody = load(&Server::nowhere(address), "--mode closed --connections 4 --threads 2");
    assert!(complaint(&nobody).starts_with("cannot connect"));
}

//! Sweep, search, soak, burst, churn, HTTP/2, and what is made of results.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::server::{Behaviour, Server};
use super::{TOKENS, call, command, complaint, load, milliseconds, report};

fn slow(milliseconds: u64) -> Server {
    Server::start(Behaviour { delay: Duration::from_millis(milliseconds), ..Behaviour::default() })
}

/// One connection and 10 ms for each answer: 100 a second at most, whatever is asked for.
#[test]
fn a_sweep_shows_where_a_server_no_longer_keeps_up() {
    let arguments = "sweep --rates 20,50,300 --arrivals constant --connections 1 --duration 600ms --warmup 0s \
                     --timeout 1s --bound 250ms";
    let output = call(slow(10).address(), TOKENS, arguments);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["kind"], "sweep");
    let points = report["points"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    let rate = |place: usize| points[place]["figures"]["requests_per_second"].as_f64().unwrap();
    assert!((15.0..=20.0).contains(&rate(0)) && rate(2) <= 110.0, "{report}");
    assert_eq!(report["rate_within_bound"], 50.0, "{report}");
}

#[test]
fn a_search_finds_the_rate_that_keeps_the_promise() {
    let arguments = "search --bound 250ms --from 20 --to 320 --precision 30% --arrivals constant --connections 1 \
                     --duration 500ms --warmup 0s --timeout 500ms";
    let output = call(slow(10).address(), TOKENS, arguments);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    let found = report["rate_within_bound"].as_f64().unwrap();
    assert!((40.0..=110.0).contains(&found), "{report}");
    let strict = call(slow(10).address(), TOKENS, &format!("{arguments} --lag-bound 0us"));
    assert_eq!(super::report(&strict)["limited"], true);
}

#[test]
fn a_sweep_ends_at_the_first_lie() {
    let server = Server::start(Behaviour { lie_every: Some(25), ..Behaviour::default() });
    let output = call(server.address(), TOKENS, "sweep --rates 40,80,160 --connections 1 --duration 500ms --warmup 0s");
    assert!(complaint(&output).starts_with("wrong answers: "));
    assert!(report(&output)["points"].as_array().unwrap().len() < 3);
}

#[test]
fn a_burst_is_sent_whole_and_seen_in_its_window() {
    let arguments = "burst --rate 50 --peak 1000 --every 1s --length 200ms --connections 8 --duration 2s --warmup 0s \
                     --window 200ms";
    let output = call(Server::start(Behaviour::default()).address(), TOKENS, arguments);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    let requests = |place: usize| report["windows"][place]["requests"].as_u64().unwrap();
    assert!(
        (8..=12).contains(&requests(1)) && (190..=210).contains(&requests(4)) && (190..=210).contains(&requests(9)),
        "{report}"
    );
    assert_eq!(report["arrivals"], "burst");
}

#[test]
fn a_soak_is_cut_into_windows_and_judged_for_drift() {
    let arguments = "soak --rate 200 --connections 4 --duration 2s --warmup 0s --window 100ms";
    let output = call(Server::start(Behaviour::default()).address(), TOKENS, arguments);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["windows"].as_array().unwrap().len(), 20);
    assert!(report["drift"]["p_value"].is_number(), "{report}");
    assert_eq!(report["arrivals"], "poisson");
}

#[test]
fn churn_opens_connections_and_counts_them_in() {
    let server = Server::start(Behaviour::default());
    let output = call(server.address(), TOKENS, "churn --rate 100 --connections 4 --duration 1s --warmup 0s");
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(server.asked(), 100);
    // Those that were open from the start carry one request each.
    assert_eq!(server.connections(), 100, "{report}");
    assert!(report["figures"]["connect_us"]["p50"].as_f64().unwrap() > 0.0);
    assert_eq!(report["answers"]["reconnects"], 0, "what it closes itself is no loss: {report}");
}

#[test]
fn rfc9113_streams_share_a_connection() {
    let server = Server::start(Behaviour { http2: true, delay: Duration::from_millis(20), ..Behaviour::default() });
    let output = load(&server, "--mode closed --protocol h2 --connections 1 --streams 10 --duration 1s --warmup 0s");
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(server.connections(), 1);
    // One at a time there would be 50.
    assert!(report["answers"]["right"].as_u64().unwrap() > 100, "{report}");
    assert!(milliseconds(&report["figures"]["latency_us"]["p50"]) >= 20.0);
}

#[test]
fn rfc9113_lies_and_other_statuses_are_seen_over_streams_too() {
    let server = Server::start(Behaviour { http2: true, lie_every: Some(10), ..Behaviour::default() });
    let run = "--mode open --rate 100 --protocol h2 --connections 1 --duration 500ms --warmup 0s";
    assert!(complaint(&load(&server, run)).starts_with("wrong answers: 5 "));
    let server = Server::start(Behaviour { http2: true, refuse_every: Some(10), ..Behaviour::default() });
    let refused = load(&server, run);
    assert_eq!(complaint(&refused), "failed requests: 5\n");
    assert_eq!(report(&refused)["answers"]["refused"]["503"], 5);
}

#[test]
fn rfc6749_2_3_1_and_rfc6750_other_ways_to_prove_who_asks() {
    let server = Server::start(Behaviour::default());
    let run = "--mode open --rate 50 --connections 1 --duration 200ms --warmup 0s";
    let post = load(&server, &format!("{run} --authentication client_secret_post"));
    assert!(post.status.success(), "{}", report(&post));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bearer");
    fs::write(&file, "a-token-of-its-own\n").unwrap();
    let bearer = load(&server, &format!("{run} --authentication bearer --bearer-token-file {}", file.display()));
    assert!(bearer.status.success(), "{}", report(&bearer));
}

#[test]
fn a_live_line_is_written_when_asked_for() {
    let server = Server::start(Behaviour::default());
    let run = "--mode open --rate 100 --connections 2 --duration 1500ms --warmup 0s";
    assert!(load(&server, run).stderr.is_empty());
    let text = String::from_utf8(load(&server, &format!("{run} --progress")).stderr).unwrap();
    assert!(text.contains("   1 s  ") && text.contains("wrong 0"), "{text}");
}

/// A longer delay is found, and a shorter one.
#[test]
fn comparing_runs_by_turns() {
    let (fast, slow) = (slow(5), slow(40));
    let folder = TempDir::new().unwrap();
    let profile = |name: &str, server: &Server| {
        let (tokens, secret) = (folder.path().join("tokens"), folder.path().join("secret"));
        fs::write(&tokens, TOKENS).unwrap();
        fs::write(&secret, "a secret").unwrap();
        let path = folder.path().join(name);
        let text = format!(
            "--url http://{}/introspect --client-id rs --client-secret-file {} --tokens {} --lag-bound 1s",
            server.address(),
            secret.display(),
            tokens.display()
        );
        fs::write(&path, text).unwrap();
        format!("@{}", path.display())
    };
    let (a, b) = (profile("a", &fast), profile("b", &slow));
    let compare = |one: &str, other: &str, more: &[&str]| {
        let shared = ["--mode", "open", "--rate", "50", "--connections", "4", "--duration", "200ms", "--warmup", "0s"];
        command("compare").args([one, other]).args(more).arg("--").args(shared).output().unwrap()
    };
    let worse = compare(&a, &b, &["--rounds", "5", "--minimum-effect", "30%"]);
    let text = String::from_utf8(worse.stdout).unwrap();
    assert_eq!(worse.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&worse.stderr));
    assert!(text.contains("regressed"), "{text}");
    let better = compare(&b, &a, &["--rounds", "5", "--minimum-effect", "30%", "--format", "json"]);
    assert_eq!(better.status.code(), Some(0));
    assert_eq!(report(&better)["verdict"], "improved");
}

#[test]
fn comparing_results_refuses_what_means_nothing() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, results: &[(bool, bool, f64)]| {
        let lines = results.iter().map(|(valid, limited, p50)| {
            let figures = serde_json::json!({"latency_us": {"p50": p50}});
            serde_json::json!({"valid": valid, "generator": {"limited": limited}, "figures": figures}).to_string()
        });
        let path = folder.path().join(name);
        fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
        path
    };
    let good: Vec<_> = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2].map(|p50| (true, false, p50)).into();
    let (same, slower) =
        (write("same", &good), write("slower", &good.iter().map(|one| (true, false, one.2 * 2.0)).collect::<Vec<_>>()));
    let compare = |a: &std::path::Path, b: &std::path::Path| command("compare").args([a, b]).output().unwrap();
    assert_eq!(compare(&same, &same).status.code(), Some(0));
    assert_eq!(compare(&same, &slower).status.code(), Some(1));
    assert_eq!(compare(&slower, &same).status.code(), Some(0));
    for (name, bad, word) in [("a", (false, false, 1.0), "not valid"), ("b", (true, true, 1.0), "generator-limited")] {
        let refused = compare(&same, &write(name, &[bad, bad]));
        assert!(complaint(&refused).contains(word));
    }
    let alone = compare(&same, &write("alone", &good[..1]));
    assert_eq!(alone.status.code(), Some(2));
}

#[test]
fn capacity_says_how_many_are_needed() {
    let folder = TempDir::new().unwrap();
    let points = folder.path().join("points");
    // Each alone does 1000; one in twenty is spent waiting for the others.
    let lines: Vec<String> =
        [1.0_f64, 2.0, 4.0, 8.0, 16.0].map(|n| format!("{n} {}", 1000.0 * n / (1.0 + 0.05 * (n - 1.0)))).into();
    fs::write(&points, lines.join("\n")).unwrap();
    let arguments = ["--rates", "1000,3000,100000", "--utilisation", "50%", "--format", "json"];
    let output = command("capacity").arg(&points).args(arguments).output().unwrap();
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert!((report["sigma"].as_f64().unwrap() - 0.05).abs() < 1e-3, "{report}");
    // 2000 n / (1 + 0.05 (n - 1)) with n = 3 is 2727; with 8 it is 5926, with 9 it is 6429.
    let needed: Vec<_> = report["needed"].as_array().unwrap().iter().map(|row| row["needed"].as_u64()).collect();
    assert_eq!(needed, [Some(3), Some(9), None], "{report}");
    fs::write(&points, "1 1\n2 2\n").unwrap();
    assert_eq!(command("capacity").arg(&points).output().unwrap().status.code(), Some(2));
}

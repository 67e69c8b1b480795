//! Open and closed loops against a server whose behaviour is known: they must report its delay, its lies and its
//! stalls.

use std::time::Duration;

use super::server::{Behaviour, Server};
use super::{complaint, load, load_with, milliseconds, report};

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
fn one_lie_in_ten_thousand_fails_the_run_and_names_the_token() {
    let server = Server::start(Behaviour { lie_every: Some(10_000), ..Behaviour::default() });
    let output = load(&server, "--mode closed --connections 16 --duration 8s --warmup 0s --window 1s");
    let (complaint, report) = (complaint(&output), report(&output));
    let lies = server.asked() / 10_000;
    assert!(lies > 0, "the machine was too slow for a single lie: {report}");
    assert!(complaint.starts_with(&format!("wrong answers: {lies} (the first for token ")), "{complaint}");
    assert!((1..=3).contains(&report["answers"]["first_wrong"].as_u64().unwrap()), "{report}");
    assert_eq!(report["valid"], false);
    assert!(report.get("figures").is_none(), "figures of wrong answers: {report}");
    let windows = report["windows"].as_array().unwrap();
    let wrong: u64 = windows.iter().map(|window| window["wrong"].as_u64().unwrap()).sum();
    assert_eq!(wrong, lies);
    assert!(windows.iter().all(|window| (window["valid"] == true) == (window["wrong"] == 0)), "{report}");
}

#[test]
fn an_answer_about_somebody_else_is_a_lie() {
    let server = Server::start(Behaviour::default());
    let run = "--mode open --rate 20 --connections 1 --duration 500ms --warmup 0s";
    let honest = load_with(&server, r#"{"token": "live", "active": true, "sub": "alice"}"#, run);
    assert!(honest.status.success());
    let mixed_up = load_with(&server, r#"{"token": "live", "active": true, "sub": "bob"}"#, run);
    assert!(complaint(&mixed_up).starts_with("wrong answers: 10 (the first for token 1)"));
}

#[test]
fn lies_during_the_warm_up_count_too() {
    let server = Server::start(Behaviour::default());
    // The truth is the other way round for this one, from the first answer on.
    let tokens = r#"{"token": "live", "active": false}"#;
    let output = load_with(&server, tokens, "--mode open --rate 10 --connections 1 --duration 10ms --warmup 300ms");
    assert!(complaint(&output).starts_with("wrong answers: 4 (the first for token 1)"));
}

/// A server that stands still for 400 ms in each 2 s makes a fifth of these arrivals wait, for 200 ms on average. Seen
/// from the plan, it is all of them; seen from senders who each waited once, it is a handful.
#[test]
fn stalls_show_in_an_open_loop_and_hide_in_a_closed_one() {
    let stall = Some((Duration::from_secs(2), Duration::from_millis(400)));
    let server = Server::start(Behaviour { stall, ..Behaviour::default() });
    let output = load(&server, "--mode open --rate 500 --connections 4 --duration 4s --warmup 0s");
    let open = report(&output);
    assert!(output.status.success(), "{open}");
    let figures = &open["figures"];
    assert_eq!(figures["requests"], 2000);
    // Evenly from 0 to 400 ms for the fifth that waits: 200 ms are exceeded by a tenth of all, 380 ms by a hundredth.
    // The lower bounds must hold on any machine, the upper ones leave room for a busy one.
    assert!((180.0..350.0).contains(&milliseconds(&figures["latency_us"]["p90"])), "{open}");
    assert!((360.0..550.0).contains(&milliseconds(&figures["latency_us"]["p99"])), "{open}");
    assert!(milliseconds(&figures["latency_us"]["p50"]) < 50.0, "{open}");
    assert!(milliseconds(&figures["service_us"]["p90"]) < 100.0, "{open}");

    let server = Server::start(Behaviour { stall, ..Behaviour::default() });
    let closed = report(&load(&server, "--mode closed --connections 4 --duration 4s --warmup 0s"));
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

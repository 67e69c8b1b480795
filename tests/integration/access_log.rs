//! Lines of requests: which of them there are, what they say, and what they never do. And the audit log of the built
//! program.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::program::Program;

/// A program with a log for programs to read.
fn start(settings: &[(&str, &str)]) -> Program {
    let fixed = [("INTROSPECTD_DRAIN__MIN", "0s"), ("INTROSPECTD_LOG__FORMAT", "json")];
    Program::serve(&["--dev"], &[&fixed, settings].concat())
}

fn lines(log: &str) -> Vec<Value> {
    let lines = log.lines().filter(|line| line.contains("introspectd::access"));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Introspects a token, and asks for a client of another name, with headers that name the request.
async fn ask(program: &Program) -> String {
    let resource_server = program.client("resource_server");
    let token = program.text("/tokens/active").to_owned();
    let api = program.api();
    let request = api.request("POST", &api.url("/oauth2/introspect?token=in-the-query"));
    let request = request.basic_auth(resource_server.0, Some(resource_server.1)).form(&[("token", &token)]);
    let request =
        request.header("x-request-id", "request-1").header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    assert_eq!(api.send(request).await.status, 200);
    assert_eq!(api.admin(resource_server, "GET", "/admin/clients/somebody", None).await.status, 403);
    assert_eq!(api.send(api.request("GET", &api.url("/nowhere/secret-of-somebody"))).await.status, 404);
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_says_what_was_asked_and_how_it_ended_and_shows_no_secret() {
    let program = start(&[("INTROSPECTD_LOG__ACCESS", "all")]);
    let token = ask(&program).await;
    eventually("three lines", async || lines(&program.log()).len() >= 3).await;
    let found = lines(&program.log());
    let members = |line: &Value| {
        ["method", "route", "endpoint", "status", "code", "client", "request_id", "trace_id"]
            .map(|name| line[name].clone())
    };
    let expected = json!(["POST", "/introspect", "introspect", 200, "", "127.0.0.1", "request-1", TRACE]);
    assert_eq!(json!(members(&found[0])), expected);
    assert!(found[0]["microseconds"].is_u64());
    assert_eq!(
        (&found[1]["method"], &found[1]["route"], &found[1]["status"], &found[1]["code"]),
        (&json!("GET"), &json!("/admin/clients/{client_id}"), &json!(403), &json!("unauthorized_client"))
    );
    assert_eq!((found[1].get("request_id"), found[1].get("trace_id")), (None, None));
    assert_eq!((&found[2]["route"], &found[2]["status"]), (&json!(""), &json!(404)));
    let log = program.log();
    for secret in [token.as_str(), program.client("resource_server").1, "in-the-query", "somebody"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_holds_its_share_and_every_fault() {
    for (access, ratio, expected) in [("off", "1.0", 0), ("errors", "1.0", 0), ("sampled", "0", 0), ("sampled", "1", 3)]
    {
        let program = start(&[("INTROSPECTD_LOG__ACCESS", access), ("INTROSPECTD_LOG__ACCESS_RATIO", ratio)]);
        ask(&program).await;
        let ended = program.signal("-TERM");
        assert_eq!(lines(&ended.stderr).len(), expected, "{access} {ratio}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_on_standard_output_is_written_to_its_end() {
    let program = start(&[("INTROSPECTD_AUDIT__ENABLED", "true")]);
    let operator = program.client("operator");
    let (id, secret) = (operator.0.to_owned(), operator.1.to_owned());
    for _ in 0..3 {
        let created = program.api().admin((&id, &secret), "POST", "/admin/clients", Some(json!({}))).await;
        assert_eq!(created.status, 201, "{}", created.body);
    }
    let ended = program.signal("-TERM");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["event"]).collect::<Vec<_>>(), ["client.create"; 3]);
    assert!(lines.iter().all(|line| line["actor"]["client_id"] == id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_begins_a_new_file_and_is_recorded_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    let program = start(&[("INTROSPECTD_AUDIT__ENABLED", "true"), ("INTROSPECTD_AUDIT__PATH", path.to_str().unwrap())]);
    let operator = program.client("operator");
    let (id, secret) = (operator.0.to_owned(), operator.1.to_owned());
    program.api().admin((&id, &secret), "POST", "/admin/clients", Some(json!({}))).await;
    eventually("the first line", async || text(&path).ends_with('\n')).await;
    std::fs::rename(&path, &old).unwrap();
    program.hang_up();
    eventually("a line in the new file", async || text(&path).ends_with('\n')).await;
    let line: Value = serde_json::from_str(text(&path).lines().next().unwrap()).unwrap();
    assert_eq!((&line["event"], &line["outcome"]), (&json!("config.reload"), &json!("done")));
    assert_eq!((&line["actor"], &line["number"]), (&json!({"type": "host"}), &json!(2)));
    assert_eq!(text(&old).lines().count(), 1);
}

//! `serve`: how the service starts, what it prints, how it ends.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::program::{Program, run};
use crate::support::redis::RedisServer;

/// One operator, declared by the environment.
const OPERATOR: (&str, &str) = ("operator", "operator-secret-of-the-program");
const DECLARED: (&str, &str) = (
    "INTROSPECTD_CLIENTS",
    r#"[{"client_id": "operator", "client_secret": "operator-secret-of-the-program",
         "rights": ["introspect", "revoke", "issue", "admin"]}]"#,
);
const NO_WAIT: (&str, &str) = ("INTROSPECTD_DRAIN__MIN", "0s");

async fn is_active(program: &Program, token: &str) -> bool {
    program.api().is_active(program.client("resource_server"), token).await
}

#[tokio::test]
async fn dev_prints_one_line_and_all_that_is_in_it_works() {
    let program = Program::serve(&["--dev"], &[]);
    let shape = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(shape(&program.line), ["admin", "clients", "public", "tokens"]);
    assert_eq!(shape(&program.line["clients"]), ["application", "operator", "resource_server"]);
    assert_eq!(shape(&program.line["tokens"]), ["active", "expired", "revoked"]);
    for client in ["resource_server", "application", "operator"] {
        assert_eq!(shape(&program.line["clients"][client]), ["client_id", "client_secret"]);
    }
    let (server, application, operator) =
        (program.client("resource_server"), program.client("application"), program.client("operator"));

    assert!(is_active(&program, program.text("/tokens/active")).await);
    for token in ["expired", "revoked"] {
        assert!(!is_active(&program, program.text(&format!("/tokens/{token}"))).await, "{token}");
    }
    let described = program.api().introspect(server, program.text("/tokens/active")).await.json();
    assert_eq!((&described["sub"], &described["client_id"]), (&json!("alice"), &json!(application.0)));
    assert_eq!(described["iss"], program.line["public"], "without a setting, the issuer is where it listens");
    let grant = program.api().post("/token", application, &[("grant_type", "client_credentials")]).await.json();
    assert!(is_active(&program, grant["access_token"].as_str().unwrap()).await);
    let body = json!({"client_id": application.0, "sub": "bob", "scope": "read", "aud": "https://api.example.com"});
    let issued = program.api().admin(operator, "POST", "/admin/tokens", Some(body)).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    assert!(is_active(&program, issued.json()["access_token"].as_str().unwrap()).await);
    assert_eq!(program.api().revoke(application, program.text("/tokens/active")).await.status, 200);
    assert!(!is_active(&program, program.text("/tokens/active")).await);

    let ended = program.signal("-TERM");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "one line, and no more: {}", ended.stderr);
}

#[tokio::test]
async fn the_commands_that_dev_prints_work() {
    let folder = tempfile::tempdir().unwrap();
    let (program, text) = Program::serve_as_text(&["--dev", "--data", folder.path().to_str().unwrap()]);
    let mut statuses = Vec::new();
    let mut answers = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("curl ")) {
        let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('\'')).collect();
        let ["curl", "-u", pair, option, data, url] = words[..] else { panic!("{line}") };
        let (id, secret) = pair.split_once(':').unwrap();
        let media_type = if option == "--json" { "application/json" } else { "application/x-www-form-urlencoded" };
        let request =
            program.api().request("POST", url).basic_auth(id, Some(secret)).header("content-type", media_type);
        let answer = program.api().send(request.body(data.to_owned())).await;
        statuses.push(answer.status);
        answers.push(answer.body);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 201, 200, 200], "{text}");
    let active: Vec<bool> = answers.iter().map(|answer| answer.contains(r#""active":true"#)).collect();
    assert_eq!(active, [true, false, false, false, false, false, false], "{answers:?}");
    assert!(text.contains("on this machine"), "it says that its secrets are known to everybody");
}

#[test]
fn a_taken_address_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for (public, admin) in [(taken.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", &taken)] {
        let data = folder.path().to_str().unwrap();
        let failed = run(&["serve", "--public", public, "--admin", admin, "--data", data], &[]);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
        assert!(failed.stderr.contains(&taken), "{}", failed.stderr);
    }
}

#[test]
fn a_dev_store_goes_away_with_the_process() {
    let temporary = tempfile::tempdir().unwrap();
    let entries = || std::fs::read_dir(temporary.path()).unwrap().count();
    let program = Program::serve(&["--dev"], &[("TMPDIR", temporary.path().to_str().unwrap())]);
    assert_eq!(entries(), 1);
    assert_eq!(program.signal("-INT").code, Some(0));
    assert_eq!(entries(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_dev_nodes_on_one_redis_share_everything() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let one = Program::serve(&["--dev", "--redis", &url], &[]);
    let other = Program::serve(&["--dev", "--redis", &url], &[]);
    assert_eq!(one.line["clients"], other.line["clients"]);
    assert_ne!(one.line["tokens"], other.line["tokens"], "each start makes its own");
    for (maker, asked) in [(&one, &other), (&other, &one)] {
        let token = maker.text("/tokens/active");
        assert!(is_active(asked, token).await);
        let operator = maker.client("operator");
        let created =
            maker.api().admin(operator, "POST", "/admin/clients", Some(json!({"rights": ["introspect"]}))).await;
        let created = created.json();
        let pair = (created["client_id"].as_str().unwrap(), created["client_secret"].as_str().unwrap());
        assert_eq!(asked.api().introspect(pair, token).await.status, 200);
        assert_eq!(asked.api().revoke(asked.client("application"), token).await.status, 200);
        assert!(!is_active(maker, token).await, "revoked at one node, inactive at the other");
    }
    assert_eq!(one.signal("-TERM").code, Some(0));
    assert!(!is_active(&other, other.text("/tokens/revoked")).await, "the other goes on");
    assert_eq!(other.signal("-TERM").code, Some(0));
}

#[tokio::test]
async fn a_flag_chooses_the_store_whatever_is_configured() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").display().to_string();
    let one = Program::serve(&["--dev", "--redis", &url], &[("INTROSPECTD_STORE__PATH", &path)]);
    let other = Program::serve(&["--dev", "--data", &path], &[("INTROSPECTD_REDIS__URL", &url)]);
    assert!(!is_active(&other, one.text("/tokens/active")).await, "they do not share a store");
    assert!(folder.path().join("data").is_dir(), "and this is the one of the flag");
}

/// By flag, by variable or by file: wherever it is said, it holds for `--dev` too.
#[tokio::test]
async fn dev_keeps_its_data_where_the_environment_says() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let one = Program::serve(&["--dev"], &[("INTROSPECTD_REDIS__URL", &url)]);
    let other = Program::serve(&["--dev", "--redis", &url], &[]);
    assert!(is_active(&other, one.text("/tokens/active")).await);
}

#[test]
fn dev_is_for_this_machine_only() {
    for arguments in [
        ["--public", "0.0.0.0:0", "--admin", "127.0.0.1:0"],
        ["--public", "127.0.0.1:0", "--admin", "0.0.0.0:0"],
        ["--public", "[::]:0", "--admin", "127.0.0.1:0"],
        ["--public", "192.0.2.1:0", "--admin", "127.0.0.1:0"],
    ] {
        let refused = run(&[&["serve", "--dev"], &arguments[..]].concat(), &[]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", refused.stderr);
        let key = if arguments[1].starts_with("127.") { "admin.address" } else { "public.address" };
        assert!(refused.stderr.contains(key), "{}", refused.stderr);
    }
    let variables = [("INTROSPECTD_PUBLIC__ADDRESS", "0.0.0.0:0"), ("INTROSPECTD_ADMIN__ADDRESS", "127.0.0.1:0")];
    assert_eq!(run(&["serve", "--dev"], &variables).code, Some(2), "wherever the address is said");
    // An operator who accepts secrets in the clear has not thereby accepted secrets that everybody knows.
    let insecure = [("INTROSPECTD_ADMIN__INSECURE", "true"), ("INTROSPECTD_ADMIN__ADDRESS", "0.0.0.0:0")];
    let refused = run(&["serve", "--dev", "--public", "127.0.0.1:0"], &insecure);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("admin.address") && refused.stderr.contains("--dev"), "{}", refused.stderr);
}

#[tokio::test]
async fn what_is_kept_in_a_folder_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("made by the program");
    let data = data.to_str().unwrap();
    let program = Program::serve(&["--data", data], &[DECLARED, NO_WAIT]);
    let shape: Vec<&String> = program.line.as_object().unwrap().keys().collect();
    assert_eq!(shape, ["admin", "public"], "outside --dev there is nothing to show");
    let client = json!({"client_id": "app", "client_secret": "app-secret-of-the-program"});
    assert_eq!(program.api().admin(OPERATOR, "POST", "/admin/clients", Some(client)).await.status, 201);
    let body = json!({"client_id": "app"});
    let issued = program.api().admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await.json();
    let token = issued["access_token"].as_str().unwrap().to_owned();

    let second = run(&["serve", "--data", data, "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &[DECLARED]);
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("in use by another process") && second.stderr.contains(data), "{}", second.stderr);
    assert_eq!(program.api().introspect(OPERATOR, &token).await.status, 200, "the first goes on");

    assert_eq!(program.signal("-TERM").code, Some(0));
    let again = Program::serve(&["--data", data], &[DECLARED, NO_WAIT]);
    let own = json!({"rights": ["introspect"]});
    assert_eq!(again.api().admin(OPERATOR, "PATCH", "/admin/clients/app", Some(own)).await.status, 200);
    assert!(again.api().is_active(("app", "app-secret-of-the-program"), &token).await);
}

#[test]
fn what_cannot_be_started_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let listen = ["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let run = |arguments: &[&str]| run(&[&listen[..], arguments].concat(), &[]);
    let refused = run(&["--data", file.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("not a folder"), "{}", refused.stderr);
    let both = run(&["--data", "x", "--redis", "redis://127.0.0.1"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let keyless = run(&["--redis", "redis://user:hunter2@127.0.0.1:1"]);
    assert_ne!(keyless.code, Some(0));
    assert!(keyless.stderr.contains("keys.digest") && !keyless.stderr.contains("hunter2"), "{}", keyless.stderr);
}

/// RFC 6749 section 2.3.1: what is in a query is not honoured, and not written down either.
#[tokio::test]
async fn the_log_holds_no_secret_and_no_token() {
    let verbose = [("INTROSPECTD_LOG__ACCESS", "all"), ("INTROSPECTD_LOG__LEVEL", "debug")];
    let program = Program::serve(&["--dev"], &verbose);
    let (server, application) = (program.client("resource_server"), program.client("application"));
    let (active, public) = (program.text("/tokens/active").to_owned(), program.text("/public").to_owned());
    let secrets = [server.1, application.1, &active].map(str::to_owned);
    program.api().introspect(server, &active).await;
    program.api().introspect((server.0, "a-wrong-secret-in-the-log"), &active).await;
    program.api().introspect(server, "an-unknown-token-in-the-log\r\nWARN forged").await;
    program.api().revoke(application, &active).await;
    let query = format!("{public}/token?client_secret=a-secret-in-the-query-for-the-log");
    program.api().send(program.api().request("POST", &query)).await;
    program.api().send(program.api().request("GET", &format!("{public}/a-path-for-the-log"))).await;
    let ended = program.signal("-TERM");
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.lines().filter(|line| line.contains("introspectd::access")).count() >= 6, "{}", ended.stderr);
    for secret in secrets.iter().map(String::as_str).chain(["-in-the-log", "forged", "-for-the-log"]) {
        assert!(!ended.stderr.contains(secret), "{secret} is in {}", ended.stderr);
    }
}

//! The load tester against servers whose behaviour is known.
//!
//! - [`loops`] delays, lies and stalls in open and closed loops
//! - [`hostile`] servers that break the protocol, over [`wire`]
//! - [`modes`] sweep, search, soak, burst, churn, HTTP/2, compare and capacity
//! - [`workload`] tokens that are made and revoked while they are read, over [`authority`]
//! - [`schema`] the published form of results

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod authority;
mod hostile;
mod loops;
mod modes;
mod schema;
mod server;
mod wire;
mod workload;

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use server::Server;

/// Two live tokens and a dead one; each needs form encoding.
const TOKENS: &str = r#"{"token": "live/1+", "active": true}
{"token": "live 2", "active": true}
{"token": "dead&3", "active": false}
"#;

fn load(server: &Server, arguments: &str) -> Output {
    load_with(server, TOKENS, arguments)
}

fn load_with(server: &Server, tokens: &str, arguments: &str) -> Output {
    let run = if arguments.contains("--mode") { "run " } else { "" };
    call(server.address(), tokens, &format!("{run}{arguments}"))
}

/// Calls the command with a file of tokens and one of the secret. The first word is the subcommand.
fn call(server: SocketAddr, tokens: &str, arguments: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let (tokens_file, secret_file) = (folder.path().join("tokens.jsonl"), folder.path().join("secret"));
    fs::write(&tokens_file, tokens).unwrap();
    fs::write(&secret_file, "a secret\n").unwrap();
    let (subcommand, arguments) = arguments.split_once(' ').unwrap();
    command(subcommand)
        .args(["--url", &format!("http://{server}/introspect"), "--client-id", "rs"])
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

fn command(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_introspectd-load"));
    command.arg(subcommand);
    command
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

fn milliseconds(value: &Value) -> f64 {
    value.as_f64().unwrap() / 1000.0
}

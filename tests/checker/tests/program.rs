//! The program: what it prints, and its exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::Write as _;
use std::process::{Command, Stdio};

const MODE: &str =
    r#"{"mode":{"acknowledge":"visible","durability":"replay","lease":0,"nodes":1,"grace":0,"approved_within":0}}"#;
const ISSUE: &str = r#"{"issue":{"begin":1,"end":2,"node":0,"token":"t","client":"c","expires":100}}"#;

fn run(lines: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_history_that_keeps_the_promise() {
    let active = r#"{"introspect":{"begin":3,"end":4,"node":0,"token":"t","answer":"active"}}"#;
    let (code, said) = run(&[MODE, ISSUE, active]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("the promise held\n"), "{said}");
}

#[test]
fn a_history_that_breaks_it_is_told_with_its_events() {
    let late = r#"{"introspect":{"begin":100,"end":104,"node":0,"token":"t","answer":"active"}}"#;
    let (code, said) = run(&[MODE, ISSUE, late]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("I3: node 0") && said.contains(late), "{said}");
    assert!(said.ends_with("the promise was broken: I3 1\n"), "{said}");
}

#[test]
fn what_is_no_history() {
    for (lines, message) in [
        (&[MODE, "{}"][..], "line 2: "),
        (&[MODE, ISSUE, ISSUE], "event 2: the token has been issued before"),
        (&[], "the first line must be the mode"),
    ] {
        let (code, said) = run(lines);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.starts_with(message), "{said}");
    }
}

//! Servers that break the protocol: each failure is counted by its kind, takes bounded time and memory, and breaks
//! nothing.

use super::wire::{self, Script, close, write};
use super::{call, complaint, report};

const TOKEN: &str = r#"{"token": "live", "active": true}"#;
const RUN: &str = "run --mode open --rate 50 --connections 2 --duration 400ms --warmup 0s --timeout 1s";

/// All requests of a run fail in the same way.
fn fails(script: Script, fault: &str) {
    let output = call(wire::start(script), TOKEN, RUN);
    assert!(complaint(&output).starts_with("failed requests: 20\n"), "{fault}: {}", complaint(&output));
    let report = report(&output);
    assert_eq!(report["answers"]["broken_by_fault"][fault], 20, "{report}");
    assert_eq!(report["answers"]["right"], 0);
    assert_eq!(report["valid"], false);
}

/// All requests of a run are answered, in a way that is unusual.
fn answers(script: Script) {
    let output = call(wire::start(script), TOKEN, RUN);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["answers"]["right"], 20);
}

#[test]
fn a_connection_that_is_closed_without_an_answer() {
    fails(|_| close(), "closed");
}

#[test]
fn a_connection_that_is_closed_within_an_answer() {
    fails(
        |stream| {
            write(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"active\":")?;
            close()
        },
        "closed",
    );
}

#[test]
fn garbage_instead_of_a_status() {
    fails(|stream| write(stream, b"SSH-2.0-OpenSSH_9.2\r\n"), "status_line");
    fails(|stream| write(stream, &[0; 64]), "status_line");
}

#[test]
fn garbage_instead_of_a_header() {
    fails(|stream| write(stream, b"HTTP/1.1 200 OK\r\n\0\0\0\r\n\r\n"), "header");
}

#[test]
fn headers_without_end() {
    fails(
        |stream| {
            write(stream, b"HTTP/1.1 200 OK\r\n")?;
            loop {
                write(stream, &b"X-More: and more\r\n".repeat(100))?;
            }
        },
        "head_too_large",
    );
}

#[test]
fn a_body_without_end() {
    fails(|stream| write(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "body_too_large");
    fails(
        |stream| {
            write(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                write(stream, &[&b"1000\r\n"[..], &[b' '; 0x1000], b"\r\n"].concat())?;
            }
        },
        "body_too_large",
    );
    fails(
        |stream| {
            write(stream, b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                write(stream, &[b' '; 0x1000])?;
            }
        },
        "body_too_large",
    );
}

#[test]
fn chunks_that_are_none() {
    fails(|stream| write(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "framing");
}

/// The second answer would be taken for that to the next request.
#[test]
fn two_answers_to_one_request() {
    fails(
        |stream| write(stream, &b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"active\":true}".repeat(2)),
        "unasked",
    );
}

#[test]
fn an_answer_that_never_comes_is_late() {
    let run = "run --mode open --rate 50 --connections 20 --duration 400ms --warmup 0s --timeout 300ms";
    let output = call(wire::start(|_| Ok(())), TOKEN, run);
    assert!(complaint(&output).starts_with("failed requests: 20\n"));
    assert_eq!(report(&output)["answers"]["late"], 20);
}

#[test]
fn another_status_is_a_failure_and_its_body_is_not_read_as_an_answer() {
    let script: Script = |stream| write(stream, b"HTTP/1.1 503 Away\r\nContent-Length: 15\r\n\r\n{\"active\":true}");
    let output = call(wire::start(script), TOKEN, RUN);
    assert!(complaint(&output).starts_with("failed requests: 20\n"));
    let report = report(&output);
    assert_eq!(report["answers"]["refused"]["503"], 20);
    assert_eq!((&report["answers"]["right"], &report["answers"]["wrong"]), (&0.into(), &0.into()));
}

#[test]
fn an_answer_that_is_no_introspection_answer_is_a_lie() {
    let output =
        call(wire::start(|stream| write(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")), TOKEN, RUN);
    assert!(complaint(&output).starts_with("wrong answers: 20 (the first for token 1)"));
}

#[test]
fn rfc9113_what_is_no_http2_fails_and_does_not_hang() {
    let scripts: [Script; 3] = [
        |_| close(),
        |stream| write(stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        // A frame that is longer than may be.
        |stream| write(stream, &[0xff; 64]),
    ];
    for script in scripts {
        let output = call(wire::start(script), TOKEN, &format!("{RUN} --protocol h2 --streams 4"));
        assert!(complaint(&output).starts_with("failed requests: 20\n"), "{}", complaint(&output));
        let report = report(&output);
        let answers = &report["answers"];
        assert_eq!(answers["broken"].as_u64().unwrap() + answers["late"].as_u64().unwrap(), 20, "{report}");
    }
}

#[test]
fn rfc9112_unusual_answers_are_read() {
    answers(|stream| {
        write(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"act\r\n")?;
        write(stream, b"a;x=y\r\nive\":true}\r\n0\r\nX: y\r\n\r\n")
    });
    answers(|stream| {
        write(stream, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 15\r\n\r\n{\"active\":true}")
    });
    answers(|stream| {
        write(stream, b"HTTP/1.0 200 OK\r\n\r\n{\"active\":true}")?;
        close()
    });
}

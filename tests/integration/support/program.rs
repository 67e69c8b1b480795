//! The built program, run as its users run it.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::NamedTempFile;

use super::PATIENCE;
use super::api::Api;

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_introspectd"));
    // What is set where the tests run must not reach it.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(arguments).envs(environment.iter().copied());
    command
}

/// A run that has come to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// What it printed, as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    run_with(arguments, environment, "")
}

/// Runs it to its end with this on its standard input.
pub(crate) fn run_with(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Finished {
    let (stdout, stderr) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    let mut command = command(arguments, environment);
    command.stdin(Stdio::piped()).stdout(stdout.reopen().unwrap()).stderr(stderr.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    // It may end without having read anything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let code = wait(&mut child);
    let text = |file: &NamedTempFile| std::fs::read_to_string(file.path()).unwrap();
    Finished { code, stdout: text(&stdout), stderr: text(&stderr) }
}

/// Waits until it has ended.
fn wait(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("the program does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The service in a process of its own. Killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    stderr: NamedTempFile,
    stdout: Option<ChildStdout>,
    /// The line that it printed once it listened.
    pub(crate) line: Value,
    api: Option<Api>,
}

impl Program {
    /// Starts `serve` on free ports with further arguments, and waits until it says that it listens.
    pub(crate) fn serve(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let (mut program, line) = Self::start(&[&["--print", "json"], arguments].concat(), environment, "\n", 1);
        program.line =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} {}", program.log()));
        let address = |name: &str| program.text(name).strip_prefix("http://").unwrap().parse().unwrap();
        program.api = Some(Api::new(address("/public"), address("/admin")));
        program
    }

    /// Starts `serve` so that it prints what is for people; gives that too.
    pub(crate) fn serve_as_text(arguments: &[&str]) -> (Self, String) {
        let (mut program, text) = Self::start(arguments, &[], "/introspect\n\n", 2);
        let words = || text.split([' ', ',', ')', '\n']).filter_map(|word| word.strip_prefix("http://"));
        let mut addresses = words().filter_map(|word| word.trim_end_matches('.').parse().ok());
        program.api = Some(Api::new(addresses.next().unwrap(), addresses.next().unwrap()));
        (program, text)
    }

    /// Starts `serve` and reads its standard output until this has come so many times.
    fn start(arguments: &[&str], environment: &[(&str, &str)], end: &str, times: usize) -> (Self, String) {
        let stderr = NamedTempFile::new().unwrap();
        let mut command = command(&["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"], environment);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr.reopen().unwrap());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut program = Self { child, stderr, stdout: None, line: Value::Null, api: None };
        let (sender, receiver) = mpsc::channel();
        let end = end.to_owned();
        std::thread::spawn(move || {
            let (mut text, mut byte, mut left) = (Vec::new(), [0], times);
            while left > 0 && stdout.read(&mut byte).is_ok_and(|count| count > 0) {
                text.push(byte[0]);
                left -= usize::from(text.ends_with(end.as_bytes()));
            }
            let _ = sender.send((String::from_utf8_lossy(&text).into_owned(), stdout));
        });
        let said = receiver.recv_timeout(PATIENCE);
        let (text, stdout) = said.unwrap_or_else(|_| panic!("it does not say that it listens: {}", program.log()));
        program.stdout = Some(stdout);
        (program, text)
    }

    /// What it has written to its standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.stderr.path()).unwrap()
    }

    /// A client of its listeners.
    pub(crate) fn api(&self) -> &Api {
        self.api.as_ref().expect("it listens")
    }

    /// A text of the line that it printed, by its JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.line.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {}", self.line))
    }

    /// Identifier and secret of one of the clients that `--dev` makes.
    pub(crate) fn client(&self, name: &str) -> (&str, &str) {
        (self.text(&format!("/clients/{name}/client_id")), self.text(&format!("/clients/{name}/client_secret")))
    }

    /// Stops the process where it is.
    #[allow(dead_code, reason = "for the chaos tests, which share this")]
    pub(crate) fn freeze(&self) {
        self.send("-STOP");
    }

    /// Lets a frozen process go on.
    #[allow(dead_code, reason = "for the chaos tests, which share this")]
    pub(crate) fn thaw(&self) {
        self.send("-CONT");
    }

    fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Tells the process that its settings have changed.
    #[allow(dead_code, reason = "for some of the tests that share this")]
    pub(crate) fn hang_up(&self) {
        self.send("-HUP");
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, as `-TERM`, and waits for the end.
    pub(crate) fn signal(mut self, signal: &str) -> Finished {
        self.send(signal);
        let code = wait(&mut self.child);
        let mut stdout = String::new();
        if let Some(rest) = &mut self.stdout {
            rest.read_to_string(&mut stdout).unwrap();
        }
        Finished { code, stdout, stderr: self.log() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

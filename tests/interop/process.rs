//! Other programs: started, watched, and ended with the test that started them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that should take a moment: far longer than it ever does on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until a condition holds.
///
/// # Panics
/// When it does not hold within [`PATIENCE`].
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a program, or says how to get it.
pub(crate) fn spawn(command: &mut Command, package: &str) -> Child {
    command.spawn().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => panic!("{} is missing: apt-get install {package}", command.get_program().display()),
        _ => panic!("{} does not start: {error}", command.get_program().display()),
    })
}

/// Runs a program to its end, which must be a good one, and gives what it wrote to standard output.
///
/// # Panics
/// With all its output, when it fails or takes longer than `limit`.
pub(crate) fn run(command: &mut Command, package: &str, limit: Duration) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut child = spawn(command, package);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let ended = status.map_or_else(|| format!("did not end within {limit:?}"), |status| status.to_string());
    assert!(
        status.is_some_and(|status| status.success()),
        "{command:?}: {ended}\n--- standard output\n{}\n--- standard error\n{}",
        read(&out),
        read(&err)
    );
    read(&out)
}

/// The service: the program itself, as operators start it.
pub(crate) struct Node {
    child: Child,
    /// What it printed when it listened.
    pub(crate) line: Value,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: PathBuf,
    _folder: TempDir,
}

impl Node {
    /// Starts the program with these arguments and variables, and no others, and waits until it listens.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1:0", arguments, variables)
    }

    /// The same with a public listener at this address.
    pub(crate) fn start_at(public: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stderr = folder.path().join("stderr");
        let mut command = Command::new(env!("CARGO_BIN_EXE_introspectd"));
        command.args(["serve", "--print", "json", "--public", public, "--admin", "127.0.0.1:0"]);
        command.args(arguments).env_clear().envs(variables.iter().copied()).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        let stdout = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut reader = BufReader::new(stdout);
            reader.read_until(b'\n', &mut all).unwrap();
            // Nobody waits any more when the test has given up.
            let _ = sender.send(all.clone());
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let line = receiver.recv_timeout(PATIENCE).unwrap_or_default();
        let mut node = Self { child, line: Value::Null, stdout: Some(stdout), stderr, _folder: folder };
        node.line = serde_json::from_slice(&line)
            .unwrap_or_else(|_| panic!("the service does not start: {}", String::from_utf8_lossy(&node.stderr())));
        node
    }

    /// The URL of the public listener.
    pub(crate) fn public(&self) -> &str {
        self.line["public"].as_str().unwrap()
    }

    /// The URL of the admin listener.
    pub(crate) fn admin(&self) -> &str {
        self.line["admin"].as_str().unwrap()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> Vec<u8> {
        std::fs::read(&self.stderr).unwrap()
    }

    /// Ends it as an operator would, and gives what it wrote to standard output and standard error. Its folder stays.
    pub(crate) fn end(&mut self) -> (Vec<u8>, Vec<u8>) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        eventually("the service ends", || self.child.try_wait().unwrap().is_some());
        (self.stdout.take().unwrap().join().unwrap(), self.stderr())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended before; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Redis server of the test's own, on a free port, in a temporary folder.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts one with further settings, and waits until it answers.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        // Somebody else may take the port between our look and the server's: then it ends, and another is tried.
        for _ in 0..20 {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--save", ""]);
            command.args(["--unixsocket", "s", "--dir"]).arg(folder.path()).args(arguments).current_dir(folder.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut redis = Self { child: spawn(&mut command, "redis-server"), port, folder };
            let mut ended = false;
            eventually("redis-server answers", || {
                ended = redis.child.try_wait().unwrap().is_some();
                ended || UnixStream::connect(redis.socket()).is_ok()
            });
            if !ended {
                return redis;
            }
        }
        panic!("redis-server never stays up");
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket file that tests speak to it through.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now and outside of those that the kernel hands out for outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 8_000;
    // Test runs beside each other begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

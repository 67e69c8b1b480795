//! What the service tells the service manager that started it, over a real socket.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::program::Program;
use crate::support::redis::RedisServer;

const KEYS: (&str, &str) =
    ("INTROSPECTD_KEYS__DIGEST", r#"[{"id": "01", "secret": "0123456789abcdef0123456789abcdef"}]"#);
const NO_WAIT: (&str, &str) = ("INTROSPECTD_DRAIN__MIN", "0s");

/// Listens as systemd does.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { folder, socket }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// The next message but for signs of life.
    fn hears(&self) -> String {
        loop {
            let mut buffer = [0; 512];
            let length = self.socket.recv(&mut buffer).expect("it says something");
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if text != "WATCHDOG=1\n" {
                return text;
            }
        }
    }

    /// Passes over what is for people, to the next message that begins so.
    fn waits_for(&self, beginning: &str) -> String {
        loop {
            let text = self.hears();
            if text.starts_with(beginning) {
                return text;
            }
            assert!(text.starts_with("STATUS="), "{text}");
        }
    }
}

#[tokio::test]
async fn systemd_is_told_of_the_start_of_reloads_and_of_the_end() {
    let manager = Manager::new();
    let notify = manager.path();
    let watchdog = ("WATCHDOG_USEC", "200000");
    let program = Program::serve(&["--dev"], &[("NOTIFY_SOCKET", notify.to_str().unwrap()), watchdog]);
    assert_eq!(manager.waits_for("READY=1"), "READY=1\nSTATUS=ready\n");
    // At least three signs of life in a second, in which five are due.
    let mut buffer = [0; 64];
    for _ in 0..3 {
        let length = manager.socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
    }
    program.hang_up();
    let reloading = manager.hears();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    assert!(Duration::from_micros(micros.trim_end().parse().unwrap()) > Duration::ZERO);
    assert_eq!(manager.hears(), "READY=1\n");
    let ended = program.signal("-TERM");
    assert_eq!(manager.hears(), "STOPPING=1\nSTATUS=draining\n");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// What depends on the service is started when it can answer, and not when its process exists.
#[tokio::test]
async fn a_service_without_its_store_is_not_ready() {
    let manager = Manager::new();
    let notify = manager.path();
    let url = format!("unix://{}", manager.folder.path().join("nobody").display());
    let environment = [("NOTIFY_SOCKET", notify.to_str().unwrap()), KEYS, NO_WAIT];
    let program = Program::serve(&["--redis", &url], &environment);
    assert_eq!(manager.hears(), "STATUS=not ready: store unavailable\n");
    let ended = program.signal("-TERM");
    assert_eq!(manager.hears(), "STOPPING=1\nSTATUS=draining\n", "it was never ready");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let redis = RedisServer::start().await;
    let program = Program::serve(&["--redis", &redis.url()], &environment);
    assert_eq!(manager.waits_for("READY=1"), "READY=1\nSTATUS=ready\n");
    drop(program);
}

#[tokio::test]
async fn a_service_manager_that_is_not_there_is_said_and_no_more() {
    let program = Program::serve(&["--dev"], &[("NOTIFY_SOCKET", "/nowhere/notify")]);
    assert!(program.log().contains("the service manager cannot be reached"), "{}", program.log());
    assert_eq!(program.signal("-TERM").code, Some(0));
}

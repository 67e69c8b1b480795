//! Sockets: unix socket files, and addresses that cannot be had.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use introspectd::server::BindError;
use introspectd::shutdown::Outcome;
use tokio::net::UnixStream;

use crate::harness::{Client, Options, eventually};

fn with_socket(folder: &tempfile::TempDir) -> Options {
    Options { unix: Some(folder.path().join("introspectd.sock")), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_serves_beside_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_socket(&folder);
    let path = options.unix.clone().unwrap();
    let server = options.start();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
    let get = "GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.exchange(get).await.text(), "public false false");
    assert_eq!(server.connect().await.exchange(get).await.text(), "public false true");
    server.drain.begin();
    client.closed().await;
    assert_eq!(server.outcome().await, Outcome::Clean);
    assert!(!path.exists(), "removed in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_file_of_a_dead_process_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_socket(&folder);
    let path = options.unix.clone().unwrap();
    // Unlike ours, a listener of std leaves its file behind.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _server = options.start();
    let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.exchange("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_file_of_a_living_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_socket(&folder);
    let _living = UnixListener::bind(options.unix.as_ref().unwrap()).unwrap();
    let error = options.bind().unwrap_err();
    assert!(matches!(error, BindError::Unix { .. }));
    assert!(error.to_string().contains("another process listens on this socket"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_socket(&folder);
    let path = options.unix.clone().unwrap();
    std::fs::write(&path, "precious").unwrap();
    let error = options.bind().unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_file_that_another_process_has_replaced_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_socket(&folder);
    let path = options.unix.clone().unwrap();
    let server = options.start();
    std::fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    server.drain.begin();
    server.outcome().await;
    assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_socket());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_named() {
    let server = Options::default().bind().unwrap();
    let taken = server.bound()[0].address;
    let listener = introspectd::config::ListenerConfig { address: taken, unix: None, tls: None, insecure: false };
    let error = introspectd::server::Server::bind(&[("admin", &listener)], &Options::default().http).unwrap_err();
    assert!(error.to_string().starts_with(&format!("the admin listener cannot listen on {taken}: ")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_wait_from_bind_on() {
    let options = Options::default();
    let server = options.bind().unwrap();
    let address = server.bound()[0].address;
    assert_ne!(address.port(), 0);
    let client = tokio::net::TcpStream::connect(address).await;
    assert!(client.is_ok(), "before anybody accepts");
}

#[test]
fn want_of_file_descriptors_is_waited_out() {
    // In a process of its own, since the limit is the process's and other tests need theirs.
    let child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64 && FEW_FILES=yes exec \"$0\" --exact --ignored sockets::in_a_process_with_few_file_descriptors"])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "for want_of_file_descriptors_is_waited_out, which limits them first"]
async fn in_a_process_with_few_file_descriptors() {
    if std::env::var_os("FEW_FILES").is_none() {
        return;
    }
    let server = Options::default().start();
    let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut before = server.connect().await;
    assert_eq!(before.exchange(get).await.status, 200);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    let mut waiting = Client::new(socket.connect(server.address).await.unwrap());
    waiting.send(get).await;
    eventually("accepting fails", || server.statistics.accept_errors() > 0).await;
    assert_eq!(before.exchange(get).await.status, 200, "who is connected is served");
    assert!(server.statistics.accept_errors() < 10, "without haste");
    hoard.clear();
    assert_eq!(waiting.reply().await.status, 200, "and who had to wait as well");
}

//! The comparison's arithmetic holds, and its floor says what it was told to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program under test, ended with the test however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn arithmetic_and_parsing_of_the_comparison() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../run");
    let done = Command::new(run).arg("--self-test").stdin(Stdio::null()).output().expect("python3 is needed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn floor_reads_the_body_and_answers_the_constant_again_and_again() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("constant.json");
    std::fs::write(&file, r#"{"headers":{"content-type":"application/json","pragma":"no-cache"},"body":"{\"a\":1}"}"#)
        .expect("the folder of tests can be written to");
    let address = free_address();
    let floor = Command::new(env!("CARGO_BIN_EXE_introspectd-compare-hyper"))
        .args([address.to_string().as_ref(), file.as_os_str()])
        .stdin(Stdio::null())
        .spawn()
        .expect("the floor starts");
    let _running = Running(floor);
    let mut connection = connect(address);
    for _ in 0..2 {
        connection
            .write_all(b"POST /introspect HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\ntoken=a")
            .expect("the floor reads");
        let answer = read_until(&mut connection, b"{\"a\":1}");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for header in ["content-type: application/json\r\n", "pragma: no-cache\r\n", "content-length: 7\r\n", "date: "]
        {
            assert!(answer.contains(header), "{header} is missing: {answer}");
        }
    }
}

/// Somebody may take it before it is used; the test then fails, and says that the floor does not listen.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address")
}

fn connect(address: SocketAddr) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a duration that is not zero");
                return stream;
            }
            Err(error) => assert!(Instant::now() < deadline, "the floor does not listen: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> String {
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(end) {
        let length = stream.read(&mut buffer).expect("the floor answers in time");
        assert_ne!(length, 0, "the floor hung up after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

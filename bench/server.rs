//! What a request to a whole node costs over loopback: the socket, HTTP/1.1, and all that is ours.
//!
//! The node has a thread and a runtime of its own; what asks it takes turns with it where there are few cores. How much
//! a node carries is the load tester's to say: here each connection waits for its answer before it asks again.

mod site;
mod timing;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use introspectd::app::App;
use introspectd::shutdown::Drain;
use introspectd::token::time::Clock;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime;

use site::{BASIC, FORM, GRANT, config};
use timing::each;

const CONNECTIONS: usize = 32;

/// A node that answers, ended with this.
struct Node {
    address: SocketAddr,
    drain: Drain,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    fn start() -> Self {
        let (started, starting) = mpsc::channel();
        let thread = thread::spawn(move || {
            let folder = TempDir::new().expect("there is room for a folder");
            let runtime = runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
            runtime.block_on(async {
                let app = App::build(config(folder.path()), Clock::System).await.expect("the folder is new");
                started.send((app.bound()[0].address, app.drain().clone())).expect("somebody waits for it");
                app.run().await;
            });
        });
        let (address, drain) = starting.recv().expect("the node starts");
        Self { address, drain, thread: Some(thread) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.drain.begin();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the node ends in order");
        }
    }
}

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the node listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self { stream, answer: Vec::with_capacity(4096) }
    }

    /// The body of the answer, which must be 200.
    async fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("the connection is open");
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.expect("the connection is open");
            assert!(read > 0, "the node has closed the connection");
            if let Some(body) = body(&self.answer) {
                return &self.answer[body..];
            }
        }
    }
}

/// Where the body begins, once all of it is there.
fn body(answer: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    assert!(answer.len() < 12 || answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let place = answer[..end].windows(LENGTH.len()).position(|window| window == LENGTH).expect("it has a length");
    let digits = answer[place + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    (answer.len() == end + length).then_some(end)
}

fn post(path: &str, form: &str) -> Vec<u8> {
    let length = form.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {BASIC}\r\ncontent-type: {FORM}\r\n\
         content-length: {length}\r\n\r\n{form}"
    )
    .into_bytes()
}

fn whole(criterion: &mut Criterion) {
    let node = Node::start();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let mut one = runtime.block_on(Connection::open(node.address));
    let issued = runtime.block_on(one.ask(&post("/token", GRANT))).to_vec();
    let issued: serde_json::Value = serde_json::from_slice(&issued).expect("answers are JSON");
    let token = issued["access_token"].as_str().expect("a token was issued");
    let live = b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".to_vec();
    let scenarios = [
        ("hot", post("/introspect", &format!("token={token}")), "{\"active\":true"),
        ("garbage", post("/introspect", "token=itd_at_and_nothing"), "{\"active\":false"),
        ("live", live, ""),
    ];
    let mut group = criterion.benchmark_group("server/1 connection");
    group.throughput(Throughput::Elements(1));
    for (name, request, expected) in &scenarios {
        each(&mut group, &runtime, name, async || {
            assert!(one.ask(black_box(request)).await.starts_with(expected.as_bytes()));
        });
    }
    group.finish();
    let mut many = runtime.block_on(join_all((0..CONNECTIONS).map(|_| Connection::open(node.address))));
    let mut group = criterion.benchmark_group("server/32 connections");
    group.throughput(Throughput::Elements(CONNECTIONS as u64));
    for (name, request, expected) in &scenarios {
        each(&mut group, &runtime, name, async || {
            let answers = join_all(many.iter_mut().map(|connection| connection.ask(black_box(request)))).await;
            assert!(answers.iter().all(|answer| answer.starts_with(expected.as_bytes())));
        });
    }
    group.finish();
}

criterion_group!(benches, whole);
criterion_main!(benches);

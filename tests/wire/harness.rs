//! A server on free ports, a handler that does what its path says, and a client that sends any bytes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use introspectd::config::{DrainConfig, HttpConfig, ListenerConfig, ThreadModel, TlsFiles};
use introspectd::server::{BindError, Handler, Peer, Refusal, RequestBody, Server, ServerStatistics};
use introspectd::shutdown::{Drain, Outcome};
use introspectd::threads::Threads;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes, so that a failure is a message and not a hanging test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// For time limits under test.
pub(crate) const SOON: Duration = Duration::from_millis(300);
/// What the handler reads of a body.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// A request that follows another one in the same bytes, and must never be answered.
pub(crate) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// The handler.
#[derive(Clone)]
pub(crate) struct Stub {
    gate: Arc<Semaphore>,
    dropped: Arc<AtomicUsize>,
}

impl Handler for Stub {
    async fn handle(&self, request: &mut Request<RequestBody>, peer: &Peer) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if request.method().as_str() == "FOO" {
            return text(StatusCode::NOT_IMPLEMENTED, "unknown method");
        }
        match path.as_str() {
            "/echo" => match request.body_mut().read(MAX_BODY).await {
                Ok(body) => text(StatusCode::OK, body),
                Err(error) => text(error.status(), error.to_string()),
            },
            "/unread" => text(StatusCode::UNAUTHORIZED, "who are you"),
            "/panic" => panic!("on purpose"),
            "/panic-later" => {
                tokio::task::yield_now().await;
                panic!("on purpose, later")
            }
            "/gate" => {
                // Says whether the future was dropped before its end.
                let mut guard = Dropped(Some(Arc::clone(&self.dropped)));
                self.gate.acquire().await.unwrap().forget();
                guard.0 = None;
                text(StatusCode::OK, "through the gate")
            }
            "/peer" => text(StatusCode::OK, format!("{} {} {}", peer.listener, peer.encrypted, peer.address.is_some())),
            "/certificate" => {
                let thumbprint = peer.certificate.as_ref().map(|certificate| certificate.thumbprint());
                text(StatusCode::OK, thumbprint.unwrap_or_else(|| "none".to_owned()))
            }
            "/large" => text(StatusCode::OK, vec![b'x'; 8 * 1024 * 1024]),
            _ => text(StatusCode::OK, format!("{} {path}", method_name(request.method()))),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>> {
        text(StatusCode::OK, format!("refused: {}", refusal.description()))
    }
}

struct Dropped(Option<Arc<AtomicUsize>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn method_name(method: &Method) -> String {
    method.as_str().to_owned()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

/// What a test wants to be different.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) http: HttpConfig,
    pub(crate) drain: DrainConfig,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
}

impl Default for Options {
    fn default() -> Self {
        let never = Duration::from_mins(1);
        Self {
            http: HttpConfig {
                max_body_bytes: MAX_BODY,
                max_batch_bytes: 1024 * 1024,
                max_header_bytes: 16 * 1024,
                max_headers: 64,
                max_connections: 100,
                header_timeout: never,
                body_timeout: never,
                idle_timeout: never,
                request_timeout: never,
                threads: ThreadModel::PerCore,
            },
            drain: DrainConfig { min: Duration::ZERO, max: never },
            unix: None,
            tls: None,
        }
    }
}

impl Options {
    pub(crate) fn bind(&self) -> Result<Server, BindError> {
        let listener = ListenerConfig {
            address: ([127, 0, 0, 1], 0).into(),
            unix: self.unix.clone(),
            tls: self.tls.clone(),
            insecure: false,
        };
        Server::bind(&[("public", &listener)], &self.http)
    }

    /// Starts it. In a test with several threads its connections are spread over as many; else all are served where the
    /// test runs.
    pub(crate) fn start(&self) -> Running {
        let server = self.bind().unwrap();
        let address = server.bound()[0].address;
        let statistics = server.statistics();
        let drain = Drain::new(&self.drain);
        let stub = Stub { gate: Arc::new(Semaphore::new(0)), dropped: Arc::default() };
        let task = tokio::spawn({
            let (stub, drain) = (stub.clone(), drain.clone());
            let threads = Threads::start(self.http.threads).unwrap();
            async move { server.serve(stub, &drain, &threads).await }
        });
        Running { address, statistics, drain, stub, task }
    }
}

/// A server that runs as long as this lives.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) statistics: Arc<ServerStatistics>,
    pub(crate) drain: Drain,
    stub: Stub,
    task: JoinHandle<Outcome>,
}

impl Running {
    pub(crate) fn with_defaults() -> Self {
        Options::default().start()
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Lets one request through `/gate`.
    pub(crate) fn open_gate(&self) {
        self.stub.gate.add_permits(1);
    }

    /// How many requests to `/gate` were dropped before their end.
    pub(crate) fn dropped(&self) -> usize {
        self.stub.dropped.load(Ordering::Relaxed)
    }

    /// Sends `bytes` over a new connection, and returns all that is answered until the server closes it.
    pub(crate) async fn everything(&self, bytes: impl AsRef<[u8]>) -> Vec<Reply> {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.until_closed().await
    }

    /// How the server ended.
    pub(crate) async fn outcome(mut self) -> Outcome {
        timeout(PATIENCE, &mut self.task).await.expect("the server ends").unwrap()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "never came true: {what}");
}

/// An answer of HTTP/1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A connection of HTTP/1 that sends what it is told to.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next answer.
    pub(crate) async fn reply(&mut self) -> Reply {
        timeout(PATIENCE, self.next()).await.expect("an answer in time").expect("an answer")
    }

    /// The next answer, which has no body whatever it says.
    pub(crate) async fn reply_to_head(&mut self) -> Reply {
        timeout(PATIENCE, self.head()).await.expect("an answer in time").expect("an answer")
    }

    /// Sends `bytes` and reads one answer.
    pub(crate) async fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Reply {
        self.send(bytes).await;
        self.reply().await
    }

    /// All further answers. Panics unless the server then closes the connection, and without a reset, which could have
    /// cost the client the last of them.
    pub(crate) async fn until_closed(&mut self) -> Vec<Reply> {
        let reading = async {
            let mut replies = Vec::new();
            while let Some(reply) = self.next().await {
                replies.push(reply);
            }
            replies
        };
        timeout(PATIENCE, reading).await.expect("the server closes the connection")
    }

    /// Panics unless the server closes the connection without saying anything more.
    pub(crate) async fn closed(&mut self) {
        assert_eq!(self.until_closed().await, []);
    }

    async fn next(&mut self) -> Option<Reply> {
        let mut reply = self.head().await?;
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.fill().await, "half a body");
        }
        reply.body = self.buffer.drain(..length).collect();
        Some(reply)
    }

    async fn head(&mut self) -> Option<Reply> {
        let head_end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..head_end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Some(Reply { status, headers, body: Vec::new() })
    }

    async fn fill(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.expect("the connection is not reset") > 0
    }
}

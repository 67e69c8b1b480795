//! HTTP/2 by prior knowledge, frame by frame (RFC 9113), and by an ordinary client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use introspectd::config::DrainConfig;
use introspectd::server::Protocol;
use introspectd::shutdown::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Options, PATIENCE, Running, SOON, eventually};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A connection of HTTP/2 that sends any frames.
struct Frames {
    stream: TcpStream,
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Status(u16),
    Reset,
    Connection,
}

impl Frames {
    async fn connect(server: &Running) -> Self {
        let mut frames = Self { stream: TcpStream::connect(server.address).await.unwrap() };
        frames.stream.write_all(PREFACE).await.unwrap();
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        assert!(self.try_send(kind, flags, stream, payload).await, "the connection is open");
    }

    async fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await.is_ok()
    }

    /// The next frame: kind, flags, stream, payload. None at the end of the connection.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.stream.read_exact(&mut head)).await.expect("a frame in time").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4], stream, payload))
    }

    /// What is answered on `stream`, other frames apart.
    async fn fate(&mut self, wanted: u32) -> Fate {
        loop {
            match self.next().await {
                Some((HEADERS, _, stream, payload)) if stream == wanted => return Fate::Status(status(&payload)),
                Some((RST_STREAM, _, stream, _)) if stream == wanted => return Fate::Reset,
                Some((GOAWAY, ..)) | None => return Fate::Connection,
                Some((SETTINGS, flags, ..)) if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                Some((PING, flags, _, payload)) if flags & ACK == 0 => self.send(PING, ACK, 0, &payload).await,
                Some(_) => {}
            }
        }
    }

    /// Sends a request without a body and says what became of it.
    async fn get(&mut self, fields: &[(&str, &str)]) -> Fate {
        self.send(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields)).await;
        self.fate(1).await
    }
}

/// A header block of literals that are not indexed (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fn text(block: &mut Vec<u8>, text: &str) {
        match u8::try_from(text.len()) {
            Ok(short) if short < 127 => block.push(short),
            _ => {
                block.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).unwrap());
            }
        }
        block.extend(text.as_bytes());
    }
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// The status is the first field: one of the static table, or a literal of three Huffman digits.
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    if let index @ 0x88..=0x8e = block[0] {
        return INDEXED[usize::from(index - 0x88)];
    }
    let mut bits = block[2..].iter().flat_map(|byte| (0..8).rev().map(move |shift| u16::from(byte >> shift & 1)));
    let mut take = |count: u32| (0..count).fold(0, |value, _| value * 2 + bits.next().unwrap());
    (0..3).fold(0, |value, _| {
        let five = take(5);
        let digit = if five < 3 { five } else { five * 2 + take(1) - 22 };
        value * 10 + digit
    })
}

/// The fields of a request for `/`, with others behind them.
fn request<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.example")];
    fields.extend(more);
    fields
}

async fn fate_of(fields: &[(&str, &str)]) -> Fate {
    let server = Running::with_defaults();
    let fate = Frames::connect(&server).await.get(fields).await;
    // Whatever the peer did, others are still served.
    assert_eq!(Frames::connect(&server).await.get(&request(&[])).await, Fate::Status(200));
    fate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9113_3_3_http2_by_prior_knowledge_is_served() {
    let server = Running::with_defaults();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(TcpStream::connect(server.address).await.unwrap()))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..100 {
        let request = Request::post("http://a.example/echo").body(Full::new(Bytes::from(format!("{number}")))).unwrap();
        let answer = sender.send_request(request);
        answers.spawn(async move { answer.await.unwrap().into_body().collect().await.unwrap().to_bytes() });
    }
    let mut bodies: Vec<u32> =
        answers.join_all().await.into_iter().map(|body| std::str::from_utf8(&body).unwrap().parse().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (0..100).collect::<Vec<_>>());
    assert_eq!(server.statistics.connections_by_protocol(Protocol::Http2), 1);
    assert_eq!(server.statistics.requests_by_protocol(Protocol::Http2), 100);

    sender.ready().await.unwrap();
    let panicking = Request::get("http://a.example/panic").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(sender.send_request(panicking).await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    let large = Request::post("http://a.example/echo").body(Full::new(Bytes::from(vec![b'x'; 100_000]))).unwrap();
    assert_eq!(sender.send_request(large).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let after = Request::get("http://a.example/").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(sender.send_request(after).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn rfc9113_8_3_1_host_has_to_agree_with_authority() {
    assert_eq!(fate_of(&request(&[])).await, Fate::Status(200));
    assert_eq!(fate_of(&request(&[("host", "A.EXAMPLE")])).await, Fate::Status(200));
    assert_eq!(fate_of(&request(&[("host", "a.example:80")])).await, Fate::Status(200), "the default port");
    assert_eq!(fate_of(&request(&[("host", "b.example")])).await, Fate::Status(400));
    assert_eq!(fate_of(&request(&[("host", "a.example"), ("host", "a.example")])).await, Fate::Status(400));
    let without = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    assert_eq!(fate_of(&without).await, Fate::Status(400), "neither");
    let host_alone = [without.as_slice(), &[("host", "a.example")]].concat();
    assert_eq!(fate_of(&host_alone).await, Fate::Status(200));
    let user = [without.as_slice(), &[(":authority", "user@a.example")]].concat();
    assert_ne!(fate_of(&user).await, Fate::Status(200));
}

#[tokio::test]
async fn rfc9113_8_2_2_connection_specific_fields_are_malformed() {
    for field in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert_eq!(fate_of(&request(&[(field, "close")])).await, Fate::Reset, "{field}");
    }
    assert_eq!(fate_of(&request(&[("te", "gzip")])).await, Fate::Reset);
    assert_eq!(fate_of(&request(&[("te", "trailers")])).await, Fate::Status(200));
}

#[tokio::test]
async fn rfc9113_8_2_1_fields_with_forbidden_characters_are_malformed() {
    for (name, value) in [("Upper", "x"), ("x y", "x"), ("x", "a\r\nb"), ("x", "a\0b")] {
        let fate = fate_of(&request(&[(name, value)])).await;
        assert!(matches!(fate, Fate::Reset | Fate::Connection), "{name:?}: {value:?}: {fate:?}");
    }
}

#[tokio::test]
async fn rfc9113_8_1_1_content_length_has_to_match_the_data() {
    let server = Running::with_defaults();
    let mut frames = Frames::connect(&server).await;
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/echo"),
        (":authority", "a.example"),
        ("content-length", "5"),
    ];
    frames.send(HEADERS, END_HEADERS, 1, &block(&fields)).await;
    frames.send(DATA, END_STREAM, 1, b"hello, world").await;
    assert!(matches!(frames.fate(1).await, Fate::Reset | Fate::Status(400)));
}

#[tokio::test]
async fn rfc6585_5_large_and_many_fields_are_refused() {
    let large = "x".repeat(14_000);
    assert_eq!(fate_of(&request(&[("x", &large)])).await, Fate::Status(200));
    let many = vec![("x", "y"); 70];
    assert_eq!(fate_of(&request(&many)).await, Fate::Status(431));
    let server = Running::with_defaults();
    let mut frames = Frames::connect(&server).await;
    let fields = block(&request(&[("x", &"x".repeat(18_000))]));
    let (first, rest) = fields.split_at(16_000);
    frames.send(HEADERS, END_STREAM, 1, first).await;
    frames.send(CONTINUATION, END_HEADERS, 1, rest).await;
    assert!(matches!(frames.fate(1).await, Fate::Status(431) | Fate::Reset | Fate::Connection));
}

#[tokio::test]
async fn rfc9110_10_1_1_another_expectation_is_refused() {
    assert_eq!(fate_of(&request(&[("expect", "the-unexpected")])).await, Fate::Status(417));
}

#[tokio::test]
async fn rfc9112_3_a_target_that_is_too_long_is_refused() {
    let path = format!("/{}", "x".repeat(9000));
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", path.as_str()), (":authority", "a.example")];
    assert_eq!(fate_of(&fields).await, Fate::Status(414));
}

/// CVE-2024-27316 and its kin: a header block that never ends.
#[tokio::test]
async fn a_flood_of_continuation_frames_ends_the_connection() {
    let server = Running::with_defaults();
    let mut frames = Frames::connect(&server).await;
    frames.send(HEADERS, END_STREAM, 1, &block(&request(&[]))).await;
    let piece = block(&[("x", &"y".repeat(1000))]);
    let mut sent = 0;
    while frames.try_send(CONTINUATION, 0, 1, &piece).await && sent < 10_000 {
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert!(sent < 10_000, "ten megabytes of header fields were taken");
}

/// CVE-2023-44487: requests that are taken back at once.
#[tokio::test]
async fn a_flood_of_resets_ends_the_connection_or_costs_nothing() {
    let server = Running::with_defaults();
    let mut frames = Frames::connect(&server).await;
    let fields = request(&[]).into_iter().map(|field| if field.0 == ":path" { (":path", "/gate") } else { field });
    let gate = block(&fields.collect::<Vec<_>>());
    for number in 0..2000 {
        let stream = number * 2 + 1;
        if !frames.try_send(HEADERS, END_STREAM | END_HEADERS, stream, &gate).await
            || !frames.try_send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await
        {
            break;
        }
    }
    eventually("nothing of it is left", || server.statistics.requests_in_flight() == 0).await;
    assert_eq!(Frames::connect(&server).await.get(&request(&[])).await, Fate::Status(200));
}

#[tokio::test]
async fn slow_bodies_and_slow_handlers_of_streams_have_their_limits() {
    let mut options = Options::default();
    options.http.body_timeout = SOON;
    options.http.request_timeout = SOON;
    let server = options.start();
    let mut frames = Frames::connect(&server).await;
    let path = |path| [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a.example")];
    frames.send(HEADERS, END_HEADERS, 1, &block(&path("/echo"))).await;
    assert_eq!(frames.fate(1).await, Fate::Status(408));
    frames.send(HEADERS, END_HEADERS | END_STREAM, 3, &block(&path("/gate"))).await;
    assert_eq!(frames.fate(3).await, Fate::Status(503));
    frames.send(HEADERS, END_HEADERS | END_STREAM, 5, &block(&path("/"))).await;
    assert_eq!(frames.fate(5).await, Fate::Status(200), "the connection lives");
}

#[tokio::test]
async fn an_idle_connection_of_http2_is_told_to_go_and_closed() {
    let mut options = Options::default();
    options.http.idle_timeout = SOON;
    let server = options.start();
    let mut frames = Frames::connect(&server).await;
    let begun = Instant::now();
    assert_eq!(frames.fate(1).await, Fate::Connection);
    assert!(begun.elapsed() >= SOON && begun.elapsed() < SOON * 3, "{:?}", begun.elapsed());
    eventually("it is closed, although the peer does not answer", || server.statistics.connections_open() == 0).await;
}

#[tokio::test]
async fn a_stream_that_runs_keeps_its_connection_from_being_idle() {
    let mut options = Options::default();
    options.http.idle_timeout = SOON;
    let server = options.start();
    let mut frames = Frames::connect(&server).await;
    let gate = [(":method", "GET"), (":scheme", "http"), (":path", "/gate"), (":authority", "a.example")];
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&gate)).await;
    sleep(SOON * 3).await;
    server.open_gate();
    assert_eq!(frames.fate(1).await, Fate::Status(200));
}

#[tokio::test]
async fn a_drain_sends_goaway_after_the_minimum_and_finishes_the_streams() {
    let server = Options { drain: DrainConfig { min: SOON, max: PATIENCE }, ..Options::default() }.start();
    let mut frames = Frames::connect(&server).await;
    let path = |path| block(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.example")]);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &path("/gate")).await;
    eventually("the request runs", || server.statistics.requests_in_flight() == 1).await;
    let begun = Instant::now();
    server.drain.begin();
    frames.send(HEADERS, END_HEADERS | END_STREAM, 3, &path("/")).await;
    assert_eq!(frames.fate(3).await, Fate::Status(200), "still served");

    let mut last_streams = Vec::new();
    while last_streams.len() < 2 {
        match frames.next().await.expect("the connection is open") {
            (GOAWAY, _, _, payload) => last_streams.push(u32::from_be_bytes(payload[..4].try_into().unwrap())),
            (PING, 0, _, payload) => frames.send(PING, ACK, 0, &payload).await,
            _ => {}
        }
    }
    assert_eq!(last_streams, [u32::MAX >> 1, 3], "first a warning, then what was the last");
    assert!(begun.elapsed() >= SOON, "{:?}", begun.elapsed());
    server.open_gate();
    assert_eq!(frames.fate(1).await, Fate::Status(200));
    // Waits for the rest of the answer and the last GOAWAY, and then for us to close.
    while frames.next().await.is_some() {}
    for _ in 0..3 {
        assert!(frames.try_send(PING, 0, 0, &[0; 8]).await, "no reset, which could have overtaken the answer");
        sleep(Duration::from_millis(20)).await;
    }
    drop(frames);
    assert_eq!(server.outcome().await, Outcome::Clean);
}

#[tokio::test]
async fn at_the_maximum_of_a_drain_streams_are_dropped() {
    let server = Options { drain: DrainConfig { min: Duration::ZERO, max: SOON }, ..Options::default() }.start();
    let mut frames = Frames::connect(&server).await;
    let gate = [(":method", "GET"), (":scheme", "http"), (":path", "/gate"), (":authority", "a.example")];
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&gate)).await;
    eventually("the request runs", || server.statistics.requests_in_flight() == 1).await;
    server.drain.begin();
    eventually("the request is dropped", || server.dropped() == 1).await;
    assert_eq!(server.outcome().await, Outcome::Forced { connections: 1 });
}

#[tokio::test]
async fn a_preface_that_does_not_come_to_its_end_is_cut_off() {
    let mut options = Options::default();
    options.http.header_timeout = SOON;
    let server = options.start();
    let mut client = server.connect().await;
    client.send(&PREFACE[..20]).await;
    assert!(timeout(Duration::from_secs(5), client.closed()).await.is_ok());
}

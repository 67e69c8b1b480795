//! Connections of HTTP/1: how long they live, and how many there are (RFC 9112 section 9).

use std::time::Duration;

use introspectd::server::Protocol;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::harness::{Options, Running, SMUGGLED, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_9_3_2_pipelined_requests_are_answered_in_order() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    let post =
        |body: &str| format!("POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    client.send(format!("{}{}{}", post("one"), post("two"), post("three"))).await;
    for expected in ["one", "two", "three"] {
        assert_eq!(client.reply().await.text(), expected);
    }
    assert_eq!(client.exchange(GET).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_9_3_2_an_error_in_the_first_does_not_displace_the_second() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    let first = "POST /unread HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let second = "POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nsecond";
    client.send(format!("{first}{second}")).await;
    assert_eq!(client.reply().await.status, 401);
    assert_eq!(client.reply().await.text(), "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_9_3_2_an_answer_is_not_held_back_by_half_of_the_next_request() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    let (half, other) = SMUGGLED.split_at(20);
    assert_eq!(client.exchange(format!("{GET}{half}")).await.text(), "GET /");
    assert_eq!(client.exchange(other).await.text(), "GET /smuggled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_9_3_a_connection_carries_a_thousand_requests_whatever_they_are_answered() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    for number in 0..1000 {
        let body = format!("request {number}");
        let path = if number % 7 == 0 { "/unread" } else { "/echo" };
        let head = format!("POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n", body.len());
        let reply = client.exchange(format!("{head}{body}")).await;
        assert!(!reply.closes());
        if number % 7 == 0 {
            assert_eq!(reply.status, 401);
        } else {
            assert_eq!(reply.text(), body);
        }
    }
    assert_eq!(server.statistics.requests_by_protocol(Protocol::Http1), 1000);
    assert_eq!(server.statistics.connections_by_protocol(Protocol::Http1), 1);
    assert_eq!(server.statistics.requests_in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_9_6_connection_close_is_honoured() {
    let server = Running::with_defaults();
    for value in ["close", "Close", "keep-alive, close"] {
        let replies = server
            .everything(format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: {value}\r\n\r\n{SMUGGLED}"))
            .await;
        assert_eq!(replies.len(), 1);
        assert!(replies[0].closes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_9_3_http10_closes_unless_asked_not_to() {
    let server = Running::with_defaults();
    assert_eq!(server.everything("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n").await.len(), 1);
    let mut client = server.connect().await;
    let kept = "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(client.exchange(kept).await.header("connection"), Some("keep-alive"));
    assert_eq!(client.exchange(kept).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9110_7_8_an_upgrade_is_not_taken() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    for protocol in ["h2c", "websocket"] {
        let fields = format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: \r\n");
        let reply = client.exchange(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")).await;
        assert_eq!((reply.status, reply.closes()), (200, false));
    }
    assert_eq!(client.exchange(GET).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9110_9_3_2_head_is_answered_without_a_body() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let reply = client.reply_to_head().await;
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("6")), "as GET would say");
    assert_eq!(client.exchange(GET).await.text(), "GET /", "and nothing in between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_one_request_and_nothing_else() {
    let server = Running::with_defaults();
    let mut other = server.connect().await;
    other.send("GET /gate HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut client = server.connect().await;
    for path in ["/panic", "/panic-later"] {
        let reply = client.exchange(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        assert_eq!((reply.status, reply.text()), (500, "refused: the request could not be processed"));
        assert!(!reply.closes());
    }
    assert_eq!(client.exchange(GET).await.status, 200, "the same connection");
    server.open_gate();
    assert_eq!(other.reply().await.text(), "through the gate", "and another");
    assert_eq!(server.statistics.panics(), 2);
    assert_eq!(server.statistics.requests_in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_dropped_when_its_peer_leaves() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    client.send("GET /gate HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    eventually("the request runs", || server.statistics.requests_in_flight() == 1).await;
    drop(client);
    eventually("it is dropped", || server.dropped() == 1).await;
    eventually("nothing is left", || server.statistics.connections_open() == 0).await;
    assert_eq!(server.statistics.requests_in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let mut options = Options::default();
    options.http.max_connections = 2;
    let server = options.start();
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(first.exchange(GET).await.status, 200);
    assert_eq!(second.exchange(GET).await.status, 200);
    let mut third = server.connect().await;
    third.send(GET).await;
    assert!(timeout(Duration::from_millis(100), third.reply()).await.is_err(), "not yet");
    assert_eq!(server.statistics.connections_open(), 2);
    first.stream.shutdown().await.unwrap();
    assert_eq!(third.reply().await.status, 200);
}

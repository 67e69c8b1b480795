//! Time limits: slow heads, slow bodies, slow handlers, slow readers, and peers that say nothing at all.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Options, PATIENCE, SMUGGLED, SOON, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test]
async fn a_connection_without_a_first_byte_is_closed_after_the_header_timeout() {
    let mut options = Options::default();
    options.http.header_timeout = SOON;
    let server = options.start();
    let begun = Instant::now();
    server.connect().await.closed().await;
    assert!(begun.elapsed() >= SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_head_is_cut_off_however_often_it_sends_a_byte() {
    let mut options = Options::default();
    options.http.header_timeout = SOON;
    let server = options.start();
    let mut client = server.connect().await;
    let begun = Instant::now();
    let (mut reader, mut writer) = client.stream.split();
    let dribble = async {
        use tokio::io::AsyncWriteExt;
        for byte in "GET / HTTP/1.1\r\nHost: a.example\r\nX: ".bytes().chain(std::iter::repeat(b'x')) {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let closed = async {
        let mut answer = Vec::new();
        // An end or a reset: there is no answer to lose.
        let _ = reader.read_to_end(&mut answer).await;
        answer
    };
    tokio::select! {
        answer = closed => assert!(answer.is_empty(), "{answer:?}"),
        () = dribble => {}
        () = sleep(PATIENCE) => panic!("still open"),
    }
    assert!(begun.elapsed() >= SOON && begun.elapsed() < SOON * 5, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_head_is_cut_off_on_a_connection_that_has_served_before() {
    let mut options = Options::default();
    options.http.header_timeout = SOON;
    let server = options.start();
    let mut client = server.connect().await;
    assert_eq!(client.exchange(GET).await.status, 200);
    sleep(SOON * 2).await;
    let begun = Instant::now();
    client.send("GET / HT").await;
    client.closed().await;
    assert!(begun.elapsed() >= SOON, "the idle time before did not count: {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let mut options = Options::default();
    options.http.idle_timeout = SOON;
    let server = options.start();
    let mut client = server.connect().await;
    for _ in 0..4 {
        assert_eq!(client.exchange(GET).await.status, 200);
        // Each request begins a new idle time.
        sleep(SOON / 2).await;
    }
    assert_eq!(client.exchange(GET).await.status, 200);
    let begun = Instant::now();
    client.closed().await;
    assert!(begun.elapsed() + Duration::from_millis(50) >= SOON, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < SOON * 3, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_closes() {
    let mut options = Options::default();
    options.http.body_timeout = SOON;
    let server = options.start();
    for rest in
        ["Content-Length: 5\r\n\r\nhel", "Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"]
    {
        let mut client = server.connect().await;
        let reply = client.exchange(format!("POST /echo HTTP/1.1\r\nHost: a.example\r\n{rest}")).await;
        assert_eq!((reply.status, reply.closes()), (408, true));
        client.closed().await;
    }
}

#[tokio::test]
async fn a_slow_handler_is_answered_503_and_the_connection_lives() {
    let mut options = Options::default();
    options.http.request_timeout = SOON;
    let server = options.start();
    let mut client = server.connect().await;
    for _ in 0..2 {
        let begun = Instant::now();
        let reply = client.exchange("GET /gate HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert_eq!((reply.status, reply.text()), (503, "refused: the request took too long"));
        assert!(begun.elapsed() >= SOON && begun.elapsed() < SOON * 3, "{:?}", begun.elapsed());
        assert!(!reply.closes());
    }
    assert_eq!(client.exchange(GET).await.status, 200);
    assert_eq!((server.dropped(), server.statistics.timeouts()), (2, 2));
}

#[tokio::test]
async fn the_time_of_a_slow_body_is_not_taken_from_the_handler() {
    let mut options = Options::default();
    options.http.request_timeout = SOON;
    let server = options.start();
    let mut client = server.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhel").await;
    sleep(SOON * 2).await;
    assert_eq!(client.exchange("lo").await.text(), "hello");
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_cut_off() {
    let mut options = Options::default();
    options.http.idle_timeout = SOON;
    let server = options.start();
    let mut client = server.connect().await;
    client.send("GET /large HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    eventually("the connection is open", || server.statistics.connections_open() == 1).await;
    eventually("the connection is cut off", || server.statistics.connections_open() == 0).await;
}

#[tokio::test]
async fn a_peer_that_goes_on_sending_after_a_refusal_is_cut_off() {
    let server = Options::default().start();
    let mut client = server.connect().await;
    client.send(format!("GET / HTTP/1.1\r\n\r\n{SMUGGLED}")).await;
    assert_eq!(client.reply().await.status, 400);
    let begun = Instant::now();
    let sending = async {
        use tokio::io::AsyncWriteExt;
        while client.stream.write_all(&[b'x'; 512]).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, sending).await.is_ok(), "it may send for ever");
    // RFC 9112 section 9.6: not at once either, since the reset could overtake the refusal.
    assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

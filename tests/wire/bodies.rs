//! Bodies: their limit, and what becomes of a connection whose body nobody reads (RFC 9110 section 15.5.14).

use crate::harness::{MAX_BODY, Running, SMUGGLED};

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n")
}

fn post_chunked(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n")
}

#[tokio::test]
async fn rfc9110_15_5_14_a_body_of_exactly_the_limit_is_accepted() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    let body = "x".repeat(MAX_BODY);
    client.send(post("/echo", MAX_BODY)).await;
    let reply = client.exchange(&body).await;
    assert_eq!((reply.status, reply.body.len(), reply.closes()), (200, MAX_BODY, false));
    client.send(post_chunked("/echo")).await;
    let reply = client.exchange(format!("{MAX_BODY:x}\r\n{body}\r\n0\r\n\r\n")).await;
    assert_eq!((reply.status, reply.body.len(), reply.closes()), (200, MAX_BODY, false));
    assert_eq!(client.exchange(SMUGGLED).await.status, 200);
}

#[tokio::test]
async fn rfc9110_15_5_14_an_announced_body_over_the_limit_is_refused_before_it_comes() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    let reply = client.exchange(post("/echo", MAX_BODY + 1)).await;
    assert_eq!((reply.status, reply.closes()), (413, true));
    client.closed().await;
}

#[tokio::test]
async fn rfc9110_15_5_14_a_chunked_body_is_refused_at_the_limit() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    client.send(post_chunked("/echo")).await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    // One chunk too many, and no end.
    client.send(chunk.repeat(MAX_BODY / 0x1000 + 1)).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.closes()), (413, true));
    client.closed().await;
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_does_not_cost_the_connection() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    for _ in 0..3 {
        let reply = client.exchange(format!("{}hello", post("/unread", 5))).await;
        assert_eq!((reply.status, reply.closes()), (401, false));
    }
    client.send(format!("{}hello{SMUGGLED}", post("/unread", 5))).await;
    assert_eq!(client.reply().await.status, 401);
    assert_eq!(client.reply().await.text(), "GET /smuggled", "a request of its own");
}

/// hyper hands over one chunk at a time, so that nobody can tell whether the end of the others has come.
#[tokio::test]
async fn a_chunked_body_that_nobody_reads_closes_the_connection() {
    let server = Running::with_defaults();
    let replies = server.everything(format!("{}5\r\nhello\r\n0\r\n\r\n{SMUGGLED}", post_chunked("/unread"))).await;
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0].status, replies[0].closes()), (401, true));
}

#[tokio::test]
async fn a_body_that_nobody_reads_and_is_not_here_yet_closes_the_connection() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    let reply = client.exchange(post("/unread", SMUGGLED.len())).await;
    assert_eq!((reply.status, reply.closes()), (401, true));
    client.send(SMUGGLED).await;
    client.closed().await;
}

#[tokio::test]
async fn a_large_body_that_nobody_reads_closes_the_connection() {
    let server = Running::with_defaults();
    let body = SMUGGLED.repeat(2000);
    let replies = server.everything(format!("{}{body}", post("/unread", body.len()))).await;
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0].status, replies[0].closes()), (401, true));
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_read() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    for byte in format!("{}hello", post("/echo", 5)).bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.reply().await.text(), "hello");
    for byte in format!("{}5\r\nhello\r\n0\r\n\r\n", post_chunked("/echo")).bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.reply().await.text(), "hello");
}

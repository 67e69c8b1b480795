//! Where a message ends: RFC 9112 sections 6 and 7. Every case has another request behind it, which must not be
//! answered.

use crate::harness::{MAX_BODY, Reply, Running, SMUGGLED};

/// Sends a request to `/echo` with `fields` and `body`, the smuggled request behind it, and expects exactly one answer
/// and a closed connection.
async fn one_answer(fields: &str, body: &str) -> Reply {
    let server = Running::with_defaults();
    let request = format!("POST /echo HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n{body}{SMUGGLED}");
    let replies = server.everything(request).await;
    assert_eq!(replies.len(), 1, "{fields:?}: {replies:?}");
    assert!(!replies[0].text().contains("/smuggled"), "{fields:?}");
    assert!(replies[0].closes(), "{fields:?}: {replies:?}");
    replies[0].clone()
}

/// Sends a well-formed request, whose end must be seen: the one behind it is answered as well.
async fn two_answers(fields: &str, body: &str) -> Reply {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    client.send(format!("POST /echo HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n{body}{SMUGGLED}")).await;
    let reply = client.reply().await;
    assert_eq!(client.reply().await.text(), "GET /smuggled", "{fields:?}");
    reply
}

#[tokio::test]
async fn rfc9112_6_3_content_length_ends_the_body() {
    assert_eq!(two_answers("Content-Length: 5\r\n", "hello").await.text(), "hello");
    assert_eq!(two_answers("Content-Length: 0\r\n", "").await.text(), "");
    assert_eq!(two_answers("", "").await.text(), "", "no length means no body");
    assert_eq!(two_answers("Content-Length: 5\r\nContent-Length: 5\r\n", "hello").await.text(), "hello");
    assert_eq!(two_answers("Content-Length: 0000005\r\n", "hello").await.text(), "hello");
}

#[tokio::test]
async fn rfc9112_7_1_the_last_chunk_ends_the_body() {
    let fields = "Transfer-Encoding: chunked\r\n";
    assert_eq!(two_answers(fields, "5\r\nhello\r\n0\r\n\r\n").await.text(), "hello");
    assert_eq!(two_answers(fields, "2\r\nhe\r\n3;a=b\r\nllo\r\n000\r\n\r\n").await.text(), "hello");
    assert_eq!(two_answers(fields, "0\r\n\r\n").await.text(), "");
    assert_eq!(two_answers(fields, "5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n").await.text(), "hello");
}

/// hyper drops the `Content-Length` before anybody sees it, so this cannot be answered 400. RFC 9112 section 6.1 allows
/// what it does instead: "process such a request in accordance with the Transfer-Encoding alone. Regardless, the server
/// MUST close the connection after responding".
#[tokio::test]
async fn rfc9112_6_1_transfer_encoding_with_content_length_is_answered_once_and_closes() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 500\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(one_answer(fields, chunked).await.text(), "hello");
    }
}

#[tokio::test]
async fn rfc9112_6_3_differing_content_lengths_are_refused() {
    assert_eq!(one_answer("Content-Length: 5\r\nContent-Length: 6\r\n", "hello").await.status, 400);
    assert_eq!(one_answer("Content-Length: 5, 6\r\n", "hello").await.status, 400);
    // The RFC lets a recipient take a list of equal lengths; refusing it is the other choice it gives.
    assert_eq!(one_answer("Content-Length: 5, 5\r\n", "hello").await.status, 400);
}

#[tokio::test]
async fn rfc9112_6_3_invalid_content_lengths_are_refused() {
    for length in
        ["+5", "-5", "0x5", "5.0", "5 5", "five", "", "18446744073709551616", "99999999999999999999999", "5\u{b}"]
    {
        assert_eq!(one_answer(&format!("Content-Length: {length}\r\n"), "hello").await.status, 400, "{length}");
    }
}

/// hyper takes the largest 64-bit numbers for its own purposes and says 431, which is as good as any refusal.
#[tokio::test]
async fn rfc9112_6_3_the_largest_content_lengths_are_refused() {
    assert_eq!(one_answer("Content-Length: 18446744073709551615\r\n", "hello").await.status, 431);
    assert_eq!(one_answer("Content-Length: 18446744073709551000\r\n", "hello").await.status, 413);
}

#[tokio::test]
async fn rfc9112_6_1_transfer_encoding_has_to_be_one_chunked() {
    for (fields, status) in [
        ("Transfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Transfer-Encoding: chunkedx\r\n", 400),
        ("Transfer-Encoding: \"chunked\"\r\n", 400),
        ("Transfer-Encoding:\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 501),
        ("Transfer-Encoding: ,chunked\r\n", 501),
    ] {
        assert_eq!(one_answer(fields, "5\r\nhello\r\n0\r\n\r\n").await.status, status, "{fields:?}");
    }
}

#[tokio::test]
async fn rfc9112_6_1_transfer_encoding_in_http10_is_refused() {
    let server = Running::with_defaults();
    for connection in ["", "Connection: keep-alive\r\n"] {
        let head = format!("POST /echo HTTP/1.0\r\nHost: a.example\r\n{connection}Transfer-Encoding: chunked\r\n\r\n");
        let replies = server.everything(format!("{head}5\r\nhello\r\n0\r\n\r\n{SMUGGLED}")).await;
        assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [400]);
    }
}

#[tokio::test]
async fn rfc9112_7_1_malformed_chunks_are_refused() {
    for body in [
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5;a\n\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\rX",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    ] {
        let reply = one_answer("Transfer-Encoding: chunked\r\n", body).await;
        assert_eq!(reply.status, 400, "{body:?}");
    }
}

#[tokio::test]
async fn rfc9112_7_1_1_a_flood_of_chunk_extensions_is_refused() {
    let extension = "x".repeat(17 * 1024);
    let reply = one_answer("Transfer-Encoding: chunked\r\n", &format!("5;{extension}\r\nhello\r\n0\r\n\r\n")).await;
    assert_eq!(reply.status, 400, "in one chunk");
    let many = format!("1;{}\r\nx\r\n", "x".repeat(256)).repeat(100);
    let reply = one_answer("Transfer-Encoding: chunked\r\n", &format!("{many}0\r\n\r\n")).await;
    assert_eq!(reply.status, 400, "over many chunks");
}

#[tokio::test]
async fn rfc9112_7_1_2_a_flood_of_trailers_is_refused() {
    let trailers = "X: y\r\n".repeat(5000);
    let reply = one_answer("Transfer-Encoding: chunked\r\n", &format!("5\r\nhello\r\n0\r\n{trailers}\r\n")).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn rfc9112_6_3_a_refused_head_leaves_its_body_unparsed() {
    let server = Running::with_defaults();
    let length = SMUGGLED.len();
    let request = format!("POST /echo HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}{SMUGGLED}");
    let replies = server.everything(request).await;
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [400]);
}

#[tokio::test]
async fn rfc9112_9_6_a_refusal_is_read_by_a_peer_that_is_still_sending() {
    let server = Running::with_defaults();
    let body = "x".repeat(MAX_BODY * 3);
    let replies = server
        .everything(format!("POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        .await;
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [413]);
}

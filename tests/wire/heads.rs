//! Request lines and header fields: RFC 9112 sections 2, 3 and 5, RFC 6585, RFC 9110 section 10.1.1.

use crate::harness::{Options, Reply, Running, SMUGGLED};

/// Sends a head with another request behind it, and expects one refusal and a closed connection.
async fn refused(head: impl AsRef<[u8]>) -> Reply {
    let server = Running::with_defaults();
    let bytes = [head.as_ref(), SMUGGLED.as_bytes()].concat();
    let shown = String::from_utf8_lossy(head.as_ref()).into_owned();
    let replies = server.everything(bytes).await;
    assert_eq!(replies.len(), 1, "{shown:?}: {replies:?}");
    assert!(replies[0].closes(), "{shown:?}: {replies:?}");
    replies[0].clone()
}

async fn served(head: impl AsRef<[u8]>) -> Reply {
    let server = Running::with_defaults();
    server.connect().await.exchange(head).await
}

#[tokio::test]
async fn rfc9112_3_2_http11_without_host_is_refused() {
    let reply = refused("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n").await;
    assert_eq!((reply.status, reply.text()), (400, "refused: the request names no host"));
}

#[tokio::test]
async fn rfc9112_3_2_two_hosts_are_refused_even_if_they_are_the_same() {
    for second in ["a.example", "b.example"] {
        let reply = refused(format!("GET / HTTP/1.1\r\nHost: a.example\r\nHost: {second}\r\n\r\n")).await;
        assert_eq!((reply.status, reply.text()), (400, "refused: the request names more than one host"));
    }
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn rfc9112_3_2_an_invalid_host_is_refused() {
    for host in ["", "a b", "a.example/x", "user@a.example", "a.example:port", "a,b", "[::1", "a.example:80:80", "?"] {
        let reply = refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(reply.status, 400, "{host}");
    }
}

#[tokio::test]
async fn rfc9112_3_2_hosts_with_ports_and_addresses_are_served() {
    for host in ["a.example", "a.example:8080", "127.0.0.1:80", "[::1]:8080", "A_B.example"] {
        assert_eq!(served(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn rfc9112_3_2_http10_needs_no_host() {
    let server = Running::with_defaults();
    let replies = server.everything("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn rfc9112_3_2_2_absolute_form_is_served_and_still_needs_a_host() {
    let reply = served("GET http://b.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!((reply.status, reply.text()), (200, "GET /x"));
    assert_eq!(refused("GET http://b.example/x HTTP/1.1\r\n\r\n").await.status, 400);
    assert_eq!(refused("GET http://user@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n").await.status, 400);
    assert_eq!(refused("GET ftp://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn rfc9112_3_2_4_asterisk_form_is_for_options_alone() {
    assert_eq!(served("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n").await.status, 200);
    assert_eq!(refused("GET * HTTP/1.1\r\nHost: a.example\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn rfc9112_3_malformed_request_lines_are_refused() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 x",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "G@T / HTTP/1.1",
        "GET a HTTP/1.1",
    ] {
        assert_eq!(refused(format!("{line}\r\nHost: a.example\r\n\r\n")).await.status, 400, "{line}");
    }
}

#[tokio::test]
async fn rfc9112_3_a_target_of_8000_octets_is_served_and_a_longer_one_is_refused() {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(served(target(8000)).await.status, 200);
    assert_eq!(served(target(8192)).await.status, 200);
    assert_eq!(refused(target(8193)).await.status, 414);
    // A target that alone fills the buffer for heads is refused by hyper, which cannot know yet what it is part of.
    assert_eq!(refused(target(20_000)).await.status, 431);
}

#[tokio::test]
async fn rfc6585_5_a_head_that_is_too_large_is_refused() {
    let large = |length: usize| format!("GET / HTTP/1.1\r\nHost: a.example\r\nX: {}\r\n\r\n", "x".repeat(length));
    assert_eq!(served(large(15_000)).await.status, 200);
    assert_eq!(refused(large(17_000)).await.status, 431);
    assert_eq!(refused(large(100_000)).await.status, 431, "refused while it still comes in, and without a reset");
}

#[tokio::test]
async fn rfc6585_5_too_many_headers_are_refused() {
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: a.example\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert_eq!(served(many(64)).await.status, 200);
    assert_eq!(refused(many(65)).await.status, 431, "by us");
    assert_eq!(refused(many(101)).await.status, 431, "by hyper");
}

#[tokio::test]
async fn more_headers_than_hyper_takes_by_itself_can_be_allowed() {
    let mut options = Options::default();
    options.http.max_headers = 200;
    let server = options.start();
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: a.example\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert_eq!(server.connect().await.exchange(many(200)).await.status, 200);
    assert_eq!(server.connect().await.exchange(many(201)).await.status, 431);
}

#[tokio::test]
async fn rfc9112_5_1_a_space_before_the_colon_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost : a.example\r\n\r\n").await.status, 400);
    assert_eq!(refused("POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length : 5\r\n\r\nhello").await.status, 400);
}

#[tokio::test]
async fn rfc9112_5_2_a_folded_header_line_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a.example\r\nX: y\r\n z\r\n\r\n").await.status, 400);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a.example\r\nX: y\r\n\tz\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn rfc9112_2_2_whitespace_before_the_first_header_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\n Host: a.example\r\n\r\n").await.status, 400);
    assert_eq!(refused("GET / HTTP/1.1\r\n \r\nHost: a.example\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn rfc9110_5_5_bare_cr_and_nul_in_a_value_are_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a.example\r\nX: y\rz\r\n\r\n").await.status, 400);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a.example\r\nX: y\0z\r\n\r\n").await.status, 400);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a.example\r\nX\0: y\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn rfc9112_2_2_an_empty_line_before_the_request_line_is_ignored() {
    assert_eq!(served("\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn rfc9110_10_1_1_expect_100_continue_is_answered_before_the_body() {
    let server = Running::with_defaults();
    let mut client = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(client.exchange(head).await.status, 100);
    let reply = client.exchange("hello").await;
    assert_eq!((reply.status, reply.text()), (200, "hello"));
    assert!(!reply.closes());
    assert_eq!(client.exchange(SMUGGLED).await.status, 200, "the connection lives on");
}

#[tokio::test]
async fn rfc9110_10_1_1_a_refusal_takes_the_place_of_100_continue() {
    let server = Running::with_defaults();
    for (path, length, status) in [("/unread", 5, 401), ("/echo", 10_000_000, 413)] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        let mut client = server.connect().await;
        let reply = client.exchange(head).await;
        assert_eq!(reply.status, status);
        assert!(reply.closes(), "the peer may send the body after all");
        client.closed().await;
    }
}

#[tokio::test]
async fn rfc9110_10_1_1_another_expectation_is_refused() {
    let head = "POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nExpect: the-unexpected\r\n\r\n";
    assert_eq!(refused(head).await.status, 417);
}

#[tokio::test]
async fn unknown_methods_and_repeated_credentials_are_the_handlers() {
    assert_eq!(served("FOO / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.status, 501);
    let twice = "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n";
    assert_eq!(served(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{twice}\r\n")).await.status, 200);
}

#[tokio::test]
async fn refusals_are_worded_by_the_handler_with_the_servers_status() {
    let reply = refused("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(reply.status, 400, "the handler's own said 200");
    assert!(reply.text().starts_with("refused: "));
    assert_eq!(reply.header("server"), None, "no version is given away");
}

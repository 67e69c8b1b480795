//! What the head of a request costs: checked by us, and before that read by hyper.
//!
//! The two files are those of the service. They are private to its room, and this is no reason to open it.

#[allow(dead_code, unreachable_pub, reason = "the room uses more of it than its check")]
#[path = "../src/server/head.rs"]
mod head;
#[allow(dead_code, unreachable_pub, reason = "the room uses more of it than its check")]
#[path = "../src/server/refusal.rs"]
mod refusal;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime;

use refusal::Refusal;

/// As many header lines as the service takes by default.
const MAX_HEADERS: usize = 100;

/// The lines of a gateway that asks about a token.
const USUAL: [(&str, &str); 6] = [
    ("host", "auth.example.com:8080"),
    ("authorization", "Basic Z2F0ZXdheTpxM2hHdjB5SzVuVThjVnRCejFkUmY3d1hwMm1KNHNMYTllVGk2b1liXy1B"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("accept", "application/json"),
    ("user-agent", "gateway/1.27.4"),
    ("content-length", "0"),
];

/// The usual lines, and others up to `count`.
fn lines(count: usize) -> Vec<(String, String)> {
    let usual = USUAL.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let further =
        (USUAL.len()..count).map(|number| (format!("x-header-{number}"), "a value of thirty-two letters...".into()));
    usual.chain(further).collect()
}

fn request(version: Version, target: &str, lines: &[(String, String)]) -> Request<()> {
    let request = Request::post(target).version(version);
    let request = lines.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.body(()).expect("constants make a request")
}

fn check(criterion: &mut Criterion) {
    let mut twice = lines(USUAL.len());
    twice.push(("host".to_owned(), "other.example.com".to_owned()));
    let of_http2 = lines(USUAL.len()).into_iter().skip(1).collect::<Vec<_>>();
    let absolute = "https://auth.example.com:8080/introspect";
    let scenarios = [
        ("usual", request(Version::HTTP_11, "/introspect", &lines(USUAL.len())), Ok(())),
        ("HTTP/2", request(Version::HTTP_2, absolute, &of_http2), Ok(())),
        ("as many lines as it may have", request(Version::HTTP_11, "/introspect", &lines(MAX_HEADERS)), Ok(())),
        (
            "too many lines",
            request(Version::HTTP_11, "/introspect", &lines(MAX_HEADERS + 1)),
            Err(Refusal::TooManyHeaders),
        ),
        ("two hosts", request(Version::HTTP_11, "/introspect", &twice), Err(Refusal::HostRepeated)),
    ];
    let mut group = criterion.benchmark_group("head/check");
    group.throughput(Throughput::Elements(1));
    for (name, request, expected) in &scenarios {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| assert_eq!(head::check(black_box(request), MAX_HEADERS), *expected));
        });
    }
    group.finish();
}

/// Reads the bytes of a head with hyper and checks it, and answers without a body. In memory: there is no socket.
fn read(criterion: &mut Criterion) {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let (client, server) = tokio::io::duplex(64 * 1024);
    let service = service_fn(async |request: Request<hyper::body::Incoming>| {
        let status = head::check(&request, MAX_HEADERS).map_or_else(Refusal::status, |()| StatusCode::NO_CONTENT);
        let mut answer = Response::new(Empty::<Bytes>::new());
        *answer.status_mut() = status;
        Ok::<_, Infallible>(answer)
    });
    let mut options = http1::Builder::new();
    options.max_headers(MAX_HEADERS + 1);
    runtime.spawn(options.serve_connection(TokioIo::new(server), service));
    let mut client = client;
    let mut answer = vec![0; 1024];
    let mut group = criterion.benchmark_group("head/read and checked");
    for (name, count) in [("usual", USUAL.len()), ("as many lines as it may have", MAX_HEADERS)] {
        let mut text = "POST /introspect HTTP/1.1\r\n".to_owned();
        for (name, value) in lines(count) {
            write!(text, "{name}: {value}\r\n").expect("a text takes everything");
        }
        text.push_str("\r\n");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| -> Duration {
                runtime.block_on(async {
                    let begin = Instant::now();
                    for _ in 0..times {
                        client.write_all(black_box(text.as_bytes())).await.expect("the connection is open");
                        let length = client.read(&mut answer).await.expect("the connection is open");
                        assert!(
                            answer[..length].starts_with(b"HTTP/1.1 204") && answer[..length].ends_with(b"\r\n\r\n")
                        );
                    }
                    begin.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, check, read);
criterion_main!(benches);

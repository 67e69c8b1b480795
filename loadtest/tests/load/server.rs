//! A tiny introspection server that behaves as it is told. It knows a token by the beginning of its text.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What it does besides answering.
#[derive(Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// It speaks HTTP/2 only.
    pub(crate) http2: bool,
    /// Before each answer.
    pub(crate) delay: Duration,
    /// Every so many answers, the opposite of the truth.
    pub(crate) lie_every: Option<u64>,
    /// Every so many answers, 503.
    pub(crate) refuse_every: Option<u64>,
    /// Every so many answers, the connection is closed behind it.
    pub(crate) close_every: Option<u64>,
    /// In each such time, counted from the first request, it stands still at the end for so long.
    pub(crate) stall: Option<(Duration, Duration)>,
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    _runtime: Option<Runtime>,
}

impl Server {
    /// Starts it on a free port of this machine, on a thread of its own.
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        runtime.spawn(serve(listener, behaviour, Arc::clone(&asked), Arc::clone(&connections)));
        Self { address, asked, connections, _runtime: Some(runtime) }
    }

    /// None at all, at this address.
    pub(crate) fn nowhere(address: SocketAddr) -> Self {
        Self { address, asked: Arc::default(), connections: Arc::default(), _runtime: None }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests it has been sent.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, behaviour: Behaviour, asked: Arc<AtomicU64>, connections: Arc<AtomicU64>) {
    let first = Arc::new(std::sync::OnceLock::new());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        let (asked, first) = (Arc::clone(&asked), Arc::clone(&first));
        let service = service_fn(move |request| {
            let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
            let begin = *first.get_or_init(Instant::now);
            async move { Ok::<_, Infallible>(answer(request, behaviour, number, begin).await) }
        });
        if behaviour.http2 {
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        } else {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    behaviour: Behaviour,
    number: u64,
    begin: Instant,
) -> Response<Full<Bytes>> {
    // "rs" and "a secret", encoded as RFC 6749 section 2.3.1 wants it.
    let authorization = request.headers().get(AUTHORIZATION).cloned();
    let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let token = body.strip_suffix(&b"&client_id=rs&client_secret=a+secret"[..]);
    let known = is_form
        && match &authorization {
            Some(header) => header == "Basic cnM6YStzZWNyZXQ=" || header == "Bearer a-token-of-its-own",
            None => token.is_some(),
        };
    let body = token.unwrap_or(&body);
    tokio::time::sleep(behaviour.delay).await;
    if let Some((every, length)) = behaviour.stall {
        let rounds = u32::try_from(begin.elapsed().as_nanos() / every.as_nanos()).unwrap();
        let end = begin + every * (rounds + 1);
        if end <= Instant::now() + length {
            tokio::time::sleep_until(end.into()).await;
        }
    }
    let is_turn = |every: Option<u64>| every.is_some_and(|every| number.is_multiple_of(every));
    let truth = [&b"token=live%2F1%2B"[..], b"token=live+2", b"token=live"].contains(&body);
    let answer: &[u8] = if truth == is_turn(behaviour.lie_every) {
        br#"{"active":false}"#
    } else {
        br#"{"active":true,"sub":"alice"}"#
    };
    let mut response = Response::new(Full::new(Bytes::from_static(answer)));
    if !known {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    } else if is_turn(behaviour.refuse_every) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    if is_turn(behaviour.close_every) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

//! One connection, from its first byte to its last: handshake, protocol, timeouts, drain.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::exchange::{self, Session};
use super::progress::{Limits, Mark, Progress, Stage, Watch};
use super::statistics::{Protocol, ServerStatistics};
use super::stream::{Stream, Transport};
use super::{Handler, Peer, tls};
use crate::config::HttpConfig;
use crate::shutdown::{Drain, Phase};

/// Requests that one HTTP/2 connection may have open. A gateway opens further connections beyond.
const MAX_STREAMS: u32 = 250;
/// How much of a body a peer may send unasked, on one stream and on all of a connection: as much as the usual
/// `max_body_bytes`, and eight times that. hyper's own windows, of 1 MiB each, would let one connection hold far more.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024 - 1;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 64 * 1024;
/// How much of one answer is buffered for a stream.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams reset by the peer before we took them, and by us because of the peer's errors, until the connection ends:
/// "rapid reset" (CVE-2023-44487) costs the attacker a new connection every so often.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 100;
/// A dead peer of HTTP/2 is noticed after this long, at most.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// hyper parses this many header lines on the stack; more would need an allocation for each request.
const HEADERS_ON_STACK: usize = 100;
/// hyper's smallest buffer.
const MIN_BUFFER_BYTES: usize = 8192;

/// What all connections share.
pub(super) struct Service<H> {
    pub(super) handler: H,
    pub(super) limits: Limits,
    pub(super) max_headers: usize,
    pub(super) drain: Drain,
    pub(super) statistics: Arc<ServerStatistics>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<H: Handler> Service<H> {
    pub(super) fn new(handler: H, config: &HttpConfig, drain: Drain, statistics: Arc<ServerStatistics>) -> Self {
        Self {
            handler,
            limits: Limits::new(config),
            max_headers: config.max_headers,
            drain,
            statistics,
            http1: http1_builder(config),
            http2: http2_builder(config),
        }
    }
}

fn http1_builder(config: &HttpConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .keep_alive(true)
        // Our own timer does this; see progress.rs.
        .header_read_timeout(None)
        .max_buf_size(config.max_header_bytes.max(MIN_BUFFER_BYTES))
        .max_header_size(config.max_header_bytes)
        // Our answers are a few hundred bytes, and one write of one buffer is cheaper than gathering two.
        .writev(false)
        // It would hold back an answer for as long as half of the next request is in the buffer.
        .pipeline_flush(false);
    if config.max_headers > HEADERS_ON_STACK {
        builder.max_headers(config.max_headers);
    }
    builder
}

fn http2_builder(config: &HttpConfig) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// A connection as the listener accepted it.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepted {
    /// The same for the runtime that this is called in: a socket is woken by the runtime that it is known to.
    pub(super) fn moved_here(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(TcpStream::from_std(socket.into_std()?)?),
            Self::Unix(socket) => Self::Unix(UnixStream::from_std(socket.into_std()?)?),
        })
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve<H: Handler>(
    service: Arc<Service<H>>,
    accepted: Accepted,
    acceptor: Option<TlsAcceptor>,
    mut peer: Peer,
) {
    let statistics = Arc::clone(&service.statistics);
    let open = statistics.connection();
    let patience = service.limits.head();

    let (transport, agreed) = match (accepted, acceptor) {
        (Accepted::Unix(socket), _) => (Transport::Unix(socket), None),
        (Accepted::Tcp(socket), None) => (Transport::Tcp(socket), None),
        (Accepted::Tcp(socket), Some(acceptor)) => match tls::accept(&acceptor, socket, patience).await {
            Ok((stream, agreed)) => {
                peer.certificate = tls::certificate(&stream);
                (Transport::Tls(Box::new(stream)), agreed)
            }
            Err(error) => {
                statistics.count_failed_handshake();
                tracing::debug!(listener = peer.listener, address = ?peer.address, %error, "TLS handshake failed");
                return;
            }
        },
    };

    // hyper-util's own detection has no time limit before the first bytes.
    let opened = Instant::now();
    let progress = Arc::new(Progress::new(Stage::Head));
    let identified = tokio::select! {
        // A request that is there already is answered.
        biased;
        identified = timeout(patience, Stream::identify(transport, Arc::clone(&progress))) => identified,
        // It has asked for nothing yet.
        () = service.drain.reached(Phase::Closing) => return,
    };
    let Ok(Ok(Some((protocol, stream)))) = identified else { return };
    if agreed.is_some_and(|agreed| agreed != protocol) {
        return;
    }
    statistics.count_protocol(protocol);

    let session = Arc::new(Session {
        shard: open.shard,
        progress,
        streams: AtomicUsize::new(0),
        streams_opened: AtomicU32::new(0),
        peer,
        service,
    });
    let ended = match protocol {
        Protocol::Http1 => serve_http1(&session, stream, opened).await,
        Protocol::Http2 => serve_http2(&session, stream).await,
    };
    if let Err(error) = ended {
        // Of interest to whoever looks for the fault of one peer, and to nobody else.
        tracing::debug!(listener = session.peer.listener, address = ?session.peer.address, %error, "connection ended");
    }
}

async fn serve_http1<H: Handler>(session: &Arc<Session<H>>, stream: Stream, opened: Instant) -> hyper::Result<()> {
    let progress = &session.progress;
    let io = TokioIo::new(stream);
    let answer = service_fn(|request| exchange::http1(Arc::clone(session), request));
    let connection = pin!(session.service.http1.serve_connection(io, answer));
    let watch = Watch::new(session.service.limits, progress.mark(), Some(opened));
    let shut_down = http1::Connection::graceful_shutdown;
    let expired = |stage| match stage {
        Stage::Body => {
            progress.expire_body();
            Verdict::GoOn
        }
        // In vain if the handler is not polled, because the peer does not take an earlier answer.
        Stage::Handler if progress.expire_handler() => Verdict::GoOn,
        _ => Verdict::Close,
    };
    drive(connection, watch, &session.service.drain, shut_down, || progress.mark(), expired).await
}

async fn serve_http2<H: Handler>(session: &Arc<Session<H>>, stream: Stream) -> hyper::Result<()> {
    let answer = service_fn(|request| exchange::http2(Arc::clone(session), request));
    let connection = pin!(session.service.http2.serve_connection(TokioIo::new(stream), answer));
    // The peer goes on with pings and window updates until it has read our GOAWAY.
    session.progress.leave_unread();
    let leaving = AtomicBool::new(false);
    let mark = || {
        let stage = match session.streams.load(Ordering::Relaxed) {
            0 if leaving.load(Ordering::Relaxed) || session.progress.stage() == Stage::Farewell => Stage::Farewell,
            0 => Stage::Idle,
            _ => Stage::Streams,
        };
        Mark { stage, count: session.streams_opened.load(Ordering::Relaxed) }
    };
    let watch = Watch::new(session.service.limits, mark(), None);
    let shut_down = |connection: Pin<&mut http2::Connection<_, _, _>>| {
        leaving.store(true, Ordering::Relaxed);
        connection.graceful_shutdown();
    };
    let expired = |stage| if stage == Stage::Farewell { Verdict::Close } else { Verdict::ShutDown };
    drive(connection, watch, &session.service.drain, shut_down, mark, expired).await
}

/// What to do about a stage that has taken too long.
enum Verdict {
    GoOn,
    ShutDown,
    Close,
}

/// Polls a connection of hyper, its timer and the drain.
async fn drive<C>(
    mut connection: Pin<&mut C>,
    mut watch: Watch,
    drain: &Drain,
    shut_down: impl Fn(Pin<&mut C>),
    mark: impl Fn() -> Mark,
    expired: impl Fn(Stage) -> Verdict,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut closing = pin!(drain.reached(Phase::Closing));
    let mut announced: Option<Waker> = None;
    let mut shutting_down = false;
    poll_fn(|context| {
        // Polled for the sake of the wake-up alone, and not again while it is still to come: each poll takes a lock that
        // all connections share. The phase itself is an atomic, and changes before anybody is woken: so in any phase but
        // the first, the wake-up may have been used up by an earlier change.
        let waits = |waker: &Waker| drain.is_serving() && waker.will_wake(context.waker());
        if !shutting_down && !announced.as_ref().is_some_and(waits) {
            announced = Some(context.waker().clone());
            // Ready only in the phase that is looked at next.
            let _ = closing.as_mut().poll(context);
        }
        if !shutting_down && drain.phase() >= Phase::Closing {
            shutting_down = true;
            shut_down(connection.as_mut());
        }
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let Poll::Ready(stage) = watch.poll(context, mark()) else { return Poll::Pending };
            match expired(stage) {
                Verdict::GoOn => {}
                Verdict::ShutDown => shut_down(connection.as_mut()),
                Verdict::Close => return Poll::Ready(Ok(())),
            }
        }
    })
    .await
}

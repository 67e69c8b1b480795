//! One request and its answer: the checks before the handler, its time, its panics, and what the answer still needs.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};

use super::body::RequestBody;
use super::connection::Service;
use super::head;
use super::progress::{Progress, Stage, Watch};
use super::refusal::Refusal;
use super::statistics::Protocol;
use super::{Handler, Peer};
use crate::shutdown::Phase;

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// What the requests of one connection share.
pub(super) struct Session<H> {
    pub(super) service: Arc<Service<H>>,
    pub(super) peer: Peer,
    /// The counters' group.
    pub(super) shard: usize,
    /// Where the connection stands; of HTTP/2, whether it has ended, for each of its streams has its own.
    pub(super) progress: Arc<Progress>,
    /// Streams of an HTTP/2 connection that are being answered.
    pub(super) streams: AtomicUsize,
    /// Streams of an HTTP/2 connection so far; wraps around.
    pub(super) streams_opened: AtomicU32,
}

/// Answers a request of HTTP/1. Its time is kept by the connection, in whose task it runs.
pub(super) async fn http1<H: Handler>(session: Arc<Session<H>>, request: Request<Incoming>) -> Answer {
    let _running = session.service.statistics.request(session.shard, Protocol::Http1);
    let progress = &session.progress;
    let mut response = match admit(&session, progress, &request) {
        Ok(()) => run(&session, progress, with_body(request, progress), None).await,
        Err(refusal) => {
            // The next head may begin elsewhere than the peer, or whoever stands between, believes.
            progress.leave_body();
            refuse(&session, refusal)
        }
    };
    let reusable = progress.answered();
    if !reusable || session.service.drain.phase() != Phase::Serving {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Answers a request of HTTP/2, which has a task, and so a time, of its own.
pub(super) async fn http2<H: Handler>(session: Arc<Session<H>>, request: Request<Incoming>) -> Answer {
    let _running = session.service.statistics.request(session.shard, Protocol::Http2);
    let _open = OpenStream::new(&session);
    let progress = Arc::new(Progress::new(Stage::Handler));
    let response = match admit(&session, &progress, &request) {
        Ok(()) => {
            let watch = Watch::new(session.service.limits, progress.mark(), None);
            run(&session, &progress, with_body(request, &progress), Some(watch)).await
        }
        Err(refusal) => refuse(&session, refusal),
    };
    Ok(response)
}

/// Checks the head.
fn admit<H>(session: &Session<H>, progress: &Progress, request: &Request<Incoming>) -> Result<(), Refusal> {
    progress.request_came(!request.body().is_end_stream());
    head::check(request, session.service.max_headers)
}

/// Has the body report to `progress`.
fn with_body(request: Request<Incoming>, progress: &Arc<Progress>) -> Request<RequestBody> {
    request.map(|incoming| RequestBody::from_wire(incoming, progress))
}

/// Runs the handler, unless it panics or takes too long.
async fn run<H: Handler>(
    session: &Session<H>,
    progress: &Progress,
    mut request: Request<RequestBody>,
    mut watch: Option<Watch>,
) -> Response<Full<Bytes>> {
    let ended = {
        // Inside an async block, a panic before the handler's first await is caught too.
        let mut answer = pin!(async { session.service.handler.handle(&mut request, &session.peer).await });
        poll_fn(|context| {
            loop {
                // Nothing of ours is left half done by a panic, and the handler's future is not polled again. What the
                // handler shares with others is its own to protect, as with a poisoned lock.
                match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
                    Ok(Poll::Ready(response)) => return Poll::Ready(Ok(response)),
                    Err(_) => return Poll::Ready(Err(Refusal::Panicked)),
                    Ok(Poll::Pending) => {}
                }
                if progress.take_handler_late() {
                    return Poll::Ready(Err(Refusal::TimedOut));
                }
                let Some(watch) = &mut watch else { return Poll::Pending };
                match watch.poll(context, progress.mark()) {
                    Poll::Pending => return Poll::Pending,
                    // Once more, so that the handler can answer that the body did not come.
                    Poll::Ready(Stage::Body) => progress.expire_body(),
                    Poll::Ready(_) => return Poll::Ready(Err(Refusal::TimedOut)),
                }
            }
        })
        .await
    };
    match ended {
        Ok(response) => response,
        Err(refusal) => {
            match refusal {
                // The panic itself was reported by the panic hook, where it happened.
                Refusal::Panicked => session.service.statistics.count_panic(),
                _ => session.service.statistics.count_timeout(),
            }
            refuse(session, refusal)
        }
    }
}

fn refuse<H: Handler>(session: &Session<H>, refusal: Refusal) -> Response<Full<Bytes>> {
    tracing::debug!(listener = session.peer.listener, ?refusal, "answered in the handler's place");
    let mut response = session.service.handler.refuse(refusal);
    *response.status_mut() = refusal.status();
    response
}

/// A stream that is being answered as long as this lives.
struct OpenStream<'a>(&'a AtomicUsize);

impl<'a> OpenStream<'a> {
    fn new<H>(session: &'a Session<H>) -> Self {
        session.streams_opened.fetch_add(1, Ordering::Relaxed);
        session.streams.fetch_add(1, Ordering::Relaxed);
        Self(&session.streams)
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

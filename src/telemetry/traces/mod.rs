//! Traces: what a request did and how long each part of it took, sent to a collector of OpenTelemetry.
//!
//! - [`context`] what a caller says of the trace that its request belongs to
//! - [`sampling`] which requests are recorded
//! - [`span`] what is recorded of one, as the collector reads it
//! - [`export`] how it gets there
//!
//! Off, none of this exists. On, a request that is not sampled is told so from its head, and everything after that finds
//! no [`Recording`] around it. What is recorded belongs to the task of the request until it ends; then it goes to the
//! exporter at once, or is dropped and counted when the exporter has too much already. Nothing of a request ever waits
//! for the exporter.
//!
//! A span never has a token, a secret, a header, a query or a body in it; see [`super::logging`] for the whole list.

pub mod context;
pub mod export;
pub mod sampling;
pub mod span;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request, Response, Version};
use tokio::sync::mpsc;

use self::context::SpanId;
use self::sampling::{Sampled, Sampler, mixed};
use self::span::{Attributes, Kind, Span, Value};
use super::metrics::{Metrics, SpanResult};
use crate::token::time::Clock;

/// The most spans of one request that are kept; a batch of a thousand tokens would have more. Further ones are dropped.
pub const MOST_SPANS: usize = 64;

tokio::task_local! {
    static CURRENT: Recording;
}

/// Decides which requests are recorded, and takes what was recorded of them.
#[derive(Clone)]
pub struct Tracer {
    sampler: Sampler,
    queue: mpsc::Sender<Span>,
    metrics: Arc<Metrics>,
}

impl Tracer {
    /// A tracer whose spans go into `queue`.
    pub fn new(sampler: Sampler, queue: mpsc::Sender<Span>, metrics: Arc<Metrics>) -> Self {
        Self { sampler, queue, metrics }
    }

    /// Whether the request with these headers is recorded, and if so, as what.
    pub fn decide(&self, headers: &HeaderMap) -> Option<Sampled> {
        self.sampler.decide(headers)
    }

    /// Records `answer`, the answering of the request that `line` describes.
    ///
    /// An answer that never comes, because the caller has gone or the time is up, is recorded as well.
    pub async fn record<B>(
        &self,
        sampled: Sampled,
        line: RequestLine,
        answer: impl Future<Output = Response<B>>,
    ) -> Response<B> {
        let recording = Recording {
            tracer: self.clone(),
            parent: Cell::new(sampled.span),
            last_id: Cell::new(u64::from_be_bytes(sampled.span)),
            sampled,
            line: Some(line),
            status: Cell::new(None),
            spans: RefCell::default(),
            left_out: Cell::new(0),
            clock: Started::now(),
        };
        let answered = async {
            let answer = answer.await;
            let _ = CURRENT.try_with(|recording| recording.status.set(Some(answer.status().as_u16())));
            answer
        };
        CURRENT.scope(recording, answered).await
    }

    /// Hands all spans of a request on, or none of them.
    fn take(&self, spans: Vec<Span>, left_out: u64) {
        let count = spans.len() as u64;
        let mut dropped = left_out;
        match self.queue.try_reserve_many(spans.len()) {
            Ok(places) => places.zip(spans).for_each(|(place, span)| place.send(span)),
            Err(_) => dropped += count,
        }
        if dropped > 0 {
            self.metrics.trace_spans.add(SpanResult::Dropped, dropped);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tracer").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}

/// What is known of a request before it is answered.
#[derive(Clone, Debug)]
pub struct RequestLine {
    name: String,
    attributes: Attributes,
    state: Option<Box<str>>,
}

impl RequestLine {
    /// What the head of `request` says, and `route`, the path of its endpoint with names in place of what varies.
    ///
    /// `url.path` is the route too: what varies in a path are names of clients and users, and anything at all where no
    /// endpoint is.
    pub fn of<B>(request: &Request<B>, route: Option<&'static str>, encrypted: bool) -> Self {
        let method = known_method(request.method());
        let mut attributes: Attributes = vec![
            ("http.request.method", method.unwrap_or("_OTHER").into()),
            ("url.scheme", if encrypted { "https" } else { "http" }.into()),
            ("url.path", route.unwrap_or("/").into()),
        ];
        if let Some(version) = version(request.version()) {
            attributes.push(("network.protocol.version", version.into()));
        }
        // The conventions' word for a method that is not one.
        let verb = method.unwrap_or("HTTP");
        let name = match route {
            Some(route) => {
                attributes.push(("http.route", route.into()));
                format!("{verb} {route}")
            }
            None => verb.to_owned(),
        };
        Self { name, attributes, state: context::state(request.headers()) }
    }
}

fn known_method(method: &Method) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
        .into_iter()
        .find(|known| *known == method.as_str())
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// When a recording began, by both clocks: the wall's for the collector, the other for lengths of time.
#[derive(Clone, Copy, Debug)]
struct Started {
    wall: u64,
    instant: Instant,
}

impl Started {
    fn now() -> Self {
        // The system's, whatever time the service lives in: the collector puts these beside the spans of others.
        let wall = Clock::System.now().stamp().0.saturating_mul(1000);
        Self { wall, instant: Instant::now() }
    }

    fn nanoseconds(self, moment: Instant) -> u64 {
        self.wall.saturating_add(nanoseconds(moment.saturating_duration_since(self.instant)))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What is recorded of one request. It ends, and is handed on, when it is dropped.
struct Recording {
    tracer: Tracer,
    sampled: Sampled,
    line: Option<RequestLine>,
    /// Of what a step that begins now is part.
    parent: Cell<SpanId>,
    last_id: Cell<u64>,
    status: Cell<Option<u16>>,
    spans: RefCell<Vec<Span>>,
    left_out: Cell<u64>,
    clock: Started,
}

impl Recording {
    fn new_id(&self) -> SpanId {
        let mut next = self.last_id.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        if mixed(next) == 0 {
            next = next.wrapping_add(1);
        }
        self.last_id.set(next);
        mixed(next).to_be_bytes()
    }

    fn add(&self, span: Span) {
        let mut spans = self.spans.borrow_mut();
        // One place is the request's own.
        if spans.len() + 1 < MOST_SPANS {
            spans.push(span);
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(RequestLine { name, mut attributes, state }) = self.line.take() else { return };
        let status = self.status.get();
        if let Some(status) = status {
            attributes.push(("http.response.status_code", status.into()));
        }
        let failed = status.is_none_or(|status| status >= 500);
        if failed {
            let error = status.map_or(Value::from("cancelled"), |status| status.to_string().into());
            attributes.push(("error.type", error));
        }
        let mut spans = self.spans.take();
        for span in &mut spans {
            span.state.clone_from(&state);
        }
        spans.push(Span {
            trace: self.sampled.trace,
            id: self.sampled.span,
            parent: self.sampled.parent,
            state,
            name: name.into(),
            kind: Kind::Server,
            began: self.clock.wall,
            ended: self.clock.nanoseconds(Instant::now()),
            attributes,
            failed,
        });
        self.tracer.take(spans, self.left_out.get());
    }
}

/// A part of a request that is under way. It ends when it is dropped; what began meanwhile is part of it.
#[derive(Debug)]
pub struct Step(Box<Begun>);

#[derive(Debug)]
struct Begun {
    name: &'static str,
    id: SpanId,
    outer: SpanId,
    instant: Instant,
    attributes: Attributes,
    failed: bool,
}

/// Begins a step of the request that is being answered; `None` when that one is not recorded.
pub fn step(name: &'static str) -> Option<Step> {
    CURRENT
        .try_with(|recording| {
            let id = recording.new_id();
            let outer = recording.parent.replace(id);
            // Until it is known better: a step that is dropped in its midst was given up.
            let attributes = vec![("error.type", "cancelled".into())];
            Step(Box::new(Begun { name, id, outer, instant: Instant::now(), attributes, failed: true }))
        })
        .ok()
}

impl Step {
    /// Ends the step with what is known of it.
    pub fn end(mut self, attributes: Attributes, failed: bool) {
        self.0.attributes = attributes;
        self.0.failed = failed;
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|recording| {
            let step = &mut *self.0;
            recording.parent.set(step.outer);
            recording.add(Span {
                trace: recording.sampled.trace,
                id: step.id,
                parent: Some(step.outer),
                state: None,
                name: step.name.into(),
                kind: Kind::Internal,
                began: recording.clock.nanoseconds(step.instant),
                ended: recording.clock.nanoseconds(Instant::now()),
                attributes: std::mem::take(&mut step.attributes),
                failed: step.failed,
            });
        });
    }
}

/// Records something that took `duration` and ends at this moment, if the request is recorded that is being answered.
pub fn note(name: &'static str, kind: Kind, duration: Duration, attributes: impl FnOnce() -> Attributes, failed: bool) {
    let _ = CURRENT.try_with(|recording| {
        let ended = recording.clock.nanoseconds(Instant::now());
        recording.add(Span {
            trace: recording.sampled.trace,
            id: recording.new_id(),
            parent: Some(recording.parent.get()),
            state: None,
            name: name.into(),
            kind,
            began: ended.saturating_sub(nanoseconds(duration)),
            ended,
            attributes: attributes(),
            failed,
        });
    });
}

#[cfg(test)]
mod tests;

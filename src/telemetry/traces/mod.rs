//! Traces: what a request did and how long each part of it took, sent to a collector of OpenTelemetry.
//!
//! - [`context`] what a caller says of the trace that its request belongs to
//! - [`sampling`] which requests are recorded
//! - [`span`] what is recorded of one, as the collector reads it
//! - [`export`] how it gets there
//!
//! Off, none of this exists. On, a request that is not sampled is told so from its head, and everything after that finds
//! no recording around it. What is recorded belongs to the task of the request until it ends; then it goes to the
//! exporter at once, or is dropped and counted when the exporter has too much already. Nothing of a request ever waits
//! for the exporter.
//!
//! A span never has a token, a secret, a header, a query or a body in it; see [`super::logging`] for the whole list.

pub mod context;
pub mod export;
pub mod sampling;
pub mod span;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    static CURRENT: Arc<Recording>;
}

/// The same future as a part of the request that is being answered, for a task of its own: what was begun is carried
/// through there, whether or not the caller waits for it.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let current = CURRENT.try_with(Arc::clone).ok();
    async move {
        match current {
            Some(recording) => CURRENT.scope(recording, work).await,
            None => work.await,
        }
    }
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
        let recording = Arc::new(Recording {
            tracer: self.clone(),
            state: Mutex::new(State {
                parent: sampled.span,
                last_id: u64::from_be_bytes(sampled.span),
                line: Some(line),
                status: None,
                ended: None,
                spans: Vec::new(),
                left_out: 0,
            }),
            sampled,
            clock: Started::now(),
        });
        let mut answered = Answered { recording: Arc::clone(&recording), status: None };
        let answer = CURRENT.scope(recording, answer).await;
        answered.status = Some(answer.status().as_u16());
        answer
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

/// What is recorded of one request. It is handed on when the last task that is part of it has dropped it.
struct Recording {
    tracer: Tracer,
    sampled: Sampled,
    clock: Started,
    state: Mutex<State>,
}

struct State {
    line: Option<RequestLine>,
    /// Of what a step that begins now is part.
    parent: SpanId,
    last_id: u64,
    status: Option<u16>,
    /// When the request was answered, or given up.
    ended: Option<u64>,
    spans: Vec<Span>,
    left_out: u64,
}

/// Notes the end of the answering, however it ends: what was begun may go on in another task.
struct Answered {
    recording: Arc<Recording>,
    status: Option<u16>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        let ended = self.recording.clock.nanoseconds(Instant::now());
        let mut state = self.recording.state();
        (state.status, state.ended) = (self.status, Some(ended));
    }
}

impl Recording {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new_id(&mut self) -> SpanId {
        let mut next = self.last_id.wrapping_add(0x9e37_79b9_7f4a_7c15);
        if mixed(next) == 0 {
            next = next.wrapping_add(1);
        }
        self.last_id = next;
        mixed(next).to_be_bytes()
    }

    fn add(&mut self, span: Span) {
        // One place is the request's own.
        if self.spans.len() + 1 < MOST_SPANS {
            self.spans.push(span);
        } else {
            self.left_out += 1;
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let recorded = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(RequestLine { name, mut attributes, state }) = recorded.line.take() else { return };
        let status = recorded.status;
        if let Some(status) = status {
            attributes.push(("http.response.status_code", status.into()));
        }
        let failed = status.is_none_or(|status| status >= 500);
        if failed {
            let error = status.map_or(Value::from("cancelled"), |status| status.to_string().into());
            attributes.push(("error.type", error));
        }
        let mut spans = std::mem::take(&mut recorded.spans);
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
            ended: recorded.ended.unwrap_or_else(|| self.clock.nanoseconds(Instant::now())),
            attributes,
            failed,
        });
        let left_out = recorded.left_out;
        self.tracer.take(spans, left_out);
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
            let mut state = recording.state();
            let id = state.new_id();
            let outer = std::mem::replace(&mut state.parent, id);
            drop(state);
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
            let mut state = recording.state();
            state.parent = step.outer;
            state.add(Span {
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
        let (ended, attributes) = (recording.clock.nanoseconds(Instant::now()), attributes());
        let mut state = recording.state();
        let (id, parent) = (state.new_id(), state.parent);
        state.add(Span {
            trace: recording.sampled.trace,
            id,
            parent: Some(parent),
            state: None,
            name: name.into(),
            kind,
            began: ended.saturating_sub(nanoseconds(duration)),
            ended,
            attributes,
            failed,
        });
    });
}

#[cfg(test)]
mod tests;

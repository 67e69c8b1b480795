//! `/metrics`.

use crate::http::{Answer, Context, respond};
use crate::server::{self, ServerStatistics};
use crate::telemetry::metrics::{self, Protocol};

/// Every number, in the text form that Prometheus reads. What others count is asked for now.
pub fn metrics(context: &Context, statistics: &ServerStatistics) -> Answer {
    let numbers = context.observer.metrics();
    numbers.hashing_queue.set(context.service.hashing.depth() as u64);
    numbers.signature_checks.set((), context.service.verified.signature_checks());
    numbers.draining.set(context.readiness.is_draining());
    numbers.connections.set(statistics.connections_open());
    numbers.requests_in_flight.set(statistics.requests_in_flight());
    for (label, protocol) in [(Protocol::Http1, server::Protocol::Http1), (Protocol::Http2, server::Protocol::Http2)] {
        numbers.connections_accepted.set(label, statistics.connections_by_protocol(protocol));
    }
    respond::text(metrics::CONTENT_TYPE, numbers.render())
}

//! `/metrics`.

use crate::http::{Answer, Context, respond};
use crate::telemetry::metrics;

/// Every number, in the text form that Prometheus reads.
pub fn metrics(context: &Context) -> Answer {
    let numbers = context.observer.metrics();
    numbers.draining.set(context.readiness.is_draining());
    respond::text(metrics::CONTENT_TYPE, numbers.render())
}

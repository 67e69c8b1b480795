//! `/metrics` and `/openapi.json`.

use std::time::Duration;

use http::HeaderMap;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;

use crate::cache::near::NearCache;
use crate::cache::observe::CacheName;
use crate::http::published::Published;
use crate::http::{Answer, Context, respond};
use crate::server::{self, ServerStatistics};
use crate::telemetry::metrics::{self, Protocol};

/// Every number, in the text form that Prometheus reads. What others count is asked for now.
pub fn metrics(context: &Context, statistics: &ServerStatistics) -> Answer {
    let numbers = context.observer.metrics();
    numbers.hashing_queue.set(context.service.hashing.depth() as u64);
    let accounts = context.service.accounts.as_ref();
    numbers.account_hashing_queue.set(accounts.map_or(0, |accounts| accounts.hashing.depth() as u64));
    numbers.signature_checks.set((), context.service.verified.signature_checks());
    let (tokens, unknown, bytes) = context.service.remembered.size();
    let clients = context.service.registry.near().map_or(0, NearCache::len);
    let condition = context.service.store.condition();
    for (cache, entries) in [
        (CacheName::Tokens, tokens),
        (CacheName::UnknownTokens, unknown),
        (CacheName::Clients, clients),
        (CacheName::Epochs, condition.epochs),
    ] {
        numbers.cache_entries.set(cache, entries as u64);
    }
    numbers.cache_bytes.set(bytes);
    numbers.audit_queue.set(context.audit.waiting() as u64);
    numbers.draining.set(context.readiness.is_draining());
    numbers.cache_leased.set(condition.has_lease);
    numbers.cache_lease_age.set(condition.lease_age.unwrap_or_default());
    numbers.revocations_remembered.set(condition.remembered);
    numbers.revocations_unread.set(condition.unread);
    numbers.revocations_overlooked.set((), condition.overlooked);
    numbers.connections.set(statistics.connections_open());
    numbers.requests_in_flight.set(statistics.requests_in_flight());
    for (label, protocol) in [(Protocol::Http1, server::Protocol::Http1), (Protocol::Http2, server::Protocol::Http2)] {
        numbers.connections_accepted.set(label, statistics.connections_by_protocol(protocol));
    }
    respond::text(metrics::CONTENT_TYPE, numbers.render())
}

/// What this listener answers. Unlike the public one's, it is for no page of another origin.
pub fn description(description: &Published, headers: &HeaderMap) -> Answer {
    let mut answer = description.answer(headers, Duration::from_hours(1));
    answer.headers_mut().remove(ACCESS_CONTROL_ALLOW_ORIGIN);
    answer
}

//! Every metric of the service: its name, its labels, its help text, and the fields that count it, in one list.
//!
//! Counting takes no lock, no allocation and no look-up: a metric is a field, a label is a variant, and a count is one
//! add on a cache line that other threads do not write to. That is why the service does not count through the
//! [`metrics`](mod@::metrics) macros; libraries that do are shown on the same page by way of [`foreign`].

mod cells;
pub mod foreign;
mod instrument;
pub mod label;
mod page;
mod process;
mod reference;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use instrument::{Counter, Figure, Figures, Histogram, Mirror, Span, Switch};
pub use label::{
    AccountAction, AccountResult, AuditResult, ClientAuthMethod, ClientAuthResult, Endpoint, LimitedBy, Outcome,
    Protocol, RefreshResult, ReloadResult, SpanResult, StoreResult,
};
pub use page::Kind;
pub use reference::reference;

use crate::cache::observe::{CacheName, CacheObserver, CacheResult};
use crate::config::MetricsConfig;
use crate::store::redis::observe::FleetObserver;
use crate::store::{StoreErrorKind, StoreObserver, StoreOperation};
use crate::token::decision::Inactive;
use crate::token::time::Now;
use crate::token::value::TokenKind;
use cells::Cells;
use foreign::Foreign;
use instrument::Instrument;
use page::Page;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric of the list.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, unit included.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Its labels with all their values.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

/// Makes the struct of all instruments, the list of them, and the order in which they are shown, from one table.
macro_rules! metrics {
    ($($(#[$about:meta])* $field:ident: $type:ty = $name:literal, $help:literal;)+) => {
        /// All numbers of one server.
        pub struct Metrics {
            $($(#[$about])* #[doc = ""] #[doc = $help] pub $field: $type,)+
            foreign: Arc<Foreign>,
        }

        /// The metrics that the service counts itself.
        const COUNTED: &[Family] = &[$(Family {
            name: $name,
            kind: <$type as Instrument>::KIND,
            help: $help,
            labels: <$type as Instrument>::LABELS,
        },)+];

        impl Metrics {
            /// All numbers at zero.
            pub fn new(config: &MetricsConfig) -> Self {
                let durations = &config.latency_buckets;
                let edges: Arc<[u64]> =
                    durations.iter().map(|edge| u64::try_from(edge.as_nanos()).unwrap_or(u64::MAX)).collect();
                let mut count = 0;
                $(
                    let $field = count;
                    count += <$type as Instrument>::cells(durations);
                )+
                let cells = Arc::new(Cells::new(count));
                Self {
                    $($field: <$type as Instrument>::over(&cells, $field, &edges),)+
                    foreign: Arc::new(Foreign::default()),
                }
            }

            fn render_counted(&self, page: &mut Page) {
                $(
                    page.head($name, <$type as Instrument>::KIND, $help);
                    self.$field.render($name, page);
                )+
            }
        }
    };
}

metrics! {
    /// `introspect_requests_total`
    requests: Counter<(Endpoint, Outcome)> = "introspect_requests_total",
        "Requests answered, by endpoint and by how they ended.";
    /// `introspect_inactive_total`
    inactive: Counter<Inactive> = "introspect_inactive_total",
        "Tokens that were answered as not active, by the reason that callers are not told.";
    /// `introspect_batch_tokens_total`
    batch_tokens: Counter<()> = "introspect_batch_tokens_total",
        "Tokens that were asked about in batches.";
    /// `introspect_request_duration_seconds`
    request_duration: Histogram<Endpoint> = "introspect_request_duration_seconds",
        "Time from the end of a request's head to its answer.";
    /// `introspect_http_requests_in_flight`
    requests_in_flight: Figure = "introspect_http_requests_in_flight",
        "Requests that are being answered.";
    /// `introspect_http_connections`
    connections: Figure = "introspect_http_connections",
        "Connections that are open.";
    /// `introspect_http_connections_accepted_total`
    connections_accepted: Mirror<Protocol> = "introspect_http_connections_accepted_total",
        "Connections that were accepted.";
    /// `introspect_store_duration_seconds`
    store_duration: Histogram<(StoreOperation, StoreResult)> = "introspect_store_duration_seconds",
        "Time that calls of the store took.";
    /// `introspect_store_errors_total`
    store_errors: Counter<StoreErrorKind> = "introspect_store_errors_total",
        "Calls of the store that failed.";
    /// `introspect_store_up`
    store_up: Switch = "introspect_store_up",
        "1 if the store answered when it was last asked, else 0.";
    /// `introspect_cache_requests_total`
    cache_requests: Counter<(CacheName, CacheResult)> = "introspect_cache_requests_total",
        "Questions to what the node remembers, by what they found; all but hits go to the store.";
    /// `introspect_cache_coalesced_total`
    cache_coalesced: Counter<()> = "introspect_cache_coalesced_total",
        "Look-ups of tokens that shared the read of another.";
    /// `introspect_cache_evictions_total`
    cache_evictions: Counter<CacheName> = "introspect_cache_evictions_total",
        "Entries that gave way to what is used more.";
    /// `introspect_cache_answers_without_store_total`
    cache_without_store: Counter<()> = "introspect_cache_answers_without_store_total",
        "Tokens known to be revoked that were answered as not active while the store could not be read.";
    /// `introspect_cache_entries`
    cache_entries: Figures<CacheName> = "introspect_cache_entries",
        "Entries that are remembered.";
    /// `introspect_cache_bytes`
    cache_bytes: Figure = "introspect_cache_bytes",
        "Memory that remembered tokens and the answers about them take.";
    /// `introspect_cache_leased`
    cache_leased: Switch = "introspect_cache_leased",
        "1 if what is remembered may be answered without asking the store, else 0.";
    /// `introspect_cache_lease_age_seconds`
    cache_lease_age: Span = "introspect_cache_lease_age_seconds",
        "How long ago it was last confirmed that word of every change has come.";
    /// `introspect_revocation_lag_seconds`
    revocation_lag: Histogram<()> = "introspect_revocation_lag_seconds",
        "How long a primary of Redis took to confirm that it had told of every change: word of none came later than that.";
    /// `introspect_revocations_replayed_total`
    revocations_replayed: Counter<()> = "introspect_revocations_replayed_total",
        "Revocations that a primary of Redis had lost, and that were written to it again.";
    /// `introspect_revocations_remembered`
    revocations_remembered: Figure = "introspect_revocations_remembered",
        "Revocations that would be written again to a primary of Redis that has lost them.";
    /// `introspect_revocations_unread`
    revocations_unread: Figure = "introspect_revocations_unread",
        "Changes that were heard of and are still to be read, so as to be remembered.";
    /// `introspect_revocations_overlooked_total`
    revocations_overlooked: Mirror<()> = "introspect_revocations_overlooked_total",
        "Revocations that were not remembered for want of room.";
    /// `introspect_replica_shortfalls_total`
    replica_shortfalls: Counter<()> = "introspect_replica_shortfalls_total",
        "Revocations that too few replicas of Redis had in time, and that were answered 503.";
    /// `introspect_failovers_total`
    failovers: Counter<()> = "introspect_failovers_total",
        "Times that another primary of Redis, or one in another life, was taken into use.";
    /// `introspect_client_auth_total`
    client_auth: Counter<(ClientAuthMethod, ClientAuthResult)> = "introspect_client_auth_total",
        "Attempts of callers to prove who they are.";
    /// `introspect_client_auth_hashing_queue`
    hashing_queue: Figure = "introspect_client_auth_hashing_queue",
        "Slow secret comparisons that run or wait for their turn.";
    /// `introspect_config_reloads_total`
    reloads: Counter<ReloadResult> = "introspect_config_reloads_total",
        "Times that the settings were read anew while the service ran.";
    /// `introspect_config_last_reload_success_timestamp_seconds`
    last_reload: Figure = "introspect_config_last_reload_success_timestamp_seconds",
        "When the settings were taken over last, at the start if never since.";
    /// `introspect_accounts_total`
    accounts: Counter<(AccountAction, AccountResult)> = "introspect_accounts_total",
        "What users asked for, by how it ended.";
    /// `introspect_account_hashing_queue`
    account_hashing_queue: Figure = "introspect_account_hashing_queue",
        "Passwords that are hashed or wait for their turn.";
    /// `introspect_tokens_issued_total`
    tokens_issued: Counter<TokenKind> = "introspect_tokens_issued_total",
        "Tokens that were issued or imported.";
    /// `introspect_tokens_revoked_total`
    tokens_revoked: Counter<()> = "introspect_tokens_revoked_total",
        "Tokens that were revoked one by one; those revoked through their grant or client are not counted.";
    /// `introspect_tokens_approved_total`
    tokens_approved: Counter<()> = "introspect_tokens_approved_total",
        "Tokens that were approved again.";
    /// `introspect_bulk_revocations_total`
    bulk_revocations: Counter<()> = "introspect_bulk_revocations_total",
        "Revocations of many tokens at once: by client, by user, or of all.";
    /// `introspect_refreshes_total`
    refreshes: Counter<RefreshResult> = "introspect_refreshes_total",
        "Refresh tokens that were presented, by what became of them; each reused one is a session that was stolen, or a client that repeats itself.";
    /// `introspect_signature_checks_total`
    signature_checks: Mirror<()> = "introspect_signature_checks_total",
        "Signatures of access tokens that were checked; one that was found good lately is not checked again.";
    /// `introspect_rate_limited_total`
    rate_limited: Counter<LimitedBy> = "introspect_rate_limited_total",
        "Callers that were told to wait, by the limit that they ran into.";
    /// `introspect_audit_events_total`
    audit_events: Counter<AuditResult> = "introspect_audit_events_total",
        "Lines of the audit log, by what became of them.";
    /// `introspect_audit_failing`
    audit_failing: Switch = "introspect_audit_failing",
        "1 if the audit log could not be written when it was last tried, else 0.";
    /// `introspect_audit_queue`
    audit_queue: Figure = "introspect_audit_queue",
        "Lines of the audit log that wait to be written.";
    /// `introspect_draining`
    draining: Switch = "introspect_draining",
        "1 from the signal to stop until the process ends, else 0.";
    /// `introspect_trace_spans_total`
    trace_spans: Counter<SpanResult> = "introspect_trace_spans_total",
        "Spans of traces that were recorded, by what became of them.";
    /// `introspect_foreign_series_refused_total`
    foreign_series_refused: Counter<()> = "introspect_foreign_series_refused_total",
        "Series of libraries that are not shown, because there were too many or their names are taken.";
}

const BUILD: Family = Family {
    name: "introspect_build_info",
    kind: Kind::Gauge,
    help: "Always 1; its label says which version runs.",
    labels: &[("version", &[env!("CARGO_PKG_VERSION")])],
};

impl Metrics {
    /// Notes that the settings were taken over.
    pub fn reloaded(&self, now: Now) {
        self.last_reload.set(now.seconds().0);
    }

    /// Counts a request that was answered, and how long that took.
    #[inline]
    pub fn observe_request(&self, endpoint: Endpoint, outcome: Outcome, duration: Duration) {
        self.requests.increment((endpoint, outcome));
        self.request_duration.observe(endpoint, duration);
    }

    /// The recorder through which the metrics of libraries reach the same page.
    pub fn recorder(self: &Arc<Self>) -> foreign::Recorder {
        foreign::Recorder::new(Arc::clone(self))
    }

    /// The page that Prometheus reads. Reads files of `/proc`, so not for the hot path.
    pub fn render(&self) -> String {
        let mut page = Page::with_capacity(32 * 1024);
        self.render_counted(&mut page);
        page.head(BUILD.name, BUILD.kind, BUILD.help);
        page.sample(BUILD.name, "", &[("version", env!("CARGO_PKG_VERSION"))], None, 1);
        process::render(&mut page);
        self.foreign.render(&mut page);
        page.finish()
    }
}

impl StoreObserver for Metrics {
    fn observed(&self, operation: StoreOperation, error: Option<StoreErrorKind>, duration: Duration) {
        let result = if error.is_some() { StoreResult::Failed } else { StoreResult::Answered };
        self.store_duration.observe((operation, result), duration);
        if let Some(kind) = error {
            self.store_errors.increment(kind);
        }
    }
}

impl FleetObserver for Metrics {
    fn confirmed(&self, took: Duration) {
        self.revocation_lag.observe((), took);
    }

    fn replayed(&self, count: u64) {
        self.revocations_replayed.add((), count);
    }

    fn failed_over(&self) {
        self.failovers.increment(());
    }

    fn fell_short(&self) {
        self.replica_shortfalls.increment(());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl CacheObserver for Metrics {
    fn asked(&self, cache: CacheName, result: CacheResult) {
        self.cache_requests.increment((cache, result));
    }

    fn evicted(&self, cache: CacheName) {
        self.cache_evictions.increment(cache);
    }

    fn coalesced(&self) {
        self.cache_coalesced.increment(());
    }

    fn answered_without_store(&self) {
        self.cache_without_store.increment(());
    }
}

/// Every metric of the service, in the order of the page.
pub fn catalogue() -> impl Iterator<Item = &'static Family> {
    COUNTED.iter().chain([&BUILD]).chain(process::FAMILIES)
}

#[cfg(test)]
mod tests;

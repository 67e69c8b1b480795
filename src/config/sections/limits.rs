//! `[tokens]`, `[authentication]`, `[http]`, `[drain]`, `[log]`, `[audit]` and `[metrics]`.

use std::time::Duration;

use super::{DAY, HOUR, MINUTE, WholeSeconds, seconds};
use crate::config::reader::Reader;
use crate::config::{
    AccessLog, AuditConfig, AuditFailure, AuthenticationConfig, DrainConfig, HttpConfig, LogConfig, LogFormat,
    MetricsConfig, ReloadConfig, ThreadModel, TokensConfig,
};
use crate::telemetry::logging::parse_level;

// === [tokens] ===

/// Short enough that a leaked token is soon worthless, long enough that clients do not live at the token endpoint.
const ACCESS_LIFETIME: WholeSeconds = seconds(15 * MINUTE);

/// A user who comes back within a month need not log in again.
const REFRESH_LIFETIME: WholeSeconds = seconds(30 * DAY);

/// Off: not every application is used daily, and the end of the grant bounds a stolen token already.
const REFRESH_IDLE_LIFETIME: WholeSeconds = seconds(0);

/// Off: a token that works twice is what rotation is there to prevent. Ten seconds are plenty for a client that lost an
/// answer.
const REFRESH_GRACE: WholeSeconds = seconds(0);

/// Tokens for machines are renewed yearly at the latest, as certificates used to be.
const MAX_LIFETIME: WholeSeconds = seconds(365 * DAY);

const LIFETIMES: std::ops::RangeInclusive<WholeSeconds> = seconds(1)..=WholeSeconds(TokensConfig::LONGEST_LIFETIME);

pub(super) fn tokens(reader: &mut Reader<'_>) -> TokensConfig {
    reader.section("tokens", "Tokens and how long they live.", |section| {
        let WholeSeconds(access_lifetime) = section.within(
            "access_lifetime",
            ACCESS_LIFETIME,
            LIFETIMES,
            "Of access tokens for which nothing else is said.",
        );
        let WholeSeconds(refresh_lifetime) = section.within(
            "refresh_lifetime",
            REFRESH_LIFETIME,
            LIFETIMES,
            "From login to the last refresh: no rotation moves the end of a grant.",
        );
        let WholeSeconds(refresh_idle_lifetime) = section.within(
            "refresh_idle_lifetime",
            REFRESH_IDLE_LIFETIME,
            seconds(0)..=WholeSeconds(TokensConfig::LONGEST_LIFETIME),
            "A refresh token that is not used for so long ends; 0 for none but the end of its grant.",
        );
        let WholeSeconds(refresh_grace) = section.within(
            "refresh_grace",
            REFRESH_GRACE,
            seconds(0)..=seconds(MINUTE),
            "For so long after a refresh, the refresh token that was used is answered with the same successor once more, \
             for clients that lost the answer; 0 takes every second use for theft.",
        );
        let WholeSeconds(max_lifetime) = section.within(
            "max_lifetime",
            MAX_LIFETIME,
            LIFETIMES,
            "No token lives longer, whatever an issuer asks for.",
        );
        for (key, lifetime) in [("access_lifetime", access_lifetime), ("refresh_lifetime", refresh_lifetime)] {
            if lifetime > max_lifetime {
                // Whoever set one of the two is told; a default cannot be at fault.
                let (at_fault, message) = if section.is_set(key) {
                    (key, "must not be longer than tokens.max_lifetime".to_owned())
                } else {
                    ("max_lifetime", format!("must not be shorter than {}", section.at(key)))
                };
                section.reject(at_fault, message);
            }
        }
        let imports = section.value(
            "imports",
            true,
            "Whether tokens made elsewhere may be taken over by value; off, every text without our prefix is refused \
             without a look-up.",
        );
        TokensConfig { access_lifetime, refresh_lifetime, refresh_idle_lifetime, refresh_grace, max_lifetime, imports }
    })
}

// === [authentication] ===

/// A person who mistypes gets there in ten tries, a script does not.
const FAILURES_PER_CLIENT: u32 = 10;

/// Ten clients' worth: behind one address may be a whole cluster with one bad deployment.
const FAILURES_PER_SOURCE: u32 = 100;

/// Long enough to make guessing hopeless (288 tries a day), short enough that nobody pages an operator to end it.
const MAX_WAIT: Duration = Duration::from_secs(5 * MINUTE);

/// One: each takes 19 MiB and a whole core for tens of milliseconds, which introspection should have. Only secrets that
/// were brought along need it; those made here are compared in microseconds.
const HASHING_THREADS: usize = 1;

/// At some 30 ms each, the last in the queue waits two seconds: more, and its caller has given up.
const HASHING_QUEUE: usize = 64;

/// A day for the new secret to reach every deployment.
const SECRET_OVERLAP: WholeSeconds = seconds(DAY);

/// A resource server meets garbage, and a busy one much of it; what scans for tokens wants millions.
const UNKNOWN_TOKENS_PER_SECOND: u32 = 10_000;

pub(super) fn authentication(reader: &mut Reader<'_>) -> AuthenticationConfig {
    reader.section("authentication", "How callers prove who they are.", |section| AuthenticationConfig {
        failures_per_client: section.within(
            "failures_per_client",
            FAILURES_PER_CLIENT,
            1..=1_000_000,
            "Wrong secrets for one client from one source before it must wait.",
        ),
        failures_per_source: section.within(
            "failures_per_source",
            FAILURES_PER_SOURCE,
            1..=1_000_000,
            "Wrong secrets from one source, over all clients, before it must wait.",
        ),
        max_wait: section.within(
            "max_wait",
            MAX_WAIT,
            Duration::from_secs(1)..=Duration::from_secs(DAY),
            "The longest that a client or source must wait; the wait starts at a second and doubles.",
        ),
        hashing_threads: section.within(
            "hashing_threads",
            HASHING_THREADS,
            1..=64,
            "How many slow secret comparisons may run at once; each takes 19 MiB.",
        ),
        hashing_queue: section.within(
            "hashing_queue",
            HASHING_QUEUE,
            0..=65_536,
            "How many more may wait for their turn before callers are answered 503.",
        ),
        secret_overlap: section
            .within(
                "secret_overlap",
                SECRET_OVERLAP,
                seconds(0)..=seconds(365 * DAY),
                "How long the old secret keeps working after a rotation, unless the rotation says otherwise.",
            )
            .0,
        bearer_may_ask_about_itself: section.value(
            "bearer_may_ask_about_itself",
            false,
            "Whether an access token may be introspected with nothing but itself as credentials, as Dovecot and \
             mod_auth_openidc can; whoever holds a token then learns all that is known of it.",
        ),
        unknown_tokens_per_second: section.within(
            "unknown_tokens_per_second",
            UNKNOWN_TOKENS_PER_SECOND,
            0..=1_000_000,
            "About how many tokens that are not active one caller may ask, and one source may send as Bearer tokens, ten \
             times as many at once, before the answer to such is 429; 0 for no limit.",
        ),
        trusted_proxies: section.value(
            "trusted_proxies",
            vec![],
            "Addresses, or networks as `10.0.0.0/8`, whose `X-Forwarded-For` is believed.",
        ),
        certificate_proxies: section.value(
            "certificate_proxies",
            vec![],
            "Addresses, or networks, of proxies whose `Client-Cert` and `Client-Cert-Chain` are believed (RFC 9440); they \
             must take away what callers send under these names.",
        ),
        client_ca_file: section.optional(
            "client_ca_file",
            "PEM file of the authorities whose certificates are taken from clients that are registered for \
             `tls_client_auth`.",
        ),
    })
}

// === [http] ===

/// A token is at most a few KiB and a form little more; 64 KiB leaves room for the largest import.
/// A thousand signed tokens of a kilobyte.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
const MAX_BODY_BYTES: usize = 65_536;

/// Twice hyper's floor of 8192: room for gateways that add headers.
const MAX_HEADER_BYTES: usize = 16_384;

/// hyper's own default.
const MAX_HEADERS: usize = 100;

/// Some 20 KiB each: 200 MiB at worst, and far more than gateways with keep-alive open.
const MAX_CONNECTIONS: usize = 10_000;

/// A head is one packet or two; who needs ten seconds is holding the connection, not sending.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for a body of at most 64 KiB.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than the 60 s of common load balancers: the side that reuses a connection must be the one to close it, or it
/// sends a request into a connection that has just been closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Far beyond any store deadline: it ends what hangs, and nothing else.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn http(reader: &mut Reader<'_>) -> HttpConfig {
    let patience = Duration::from_millis(100)..=Duration::from_secs(10 * MINUTE);
    reader.section("http", "What a peer may send, and how long it may take.", |section| HttpConfig {
        max_body_bytes: section.within(
            "max_body_bytes",
            MAX_BODY_BYTES,
            1024..=16_777_216,
            "A longer body is answered 413.",
        ),
        max_batch_bytes: section.within(
            "max_batch_bytes",
            MAX_BATCH_BYTES,
            1024..=16_777_216,
            "A longer body of /introspect/batch is answered 413.",
        ),
        max_header_bytes: section.within(
            "max_header_bytes",
            MAX_HEADER_BYTES,
            8192..=1_048_576,
            "A longer head is answered 431.",
        ),
        max_headers: section.within("max_headers", MAX_HEADERS, 10..=1000, "More header lines are answered 431."),
        max_connections: section.within(
            "max_connections",
            MAX_CONNECTIONS,
            1..=1_000_000,
            "Over both listeners; further ones wait in the kernel's queue.",
        ),
        header_timeout: section.within(
            "header_timeout",
            HEADER_TIMEOUT,
            patience.clone(),
            "From the first byte of a head, or the opening of the connection, to its end.",
        ),
        body_timeout: section.within(
            "body_timeout",
            BODY_TIMEOUT,
            patience.clone(),
            "From the end of the head to the end of the body.",
        ),
        idle_timeout: section.within(
            "idle_timeout",
            IDLE_TIMEOUT,
            Duration::from_secs(1)..=Duration::from_secs(HOUR),
            "Between two requests on one connection; longer than your load balancer's.",
        ),
        request_timeout: section.within(
            "request_timeout",
            REQUEST_TIMEOUT,
            patience,
            "From the end of the body to the answer; beyond it the answer is 503.",
        ),
        threads: section.value(
            "threads",
            ThreadModel::PerCore,
            "`per_core`: each thread has connections of its own, to callers and to Redis. `shared`: any thread works for \
             any connection; better where few connections of HTTP/2 carry everything.",
        ),
    })
}

// === [drain] ===

/// Two rounds of a probe every two seconds, which is what load balancers need to take a node out.
const DRAIN_MIN: Duration = Duration::from_secs(5);

/// The grace period that Kubernetes gives by default.
const DRAIN_MAX: Duration = Duration::from_secs(30);

pub(super) fn drain(reader: &mut Reader<'_>) -> DrainConfig {
    reader.section("drain", "How the service ends on SIGTERM.", |section| {
        let range = Duration::ZERO..=Duration::from_secs(HOUR);
        let min = section.within(
            "min",
            DRAIN_MIN,
            range.clone(),
            "How long it keeps accepting after readiness has turned false, for load balancers to notice.",
        );
        let max = section.within("max", DRAIN_MAX, range, "From the signal to closing whatever is still open.");
        if min > max {
            let at_fault = if section.is_set("min") { "min" } else { "max" };
            section.reject(at_fault, "drain.min must not be longer than drain.max");
        }
        DrainConfig { min, max }
    })
}

// === [reload], [log], [audit] and [metrics] ===

/// Off: who changes files says when they are complete. Where nobody can send a signal, as under Kubernetes, it is set.
const RELOAD_INTERVAL: WholeSeconds = seconds(0);

pub(super) fn reload(reader: &mut Reader<'_>) -> ReloadConfig {
    reader.section("reload", "Settings that are taken over while the service runs, as on SIGHUP.", |section| {
        let WholeSeconds(interval) = section.within(
            "interval",
            RELOAD_INTERVAL,
            seconds(0)..=seconds(HOUR),
            "How often the files of the configuration, and those that it names, are looked at; 0 for only on SIGHUP.",
        );
        ReloadConfig { interval }
    })
}

const LEVEL: &str = "info";

/// Enough to see what is asked for, and too little to be felt.
const ACCESS_RATIO: f64 = 0.01;

pub(super) fn log(reader: &mut Reader<'_>) -> LogConfig {
    reader.section("log", "Log lines, on standard error.", |section| {
        let format = section.value("format", LogFormat::Text, "`text` for people, `json` for collectors.");
        let level: String = section.value(
            "level",
            LEVEL.into(),
            "`off`, `error`, `warn`, `info` or `debug`, or directives as `info,introspectd::store=debug`.",
        );
        if let Err(error) = parse_level(&level) {
            section.reject("level", error.to_string());
        }
        // Errors only: at thousands of requests a second, a line for each costs more than the answer.
        let access = section.value(
            "access",
            AccessLog::Errors,
            "Which requests are logged; `errors` are those answered 5xx, `sampled` those and a share of all others.",
        );
        let access_ratio = section.within(
            "access_ratio",
            ACCESS_RATIO,
            0.0..=1.0,
            "The share of requests that `log.access = \"sampled\"` logs beside those answered 5xx.",
        );
        LogConfig { format, level, access, access_ratio }
    })
}

/// Far more than one machine's operators make in the time that a disk needs to come back, and a few MiB of memory.
const AUDIT_QUEUE: usize = 4096;

/// Off unless it is asked for: it names people and where they were, and who keeps that has to say where, and for how
/// long.
pub(super) fn audit(reader: &mut Reader<'_>) -> AuditConfig {
    reader.section("audit", "Who did what to clients, keys, tokens and users, as JSON lines.", |section| {
        let enabled = section.value("enabled", false, "Whether it is recorded.");
        let path = section.optional(
            "path",
            "The file that lines are added to, opened anew on SIGHUP; without it, standard output.",
        );
        let queue = section.within(
            "queue",
            AUDIT_QUEUE,
            16..=1_000_000,
            "How many lines may wait to be written; what comes when so many wait is lost, and counted.",
        );
        // Lines wait for as long as the queue has room. To stop all work at the first sign of a full disk is for
        // those who are bound to.
        let on_failure = section.value(
            "on_failure",
            AuditFailure::Continue,
            "What becomes of operators' acts while lines cannot be written: `continue`, or `refuse` with 503; what only \
             takes rights away is never refused.",
        );
        AuditConfig { enabled, path, queue, on_failure }
    })
}

/// From 25 microseconds, where an answer from memory lies, to beyond any deadline. Common defaults start at 5 ms and
/// would show nothing.
const LATENCY_BUCKETS_MICROSECONDS: [u64; 16] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
];

/// Each edge is a series per endpoint and per operation of the store.
const MAX_BUCKETS: usize = 64;

pub(super) fn metrics(reader: &mut Reader<'_>) -> MetricsConfig {
    reader.section("metrics", "What Prometheus reads.", |section| {
        let latency_buckets: Vec<Duration> = section.value(
            "latency_buckets",
            LATENCY_BUCKETS_MICROSECONDS.into_iter().map(Duration::from_micros).collect(),
            "Upper edges of the histograms, ascending, at most 64.",
        );
        let ascending = latency_buckets.is_sorted_by(|one, next| one < next);
        let positive = latency_buckets.first().is_some_and(|edge| !edge.is_zero());
        if !ascending || !positive || latency_buckets.len() > MAX_BUCKETS {
            section.reject(
                "latency_buckets",
                format!("must be 1 to {MAX_BUCKETS} durations above zero, each longer than the one before"),
            );
        }
        MetricsConfig { latency_buckets }
    })
}

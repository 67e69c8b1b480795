//! `[tracing]`.

use std::time::Duration;

use super::MINUTE;
use crate::config::reader::Reader;
use crate::config::{Ratio, TracingConfig};
use crate::form;
use crate::telemetry::traces::MOST_SPANS;

/// Where collectors take traces, below their endpoint (OTLP 1, section on HTTP).
const TRACES_PATH: &str = "/v1/traces";

/// One in a hundred: at thousands of requests a second that is plenty to look at, and costs nobody anything.
const SAMPLE_RATIO: Ratio = Ratio(0.01);

/// Some 2 MiB, and four exports: what a collector that restarts misses, it misses.
const QUEUE: usize = 2048;

/// Soon enough to look at while something is tried out.
const INTERVAL: Duration = Duration::from_secs(1);

/// A collector that takes longer for some hundred KiB is not going to catch up.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn tracing(reader: &mut Reader<'_>) -> TracingConfig {
    reader.section("tracing", "Traces for a collector of OpenTelemetry, by OTLP over HTTP. Off without an endpoint.", |section| {
        let endpoint: Option<String> = section.optional(
            "endpoint",
            "Base URL of the collector, as `http://localhost:4318`; `/v1/traces` is added. `OTEL_EXPORTER_OTLP_ENDPOINT` \
             sets it too.",
        );
        let endpoint = endpoint.and_then(|text| {
            let found = collector(&text);
            if found.is_none() {
                section.reject("endpoint", "must be an http or https URL with a host, and without user, query and fragment");
            }
            found
        });
        let ca_file = section.optional(
            "ca_file",
            "PEM file of the authorities that a collector behind https is trusted by; without it, those of the system.",
        );
        let sample_ratio = section.value(
            "sample_ratio",
            SAMPLE_RATIO,
            "The share of requests that is recorded when their callers do not say. `OTEL_TRACES_SAMPLER_ARG` sets it too.",
        );
        let follow_callers = section.value(
            "follow_callers",
            true,
            "Whether a caller's `traceparent` decides whether its request is recorded, and in which trace.",
        );
        let service_name = section.value(
            "service_name",
            env!("CARGO_PKG_NAME").to_owned(),
            "What the service is called in traces. `OTEL_SERVICE_NAME` sets it too.",
        );
        let pairs: Vec<String> = section.value(
            "resource_attributes",
            vec![],
            "What every span is sent with, as `deployment.environment.name=production`; values are percent-encoded. \
             `OTEL_RESOURCE_ATTRIBUTES` sets it too.",
        );
        let attributes: Vec<_> = pairs.iter().filter_map(|pair| attribute(pair)).collect();
        if attributes.len() < pairs.len() {
            section.reject("resource_attributes", "each must be a name, = and a percent-encoded value");
        }
        TracingConfig {
            endpoint,
            ca_file,
            sample_ratio,
            follow_callers,
            service_name,
            resource_attributes: attributes,
            queue: section.within(
                "queue",
                QUEUE,
                MOST_SPANS..=1_000_000,
                "Spans that may wait for being sent, some KiB each at most; further ones are dropped, and counted.",
            ),
            interval: section.within(
                "interval",
                INTERVAL,
                Duration::from_millis(10)..=Duration::from_secs(MINUTE),
                "The longest that a span waits for others to be sent with.",
            ),
            timeout: section.within(
                "timeout",
                TIMEOUT,
                Duration::from_millis(100)..=Duration::from_secs(MINUTE),
                "How long one export may take.",
            ),
        }
    })
}

fn collector(text: &str) -> Option<http::Uri> {
    // The parser of URLs leaves a fragment out silently.
    if text.contains(['?', '#', '@']) {
        return None;
    }
    let endpoint: http::Uri = format!("{}{TRACES_PATH}", text.trim_end_matches('/')).parse().ok()?;
    let known = matches!(endpoint.scheme_str(), Some("http" | "https"));
    let has_port = endpoint.authority().is_some_and(|authority| authority.port_u16() != Some(0));
    (known && has_port && endpoint.host().is_some_and(|host| !host.is_empty())).then_some(endpoint)
}

fn attribute(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    // A plus sign stands for itself; only in forms is it a space.
    let value = value.trim().replace('+', "%2B");
    let value = form::decode(value.as_bytes()).ok()?.into_owned();
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_owned(), value))
}

//! Tests of the list and of the page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;

fn metrics() -> Metrics {
    Metrics::new(&MetricsConfig { latency_buckets: vec![Duration::from_micros(100), Duration::from_millis(1)] })
}

/// The page without what differs between machines and versions.
fn stable(page: &str) -> String {
    let lines = page.lines().filter(|line| !line.split(' ').any(|word| word.starts_with("process_")));
    let text: Vec<&str> = lines.collect();
    text.join("\n").replace(env!("CARGO_PKG_VERSION"), "VERSION") + "\n"
}

#[test]
fn the_page_is_as_recorded() {
    let metrics = metrics();
    metrics.observe_request(Endpoint::Introspect, Outcome::Active, Duration::from_micros(40));
    metrics.observe_request(Endpoint::Introspect, Outcome::Inactive, Duration::from_micros(400));
    metrics.observe_request(Endpoint::Revoke, Outcome::Done, Duration::from_millis(40));
    metrics.inactive.increment(Inactive::Expired);
    metrics.observed(StoreOperation::Token, None, Duration::from_micros(100));
    metrics.observed(StoreOperation::Insert, Some(StoreErrorKind::Refused), Duration::from_secs(2));
    metrics.connections_accepted.set(Protocol::Http2, 3);
    metrics.client_auth.increment((ClientAuthMethod::Basic, ClientAuthResult::Accepted));
    metrics.tokens_issued.increment(TokenKind::Refresh);
    metrics.tokens_revoked.increment(());
    metrics.rate_limited.increment(LimitedBy::Source);
    metrics.store_up.set(true);
    metrics.connections.set(1);
    metrics.requests_in_flight.set(1);
    let page = stable(&metrics.render());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.txt");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == recorded, "the page differs from tests/golden/metrics.txt (UPDATE_DOCS=1 records it):\n{page}");
}

#[test]
fn counts_from_many_threads_add_up() {
    const THREADS: u32 = 8;
    const TIMES: u32 = 100_000;
    let metrics = metrics();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    metrics.observe_request(Endpoint::Introspect, Outcome::Active, Duration::from_micros(3));
                }
            });
        }
        // A reader in between sees a number on the way, and never one that has gone down.
        let mut seen = 0;
        for _ in 0..100 {
            let count = metrics.request_duration.count(Endpoint::Introspect);
            assert!((seen..=u64::from(THREADS * TIMES)).contains(&count));
            seen = count;
        }
    });
    let all = u64::from(THREADS * TIMES);
    assert_eq!(metrics.requests.value((Endpoint::Introspect, Outcome::Active)), all);
    assert_eq!(metrics.request_duration.count(Endpoint::Introspect), all);
    let sum = format!("introspect_request_duration_seconds_sum{{endpoint=\"introspect\"}} {}", 2.4);
    assert!(metrics.render().lines().any(|line| line == sum), "800000 times 3 microseconds");
}

#[test]
fn an_edge_belongs_to_its_own_bucket() {
    for (nanoseconds, counts) in [
        (0, [1, 1, 1]),
        (100_000, [1, 1, 1]),
        (100_001, [0, 1, 1]),
        (1_000_000, [0, 1, 1]),
        (1_000_001, [0, 0, 1]),
        (u64::MAX, [0, 0, 1]),
    ] {
        let metrics = metrics();
        metrics.request_duration.observe(Endpoint::Token, Duration::from_nanos(nanoseconds));
        let page = metrics.render();
        for (edge, count) in ["0.0001", "0.001", "+Inf"].into_iter().zip(counts) {
            let line =
                format!("introspect_request_duration_seconds_bucket{{endpoint=\"token\",le=\"{edge}\"}} {count}\n");
            assert!(page.contains(&line), "{nanoseconds} {line}");
        }
    }
}

#[test]
fn what_others_count_is_shown_as_they_said_it() {
    let metrics = metrics();
    metrics.connections.set(7);
    metrics.connections.set(2);
    metrics.connections_accepted.set(Protocol::Http1, 9);
    let page = metrics.render();
    assert!(page.contains("\nintrospect_http_connections 2\n"));
    assert!(page.contains("\nintrospect_http_connections_accepted_total{protocol=\"h1\"} 9\n"));
}

/// What each line of a page begins with, without the value.
fn series(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

/// Numbers of which every series has counted something.
fn busy() -> Metrics {
    let metrics = metrics();
    for &endpoint in Endpoint::ALL {
        metrics.observe_request(endpoint, Outcome::Done, Duration::ZERO);
    }
    for operation in StoreOperation::ALL {
        metrics.observed(operation, None, Duration::ZERO);
        metrics.observed(operation, Some(StoreErrorKind::Damaged), Duration::ZERO);
    }
    metrics.confirmed(Duration::ZERO);
    metrics
}

#[test]
fn no_series_comes_twice() {
    let page = busy().render();
    let series = series(&page);
    let distinct: BTreeSet<_> = series.iter().collect();
    assert_eq!(distinct.len(), series.len());
}

#[test]
fn the_page_holds_what_the_list_says_and_nothing_else() {
    let page = busy().render();
    let heads: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|rest| rest.split_once(' ').unwrap())
        .collect();
    let listed: Vec<(&str, &str)> = catalogue().map(|family| (family.name, family.kind.as_str())).collect();
    if cfg!(target_os = "linux") {
        assert_eq!(heads, listed);
    }
    // Each family's series are as many as its labels allow, and carry these labels.
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in series(&page) {
        let name = line.split('{').next().unwrap();
        let family = catalogue().find(|family| match family.kind {
            Kind::Histogram => name.strip_prefix(family.name).is_some_and(|rest| rest == "_count"),
            _ => name == family.name,
        });
        let Some(family) = family else {
            assert!(["_bucket", "_sum"].iter().any(|suffix| name.ends_with(suffix)), "{line}");
            continue;
        };
        *counts.entry(family.name).or_default() += 1;
        for (label, _) in family.labels {
            assert!(line.contains(&format!("{label}=\"")), "{line}");
        }
    }
    for family in catalogue().filter(|family| !family.name.starts_with("process_")) {
        let expected: usize = family.labels.iter().map(|(_, values)| values.len()).product();
        assert_eq!(counts.get(family.name), Some(&expected), "{}", family.name);
    }
}

/// <https://prometheus.io/docs/practices/naming/>
#[test]
fn names_follow_the_rules() {
    let mut names = BTreeSet::new();
    for family in catalogue() {
        let name = family.name;
        assert!(names.insert(name), "{name} is listed twice");
        assert!(name.starts_with("introspect_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(
            name.ends_with("_total"),
            family.kind == Kind::Counter,
            "{name}: counters end in _total, and only they"
        );
        assert!(!["_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
        if family.kind == Kind::Histogram {
            assert!(name.ends_with("_seconds"), "{name}: durations are in seconds");
        }
        for foreign in ["_ms", "_milliseconds", "_micros", "_kb", "_minutes"] {
            assert!(!name.contains(foreign), "{name}: base units only");
        }
        for (label, values) in family.labels {
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{label}");
            assert!(
                *label != "le" && !label.starts_with("__") && !name.contains(&format!("_{label}_")),
                "{name} {label}"
            );
            assert!(!values.is_empty() && values.iter().collect::<BTreeSet<_>>().len() == values.len(), "{label}");
        }
    }
}

#[test]
fn every_line_is_well_formed() {
    let page = busy().render();
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
        } else {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

//! Metrics of libraries, which count through the facade crate [`metrics`].
//!
//! Registering takes a lock; the handles that come back do not. What is registered stays for the life of the process,
//! so the number of series is bounded: one more is refused, and the refusal is counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

use super::page::{Kind, Page};
use super::{Metrics, catalogue};

/// The most series, over all libraries: about what the service itself has.
pub const MAX_SERIES: usize = 512;

/// The upper edges of libraries' histograms, in seconds: what they measure is network and disk, so those of Prometheus'
/// own clients will do.
const EDGES: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Hands out handles to libraries. Install it with [`::metrics::set_global_recorder`].
pub struct Recorder {
    metrics: Arc<Metrics>,
}

/// The series of libraries.
#[derive(Default)]
pub(super) struct Foreign(Mutex<BTreeMap<String, ForeignFamily>>);

struct ForeignFamily {
    kind: Option<Kind>,
    help: String,
    series: BTreeMap<Vec<(String, String)>, Series>,
}

#[derive(Clone)]
enum Series {
    Counter(Arc<Count>),
    Gauge(Arc<Reading>),
    Histogram(Arc<Distribution>),
}

impl Recorder {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }

    /// The series for this key, made if need be; `None` when it is refused.
    fn register(&self, key: &Key, kind: Kind) -> Option<Series> {
        let series = self.metrics.foreign.register(key, kind);
        if series.is_none() {
            self.metrics.foreign_series_refused.increment(());
        }
        series
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.metrics.foreign.describe(&key, &description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.metrics.foreign.describe(&key, &description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.metrics.foreign.describe(&key, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.register(key, Kind::Counter) {
            Some(Series::Counter(count)) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.register(key, Kind::Gauge) {
            Some(Series::Gauge(reading)) => Gauge::from_arc(reading),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.register(key, Kind::Histogram) {
            Some(Series::Histogram(distribution)) => Histogram::from_arc(distribution),
            _ => Histogram::noop(),
        }
    }
}

impl Foreign {
    fn register(&self, key: &Key, kind: Kind) -> Option<Series> {
        let name = metric_name(key.name());
        let mut labels: Vec<(String, String)> =
            key.labels().map(|label| (label_name(label.key()), label.value().to_owned())).collect();
        labels.sort();
        labels.dedup_by(|later, earlier| later.0 == earlier.0);
        let reserved = labels.iter().any(|(name, _)| name == "le");
        let mut families = self.families();
        if reserved || is_taken(&families, &name, kind) {
            return None;
        }
        if let Some(known) = families.get(&name).and_then(|family| family.series.get(&labels)) {
            return Some(known.clone());
        }
        if families.values().map(|family| family.series.len()).sum::<usize>() >= MAX_SERIES {
            return None;
        }
        let series = match kind {
            Kind::Counter => Series::Counter(Arc::default()),
            Kind::Gauge => Series::Gauge(Arc::default()),
            Kind::Histogram => Series::Histogram(Arc::default()),
        };
        let family = family(&mut families, name)?;
        family.kind = Some(kind);
        family.series.insert(labels, series.clone());
        Some(series)
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        if let Some(family) = family(&mut self.families(), metric_name(name.as_str())) {
            family.help = help.to_string();
        }
    }

    /// Writes the families that have series.
    pub(super) fn render(&self, page: &mut Page) {
        // Copied first: libraries that register meanwhile need not wait for the text.
        let families: Vec<_> = self
            .families()
            .iter()
            .filter_map(|(name, family)| Some((name.clone(), family.kind?, family.help.clone(), family.series.clone())))
            .filter(|(_, _, _, series)| !series.is_empty())
            .collect();
        for (name, kind, help, series) in families {
            page.head(&name, kind, &help);
            for (labels, series) in series {
                match series {
                    Series::Counter(count) => page.sample(&name, "", &labels, None, count.0.load(Ordering::Relaxed)),
                    Series::Gauge(reading) => page.sample(&name, "", &labels, None, number(reading.value())),
                    Series::Histogram(distribution) => distribution.render(&name, &labels, page),
                }
            }
        }
    }

    /// A panic while the lock was held leaves a map that is still whole.
    fn families(&self) -> MutexGuard<'_, BTreeMap<String, ForeignFamily>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The family of a name, made if need be; `None` when there are too many of them.
fn family(families: &mut BTreeMap<String, ForeignFamily>, name: String) -> Option<&mut ForeignFamily> {
    if families.len() >= MAX_SERIES && !families.contains_key(&name) {
        return None;
    }
    Some(families.entry(name).or_insert_with(|| ForeignFamily {
        kind: None,
        help: String::new(),
        series: BTreeMap::new(),
    }))
}

/// Whether a metric of this name would be mistaken for one of ours, or for another library's of another kind.
fn is_taken(families: &BTreeMap<String, ForeignFamily>, name: &str, kind: Kind) -> bool {
    let own = catalogue().map(|family| (family.name, family.kind));
    let others = families.iter().filter_map(|(name, family)| Some((name.as_str(), family.kind?)));
    let clashes = |(other, other_kind): (&str, Kind)| {
        let samples = sample_names(other, other_kind);
        sample_names(name, kind).iter().any(|sample| samples.contains(sample))
    };
    own.into_iter().any(clashes) || others.filter(|&known| known != (name, kind)).any(clashes)
}

/// The names that a metric's lines begin with.
fn sample_names(name: &str, kind: Kind) -> Vec<String> {
    let suffixes: &[&str] = if kind == Kind::Histogram { &["", "_bucket", "_sum", "_count"] } else { &[""] };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`; anything else becomes an underscore.
fn metric_name(text: &str) -> String {
    clean(text, |character| character.is_ascii_alphanumeric() || character == '_' || character == ':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`; anything else becomes an underscore.
fn label_name(text: &str) -> String {
    clean(text, |character| character.is_ascii_alphanumeric() || character == '_')
}

fn clean(text: &str, allowed: impl Fn(char) -> bool) -> String {
    let mut name: String = text.chars().map(|character| if allowed(character) { character } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    name
}

/// A number as the format writes it.
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

// === the handles ===

#[derive(Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// A float in the bits of an integer.
#[derive(Default)]
struct Reading(AtomicU64);

impl Reading {
    fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn change(&self, amount: f64) {
        let add = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).expect("the closure never declines");
    }
}

impl GaugeFn for Reading {
    fn increment(&self, value: f64) {
        self.change(value);
    }

    fn decrement(&self, value: f64) {
        self.change(-value);
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Distribution {
    buckets: [AtomicU64; EDGES.len() + 1],
    sum: Reading,
}

impl Distribution {
    fn render(&self, name: &str, labels: &[(String, String)], page: &mut Page) {
        let edges: Vec<String> = EDGES.iter().map(f64::to_string).collect();
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        page.histogram(name, labels, &edges, &counts, &number(self.sum.value()));
    }
}

impl HistogramFn for Distribution {
    fn record(&self, value: f64) {
        let bucket = EDGES.partition_point(|&edge| edge < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.change(value);
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Label, Level, Recorder as _};

    use super::*;
    use crate::config::Config;

    static METADATA: Metadata<'_> = Metadata::new("tests", Level::INFO, None);

    fn recorder() -> (Arc<Metrics>, Recorder) {
        let metrics = Arc::new(Metrics::new(&Config::default().metrics));
        let recorder = metrics.recorder();
        (metrics, recorder)
    }

    fn page(metrics: &Metrics) -> String {
        let mut page = Page::default();
        metrics.foreign.render(&mut page);
        page.finish()
    }

    #[test]
    fn what_libraries_count_is_on_the_page() {
        let (metrics, recorder) = recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_counter!("pool.opened", "Connections\nopened.");
            metrics::counter!("pool.opened", "to" => "a\"b").increment(2);
            metrics::counter!("pool.opened", "to" => "a\"b").increment(1);
            metrics::counter!("pool.opened", "to" => "other").absolute(7);
            metrics::gauge!("pool.idle").set(1.5);
            metrics::gauge!("pool.idle").increment(1.0);
            metrics::gauge!("pool.idle").decrement(0.25);
            metrics::histogram!("9wait").record(0.005);
            metrics::histogram!("9wait").record(99.0);
        });
        let page = page(&metrics);
        for line in [
            "# HELP pool_opened Connections\\nopened.",
            "# TYPE pool_opened counter",
            "pool_opened{to=\"a\\\"b\"} 3",
            "pool_opened{to=\"other\"} 7",
            "pool_idle 2.25",
            "# TYPE _9wait histogram",
            "_9wait_bucket{le=\"0.005\"} 1",
            "_9wait_bucket{le=\"10\"} 1",
            "_9wait_bucket{le=\"+Inf\"} 2",
            "_9wait_sum 99.005",
            "_9wait_count 2",
        ] {
            assert!(page.lines().any(|held| held == line), "{line}\n{page}");
        }
        assert!(metrics.render().contains("pool_opened{to=\"other\"} 7"));
    }

    #[test]
    fn the_number_of_series_is_bounded_and_refusals_are_counted() {
        let (metrics, recorder) = recorder();
        for number in 0..MAX_SERIES + 3 {
            let key = Key::from_parts("many", vec![Label::new("number", number.to_string())]);
            recorder.register_counter(&key, &METADATA).increment(1);
        }
        for number in 0..2 * MAX_SERIES {
            recorder.describe_counter(format!("described_{number}").into(), None, "Never counted.".into());
        }
        assert_eq!(page(&metrics).lines().filter(|line| line.starts_with("many{")).count(), MAX_SERIES);
        assert_eq!(metrics.foreign_series_refused.value(()), 3);
        assert!(metrics.foreign.families().len() <= MAX_SERIES);
        let known = Key::from_parts("many", vec![Label::new("number", "0")]);
        recorder.register_counter(&known, &METADATA).increment(1);
        assert!(page(&metrics).contains("many{number=\"0\"} 2\n"), "what is registered stays reachable");
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let (metrics, recorder) = recorder();
        recorder.register_histogram(&Key::from_name("wait"), &METADATA).record(1.0);
        for taken in ["introspect_requests_total", "introspect_request_duration_seconds_sum", "wait", "wait_count"] {
            recorder.register_counter(&Key::from_name(taken), &METADATA).increment(1);
        }
        let key = Key::from_parts("other_wait", vec![Label::new("le", "1")]);
        recorder.register_histogram(&key, &METADATA).record(1.0);
        assert_eq!(metrics.foreign_series_refused.value(()), 5);
        let page = page(&metrics);
        assert_eq!(page.lines().filter(|line| line.starts_with("# TYPE")).count(), 1, "{page}");
    }
}

//! What can be counted and how: counters, gauges, histograms. Each is an index into [`Cells`], so using one costs an
//! add.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::cells::Cells;
use super::label::Labels;
use super::page::{Kind, Page};

/// What the list of metrics needs to know of an instrument.
pub(super) trait Instrument {
    const KIND: Kind;
    const LABELS: &'static [(&'static str, &'static [&'static str])];

    /// How many cells it takes.
    fn cells(edges: &[Duration]) -> usize;

    /// The instrument over the cells that begin at `first`.
    fn over(cells: &Arc<Cells>, first: usize, edges: &Arc<[u64]>) -> Self;

    /// Writes its series.
    fn render(&self, name: &str, page: &mut Page);
}

/// Counts up.
pub struct Counter<L> {
    cells: Arc<Cells>,
    first: usize,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Counter<L> {
    /// Counts one.
    #[inline]
    pub fn increment(&self, labels: L) {
        self.add(labels, 1);
    }

    /// Counts several.
    #[inline]
    pub fn add(&self, labels: L, amount: u64) {
        self.cells.add(self.first + labels.position(), amount);
    }

    /// The count so far, over all threads.
    pub fn value(&self, labels: L) -> u64 {
        self.cells.sum(self.first + labels.position())
    }
}

impl<L: Labels> Instrument for Counter<L> {
    const KIND: Kind = Kind::Counter;
    const LABELS: &'static [(&'static str, &'static [&'static str])] = L::LABELS;

    fn cells(_: &[Duration]) -> usize {
        L::SERIES
    }

    fn over(cells: &Arc<Cells>, first: usize, _: &Arc<[u64]>) -> Self {
        Self { cells: Arc::clone(cells), first, labels: PhantomData }
    }

    /// Every series, those at zero too: a rate over a series that appears with its first event misses that event.
    fn render(&self, name: &str, page: &mut Page) {
        for position in 0..L::SERIES {
            page.sample(name, "", &pairs::<L>(position), None, self.cells.sum(self.first + position));
        }
    }
}

/// What is there at the moment, as somebody else counts it and says when asked.
#[derive(Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// Says how many there are.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// How many there were when it was last said.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Instrument for Figure {
    const KIND: Kind = Kind::Gauge;
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[];

    fn cells(_: &[Duration]) -> usize {
        0
    }

    fn over(_: &Arc<Cells>, _: usize, _: &Arc<[u64]>) -> Self {
        Self::default()
    }

    fn render(&self, name: &str, page: &mut Page) {
        page.plain(name, self.value());
    }
}

/// A number for each label, that somebody says.
pub struct Figures<L> {
    values: Box<[AtomicU64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Figures<L> {
    /// Says how many there are.
    pub fn set(&self, labels: L, value: u64) {
        self.values[labels.position()].store(value, Ordering::Relaxed);
    }
}

impl<L: Labels> Instrument for Figures<L> {
    const KIND: Kind = Kind::Gauge;
    const LABELS: &'static [(&'static str, &'static [&'static str])] = L::LABELS;

    fn cells(_: &[Duration]) -> usize {
        0
    }

    fn over(_: &Arc<Cells>, _: usize, _: &Arc<[u64]>) -> Self {
        Self { values: (0..L::SERIES).map(|_| AtomicU64::new(0)).collect(), labels: PhantomData }
    }

    fn render(&self, name: &str, page: &mut Page) {
        for (position, value) in self.values.iter().enumerate() {
            page.sample(name, "", &pairs::<L>(position), None, value.load(Ordering::Relaxed));
        }
    }
}

/// A count that somebody else keeps and says when asked.
pub struct Mirror<L> {
    counts: Box<[AtomicU64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Mirror<L> {
    /// Says how high the count is.
    pub fn set(&self, labels: L, count: u64) {
        self.counts[labels.position()].store(count, Ordering::Relaxed);
    }
}

impl<L: Labels> Instrument for Mirror<L> {
    const KIND: Kind = Kind::Counter;
    const LABELS: &'static [(&'static str, &'static [&'static str])] = L::LABELS;

    fn cells(_: &[Duration]) -> usize {
        0
    }

    fn over(_: &Arc<Cells>, _: usize, _: &Arc<[u64]>) -> Self {
        Self { counts: (0..L::SERIES).map(|_| AtomicU64::new(0)).collect(), labels: PhantomData }
    }

    fn render(&self, name: &str, page: &mut Page) {
        for (position, count) in self.counts.iter().enumerate() {
            page.sample(name, "", &pairs::<L>(position), None, count.load(Ordering::Relaxed));
        }
    }
}

/// A span of time at the moment, in seconds, as somebody else measures it and says when asked.
#[derive(Default)]
pub struct Span(AtomicU64);

impl Span {
    /// Says how long it is.
    pub fn set(&self, value: Duration) {
        self.0.store(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Instrument for Span {
    const KIND: Kind = Kind::Gauge;
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[];

    fn cells(_: &[Duration]) -> usize {
        0
    }

    fn over(_: &Arc<Cells>, _: usize, _: &Arc<[u64]>) -> Self {
        Self::default()
    }

    fn render(&self, name: &str, page: &mut Page) {
        page.plain(name, Duration::from_nanos(self.0.load(Ordering::Relaxed)).as_secs_f64());
    }
}

/// Something that is so or is not: 1 or 0.
#[derive(Default)]
pub struct Switch(AtomicU64);

impl Switch {
    /// Says whether it is so.
    pub fn set(&self, on: bool) {
        self.0.store(u64::from(on), Ordering::Relaxed);
    }

    /// Whether it is so.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 1
    }
}

impl Instrument for Switch {
    const KIND: Kind = Kind::Gauge;
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[];

    fn cells(_: &[Duration]) -> usize {
        0
    }

    fn over(_: &Arc<Cells>, _: usize, _: &Arc<[u64]>) -> Self {
        Self::default()
    }

    fn render(&self, name: &str, page: &mut Page) {
        page.plain(name, u64::from(self.is_on()));
    }
}

/// How long things took, in fixed buckets.
pub struct Histogram<L> {
    cells: Arc<Cells>,
    first: usize,
    /// Upper edges in nanoseconds, ascending.
    edges: Arc<[u64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Histogram<L> {
    /// Counts one duration.
    #[inline]
    pub fn observe(&self, labels: L, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // An edge belongs to its own bucket: `le` is "less or equal".
        let bucket = self.edges.partition_point(|&edge| edge < nanoseconds);
        let series = self.series(labels.position());
        self.cells.add(series + bucket, 1);
        self.cells.add(series + self.edges.len() + 1, nanoseconds);
    }

    /// How many durations were counted, over all threads.
    pub fn count(&self, labels: L) -> u64 {
        let series = self.series(labels.position());
        (series..=series + self.edges.len()).map(|cell| self.cells.sum(cell)).sum()
    }

    /// The first cell of a series: one per edge, one for what is beyond the last edge, and one for the sum.
    #[inline]
    fn series(&self, position: usize) -> usize {
        self.first + position * (self.edges.len() + 2)
    }
}

impl<L: Labels> Instrument for Histogram<L> {
    const KIND: Kind = Kind::Histogram;
    const LABELS: &'static [(&'static str, &'static [&'static str])] = L::LABELS;

    fn cells(edges: &[Duration]) -> usize {
        L::SERIES * (edges.len() + 2)
    }

    fn over(cells: &Arc<Cells>, first: usize, edges: &Arc<[u64]>) -> Self {
        Self { cells: Arc::clone(cells), first, edges: Arc::clone(edges), labels: PhantomData }
    }

    /// The series that have counted something: each is a page of buckets, and most labels never occur.
    fn render(&self, name: &str, page: &mut Page) {
        for position in 0..L::SERIES {
            let series = self.series(position);
            let counts: Vec<u64> = (series..=series + self.edges.len()).map(|cell| self.cells.sum(cell)).collect();
            if counts.iter().any(|&count| count > 0) {
                let edges: Vec<String> = self.edges.iter().map(|&edge| seconds(edge)).collect();
                let sum = seconds(self.cells.sum(series + self.edges.len() + 1));
                page.histogram(name, &pairs::<L>(position), &edges, &counts, &sum);
            }
        }
    }
}

/// Nanoseconds as a decimal number of seconds, exactly: no float rounds an edge into another one.
fn seconds(nanoseconds: u64) -> String {
    let (whole, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The labels of the series at a position, as name and value.
fn pairs<L: Labels>(position: usize) -> Vec<(&'static str, &'static str)> {
    let mut rest = position;
    let mut pairs: Vec<_> = L::LABELS
        .iter()
        .rev()
        .map(|&(name, values)| {
            let value = values[rest % values.len()];
            rest /= values.len();
            (name, value)
        })
        .collect();
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use super::super::label::{Endpoint, Label, Outcome};
    use super::*;

    #[test]
    fn seconds_are_exact() {
        assert_eq!(seconds(25_000), "0.000025");
        assert_eq!(seconds(2_500_000_000), "2.5");
        assert_eq!(seconds(10_000_000_000), "10");
        assert_eq!(seconds(0), "0");
        assert_eq!(seconds(1), "0.000000001");
    }

    #[test]
    fn a_position_names_its_labels() {
        for &endpoint in Endpoint::ALL {
            for &outcome in Outcome::ALL {
                let labels = (endpoint, outcome);
                let pairs = pairs::<(Endpoint, Outcome)>(Labels::position(labels));
                assert_eq!(pairs[0].0, "endpoint");
                assert_eq!(pairs[1].0, "outcome");
                assert_eq!(pairs[0].1, Endpoint::VALUES[Label::position(endpoint)]);
                assert_eq!(pairs[1].1, Outcome::VALUES[Label::position(outcome)]);
            }
        }
    }
}

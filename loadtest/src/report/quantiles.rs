//! Times in figures.

use serde::Serialize;

use crate::number::microseconds;
use crate::record::times::Times;

/// Some quantiles, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// Those of a histogram.
    pub(crate) fn of(times: &Times) -> Self {
        let at = |share| microseconds(times.quantile(share));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: microseconds(times.max()) }
    }

    /// One line of text.
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { p50, p90, p99, p999, max } = self;
        format!("{name:<9} p50 {p50:.0} us, p90 {p90:.0} us, p99 {p99:.0} us, p99.9 {p999:.0} us, max {max:.0} us")
    }
}

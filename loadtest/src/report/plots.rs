//! What plots and files are made from histograms and windows.

use super::single::WindowReport;
use super::svg::{Plot, Scale, Series};
use crate::number::fraction;
use crate::record::blob;
use crate::record::times::Times;

/// The two formats of each histogram.
pub(crate) fn histograms(named: &[(&str, &Times)]) -> Vec<(String, String)> {
    let both = |(name, times): &(&str, &Times)| {
        [(format!("{name}.hgrm"), blob::hgrm(times)), (format!("{name}.v2.base64"), blob::v2(times) + "\n")]
    };
    named.iter().flat_map(both).collect()
}

/// Latency by percentile; each halving of the distance to 100 per cent takes the same room.
pub(crate) fn spectrum(named: &[(&str, &Times)]) -> Plot {
    let series = |(name, times): &(&str, &Times)| {
        let steps = times.histogram().iter_quantiles(10);
        let points = steps.map(|step| (step.quantile_iterated_to(), fraction(step.value_iterated_to()) / 1e6));
        let points =
            points.filter(|(share, _)| *share < 1.0).map(|(share, value)| (1.0 / (1.0 - share), value)).collect();
        Series { name: (*name).to_owned(), points, dots: false }
    };
    Plot {
        title: "Percentile spectrum",
        x: Scale::percentiles(),
        y: Scale::logarithmic("milliseconds"),
        series: named.iter().map(series).collect(),
        marks: Vec::new(),
    }
}

/// p50, p99 and the longest of each window.
pub(crate) fn over_time(windows: &[WindowReport]) -> Plot {
    let series = |name: &str, of: fn(&WindowReport) -> f64| Series {
        name: name.to_owned(),
        points: windows
            .iter()
            .filter(|window| window.requests > 0)
            .map(|one| (one.start_seconds, of(one) / 1e3))
            .collect(),
        dots: false,
    };
    Plot {
        title: "Latency over time",
        x: Scale::linear("seconds since measuring began"),
        y: Scale::logarithmic("milliseconds"),
        series: vec![series("p50", |one| one.p50_us), series("p99", |one| one.p99_us), series("max", |one| one.max_us)],
        marks: Vec::new(),
    }
}

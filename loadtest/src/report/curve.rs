//! Several runs at rising rates: the latency-throughput curve.

use std::time::Duration;

use serde_json::{Value, json};

use super::html;
use super::plots::{histograms, spectrum};
use super::svg::{Plot, Scale, Series};
use super::{Report, Told};
use crate::number::microseconds;
use crate::record::Record;
use crate::run::search::{Found, Goal};
use crate::run::sweep::{Step, knee};

/// A sweep.
#[derive(Debug)]
pub(crate) struct CurveReport<'a> {
    steps: &'a [Step],
    bound: Option<Duration>,
    knee: Option<usize>,
}

/// A search.
#[derive(Debug)]
pub(crate) struct SearchReport<'a> {
    curve: CurveReport<'a>,
    found: &'a Found,
    goal: &'a Goal,
}

impl<'a> CurveReport<'a> {
    /// The curve of these steps; with a bound, also where it is crossed.
    pub(crate) fn new(steps: &'a [Step], bound: Option<Duration>) -> Self {
        // Beyond the highest throughput there is queueing, and no curve.
        let kept: Vec<(f64, f64)> = steps.iter().filter(|step| step.keeps_up()).map(point).collect();
        let bend = knee(&kept).map(|place| kept[place].0);
        let knee = bend
            .and_then(|bend| steps.iter().position(|step| step.keeps_up() && point(step).0.total_cmp(&bend).is_eq()));
        Self { steps, bound, knee }
    }

    /// The last step up to which all kept up and stayed within the bound.
    fn last_within(&self) -> Option<usize> {
        let bound = self.bound?;
        self.steps.iter().take_while(|step| step.keeps_up() && step.p99() <= bound).count().checked_sub(1)
    }

    fn points(&self) -> Vec<Value> {
        let point = |step: &Step| Report::new("point", &step.plan, copy(&step.record)).json();
        self.steps.iter().map(point).collect()
    }

    fn rate_of(&self, place: Option<usize>) -> Option<f64> {
        place.map(|place| self.steps[place].rate())
    }

    fn rows(&self) -> Vec<String> {
        let head = "      rate  answered/s       p50 us       p99 us     p99.9 us".to_owned();
        std::iter::once(head).chain(self.steps.iter().enumerate().map(|(place, step)| self.row(place, step))).collect()
    }

    fn row(&self, place: usize, step: &Step) -> String {
        let at = |share| microseconds(step.record.latency.quantile(share));
        let limited = Report::new("point", &step.plan, copy(&step.record)).is_limited();
        let notes = [
            (!step.keeps_up(), "  does not keep up"),
            (limited, "  generator-limited"),
            (self.knee == Some(place), "  knee"),
        ];
        let notes: String = notes.into_iter().filter_map(|(holds, note)| holds.then_some(note)).collect();
        let (rate, throughput, p50, p99, p999) = (step.rate(), step.throughput(), at(0.5), at(0.99), at(0.999));
        format!("{rate:>10.0}  {throughput:>10.0}  {p50:>11.0}  {p99:>11.0}  {p999:>11.0}{notes}")
    }

    fn plot(&self) -> Plot {
        // A search does not go straight up.
        let mut steps: Vec<&Step> = self.steps.iter().collect();
        steps.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
        let series = |name: &str, share: f64| Series {
            name: name.to_owned(),
            points: steps
                .iter()
                .map(|step| (step.throughput(), step.record.latency.quantile(share).as_secs_f64() * 1e3))
                .collect(),
            dots: true,
        };
        let marks = self.knee.map(|place| (point(&self.steps[place]), "knee".to_owned()));
        Plot {
            title: "Latency and throughput",
            x: Scale::linear("answers a second"),
            y: Scale::logarithmic("milliseconds"),
            series: vec![series("p50", 0.5), series("p99", 0.99), series("p99.9", 0.999)],
            marks: marks.into_iter().map(|((x, y), text)| ((x, y / 1e3), text)).collect(),
        }
    }
}

/// Throughput, and p99 in microseconds.
fn point(step: &Step) -> (f64, f64) {
    (step.throughput(), microseconds(step.p99()))
}

fn copy(record: &Record) -> Record {
    let mut copy = Record::new(record.windows.length());
    copy.merge(record);
    copy.changes = record.changes;
    copy
}

impl Told for CurveReport<'_> {
    fn text(&self) -> String {
        let mut lines = self.rows();
        lines.push(match self.rate_of(self.knee) {
            Some(rate) => format!("knee      {rate:.0} requests/s"),
            None => "knee      none in this range".to_owned(),
        });
        if let Some(bound) = self.bound {
            let bound = microseconds(bound);
            lines.push(match self.rate_of(self.last_within()) {
                Some(rate) => format!("bound     p99 within {bound:.0} us up to {rate:.0} requests/s"),
                None => format!("bound     p99 within {bound:.0} us at none of these rates"),
            });
        }
        lines.join("\n") + "\n"
    }

    fn json(&self) -> Value {
        json!({
            "tool": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "kind": "sweep",
            "points": self.points(), "knee_rate": self.rate_of(self.knee),
            "bound_us": self.bound.map(microseconds), "rate_within_bound": self.rate_of(self.last_within()),
            "valid": self.complaints().is_empty(),
        })
    }

    fn page(&self) -> String {
        let named: Vec<(String, &Step)> =
            self.steps.iter().map(|step| (format!("{:.0}/s", step.rate()), step)).collect();
        let times: Vec<_> = named.iter().map(|(name, step)| (name.as_str(), &step.record.latency)).collect();
        let warnings: String = self.complaints().iter().map(|complaint| html::warning(complaint)).collect();
        warnings + &html::preformatted(&self.text()) + &self.plot().render() + &spectrum(&times).render()
    }

    /// A rate that the server could not keep up with is a finding, not a fault.
    fn complaints(&self) -> Vec<String> {
        let lies = self.steps.iter().filter_map(|step| {
            let first = step.record.first_wrong? + 1;
            Some(format!(
                "wrong answers: {} at {:.0} requests/s (the first for token {first})",
                step.record.wrong,
                step.rate()
            ))
        });
        let mut complaints: Vec<String> = lies.collect();
        if self.steps.iter().all(|step| step.record.right == 0) {
            complaints.push("there was no right answer at all".to_owned());
        }
        complaints
    }

    fn histograms(&self) -> Vec<(String, String)> {
        let of = |step: &Step| histograms(&[(&format!("latency-{:.0}", step.rate()), &step.record.latency)]);
        self.steps.iter().filter(|step| step.record.wrong == 0).flat_map(of).collect()
    }
}

impl<'a> SearchReport<'a> {
    /// What was found, and on the way to what.
    pub(crate) fn new(found: &'a Found, goal: &'a Goal) -> Self {
        Self { curve: CurveReport { steps: &found.steps, bound: None, knee: None }, found, goal }
    }

    fn best(&self) -> Option<f64> {
        self.curve.rate_of(self.found.best)
    }

    /// Whether the generator lagged at the next higher rate, where the promise was broken: the limit may be its own.
    fn is_limited(&self) -> bool {
        let best = self.best().unwrap_or_default();
        let above = self.found.steps.iter().filter(|step| step.rate() > best);
        let next = above.min_by(|one, other| one.rate().total_cmp(&other.rate()));
        next.is_some_and(|step| Report::new("point", &step.plan, copy(&step.record)).is_limited())
    }
}

impl Told for SearchReport<'_> {
    fn text(&self) -> String {
        let bound = microseconds(self.goal.bound);
        let found = match self.best() {
            Some(rate) => format!("found     p99 within {bound:.0} us up to {rate:.0} requests/s"),
            None => format!("found     p99 within {bound:.0} us not even at {:.0} requests/s", self.goal.from),
        };
        let mut lines = self.curve.rows();
        lines.push(found);
        if self.is_limited() {
            lines.push(
                "generator-limited: it lagged where the promise was broken, so the limit may be its own".to_owned(),
            );
        }
        lines.join("\n") + "\n"
    }

    fn json(&self) -> Value {
        json!({
            "tool": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "kind": "search",
            "points": self.curve.points(), "bound_us": microseconds(self.goal.bound),
            "rate_within_bound": self.best(), "precision": self.goal.precision,
            "limited": self.is_limited(),
            "valid": self.complaints().is_empty(),
        })
    }

    fn page(&self) -> String {
        let warnings: String = self.complaints().iter().map(|complaint| html::warning(complaint)).collect();
        warnings + &html::preformatted(&self.text()) + &self.curve.plot().render()
    }

    fn complaints(&self) -> Vec<String> {
        self.curve.complaints()
    }

    fn histograms(&self) -> Vec<(String, String)> {
        self.curve.histograms()
    }
}

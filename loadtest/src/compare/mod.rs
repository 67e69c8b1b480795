//! Whether B is better or worse than A, and how sure that is.
//!
//! - [`sources`] files of results, or runs by turns
//! - [`statistics`] medians, the bootstrap, the rank test

pub(crate) mod sources;
pub(crate) mod statistics;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use crate::arguments::Failure;
use crate::arguments::load::Format;
use crate::arguments::value::share;
use sources::Side;
use statistics::{bootstrap, difference, mann_whitney, median};

/// Whether B is better or worse than A.
#[derive(Debug, Args)]
pub(crate) struct CompareCommand {
    /// What there was: a result.json, a folder of them, `@file` with arguments of `run`, or a URL.
    a: String,
    /// What there is instead.
    b: String,
    /// Arguments of `run` for both sides, behind `--`.
    #[arg(last = true)]
    shared: Vec<String>,
    /// The figure that is compared.
    #[arg(long, value_enum, default_value = "p50")]
    metric: Metric,
    /// How many runs of each side.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=1000))]
    rounds: u16,
    /// Smaller differences are of no interest.
    #[arg(long, default_value = "3%", value_parser = share)]
    minimum_effect: f64,
    /// How likely a difference may be said to be that there is none.
    #[arg(long, default_value = "5%", value_parser = share)]
    significance: f64,
    /// How to tell.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// Answers a second.
    Throughput,
    /// Latency from the intended start.
    P50,
    /// The same, and so on.
    P90,
    /// One in a hundred is slower.
    P99,
    /// One in a thousand is slower.
    #[value(name = "p99.9")]
    #[serde(rename = "p99.9")]
    P999,
    /// The slowest.
    Max,
    /// Processor time of the generator for each request.
    Processor,
}

impl Metric {
    /// Where a result has it (RFC 6901).
    pub(crate) fn pointer(self) -> &'static str {
        match self {
            Self::Throughput => "/figures/requests_per_second",
            Self::P50 => "/figures/latency_us/p50",
            Self::P90 => "/figures/latency_us/p90",
            Self::P99 => "/figures/latency_us/p99",
            Self::P999 => "/figures/latency_us/p99.9",
            Self::Max => "/figures/latency_us/max",
            Self::Processor => "/generator/processor_us_per_request",
        }
    }
}

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// B is better, surely and by enough.
    Improved,
    /// B is worse, surely and by enough.
    Regressed,
    /// Whatever difference there may be is too small to be of interest.
    Unchanged,
    /// More runs are needed.
    Unclear,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
struct Finding {
    medians: (f64, f64),
    difference: f64,
    interval: (f64, f64),
    p_value: f64,
    u: f64,
    verdict: Verdict,
}

impl CompareCommand {
    /// Compares, and says it with the exit code, too: 0 for improved and unchanged, 1 for regressed, 3 for unclear.
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        let (a, b) = match (Side::read(&self.a, &self.shared)?, Side::read(&self.b, &self.shared)?) {
            (Side::Results(a), Side::Results(b)) => (a, b),
            (Side::Profile(a), Side::Profile(b)) => {
                sources::run_by_turns(&a, &b, self.rounds, std::io::stderr().is_terminal())?
            }
            _ => return Err(Failure::Usage("A and B must both be results, or both be runs".to_owned())),
        };
        let (a, b) = (sources::figures(&a, self.metric, "A")?, sources::figures(&b, self.metric, "B")?);
        if a.len() < 2 || b.len() < 2 {
            return Err(Failure::Usage("each side needs two results at least; five say something".to_owned()));
        }
        let finding = self.judge(&a, &b);
        self.tell(&finding, &a, &b);
        Ok(match finding.verdict {
            Verdict::Improved | Verdict::Unchanged => ExitCode::SUCCESS,
            Verdict::Regressed => ExitCode::FAILURE,
            Verdict::Unclear => ExitCode::from(3),
        })
    }

    fn judge(&self, a: &[f64], b: &[f64]) -> Finding {
        let medians = (median(a), median(b));
        let difference = difference(medians.0, medians.1);
        let interval = bootstrap(a, b, 0);
        let test = mann_whitney(a, b);
        let sure = test.p_value <= self.significance && (interval.0 > 0.0 || interval.1 < 0.0);
        let small = interval.0 >= -self.minimum_effect && interval.1 <= self.minimum_effect;
        let verdict = if sure && difference.abs() >= self.minimum_effect {
            if (difference > 0.0) == (self.metric == Metric::Throughput) {
                Verdict::Improved
            } else {
                Verdict::Regressed
            }
        } else if small {
            Verdict::Unchanged
        } else {
            Verdict::Unclear
        };
        Finding { medians, difference, interval, p_value: test.p_value, u: test.u, verdict }
    }

    fn tell(&self, finding: &Finding, a: &[f64], b: &[f64]) {
        let Finding { medians, difference, interval, p_value, u, verdict } = finding;
        let name = self.metric.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        if self.format == Format::Json {
            let told = json!({
                "tool": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "kind": "comparison",
                "metric": self.metric, "a": a, "b": b, "median_a": medians.0, "median_b": medians.1,
                "difference": difference, "interval": [interval.0, interval.1], "p_value": p_value, "u": u,
                "minimum_effect": self.minimum_effect, "verdict": verdict,
            });
            println!("{told}");
            return;
        }
        let percent = |share: f64| format!("{:+.2} %", share * 100.0);
        println!("{name}: A {:.1} ({} runs), B {:.1} ({} runs)", medians.0, a.len(), medians.1, b.len());
        println!(
            "difference of medians {}, 95 % between {} and {}; Mann-Whitney U = {u}, p = {p_value:.4}",
            percent(*difference),
            percent(interval.0),
            percent(interval.1)
        );
        println!(
            "{} (differences below {:.1} % are of no interest)",
            format!("{verdict:?}").to_lowercase(),
            self.minimum_effect * 100.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(metric: Metric, a: &[f64], b: &[f64]) -> Verdict {
        let command = CompareCommand {
            a: String::new(),
            b: String::new(),
            shared: Vec::new(),
            metric,
            rounds: 10,
            minimum_effect: 0.03,
            significance: 0.05,
            format: Format::Text,
        };
        command.judge(a, b).verdict
    }

    fn around(middle: f64, spread: f64) -> Vec<f64> {
        (-5..=5).map(|step| middle * (1.0 + spread * f64::from(step) / 5.0)).collect()
    }

    #[test]
    fn verdicts_need_certainty_and_size() {
        let base = around(100.0, 0.01);
        assert_eq!(verdict(Metric::P99, &base, &around(120.0, 0.01)), Verdict::Regressed);
        assert_eq!(verdict(Metric::P99, &base, &around(80.0, 0.01)), Verdict::Improved);
        assert_eq!(verdict(Metric::Throughput, &base, &around(120.0, 0.01)), Verdict::Improved);
        assert_eq!(verdict(Metric::Throughput, &base, &around(80.0, 0.01)), Verdict::Regressed);
        assert_eq!(verdict(Metric::P99, &base, &base), Verdict::Unchanged);
        assert_eq!(verdict(Metric::P99, &base, &around(101.5, 0.01)), Verdict::Unchanged);
        assert_eq!(verdict(Metric::P99, &around(100.0, 0.5), &around(108.0, 0.5)), Verdict::Unclear);
        assert_eq!(verdict(Metric::P99, &[100.0, 101.0], &[150.0, 151.0]), Verdict::Unclear);
    }
}

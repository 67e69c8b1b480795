//! How it is told what was seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::plan::{Format, Mode, Plan};
use crate::record::{Record, Times};

/// What was seen, ready to be told. All times are in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    connections: u16,
    threads: u16,
    warmup_seconds: f64,
    duration_seconds: f64,
    questions: usize,
    answers: Answers,
    /// Whether every request was answered rightly. If not, the figures are of something that did not work.
    valid: bool,
    /// Left out when an answer was wrong: the speed of wrong answers is of no interest.
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
    generator: Generator,
}

/// Counts over the whole run, the warm-up included.
#[derive(Debug, Serialize)]
struct Answers {
    right: u64,
    wrong: u64,
    refused: BTreeMap<u16, u64>,
    broken: u64,
    late: u64,
    unsent: u64,
    reconnects: u64,
    #[serde(skip)]
    first_wrong: Option<usize>,
    #[serde(skip)]
    failed: u64,
}

/// What was measured, without the warm-up.
#[derive(Debug, Serialize)]
struct Figures {
    requests: u64,
    requests_per_second: f64,
    /// From the intended start; in the closed mode, from the start.
    latency_us: Quantiles,
    /// From the actual start.
    service_us: Quantiles,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
    max: f64,
}

/// How well the generator itself did.
#[derive(Debug, Serialize)]
struct Generator {
    start_lag_us: Quantiles,
    loop_lag_us: Quantiles,
    bound_us: f64,
    limited: bool,
}

impl Report {
    /// Puts what was seen into words and figures.
    pub(crate) fn new(plan: &Plan, record: &Record) -> Self {
        let limited = [&record.start_lag, &record.loop_lag].into_iter().any(|lag| lag.quantile(0.99) > plan.lag_bound);
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let figures = Figures {
            requests: record.latency.len(),
            requests_per_second: record.completed as f64 / plan.duration.as_secs_f64(),
            latency_us: Quantiles::of(&record.latency),
            service_us: Quantiles::of(&record.service),
        };
        Self {
            mode: plan.mode(),
            rate: plan.rate,
            connections: plan.connections,
            threads: plan.threads,
            warmup_seconds: plan.warmup.as_secs_f64(),
            duration_seconds: plan.duration.as_secs_f64(),
            questions: plan.questions.len(),
            answers: Answers {
                right: record.right,
                wrong: record.wrong,
                refused: record.refused.clone(),
                broken: record.broken,
                late: record.late,
                unsent: record.unsent,
                reconnects: record.reconnects,
                first_wrong: record.first_wrong,
                failed: record.failed(),
            },
            valid: record.right > 0 && record.wrong == 0 && record.failed() == 0 && record.unsent == 0,
            figures: (record.wrong == 0).then_some(figures),
            generator: Generator {
                start_lag_us: Quantiles::of(&record.start_lag),
                loop_lag_us: Quantiles::of(&record.loop_lag),
                bound_us: microseconds(plan.lag_bound),
                limited,
            },
        }
    }

    /// Why the run is not a success; empty when it is one.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let answers = &self.answers;
        let mut complaints = Vec::new();
        if answers.wrong > 0 {
            // The line is a position among the tokens, so that the token itself is not printed.
            let first = answers.first_wrong.map_or(0, |question| question + 1);
            complaints.push(format!("wrong answers: {} (the first for token {first})", answers.wrong));
        }
        if answers.failed > 0 {
            complaints.push(format!("failed requests: {}", answers.failed));
        }
        if answers.unsent > 0 {
            complaints.push(format!("requests that were never sent, as no connection was free: {}", answers.unsent));
        }
        if answers.right == 0 {
            complaints.push("there was no right answer at all".to_owned());
        }
        complaints
    }

    /// The text of the report.
    pub(crate) fn render(&self, format: Format) -> String {
        match format {
            Format::Json => {
                let mut text = serde_json::to_string(self).expect("a report has only text keys");
                text.push('\n');
                text
            }
            Format::Text => self.text(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let asked = match self.rate {
            Some(rate) => format!("open loop, {rate} requests/s, latency from the intended start"),
            None => "closed loop: latency is what callers see who wait for each other".to_owned(),
        };
        line(format!("{asked}; {} connections, {} threads, {} tokens", self.connections, self.threads, self.questions));
        let answers = &self.answers;
        let mut refused = String::new();
        for (status, count) in &answers.refused {
            let _ = write!(refused, ", {count} of status {status}");
        }
        line(format!(
            "answers   {} right, {} wrong{refused}, {} broken, {} late, {} never sent, {} reconnects",
            answers.right, answers.wrong, answers.broken, answers.late, answers.unsent, answers.reconnects
        ));
        if let Some(figures) = &self.figures {
            line(format!(
                "measured  {} requests in {} s after {} s of warm-up: {:.0} requests/s",
                figures.requests, self.duration_seconds, self.warmup_seconds, figures.requests_per_second
            ));
            line(figures.latency_us.line("latency"));
            line(figures.service_us.line("service"));
        }
        line(self.generator.start_lag_us.line("start lag"));
        line(self.generator.loop_lag_us.line("loop lag"));
        if self.generator.limited {
            line(format!(
                "generator-limited: its own lag exceeds {:.0} us at p99, so these figures are the generator's too",
                self.generator.bound_us
            ));
        }
        if !self.valid {
            line("NOT VALID: not every request was answered rightly".to_owned());
        }
        text
    }
}

impl Quantiles {
    fn of(times: &Times) -> Self {
        let at = |share| microseconds(times.quantile(share));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: microseconds(times.max()) }
    }

    fn line(&self, name: &str) -> String {
        let Self { p50, p90, p99, p999, max } = self;
        format!("{name:<9} p50 {p50:.0} us, p90 {p90:.0} us, p99 {p99:.0} us, p99.9 {p999:.0} us, max {max:.0} us")
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

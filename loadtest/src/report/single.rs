//! One run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::Told;
use super::html;
use super::plots::{histograms, over_time, spectrum};
use super::quantiles::Quantiles;
use crate::client::Fault;
use crate::compare::statistics;
use crate::number::{fraction, fraction_of_length, microseconds};
use crate::record::{Changed, Record, blob};
use crate::run::plan::Plan;
use crate::schedule::arrivals::Shape;
use crate::workload::file::{Authentication, Protocol};

/// What was seen, ready to be told. All times are in microseconds, unless they are said to be in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    tool: &'static str,
    version: &'static str,
    kind: &'static str,
    mode: &'static str,
    arrivals: Option<&'static str>,
    /// Requests a second that were asked for, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    protocol: Protocol,
    authentication: Authentication,
    seed: u64,
    connections: u16,
    streams: u16,
    requests_per_connection: Option<u32>,
    threads: u16,
    warmup_seconds: f64,
    duration_seconds: f64,
    questions: usize,
    answers: Answers,
    changes: Changed,
    /// Whether every request was answered rightly. If not, the figures are of something that did not work.
    valid: bool,
    /// Left out when an answer was wrong: the speed of wrong answers is of no interest.
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
    window_seconds: f64,
    windows: Vec<WindowReport>,
    /// Whether the last third of the windows was slower than the first; `null` with too few to say.
    drift: Option<Drift>,
    generator: Generator,
    #[serde(skip)]
    record: Record,
}

/// Counts over the whole run, the warm-up included.
#[derive(Debug, Serialize)]
struct Answers {
    right: u64,
    wrong: u64,
    /// The first token that was answered wrongly, by its place from 1.
    first_wrong: Option<usize>,
    refused: BTreeMap<u16, u64>,
    broken: u64,
    broken_by_fault: BTreeMap<Fault, u64>,
    late: u64,
    unsent: u64,
    reconnects: u64,
}

/// What was measured, without the warm-up.
#[derive(Debug, Serialize)]
struct Figures {
    requests: u64,
    requests_per_second: f64,
    /// From the intended start; in a closed loop, from the start.
    latency_us: Quantiles,
    /// From the actual start.
    service_us: Quantiles,
    /// Opening a connection, where that was part of the work.
    connect_us: Option<Quantiles>,
    /// The whole histograms, in nanoseconds: `HdrHistogram` V2, compressed, in base64.
    latency_histogram: String,
    service_histogram: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct WindowReport {
    pub(super) start_seconds: f64,
    pub(super) requests: u64,
    pub(super) wrong: u64,
    pub(super) failed: u64,
    pub(super) valid: bool,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) max_us: f64,
}

/// How the last third of the windows differs from the first, in p99.
#[derive(Debug, Serialize)]
struct Drift {
    relative: f64,
    p_value: f64,
    rises: bool,
}

/// How well the generator itself did.
#[derive(Debug, Serialize)]
struct Generator {
    start_lag_us: Quantiles,
    loop_lag_us: Quantiles,
    bound_us: f64,
    limited: bool,
    #[serde(skip)]
    busy: bool,
    /// Processor time of its threads for each request that it sent.
    processor_us_per_request: f64,
    /// The share of the time in which they had a processor.
    processor_share: f64,
}

impl Report {
    /// Puts what was seen into words and figures.
    pub(crate) fn new(kind: &'static str, plan: &Plan, record: Record) -> Self {
        let arrivals = plan.shape.map(|shape| match shape {
            Shape::Constant { .. } => "constant",
            Shape::Poisson { .. } => "poisson",
            Shape::Burst { .. } => "burst",
        });
        let figures = (record.wrong == 0).then(|| Figures::new(plan, &record));
        let windows: Vec<WindowReport> = windows(&record);
        Self {
            tool: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            kind,
            mode: if plan.shape.is_some() { "open" } else { "closed" },
            arrivals,
            rate: plan.rate(),
            protocol: plan.protocol,
            authentication: plan.authentication,
            seed: plan.seed,
            connections: plan.connections,
            streams: if plan.protocol == Protocol::Http2 { plan.streams } else { 1 },
            requests_per_connection: plan.churn,
            threads: plan.threads,
            warmup_seconds: plan.warmup.as_secs_f64(),
            duration_seconds: plan.duration.as_secs_f64(),
            questions: plan.population.len(),
            answers: Answers {
                right: record.right,
                wrong: record.wrong,
                first_wrong: record.first_wrong.map(|number| number + 1),
                refused: record.refused.clone(),
                broken: record.broken.values().sum(),
                broken_by_fault: record.broken.clone(),
                late: record.late,
                unsent: record.unsent,
                reconnects: record.reconnects,
            },
            changes: record.changes,
            valid: record.right > 0 && record.wrong == 0 && record.failed() == 0 && record.unsent == 0,
            figures,
            window_seconds: record.windows.length().as_secs_f64(),
            drift: Drift::of(&windows),
            windows,
            generator: Generator::new(plan, &record),
            record,
        }
    }

    /// Whether the generator was the slower side.
    pub(crate) fn is_limited(&self) -> bool {
        self.generator.limited
    }

    fn failed(&self) -> u64 {
        self.record.failed()
    }

    fn how(&self) -> String {
        let loop_of = match (self.rate, self.arrivals) {
            (Some(rate), Some(arrivals)) => {
                format!("open loop, {rate} requests/s ({arrivals}), latency from the intended start")
            }
            _ => "closed loop: latency is what callers see who wait for each other".to_owned(),
        };
        let churn =
            self.requests_per_connection.map_or_else(String::new, |n| format!(", a new one for each {n} requests"));
        let protocol = match self.protocol {
            Protocol::Http1 => String::new(),
            Protocol::Http2 => format!(" of HTTP/2 with {} streams", self.streams),
        };
        format!(
            "{loop_of}; {} connections{protocol}{churn}, {} threads, {} tokens",
            self.connections, self.threads, self.questions
        )
    }

    fn answers_line(&self) -> String {
        let answers = &self.answers;
        let mut failed = String::new();
        for (status, count) in &answers.refused {
            let _ = write!(failed, ", {count} of status {status}");
        }
        let _ = write!(failed, ", {} broken", answers.broken);
        if !answers.broken_by_fault.is_empty() {
            let faults: Vec<String> =
                answers.broken_by_fault.iter().map(|(fault, count)| format!("{count} {fault:?}")).collect();
            let _ = write!(failed, " ({})", faults.join(", "));
        }
        let Answers { right, wrong, late, unsent, reconnects, .. } = answers;
        format!("{right} right, {wrong} wrong{failed}, {late} late, {unsent} never sent, {reconnects} reconnects")
    }

    fn limited_line(&self) -> String {
        let Generator { bound_us, busy, processor_share, .. } = &self.generator;
        let why = if *busy {
            format!("its threads were busy {:.0} % of the time", processor_share * 100.0)
        } else {
            format!("its own lag exceeds {bound_us:.0} us at p99")
        };
        format!("generator-limited: {why}, so these figures are the generator's too")
    }
}

impl Figures {
    fn new(plan: &Plan, record: &Record) -> Self {
        Self {
            requests: record.latency.len(),
            requests_per_second: fraction(record.completed) / plan.duration.as_secs_f64(),
            latency_us: Quantiles::of(&record.latency),
            service_us: Quantiles::of(&record.service),
            connect_us: (record.connect.len() > 0).then(|| Quantiles::of(&record.connect)),
            latency_histogram: blob::v2(&record.latency),
            service_histogram: blob::v2(&record.service),
        }
    }
}

impl Generator {
    fn new(plan: &Plan, record: &Record) -> Self {
        /// In a closed loop, a generator that never rests is what is measured.
        const BUSY: f64 = 0.95;
        let share = record.processor.as_secs_f64() / record.ran.as_secs_f64().max(f64::MIN_POSITIVE);
        let busy = plan.shape.is_none() && share > BUSY;
        let lags = [&record.start_lag, &record.loop_lag].into_iter().any(|lag| lag.quantile(0.99) > plan.lag_bound);
        Self {
            start_lag_us: Quantiles::of(&record.start_lag),
            loop_lag_us: Quantiles::of(&record.loop_lag),
            bound_us: microseconds(plan.lag_bound),
            limited: lags || busy,
            busy,
            processor_us_per_request: rounded(record.processor.as_secs_f64() * 1e6 / fraction(record.sent().max(1))),
            processor_share: rounded(share),
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn windows(record: &Record) -> Vec<WindowReport> {
    let length = record.windows.length().as_secs_f64();
    let reported = |(number, window): (usize, &crate::record::window::Window)| WindowReport {
        start_seconds: rounded(fraction_of_length(number) * length),
        requests: window.requests(),
        wrong: window.wrong,
        failed: window.failed,
        valid: window.wrong == 0 && window.failed == 0,
        p50_us: microseconds(window.latency.quantile(0.5)),
        p99_us: microseconds(window.latency.quantile(0.99)),
        max_us: microseconds(window.latency.max()),
    };
    record.windows.all().iter().enumerate().map(reported).collect()
}

impl Drift {
    fn of(windows: &[WindowReport]) -> Option<Self> {
        /// Fewer say nothing.
        const LEAST: usize = 15;
        /// Smaller rises are of no interest, however certain they are.
        const RELEVANT: f64 = 0.1;
        let third = windows.len() / 3;
        if windows.len() < LEAST {
            return None;
        }
        let p99 = |windows: &[WindowReport]| -> Vec<f64> { windows.iter().map(|window| window.p99_us).collect() };
        let (first, last) = (p99(&windows[..third]), p99(&windows[windows.len() - third..]));
        let (before, after) = (statistics::median(&first), statistics::median(&last));
        let relative = if before > 0.0 { after / before - 1.0 } else { 0.0 };
        let p_value = statistics::mann_whitney(&first, &last).p_value;
        Some(Self {
            relative: rounded(relative),
            p_value: rounded(p_value),
            rises: p_value < 0.01 && relative > RELEVANT,
        })
    }
}

impl Told for Report {
    fn text(&self) -> String {
        let mut lines = vec![self.how(), format!("answers   {}", self.answers_line())];
        if let Some(figures) = &self.figures {
            lines.push(format!(
                "measured  {} requests in {} s after {} s of warm-up: {:.0} requests/s",
                figures.requests, self.duration_seconds, self.warmup_seconds, figures.requests_per_second
            ));
            lines.push(figures.latency_us.line("latency"));
            lines.push(figures.service_us.line("service"));
            lines.extend(figures.connect_us.map(|connect| connect.line("connect")));
        }
        if self.changes != Changed::default() {
            let Changed { revoked, issued, failed } = self.changes;
            lines.push(format!("changes   {revoked} revoked, {issued} issued, {failed} failed"));
        }
        if let Some(Drift { relative, p_value, rises }) = &self.drift {
            let judged = if *rises { "it got slower" } else { "no sign of getting slower" };
            lines.push(format!("drift     p99 of the last third {:+.1} %, p = {p_value}: {judged}", relative * 100.0));
        }
        let generator = &self.generator;
        if self.mode == "open" {
            lines.push(generator.start_lag_us.line("start lag"));
        }
        lines.push(generator.loop_lag_us.line("loop lag"));
        lines.push(format!(
            "generator {:.1} us of a processor for each request, {:.0} % of the time",
            generator.processor_us_per_request,
            generator.processor_share * 100.0
        ));
        if generator.limited {
            lines.push(self.limited_line());
        }
        if !self.valid {
            lines.push("NOT VALID: not every request was answered rightly".to_owned());
        }
        lines.join("\n") + "\n"
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| json!({"error": error.to_string()}))
    }

    fn page(&self) -> String {
        let mut page = html::paragraph(&self.how());
        page += &html::paragraph(&format!("Answers: {}.", self.answers_line()));
        if !self.valid {
            page += &html::warning("Not valid: not every request was answered rightly.");
        }
        if self.generator.limited {
            page += &html::warning(&self.limited_line());
        }
        let Some(figures) = &self.figures else { return page };
        page += &html::figures_table(&[("latency", figures.latency_us), ("service", figures.service_us)]);
        page += &html::paragraph(&format!("{:.0} requests a second.", figures.requests_per_second));
        page += &spectrum(&[("latency", &self.record.latency), ("service", &self.record.service)]).render();
        page += &over_time(&self.windows).render();
        page
    }

    fn complaints(&self) -> Vec<String> {
        let answers = &self.answers;
        let mut complaints = Vec::new();
        if let Some(first) = answers.first_wrong {
            // A place among the tokens, so that the token itself is not printed.
            complaints.push(format!("wrong answers: {} (the first for token {first})", answers.wrong));
        }
        if self.failed() > 0 {
            complaints.push(format!("failed requests: {}", self.failed()));
        }
        if answers.unsent > 0 {
            complaints.push(format!("requests that were never sent, as no connection was free: {}", answers.unsent));
        }
        if answers.right == 0 {
            complaints.push("there was no right answer at all".to_owned());
        }
        complaints
    }

    fn histograms(&self) -> Vec<(String, String)> {
        if self.figures.is_none() {
            return Vec::new();
        }
        histograms(&[("latency", &self.record.latency), ("service", &self.record.service)])
    }
}

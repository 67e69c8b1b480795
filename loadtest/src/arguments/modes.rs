//! The commands that run something.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Failure;
use super::load::{self, Admin, Load};
use super::value::{duration, rate, share};
use crate::client::target::Credentials;
use crate::report::curve::{CurveReport, SearchReport};
use crate::report::{self, Report};
use crate::run::plan::Plan;
use crate::run::{self, search, sweep};
use crate::schedule::arrivals::Shape;
use crate::workload::file::Protocol;
use crate::workload::tokens;

/// Who decides when the next request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The answer to the one before.
    Closed,
    /// The clock.
    Open,
}

/// How requests of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// Evenly.
    Constant,
    /// As from very many independent callers.
    Poisson,
}

impl Spread {
    fn at(self, rate: f64) -> Shape {
        match self {
            Self::Constant => Shape::Constant { rate },
            Self::Poisson => Shape::Poisson { rate },
        }
    }
}

/// One run.
#[derive(Debug, Args)]
pub(crate) struct RunCommand {
    #[command(flatten)]
    load: Load,
    /// `closed`: each connection asks again as soon as it has its answer. `open`: requests start when the clock says
    /// so, whether or not earlier ones have been answered.
    #[arg(long, value_enum)]
    mode: Mode,
    /// Requests a second, in the open mode.
    #[arg(long, required_if_eq("mode", "open"), value_parser = rate)]
    rate: Option<f64>,
    /// How they are spread.
    #[arg(long, value_enum, default_value = "constant")]
    arrivals: Spread,
}

impl RunCommand {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        if self.mode == Mode::Closed && self.rate.is_some() {
            return Err(Failure::Usage(
                "--rate: a closed loop has no rate but the one that the server allows".to_owned(),
            ));
        }
        once(&self.load, "run", |plan| Plan { shape: self.rate.map(|rate| self.arrivals.at(rate)), ..plan })
    }
}

/// A long open run.
#[derive(Debug, Args)]
pub(crate) struct SoakCommand {
    #[command(flatten)]
    load: Load,
    /// Requests a second.
    #[arg(long, value_parser = rate)]
    rate: f64,
    /// How they are spread.
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Spread,
}

impl SoakCommand {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        once(&self.load, "soak", |plan| Plan { shape: Some(self.arrivals.at(self.rate)), ..plan })
    }
}

/// An open run with bursts.
#[derive(Debug, Args)]
pub(crate) struct BurstCommand {
    #[command(flatten)]
    load: Load,
    /// Requests a second between the bursts.
    #[arg(long, value_parser = rate)]
    rate: f64,
    /// Requests a second within them.
    #[arg(long, value_parser = rate)]
    peak: f64,
    /// From the beginning of one to the beginning of the next.
    #[arg(long, default_value = "2s", value_parser = duration)]
    every: Duration,
    /// How long each lasts.
    #[arg(long, default_value = "200ms", value_parser = duration)]
    length: Duration,
}

impl BurstCommand {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        if self.length >= self.every || self.length.is_zero() {
            return Err(Failure::Usage("--length: must be above 0, and below --every".to_owned()));
        }
        let shape = Shape::Burst { base: self.rate, peak: self.peak, every: self.every, length: self.length };
        once(&self.load, "burst", |plan| Plan { shape: Some(shape), ..plan })
    }
}

/// A run in which connections are not kept.
#[derive(Debug, Args)]
pub(crate) struct ChurnCommand {
    #[command(flatten)]
    load: Load,
    /// After how many requests a connection is closed, and another one opened.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_connection: u32,
    /// Requests a second; without it, a closed loop.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
}

impl ChurnCommand {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        once(&self.load, "churn", |plan| Plan {
            churn: Some(self.requests_per_connection),
            shape: self.rate.map(|rate| Shape::Constant { rate }),
            ..plan
        })
    }
}

/// Runs at rising rates.
#[derive(Debug, Args)]
pub(crate) struct SweepCommand {
    #[command(flatten)]
    load: Load,
    /// The rates, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = rate, required_unless_present = "to", conflicts_with = "to")]
    rates: Vec<f64>,
    /// The lowest rate, where steps are to be equal factors apart.
    #[arg(long, value_parser = rate, default_value = "1000")]
    from: f64,
    /// The highest of them.
    #[arg(long, value_parser = rate)]
    to: Option<f64>,
    /// How many of them.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=100))]
    steps: u16,
    /// How requests are spread.
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Spread,
    /// Say, too, which was the last rate that kept p99 within this.
    #[arg(long, value_parser = duration)]
    bound: Option<Duration>,
}

impl SweepCommand {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        let mut rates = self.rates.clone();
        if let Some(to) = self.to {
            let factor = (to / self.from).powf(1.0 / f64::from(self.steps - 1));
            rates = (0..self.steps).map(|step| (self.from * factor.powi(step.into())).round()).collect();
        }
        rates.sort_by(f64::total_cmp);
        let prepared = self.load.prepare(u32::try_from(rates.len()).unwrap_or(u32::MAX))?;
        let plan = Plan { shape: Some(self.arrivals.at(rates[0])), ..prepared.plan.clone() };
        let steps = sweep::run_all(&plan, &rates, self.load.telling.is_live())?;
        drop(prepared);
        let report = CurveReport::new(&steps, self.bound);
        report::tell(&report, &self.load.telling)
    }
}

/// The highest rate that keeps a promise.
#[derive(Debug, Args)]
pub(crate) struct SearchCommand {
    #[command(flatten)]
    load: Load,
    /// What p99 must not exceed, from the intended start.
    #[arg(long, value_parser = duration)]
    bound: Duration,
    /// Where the search begins: the lowest rate of interest.
    #[arg(long, value_parser = rate, default_value = "1000")]
    from: f64,
    /// The highest rate of interest.
    #[arg(long, value_parser = rate, default_value = "1000000")]
    to: f64,
    /// How closely the rate is to be found.
    #[arg(long, value_parser = share, default_value = "5%")]
    precision: f64,
    /// How requests are spread.
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Spread,
}

impl SearchCommand {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        if self.from > self.to || self.precision <= 0.0 {
            return Err(Failure::Usage("--from must not exceed --to, and --precision must be above 0".to_owned()));
        }
        let prepared = self.load.prepare(search::MOST_STEPS)?;
        let plan = Plan { shape: Some(self.arrivals.at(self.from)), ..prepared.plan.clone() };
        let goal = search::Goal { bound: self.bound, from: self.from, to: self.to, precision: self.precision };
        let found = search::run(&plan, &goal, self.load.telling.is_live())?;
        drop(prepared);
        report::tell(&SearchReport::new(&found, &goal), &self.load.telling)
    }
}

/// Makes the tokens of a workload.
#[derive(Debug, Args)]
pub(crate) struct SeedCommand {
    /// The workload file.
    #[arg(long)]
    workload: PathBuf,
    #[command(flatten)]
    admin: Admin,
    /// Where the tokens go, one a line. Its clients stay, as the tokens are nothing without them.
    #[arg(long)]
    tokens: PathBuf,
    /// Where the secret of the client goes that may ask, or its Bearer token; its name goes to standard output.
    #[arg(long)]
    client_secret_file: PathBuf,
}

impl SeedCommand {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        let workload = load::workload(&self.workload)?;
        let seeded = self.admin.seed(&workload)?.ok_or_else(|| Failure::Usage("--admin-url is missing".to_owned()))?;
        report::files::write(&self.tokens, &tokens::render(&seeded.tokens))?;
        let (name, secret) = match &seeded.caller {
            Credentials::Secret { client_id, secret } => (client_id.as_str(), secret),
            Credentials::Bearer(token) => ("", token),
        };
        report::files::write_secret(&self.client_secret_file, secret)?;
        println!("{name}");
        Ok(ExitCode::SUCCESS)
    }
}

fn once(load: &Load, kind: &'static str, shaped: impl FnOnce(Plan) -> Plan) -> Result<ExitCode, Failure> {
    let prepared = load.prepare(1)?;
    let plan = Arc::new(shaped(prepared.plan.clone()));
    if plan.churn.is_some() && plan.protocol == Protocol::Http2 {
        return Err(Failure::Usage("churn: one request for each connection is nothing that HTTP/2 is for".to_owned()));
    }
    let record = run::run(&plan, load.telling.is_live())?;
    drop(prepared);
    report::tell(&Report::new(kind, &plan, record), &load.telling)
}

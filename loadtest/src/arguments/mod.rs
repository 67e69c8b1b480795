//! The command line.
//!
//! - [`load`] what all runs have in common
//! - [`modes`] the commands that run something
//! - [`value`] how numbers are written

pub(crate) mod load;
pub(crate) mod modes;
pub(crate) mod value;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::capacity::CapacityCommand;
use crate::compare::CompareCommand;
use crate::run::RunError;

/// Measure an RFC 7662 introspection server, checking every answer.
///
/// Exit code: 0 when every request was answered rightly, 1 when one was not, 2 for a wrong call. `compare`: 0 improved
/// or unchanged, 1 regressed, 3 unclear.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One run, in an open or a closed loop.
    Run(Box<modes::RunCommand>),
    /// Runs at rising rates: the latency-throughput curve and its knee.
    Sweep(Box<modes::SweepCommand>),
    /// The highest rate at which p99 stays within a bound.
    Search(Box<modes::SearchCommand>),
    /// A long open run, and whether it got slower over time.
    Soak(Box<modes::SoakCommand>),
    /// An open run with periodic bursts.
    Burst(Box<modes::BurstCommand>),
    /// A run in which connections are not kept.
    Churn(Box<modes::ChurnCommand>),
    /// Makes the tokens of a workload, and writes them to a file.
    Seed(Box<modes::SeedCommand>),
    /// Whether B is better or worse than A.
    Compare(CompareCommand),
    /// Fits the Universal Scalability Law, and says how many replicas are needed.
    Capacity(CapacityCommand),
}

impl Command {
    /// Does it.
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(command) => command.execute(),
            Self::Sweep(command) => command.execute(),
            Self::Search(command) => command.execute(),
            Self::Soak(command) => command.execute(),
            Self::Burst(command) => command.execute(),
            Self::Churn(command) => command.execute(),
            Self::Seed(command) => command.execute(),
            Self::Compare(command) => command.execute(),
            Self::Capacity(command) => command.execute(),
        }
    }
}

/// Why nothing was measured.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call is wrong.
    Usage(String),
    /// It could not be done.
    Failed(String),
}

impl Failure {
    /// 2 for a wrong call, as is usual; else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Usage(text) | Self::Failed(text)) = self;
        formatter.write_str(text)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Reads a file; the error names it.
pub(crate) fn read(path: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

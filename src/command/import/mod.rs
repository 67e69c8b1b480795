//! `import clients|tokens`: what others know, taken over line by line by a running service.
//!
//! - `lines` a file as batches of lines, bounded in memory whatever is in it
//! - `tokens` a batch of tokens; `clients` one client, and `hydra` how Ory Hydra writes it
//! - `checkpoint` how far it came; `report` what is said of it
//!
//! A line has the same effect however often it is sent. So an import that was interrupted can begin again anywhere, and
//! the checkpoint only saves time.

mod checkpoint;
mod clients;
mod hydra;
mod lines;
mod report;
mod tokens;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use futures_util::{StreamExt as _, stream};

use self::checkpoint::Checkpoint;
use self::lines::{Batch, Source};
use self::report::{Outcome, Report};
use super::Failure;
use super::caller::Caller;
use super::output::{self, Format};
use crate::admin::import::MOST_TOKENS;

/// Take over clients and live tokens.
#[derive(Debug, Args)]
pub struct ImportCommand {
    #[command(subcommand)]
    verb: ImportVerb,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum ImportVerb {
    /// Take over clients: one JSON object per line, with the members of RFC 7591.
    Clients(ImportClients),
    /// Take over live access tokens: one JSON object per line, with `token` and the members of an introspection answer.
    Tokens(ImportTokens),
}

#[derive(Debug, Args)]
struct ImportClients {
    #[command(flatten)]
    options: Options,
    /// What the file was written by.
    #[arg(long, value_enum, default_value_t = Origin::Lines)]
    from: Origin,
    /// A file to add the secrets to that are made for clients whose own are not given: a line of JSON for each.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ImportTokens {
    #[command(flatten)]
    options: Options,
    /// How many lines are sent at once.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=MOST_TOKENS as u64))]
    batch_size: u64,
}

/// What both have.
#[derive(Debug, Args)]
struct Options {
    /// The file; `-` reads standard input.
    file: PathBuf,
    /// Say what would become of each line, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// A file that notes how far the import came, and from which it goes on when it is started again.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    resume: Option<PathBuf>,
    /// A file for the lines that were refused: number, member and reason of each, as a line of JSON. Without it they
    /// are told on standard error.
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// How many requests are under way at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    parallel: u64,
}

/// Who wrote a file of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Origin {
    /// One object per line, as `POST /admin/clients` takes it.
    Lines,
    /// `hydra list oauth2-clients --format json`, or the objects in it one by one.
    Hydra,
}

impl ImportCommand {
    /// Does it.
    ///
    /// # Errors
    /// When a file cannot be read or written, the service cannot be asked, or a line was refused.
    pub async fn run(self, format: Format) -> Result<(), Failure> {
        let caller = &self.caller;
        match self.verb {
            ImportVerb::Tokens(ImportTokens { options, batch_size }) => {
                let source = Source::open(&options.file)?;
                let dry_run = options.dry_run;
                let send = async |batch: Batch| tokens::send(caller, batch, dry_run).await;
                all(source, "tokens", batch_size, &options, send, format).await
            }
            ImportVerb::Clients(ImportClients { options, from, secrets }) => {
                let mut source = Source::open(&options.file)?;
                if from == Origin::Hydra {
                    source = hydra::as_lines(source)?;
                }
                let registrar = clients::Registrar::new(caller, from, secrets.as_deref(), options.dry_run)?;
                let send = async |batch: Batch| registrar.send(batch).await;
                // One by one: a secret that was shown is written down before the next request is noted as done.
                all(source, "clients", 1, &options, send, format).await
            }
        }
    }
}

/// What became of each line of a batch.
type Outcomes = Vec<(u64, Outcome)>;

/// Sends all batches, some at a time, and takes their outcomes in the order of the lines.
async fn all(
    source: Source,
    kind: &'static str,
    batch_size: u64,
    options: &Options,
    send: impl AsyncFn(Batch) -> Result<Outcomes, Failure>,
    format: Format,
) -> Result<(), Failure> {
    let parallel = usize::try_from(options.parallel).unwrap_or(1);
    let known = options.resume.as_deref().map(|path| Checkpoint::read(path, kind)).transpose()?.flatten();
    let mut report = Report::new(options.errors.as_deref(), known.as_ref(), options.dry_run)?;
    let batches = source.batches(batch_size, parallel, known.map(|known| known.position));
    let batches = stream::unfold(batches, async |mut batches| batches.recv().await.map(|batch| (batch, batches)));
    let send = &send;
    let results = batches.map(async |batch| {
        let batch = batch?;
        let end = batch.end.clone();
        Ok::<_, Failure>((send(batch).await?, end))
    });
    let mut results = std::pin::pin!(results.buffered(parallel));
    while let Some(result) = results.next().await {
        let (outcomes, end) = result.inspect_err(|_| report.interrupted())?;
        for (line, outcome) in outcomes {
            report.line(line, outcome)?;
        }
        report.flush(&end)?;
        if let Some(path) = &options.resume {
            Checkpoint { position: end, counts: report.counts() }.write(path, kind)?;
        }
    }
    report.finish();
    output::object(&report.summary(), format)?;
    match report.counts().refused {
        0 => Ok(()),
        refused => Err(Failure::Failed(format!("{refused} lines were refused"))),
    }
}

//! What all runs have in common: whom to ask, about what, how much, and how to tell.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Uri;

use super::value::duration;
use super::{Failure, read};
use crate::client::target::{Credentials, Target};
use crate::number::{fraction, index};
use crate::record::window;
use crate::run::changes::ChangePlan;
use crate::run::plan::Plan;
use crate::workload::file::{Authentication, Changes, Protocol, Workload};
use crate::workload::population::Population;
use crate::workload::seeding::{self, Issuer, Seeded};
use crate::workload::tokens;

/// Whom to ask, about what, how much, and how to tell.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The introspection endpoint, as `http://127.0.0.1:8080/introspect`. No TLS.
    #[arg(long)]
    pub(crate) url: Uri,
    /// The client that asks. Not needed where a workload makes one.
    #[arg(long, env = "ITD_CLIENT_ID")]
    client_id: Option<String>,
    /// A file with its secret. Without it, the secret is taken from the environment variable `ITD_CLIENT_SECRET`; never
    /// from the command line, which others can read.
    #[arg(long, env = "ITD_CLIENT_SECRET_FILE")]
    client_secret_file: Option<PathBuf>,
    /// A file with a token of the caller's own, for bearer authentication.
    #[arg(long)]
    bearer_token_file: Option<PathBuf>,
    /// What to ask and what is true: one `{"token": "...", "active": true}` a line. Without a workload they are asked
    /// in this order, round and round.
    #[arg(long, required_unless_present = "workload")]
    tokens: Option<PathBuf>,
    /// A workload file (TOML). Without --tokens its tokens are made through introspectd's admin API.
    #[arg(long)]
    workload: Option<PathBuf>,
    #[command(flatten)]
    admin: Admin,
    /// How requests are put on the wire; by default what the workload says, else http/1.1.
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// How the caller proves who it is; by default what the workload says, else `client_secret_basic`.
    #[arg(long, value_enum)]
    authentication: Option<Authentication>,
    /// Decides all that is left to chance; by default what the workload says, else 0.
    #[arg(long)]
    seed: Option<u64>,
    /// Connections, over all threads.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Requests at once on each connection of HTTP/2.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    streams: u16,
    /// Threads, each with its share of the connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// How long to measure; of a sweep or a search, each step.
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How long to ask before measuring. These answers are checked too.
    #[arg(long, default_value = "2s", value_parser = duration)]
    warmup: Duration,
    /// How long one answer may take.
    #[arg(long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Into windows of which length the measured time is cut; by default a second, or a tenth of a shorter run.
    #[arg(long, value_parser = duration)]
    window: Option<Duration>,
    /// The generator's own lag, at the 99th percentile, beyond which it says that it is what was measured.
    #[arg(long, default_value = "1ms", value_parser = duration)]
    lag_bound: Duration,
    #[command(flatten)]
    pub(crate) telling: Telling,
}

/// How to tell.
#[derive(Debug, Args)]
pub(crate) struct Telling {
    /// What is written to standard output.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// A folder for result.json, report.html and the histograms; made where it is missing.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Write a live line to standard error also where it is no terminal.
    #[arg(long)]
    progress: bool,
}

/// Where tokens are made and revoked.
#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The admin face of introspectd, as `http://127.0.0.1:8081`.
    #[arg(long = "admin-url", id = "admin_url")]
    url: Option<Uri>,
    /// An operator's client.
    #[arg(long = "admin-client-id", id = "admin_client_id", env = "ITD_ADMIN_CLIENT_ID")]
    client_id: Option<String>,
    /// A file with its secret. Without it, the secret is taken from `ITD_ADMIN_CLIENT_SECRET`.
    #[arg(long = "admin-client-secret-file", id = "admin_client_secret_file")]
    secret_file: Option<PathBuf>,
}

/// How to tell what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
}

/// A plan without arrivals, and what has to be undone behind it.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The plan: a closed loop, until it is given a shape.
    pub(crate) plan: Plan,
    made: Option<Issuer>,
}

impl Telling {
    /// Whether a live line is wanted.
    pub(crate) fn is_live(&self) -> bool {
        self.progress || std::io::stderr().is_terminal()
    }
}

impl Admin {
    /// Makes the tokens of a workload; `None` where there is no admin face.
    pub(crate) fn seed(&self, workload: &Workload) -> Result<Option<Seeded>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        let client_id = self.client_id.as_deref().ok_or_else(|| usage("--admin-url needs --admin-client-id"))?;
        let secret = secret(self.secret_file.as_deref(), "--admin-client-secret-file", "ITD_ADMIN_CLIENT_SECRET")?;
        seeding::seed(workload, url, (client_id, &secret)).map(Some).map_err(|error| Failure::Failed(error.to_string()))
    }
}

impl Load {
    /// Reads all files, makes the tokens where that is wanted, and checks everything. `runs` of it are to follow.
    pub(crate) fn prepare(&self, runs: u32) -> Result<Prepared, Failure> {
        if self.duration.is_zero() || self.window.is_some_and(|window| window.is_zero()) {
            return Err(usage("--duration, --window: must not be 0"));
        }
        let window = self.window.unwrap_or_else(|| Duration::from_secs(1).min(self.duration / 10));
        let windows = self.duration.as_secs_f64() / window.as_secs_f64();
        if windows > fraction(window::MOST as u64) {
            return Err(usage("--window: too short, it makes more than 3600 of them"));
        }
        let workload = self.workload.as_deref().map(workload).transpose()?;
        let mut seeded = match &workload {
            Some(workload) if self.tokens.is_none() => self.admin.seed(&self.chosen(workload))?,
            _ => None,
        };
        let known = match (&self.tokens, &mut seeded) {
            (Some(path), _) => tokens::parse(&read(path)?).map_err(Failure::Usage)?,
            (None, Some(seeded)) => std::mem::take(&mut seeded.tokens),
            (None, None) => return Err(usage("a workload needs --admin-url, to make its tokens, or --tokens")),
        };
        let credentials = match &seeded {
            Some(seeded) => seeded.caller.clone(),
            None => self.credentials()?,
        };
        let chosen = workload.as_ref().map(|workload| self.chosen(workload));
        let authentication = self.authentication.or(chosen.as_ref().map(|one| one.authentication)).unwrap_or_default();
        let target = Target::new(&self.url, authentication, &credentials)
            .map_err(|why| Failure::Usage(format!("--url: {why}")))?;
        let seed = self.seed.or(chosen.as_ref().map(|one| one.seed)).unwrap_or_default();
        let made = seeded.map(|seeded| seeded.issuer);
        let changes = chosen.as_ref().map(|one| one.changes).filter(|changes| !changes.is_none());
        let changes = match (changes, &made) {
            (None, _) => None,
            (Some(changes), Some(issuer)) => Some(Arc::new(ChangePlan { issuer: issuer.clone(), changes, seed })),
            (Some(_), None) => return Err(usage("changes: only tokens that were made here can be, with --admin-url")),
        };
        let room = changes.as_ref().map_or(0, |plan| self.room(plan.changes, runs));
        let population = match &chosen {
            Some(workload) => Population::mixed(workload, known, room).map_err(Failure::Usage)?,
            None => Population::listed(known),
        };
        Ok(Prepared {
            plan: Plan {
                target: Arc::new(target),
                population: Arc::new(population),
                changes,
                protocol: self.protocol.or(chosen.as_ref().map(|one| one.protocol)).unwrap_or_default(),
                authentication,
                shape: None,
                seed,
                connections: self.connections,
                streams: self.streams,
                churn: None,
                threads: self.threads.min(self.connections),
                duration: self.duration,
                warmup: self.warmup,
                window,
                timeout: self.timeout,
                lag_bound: self.lag_bound,
            },
            made,
        })
    }

    /// The workload with what the command line says instead.
    fn chosen(&self, workload: &Workload) -> Workload {
        Workload {
            seed: self.seed.unwrap_or(workload.seed),
            authentication: self.authentication.unwrap_or(workload.authentication),
            ..workload.clone()
        }
    }

    /// How many tokens will be issued on the way.
    fn room(&self, changes: Changes, runs: u32) -> usize {
        /// More are not issued: their room is taken at the start.
        const MOST: usize = 10_000_000;
        let seconds = (self.warmup + self.duration).as_secs_f64() * f64::from(runs);
        index((changes.issues_per_second * seconds).ceil() + 1.0, MOST)
    }

    fn credentials(&self) -> Result<Credentials, Failure> {
        if let Some(path) = &self.bearer_token_file {
            return Ok(Credentials::Bearer(read(path)?.trim_end().to_owned()));
        }
        let client_id = self.client_id.clone().ok_or_else(|| usage("--client-id is missing"))?;
        let secret = secret(self.client_secret_file.as_deref(), "--client-secret-file", "ITD_CLIENT_SECRET")?;
        Ok(Credentials::Secret { client_id, secret })
    }
}

impl Drop for Prepared {
    /// Takes away what was made on the server.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.made.as_ref().map(Issuer::clean_up) {
            eprintln!("the clients of this run were not removed: {error}");
        }
    }
}

/// Reads a workload file.
pub(crate) fn workload(path: &Path) -> Result<Workload, Failure> {
    Workload::parse(&read(path)?).map_err(|why| Failure::Usage(format!("{}: {why}", path.display())))
}

fn secret(path: Option<&Path>, option: &str, variable: &str) -> Result<String, Failure> {
    match path {
        Some(path) => Ok(read(path)?.trim_end_matches(['\r', '\n']).to_owned()),
        None => std::env::var(variable).map_err(|_| usage(&format!("no secret: give {option}, or set {variable}"))),
    }
}

fn usage(text: &str) -> Failure {
    Failure::Usage(text.to_owned())
}

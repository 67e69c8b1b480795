//! Puts many tokens into a store, past the HTTP interface: `bench/figures/size` measures what an introspection costs
//! among ten million of them, and issuing those one by one would take an hour.
//!
//! The tokens are those that `POST /admin/tokens` makes: minted with the keys of the same configuration, with the same
//! record, and kept by the same method of the store. Of a running service this may share the Redis, never the folder.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use introspectd::app::App;
use introspectd::config::{Config, ProcessEnvironment, Sources, StoreConfig};
use introspectd::service::Service;
use introspectd::store::Insertion;
use introspectd::token::claims::Claims;
use introspectd::token::record::{Record, State};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Clock, Stamp};
use introspectd::token::value::{TokenKind, TokenValue};
use serde_json::json;
use tokio::task::JoinSet;

/// Put many tokens into a store, past the HTTP interface.
#[derive(Debug, Parser)]
#[command(version)]
struct Seed {
    /// The configuration of the service.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
    /// The client that the tokens are issued to: one that the configuration declares.
    #[arg(long)]
    client: String,
    /// Their audience.
    #[arg(long)]
    audience: String,
    /// How many.
    #[arg(long)]
    tokens: u64,
    /// The number of the first; it is part of their subject.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// For how many seconds they live.
    #[arg(long, default_value_t = 86_400)]
    lifetime: u64,
    /// Every which of them is written to the file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// How many writes of a thousand are under way. The embedded store makes one transaction of those that wait, and
    /// syncs once: more of them are faster, until they take longer than its deadline.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    at_once: u16,
    /// Where they are written: `{"token": "...", "active": true, "sub": "..."}` a line, as introspectd-load reads it.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// How many go into one write.
const BATCH: u64 = 1_000;
/// How long a store that has just been opened may take to answer, and one that is given a thousand tokens at once.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let seed = Arc::new(Seed::parse());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(seed)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(seed: Arc<Seed>) -> Result<(), Box<dyn Error>> {
    let app = App::build(configuration(&seed.config)?, Clock::System).await?;
    let service = Arc::clone(app.service());
    answers(&service).await?;
    let mut output = BufWriter::new(private(&seed.output)?);
    let begin = Instant::now();
    let (mut under_way, mut place) = (JoinSet::new(), 0);
    while place < seed.tokens || !under_way.is_empty() {
        while place < seed.tokens && under_way.len() < usize::from(seed.at_once) {
            let batch = place..seed.tokens.min(place + BATCH);
            place = batch.end;
            let (seed, service) = (Arc::clone(&seed), Arc::clone(&service));
            under_way.spawn(async move { seed.insert(&service, batch).await });
        }
        if let Some(inserted) = under_way.join_next().await {
            for (number, token) in inserted?? {
                let line = json!({"token": token.expose(), "active": true, "sub": subject(number)});
                writeln!(output, "{line}")?;
            }
        }
    }
    output.flush()?;
    service.store.close().await;
    println!("{}", json!({"tokens": seed.tokens, "seconds": begin.elapsed().as_secs_f64()}));
    Ok(())
}

impl Seed {
    /// Inserts the tokens of these places; those that are to be written down come back, with their numbers.
    async fn insert(&self, service: &Service, places: std::ops::Range<u64>) -> Result<Vec<(u64, TokenValue)>, String> {
        let owner = service.registry.declared(&self.client).ok_or("--client: the configuration declares none such")?;
        let now = service.now();
        let (mut tokens, mut written) = (Vec::new(), Vec::new());
        for place in places {
            let number = self.first + place;
            let (value, digest) = service.keys.mint().map_err(|error| error.to_string())?;
            let record = Record {
                state: State::Approved,
                stamp: Stamp(0),
                owner_created: owner.created,
                kind: TokenKind::Access,
                issued_at: now.seconds(),
                not_before: None,
                expires_at: now.seconds().plus(self.lifetime),
                client_id: self.client.as_str().into(),
                subject: Some(subject(number).into()),
                username: Some(format!("user{number:08}@example.com").into()),
                scope: Scope::parse("read write").expect("a constant scope"),
                audience: vec![self.audience.as_str().into()],
                grant: None,
                claims: Claims::default(),
            };
            tokens.push((digest, record));
            if place % self.every == 0 {
                written.push((number, value));
            }
        }
        match service.store.insert(&tokens, None, now).await {
            Ok(Insertion::Done) => Ok(written),
            Ok(Insertion::Exists) => Err("a token exists already".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn subject(number: u64) -> String {
    format!("user-{number:08}")
}

/// The service's own configuration, but for its addresses, which the service itself may have, and for its haste.
fn configuration(file: &Path) -> Result<Config, Box<dyn Error>> {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let overrides = vec![set("public.address", "127.0.0.1:0"), set("admin.address", "127.0.0.1:0")];
    let sources = Sources { files: vec![file.to_owned()], environment: ProcessEnvironment, overrides };
    let mut config = Config::load(&sources).map_err(|errors| errors.to_string())?;
    if let StoreConfig::Redis(redis) = &mut config.store {
        redis.response_timeout = PATIENCE;
    }
    Ok(config)
}

/// Waits until the store answers.
async fn answers(service: &Service) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match service.store.probe().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A file for our own eyes: tokens are in it.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

//! `serve`: run the service until it is told to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::Failure;
use super::dev;
use super::settings::ConfigFiles;
use crate::app::{self, App};
use crate::config::{Config, ProcessEnvironment, Snapshot, Sources};
use crate::reload::{Load, Parts, Reloader};
use crate::shutdown::Outcome;
use crate::supervisor::Supervisor;
use crate::telemetry::logging;
use crate::token::time::Clock;

/// Run the service.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    files: ConfigFiles,
    /// Try it out: nothing to configure, seeded clients and tokens, a key that everybody knows, and, unless it is said
    /// where to keep everything, a store that goes away. Loopback addresses only.
    #[arg(long)]
    dev: bool,
    /// What to print once it listens.
    #[arg(long, value_enum, default_value_t = Print::Text)]
    print: Print,
    /// Where the public listener listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    public: Option<SocketAddr>,
    /// Where the admin listener listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The URL of a Redis to keep everything in.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    redis: Option<String>,
    /// The folder of the embedded store.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// What to print once the service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Print {
    /// For people: addresses, and with `--dev` commands to try.
    Text,
    /// For programs: one line with one JSON object.
    Json,
}

impl Serve {
    /// Serves.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a wrong configuration, [`Failure::Failed`] when it cannot start.
    pub fn run(self) -> Result<(), Failure> {
        let mut overrides = Vec::new();
        let mut set = |key: &str, value: Option<String>| overrides.extend(value.map(|value| (key.to_owned(), value)));
        set("public.address", self.public.map(|address| address.to_string()));
        set("admin.address", self.admin.map(|address| address.to_string()));
        set("redis.url", self.redis.clone());
        set("store.path", self.data.as_ref().map(|path| path.display().to_string()));
        if self.dev {
            dev::prepare(&mut overrides);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?;
        // Before anything that takes time: the signal would end the process until somebody listens to it.
        let hangup = {
            let _inside = runtime.enter();
            signal(SignalKind::hangup()).map_err(Failure::failed)?
        };
        let sources = Sources { overrides, ..self.files.sources() };
        let is_dev = self.dev;
        let load: Load = Box::new(move || {
            let mut snapshot = Snapshot::take(&sources)?;
            if is_dev {
                dev::first_party(&mut snapshot.config);
            }
            Ok(snapshot)
        });
        let snapshot = load().map_err(|errors| Failure::Usage(errors.to_string()))?;
        let mut config = snapshot.config.clone();
        // Lives as long as the service, and takes the folder with it when it goes.
        let mut folder = None;
        if self.dev {
            dev::check(&config)?;
            folder = if self.data.is_none() { dev::temporary_store(&mut config)? } else { None };
        }
        let level = logging::start(&config.log).map_err(Failure::failed)?;
        let reloader = |parts| Reloader::new(parts, snapshot, Some(level), load);
        let outcome = runtime.block_on(self.serve(config, reloader, hangup));
        drop(folder);
        outcome
    }

    async fn serve(
        self,
        config: Config,
        reloader: impl FnOnce(Parts) -> Reloader,
        hangup: Signal,
    ) -> Result<(), Failure> {
        let (accounts, interval) = (config.accounts.enabled, config.reload.interval);
        let app = App::build(config, Clock::System).await.map_err(|error| Failure::failed(error.to_string()))?;
        // What libraries count is shown on the same page. Only the program may decide this for its whole process.
        metrics::set_global_recorder(app.metrics().recorder()).map_err(Failure::failed)?;
        let signals = app.drain().on_signals().map_err(Failure::failed)?;
        let reloader = Arc::new(reloader(app.parts()));
        let supervisor = Arc::new(Supervisor::of(&ProcessEnvironment));
        let reloading = on_hangup(hangup, Arc::clone(&reloader), Arc::clone(&supervisor));
        let watching = (!interval.is_zero()).then(|| tokio::spawn(async move { reloader.watch(interval).await }));
        let seeds = if self.dev { Some(dev::seed(app.service()).await?) } else { None };
        let places: Vec<String> = app.bound().iter().map(app::url).collect();
        tracing::info!(public = places[0], admin = places[1], "listening");
        let following = tokio::spawn({
            let (drain, readiness, threads) = (app.drain().clone(), app.readiness().clone(), app.threads().clone());
            async move { supervisor.follow(&drain, &readiness, &threads).await }
        });
        let running = tokio::spawn(app.run());
        match self.print {
            Print::Json => println!("{}", dev::as_json(&places, seeds.as_ref())),
            Print::Text => {
                if let Some(seeds) = &seeds {
                    print!("{}", dev::as_text(&places, seeds, accounts));
                }
            }
        }
        let outcome = tokio::select! {
            outcome = running => outcome.map_err(Failure::failed)?,
            () = signals => Outcome::Clean,
        };
        reloading.abort();
        following.abort();
        watching.inspect(JoinHandle::abort);
        match outcome {
            Outcome::Clean => Ok(()),
            Outcome::Forced { connections } => {
                Err(Failure::Failed(format!("ended with {connections} connections cut off")))
            }
        }
    }
}

/// Takes settings over at each SIGHUP.
fn on_hangup(mut hangup: Signal, reloader: Arc<Reloader>, supervisor: Arc<Supervisor>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // What was wrong is said in the log.
            let _ = supervisor.while_reloading(reloader.reload()).await;
        }
    })
}

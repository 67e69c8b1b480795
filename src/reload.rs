//! Settings that are taken over while the service runs: the log level, declared clients with their secrets, and
//! certificates. Everything is read and checked first; then all of it is swapped, or nothing is.
//!
//! What cannot be taken over is named: it takes effect at the next start, and a node that is drained loses no request.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::app;
use crate::config::{AccountsConfig, Config, ConfigErrors, Snapshot};
use crate::server::{TlsError, TlsHandle};
use crate::service::Service;
use crate::telemetry::audit::{Act, Actor, Audit, Details, Event, Outcome};
use crate::telemetry::logging::LevelHandle;
use crate::telemetry::metrics::{Metrics, ReloadResult};

/// How the settings are read anew.
pub type Load = Box<dyn Fn() -> Result<Snapshot, ConfigErrors> + Send + Sync>;

/// Takes settings over.
pub struct Reloader {
    load: Load,
    parts: Parts,
    level: Option<LevelHandle>,
    /// What is in effect of the settings, and what the files held then. Held while a change is made: there is one at a
    /// time.
    current: Mutex<Current>,
}

/// What of a running service can be swapped.
#[derive(Debug)]
pub struct Parts {
    pub(crate) service: Arc<Service>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: Audit,
    /// By the listener's name.
    pub(crate) certificates: Vec<(&'static str, TlsHandle)>,
}

struct Current {
    snapshot: Snapshot,
    /// Those that first-party clients were declared from; others take effect at the next start.
    accounts: AccountsConfig,
    /// What stood in the files when they were last read, whether or not it was taken over; none while that is the
    /// snapshot.
    refused: Option<blake3::Hash>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The settings that were taken over.
    pub taken: Vec<String>,
    /// The settings that take effect at the next start.
    pub at_restart: Vec<String>,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The settings.
    #[error("{0}")]
    Config(ConfigErrors),
    /// A file that set something sets nothing any more.
    #[error("{0} is empty: somebody may be writing it")]
    Emptied(PathBuf),
    /// A certificate or key.
    #[error("the {listener} listener: {source}")]
    Tls {
        /// The listener's name.
        listener: &'static str,
        /// Which file, and what is wrong with it.
        source: TlsError,
    },
}

impl Reloader {
    /// Takes over what `load` reads, for a service that was built from `snapshot`.
    pub fn new(parts: Parts, snapshot: Snapshot, level: Option<LevelHandle>, load: Load) -> Self {
        let accounts = snapshot.config.accounts.clone();
        parts.metrics.reloaded(parts.service.now());
        Self { load, parts, level, current: Mutex::new(Current { snapshot, accounts, refused: None }) }
    }

    /// Reads the settings anew and takes over what can be.
    ///
    /// # Errors
    /// [`ReloadError`]: then everything is as it was.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let mut current = self.current.lock().await;
        // Whoever has renamed the file says so in the same way.
        self.parts.audit.reopen();
        let result = self.exchange(&mut current);
        self.record(&result);
        let metrics = &self.parts.metrics;
        match &result {
            Ok(Reloaded { taken, at_restart }) => {
                metrics.reloads.increment(ReloadResult::Done);
                metrics.reloaded(self.parts.service.now());
                tracing::info!(taken = taken.join(" "), at_restart = at_restart.join(" "), "settings were read anew");
                if !at_restart.is_empty() {
                    tracing::warn!(settings = at_restart.join(" "), "these settings take effect at the next start");
                }
            }
            Err(error) => {
                metrics.reloads.increment(ReloadResult::Refused);
                tracing::error!(%error, "settings were not taken over: everything is as it was");
            }
        }
        result
    }

    /// Settings by their names: values may be secrets, and errors show some of them.
    fn record(&self, result: &Result<Reloaded, ReloadError>) {
        let mut target = Details::default();
        if let Ok(Reloaded { taken, at_restart }) = result {
            target.value("taken", taken.clone());
            target.value("at_restart", at_restart.clone());
        }
        self.parts.audit.record(Event {
            now: self.parts.service.now(),
            act: Act::ConfigReload,
            outcome: if result.is_ok() { Outcome::Done } else { Outcome::Refused },
            status: None,
            code: match result {
                Ok(_) => "",
                Err(ReloadError::Config(_) | ReloadError::Emptied(_)) => "invalid_configuration",
                Err(ReloadError::Tls { .. }) => "invalid_certificate",
            },
            actor: Actor::Host,
            origin: None,
            target,
            promised: false,
        });
    }

    fn exchange(&self, current: &mut Current) -> Result<Reloaded, ReloadError> {
        // Before they are read: what is written while they are read is seen by the next look.
        current.refused = current.snapshot.change();
        let next = (self.load)().map_err(ReloadError::Config)?;
        if let Some(file) = current.snapshot.emptied_in(&next) {
            return Err(ReloadError::Emptied(file.to_owned()));
        }
        let mut prepared = Vec::new();
        let mut swapped = Vec::new();
        for (listener, handle) in &self.parts.certificates {
            if let Some(files) = listener_of(&next.config, listener) {
                let certificate = handle.prepare(files).map_err(|source| ReloadError::Tls { listener, source })?;
                prepared.push((handle, certificate));
                swapped.push(*listener);
            }
        }
        let service = &self.parts.service;
        let declared = app::declared_clients(&next.config.clients, &current.accounts, &service.keys, service.now());
        // From here on nothing can fail.
        for (handle, certificate) in prepared {
            handle.swap(certificate);
        }
        service.registry.declare(declared);
        if let Some(level) = &self.level {
            level.set(&next.config.log);
        }
        let differences = current.snapshot.differences(&next);
        let (taken, at_restart) = differences.into_iter().partition(|path| takes(path, &swapped));
        // What waits for a restart is named again the next time.
        let mut in_effect = next;
        in_effect.keep_of(&current.snapshot, |path| takes(path, &swapped));
        current.snapshot = in_effect;
        current.refused = None;
        Ok(Reloaded { taken: whole_clients(taken), at_restart })
    }

    /// Looks from time to time whether a file has changed, and takes over what it says once it says the same at two
    /// looks: whoever writes it may be in the middle. Never ends.
    pub async fn watch(&self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            ticks.tick().await;
            let changed = {
                let current = self.current.lock().await;
                current.snapshot.change().filter(|now| Some(*now) != current.refused)
            };
            if changed.is_some() && changed == seen {
                // What was wrong is said in the log.
                let _ = self.reload().await;
            }
            seen = changed;
        }
    }
}

/// Whether a setting is taken over; of certificates, those of the listeners where they were.
fn takes(path: &str, swapped: &[&str]) -> bool {
    let of_a_certificate = swapped.iter().any(|listener| {
        path.strip_prefix(listener).is_some_and(|key| key.starts_with(".tls_") && key.ends_with("_file"))
    });
    of_a_certificate || path == "log.level" || path.starts_with("clients[")
}

/// Names a client that has come, gone or become another as a whole, and of the others what has changed.
fn whole_clients(paths: Vec<String>) -> Vec<String> {
    let of =
        |path: &str| path.starts_with("clients[").then(|| path.find("].").map(|end| path[..=end].to_owned())).flatten();
    let others: BTreeSet<_> =
        paths.iter().filter(|path| path.ends_with("].client_id")).filter_map(|path| of(path)).collect();
    let named = paths.into_iter().map(|path| of(&path).filter(|client| others.contains(client)).unwrap_or(path));
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

fn listener_of<'a>(config: &'a Config, name: &str) -> Option<&'a crate::config::TlsFiles> {
    let listener = if name == app::ADMIN { &config.admin } else { &config.public };
    listener.tls.as_ref()
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reloader").field("parts", &self.parts).finish_non_exhaustive()
    }
}

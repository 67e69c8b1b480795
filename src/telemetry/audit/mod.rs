//! The audit log: who did what to clients, keys, tokens, users and settings, from where, and how it ended. One JSON
//! object a line, in a file or on standard output.
//!
//! - [`act`] what is recorded
//! - [`event`] what is said of it, and how a line is written
//! - [`writer`] the thread that writes lines, and what happens when it cannot
//!
//! # What is never in it
//!
//! Tokens, secrets, passwords, keys, and bodies of requests. What was acted on is named by identifiers that were
//! read, not by texts that were sent, wherever a text could be a token by mistake.

pub mod act;
pub mod event;
pub mod writer;

use std::io;
use std::sync::Arc;

pub use act::Act;
pub use event::{Actor, Details, Event, Origin, Outcome};
use writer::{Place, Writer};

use crate::config::{AuditConfig, AuditFailure};
use crate::telemetry::metrics::Metrics;

/// Where acts are recorded, or nowhere.
#[derive(Clone, Debug, Default)]
pub struct Audit(Option<Arc<Writer>>);

/// The log takes no further line at the moment, and without one the act must not be done.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written, and audit.on_failure is refuse")]
pub struct Unwritable;

/// Room for the line of an act that is to be done; given back when it is dropped.
#[derive(Debug)]
pub struct Room(Option<Arc<Writer>>);

impl Room {
    /// Whether there is any: none is needed where acts go on without a log.
    pub fn is_promised(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(writer) = &self.0 {
            writer.give_back();
        }
    }
}

impl Audit {
    /// What the configuration asks for.
    ///
    /// # Errors
    /// When the file cannot be opened, or there is no thread.
    pub fn open(config: &AuditConfig, metrics: &Arc<Metrics>) -> io::Result<Self> {
        if !config.enabled {
            return Ok(Self(None));
        }
        let place = config.path.clone().map_or(Place::Output, Place::File);
        let refuses = config.on_failure == AuditFailure::Refuse;
        Ok(Self(Some(Arc::new(Writer::start(place, config.queue, refuses, Arc::clone(metrics))?))))
    }

    /// Whether anything is recorded: what is only worked out for a line need not be without one.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Room for the line of an act, before it is done.
    ///
    /// # Errors
    /// [`Unwritable`] where acts are to be refused without a log, and it is failing or full. Never for an act that
    /// takes rights away, nor for one that only reads.
    pub fn admit(&self, act: Act) -> Result<Room, Unwritable> {
        match &self.0 {
            Some(writer) if writer.refuses() && !act.reads() && !act.takes_away() => {
                if writer.reserve() {
                    Ok(Room(Some(Arc::clone(writer))))
                } else {
                    Err(Unwritable)
                }
            }
            _ => Ok(Room(None)),
        }
    }

    /// Records something. Never waits: a line that finds no room is counted as lost, and the log of the service says
    /// so.
    pub fn record(&self, event: Event) {
        if let Some(writer) = &self.0 {
            writer.take(event);
        }
    }

    /// Opens the file anew, as after it was renamed. Standard output stays what it is.
    pub fn reopen(&self) {
        if let Some(writer) = &self.0 {
            writer.reopen();
        }
    }

    /// How many lines wait to be written.
    pub fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |writer| writer.waiting())
    }

    /// Writes what is left, for some seconds at most. Blocks.
    pub fn close(&self) {
        if let Some(writer) = &self.0 {
            writer.close();
        }
    }
}

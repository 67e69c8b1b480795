//! Threads and connections at work.
//!
//! - [`plan`] everything that a run needs, checked
//! - [`worker`] one thread with its connections; [`connection`] one of them, whatever it speaks
//! - [`changes`] issues and revokes meanwhile
//! - [`progress`] what can be seen of a run while it goes on
//! - [`sweep`] several runs at several rates, and the knee of the curve
//! - [`search`] the highest rate that keeps a promise

pub(crate) mod changes;
pub(crate) mod connection;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod search;
pub(crate) mod sweep;
mod worker;

use std::io;
use std::sync::{Arc, Barrier, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::record::Record;
use crate::schedule::Span;
use plan::Plan;
use progress::Progress;

/// Why there is nothing to report.
#[derive(Debug)]
pub(crate) enum RunError {
    /// Not all connections could be opened before the start.
    Connect(io::Error),
    /// A thread could not be started, or ended by a fault of ours.
    Thread(String),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(error) => write!(formatter, "cannot connect: {error}"),
            Self::Thread(what) => write!(formatter, "a thread of the generator failed: {what}"),
        }
    }
}

/// From the moment at which all connections are open to the first start.
const HEAD_START: Duration = Duration::from_millis(10);

/// Does what the plan says, and returns what was seen.
///
/// All connections are open before the first request starts: opening them is not what is measured, unless the plan
/// opens new ones all the time.
pub(crate) fn run(plan: &Arc<Plan>, live: bool) -> Result<Record, RunError> {
    let gate = Arc::new(Gate { span: OnceLock::new(), barrier: Barrier::new(usize::from(plan.threads) + 1) });
    let progress = Arc::new(Progress::new(plan.threads));
    let (sender, opened) = mpsc::channel();
    let workers: Vec<_> = (0..plan.threads)
        .map(|thread| {
            let (plan, gate, opened, progress) =
                (Arc::clone(plan), Arc::clone(&gate), sender.clone(), Arc::clone(&progress));
            thread::spawn(move || worker::work(&plan, thread, &gate, &opened, &progress))
        })
        .collect();
    let failure = opened.iter().take(workers.len()).find_map(Result::err);
    let mut side = Vec::new();
    if failure.is_none() {
        let span = *gate.span.get_or_init(|| Span::new(Instant::now() + HEAD_START, plan.warmup, plan.duration));
        if let Some(changes) = plan.changes.clone() {
            let population = Arc::clone(&plan.population);
            side.push(thread::spawn(move || changes::work(&changes, &population, span)));
        }
    }
    gate.barrier.wait();
    let watching = (live && failure.is_none()).then(|| progress::watch(Arc::clone(&progress)));
    let mut record = Record::new(plan.window);
    for worker in workers {
        record.merge(&worker.join().map_err(|_| RunError::Thread("it panicked".to_owned()))?);
    }
    drop(watching);
    for changes in side {
        record.changes =
            changes.join().map_err(|_| RunError::Thread("it panicked".to_owned()))?.map_err(RunError::Connect)?;
    }
    failure.map_or(Ok(record), Err)
}

/// Where threads wait for each other before the start. Opened without a span, it sends everybody home.
pub(crate) struct Gate {
    span: OnceLock<Span>,
    barrier: Barrier,
}

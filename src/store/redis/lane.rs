//! One connection of the hot path to a primary: reads that arrive together travel together.
//!
//! Reads wait in a bounded queue. Whoever of a few workers is free takes all that wait and sends them in one pipeline;
//! while all workers wait for replies, what arrives gathers for the next. So the busier the connection, the larger the
//! batches, and neither a timer nor a size to be tuned decides it. When the queue is full, a read fails at once.
//!
//! Each batch ends with a marker of the dataset (see [`super::dataset`]).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::{ServerErrorKind, Value};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::dataset::{self, DatasetId, Marker};
use super::endpoint;
use super::fault::Fault;
use super::get;
use super::incarnation::{self, Incarnation};
use super::link::{Line, Link};
use super::primary::{Common, Primary};
use crate::watch;

/// A place for one connection, which comes and goes.
pub(super) struct Lane {
    state: ArcSwap<State>,
}

pub(super) enum State {
    Up(Up),
    Down(Fault),
}

/// A connection that is up.
pub(super) struct Up {
    pub(super) line: Line,
    /// The life that it leads to.
    pub(super) incarnation: Incarnation,
    reads: mpsc::Sender<Asked>,
    /// Rung by a call that has reason to doubt that a primary is still there.
    doubt: Notify,
}

/// Some keys, and who waits for their values.
struct Asked {
    keys: Vec<String>,
    /// When it is no longer to be asked. No read looks at a clock of its own: whoever is before it in the queue waits for
    /// about as long at most, so that a worker is free by then, and either finds that it is too late or asks with the
    /// deadline of the last of its batch. So an answer may take up to twice as long as one read may.
    deadline: Instant,
    reply: oneshot::Sender<Result<Answer, Fault>>,
}

/// The values of the keys that were asked for, in their order, with what was read beside them.
pub(super) struct Answer {
    /// The keys.
    pub(super) keys: Vec<String>,
    /// Values, and errors of the server that send us elsewhere.
    pub(super) values: Vec<Value>,
    /// The marker; none when none lies on this primary, which then has only a few slots.
    pub(super) marker: Option<Marker>,
}

/// Batches that are under way at once on one connection.
const WORKERS: usize = 4;
/// Reads that wait; more fail at once.
const MAX_WAITING: usize = 1024;
/// Reads in one batch.
const MAX_BATCH: usize = 256;
/// How often a connection is checked on which nothing looks wrong.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How many checks in a row may get no answer in time. One may be a slow command of somebody else.
const MISSED_CHECKS: u32 = 3;

// === impl Up ===

impl Up {
    /// Asks for the values of some keys, all of this primary.
    pub(super) async fn read(&self, keys: Vec<String>, deadline: Instant) -> Result<Answer, Fault> {
        let (reply, answer) = oneshot::channel();
        self.reads
            .try_send(Asked { keys, deadline, reply })
            .map_err(|_| Fault::unavailable("too many reads are waiting for Redis"))?;
        answer.await.unwrap_or_else(|_| Err(Fault::unavailable("the connection to Redis was lost")))
    }

    /// Has the connection checked at once.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }
}

/// Whether only a replica says this.
pub(super) fn is_of_a_replica(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error)
        if matches!(error.kind(), Some(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)))
}

// === impl Lane ===

impl Lane {
    pub(super) fn new() -> Self {
        Self { state: ArcSwap::from_pointee(State::Down(Fault::unavailable("not connected to Redis yet"))) }
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Keeps a connection up whenever the primary is in a life that everything is known of. Never ends.
    pub(super) async fn keep_up(place: usize, primary: Arc<Primary>, common: Arc<Common>) {
        let lane = &primary.lanes[place];
        let mut backoff = Backoff::new(common.seed ^ (place as u64 + 1) << 32);
        let mut life = primary.life();
        loop {
            let wanted = life.borrow_and_update().clone();
            let fault = match wanted {
                Err(fault) => {
                    lane.set(State::Down(fault));
                    if life.changed().await.is_err() {
                        return;
                    }
                    backoff.reset();
                    continue;
                }
                Ok(incarnation) => lane.serve(&primary, &common, &incarnation, &mut life).await,
            };
            tracing::debug!(server = %primary.address, fault = fault.detail(), "gave up a connection to Redis");
            lane.set(State::Down(fault));
            // Whatever it was, the tracker is the one to find out.
            primary.doubt();
            common.progress.notify_waiters();
            let _ = timeout(backoff.next(), life.changed()).await;
        }
    }

    /// Offers a connection until it fails or the life of the primary ends; returns why.
    async fn serve(
        &self,
        primary: &Arc<Primary>,
        common: &Arc<Common>,
        incarnation: &Incarnation,
        life: &mut watch::Receiver<Result<Incarnation, Fault>>,
    ) -> Fault {
        let limit = common.endpoint.connect_timeout();
        let opened = tokio::select! {
            biased;
            _ = life.changed() => return incarnation::changed(),
            opened = open(primary, common, incarnation, limit) => opened,
        };
        let mut link = match opened {
            Ok(link) => link,
            Err(fault) => return fault,
        };
        let Some(dataset) = common.dataset() else { return dataset::lost() };
        let (reads, waiting) = mpsc::channel(MAX_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let state = Arc::new(State::Up(Up {
            line: link.line(),
            incarnation: incarnation.clone(),
            reads,
            doubt: Notify::new(),
        }));
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let (primary, state, waiting) = (Arc::clone(primary), Arc::clone(&state), Arc::clone(&waiting));
            workers.spawn(async move { work(&primary, &state, dataset, &waiting).await });
        }
        self.state.store(Arc::clone(&state));
        common.progress.notify_waiters();
        let State::Up(up) = &*state else { return Fault::closed() };
        let mut line = link.line();
        tokio::select! {
            biased;
            fault = link.lost() => fault,
            _ = life.changed() => incarnation::changed(),
            fault = watch_over(&mut line, &up.doubt, common.endpoint.response_timeout()) => fault,
        }
    }

    /// Offers nothing any more.
    pub(super) fn close(&self, fault: &Fault) {
        self.set(State::Down(fault.clone()));
    }

    fn set(&self, state: State) {
        self.state.store(Arc::new(state));
    }
}

/// Opens a connection to the life that is wanted, and no other.
pub(super) async fn open(
    primary: &Primary,
    common: &Common,
    wanted: &Incarnation,
    limit: Duration,
) -> Result<Link, Fault> {
    let deadline = Instant::now() + limit;
    let mut link = common.endpoint.open(&primary.address, None, deadline).await?;
    let mut replies = link.pipeline(Incarnation::ask(), deadline).await?.into_iter();
    let (Some(server), Some(replication)) = (replies.next(), replies.next()) else {
        return Err(Fault::unexpected_reply());
    };
    if Incarnation::read(server, replication)? == *wanted { Ok(link) } else { Err(incarnation::changed()) }
}

/// Sends what waits, batch by batch.
async fn work(primary: &Primary, state: &State, dataset: DatasetId, waiting: &Mutex<mpsc::Receiver<Asked>>) {
    let State::Up(up) = state else { return };
    let mut line = up.line.clone();
    let mut batch = Vec::new();
    loop {
        {
            let mut waiting = waiting.lock().await;
            if waiting.recv_many(&mut batch, MAX_BATCH).await == 0 {
                return;
            }
            // Others that are about to ask in this turn of the thread come along.
            tokio::task::yield_now().await;
            while batch.len() < MAX_BATCH
                && let Ok(asked) = waiting.try_recv()
            {
                batch.push(asked);
            }
        }
        // Nobody waits for these any longer.
        batch.retain(|asked| !asked.reply.is_closed());
        let now = Instant::now();
        for late in batch.extract_if(.., |asked| asked.deadline <= now) {
            let _ = late.reply.send(Err(Fault::silence()));
        }
        if !batch.is_empty() {
            send(primary, up, &mut line, dataset, &mut batch).await;
        }
    }
}

/// Sends one batch, and hands out what comes back.
async fn send(primary: &Primary, up: &Up, line: &mut Line, dataset: DatasetId, batch: &mut Vec<Asked>) {
    let deadline = batch.iter().map(|asked| asked.deadline).max().unwrap_or_else(Instant::now);
    let outcome = exchange(primary, line, dataset, batch, deadline).await;
    match outcome {
        Ok((values, marker)) => {
            let mut values = values.into_iter();
            for asked in batch.drain(..) {
                let Asked { keys, reply, .. } = asked;
                let values = values.by_ref().take(keys.len()).collect();
                // An error means that the caller has gone.
                let _ = reply.send(Ok(Answer { keys, values, marker }));
            }
        }
        Err(fault) => {
            if fault.is_silence() {
                up.doubt();
            }
            for asked in batch.drain(..) {
                let _ = asked.reply.send(Err(fault.clone()));
            }
        }
    }
}

async fn exchange(
    primary: &Primary,
    line: &mut Line,
    dataset: DatasetId,
    batch: &[Asked],
    deadline: Instant,
) -> Result<(Vec<Value>, Option<Marker>), Fault> {
    // A marker that has just moved away tells nothing of the others.
    for _ in 0..MARKERS_TRIED {
        let marker = primary.marker();
        if marker.is_none() && batch.iter().all(|asked| asked.keys.is_empty()) {
            return Ok((Vec::new(), None));
        }
        let keys = batch.iter().flat_map(|asked| &asked.keys).map(String::as_str);
        let mut replies = line.pipeline(keys.chain(marker.as_deref()).map(get), deadline).await?;
        if marker.is_none() {
            return Ok((replies, None));
        }
        let marker = replies.pop().ok_or_else(Fault::unexpected_reply)?;
        if sends_elsewhere(&marker) {
            primary.next_marker();
            continue;
        }
        let marker = dataset::expect(marker, dataset).inspect_err(|_| primary.doubt())?;
        return Ok((replies, Some(marker)));
    }
    Err(Fault::unavailable("the slots of this Redis are being moved"))
}

/// How many markers of a primary are tried while slots move.
const MARKERS_TRIED: usize = 3;

/// Whether a node of a cluster says that it does not have this key.
pub(super) fn sends_elsewhere(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error)
        if matches!(error.kind(), Some(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain)))
}

/// Returns why a connection must be given up although it is open.
pub(super) async fn watch_over(line: &mut Line, doubt: &Notify, response_timeout: Duration) -> Fault {
    let mut missed = 0;
    loop {
        if missed == 0 {
            let _ = timeout(CHECK_INTERVAL, doubt.notified()).await;
        }
        match line
            .command(endpoint::hello(), Instant::now() + response_timeout)
            .await
            .and_then(endpoint::expect_primary)
        {
            Ok(()) => missed = 0,
            Err(fault) if fault.is_silence() => missed += 1,
            Err(fault) => return fault,
        }
        if missed == MISSED_CHECKS {
            return Fault::unavailable("Redis hangs: the connection is open and nothing is answered");
        }
    }
}

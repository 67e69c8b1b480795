//! The connections of the hot path: each shared by many calls at once, watched, and opened again whenever it is lost.
//!
//! A call never waits for a connection. It takes the one of its thread, or the next that is up, and fails at once when
//! none is: the fault is then the one that the last attempt to connect met.
//!
//! A server that hangs keeps its connections open and says nothing, so a lost connection is not the only one to be
//! given up: each is asked now and then, and at once after a call got no answer in time, whether a primary still
//! answers at its other end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::endpoint::{self, Endpoint, Opened};
use super::fault::Fault;
use super::scripts::Invocation;

/// All connections of the hot path, and the tasks that keep them up.
pub(super) struct Connections {
    lanes: Box<[Arc<Lane>]>,
    response_timeout: Duration,
    closing: watch::Sender<bool>,
    /// One task per lane. Dropped with the store, which ends them.
    tasks: Mutex<JoinSet<()>>,
}

/// A place for one connection, which comes and goes.
struct Lane {
    state: ArcSwap<State>,
}

enum State {
    Up(Up),
    Down(Fault),
}

struct Up {
    connection: MultiplexedConnection,
    /// Rung by a call that has reason to doubt that a primary is still there.
    doubt: Notify,
}

/// What one call to the store works with: a connection, and the moment by which all its round trips must be over.
pub(super) struct Call {
    state: Arc<State>,
    connection: MultiplexedConnection,
    deadline: Instant,
}

// === impl Connections ===

impl Connections {
    /// Starts `count` lanes, and returns when each has made its first attempt to connect, whatever came of it.
    pub(super) async fn open(endpoint: Arc<Endpoint>, count: usize) -> Self {
        let (closing, _) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut attempts = Vec::new();
        let lanes: Box<[_]> = (0..count.max(1))
            .map(|_| {
                let state = State::Down(Fault::unavailable("not connected to Redis yet"));
                let lane = Arc::new(Lane { state: ArcSwap::from_pointee(state) });
                let (attempted, attempt) = oneshot::channel();
                attempts.push(attempt);
                tasks.spawn(Arc::clone(&lane).keep_up(Arc::clone(&endpoint), closing.subscribe(), attempted));
                lane
            })
            .collect();
        for attempt in attempts {
            // An error means that the task has ended: its lane stays down, and calls say so.
            let _ = attempt.await;
        }
        Self { lanes, response_timeout: endpoint.response_timeout(), closing, tasks: Mutex::new(tasks) }
    }

    /// Begins a call: its deadline runs from here.
    ///
    /// A thread keeps to its lane, so that what it asks in a row leaves in one write and comes back in one read.
    pub(super) fn begin(&self) -> Result<Call, Fault> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let first = THREAD.with(|thread| thread % self.lanes.len());
        let (before, after) = self.lanes.split_at(first);
        let mut fault = None;
        for lane in after.iter().chain(before) {
            let state = lane.state.load_full();
            match &*state {
                State::Up(up) => {
                    let connection = up.connection.clone();
                    return Ok(Call { state, connection, deadline: Instant::now() + self.response_timeout });
                }
                State::Down(down) => fault = fault.or_else(|| Some(down.clone())),
            }
        }
        Err(fault.unwrap_or_else(Fault::closed))
    }

    /// Lets calls under way finish, each within its deadline, then lets go of the connections.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

// === impl Lane ===

impl Lane {
    /// Opens a connection, keeps it as long as it is good, and opens the next, until the store is closed.
    async fn keep_up(
        self: Arc<Self>,
        endpoint: Arc<Endpoint>,
        mut closing: watch::Receiver<bool>,
        attempted: oneshot::Sender<()>,
    ) {
        let mut attempted = Some(attempted);
        let mut backoff = Backoff::default();
        let mut reported = false;
        loop {
            let opened = tokio::select! {
                () = closed(&mut closing) => break,
                opened = endpoint.open() => opened,
            };
            match opened {
                Ok(opened) => {
                    tracing::info!(server = %endpoint, "connected to Redis");
                    let since = Instant::now();
                    let Some(fault) = self.serve(opened, &endpoint, &mut closing, attempted.take()).await else {
                        break;
                    };
                    tracing::warn!(server = %endpoint, fault = fault.detail(), "gave up a connection to Redis");
                    self.state.store(Arc::new(State::Down(fault)));
                    reported = true;
                    // One that comes up and breaks at once is no progress.
                    if since.elapsed() >= Backoff::LONGEST {
                        backoff = Backoff::default();
                    }
                }
                Err(fault) => {
                    // Once per outage: the attempts go on for as long as it lasts.
                    if reported {
                        tracing::debug!(server = %endpoint, fault = fault.detail(), "still no connection to Redis");
                    } else {
                        tracing::warn!(server = %endpoint, fault = fault.detail(), "no connection to Redis");
                    }
                    reported = true;
                    self.state.store(Arc::new(State::Down(fault)));
                    drop(attempted.take());
                }
            }
            tokio::select! {
                () = closed(&mut closing) => break,
                () = sleep(backoff.next()) => {}
            }
        }
        self.state.store(Arc::new(State::Down(Fault::closed())));
    }

    /// Offers a connection to calls until it fails; returns the fault, or nothing when the store was closed.
    async fn serve(
        &self,
        Opened { mut connection, driver }: Opened,
        endpoint: &Endpoint,
        closing: &mut watch::Receiver<bool>,
        attempted: Option<oneshot::Sender<()>>,
    ) -> Option<Fault> {
        // A set of one, because dropping it ends the task, and with it the connection.
        let mut drivers = JoinSet::new();
        drivers.spawn(driver);
        let state = Arc::new(State::Up(Up { connection: connection.clone(), doubt: Notify::new() }));
        self.state.store(Arc::clone(&state));
        drop(attempted);
        let State::Up(up) = &*state else { return Some(Fault::closed()) };
        let fault = tokio::select! {
            () = closed(closing) => None,
            _ = drivers.join_next() => Some(Fault::unavailable("the connection to Redis was lost")),
            fault = watch_over(&mut connection, &up.doubt, endpoint.response_timeout()) => Some(fault),
        };
        if fault.is_none() {
            // The driver ends by itself when the last call has let go of the connection, as we do here.
            self.state.store(Arc::new(State::Down(Fault::closed())));
            drop((connection, state));
            let _ = timeout(endpoint.response_timeout(), drivers.join_next()).await;
        }
        fault
    }
}

/// Returns when the store is being closed.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that the store is gone, which is the same.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Returns why a connection must be given up although it is open.
async fn watch_over(connection: &mut MultiplexedConnection, doubt: &Notify, response_timeout: Duration) -> Fault {
    let mut missed = 0;
    loop {
        if missed == 0 {
            let _ = timeout(CHECK_INTERVAL, doubt.notified()).await;
        }
        match timeout(response_timeout, endpoint::check(connection)).await {
            Ok(Ok(())) => missed = 0,
            Ok(Err(fault)) => return fault,
            Err(_) => missed += 1,
        }
        if missed == MISSED_CHECKS {
            return Fault::unavailable("Redis hangs: the connection is open and nothing is answered");
        }
    }
}

/// How often a connection is checked on which nothing looks wrong.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How many checks in a row may get no answer in time. One may be a slow command of somebody else.
const MISSED_CHECKS: u32 = 3;

// === impl Call ===

impl Call {
    /// One command, one reply.
    pub(super) async fn command(&mut self, command: &Cmd) -> Result<Value, Fault> {
        let Self { state, connection, deadline } = self;
        let reply = within(*deadline, state, connection.send_packed_command(command)).await?;
        accept(state, reply)
    }

    /// Several commands in one round trip; their replies in order. One error is an error of all.
    pub(super) async fn pipeline(&mut self, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>, Fault> {
        let replies = self.send(commands).await?;
        replies.into_iter().map(|reply| accept(&self.state, reply)).collect()
    }

    /// Several scripts in one round trip; their replies in order. Those that Redis has forgotten are sent in full.
    pub(super) async fn scripts(&mut self, invocations: &[Invocation]) -> Result<Vec<i64>, Fault> {
        let mut replies = self.send(invocations.iter().map(Invocation::by_hash)).await?;
        let forgotten: Vec<_> = (0..replies.len()).filter(|&index| is_forgotten(&replies[index])).collect();
        if !forgotten.is_empty() {
            let again = self.send(forgotten.iter().map(|&index| invocations[index].in_full())).await?;
            for (index, reply) in forgotten.into_iter().zip(again) {
                replies[index] = reply;
            }
        }
        replies
            .into_iter()
            .map(|reply| match accept(&self.state, reply)? {
                Value::Int(outcome) => Ok(outcome),
                _ => Err(Fault::unexpected_reply()),
            })
            .collect()
    }

    /// One script.
    pub(super) async fn script(&mut self, invocation: Invocation) -> Result<i64, Fault> {
        let replies = self.scripts(&[invocation]).await?;
        replies.first().copied().ok_or_else(Fault::unexpected_reply)
    }

    /// Whether a primary answers at the other end.
    pub(super) async fn check(&mut self) -> Result<(), Fault> {
        let checked = timeout_at(self.deadline, endpoint::check(&mut self.connection)).await;
        let checked = checked.unwrap_or_else(|_| Err(Fault::silence()));
        if checked.is_err() {
            doubt(&self.state);
        }
        checked
    }

    async fn send(&mut self, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>, Fault> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        let Self { state, connection, deadline } = self;
        let replies = within(*deadline, state, connection.send_packed_commands(&pipeline, 0, pipeline.len())).await?;
        if replies.len() == pipeline.len() { Ok(replies) } else { Err(Fault::unexpected_reply()) }
    }
}

async fn within<T>(
    deadline: Instant,
    state: &State,
    request: impl Future<Output = RedisResult<T>>,
) -> Result<T, Fault> {
    if let Ok(reply) = timeout_at(deadline, request).await {
        reply.map_err(|error| Fault::of_client(&error))
    } else {
        doubt(state);
        Err(Fault::silence())
    }
}

/// Turns an error that Redis answered into a fault. One that only a replica gives is also a reason for doubt.
fn accept(state: &State, reply: Value) -> Result<Value, Fault> {
    match reply {
        Value::ServerError(error) => {
            if matches!(error.kind(), Some(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)) {
                doubt(state);
            }
            Err(Fault::of_server(&error))
        }
        reply => Ok(reply),
    }
}

fn doubt(state: &State) {
    if let State::Up(up) = state {
        up.doubt.notify_one();
    }
}

fn is_forgotten(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

// === impl Backoff ===

/// How long to wait before the next attempt to connect: twice as long each time, and a random part less, so that nodes
/// that lost Redis together do not come back together.
struct Backoff {
    longest_next: Duration,
}

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    fn next(&mut self) -> Duration {
        let longest = self.longest_next;
        self.longest_next = (longest * 2).min(Self::LONGEST);
        // Without randomness the wait is merely not spread.
        let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        longest.mul_f64(0.5 + share / 2.0).max(Self::SHORTEST)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { longest_next: 2 * Self::SHORTEST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_the_shortest_to_the_longest_and_stay_there() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (Backoff::SHORTEST..=Backoff::LONGEST).contains(wait)), "{waits:?}");
        assert!(waits[0] <= 2 * Backoff::SHORTEST);
        assert!(waits[10..].iter().all(|wait| *wait >= Backoff::LONGEST / 2), "{waits:?}");
    }
}

//! Waiting until replicas have what was written: one connection to each primary does it for all.
//!
//! `WAIT` blocks the connection that it is sent on, so it cannot be sent on those of the hot path. It need not be: what
//! a primary has acknowledged lies before whatever is written later in the one stream that replicas follow. So a later
//! write on another connection is waited for, and with it everything before; and one wait serves all who came before
//! it was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, ServerErrorKind, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Conversation;
use crate::store::redis::decimal;
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::Incarnation;
use crate::store::redis::link::accept;
use crate::store::redis::scripts;

/// How many can wait at once.
const QUEUE: usize = 4096;
/// For how many milliseconds what is written for the wait is kept.
const KEPT: u64 = 1000;

/// Where those register who want to wait.
#[derive(Clone, Debug)]
pub(in super::super) struct Group {
    requests: mpsc::Sender<Waiter>,
    counters: Arc<Counters>,
}

/// What answers them.
#[derive(Debug)]
pub(in super::super) struct Commits {
    requests: mpsc::Receiver<Waiter>,
    counters: Arc<Counters>,
    terms: Terms,
}

/// What is waited for.
#[derive(Clone, Debug)]
pub(in super::super) struct Terms {
    /// The incarnation of the primary. What was written to another one is not waited for.
    pub(in super::super) incarnation: Incarnation,
    /// A key with prefix that lies on the primary, for the write that is waited for.
    pub(in super::super) key: Box<str>,
    /// How many replicas must have it.
    pub(in super::super) replicas: usize,
    /// For how long they are waited for.
    pub(in super::super) limit: Duration,
    /// For how long an answer of the primary is, beside that.
    pub(in super::super) response_timeout: Duration,
}

/// What it has come to since the start.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Figures {
    /// Waits that were sent.
    pub(in super::super) groups: u64,
    /// Callers that were told that enough replicas have it.
    pub(in super::super) reached: u64,
    /// Callers that were told that too few have.
    pub(in super::super) shortfalls: u64,
    /// Callers that were told nothing could be found out, or for whom there was no room.
    pub(in super::super) failures: u64,
}

type Waiter = oneshot::Sender<Result<(), Fault>>;

#[derive(Debug, Default)]
struct Counters {
    groups: AtomicU64,
    reached: AtomicU64,
    shortfalls: AtomicU64,
    failures: AtomicU64,
}

/// A group with nobody in it.
pub(in super::super) fn group(terms: Terms) -> (Group, Commits) {
    let (sender, requests) = mpsc::channel(QUEUE);
    let counters = Arc::new(Counters::default());
    (Group { requests: sender, counters: Arc::clone(&counters) }, Commits { requests, counters, terms })
}

// === impl Group ===

impl Group {
    /// Returns when enough replicas have whatever the primary has acknowledged before this was called.
    ///
    /// # Errors
    /// [`Fault::unavailable`] when too few have it in time, or nothing could be found out by the deadline. It may reach
    /// them yet.
    pub(in super::super) async fn commit(&self, deadline: Instant) -> Result<(), Fault> {
        let (waiter, answer) = oneshot::channel();
        let outcome = match self.requests.try_send(waiter) {
            Ok(()) => match timeout_at(deadline, answer).await {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(_)) => Fault::unavailable("the connection to Redis was lost"),
                Err(_) => Fault::silence(),
            },
            Err(mpsc::error::TrySendError::Full(_)) => {
                Fault::unavailable("too many revocations wait for the replicas of Redis")
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Fault::closed(),
        };
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        Err(outcome)
    }

    /// What it has come to.
    #[cfg(test)]
    pub(in super::super) fn figures(&self) -> Figures {
        let [groups, reached, shortfalls, failures] =
            [&self.counters.groups, &self.counters.reached, &self.counters.shortfalls, &self.counters.failures]
                .map(|counter| counter.load(Ordering::Relaxed));
        Figures { groups, reached, shortfalls, failures }
    }
}

// === impl Commits ===

impl Commits {
    /// Answers all who come over a connection of its own, until that fails; nothing when nobody can come any more.
    pub(in super::super) async fn serve(&mut self, conversation: &mut impl Conversation) -> Option<Fault> {
        loop {
            let mut waiters = Vec::new();
            if self.requests.recv_many(&mut waiters, QUEUE).await == 0 {
                return None;
            }
            // Whoever has given up meanwhile needs no answer.
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                continue;
            }
            let count = waiters.len() as u64;
            self.counters.groups.fetch_add(1, Ordering::Relaxed);
            let (outcome, broken) = match self.wait(conversation).await {
                Ok(true) => (Ok(()), None),
                Ok(false) => (Err(Fault::unavailable("too few replicas of Redis have it")), None),
                Err(fault) => (Err(fault.clone()), Some(fault)),
            };
            let counter = match (&outcome, &broken) {
                (Ok(()), _) => &self.counters.reached,
                (Err(_), None) => &self.counters.shortfalls,
                (Err(_), Some(_)) => &self.counters.failures,
            };
            counter.fetch_add(count, Ordering::Relaxed);
            for waiter in waiters {
                let _ = waiter.send(outcome.clone());
            }
            if broken.is_some() {
                return broken;
            }
        }
    }

    /// Whether enough replicas have what was acknowledged so far.
    async fn wait(&self, conversation: &mut impl Conversation) -> Result<bool, Fault> {
        let fence = scripts::replay::FENCE.on([String::from(&*self.terms.key)], [decimal(KEPT)]);
        let mut replies = self.send(conversation, fence.by_hash()).await?;
        if matches!(&replies[0], Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript)) {
            replies = self.send(conversation, fence.in_full()).await?;
        }
        let [written, reached, incarnation] = replies;
        accept(written)?;
        self.terms.incarnation.expect(incarnation)?;
        match accept(reached)? {
            Value::Int(reached) => Ok(usize::try_from(reached).is_ok_and(|reached| reached >= self.terms.replicas)),
            _ => Err(Fault::unexpected_reply()),
        }
    }

    /// Replies to the write, to `WAIT`, and to what incarnation it is.
    async fn send(&self, conversation: &mut impl Conversation, write: Cmd) -> Result<[Value; 3], Fault> {
        let limit = u64::try_from(self.terms.limit.as_millis()).unwrap_or(u64::MAX);
        let mut wait = redis::cmd("WAIT");
        // Without a limit, which is what 0 stands for, it would wait for ever.
        wait.arg(self.terms.replicas).arg(limit.max(1));
        let deadline = Instant::now() + self.terms.limit + self.terms.response_timeout;
        let replies = conversation.pipeline(vec![write, wait, Incarnation::ask_again()], deadline).await?;
        replies.try_into().map_err(|_| Fault::unexpected_reply())
    }
}

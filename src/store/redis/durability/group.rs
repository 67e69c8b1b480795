//! Waiting until replicas have what was written: one connection to each primary does it for all.
//!
//! `WAIT` blocks the connection that it is sent on, so it cannot be sent on those of the hot path. It need not be: what
//! a primary has acknowledged lies before whatever is written later in the one stream that replicas follow. So a later
//! write on another connection is waited for, and with it everything before; and one wait serves all who came before
//! it was sent.

use std::time::Duration;

use redis::{Cmd, ServerErrorKind, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Conversation;
use crate::store::redis::decimal;
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::{self, Incarnation};
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
    incarnation: Incarnation,
}

/// What answers them.
#[derive(Debug)]
pub(in super::super) struct Commits {
    requests: mpsc::Receiver<Waiter>,
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

type Waiter = oneshot::Sender<Result<(), Fault>>;

/// A group with nobody in it.
pub(in super::super) fn group(terms: Terms) -> (Group, Commits) {
    let (sender, requests) = mpsc::channel(QUEUE);
    (Group { requests: sender, incarnation: terms.incarnation.clone() }, Commits { requests, terms })
}

// === impl Group ===

impl Group {
    /// Returns when enough replicas have whatever the primary has acknowledged before this was called, in the incarnation
    /// named.
    ///
    /// # Errors
    /// [`Fault::unavailable`] when too few have it in time, nothing could be found out by the deadline, or the primary is
    /// in another incarnation. It may reach them yet.
    pub(in super::super) async fn commit(&self, written_in: &Incarnation, deadline: Instant) -> Result<(), Fault> {
        if self.incarnation != *written_in {
            return Err(incarnation::changed());
        }
        let (waiter, answer) = oneshot::channel();
        self.requests.try_send(waiter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Fault::unavailable("too many revocations wait for the replicas of Redis")
            }
            mpsc::error::TrySendError::Closed(_) => Fault::closed(),
        })?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::unavailable("the connection to Redis was lost")),
            Err(_) => Err(Fault::silence()),
        }
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
            let (outcome, broken) = match self.wait(conversation).await {
                Ok(true) => (Ok(()), None),
                Ok(false) => (Err(Fault::unavailable("too few replicas of Redis have it")), None),
                Err(fault) => (Err(fault.clone()), Some(fault)),
            };
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

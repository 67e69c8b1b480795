//! One of those who are asked, and the connection to it, which comes and goes by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::{Cmd, Value};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::store::redis::backoff::Backoff;
use crate::store::redis::dial::Address;
use crate::store::redis::endpoint::Endpoint;
use crate::store::redis::fault::Fault;
use crate::store::redis::link::{Line, Listener};
use crate::watch;

/// Somebody who can be asked.
pub(super) struct Member {
    address: Address,
    line: watch::Receiver<Result<Line, Fault>>,
    health: Arc<Health>,
    /// Dropped with it, which ends the task and the connection.
    _keeper: JoinSet<()>,
}

/// What is known of the connection that is up.
#[derive(Default)]
struct Health {
    /// How many questions in a row got no answer in time.
    missed: AtomicUsize,
    /// How many questions are on their way.
    under_way: AtomicUsize,
    /// Rung when a connection must be given up although it is open.
    hangs: Notify,
}

/// What came of a question.
pub(super) struct Answer {
    /// Who was asked.
    pub(super) from: Address,
    /// A reply to each command, errors of the server among them.
    pub(super) replies: Result<Vec<Value>, Fault>,
}

/// What somebody is told of, beside being asked.
#[derive(Clone)]
pub(super) struct Subscription {
    /// The channel.
    pub(super) channel: &'static str,
    /// Who is told.
    pub(super) listener: Listener,
}

/// How many questions may be on their way to one member. One that hangs gets no more.
const MOST_UNDER_WAY: usize = 32;
/// How many questions in a row may get no answer in time before the connection is given up.
const MOST_MISSED: usize = 4;

impl Member {
    /// Starts to keep a connection up. `seed` spreads the attempts.
    pub(super) fn start(address: Address, endpoint: Endpoint, news: Option<Subscription>, seed: u64) -> Self {
        let (line, known) = watch::channel(Err(Fault::unavailable("not connected to Redis yet")));
        let health = Arc::new(Health::default());
        let mut keeper = JoinSet::new();
        keeper.spawn(keep_up(address.clone(), endpoint, news, seed, line, Arc::clone(&health)));
        Self { address, line: known, health, _keeper: keeper }
    }

    /// Sends it a question. What comes of that is handed to `answers`, once, by the deadline. While there is no
    /// connection, the question waits for the next attempt to open one.
    pub(super) fn ask(
        &self,
        question: Vec<Cmd>,
        deadline: Instant,
        answers: mpsc::UnboundedSender<Answer>,
        tasks: &mut JoinSet<()>,
    ) {
        let (from, mut line, health) = (self.address.clone(), self.line.clone(), Arc::clone(&self.health));
        tasks.spawn(async move {
            let replies = if health.under_way.fetch_add(1, Ordering::Relaxed) < MOST_UNDER_WAY {
                send(&mut line, question, deadline, &health).await
            } else {
                Err(Fault::silence())
            };
            health.under_way.fetch_sub(1, Ordering::Relaxed);
            // An error means that the look is over.
            let _ = answers.send(Answer { from, replies });
        });
    }
}

async fn send(
    line: &mut watch::Receiver<Result<Line, Fault>>,
    question: Vec<Cmd>,
    deadline: Instant,
    health: &Health,
) -> Result<Vec<Value>, Fault> {
    let known = line.borrow_and_update().clone();
    let mut line = match known {
        Ok(line) => line,
        Err(fault) => match timeout_at(deadline, line.changed()).await {
            Ok(Ok(())) => line.borrow_and_update().clone()?,
            Ok(Err(_)) => return Err(Fault::closed()),
            // Why there is no connection says more than that there was none in time.
            Err(_) => return Err(fault),
        },
    };
    let replies = line.pipeline(question, deadline).await;
    match &replies {
        Err(fault) if fault.is_silence() => {
            if health.missed.fetch_add(1, Ordering::Relaxed) + 1 == MOST_MISSED {
                health.hangs.notify_one();
            }
        }
        _ => health.missed.store(0, Ordering::Relaxed),
    }
    replies
}

/// Opens a connection, keeps it as long as it is good, and opens the next. Never ends.
async fn keep_up(
    address: Address,
    endpoint: Endpoint,
    news: Option<Subscription>,
    seed: u64,
    line: watch::Sender<Result<Line, Fault>>,
    health: Arc<Health>,
) {
    let mut backoff = Backoff::new(seed);
    let mut reported = false;
    loop {
        let began = Instant::now();
        let fault = serve(&address, &endpoint, news.as_ref(), &line, &health).await;
        // Once per outage: the attempts go on for as long as it lasts.
        if reported {
            tracing::debug!(server = %address, fault = fault.detail(), "still nobody to ask for the primaries");
        } else {
            tracing::warn!(server = %address, fault = fault.detail(), "cannot be asked for the primaries");
        }
        // One that comes up and breaks at once is no progress.
        reported = began.elapsed() < Backoff::LONGEST;
        if !reported {
            backoff.reset();
        }
        drop(line.send_replace(Err(fault)));
        sleep(backoff.next()).await;
    }
}

/// Offers a connection to those who ask until it fails; returns why it did.
async fn serve(
    address: &Address,
    endpoint: &Endpoint,
    news: Option<&Subscription>,
    line: &watch::Sender<Result<Line, Fault>>,
    health: &Health,
) -> Fault {
    let deadline = Instant::now() + endpoint.connect_timeout();
    let listener = news.map(|news| Arc::clone(&news.listener));
    let mut link = match endpoint.open(address, listener, deadline).await {
        Ok(link) => link,
        Err(fault) => return fault,
    };
    health.missed.store(0, Ordering::Relaxed);
    let mut own = link.line();
    drop(line.send_replace(Ok(link.line())));
    let hangs = async {
        if let Some(news) = news
            && let Err(fault) = own.subscribe(news.channel, deadline).await
        {
            // Without it, what is new is found out by the next look.
            tracing::debug!(server = %address, fault = fault.detail(), "does not announce other primaries");
        }
        health.hangs.notified().await;
    };
    tokio::select! {
        biased;
        fault = link.lost() => fault,
        () = hangs => Fault::unavailable("Redis hangs: the connection is open and nothing is answered"),
    }
}

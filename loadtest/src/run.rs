//! Threads and connections at work.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Barrier, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Runtime};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, sleep_until, timeout};

use crate::client::{Connection, Verdict};
use crate::plan::Plan;
use crate::record::{Moments, Record};
use crate::schedule::{Schedule, Turn, loop_lag, wait_until};

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

/// After a connection could not be opened: a server that is away must not be run over when it comes back.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// From the moment at which all connections are open to the first start.
const HEAD_START: Duration = Duration::from_millis(10);

/// Does what the plan says, and returns what was seen.
///
/// All connections are open before the first request starts: opening them is not what is measured.
pub(crate) fn run(plan: &Arc<Plan>) -> Result<Record, RunError> {
    let gate = Arc::new(Gate { schedule: OnceLock::new(), barrier: Barrier::new(usize::from(plan.threads) + 1) });
    let (sender, opened) = mpsc::channel();
    let workers: Vec<_> = (0..plan.threads)
        .map(|thread| {
            let share = plan.connections / plan.threads + u16::from(thread < plan.connections % plan.threads);
            let (plan, gate, opened) = (Arc::clone(plan), Arc::clone(&gate), sender.clone());
            thread::spawn(move || work(&plan, share, &gate, &opened))
        })
        .collect();
    let failure = opened.iter().take(workers.len()).find_map(Result::err);
    if failure.is_none() {
        let begin = Instant::now() + HEAD_START;
        gate.schedule.get_or_init(|| Arc::new(Schedule::new(begin, plan.warmup, plan.duration, plan.rate)));
    }
    gate.barrier.wait();
    let mut record = Record::new();
    for worker in workers {
        record.merge(&worker.join().map_err(|_| RunError::Thread("it panicked".to_owned()))?);
    }
    failure.map_or(Ok(record), Err)
}

/// Where threads wait for each other before the start. Opened without a schedule, it sends everybody home.
struct Gate {
    schedule: OnceLock<Arc<Schedule>>,
    barrier: Barrier,
}

/// One thread: opens its connections, waits for the others, and lets them ask.
fn work(plan: &Arc<Plan>, share: u16, gate: &Gate, opened: &mpsc::Sender<Result<(), RunError>>) -> Record {
    let local = LocalSet::new();
    let (ready, told) = match open(plan, share, &local) {
        Ok(ready) => (Some(ready), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // After a first failure nobody listens any more.
    let _ = opened.send(told);
    gate.barrier.wait();
    let (Some((runtime, connections)), Some(schedule)) = (ready, gate.schedule.get()) else { return Record::new() };
    let worker = Rc::new(Worker {
        plan: Arc::clone(plan),
        schedule: Arc::clone(schedule),
        record: RefCell::new(Record::new()),
        next: Mutex::new(()),
    });
    local.block_on(&runtime, worker.ask_over(connections));
    worker.record.replace(Record::new())
}

fn open(plan: &Plan, share: u16, local: &LocalSet) -> Result<(Runtime, Vec<Connection>), RunError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Thread(error.to_string()))?;
    let connections = local.block_on(&runtime, async {
        let mut connections = Vec::new();
        for _ in 0..share {
            connections.push(Connection::open(&plan.target).await?);
        }
        Ok(connections)
    });
    Ok((runtime, connections.map_err(RunError::Connect)?))
}

/// What the connections of one thread share.
struct Worker {
    plan: Arc<Plan>,
    schedule: Arc<Schedule>,
    record: RefCell<Record>,
    /// Held by the one free connection that waits for the next start. Were all of them to look at the clock, they would
    /// be in each other's way.
    next: Mutex<()>,
}

impl Worker {
    async fn ask_over(self: &Rc<Self>, connections: Vec<Connection>) {
        let mut asking = JoinSet::new();
        for connection in connections {
            let worker = Rc::clone(self);
            asking.spawn_local(async move { worker.ask(connection).await });
        }
        let finished = async {
            // A server that has fallen behind is given one more timeout to catch up. Starts that have not come by then
            // never will, and count as what they are.
            let cut_off = self.schedule.end() + self.plan.timeout;
            tokio::select! {
                () = all(&mut asking) => {}
                () = sleep_until(cut_off.into()) => {}
            }
            for turn in self.schedule.take_rest() {
                self.record.borrow_mut().unsent(turn.intended.elapsed());
            }
            all(&mut asking).await;
        };
        let watching = async {
            loop {
                let lag = loop_lag().await;
                self.record.borrow_mut().loop_lag.add(lag);
            }
        };
        tokio::select! {
            () = finished => {}
            () = watching => {}
        }
    }

    /// One connection, until the schedule is over.
    async fn ask(&self, connection: Connection) {
        let mut connection = Some(connection);
        while let Some((turn, sent)) = self.next_start().await {
            let number = usize::try_from(turn.number).expect("a number of requests fits into memory's");
            let question = number % self.plan.questions.len();
            let verdict = self.ask_once(&mut connection, question).await;
            let moments = Moments { intended: turn.intended, sent, ended: Instant::now() };
            let mut record = self.record.borrow_mut();
            record.count(question, verdict);
            record.completed += u64::from(self.schedule.is_in_window(moments.ended));
            if self.schedule.is_measured(turn.intended) {
                record.measure(moments);
            }
        }
    }

    /// The next request, at the moment at which it is meant to start or later.
    async fn next_start(&self) -> Option<(Turn, Instant)> {
        let _waiting = self.next.lock().await;
        let turn = self.schedule.take()?;
        let stood_ready = turn.intended > Instant::now();
        wait_until(turn.intended).await;
        let sent = Instant::now();
        if stood_ready && self.schedule.is_measured(turn.intended) {
            self.record.borrow_mut().start_lag.add(sent - turn.intended);
        }
        Some((turn, sent))
    }

    async fn ask_once(&self, connection: &mut Option<Connection>, question: usize) -> Verdict {
        let target = &self.plan.target;
        let question = &self.plan.questions[question];
        let asked = async {
            let Some(mut usable) = self.usable(connection.take()).await else { return Verdict::Broken };
            let verdict = usable.ask(target, question).await;
            if verdict != Verdict::Broken {
                *connection = Some(usable);
            }
            verdict
        };
        // A connection whose answer is late goes away with it: the next one to come over it would be the wrong one.
        timeout(self.plan.timeout, asked).await.unwrap_or(Verdict::Late)
    }

    /// The connection, or another one where the server has closed it.
    async fn usable(&self, connection: Option<Connection>) -> Option<Connection> {
        if let Some(mut connection) = connection
            && connection.is_usable().await
        {
            return Some(connection);
        }
        self.record.borrow_mut().reconnects += 1;
        let opened = Connection::open(&self.plan.target).await.ok();
        if opened.is_none() {
            sleep(RECONNECT_PAUSE).await;
        }
        opened
    }
}

async fn all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

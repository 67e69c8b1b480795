//! One thread: opens its connections, waits for the others, and lets them ask.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{self, Runtime};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep_until;

use super::connection::Connection;
use super::plan::Plan;
use super::progress::Progress;
use super::{Gate, RunError};
use crate::client::deadline::Deadline;
use crate::record::{Moments, Record, Verdict};
use crate::schedule::arrivals::Arrivals;
use crate::schedule::clock::{Clock, loop_lag};
use crate::schedule::{Schedule, Span};
use crate::truth::answer::Judge;
use crate::workload::population::Picker;

/// Works as thread `thread` of the plan.
pub(crate) fn work(
    plan: &Arc<Plan>,
    thread: u16,
    gate: &Gate,
    opened: &mpsc::Sender<Result<(), RunError>>,
    progress: &Arc<Progress>,
) -> Record {
    let local = LocalSet::new();
    let share = plan.connections / plan.threads + u16::from(thread < plan.connections % plan.threads);
    let (ready, told) = match open(plan, share, &local) {
        Ok(ready) => (Some(ready), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // After a first failure nobody listens any more.
    let _ = opened.send(told);
    gate.barrier.wait();
    let (Some((runtime, clock, connections)), Some(span)) = (ready, gate.span.get()) else {
        return Record::new(plan.window);
    };
    let worker = Rc::new(Worker::new(plan, thread, *span, clock, progress));
    let (begin, processor) = (Instant::now(), processor_time());
    local.block_on(&runtime, worker.ask_over(connections));
    let mut record = worker.record.replace(Record::new(plan.window));
    record.processor = processor_time().saturating_sub(processor);
    record.ran = begin.elapsed();
    record
}

/// What the thread has taken of the processor.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn open(plan: &Plan, share: u16, local: &LocalSet) -> Result<(Runtime, Clock, Vec<Connection>), RunError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Thread(error.to_string()))?;
    let opened = local.block_on(&runtime, async {
        let mut connections = Vec::new();
        for _ in 0..share {
            connections.extend(Connection::open(plan).await?);
        }
        Ok((Clock::new()?, connections))
    });
    let (clock, connections) = opened.map_err(RunError::Connect)?;
    Ok((runtime, clock, connections))
}

/// What the connections of one thread share.
struct Worker {
    plan: Arc<Plan>,
    thread: u16,
    schedule: Schedule,
    clock: Clock,
    progress: Arc<Progress>,
    record: RefCell<Record>,
    judge: RefCell<Judge>,
    picker: RefCell<Picker>,
    /// Held by the one free connection that waits for the next start. Were all of them to look at the clock, they would
    /// be in each other's way.
    next: Mutex<()>,
}

impl Worker {
    fn new(plan: &Arc<Plan>, thread: u16, span: Span, clock: Clock, progress: &Arc<Progress>) -> Self {
        let arrivals = plan.shape.map(|shape| Arrivals::new(shape, plan.seed, thread, plan.threads));
        Self {
            plan: Arc::clone(plan),
            thread,
            schedule: Schedule::new(span, arrivals),
            clock,
            progress: Arc::clone(progress),
            record: RefCell::new(Record::new(plan.window)),
            judge: RefCell::new(Judge::new()),
            picker: RefCell::new(plan.population.picker(thread, plan.threads)),
            next: Mutex::new(()),
        }
    }

    async fn ask_over(self: &Rc<Self>, connections: Vec<Connection>) {
        let mut asking = JoinSet::new();
        for connection in connections {
            let worker = Rc::clone(self);
            asking.spawn_local(async move { worker.ask(connection).await });
        }
        let span = self.schedule.span;
        let finished = async {
            // A server that has fallen behind is given one more timeout to catch up. Starts that have not come by then
            // never will, and count as what they are.
            let cut_off = span.end + self.plan.timeout;
            tokio::select! {
                () = all(&mut asking) => {}
                () = sleep_until(cut_off.into()) => {}
            }
            for intended in self.schedule.take_rest() {
                self.record.borrow_mut().unsent(span.measured(intended), intended.elapsed());
            }
            all(&mut asking).await;
        };
        let watching = async {
            sleep_until(span.begin.into()).await;
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
    async fn ask(&self, mut connection: Connection) {
        let mut deadline = Deadline::new(self.plan.timeout);
        if !self.schedule.is_open() {
            sleep_until(self.schedule.span.begin.into()).await;
        }
        while let Some((intended, sent)) = self.next_start().await {
            let token = self.picker.borrow_mut().pick(&self.plan.population);
            let asked = connection.ask(&self.plan, token, &self.record, &self.judge);
            // A connection whose answer is late goes away with it: the next one to come over it would be the wrong one.
            let verdict = deadline.bound(sent, asked).await.unwrap_or(Verdict::Late);
            let moments = Moments { intended, sent, ended: Instant::now() };
            let mut record = self.record.borrow_mut();
            record.count(token, verdict);
            record.completed += u64::from(self.schedule.span.is_measured(moments.ended));
            if let Some(at) = self.schedule.span.measured(intended) {
                record.measure(at, moments, verdict);
            }
            self.progress.add(self.thread, verdict, moments.ended - intended);
        }
    }

    /// The next request, at the moment at which it is meant to start or later.
    async fn next_start(&self) -> Option<(Instant, Instant)> {
        if !self.schedule.is_open() {
            return self.schedule.take().map(|now| (now, now));
        }
        let _waiting = self.next.lock().await;
        let intended = self.schedule.take()?;
        let stood_ready = intended > Instant::now();
        // Without its timer there is no schedule to keep; the start lag would show it.
        let _ = self.clock.wait_until(intended).await;
        let sent = Instant::now();
        if stood_ready && self.schedule.span.measured(intended).is_some() {
            self.record.borrow_mut().start_lag.add(sent - intended);
        }
        Some((intended, sent))
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

//! Takes the history down: one clock for everybody, and where the wall clock of the nodes lies on it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use checker::history::fault::Fault;
use checker::history::mode::{Acknowledge, Durability, Mode};
use checker::history::recorder::Recorder;
use checker::history::{Event, History, Moment};
use introspectd::token::time::{Clock, UnixSeconds};
use tokio::task::JoinHandle;

/// How much later than it wanted a task of ours may run before the machine is held to be too busy to be judged.
const STUTTER: Duration = Duration::from_millis(150);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The lease of all nodes.
pub(crate) const LEASE: Duration = Duration::from_millis(200);

/// What is promised by three nodes with the usual lease.
pub(crate) fn mode(acknowledge: Acknowledge, durability: Durability) -> Mode {
    Mode {
        acknowledge,
        durability,
        lease: nanoseconds(LEASE),
        nodes: 3,
        grace: nanoseconds(Duration::from_millis(500)),
        // Word of an approval is not waited for; it comes with the next message, unless the machine is busy.
        approved_within: nanoseconds(Duration::from_millis(500)),
    }
}

/// Sees everything.
pub(crate) struct Witness {
    recorder: Recorder,
    start: Instant,
    /// The wall clock at that moment, in nanoseconds since 1970.
    wall: u64,
    /// What should not have been answered, whatever happens.
    strange: Mutex<Vec<String>>,
}

impl Witness {
    pub(crate) fn new(mode: Mode) -> Arc<Self> {
        let (start, wall) = (Instant::now(), Clock::System.now().stamp().0 * 1000);
        Arc::new(Self { recorder: Recorder::new(mode), start, wall, strange: Mutex::default() })
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Moment {
        self.recorder.moment(nanoseconds(self.start.elapsed()))
    }

    /// The second of the wall clock that it is now.
    pub(crate) fn second() -> u64 {
        Clock::System.now().seconds().0
    }

    /// When the wall clock shows this second.
    pub(crate) fn moment_of(&self, second: UnixSeconds) -> Moment {
        (second.milliseconds() * 1_000_000).saturating_sub(self.wall)
    }

    pub(crate) fn record(&self, event: Event) {
        self.recorder.record(event);
    }

    /// Notes an answer that no node may ever give.
    pub(crate) fn strange(&self, what: String) {
        self.strange.lock().unwrap().push(what);
    }

    /// What no node may ever say, as far as they have said it.
    pub(crate) fn strangest(&self) -> Vec<String> {
        self.strange.lock().unwrap().clone()
    }

    /// What has been seen so far.
    pub(crate) fn take(&self) -> History {
        self.recorder.take()
    }

    /// Notes as a fault whenever this machine does not get round to us: it does not get round to the nodes then either.
    pub(crate) fn watch_the_machine(self: &Arc<Self>) -> JoinHandle<()> {
        let witness = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let begin = witness.now();
                let begun = Instant::now();
                tokio::time::sleep(LOOK).await;
                if begun.elapsed() > LOOK + STUTTER {
                    let end = Some(witness.now());
                    let fault = "the machine stood still".to_owned();
                    witness.record(Event::Fault(Fault { fault, begin, end, ..Fault::default() }));
                }
            }
        })
    }
}

/// As a number.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

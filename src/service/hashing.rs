//! The bounded pool for hashes that are slow on purpose, so that a flood of them cannot slow anything else down.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::user::hash::HashMemory;

/// Runs slow hashes on threads of its own: so many at once, so many waiting, and no more. The threads end when it is
/// dropped, as soon as they have done what was admitted.
#[derive(Debug)]
pub struct HashingPool {
    shared: Arc<Shared>,
    admitted: Arc<AtomicUsize>,
    limit: usize,
    /// How many places each peer has: as many entries as there are places at most.
    held: Held,
}

type Held = Arc<Mutex<HashMap<Option<IpAddr>, usize>>>;

/// The pool and its queue are full, or the work has panicked. Trying again later may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue for slow hashes is full")]
pub struct Busy;

/// How much of a core the threads of a pool get where others want it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// As much as all other threads.
    Usual,
    /// What others leave. On Linux such threads are of the class for idle times (`SCHED_IDLE`, see sched(7)): a thread
    /// that answers requests takes the core from one of these in the moment that it is woken, where a nice one would
    /// finish its turn first, of up to four milliseconds. Elsewhere it does nothing.
    Background,
}

/// How long hashes at a low priority may stand still before one more thread does some of them at a priority that cannot
/// be starved: less than callers wait for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Of that thread, where it competes for a core with one that answers requests: about a tenth of it (see nice(2)).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce(&mut HashMemory) + Send>;

/// What the threads wait at. Nothing is run while the lock is held.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Where the relief waits: what wakes it must not be taken from the others.
    watched: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// How many the usual threads have taken so far.
    taken: u64,
    closed: bool,
}

impl HashingPool {
    /// A pool that runs `threads` hashes at once and lets `queue` more wait.
    ///
    /// At [`Priority::Background`] there is one more thread, the relief, of a usual but nice kind. It does nothing, but
    /// for when hashes wait and no other thread has taken one for a second, since other work keeps all cores busy: then
    /// it takes one after the other until that has changed. So such a pool may be slow, and never stands still.
    ///
    /// # Errors
    /// When the operating system has no more threads.
    pub fn new(threads: usize, queue: usize, priority: Priority) -> io::Result<Self> {
        Self::with_patience(threads, queue, priority, PATIENCE)
    }

    fn with_patience(threads: usize, queue: usize, priority: Priority, patience: Duration) -> io::Result<Self> {
        let pool = Self {
            shared: Arc::new(Shared::default()),
            admitted: Arc::new(AtomicUsize::new(0)),
            limit: threads + queue,
            held: Arc::default(),
        };
        for number in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let name = match priority {
                Priority::Usual => format!("hashing-{number}"),
                Priority::Background => format!("hashing-low-{number}"),
            };
            thread::Builder::new().name(name).spawn(move || {
                if priority == Priority::Background {
                    scheduling::take_what_is_left();
                }
                shared.work();
            })?;
        }
        if priority == Priority::Background {
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new().name("hashing-relief".to_owned()).spawn(move || {
                scheduling::be_nice();
                shared.relieve(patience);
            })?;
        }
        Ok(pool)
    }

    /// Runs `work` when its turn has come, with the memory of the thread that it runs on.
    ///
    /// Work that was admitted is done even if this future is dropped, and keeps its place until it is: a peer that
    /// hangs up can neither make room for more, nor keep its attempt from being counted.
    ///
    /// # Errors
    /// [`Busy`] at once when the queue is full, and when `work` panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        self.run_at(self.take_place()?, work).await
    }

    /// The same for a peer, which has at most half of the places: or one that asks without a pause, and is right each
    /// time, would leave none to anybody else.
    ///
    /// # Errors
    /// [`Busy`] also when the peer has its half.
    pub async fn run_for<T: Send + 'static>(
        &self,
        peer: Option<IpAddr>,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let share = Share::take(&self.held, peer, self.limit.div_ceil(2))?;
        let place = self.take_place()?;
        self.run_at((share, place), work).await
    }

    async fn run_at<T: Send + 'static>(
        &self,
        place: impl Send + 'static,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (answer, done) = oneshot::channel();
        self.shared.push(Box::new(move |memory| {
            let held_until_done = place;
            let result = work(memory);
            drop(held_until_done);
            // Nobody listens if the caller has gone.
            let _ = answer.send(result);
        }));
        // A job that panics takes the sender with it.
        done.await.map_err(|_| Busy)
    }

    /// How many are running or waiting now.
    pub fn depth(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    fn take_place(&self) -> Result<Place, Busy> {
        let place = Place(Arc::clone(&self.admitted));
        // The place is given back by its drop, also when it turns out to be one too many.
        if self.admitted.fetch_add(1, Ordering::Relaxed) < self.limit { Ok(place) } else { Err(Busy) }
    }
}

impl Drop for HashingPool {
    fn drop(&mut self) {
        // Not waited for: the last owner may be a job of this very pool.
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        self.shared.watched.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.changed.notify_one();
        self.watched.notify_one();
    }

    /// The next job; `None` when there are none left and the pool is gone.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                queue.taken += 1;
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let mut memory = HashMemory::default();
        while let Some(job) = self.next() {
            run(job, &mut memory);
        }
    }

    /// The next job once none has been taken for so long although some wait, or none since `taken` of them were; `None`
    /// when there are none left and the pool is gone.
    fn neglected(&self, taken: &mut Option<u64>, patience: Duration) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.jobs.is_empty() {
                if queue.closed {
                    return None;
                }
                *taken = None;
                queue = self.watched.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else if *taken == Some(queue.taken) {
                return queue.jobs.pop_front();
            } else {
                let seen = queue.taken;
                let waited = self.watched.wait_timeout_while(queue, patience, |queue| queue.taken == seen);
                let (now, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
                *taken = timed_out.timed_out().then_some(seen);
                queue = now;
            }
        }
    }

    fn relieve(&self, patience: Duration) {
        let mut taken = None;
        while let Some(job) = self.neglected(&mut taken, patience) {
            // Not kept: it is hardly ever needed.
            run(job, &mut HashMemory::default());
        }
    }
}

fn run(job: Job, memory: &mut HashMemory) {
    if catch_unwind(AssertUnwindSafe(|| job(memory))).is_err() {
        // What the job left in it is wiped, and the next one begins with memory that it knows.
        *memory = HashMemory::default();
        tracing::error!("a slow hash panicked");
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("waiting", &self.lock().jobs.len()).finish_non_exhaustive()
    }
}

/// What the calling thread gets of a core. On Linux each thread has a priority of its own, whatever POSIX says.
#[cfg(target_os = "linux")]
mod scheduling {
    use rustix::process::{getpriority_process, setpriority_process};
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id, thread_schedule_policy,
    };

    use super::NICENESS;

    /// The lowest priority there is.
    const NICEST: i32 = 19;

    const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

    /// Only what others leave; where that is forbidden, little.
    pub(super) fn take_what_is_left() {
        // It also sets the niceness to 0, which fails in a process that was started as a nice one, and does not matter.
        let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE);
        if thread_schedule_policy() != Ok(IDLE) {
            tracing::warn!(?set, "slow hashes run at a niceness instead of in idle times only");
            be_nice();
        }
    }

    /// Little where others want it, too.
    pub(super) fn be_nice() {
        // No process named is the calling thread.
        let lowered = getpriority_process(None)
            .and_then(|current| setpriority_process(None, current.saturating_add(NICENESS).min(NICEST)));
        if let Err(error) = lowered {
            tracing::warn!(%error, "slow hashes run at the priority of everything else");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod scheduling {
    pub(super) fn take_what_is_left() {}

    pub(super) fn be_nice() {}
}

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the places that a peer has; given back by its drop.
struct Share {
    held: Held,
    peer: Option<IpAddr>,
}

impl Share {
    fn take(held: &Held, peer: Option<IpAddr>, most: usize) -> Result<Self, Busy> {
        let mut counts = held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&peer).copied().unwrap_or_default();
        if count >= most {
            return Err(Busy);
        }
        counts.insert(peer, count + 1);
        drop(counts);
        Ok(Self { held: Arc::clone(held), peer })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pool(threads: usize, queue: usize) -> Arc<HashingPool> {
        Arc::new(HashingPool::new(threads, queue, Priority::Usual).unwrap())
    }

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_refused() {
        let pool = pool(1, 1);
        let (release, gate) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(move |_| gate.recv().is_ok()).await }
        });
        let second = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(|_| 2).await }
        });
        while pool.depth() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|_| 3).await, Err(Busy));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
        assert_eq!(second.await.unwrap(), Ok(2));
        while pool.depth() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_peer_has_half_of_the_places_and_leaves_the_rest_to_others() {
        let pool = pool(1, 3);
        let (release, gate) = mpsc::channel::<()>();
        let (one, other) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
        let first = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run_for(one, move |_| gate.recv().is_ok()).await }
        });
        let spawn = |peer| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { pool.run_for(peer, |_| true).await })
        };
        let (second, others) = (spawn(one), spawn(other));
        while pool.depth() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run_for(one, |_| true).await, Err(Busy));
        // A caller that goes away does not get its share back before its work is done.
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        assert_eq!(pool.run_for(one, |_| true).await, Err(Busy));
        release.send(()).unwrap();
        assert_eq!((first.await.unwrap(), others.await.unwrap()), (Ok(true), Ok(true)));
        while pool.depth() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(pool.held.lock().unwrap().is_empty());
        assert_eq!(pool.run_for(one, |_| true).await, Ok(true));
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_keeps_its_place_and_is_done() {
        let pool = pool(1, 0);
        let (release, gate) = mpsc::channel::<()>();
        let (tell, told) = oneshot::channel();
        let caller = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(move |_| tell.send(gate.recv().is_ok())).await }
        });
        while pool.depth() < 1 {
            tokio::task::yield_now().await;
        }
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(pool.run(|_| ()).await, Err(Busy), "the place is still taken");
        release.send(()).unwrap();
        assert_eq!(told.await, Ok(true), "and the work is done");
    }

    #[tokio::test]
    async fn work_that_panics_answers_its_caller_gives_its_place_back_and_leaves_the_thread() {
        let pool = pool(1, 0);
        for _ in 0..3 {
            let panicking = pool.run(|_| -> u8 { panic!("on purpose") }).await;
            assert_eq!(panicking, Err(Busy));
            assert_eq!(pool.depth(), 0);
        }
        assert_eq!(pool.run(|_| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn so_many_run_at_once_on_threads_that_have_names() {
        let pool = pool(3, 0);
        let together = Arc::new(std::sync::Barrier::new(3));
        let meet = || {
            let together = Arc::clone(&together);
            pool.run(move |_| {
                together.wait();
                thread::current().name().map(str::to_owned)
            })
        };
        let (one, two, three) = tokio::join!(meet(), meet(), meet());
        let mut names = [one, two, three].map(|name| name.unwrap().unwrap());
        names.sort();
        assert_eq!(names, ["hashing-0", "hashing-1", "hashing-2"]);
    }

    #[tokio::test]
    async fn threads_do_what_was_admitted_and_end_with_the_pool() {
        struct Ended(Option<oneshot::Sender<()>>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.take().map(|tell| tell.send(()));
            }
        }
        thread_local!(static AT_THE_END: std::cell::RefCell<Option<Ended>> = const { std::cell::RefCell::new(None) });

        let pool = pool(1, 1);
        let (tell, ended) = oneshot::channel();
        pool.run(|_| AT_THE_END.set(Some(Ended(Some(tell))))).await.unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let (tell, done) = oneshot::channel();
        let callers = [
            tokio::spawn({
                let pool = Arc::clone(&pool);
                async move { pool.run(move |_| gate.recv().is_ok()).await }
            }),
            tokio::spawn({
                let pool = Arc::clone(&pool);
                async move { pool.run(move |_| tell.send(()).is_ok()).await }
            }),
        ];
        while pool.depth() < 2 {
            tokio::task::yield_now().await;
        }
        for caller in callers {
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
        }
        drop(pool);
        release.send(()).unwrap();
        assert_eq!(done.await, Ok(()), "what waited is done");
        assert_eq!(ended.await, Ok(()), "and the thread ends");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_threads_of_the_background_have_a_lower_priority() {
        let seen = || {
            let niceness = rustix::process::getpriority_process(None).unwrap();
            (thread_priority::thread_schedule_policy().unwrap(), niceness)
        };
        let usual = seen();
        let pool = HashingPool::new(1, 0, Priority::Usual).unwrap();
        assert_eq!(pool.run(move |_| seen()).await, Ok(usual));
        let pool = HashingPool::new(1, 0, Priority::Background).unwrap();
        let (policy, _) = pool.run(move |_| seen()).await.unwrap();
        let idle = thread_priority::NormalThreadSchedulePolicy::Idle;
        assert_eq!(policy, thread_priority::ThreadSchedulePolicy::Normal(idle));
        assert_eq!(seen(), usual);
    }

    /// A pool of one thread that runs a job until it is released, and the niceness that two more are run at.
    #[cfg(target_os = "linux")]
    async fn behind_one_that_stands_still(patience: Duration) -> (mpsc::Sender<()>, Vec<(Option<String>, i32)>) {
        let pool = HashingPool::with_patience(1, 2, Priority::Background, patience).unwrap();
        let pool = Arc::new(pool);
        let (release, gate) = mpsc::channel::<()>();
        let (begun, beginning) = oneshot::channel();
        tokio::spawn({
            let pool = Arc::clone(&pool);
            let job = move |_: &mut HashMemory| begun.send(()).is_ok() && gate.recv().is_ok();
            async move { pool.run(job).await }
        });
        beginning.await.unwrap();
        let seen = || {
            let niceness = rustix::process::getpriority_process(None).unwrap();
            (thread::current().name().map(str::to_owned), niceness)
        };
        let (one, two) = tokio::join!(pool.run(move |_| seen()), pool.run(move |_| seen()));
        (release, vec![one.unwrap(), two.unwrap()])
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashes_that_get_no_core_are_done_by_the_relief() {
        let own = rustix::process::getpriority_process(None).unwrap();
        let (release, seen) = behind_one_that_stands_still(Duration::from_secs(2)).await;
        let expected = (Some("hashing-relief".to_owned()), (own + NICENESS).min(19));
        assert_eq!(seen, [expected.clone(), expected]);
        drop(release);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn while_hashes_are_taken_the_relief_does_nothing() {
        let pool = HashingPool::with_patience(1, 8, Priority::Background, Duration::from_mins(10)).unwrap();
        for _ in 0..5 {
            let name = pool.run(|_| thread::current().name().map(str::to_owned)).await.unwrap();
            assert_eq!(name.as_deref(), Some("hashing-low-0"));
        }
    }
}

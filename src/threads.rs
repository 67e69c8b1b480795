//! The threads that connections are served on.
//!
//! A runtime whose threads take work from each other wakes another thread for most answers that have to be waited for.
//! So a connection belongs to one thread, which has a runtime of its own and its own connections to the store: what is
//! asked there comes back there. docs/decisions/hot-path.md has the figures.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::config::ThreadModel;

/// Threads with connections of their own, or none: then everything runs where it is begun. Dropping the last clone ends
/// them, and with them all that runs there.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    workers: Arc<[Worker]>,
}

/// A place for one connection, counted for as long as it is kept.
#[derive(Debug)]
pub struct Seat {
    workers: Arc<[Worker]>,
    place: usize,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    connections: AtomicUsize,
    /// Dropped with it, which ends the thread.
    _stop: oneshot::Sender<()>,
}

thread_local! {
    /// Which of its [`Threads`] a thread is.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Threads {
    /// As many as the runtime has threads that this is called in. One alone has nobody to share with.
    ///
    /// # Errors
    /// The operating system has no more threads or files.
    pub fn start(model: ThreadModel) -> io::Result<Self> {
        let count = match model {
            ThreadModel::PerCore => Handle::current().metrics().num_workers(),
            ThreadModel::Shared => 0,
        };
        if count < 2 {
            return Ok(Self::default());
        }
        let workers = (0..count).map(Worker::start).collect::<io::Result<Arc<[_]>>>()?;
        Ok(Self { workers })
    }

    /// How many there are; 0 when there are none apart.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// A place on the thread with the fewest connections.
    pub fn seat(&self) -> Option<Seat> {
        let load = |place: &usize| self.workers[*place].connections.load(Ordering::Relaxed);
        let place = (0..self.workers.len()).min_by_key(load)?;
        self.workers[place].connections.fetch_add(1, Ordering::Relaxed);
        Some(Seat { workers: Arc::clone(&self.workers), place })
    }

    /// Returns when each of them has come round to something new.
    pub async fn turn(&self) {
        for worker in &*self.workers {
            // An error means that it has ended, and has nothing to hang on.
            let _ = worker.handle.spawn(async {}).await;
        }
    }

    /// Where the tasks of one of several things of a kind run: on the thread that has the same [`place`].
    pub fn of(&self, number: usize) -> Option<&Handle> {
        let worker = self.workers.get(number.checked_rem(self.workers.len())?)?;
        Some(&worker.handle)
    }
}

impl Seat {
    /// The thread's runtime.
    pub fn handle(&self) -> &Handle {
        &self.workers[self.place].handle
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.workers[self.place].connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn start(place: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || run(&runtime, place, stopped);
        thread::Builder::new().name(format!("connections-{place}")).spawn(run)?;
        Ok(Self { handle, connections: AtomicUsize::new(0), _stop: stop })
    }
}

fn run(runtime: &Runtime, place: usize, stopped: oneshot::Receiver<()>) {
    PLACE.set(Some(place));
    // An error is the end that is waited for.
    let _ = runtime.block_on(stopped);
}

/// Which of several things of a kind this thread keeps to. Threads that are none of [`Threads`] are numbered as they ask.
pub fn place(things: usize) -> usize {
    static OTHERS: AtomicUsize = AtomicUsize::new(0);
    let number = PLACE.get().unwrap_or_else(|| {
        let number = OTHERS.fetch_add(1, Ordering::Relaxed);
        PLACE.set(Some(number));
        number
    });
    number % things.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn connections_go_where_the_fewest_are() {
        let threads = Threads::start(ThreadModel::PerCore).unwrap();
        assert_eq!(threads.count(), 3);
        let mut seats: Vec<_> = (0..6).map(|_| threads.seat().unwrap()).collect();
        let mut places = Vec::new();
        for seat in &seats {
            places.push(seat.handle().spawn(async { place(3) }).await.unwrap());
        }
        assert_eq!(places, [0, 1, 2, 0, 1, 2]);
        drop(seats.remove(4));
        assert_eq!(threads.seat().unwrap().place, 1, "where one has gone");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_of_a_place_runs_on_its_thread() {
        let threads = Threads::start(ThreadModel::PerCore).unwrap();
        for number in 0..4 {
            let found = threads.of(number).unwrap().spawn(async { place(2) }).await.unwrap();
            assert_eq!(found, number % 2);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn one_thread_has_nobody_to_share_with() {
        assert_eq!(Threads::start(ThreadModel::PerCore).unwrap().count(), 0);
        let shared = Threads::start(ThreadModel::Shared).unwrap();
        assert!(shared.seat().is_none() && shared.of(0).is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_hangs_is_noticed() {
        let threads = Threads::start(ThreadModel::PerCore).unwrap();
        threads.turn().await;
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        threads.of(1).unwrap().spawn(async move {
            let _ = begin.send(());
            let _ = held.recv();
        });
        begun.await.unwrap();
        let mut turn = std::pin::pin!(threads.turn());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), &mut turn).await.is_err());
        drop(release);
        turn.await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn with_the_last_of_them_everything_ends_that_runs_there() {
        let threads = Threads::start(ThreadModel::PerCore).unwrap();
        let seat = threads.seat().unwrap();
        let running = seat.handle().spawn(std::future::pending::<()>());
        drop(threads);
        assert!(!running.is_finished());
        drop(seat);
        assert!(running.await.unwrap_err().is_cancelled());
    }
}

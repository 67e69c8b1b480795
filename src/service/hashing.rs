//! The bounded pool for hashes that are slow on purpose, so that a flood of them cannot slow anything else down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Runs slow hashes on threads of their own: so many at once, so many waiting, and no more.
#[derive(Debug)]
pub struct HashingPool {
    running: Arc<Semaphore>,
    admitted: Arc<AtomicUsize>,
    limit: usize,
}

/// The pool and its queue are full. Nothing was computed; trying again later may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue for slow hashes is full")]
pub struct Busy;

impl HashingPool {
    /// A pool that runs `threads` hashes at once and lets `queue` more wait.
    pub fn new(threads: usize, queue: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(threads)),
            admitted: Arc::new(AtomicUsize::new(0)),
            limit: threads + queue,
        }
    }

    /// Runs `work` when its turn has come.
    ///
    /// Work that was admitted is done even if this future is dropped, and keeps its place until it is: a peer that
    /// hangs up can neither make room for more, nor keep its attempt from being counted.
    ///
    /// # Errors
    /// [`Busy`] at once when the queue is full.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = self.take_place()?;
        let running = Arc::clone(&self.running);
        let done = tokio::spawn(async move {
            let turn = running.acquire_owned().await.map_err(|_| Busy)?;
            let job = move || {
                let _held_until_done = (turn, place);
                work()
            };
            tokio::task::spawn_blocking(job).await.map_err(|_| Busy)
        });
        done.await.map_err(|_| Busy)?
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

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_refused() {
        let pool = Arc::new(HashingPool::new(1, 1));
        let (release, gate) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(move || gate.recv().is_ok()).await }
        });
        let second = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(|| 2).await }
        });
        while pool.depth() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| 3).await, Err(Busy));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
        assert_eq!(second.await.unwrap(), Ok(2));
        while pool.depth() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_keeps_its_place_and_is_done() {
        let pool = Arc::new(HashingPool::new(1, 0));
        let (release, gate) = mpsc::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(move || tell.send(gate.recv().is_ok())).await }
        });
        while pool.depth() < 1 {
            tokio::task::yield_now().await;
        }
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(pool.run(|| ()).await, Err(Busy), "the place is still taken");
        release.send(()).unwrap();
        assert_eq!(told.await, Ok(true), "and the work is done");
    }
}

//! The bounded pool for hashes that are slow on purpose, so that a flood of them cannot slow anything else down.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Runs slow hashes on threads of their own: so many at once, so many waiting, and no more.
#[derive(Debug)]
pub struct HashingPool {
    running: Semaphore,
    admitted: AtomicUsize,
    limit: usize,
}

/// The pool and its queue are full. Nothing was computed; trying again later may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue for slow hashes is full")]
pub struct Busy;

impl HashingPool {
    /// A pool that runs `threads` hashes at once and lets `queue` more wait.
    pub fn new(threads: usize, queue: usize) -> Self {
        Self { running: Semaphore::new(threads), admitted: AtomicUsize::new(0), limit: threads + queue }
    }

    /// Runs `work` when its turn has come. If this future is dropped, work that has begun is finished and thrown away.
    ///
    /// # Errors
    /// [`Busy`] at once when the queue is full.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _place = self.take_place()?;
        let _turn = self.running.acquire().await.map_err(|_| Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }

    /// How many are running or waiting now.
    pub fn depth(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    fn take_place(&self) -> Result<Place<'_>, Busy> {
        let place = Place(&self.admitted);
        // The place is given back by its drop, also when it turns out to be one too many.
        if self.admitted.fetch_add(1, Ordering::Relaxed) < self.limit { Ok(place) } else { Err(Busy) }
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
        assert_eq!(pool.depth(), 0);
    }
}

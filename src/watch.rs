//! One value that many tasks wait for: [`tokio::sync::watch`], but that whoever waits longest is woken first.
//!
//! Tokio's wakes them in an order that it draws at random, from a source that cannot be set. With it, what happens when
//! several requests wait for one thing could not be repeated, and a simulation that finds a mistake must be.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;

/// The sender is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody changes the value any longer")]
pub struct Closed;

/// A value, first this one, and those who wait for others.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Shared { state: RwLock::new(State { value, version: 0, closed: false }), changed: Notify::new() };
    let sender = Sender { shared: Arc::new(shared) };
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// Changes the value.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Sees the value, and when it changes.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// What it has seen.
    version: u64,
}

struct Shared<T> {
    state: RwLock<State<T>>,
    changed: Notify,
}

struct State<T> {
    value: T,
    version: u64,
    closed: bool,
}

/// The value, which does not change as long as this is there. Not to be kept while waiting for anything.
pub struct Ref<'a, T>(RwLockReadGuard<'a, State<T>>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Shared<T> {
    /// Whoever panics while he holds the lock leaves a whole value.
    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// The value as it is now.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// Puts another value in the place of the present one, which is returned.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_if_modified(|present| {
            std::mem::swap(present, &mut value);
            true
        });
        value
    }

    /// Changes the value, and says so to those who wait if `modify` does; whether it did.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let modified = {
            let mut state = self.shared.write();
            let modified = modify(&mut state.value);
            state.version += u64::from(modified);
            modified
        };
        if modified {
            self.shared.changed.notify_waiters();
        }
        modified
    }

    /// Another one who sees the value; the present one counts as seen.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { shared: Arc::clone(&self.shared), version: self.shared.read().version }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.write().closed = true;
        self.shared.changed.notify_waiters();
    }
}

impl<T> Receiver<T> {
    /// The value as it is now.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// The value as it is now, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let state = self.shared.read();
        self.version = state.version;
        Ref(state)
    }

    /// Returns when the value is another than the one seen last.
    ///
    /// # Errors
    /// [`Closed`] when it will never be.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let seen = self.version;
        let version = wait(&self.shared, |state| state.version != seen).await?.0.version;
        self.version = version;
        Ok(())
    }

    /// Returns the value as soon as it is as wanted, which may be at once.
    ///
    /// # Errors
    /// [`Closed`] when it will never be.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, Closed> {
        let found = wait(&self.shared, |state| wanted(&state.value)).await?;
        self.version = found.0.version;
        Ok(found)
    }
}

async fn wait<T>(shared: &Shared<T>, mut wanted: impl FnMut(&State<T>) -> bool) -> Result<Ref<'_, T>, Closed> {
    loop {
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        {
            let state = shared.read();
            if wanted(&state) {
                return Ok(Ref(state));
            }
            if state.closed {
                return Err(Closed);
            }
        }
        changed.await;
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), version: self.version }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(formatter)
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(formatter)
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_longest_is_woken_first() {
        let (sender, receiver) = channel(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for place in 0..32 {
            let (mut receiver, woken) = (receiver.clone(), Arc::clone(&woken));
            tasks.spawn(async move {
                receiver.changed().await.unwrap();
                woken.lock().unwrap().push(place);
            });
        }
        tokio::task::yield_now().await;
        sender.send_replace(1);
        tasks.join_all().await;
        assert_eq!(*woken.lock().unwrap(), (0..32).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_counts_until_it_has_been_seen() {
        let (sender, mut receiver) = channel('a');
        assert_eq!(sender.send_replace('b'), 'a');
        assert!(!sender.send_if_modified(|_| false));
        receiver.changed().await.unwrap();
        sender.send_replace('c');
        assert_eq!(*receiver.borrow_and_update(), 'c');
        let mut late = sender.subscribe();
        let (seen, ()) = tokio::join!(receiver.changed(), async {
            tokio::task::yield_now().await;
            sender.send_replace('d');
        });
        assert_eq!(seen, Ok(()));
        assert_eq!(*late.wait_for(|value| *value == 'd').await.unwrap(), 'd');
        drop(sender);
        assert_eq!(*late.wait_for(|value| *value == 'd').await.unwrap(), 'd');
        assert_eq!(late.wait_for(|value| *value == 'e').await.err(), Some(Closed));
        assert_eq!(late.changed().await, Err(Closed));
    }
}

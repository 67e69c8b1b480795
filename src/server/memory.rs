//! What a handler wants to know again at the next request of the same connection.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A place for one value, for as long as the connection lasts.
///
/// Gateways keep their connections, and say on all of them the same about themselves with each request. What became of
/// that the last time need not be worked out again, if it is certain that it still holds: which is for the handler to
/// say. Requests of one HTTP/2 connection share the place.
#[derive(Default)]
pub struct ConnectionMemory(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl ConnectionMemory {
    /// What was kept last, if it is of this kind.
    pub fn recall<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kept.and_then(|kept| kept.downcast().ok())
    }

    /// Keeps a value in place of the last one.
    pub fn keep<T: Any + Send + Sync>(&self, value: T) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(value));
        drop(before);
    }
}

impl fmt::Debug for ConnectionMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConnectionMemory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_there_as_what_it_was() {
        let memory = ConnectionMemory::default();
        assert!(memory.recall::<u8>().is_none());
        memory.keep(1_u8);
        memory.keep(2_u8);
        assert_eq!(memory.recall::<u8>().as_deref(), Some(&2));
        assert!(memory.recall::<u16>().is_none());
    }
}

//! Forgetting what has expired, a little at a time.
//!
//! Nothing here decides whether a token is alive: callers check `exp` themselves. Forgetting frees the disk, and must
//! not be felt while it does: a thousand expired entries removed at once hold the only writer for 50 to 150 ms, and a
//! revoke that comes meanwhile waits for as long. So each transaction forgets a few.

use std::time::Duration;

use redb::{ReadableTable, StorageError};

use super::tables::EXPIRY_KEY_BYTES;
use crate::token::time::Clock;

/// How many entries a transaction of its own forgets while no writes wait: some 10 ms, the longest that a write which
/// comes just then is held up.
pub(super) const IDLE_CHUNK: usize = 128;

/// How many entries a transaction forgets beyond as many as it has put in. So the backlog shrinks under any load, and
/// no group of writes takes more than about twice as long for it.
pub(super) const BUSY_CHUNK: usize = 16;

/// How long the writer sleeps before it looks at the clock again.
///
/// Expiry is counted in whole seconds, so looking more often gains nothing. A clock that a test moves by hand is looked
/// at more often, so that no test has to wait.
pub(super) fn look_interval(clock: &Clock) -> Duration {
    match clock {
        Clock::System => Duration::from_secs(1),
        Clock::Manual(_) => Duration::from_millis(2),
    }
}

/// The second in which something expires first.
pub(super) fn earliest(
    expiry: &impl ReadableTable<&'static [u8; EXPIRY_KEY_BYTES], ()>,
) -> Result<Option<u32>, StorageError> {
    let first = expiry.first()?;
    Ok(first.map(|(key, _)| key.value()[..4].try_into().map_or(0, u32::from_be_bytes)))
}

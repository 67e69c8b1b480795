//! Forgetting what has expired, a little at a time.
//!
//! Nothing here decides whether a token is alive: callers check `exp` themselves. Forgetting frees the disk, and must
//! not be felt while it does: a thousand expired entries removed at once hold the only writer for 50 to 150 ms, and a
//! revoke that comes meanwhile waits for as long. So each transaction forgets a few.

use std::time::Duration;

use redb::{ReadableTable, StorageError, Table};

use super::fault::Fault;
use super::tables::{EXPIRY_KEY_BYTES, ExpiryKey, ID_BYTES, Kind, MARK_BYTES};
use crate::token::time::{Clock, UnixSeconds};

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

/// The tables that forgetting touches.
pub(super) struct Forgetting<'a, 'transaction> {
    pub(super) tokens: &'a mut Table<'transaction, &'static [u8; ID_BYTES], &'static [u8]>,
    pub(super) grants: &'a mut Table<'transaction, &'static [u8; ID_BYTES], &'static [u8; MARK_BYTES]>,
    pub(super) expiry: &'a mut Table<'transaction, &'static [u8; EXPIRY_KEY_BYTES], ()>,
}

impl Forgetting<'_, '_> {
    /// Forgets up to `limit` entries whose time has come, and says how many.
    pub(super) fn forget(self, now: UnixSeconds, limit: usize) -> Result<usize, Fault> {
        let due: Vec<[u8; EXPIRY_KEY_BYTES]> = self
            .expiry
            .range::<&[u8; EXPIRY_KEY_BYTES]>(..=&ExpiryKey::last_expired(now))?
            .take(limit)
            .map(|entry| entry.map(|(key, _)| *key.value()))
            .collect::<Result<_, _>>()?;
        for bytes in &due {
            match ExpiryKey::from_bytes(bytes) {
                Some(ExpiryKey { kind: Kind::Token, id, .. }) => drop(self.tokens.remove(&id)?),
                Some(ExpiryKey { kind: Kind::Grant, id, .. }) => drop(self.grants.remove(&id)?),
                // Of no kind that this version knows, so about no row that it could remove.
                None => {}
            }
            self.expiry.remove(bytes)?;
        }
        Ok(due.len())
    }
}

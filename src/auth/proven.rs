//! What a connection has proved about its peer, so that the next request on it need not prove it anew.
//!
//! A request that repeats the very `Authorization` header with which the last one was accepted is accepted as the same
//! caller, as long as nothing can have changed: the client's record is still so ([`Registry::holds`]), no secret of its
//! has come to its end, and nobody has failed to authenticate anywhere since, so that nobody has to wait who had not to.
//! Otherwise it is looked at like the first one.
//!
//! [`Registry::holds`]: crate::service::registry::Registry::holds

use constant_time_eq::constant_time_eq;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::Caller;
use super::throttle::Source;
use crate::service::registry::Lasting;
use crate::token::time::UnixSeconds;

/// Longer headers are looked at each time: a peer must not choose how much is kept of it.
const MAX_BYTES: usize = 512;

/// A header that was accepted, and what has to be so for it to be accepted again.
pub(super) struct Proven {
    /// Holds a secret: wiped when dropped.
    line: Zeroizing<Box<[u8]>>,
    pub(super) source: Source,
    pub(super) caller: Caller,
    /// The client's record.
    pub(super) client: Lasting,
    /// When the first of its secrets ends.
    pub(super) until: UnixSeconds,
    /// How many failures had been counted before it was looked at whether the caller must wait.
    pub(super) failures: u64,
}

/// The one `Authorization` header of a request, if it is of a length that is kept.
pub(super) fn line(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next()?.as_bytes();
    (lines.next().is_none() && line.len() <= MAX_BYTES).then_some(line)
}

impl Proven {
    pub(super) fn new(
        line: &[u8],
        source: Source,
        caller: Caller,
        client: Lasting,
        until: UnixSeconds,
        failures: u64,
    ) -> Self {
        Self { line: Zeroizing::new(line.into()), source, caller, client, until, failures }
    }

    /// Whether this is the same header. A connection may carry the requests of many, so that it takes the same time
    /// however much of it is the same.
    pub(super) fn is(&self, line: &[u8]) -> bool {
        constant_time_eq(&self.line, line)
    }
}

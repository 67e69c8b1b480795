//! What the server counts about itself, for whoever wants to publish it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Number of counter groups. Connections are spread over them, so that cores seldom write to the same cache line.
const SHARDS: usize = 32;

/// How a connection turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2, by prior knowledge or ALPN.
    Http2,
}

impl Protocol {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// The name for a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

/// Counters of one server, all listeners together. Every figure but the two gauges only ever grows.
#[derive(Debug, Default)]
pub struct ServerStatistics {
    opened: AtomicU64,
    closed: AtomicU64,
    identified: [AtomicU64; 2],
    accept_errors: AtomicU64,
    failed_handshakes: AtomicU64,
    panics: AtomicU64,
    timeouts: AtomicU64,
    shards: [Shard; SHARDS],
}

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    started: [AtomicU64; 2],
    finished: AtomicU64,
}

impl ServerStatistics {
    /// Connections open now, those still in their TLS handshake included.
    pub fn connections_open(&self) -> u64 {
        // Read in this order, or a connection that comes and goes in between would make the result negative.
        let closed = self.closed.load(Ordering::Acquire);
        self.opened.load(Ordering::Acquire).saturating_sub(closed)
    }

    /// Connections accepted so far, those that never said a word included.
    pub fn connections_accepted(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Connections that were recognised as `protocol` so far.
    pub fn connections_by_protocol(&self, protocol: Protocol) -> u64 {
        self.identified[protocol as usize].load(Ordering::Relaxed)
    }

    /// Requests whose head was read and whose answer is not yet known.
    pub fn requests_in_flight(&self) -> u64 {
        let finished: u64 = self.shards.iter().map(|shard| shard.finished.load(Ordering::Acquire)).sum();
        let started: u64 = Protocol::ALL.into_iter().map(|protocol| self.requests_by_protocol(protocol)).sum();
        started.saturating_sub(finished)
    }

    /// Requests whose head was read so far, those refused by the server included.
    pub fn requests_by_protocol(&self, protocol: Protocol) -> u64 {
        self.shards.iter().map(|shard| shard.started[protocol as usize].load(Ordering::Acquire)).sum()
    }

    /// Failed attempts to accept a connection, for want of file descriptors or memory.
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// TLS handshakes that failed or took too long.
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Handlers that panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Handlers that took longer than `http.request_timeout`.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }

    /// Counts a connection until the result is dropped.
    pub(super) fn connection(&self) -> OpenConnection<'_> {
        let number = self.opened.fetch_add(1, Ordering::AcqRel);
        OpenConnection { statistics: self, shard: usize::try_from(number % SHARDS as u64).unwrap_or(0) }
    }

    /// Counts a request until the result is dropped.
    pub(super) fn request(&self, shard: usize, protocol: Protocol) -> RunningRequest<'_> {
        let shard = &self.shards[shard % SHARDS];
        shard.started[protocol as usize].fetch_add(1, Ordering::AcqRel);
        RunningRequest { shard }
    }

    pub(super) fn count_protocol(&self, protocol: Protocol) {
        self.identified[protocol as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed_handshake(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that is open as long as this lives.
pub(super) struct OpenConnection<'a> {
    statistics: &'a ServerStatistics,
    /// The counter group that requests of this connection use.
    pub(super) shard: usize,
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.statistics.closed.fetch_add(1, Ordering::AcqRel);
    }
}

/// A request that runs as long as this lives, however it ends.
pub(super) struct RunningRequest<'a> {
    shard: &'a Shard,
}

impl Drop for RunningRequest<'_> {
    fn drop(&mut self) {
        self.shard.finished.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_follow_what_is_alive() {
        let statistics = ServerStatistics::default();
        let connection = statistics.connection();
        assert_eq!(statistics.connections_open(), 1);
        let first = statistics.request(connection.shard, Protocol::Http1);
        let second = statistics.request(connection.shard + SHARDS, Protocol::Http2);
        assert_eq!(statistics.requests_in_flight(), 2);
        drop(first);
        assert_eq!(statistics.requests_in_flight(), 1);
        drop(second);
        drop(connection);
        assert_eq!((statistics.requests_in_flight(), statistics.connections_open()), (0, 0));
        assert_eq!(statistics.requests_by_protocol(Protocol::Http2), 1);
        assert_eq!(statistics.connections_accepted(), 1);
    }
}

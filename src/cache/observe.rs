//! What near caches tell of themselves, for counting.

/// Which near cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheName {
    /// Tokens that are kept in the store, or signed.
    Tokens,
    /// Tokens that the store does not have.
    UnknownTokens,
    /// Clients.
    Clients,
    /// Epochs that stand for many tokens.
    Epochs,
}

impl CacheName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::UnknownTokens, Self::Clients, Self::Epochs];
}

/// How a question to a near cache ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// Answered.
    Hit,
    /// Nothing is kept of it.
    Miss,
    /// Something that it rests on has been heard of since.
    Stale,
    /// It was read too long ago, or its own time has come.
    Aged,
    /// Nothing has changed that was heard of, but there is no lease to rely on that.
    NoLease,
}

impl CacheResult {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Hit, Self::Miss, Self::Stale, Self::Aged, Self::NoLease];
}

/// Is told what near caches do. It is called for each request, and must not wait.
pub trait CacheObserver: Send + Sync {
    /// A question ended.
    fn asked(&self, cache: CacheName, result: CacheResult);
    /// Something was pushed out by what is used more.
    fn evicted(&self, cache: CacheName);
    /// A read was spared because another one of the same was under way.
    fn coalesced(&self);
    /// The store could not be read, and what was revoked for good, or is so as far as is known, was answered all the
    /// same.
    fn answered_without_store(&self);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl CacheObserver for Unobserved {
    fn asked(&self, _: CacheName, _: CacheResult) {}
    fn evicted(&self, _: CacheName) {}
    fn coalesced(&self) {}
    fn answered_without_store(&self) {}
}

//! Slow comparisons that have been passed before, so that a caller pays for argon2id once and not per request.

use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use crate::client::secret::SecretHash;

/// Remembers which secret has matched which hash, under a key that dies with the process.
///
/// Nothing has to be forgotten when a secret is rotated: the hash is part of what is remembered, and another hash has
/// never been matched.
pub struct PassedChecks {
    key: Zeroizing<[u8; 32]>,
    passed: Cache<[u8; 32], ()>,
}

/// How many are remembered; 32 bytes each and the cache's own.
const CAPACITY: usize = 10_000;

impl PassedChecks {
    /// An empty memory.
    ///
    /// # Errors
    /// The generator's own, when the operating system has no randomness to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice())?;
        Ok(Self { key, passed: Cache::new(CAPACITY) })
    }

    /// Whether this secret has matched this hash before.
    pub fn contains(&self, hash: &SecretHash, secret: &str) -> bool {
        self.name(hash, secret).is_some_and(|name| self.passed.get(&name).is_some())
    }

    /// Remembers that this secret matches this hash.
    pub fn remember(&self, hash: &SecretHash, secret: &str) {
        if let Some(name) = self.name(hash, secret) {
            self.passed.insert(name, ());
        }
    }

    fn name(&self, hash: &SecretHash, secret: &str) -> Option<[u8; 32]> {
        let SecretHash::Argon2id(phc) = hash else { return None };
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // The length keeps one pair from reading like another that is cut elsewhere.
        hasher.update(&phc.len().to_le_bytes()).update(phc.as_bytes()).update(secret.as_bytes());
        Some(*hasher.finalize().as_bytes())
    }
}

impl std::fmt::Debug for PassedChecks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PassedChecks").field("entries", &self.passed.len()).finish_non_exhaustive()
    }
}

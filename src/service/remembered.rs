//! What is remembered of tokens between two requests, and when it may be said again.
//!
//! Kept is what does not depend on the moment: that nothing but time stands in a token's way, or what does. Its times
//! are compared with the clock at each question. Refresh tokens are never remembered: nobody announces that one has been
//! exchanged.

use std::mem::size_of;
use std::sync::Arc;

use bytes::Bytes;

use super::access_token::{Verified, is_from_the_future};
use super::lookup::ActiveToken;
use crate::cache::flights::{Flights, Way};
use crate::cache::near::{Kept, Limits, NearCache, Weigh};
use crate::cache::observe::{CacheName, CacheObserver};
use crate::client::Client;
use crate::coherence::Coherence;
use crate::config::CacheConfig;
use crate::store::StoreError;
use crate::token::decision::{Inactive, Parents, decide};
use crate::token::digest::TokenDigest;
use crate::token::identity::Identity;
use crate::token::record::Record;
use crate::token::time::{Now, UnixSeconds};

/// What a read has brought.
pub(super) type Reading = Result<Arc<Kept<Known>>, StoreError>;

/// What is known of a token.
#[derive(Debug)]
pub struct Known {
    pub(super) verdict: Verdict,
    bodies: Box<[Body]>,
}

/// What stands in the way of a token, time left aside.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// Nothing.
    Active(Arc<ActiveToken>),
    /// This.
    Inactive {
        reason: Inactive,
        /// When the token ends in any case; the end of time when there is none.
        expires_at: UnixSeconds,
        /// Whether nothing can ever take it out of the way again.
        lasting: bool,
    },
}

/// The answer for one caller.
#[derive(Clone, Debug)]
struct Body {
    /// That of the caller's record.
    serial: u64,
    text: Bytes,
}

/// For how many callers the answer about a token is kept: most tokens are shown to one resource server, or to a gateway
/// and what stands behind it.
const MOST_BODIES: usize = 3;

/// What an allocation takes beside what was asked for.
const ALLOCATION: usize = 16;

/// What an entry takes beside its value: its places in the map, and the counters of what is shared.
const ENTRY: usize = 96 + size_of::<Kept<Known>>() + 2 * ALLOCATION;

/// What the entry of a usual token weighs with one answer.
const USUAL: u64 = 1400;

impl Known {
    /// Nothing but time stands in the way.
    pub(super) fn active(token: ActiveToken) -> Self {
        Self { verdict: Verdict::Active(Arc::new(token)), bodies: Box::default() }
    }

    /// This does.
    pub(super) fn inactive(reason: Inactive, expires_at: UnixSeconds, lasting: bool) -> Self {
        Self { verdict: Verdict::Inactive { reason, expires_at, lasting }, bodies: Box::default() }
    }

    /// Whether the store does not have it.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.verdict, Verdict::Inactive { reason: Inactive::Unknown, .. })
    }

    /// What this means at `now`; `None` when it says nothing about that moment.
    pub(super) fn judge(&self, now: Now) -> Option<Result<Arc<ActiveToken>, Inactive>> {
        match &self.verdict {
            Verdict::Active(token) => {
                if is_from_the_future(&token.identity, &token.record, now) {
                    return Some(Err(Inactive::NotYetValid));
                }
                let by_time = decide(token.identity.digest(), &token.record, &Parents::APPROVED, now.seconds());
                Some(by_time.map(|()| Arc::clone(token)))
            }
            // Whether a time has come is for each question to find out.
            Verdict::Inactive { reason: Inactive::NotYetValid, .. } => None,
            Verdict::Inactive { reason: Inactive::Expired, expires_at, .. } => {
                (*expires_at <= now.seconds()).then_some(Err(Inactive::Expired))
            }
            Verdict::Inactive { expires_at, .. } if *expires_at <= now.seconds() => Some(Err(Inactive::Expired)),
            Verdict::Inactive { reason, .. } => Some(Err(*reason)),
        }
    }

    /// Whether this was read of the signed token that was verified now.
    pub(super) fn is_of(&self, verified: &Verified) -> bool {
        match &self.verdict {
            Verdict::Active(token) => verified.is(&token.identity, &token.record),
            // Whoever signs another text with its name has no more of it.
            Verdict::Inactive { .. } => true,
        }
    }

    /// The answer for this caller, if it was rendered before.
    pub(super) fn body_for(&self, caller: &Client) -> Option<Bytes> {
        let serial = caller.serial.number();
        self.bodies.iter().find(|body| body.serial == serial).map(|body| body.text.clone())
    }

    /// The same with the answer for one more caller; `None` when there are enough.
    fn with_body(&self, caller: &Client, text: Bytes) -> Option<Self> {
        if self.bodies.len() >= MOST_BODIES {
            return None;
        }
        let body = Body { serial: caller.serial.number(), text };
        let bodies = self.bodies.iter().cloned().chain([body]).collect();
        Some(Self { verdict: self.verdict.clone(), bodies })
    }
}

impl Weigh for Known {
    /// Bytes. The owner's record is not among them: its tokens share it, and clients are few.
    fn weight(&self) -> u64 {
        let bodies: usize = self.bodies.iter().map(|body| size_of::<Body>() + body.text.len() + ALLOCATION).sum();
        let token = match &self.verdict {
            Verdict::Active(token) => {
                size_of::<ActiveToken>() + 2 * ALLOCATION + heap_of(&token.identity) + heap_of_record(&token.record)
            }
            Verdict::Inactive { .. } => 0,
        };
        (ENTRY + token + bodies) as u64
    }
}

fn text(text: &str) -> usize {
    if text.is_empty() { 0 } else { text.len() + ALLOCATION }
}

fn heap_of(identity: &Identity) -> usize {
    match identity {
        Identity::Opaque(_) | Identity::Refresh { .. } => 0,
        Identity::Signed { identifier, key, .. } => text(identifier) + text(key.as_deref().unwrap_or_default()),
    }
}

fn heap_of_record(record: &Record) -> usize {
    let optional = [&record.subject, &record.username].into_iter().flatten().map(|optional| text(optional));
    let audience = record.audience.iter().map(|name| size_of::<Box<str>>() + text(name));
    let list = if record.audience.is_empty() { 0 } else { ALLOCATION };
    text(&record.client_id)
        + optional.sum::<usize>()
        + text(record.scope.as_str())
        + text(record.claims.as_str())
        + audience.sum::<usize>()
        + list
}

/// That the store does not have a token.
#[derive(Clone, Copy, Debug)]
struct Missing;

impl Weigh for Missing {
    /// They are counted.
    fn weight(&self) -> u64 {
        1
    }
}

/// The tokens that were looked up lately.
pub struct RememberedTokens {
    enabled: bool,
    keeps_unknown: bool,
    known: NearCache<TokenDigest, Known>,
    /// Apart from the others, so that whoever asks for ever other unknown tokens pushes none of them out.
    unknown: NearCache<TokenDigest, Missing>,
    flights: Flights<TokenDigest, Reading>,
    coherence: Arc<Coherence>,
    observer: Arc<dyn CacheObserver>,
}

impl RememberedTokens {
    /// Nothing remembered.
    pub fn new(config: &CacheConfig, coherence: &Arc<Coherence>, observer: &Arc<dyn CacheObserver>) -> Self {
        let known = Limits { capacity: config.max_bytes as u64, usual: USUAL, max_age: config.max_age };
        let unknown = Limits { capacity: config.negative_entries as u64, usual: 1, max_age: config.negative_ttl };
        Self {
            enabled: config.enabled && config.max_bytes > 0,
            keeps_unknown: !config.negative_ttl.is_zero(),
            known: NearCache::new(CacheName::Tokens, known, Arc::clone(coherence), Arc::clone(observer)),
            unknown: NearCache::new(CacheName::UnknownTokens, unknown, Arc::clone(coherence), Arc::clone(observer)),
            flights: Flights::new(),
            coherence: Arc::clone(coherence),
            observer: Arc::clone(observer),
        }
    }

    /// Whether tokens are to be remembered.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What is kept of a token, if that is still so. To be called after the question was asked.
    pub(super) fn get(&self, token: TokenDigest) -> Option<Arc<Kept<Known>>> {
        let at = self.coherence.now();
        self.known.get(&token, at).or_else(|| {
            let missing = self.unknown.get(&token, at)?;
            Some(Arc::new(Kept { sample: missing.sample, value: unknown() }))
        })
    }

    /// Keeps what was read of a token, as far as that is worth a place.
    pub(super) fn keep(&self, token: TokenDigest, kept: &Arc<Kept<Known>>) {
        match kept.value.verdict {
            Verdict::Active(_)
            | Verdict::Inactive { reason: Inactive::Revoked | Inactive::ParentRevoked | Inactive::Expired, .. } => {
                self.known.keep(token, Arc::clone(kept));
            }
            Verdict::Inactive { reason: Inactive::Unknown, .. } if self.keeps_unknown => {
                self.unknown.keep(token, Arc::new(Kept { sample: kept.sample, value: Missing }));
            }
            Verdict::Inactive { .. } => {}
        }
    }

    /// Keeps the answer about a token for this caller beside what is known of it.
    pub(super) fn keep_body(&self, token: TokenDigest, kept: &Arc<Kept<Known>>, caller: &Client, body: &Bytes) {
        if let Some(known) = kept.value.with_body(caller, body.clone()) {
            self.known.replace(token, kept, known);
        }
    }

    /// Reads a token once for all who ask for it at the same time.
    pub(super) async fn share<R: Future<Output = Reading>>(
        &self,
        token: TokenDigest,
        read: impl FnOnce() -> R,
    ) -> (Reading, Way) {
        // That the store cannot be read is as true for whoever came later, and each would wait for its deadline anew.
        let is_current = |reading: &Reading| {
            reading.as_ref().map_or(true, |kept| kept.sample.holds(&self.coherence, self.coherence.now()))
        };
        let (reading, way) = self.flights.share(&token, is_current, read).await;
        if way == Way::Joined {
            self.observer.coalesced();
        }
        (reading, way)
    }

    /// Why a token is inactive as far as is known, when the store cannot be read. `None` unless nothing was heard of an
    /// approval since, or none can come: a caller who is told 503 asks again, one who is told `false` does not.
    pub(super) fn known_inactive(&self, token: TokenDigest, now: Now) -> Option<Inactive> {
        let kept = self.known.recall(&token, self.coherence.now())?;
        let Verdict::Inactive { reason, expires_at, lasting } = kept.value.verdict else { return None };
        // What has expired may have been taken over anew.
        let believable = expires_at > now.seconds() && (lasting || kept.sample.is_unchanged(&self.coherence));
        believable.then(|| {
            self.observer.answered_without_store();
            reason
        })
    }

    /// What samples are taken from.
    pub(super) fn coherence(&self) -> &Coherence {
        &self.coherence
    }

    /// How many tokens are kept, unknown ones included, and what they weigh in bytes.
    pub fn size(&self) -> (usize, usize, u64) {
        (self.known.len(), self.unknown.len(), self.known.weight())
    }
}

/// The store does not have it.
pub(super) fn unknown() -> Known {
    Known::inactive(Inactive::Unknown, UnixSeconds::MAX, false)
}

impl std::fmt::Debug for RememberedTokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RememberedTokens")
            .field("enabled", &self.enabled)
            .field("known", &self.known)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

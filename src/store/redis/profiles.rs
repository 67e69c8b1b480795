//! Profiles: what many tokens have in common is kept once, and their records name it.
//!
//! A profile is named by its content, so that nodes need not agree on anything, it never changes, and writing it twice
//! is harmless. What was read of one is checked against its name.
//!
//! It must outlive every token that names it. Whoever issues such a token has written the profile before, to last
//! longer than the token, in the life that Redis is in: every doubt about that ([`Coherence::generation`]) has it
//! written again before the next token, and by whoever reads a token and still knows its profile. A token whose profile
//! cannot be found is a fault, and never an answer.
//!
//! A combination is kept once only when it comes up a second time. Where each token has a scope or an audience of its
//! own, the records keep their profiles to themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::call::Call;
use super::fault::Fault;
use super::scripts::{self, Invocation};
use super::tokens::unfit;
use super::{CLOCK_GRACE, RedisStore, is_done, moment};
use crate::token::codec;
use crate::token::digest::TokenDigest;
use crate::token::profile::{Profile, ProfileId};
use crate::token::record::Record;
use crate::token::time::{Now, UnixSeconds};

#[cfg(doc)]
use crate::coherence::Coherence;

/// What the profiles that a node remembers may take, in bytes.
const CAPACITY: u64 = 16 << 20;
/// How many are remembered, and how many combinations that came up once.
const USUAL: usize = 10_000;
/// What one takes beside its texts.
const OVERHEAD: u64 = 256;
/// A larger one is not kept once: nobody but its owner would gain, and each node would carry it.
const LARGEST: usize = 4096;
/// How much longer than asked for a profile is kept at least, in seconds, so that it is not written for every token.
const SPARE: u64 = 600;

/// What a node knows of profiles.
pub(super) struct Profiles {
    known: Cache<ProfileId, Arc<Known>, Weights>,
    /// Combinations that came up once.
    met: Cache<ProfileId, ()>,
}

/// A profile that a node knows.
pub(super) struct Known {
    id: ProfileId,
    profile: Profile,
    stored: Vec<u8>,
    vouched: Mutex<Vouched>,
}

/// Why a profile may be relied on to be in Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Vouched {
    /// It was found there, in this generation.
    found: Option<u64>,
    /// It was written, to be kept until then.
    written: Option<(u64, UnixSeconds)>,
    /// It was tried to write it there again, on behalf of a token that was read.
    tried: Option<(u64, UnixSeconds)>,
}

#[derive(Clone)]
struct Weights;

impl Weighter<ProfileId, Arc<Known>> for Weights {
    fn weight(&self, _: &ProfileId, known: &Arc<Known>) -> u64 {
        // As stored, and as it is read.
        OVERHEAD + 3 * known.stored.len() as u64
    }
}

impl Vouched {
    /// Whether it is there for as long as a token needs that is to be issued: its issuer must have written it.
    fn lasts(&self, generation: u64, until: UnixSeconds) -> bool {
        reaches(self.written, generation, until)
    }

    /// Whether there is nothing to be done for a token that was read. What was found is its issuer's concern; what this
    /// node has written again it keeps going.
    fn suffices(&self, generation: u64, until: UnixSeconds) -> bool {
        let found = self.found == Some(generation) && self.written.is_none();
        found || self.lasts(generation, until) || reaches(self.tried, generation, until)
    }
}

fn reaches(kept: Option<(u64, UnixSeconds)>, generation: u64, until: UnixSeconds) -> bool {
    kept.is_some_and(|(then, end)| then == generation && end >= until)
}

impl Profiles {
    pub(super) fn new() -> Self {
        Self { known: Cache::with_weighter(USUAL, CAPACITY, Weights), met: Cache::new(USUAL) }
    }

    /// The profile of a record, once it has come up twice, or was read.
    fn shared(&self, dataset: &[u8; 16], record: &Record) -> Option<Arc<Known>> {
        let profile = Profile::of(record);
        let stored = profile.encode().ok().filter(|stored| stored.len() <= LARGEST)?;
        let id = ProfileId::of(dataset, &stored);
        if let Some(known) = self.known.get(&id) {
            // Not so of one whose name it has by chance.
            return (known.stored == stored).then_some(known);
        }
        if self.met.get(&id).is_none() {
            self.met.insert(id, ());
            return None;
        }
        Some(self.remember(id, profile, stored, None))
    }

    fn remember(&self, id: ProfileId, profile: Profile, stored: Vec<u8>, found: Option<u64>) -> Arc<Known> {
        let vouched = Mutex::new(Vouched { found, ..Vouched::default() });
        let known = Arc::new(Known { id, profile, stored, vouched });
        self.known.insert(id, Arc::clone(&known));
        known
    }
}

impl Known {
    fn vouched(&self) -> MutexGuard<'_, Vouched> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes it, to be kept until that moment at least.
    async fn write(&self, call: &Call, key: String, generation: u64, until: UnixSeconds) -> Result<(), Fault> {
        let invocation = scripts::profiles::KEEP.on([key], [self.stored.clone(), moment(until)]);
        if !is_done(call.script(invocation).await?)? {
            return Err(Fault::damaged("another profile of tokens is kept under the name of one"));
        }
        let mut vouched = self.vouched();
        if vouched.written.is_none_or(|before| before < (generation, until)) {
            vouched.written = Some((generation, until));
        }
        Ok(())
    }
}

/// Until when a token needs its profile: a little longer than it lives, by whatever clock.
fn end_of_need(expires_at: UnixSeconds) -> UnixSeconds {
    UnixSeconds(expires_at.0.saturating_add(CLOCK_GRACE))
}

/// Until when to keep it then: twice as long, so that the tokens of as long a time need not have it written again.
fn end_with_spare(expires_at: UnixSeconds, now: Now) -> UnixSeconds {
    let spare = expires_at.since(now.seconds()).max(SPARE);
    UnixSeconds(end_of_need(expires_at).0.saturating_add(spare))
}

impl RedisStore {
    /// What keeps a new token, and the profile that it names.
    pub(super) async fn insertion(
        &self,
        call: &Call,
        digest: TokenDigest,
        record: &Record,
        now: Now,
    ) -> Result<(Invocation, Option<Arc<Known>>), Fault> {
        // Whatever is wrong with a record is so in either form.
        let whole = codec::encode(record).map_err(unfit)?;
        let shared = self.shared_profile(call, record, now).await;
        let stored = match &shared {
            Some(known) => codec::encode_named(record, known.id).map_err(unfit)?,
            None => whole,
        };
        Ok((self.record_insertion(digest, stored, record.expires_at, now), shared))
    }

    /// The profile that a record is to name, which then is in Redis for as long as the token needs it; none when the
    /// record had better keep it to itself.
    async fn shared_profile(&self, call: &Call, record: &Record, now: Now) -> Option<Arc<Known>> {
        if record.expires_at <= now.seconds() {
            return None;
        }
        let dataset = self.fleet.common.dataset()?;
        let known = self.profiles.shared(dataset.as_bytes(), record)?;
        // A token is issued all the same when its profile cannot be written.
        let kept = self.keep_profile(call, &known, record, now).await;
        kept.inspect_err(|fault| tracing::debug!(fault = fault.detail(), "a profile of tokens was not written"))
            .ok()?;
        Some(known)
    }

    /// Returns when a profile is in Redis for as long as a token needs it that names it.
    pub(super) async fn keep_profile(
        &self,
        call: &Call,
        known: &Known,
        record: &Record,
        now: Now,
    ) -> Result<(), Fault> {
        // Before it is written: what happens to Redis meanwhile makes another one.
        let generation = self.coherence.generation();
        if known.vouched().lasts(generation, end_of_need(record.expires_at)) {
            return Ok(());
        }
        known.write(call, self.keys.profile(known.id), generation, end_with_spare(record.expires_at, now)).await
    }

    /// Reads a stored record, and the profile that it may name.
    pub(super) async fn record(&self, call: &Call, stored: &[u8]) -> Result<Record, Fault> {
        let damaged = |error: codec::DecodeError| Fault::damaged(error.to_string());
        let Some(id) = codec::profile_of(stored).map_err(damaged)? else {
            return codec::decode(stored).map_err(damaged);
        };
        let known = match self.profiles.known.get(&id) {
            Some(known) => known,
            None => Box::pin(self.read_profile(call, id)).await?,
        };
        let record = codec::decode_named(stored, &known.profile).map_err(damaged)?;
        self.write_back(&known, &record);
        Ok(record)
    }

    async fn read_profile(&self, call: &Call, id: ProfileId) -> Result<Arc<Known>, Fault> {
        let generation = self.coherence.generation();
        let Some(stored) = call.value(self.keys.profile(id)).await? else {
            return Err(Fault::unavailable("the profile that a token names is missing"));
        };
        let dataset = self.fleet.common.dataset().ok_or_else(Fault::closed)?;
        if ProfileId::of(dataset.as_bytes(), &stored) != id {
            return Err(Fault::damaged("a profile of tokens is not as its name says"));
        }
        let profile = Profile::decode(&stored).map_err(|error| Fault::damaged(error.to_string()))?;
        Ok(self.profiles.remember(id, profile, stored, Some(generation)))
    }

    /// Writes a profile again that Redis may have lost since this node has read or written it, once for each such
    /// doubt. Nobody waits for it: this node knows the profile, and other nodes are to find it.
    fn write_back(&self, known: &Arc<Known>, record: &Record) {
        let (generation, need) = (self.coherence.generation(), end_of_need(record.expires_at));
        // The lifetime of the token stands for what is left of it: nobody waits, so no time was handed down.
        let issued = Now::from_unix(std::time::Duration::from_secs(record.issued_at.0));
        let until = end_with_spare(record.expires_at, issued);
        {
            let mut vouched = known.vouched();
            if vouched.suffices(generation, need) {
                return;
            }
            vouched.tried = Some((generation, until));
        }
        let Ok(call) = self.begin() else { return };
        let (known, key) = (Arc::clone(known), self.keys.profile(known.id));
        tokio::spawn(async move {
            if let Err(fault) = known.write(&call, key, generation, until).await {
                tracing::debug!(fault = fault.detail(), "a profile of tokens was not written again");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::claims::Claims;
    use crate::token::record::State;
    use crate::token::scope::Scope;
    use crate::token::time::Stamp;
    use crate::token::value::TokenKind;

    const DATASET: [u8; 16] = [7; 16];

    fn record(scope: &str) -> Record {
        Record {
            state: State::Approved,
            stamp: Stamp(0),
            owner_created: Stamp(1),
            kind: TokenKind::Access,
            issued_at: UnixSeconds(1000),
            not_before: None,
            expires_at: UnixSeconds(4600),
            client_id: "app".into(),
            subject: Some("alice".into()),
            username: None,
            scope: Scope::parse(scope).unwrap(),
            audience: vec![],
            grant: None,
            claims: Claims::default(),
        }
    }

    #[test]
    fn a_combination_is_kept_once_from_its_second_time_on() {
        let profiles = Profiles::new();
        assert!(profiles.shared(&DATASET, &record("read")).is_none());
        assert!(profiles.shared(&DATASET, &record("write")).is_none(), "another");
        let known = profiles.shared(&DATASET, &record("read")).unwrap();
        assert_eq!(known.profile, Profile::of(&record("read")));
        let again = profiles.shared(&DATASET, &record("read")).unwrap();
        assert!(Arc::ptr_eq(&known, &again));
    }

    #[test]
    fn combinations_that_come_up_once_fill_no_memory_and_are_not_kept() {
        let profiles = Profiles::new();
        for number in 0..3 * USUAL {
            assert!(profiles.shared(&DATASET, &record(&format!("payment:{number}"))).is_none());
        }
        assert!(profiles.met.len() <= USUAL && profiles.known.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_by_what_it_takes_and_the_largest_are_never_kept() {
        let profiles = Profiles::new();
        let scope = |number: usize, length: usize| format!("{number:05}{}", "X".repeat(length));
        for number in 0..3000 {
            for _ in 0..2 {
                profiles.shared(&DATASET, &record(&scope(number, 3900)));
            }
        }
        assert!(profiles.known.weight() <= CAPACITY, "{}", profiles.known.weight());
        for _ in 0..3 {
            let huge = Record { audience: vec!["A".repeat(LARGEST).into()], ..record("read") };
            assert!(profiles.shared(&DATASET, &huge).is_none());
        }
    }

    #[test]
    fn one_that_was_not_written_in_this_generation_for_long_enough_is_written_again() {
        let until = UnixSeconds;
        let found = Vouched { found: Some(3), ..Vouched::default() };
        assert!(found.suffices(3, until(100)), "its issuer has written it");
        assert!(!found.lasts(3, until(100)) && !found.suffices(4, until(100)));
        let written = Vouched { written: Some((3, until(100))), ..found };
        assert!(written.lasts(3, until(100)) && written.suffices(3, until(100)));
        assert!(!written.lasts(3, until(101)) && !written.suffices(3, until(101)));
        assert!(!written.lasts(4, until(50)) && !written.suffices(4, until(50)));
        let tried = Vouched { tried: Some((4, until(100))), ..written };
        assert!(tried.suffices(4, until(100)) && !tried.lasts(4, until(100)), "whoever issues must know");
        assert!(!tried.suffices(4, until(101)) && !tried.suffices(5, until(1)));
    }

    #[test]
    fn a_profile_outlives_its_tokens() {
        let now = Now::from_unix(std::time::Duration::from_secs(1000));
        for lifetime in [0, 1, 60, 3600, 30 * 24 * 3600, u64::MAX - 1000] {
            let expires_at = UnixSeconds(1000 + lifetime);
            let (need, end) = (end_of_need(expires_at), end_with_spare(expires_at, now));
            assert!(need.0 >= expires_at.0.saturating_add(CLOCK_GRACE) && end.0 >= need.0.saturating_add(SPARE));
            assert!(end.0 >= need.0.saturating_add(lifetime));
        }
    }
}

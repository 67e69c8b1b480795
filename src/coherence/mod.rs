//! What a node may still believe of what it has read: how a near cache never contradicts a revocation.
//!
//! Whatever can end a token has a [`Name`]. The store says of each name when something was written under it
//! ([`Coherence::heard`]), and until when it can vouch that nothing was written of which it has not said so: the
//! **lease** ([`Coherence::extend`]).
//!
//! An answer rests on some names. Before they are read, [`Coherence::sample`] notes how often each has been heard of;
//! afterwards the answer may be given again for as long as none of them has been heard of since and the lease runs
//! ([`Coherence::holds`]). So it makes no difference whether word of a change comes while the read is under way, before
//! its result is kept or after: the numbers differ, and the result is never used. No lock orders the two.
//!
//! - [`name`] the names; [`clock`] the clock that a lease ends by

pub mod clock;
pub mod name;

use self::clock::{BootClock, Moment};
use self::name::Name;
use crate::atomics::{AtomicU32, AtomicU64, Ordering};

/// How many counters names are spread over: a power of two, and as many as 16 bits count at most. Two names that share
/// one only cost each other a read.
const STRIPES: usize = 1 << 16;

/// The most names that an answer rests on: for a token that was made elsewhere, each of the four digests that it may be
/// kept under, its grant, its client, four epochs and a group; for a signed token, one digest, five epochs and a group.
pub const MOST_NAMES: usize = 11;

/// What has been heard, and until when nothing can have been missed. One for the whole process.
#[derive(Debug)]
pub struct Coherence {
    /// How often each group of names was heard of.
    stripes: Box<[AtomicU32]>,
    /// How often everything was given up at once.
    generation: AtomicU64,
    /// The moment at which the lease ends, in nanoseconds; 0 when there is none.
    lease: AtomicU64,
    clock: BootClock,
}

/// What was known of some names at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    generation: u64,
    count: u8,
    stripes: [u16; MOST_NAMES],
    counts: [u32; MOST_NAMES],
}

impl Coherence {
    /// Nothing heard, and no lease.
    pub fn new(clock: BootClock) -> Self {
        Self::of_stripes(STRIPES, clock)
    }

    /// The same with another number of counters, a power of two up to 2^16: the fewer, the more names share one.
    pub fn of_stripes(stripes: usize, clock: BootClock) -> Self {
        debug_assert!(stripes.is_power_of_two() && stripes <= STRIPES, "a mask picks the counter of a name");
        Self {
            stripes: (0..stripes).map(|_| AtomicU32::new(0)).collect(),
            generation: AtomicU64::new(0),
            lease: AtomicU64::new(0),
            clock,
        }
    }

    /// The present moment, as leases are measured.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    // --- by those who keep answers ---

    /// Notes what is known of `names`. To be called before any of them is read.
    ///
    /// Names beyond [`MOST_NAMES`] are a mistake of the caller's, and the result then never holds.
    pub fn sample<'a>(&self, names: impl IntoIterator<Item = Name<'a>>) -> Versions {
        let generation = self.generation.load(Ordering::Acquire);
        let nothing = Versions { generation, count: 0, stripes: [0; MOST_NAMES], counts: [0; MOST_NAMES] };
        self.sample_further(nothing, names)
    }

    /// Notes what is known of further names that the same answer rests on: which these are, only a first read may have
    /// told. To be called before any of them is read. What was noted of the others stays as it was.
    pub fn sample_further<'a>(&self, sampled: Versions, names: impl IntoIterator<Item = Name<'a>>) -> Versions {
        let mut versions = sampled;
        for name in names {
            let place = usize::from(versions.count);
            if place == MOST_NAMES {
                debug_assert!(false, "an answer rests on more names than there can be");
                return Versions { generation: u64::MAX, ..versions };
            }
            let stripe = self.stripe_of(name.text().as_bytes());
            versions.stripes[place] = stripe;
            versions.counts[place] = self.stripes[usize::from(stripe)].load(Ordering::Acquire);
            versions.count += 1;
        }
        versions
    }

    /// Whether what was read after `versions` was sampled is still so at `at`, a moment that has been read by
    /// [`Coherence::now`] since the question was asked.
    pub fn holds(&self, versions: &Versions, at: Moment) -> bool {
        // The lease first: whoever sees it sees whatever was heard before it was extended.
        at.0 < self.lease.load(Ordering::Acquire) && self.is_unchanged(versions)
    }

    /// Whether nothing has been heard since `versions` was sampled. Without a lease that proves nothing.
    pub fn is_unchanged(&self, versions: &Versions) -> bool {
        let count = usize::from(versions.count);
        self.generation.load(Ordering::Acquire) == versions.generation
            && versions.stripes[..count]
                .iter()
                .zip(&versions.counts[..count])
                .all(|(stripe, version)| self.stripes[usize::from(*stripe)].load(Ordering::Acquire) == *version)
    }

    /// Whether there is a lease at this moment.
    pub fn has_lease(&self, at: Moment) -> bool {
        at.0 < self.lease.load(Ordering::Acquire)
    }

    // --- by the store ---

    /// Something was written under the name of this text.
    pub fn heard(&self, text: &[u8]) {
        self.stripes[usize::from(self.stripe_of(text))].fetch_add(1, Ordering::Release);
    }

    /// Anything may have been written: nothing that was sampled before this holds any longer.
    pub fn flush(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Sets the moment until which everything that was written has been heard.
    pub fn extend(&self, until: Moment) {
        self.lease.store(until.0, Ordering::Release);
    }

    /// Ends the lease at once, and with it the use of everything that was read under it.
    pub fn revoke_lease(&self) {
        self.lease.store(0, Ordering::Release);
        self.flush();
    }

    /// How often everything was given up at once.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// When the lease ends; the beginning of time when there is none.
    pub fn lease(&self) -> Moment {
        Moment(self.lease.load(Ordering::Acquire))
    }
}

impl Coherence {
    /// Which counter the name of this text belongs to.
    fn stripe_of(&self, text: &[u8]) -> u16 {
        // FNV-1a: names are short and nobody gains by making two of them meet.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in text {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let [.., high, low] = (hash ^ (hash >> 32) ^ (hash >> 16)).to_be_bytes();
        let mask = u16::try_from(self.stripes.len() - 1).unwrap_or(u16::MAX);
        u16::from_be_bytes([high, low]) & mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::digest::{GrantId, TokenDigest};
    use crate::token::epoch::EpochAxis;

    const TOKEN: Name<'_> = Name::Token(TokenDigest([7; 16]));
    const CLIENT: Name<'_> = Name::Client("app");

    fn coherence() -> (Coherence, BootClock) {
        let clock = BootClock::manual();
        (Coherence::new(clock.clone()), clock)
    }

    #[test]
    fn what_was_read_holds_until_one_of_its_names_is_heard_of() {
        let (coherence, _) = coherence();
        coherence.extend(Moment(u64::MAX));
        let versions = coherence.sample([TOKEN, CLIENT]);
        assert!(coherence.holds(&versions, coherence.now()));
        coherence.heard(Name::Grant(GrantId([7; 16])).text().as_bytes());
        assert!(coherence.holds(&versions, coherence.now()), "another name");
        coherence.heard(CLIENT.text().as_bytes());
        assert!(!coherence.holds(&versions, coherence.now()));
        assert!(coherence.holds(&coherence.sample([TOKEN, CLIENT]), coherence.now()));
    }

    /// Word that comes between the read and the moment in which its result is kept.
    #[test]
    fn word_that_overtakes_the_read_is_not_lost() {
        let (coherence, _) = coherence();
        coherence.extend(Moment(u64::MAX));
        let before = coherence.sample([TOKEN]);
        coherence.heard(TOKEN.text().as_bytes());
        assert!(!coherence.holds(&before, coherence.now()));
    }

    #[test]
    fn nothing_holds_without_a_lease_or_after_its_end() {
        let (coherence, clock) = coherence();
        let versions = coherence.sample([TOKEN]);
        assert!(!coherence.holds(&versions, coherence.now()), "never granted");
        coherence.extend(coherence.now().plus(std::time::Duration::from_millis(200)));
        assert!(coherence.holds(&versions, coherence.now()));
        clock.advance(std::time::Duration::from_millis(200));
        assert!(!coherence.holds(&versions, coherence.now()), "it has ended");
        coherence.extend(coherence.now().plus(std::time::Duration::from_millis(200)));
        assert!(coherence.holds(&versions, coherence.now()), "nothing was heard meanwhile");
        coherence.revoke_lease();
        coherence.extend(coherence.now().plus(std::time::Duration::from_millis(200)));
        assert!(!coherence.holds(&versions, coherence.now()), "what was read before a lease was lost is lost with it");
    }

    #[test]
    fn a_flush_ends_everything_that_was_sampled_before_it() {
        let (coherence, _) = coherence();
        coherence.extend(Moment(u64::MAX));
        let versions = coherence.sample([]);
        assert!(coherence.holds(&versions, coherence.now()));
        coherence.flush();
        assert!(!coherence.holds(&versions, coherence.now()));
    }

    #[test]
    fn the_names_of_one_answer_fit() {
        let (coherence, _) = coherence();
        coherence.extend(Moment(u64::MAX));
        let both = EpochAxis::ClientUser { client_id: "app", subject: "user" };
        let names = [
            TOKEN,
            CLIENT,
            Name::Grant(GrantId([7; 16])),
            Name::Epoch(EpochAxis::Issuer),
            Name::Epoch(EpochAxis::Client("app")),
            Name::Epoch(EpochAxis::User("user")),
            Name::Epoch(both),
            Name::Epoch(EpochAxis::Key("kid")),
        ];
        for name in names {
            let versions = coherence.sample(names);
            assert!(coherence.holds(&versions, coherence.now()));
            coherence.heard(name.text().as_bytes());
            assert!(!coherence.holds(&versions, coherence.now()), "{name:?}");
        }
    }
}

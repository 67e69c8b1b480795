//! A near cache as the service has one, with tokens in it: for its bench, and for counting its instructions.

#![allow(dead_code, reason = "each bench is a program of its own, and uses a part of this")]

use std::sync::Arc;
use std::time::Duration;

use introspectd::cache::near::{Kept, Limits, NearCache, Weigh};
use introspectd::cache::observe::{CacheName, Unobserved};
use introspectd::cache::sample::Sample;
use introspectd::coherence::Coherence;
use introspectd::coherence::clock::{BootClock, Moment};
use introspectd::coherence::name::Name;
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::epoch::EpochAxis;

const CLIENT: &str = "s6BhdRkqt3";
const SUBJECT: &str = "248289761001";

/// What an entry holds, about: a record and an answer.
pub(crate) struct Value([u8; 1024]);

impl Weigh for Value {
    fn weight(&self) -> u64 {
        self.0.len() as u64
    }
}

/// That the store does not have it.
pub(crate) struct Missing;

impl Weigh for Missing {
    fn weight(&self) -> u64 {
        1
    }
}

/// What is known of tokens, and of which there are none, under a lease that does not end.
pub(crate) struct Memory {
    pub(crate) known: NearCache<TokenDigest, Value>,
    pub(crate) unknown: NearCache<TokenDigest, Missing>,
    pub(crate) coherence: Arc<Coherence>,
}

impl Memory {
    /// With room for twice as many as are put into it, so that nothing gives way.
    pub(crate) fn holding(known: &[TokenDigest], unknown: &[TokenDigest]) -> Self {
        let coherence = Arc::new(Coherence::new(BootClock::System));
        coherence.extend(Moment(u64::MAX));
        let day = Duration::from_hours(24);
        let of_known = Limits { capacity: 2 * 1024 * known.len() as u64, usual: 1024, max_age: day };
        let of_unknown = Limits { capacity: 2 * unknown.len() as u64, usual: 1, max_age: day };
        let memory = Self {
            known: NearCache::new(CacheName::Tokens, of_known, Arc::clone(&coherence), Arc::new(Unobserved)),
            unknown: NearCache::new(CacheName::UnknownTokens, of_unknown, Arc::clone(&coherence), Arc::new(Unobserved)),
            coherence,
        };
        for digest in known {
            memory.keep(*digest);
        }
        for digest in unknown {
            let sample = Sample::take(&memory.coherence, [Name::Token(*digest)]);
            memory.unknown.keep(*digest, Arc::new(Kept { sample, value: Missing }));
        }
        memory
    }

    /// Keeps a token, with all the names that one which belongs to a grant of a user rests on.
    pub(crate) fn keep(&self, digest: TokenDigest) {
        let names = [
            Name::Token(digest),
            Name::Grant(GrantId([7; GrantId::BYTES])),
            Name::Client(CLIENT),
            Name::Epoch(EpochAxis::Issuer),
            Name::Epoch(EpochAxis::Client(CLIENT)),
            Name::Epoch(EpochAxis::User(SUBJECT)),
            Name::Epoch(EpochAxis::ClientUser { client_id: CLIENT, subject: SUBJECT }),
        ];
        let sample = Sample::take(&self.coherence, names);
        self.known.keep(digest, Arc::new(Kept { sample, value: Value([0; 1024]) }));
    }

    /// Word of a change of this token.
    pub(crate) fn hear(&self, digest: TokenDigest) {
        self.coherence.heard(Name::Token(digest).text().as_bytes());
    }

    /// What is known of a token, the clock included, as each request asks.
    pub(crate) fn ask(&self, digest: &TokenDigest) -> Answer {
        let at = self.coherence.now();
        if self.known.get(digest, at).is_some() {
            Answer::Known
        } else if self.unknown.get(digest, at).is_some() {
            Answer::Missing
        } else {
            Answer::Nothing
        }
    }
}

/// What a near cache says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This is known of it.
    Known,
    /// It is known that there is none.
    Missing,
    /// It has to be read.
    Nothing,
}

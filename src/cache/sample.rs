//! What was known before a read.

use std::time::Duration;

use crate::coherence::clock::Moment;
use crate::coherence::name::Name;
use crate::coherence::{Coherence, Versions};

/// What was known of the names of an answer before they were read, and when that was.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    versions: Versions,
    since: Moment,
    leased: bool,
}

impl Sample {
    /// Notes what is known of `names`. To be taken before any of them is read.
    pub fn take<'a>(coherence: &Coherence, names: impl IntoIterator<Item = Name<'a>>) -> Self {
        let since = coherence.now();
        let versions = coherence.sample(names);
        // After the versions: without a lease nobody may be listening, and what is written then is never heard of. With
        // one, whatever was written before somebody listened is there to be read.
        let leased = coherence.has_lease(coherence.now());
        Self { versions, since, leased }
    }

    /// The same with further names that the answer rests on. To be taken before any of these is read.
    #[must_use]
    pub fn further<'a>(self, coherence: &Coherence, names: impl IntoIterator<Item = Name<'a>>) -> Self {
        Self { versions: coherence.sample_further(self.versions, names), ..self }
    }

    /// Whether what was read since is still so at `at`, a moment read after the question was asked.
    pub fn holds(&self, coherence: &Coherence, at: Moment) -> bool {
        self.leased && coherence.holds(&self.versions, at)
    }

    /// Whether nothing was heard since. Without a lease that does not prove that nothing was written.
    pub fn is_unchanged(&self, coherence: &Coherence) -> bool {
        self.leased && coherence.is_unchanged(&self.versions)
    }

    /// How long ago it was taken.
    pub fn age(&self, at: Moment) -> Duration {
        at.since(self.since)
    }
}

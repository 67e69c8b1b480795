//! The life of signing keys, as pure functions of the document and the time.
//!
//! ```text
//! standby --rotate--> scheduled --(published for long enough)--> active --rotate--> retired --(last token ended)--> dropped
//! ```
//!
//! A key is published when it is made, and used no sooner than every verifier can have fetched it (OpenID Connect Core
//! section 10.1.1). The moments are written down: each node comes to the same conclusion by its own clock.

use super::SigningError;
use super::document::{KeyDocument, Phase, Purpose, StoredKey};
use crate::jose::algorithm::Algorithm;
use crate::token::time::UnixSeconds;

/// Makes keys: what the functions here cannot do themselves.
pub(super) type Maker<'a> = dyn FnMut(Purpose, Algorithm) -> Result<StoredKey, SigningError> + 'a;

/// The time, and how long things take, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) now: UnixSeconds,
    /// How long a key is published before it signs.
    pub(super) publish_ahead: u64,
    /// How long the last text lives that a key signs, with what clocks may differ by.
    pub(super) longest: u64,
}

/// The most keys that are kept: each rotation leaves one behind until its last token has ended.
pub(super) const MAX_KEYS: usize = 100;

impl KeyDocument {
    /// Forgets keys of which no text can be valid any longer.
    pub(super) fn tidy(&mut self, now: UnixSeconds) {
        self.keys.retain(|key| key.is_published(now));
    }

    /// Makes sure that there is a key to sign with at once, and one on standby.
    pub(super) fn ensure(
        &mut self,
        purpose: Purpose,
        algorithm: Algorithm,
        timing: Timing,
        make: &mut Maker<'_>,
    ) -> Result<(), SigningError> {
        let now = timing.now;
        if !self.of(purpose, algorithm).any(|key| key.usable && key.phase(now) == Phase::Active) {
            // The one that comes next, else the one that waits, else a new one.
            let waiting = [Phase::Scheduled, Phase::Standby].into_iter().find_map(|phase| {
                self.keys.iter().position(|key| key.is_in(purpose, algorithm) && key.usable && key.phase(now) == phase)
            });
            let position = match waiting {
                Some(position) => position,
                None => self.add(make(purpose, algorithm)?)?,
            };
            self.keys[position].signs_from = Some(now);
            self.ensure_standby(purpose, algorithm, now, make)?;
        }
        Ok(())
    }

    /// Lets the standby take over, as soon as it has been published for long enough. A take-over that is under way
    /// already is left as it is.
    pub(super) fn rotate(
        &mut self,
        purpose: Purpose,
        algorithm: Algorithm,
        timing: Timing,
        make: &mut Maker<'_>,
    ) -> Result<(), SigningError> {
        let now = timing.now;
        if !self.of(purpose, algorithm).any(|key| key.usable && key.phase(now) == Phase::Active) {
            return self.ensure(purpose, algorithm, timing, make);
        }
        if self.of(purpose, algorithm).any(|key| key.phase(now) == Phase::Scheduled) {
            return Ok(());
        }
        self.ensure_standby(purpose, algorithm, now, make)?;
        let standby = self
            .keys
            .iter_mut()
            .find(|key| key.is_in(purpose, algorithm) && key.usable && key.phase(now) == Phase::Standby);
        let Some(standby) = standby else { return Ok(()) };
        let takes_over = now.max(standby.created_at.plus(timing.publish_ahead));
        standby.signs_from = Some(takes_over);
        let kid = standby.kid.clone();
        for key in self.keys.iter_mut().filter(|key| key.is_in(purpose, algorithm) && key.kid != kid) {
            if key.phase(now) == Phase::Active && key.retires_at.is_none() {
                key.retires_at = Some(takes_over);
                key.verifies_until = Some(takes_over.plus(timing.longest));
            }
        }
        self.ensure_standby(purpose, algorithm, now, make)
    }

    /// Takes a key out of use, as far as it is in use: what it has signed stays valid.
    pub(super) fn retire(&mut self, kid: &str, timing: Timing, make: &mut Maker<'_>) -> Result<(), SigningError> {
        let key = self.find(kid)?;
        let (purpose, algorithm) = (key.purpose, key.alg);
        match key.phase(timing.now) {
            Phase::Active => self.rotate(purpose, algorithm, timing, make),
            // It has signed nothing yet.
            Phase::Standby | Phase::Scheduled => self.remove(kid, timing, make),
            Phase::Retired => Ok(()),
        }
    }

    /// Takes a key away with all that it has signed. If it was the one that signs, the next one does so at once.
    pub(super) fn remove(&mut self, kid: &str, timing: Timing, make: &mut Maker<'_>) -> Result<(), SigningError> {
        let now = timing.now;
        let removed = self.find(kid)?.clone();
        let (purpose, algorithm) = (removed.purpose, removed.alg);
        self.keys.retain(|key| *key.kid != *kid);
        match removed.phase(now) {
            Phase::Active => self.ensure(purpose, algorithm, timing, make),
            Phase::Scheduled => {
                // Nobody takes over from those that it was to take over from.
                for key in self.keys.iter_mut().filter(|key| key.is_in(purpose, algorithm)) {
                    if key.retires_at.is_some_and(|end| end > now) {
                        key.retires_at = None;
                        key.verifies_until = None;
                    }
                }
                self.ensure_standby(purpose, algorithm, now, make)
            }
            Phase::Standby => self.ensure_standby(purpose, algorithm, now, make),
            Phase::Retired => Ok(()),
        }
    }

    fn ensure_standby(
        &mut self,
        purpose: Purpose,
        algorithm: Algorithm,
        now: UnixSeconds,
        make: &mut Maker<'_>,
    ) -> Result<(), SigningError> {
        if !self.of(purpose, algorithm).any(|key| key.usable && key.phase(now) == Phase::Standby) {
            self.add(make(purpose, algorithm)?)?;
        }
        Ok(())
    }

    fn add(&mut self, key: StoredKey) -> Result<usize, SigningError> {
        if self.keys.len() >= MAX_KEYS {
            return Err(SigningError::TooMany);
        }
        self.keys.push(key);
        Ok(self.keys.len() - 1)
    }

    fn find(&self, kid: &str) -> Result<&StoredKey, SigningError> {
        self.keys.iter().find(|key| *key.kid == *kid).ok_or(SigningError::Unknown)
    }

    fn of(&self, purpose: Purpose, algorithm: Algorithm) -> impl Iterator<Item = &StoredKey> {
        self.keys.iter().filter(move |key| key.is_in(purpose, algorithm))
    }
}

impl StoredKey {
    fn is_in(&self, purpose: Purpose, algorithm: Algorithm) -> bool {
        self.purpose == purpose && self.alg == algorithm
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PURPOSE: Purpose = Purpose::AccessToken;
    const ALGORITHM: Algorithm = Algorithm::Es256;

    struct Bench {
        document: KeyDocument,
        made: u32,
        now: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self { document: KeyDocument::default(), made: 0, now: 1_000_000 }
        }

        fn does(
            &mut self,
            operation: impl FnOnce(&mut KeyDocument, Timing, &mut Maker<'_>) -> Result<(), SigningError>,
        ) -> Result<(), SigningError> {
            let timing = Timing { now: UnixSeconds(self.now), publish_ahead: 3600, longest: 86_400 };
            let (made, now) = (&mut self.made, self.now);
            let mut make = |purpose, algorithm| {
                *made += 1;
                Ok(StoredKey {
                    kid: format!("k{made}").into(),
                    alg: algorithm,
                    purpose,
                    jwk: json!({}),
                    created_at: UnixSeconds(now),
                    signs_from: None,
                    retires_at: None,
                    verifies_until: None,
                    sealed_by: "01".into(),
                    sealed: "".into(),
                    usable: true,
                })
            };
            self.document.tidy(timing.now);
            operation(&mut self.document, timing, &mut make)
        }

        fn ensure(&mut self) {
            self.does(|document, timing, make| document.ensure(PURPOSE, ALGORITHM, timing, make)).unwrap();
        }

        fn rotate(&mut self) {
            self.does(|document, timing, make| document.rotate(PURPOSE, ALGORITHM, timing, make)).unwrap();
        }

        fn phases(&self) -> Vec<(&str, Phase)> {
            self.document.keys.iter().map(|key| (&*key.kid, key.phase(UnixSeconds(self.now)))).collect()
        }
    }

    #[test]
    fn the_first_need_makes_an_active_key_and_a_standby_and_the_second_none() {
        let mut bench = Bench::new();
        bench.ensure();
        assert_eq!(bench.phases(), [("k1", Phase::Active), ("k2", Phase::Standby)]);
        bench.ensure();
        assert_eq!(bench.made, 2);
    }

    #[test]
    fn a_standby_takes_over_no_sooner_than_it_has_been_published() {
        let mut bench = Bench::new();
        bench.ensure();
        bench.now += 600;
        bench.rotate();
        let scheduled = [("k1", Phase::Active), ("k2", Phase::Scheduled), ("k3", Phase::Standby)];
        assert_eq!(bench.phases(), scheduled);
        bench.rotate();
        assert_eq!(bench.phases(), scheduled, "one take-over at a time");
        bench.now += 2999;
        assert_eq!(bench.phases(), scheduled);
        bench.now += 1;
        assert_eq!(bench.phases(), [("k1", Phase::Retired), ("k2", Phase::Active), ("k3", Phase::Standby)]);
    }

    #[test]
    fn a_retired_key_is_kept_until_its_last_token_has_ended() {
        let mut bench = Bench::new();
        bench.ensure();
        bench.now += 7200;
        bench.rotate();
        assert_eq!(bench.phases(), [("k1", Phase::Retired), ("k2", Phase::Active), ("k3", Phase::Standby)]);
        bench.now += 86_399;
        bench.ensure();
        assert_eq!(bench.phases().len(), 3);
        bench.now += 1;
        assert!(!bench.document.keys[0].is_published(UnixSeconds(bench.now)));
        bench.ensure();
        assert_eq!(bench.phases(), [("k2", Phase::Active), ("k3", Phase::Standby)]);
    }

    #[test]
    fn a_removed_key_is_gone_and_the_next_one_signs_at_once() {
        let mut bench = Bench::new();
        bench.ensure();
        bench.does(|document, timing, make| document.remove("k1", timing, make)).unwrap();
        assert_eq!(bench.phases(), [("k2", Phase::Active), ("k3", Phase::Standby)], "published for long enough or not");
        bench.does(|document, timing, make| document.remove("k3", timing, make)).unwrap();
        assert_eq!(bench.phases(), [("k2", Phase::Active), ("k4", Phase::Standby)]);
        let unknown = bench.does(|document, timing, make| document.remove("k3", timing, make));
        assert!(matches!(unknown, Err(SigningError::Unknown)));
    }

    #[test]
    fn removing_a_scheduled_key_calls_the_take_over_off() {
        let mut bench = Bench::new();
        bench.ensure();
        bench.rotate();
        bench.does(|document, timing, make| document.remove("k2", timing, make)).unwrap();
        bench.now += 100_000;
        assert_eq!(bench.phases(), [("k1", Phase::Active), ("k3", Phase::Standby)]);
        assert!(bench.document.keys[0].is_published(UnixSeconds(u64::MAX)));
    }

    #[test]
    fn removing_the_active_key_brings_a_take_over_forward() {
        let mut bench = Bench::new();
        bench.ensure();
        bench.rotate();
        bench.does(|document, timing, make| document.remove("k1", timing, make)).unwrap();
        assert_eq!(bench.phases(), [("k2", Phase::Active), ("k3", Phase::Standby)]);
    }

    #[test]
    fn retiring_a_key_means_what_its_phase_asks_for() {
        let mut bench = Bench::new();
        bench.ensure();
        bench.does(|document, timing, make| document.retire("k2", timing, make)).unwrap();
        assert_eq!(bench.phases(), [("k1", Phase::Active), ("k3", Phase::Standby)], "it had signed nothing");
        bench.now += 3600;
        bench.does(|document, timing, make| document.retire("k1", timing, make)).unwrap();
        let rotated = [("k1", Phase::Retired), ("k3", Phase::Active), ("k4", Phase::Standby)];
        assert_eq!(bench.phases(), rotated);
        bench.does(|document, timing, make| document.retire("k1", timing, make)).unwrap();
        assert_eq!(bench.phases(), rotated);
    }

    #[test]
    fn keys_that_this_node_cannot_open_are_left_alone_and_replaced() {
        let mut bench = Bench::new();
        bench.ensure();
        for key in &mut bench.document.keys {
            key.usable = false;
        }
        bench.ensure();
        let phases = [("k1", Phase::Active), ("k2", Phase::Standby), ("k3", Phase::Active), ("k4", Phase::Standby)];
        assert_eq!(bench.phases(), phases, "a node that can open the first goes on with it");
        bench.now += 3600;
        bench.rotate();
        assert_eq!(bench.phases()[0], ("k1", Phase::Retired), "a rotation retires both");
        assert_eq!(bench.phases()[2..4], [("k3", Phase::Retired), ("k4", Phase::Active)]);
    }

    #[test]
    fn keys_of_other_purposes_and_algorithms_are_not_touched() {
        let mut bench = Bench::new();
        bench.ensure();
        bench.does(|document, timing, make| document.ensure(Purpose::Introspection, ALGORITHM, timing, make)).unwrap();
        bench.does(|document, timing, make| document.ensure(PURPOSE, Algorithm::Rs256, timing, make)).unwrap();
        let before = bench.document.clone();
        bench.now += 3600;
        bench.rotate();
        assert_eq!(bench.document.keys[2..6], before.keys[2..6]);
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut bench = Bench::new();
        bench.ensure();
        let mut refused = false;
        for _ in 0..=MAX_KEYS {
            bench.now += 3600 / 60;
            for key in &mut bench.document.keys {
                key.created_at = UnixSeconds(0);
            }
            let rotated = bench.does(|document, timing, make| document.rotate(PURPOSE, ALGORITHM, timing, make));
            refused |= matches!(rotated, Err(SigningError::TooMany));
        }
        assert!(refused && bench.document.keys.len() <= MAX_KEYS);
    }
}

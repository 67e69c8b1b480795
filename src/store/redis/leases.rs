//! The one lease of this node's near cache: it runs for as long as that of every primary, and the fence.
//!
//! Any primary can hold something that ends a token, and while slots move, more than one of them may. So a node that
//! has lost touch with one of them believes nothing that it read from any of them, and asks again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dial::Address;
use super::fence::Fence;
use crate::coherence::Coherence;
use crate::coherence::clock::Moment;

/// What each primary has granted.
pub(super) struct Leases {
    coherence: Arc<Coherence>,
    fence: Arc<Fence>,
    /// Until when; 0 for a primary that is not being listened to.
    granted: Mutex<BTreeMap<Address, Moment>>,
}

impl Leases {
    pub(super) fn new(coherence: Arc<Coherence>, fence: Arc<Fence>) -> Self {
        Self { coherence, fence, granted: Mutex::new(BTreeMap::new()) }
    }

    /// These are the primaries now. What was read from the ones before is no longer believed.
    pub(super) fn expect(&self, primaries: &[Address]) {
        let mut granted = self.lock();
        *granted = primaries
            .iter()
            .map(|address| (address.clone(), granted.get(address).copied().unwrap_or_default()))
            .collect();
        self.coherence.revoke_lease();
        self.renew(&granted);
    }

    /// A primary has been listened to without a gap, and nothing of before `until` less one lease is still to come.
    pub(super) fn grant(&self, primary: &Address, until: Moment) {
        let mut granted = self.lock();
        let Some(before) = granted.get_mut(primary) else { return };
        if *before == Moment(0) {
            // Nobody listened while this was read.
            self.coherence.flush();
        }
        *before = until.max(*before);
        self.renew(&granted);
    }

    /// A primary is no longer listened to.
    pub(super) fn lose(&self, primary: &Address) {
        let mut granted = self.lock();
        if let Some(before) = granted.get_mut(primary) {
            *before = Moment(0);
        }
        self.coherence.revoke_lease();
    }

    /// Whether every primary is being listened to.
    pub(super) fn all_run(&self) -> bool {
        let now = self.coherence.now();
        self.lock().values().all(|until| now < *until)
    }

    /// The fence has moved.
    pub(super) fn refresh(&self) {
        self.renew(&self.lock());
    }

    fn renew(&self, granted: &BTreeMap<Address, Moment>) {
        let shortest = granted.values().copied().min().unwrap_or_default();
        self.coherence.extend(shortest.min(self.fence.until()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Address, Moment>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::coherence::clock::BootClock;

    #[test]
    fn the_shortest_decides_and_a_primary_that_is_lost_ends_all() {
        let coherence = Arc::new(Coherence::new(BootClock::manual()));
        let fence = Arc::new(Fence::new(Duration::from_nanos(100), false));
        let leases = Leases::new(Arc::clone(&coherence), Arc::clone(&fence));
        let [one, other] = [Address::tcp("a", 1), Address::tcp("b", 1)];
        leases.expect(&[one.clone(), other.clone()]);
        fence.confirm(Moment(950));
        leases.grant(&one, Moment(1_000));
        assert_eq!(coherence.lease(), Moment(0), "the other has granted nothing yet");
        leases.grant(&other, Moment(1_020));
        assert_eq!(coherence.lease(), Moment(1_000));
        leases.grant(&one, Moment(1_080));
        assert_eq!(coherence.lease(), Moment(1_020));
        leases.grant(&other, Moment(1_090));
        assert_eq!(coherence.lease(), Moment(1_050), "the fence");
        let versions = coherence.sample([]);
        assert!(coherence.holds(&versions, Moment(1_049)));
        leases.lose(&one);
        leases.grant(&other, Moment(1_200));
        assert_eq!(coherence.lease(), Moment(0));
        leases.grant(&one, Moment(1_200));
        assert!(!coherence.holds(&versions, Moment(1_049)), "nobody listened to one of them meanwhile");
        leases.grant(&Address::tcp("c", 1), Moment(5_000));
        leases.expect(&[other]);
        fence.confirm(Moment(1_190));
        leases.refresh();
        assert_eq!(coherence.lease(), Moment(1_200));
    }
}

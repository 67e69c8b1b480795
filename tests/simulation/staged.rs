//! Troubles in an order that has once broken the promise, with everything around them left to chance.

use std::time::Duration;

use checker::history::Event;
use checker::verdict::Invariant;
use introspectd::config::{Acknowledge, Durability};

use crate::chance::Chance;
use crate::faults::{Data, Fault};
use crate::network::Host;
use crate::product::{Settings, UNEQUAL};
use crate::redis::deployment::{Deployment, Topology};
use crate::run;
use crate::scenario::{LONGEST_LAG, NODES, Trouble};

/// How many seeds each is played with.
const SEEDS: u64 = 30;

const MILLISECOND: u64 = 1_000;
/// After how long another is the primary, and heard of.
const LONGEST_PROMOTION: u64 = 150 * MILLISECOND;

/// The last node is left alone with a primary that the others replace at once.
fn left_behind(deployment: &Deployment) -> Vec<Trouble> {
    let primary = deployment.data().find(|server| server.is_primary()).expect("there is one").id;
    let one = vec![Host::Server(primary), Host::Node(NODES - 1)];
    let everybody = (0..NODES).map(Host::Node).chain((0..deployment.servers.len()).map(Host::Server));
    let other = everybody.filter(|host| !one.contains(host)).collect();
    let begin = 10 * MILLISECOND;
    let mut failover = Trouble::new("failover", begin).losing(LONGEST_LAG).with(0, Fault::Failover(primary));
    // A revocation that is acknowledged later than this is acknowledged by the new primary.
    failover.told.end = Some((begin + LONGEST_PROMOTION) * 1_000);
    let split = Trouble::new("left behind", 0).with(0, Fault::Split { one, other });
    vec![split.with(2_200 * MILLISECOND, Fault::Heal), failover]
}

/// Plays it, and looks only at what was said active: the tokens that the old primary has issued meanwhile are lost.
fn play(settings: Settings) {
    let mut revoked = 0;
    for seed in 0..SEEDS {
        let finished = run::play(Chance::new(seed), settings, |_, deployment| left_behind(deployment));
        let verdict = checker::judge(&finished.history).expect("a history");
        assert!(!verdict.broken.contains_key(&Invariant::Revoked), "seed {seed}: {verdict}");
        revoked += verdict.counts.revoked;
    }
    assert!(revoked > SEEDS, "{revoked} revocations show nothing");
}

fn with_sentinels(lease: Duration) -> Settings {
    Settings { topology: Topology::Sentinel, acknowledge: Acknowledge::Visible, durability: Durability::Primary, lease }
}

#[test]
fn a_node_that_was_given_a_longer_lease_keeps_to_the_one_that_all_have_agreed_on() {
    play(with_sentinels(UNEQUAL));
}

#[test]
fn a_node_that_was_left_behind_does_not_take_what_others_have_issued_for_unknown() {
    play(with_sentinels(Duration::from_secs(1)));
}

/// The last node is cut off from a Redis that is restarted with all its data before it is reached again.
fn cut_off_until_another_life(deployment: &Deployment) -> Vec<Trouble> {
    let server = deployment.servers[0].id;
    let (begin, dies, lives) = (10 * MILLISECOND, 1_500 * MILLISECOND, 1_700 * MILLISECOND);
    let cut = Fault::Split { one: vec![Host::Node(NODES - 1)], other: vec![Host::Server(server)] };
    let cut_off = Trouble::new("a node is cut off", begin).with(0, cut).with(lives, Fault::Heal);
    let mut kill = Trouble::new("kill", dies)
        .with(0, Fault::Kill { server, machine: false })
        .with(lives - dies, Fault::Start { server, data: Data::Everything });
    kill.told.undoes_since = Some(begin * 1_000);
    vec![cut_off, kill]
}

#[test]
fn a_node_that_has_not_heard_of_an_approval_may_undo_it_in_another_life_and_does_nothing_else() {
    let durability = Durability::Replay;
    let lease = Duration::from_millis(200);
    let settings = Settings { topology: Topology::Standalone, acknowledge: Acknowledge::Visible, durability, lease };
    let mut undone = 0;
    for seed in 0..SEEDS {
        let finished = run::play(Chance::new(seed), settings, |_, deployment| cut_off_until_another_life(deployment));
        let mut history = finished.history;
        let verdict = checker::judge(&history).expect("a history");
        assert!(verdict.holds(), "seed {seed}: {verdict}");
        for event in &mut history.events {
            if let Event::Fault(fault) = event {
                fault.undoes_since = None;
            }
        }
        let strict = checker::judge(&history).expect("a history");
        assert!(strict.broken.keys().all(|broken| *broken == Invariant::Guess), "seed {seed}: {strict}");
        undone += u64::from(!strict.holds());
    }
    assert!(undone > 0, "no approval was undone: this shows nothing");
}

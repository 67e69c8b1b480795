//! The proof that `kill -9` loses nothing that was acknowledged.
//!
//! A child process opens a store and writes with several tasks at once: it issues, revokes, approves, rotates refresh
//! tokens, marks grants, raises epochs, uses things once, replaces signing keys, creates, replaces and deletes clients,
//! while its clock runs fast so that all of it expires and is forgotten all the time. Before each write it says what it
//! is about to do, and after the store's answer that it was acknowledged. The parent reads that, kills it at a random
//! moment, opens the folder, and compares: what was acknowledged must be there, what was only begun must be there
//! wholly or not at all, and no row may miss its counterpart.
//!
//! Of a rotation that means: the refresh token before it or the one after it works, never neither, never both, and
//! always the one after it once that was acknowledged.
//!
//! A folder is killed in many times before a new one is begun, and everything ever written to it is compared each time.
//!
//! This shows what the end of the process does. It does not show a power loss, since the kernel lives on and writes out
//! what it was given: for that, see `src/store/embedded/tests/power.rs`.
//!
//! - [`ledger`] the parent: what it was told, and whether it is there
//! - [`writer`] the child: what it does until it is killed

mod ledger;
mod writer;

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use self::ledger::Ledger;
use crate::child::say;
use crate::common::Dice;

pub(crate) use self::writer::write_until_killed;

/// How often the child is killed: a minute's worth. `INTROSPECTD_TEST_FULL=1` asks for ten.
const ROUNDS: u64 = 1_000;
const FULL_ROUNDS: u64 = 10_000;
/// How often in one folder.
const ROUNDS_PER_FOLDER: u64 = 20;

const SEED: &str = "INTROSPECTD_TEST_SEED";
const FULL: &str = "INTROSPECTD_TEST_FULL";
const CLOCK: &str = "INTROSPECTD_TEST_CLOCK";
const PLAN: &str = "INTROSPECTD_TEST_PLAN";

/// What the child is doing when it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    /// Opening the store, which repairs it when the last child was killed too.
    Open,
    /// Issuing, revoking and so on from several tasks.
    Write,
    /// Forgetting a pile of expired tokens, with no other writes.
    Sweep,
}

#[test]
fn killed_at_any_moment_it_has_every_acknowledged_write() {
    let rounds = if env::var(FULL).is_ok_and(|value| value == "1") { FULL_ROUNDS } else { ROUNDS };
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(rounds) >> 32);
    say(&format!("kill -9: {rounds} rounds, {SEED}={seed}"));
    let start = Instant::now();
    let mut dice = Dice(seed);
    let mut tally = Tally::default();
    let mut folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for round in 0..rounds {
        if round % ROUNDS_PER_FOLDER == 0 {
            folder = tempfile::tempdir().unwrap();
            ledger = Ledger::default();
        }
        let plan = match dice.below(10) {
            0 | 1 => Plan::Open,
            // Making the database is the opening that happens once, so every other folder is killed in it.
            _ if round % ROUNDS_PER_FOLDER == 0 && dice.below(2) == 0 => Plan::Open,
            2 => Plan::Sweep,
            _ => Plan::Write,
        };
        let died_early = ledger.live_through(folder.path(), plan, &mut dice, &mut tally);
        tally.plans.entry(plan).or_default().0 += 1;
        tally.plans.entry(plan).or_default().1 += u64::from(died_early);
        ledger.compare(folder.path(), &mut tally).unwrap_or_else(|lost| {
            // What was left is worth looking at.
            folder.disable_cleanup(true);
            panic!("round {round} of seed {seed}, killed in {plan:?}: {lost}");
        });
    }
    say(&format!(
        "proof: kill -9: {rounds} rounds in {:.1} s, seed {seed}: {tally}: 0 lost, 0 half done",
        start.elapsed().as_secs_f64()
    ));
    assert!(tally.acknowledged > rounds, "too little was written for the test to mean anything: {tally}");
}

/// What was seen over all rounds.
#[derive(Default)]
struct Tally {
    acknowledged: u64,
    issued: u64,
    revoked: u64,
    rotated: u64,
    clients: u64,
    begun: u64,
    begun_and_done: u64,
    compared: u64,
    forgotten: u64,
    plans: BTreeMap<Plan, (u64, u64)>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} writes acknowledged ({} issues, {} rotations, {} revocations, {} of clients), {} begun and not \
             acknowledged (of which {} were there), {} comparisons, {} expired and forgotten, kills",
            self.acknowledged,
            self.issued,
            self.rotated,
            self.revoked,
            self.clients,
            self.begun,
            self.begun_and_done,
            self.compared,
            self.forgotten
        )?;
        for (plan, (kills, early)) in &self.plans {
            write!(formatter, " in {plan:?} {kills} ({early} before it was open)")?;
        }
        Ok(())
    }
}

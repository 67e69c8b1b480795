//! Three nodes over a Redis that is made of values, on a network that fails, in a time that is made of numbers.
//!
//! Everything that happens follows from one number, the seed: what is asked of whom and when, how long each message
//! takes, what goes wrong. What the nodes answered is judged by the checker. A seed that breaks the promise is printed;
//!
//! ```text
//! SIMULATION_SEED=17 cargo test --test simulation
//! ```
//!
//! repeats it, with the log of the nodes, and leaves its history in the target folder.
//!
//! - [`chance`] what is random; [`world`] the time and what happens when; [`network`], [`stream`] the network
//! - [`redis`] the servers; [`faults`] what can go wrong; [`scenario`] what does
//! - [`node`], [`product`] the product; [`requests`], [`load`] what it is asked
//! - [`run`] one seed; [`staged`] what chance would need long to find

mod chance;
mod faults;
mod load;
mod network;
mod node;
mod product;
mod redis;
mod requests;
mod run;
mod scenario;
mod staged;
mod stream;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds a change has to pass, and how many the long form runs.
const SEEDS: u64 = 1_000;
const MANY_SEEDS: u64 = 10_000;
/// Seeds at once.
const THREADS: usize = 2;

/// Runs a seed and says what is wrong with it.
fn try_seed(seed: u64) -> Result<checker::Verdict, String> {
    let outcome = std::panic::catch_unwind(|| run::run(seed)).map_err(|_| format!("seed {seed}: panicked"))?;
    let verdict = checker::judge(&outcome.history).map_err(|error| format!("seed {seed}: {error}"))?;
    if verdict.holds() && outcome.surprises.is_empty() {
        return Ok(verdict);
    }
    let run::Finished { settings, troubles, surprises, .. } = outcome;
    Err(format!("seed {seed}: {settings:?}, {troubles:?} {surprises:?}\n{verdict}"))
}

#[test]
fn the_promise_holds_whatever_goes_wrong() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        return repeat(seed.parse().expect("SIMULATION_SEED is a number"));
    }
    let full = std::env::var_os("INTROSPECTD_TEST_FULL").is_some();
    let seeds =
        std::env::var("SIMULATION_SEEDS").ok().map(|seeds| seeds.parse().expect("SIMULATION_SEEDS is a number"));
    let seeds = seeds.unwrap_or(if full { MANY_SEEDS } else { SEEDS });
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let totals = Mutex::new([0_u64; 5]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || failures.lock().expect("no panic").len() >= 10 {
                        break;
                    }
                    match try_seed(seed) {
                        Ok(verdict) => {
                            let counts = verdict.counts;
                            let more =
                                [counts.revoked, counts.active, counts.inactive, counts.unavailable, counts.faults];
                            let mut totals = totals.lock().expect("no panic");
                            for (total, more) in totals.iter_mut().zip(more) {
                                *total += more;
                            }
                        }
                        Err(failure) => failures.lock().expect("no panic").push(failure),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "repeat with SIMULATION_SEED=...\n{}", failures.join("\n"));
    let [revoked, active, inactive, unavailable, faults] = totals.into_inner().expect("no panic");
    println!(
        "proof: simulation: {seeds} seeds, {faults} faults, {revoked} revocations answered, introspections: {active} \
         active, {inactive} inactive, {unavailable} refused; nothing contradicted"
    );
}

fn repeat(seed: u64) {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().without_time();
    let outcome = tracing::subscriber::with_default(log.finish(), || run::run(seed));
    let (text, _) = run::text(&outcome.history);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}.history"));
    std::fs::write(&path, text).expect("the target folder can be written");
    println!("{:?} {:?}: {}", outcome.settings, outcome.troubles, path.display());
    let verdict = checker::judge(&outcome.history).expect("a history");
    println!("{verdict}");
    assert!(outcome.surprises.is_empty(), "{:?}", outcome.surprises);
    assert!(verdict.holds(), "seed {seed} breaks the promise");
}

#[test]
fn a_seed_always_gives_the_same_history() {
    for seed in 0..6 {
        let (first, is_busy) = run::text(&run::run(seed).history);
        let (second, _) = run::text(&run::run(seed).history);
        assert!(is_busy, "nothing was revoked");
        assert!(first == second, "seed {seed} does not repeat");
    }
}

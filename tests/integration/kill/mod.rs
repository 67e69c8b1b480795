//! The proof that `kill -9` loses nothing over Redis that was acknowledged, whether it meets the node, Redis, or both.
//!
//! In Redis, rotating takes two steps: the access token is put in, then the grant goes from one refresh token to the
//! next. The node that has done one of them may be killed before the other, and so may Redis. Many clients refresh and
//! revoke over HTTP against the built program, until a kill at a random moment. Once all is up again, of each grant
//!
//! - the refresh token that was acknowledged last works, and its predecessor does not;
//! - where a refresh was under way, its refresh token works or its successor does: never neither, never both;
//!
//! and every token whose revocation was acknowledged is inactive, now and after all later kills.
//!
//! What became of a refresh under way is found out in two ways: by asking again within the time of grace, as a client
//! would, and by reading the store, where there is no grace.
//!
//! - [`site`] what is killed; [`call`] requests that may be cut off
//! - [`family`] what refreshes, and [`ended`] what revokes, until it is

mod call;
mod ended;
mod family;
mod site;

use std::env;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use introspectd::token::digest::TokenDigest;
use introspectd::token::keyring::{Candidates, Key, KeyId, KeyRing};
use introspectd::token::value::Presented;

use self::family::Family;
use self::site::Site;

/// How often something is killed: some seconds' worth. `INTROSPECTD_TEST_FULL=1` asks for minutes.
const ROUNDS: u64 = 20;
const FULL_ROUNDS: u64 = 300;
/// Clients that refresh, each a grant of its own.
const REFRESHING: usize = 8;

const SECRET: &str = "the digest key of the proof, 32 bytes";
/// The application that all tokens are issued to.
const APP: (&str, &str) = ("app", "app-secret-of-the-proof");

/// How it is found out what became of a refresh that nobody was told the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inquiry {
    /// The refresh token is sent again.
    Grace,
    /// The grant is read from the store.
    Store,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_a_refresh_may_be_sent_again_within_grace() {
    prove(Inquiry::Grace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_either_a_refresh_token_works_or_its_successor() {
    prove(Inquiry::Store).await;
}

async fn prove(inquiry: Inquiry) {
    let rounds = if env::var("INTROSPECTD_TEST_FULL").is_ok_and(|value| value == "1") { FULL_ROUNDS } else { ROUNDS };
    let begun = Instant::now();
    let mut site = Site::start(inquiry).await;
    let mut tally = Tally::default();
    let mut families = Vec::new();
    for _ in 0..REFRESHING {
        families.push(Family::issue(&site.api()).await);
    }
    let mut all_ended = Vec::new();
    for _ in 0..rounds {
        let mut ended = site.live_through(&mut families, &mut tally).await;
        let api = site.api();
        for ended in &mut ended {
            ended.verify(&api, &mut tally).await;
        }
        for family in &mut families {
            match inquiry {
                Inquiry::Grace => family.ask_again(&api, &mut tally).await,
                Inquiry::Store => family.look_up(&site, &mut tally).await,
            }
        }
        all_ended.extend(ended);
    }
    let api = site.api();
    for ended in &mut all_ended {
        ended.verify(&api, &mut tally).await;
    }
    if inquiry == Inquiry::Store {
        tally.cut = Some(site.unknown_access_tokens(&families).await);
        for family in &families {
            family.ends_when_used_twice(&api).await;
        }
    }
    say(&format!(
        "proof: kill -9 over Redis, {}: {rounds} rounds in {:.1} s: {tally}: 0 lost, 0 with neither refresh token or \
         both",
        match inquiry {
            Inquiry::Grace => "asked again within grace",
            Inquiry::Store => "read from the store, no grace",
        },
        begun.elapsed().as_secs_f64()
    ));
    let acknowledged = (tally.refreshes, tally.revocations);
    assert!(acknowledged.0 > rounds && acknowledged.1 > rounds, "too little happened to mean anything: {tally}");
}

fn say(line: &str) {
    // Past the harness, which keeps what a test that passes has said.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).expect("somebody listens");
}

/// A number that nobody can foresee. The moments of kills could not be repeated by a seed: what they meet is up to the
/// machine.
fn random(below: u64) -> u64 {
    RandomState::new().hash_one(below) % below
}

fn key_ring() -> KeyRing {
    let id = KeyId::from_bytes(b"t1").unwrap();
    KeyRing::new(Key::derive(id, SECRET.as_bytes()).unwrap(), vec![], false).unwrap()
}

fn digest(token: &str) -> TokenDigest {
    match key_ring().recognise(Presented::new(token)) {
        Candidates::One(digest) | Candidates::Refresh { digest, .. } => digest,
        other => panic!("{other:?}"),
    }
}

/// What was seen over all rounds.
#[derive(Default)]
struct Tally {
    kills_of_redis: u64,
    kills_of_nodes: u64,
    refreshes: u64,
    revocations: u64,
    under_way: u64,
    under_way_and_done: u64,
    revoking_under_way: u64,
    revoking_under_way_and_done: u64,
    comparisons: u64,
    cut: Option<usize>,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} kills of Redis and {} of the node (some of both at once), {} refreshes and {} revocations \
             acknowledged, {} refreshes not acknowledged (of which {} were done",
            self.kills_of_redis,
            self.kills_of_nodes,
            self.refreshes,
            self.revocations,
            self.under_way,
            self.under_way_and_done,
        )?;
        if let Some(cut) = self.cut {
            write!(formatter, ", {cut} cut between their two steps")?;
        }
        write!(
            formatter,
            "), {} revocations not acknowledged (of which {} were done), {} comparisons",
            self.revoking_under_way, self.revoking_under_way_and_done, self.comparisons
        )
    }
}

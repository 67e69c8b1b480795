//! Three nodes and a real Redis under load, while what they stand on is killed, frozen, emptied, cut off and moved. All
//! that is asked and answered is written down, and the checker says whether the promise held.
//!
//! - [`site`] the nodes, the faults, the judgement; [`witness`] the history; [`network`] what lies between a node and
//!   Redis
//! - [`load`] what clients do meanwhile; [`caller`] how they do it; [`tokens`] what they do it with
//! - [`standalone`] one Redis; [`sentinel`] one that is replaced; [`cluster`] several
//! - [`losses`] what failovers lose; [`visibility`] when a revocation is seen everywhere
//!
//! A history that breaks the promise is kept beside the build, and the message says where.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "../integration/support/mod.rs"]
#[allow(dead_code, unused_macros, reason = "it is shared with the integration tests, which need more of it")]
mod support;

mod caller;
mod cluster;
mod load;
mod losses;
mod network;
mod sentinel;
mod site;
mod standalone;
mod tokens;
mod visibility;
mod witness;

/// Whether the long forms are wanted.
fn is_full() -> bool {
    std::env::var("INTROSPECTD_TEST_FULL").is_ok_and(|value| value == "1")
}

fn say(line: &str) {
    // Past the harness, which keeps what a test that passes has said.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).expect("somebody listens");
}

//! Answers that say inactive.

use super::{Bench, Finding, asked};
use crate::facts::operations::Operations;
use crate::facts::{Facts, Read, Token};
use crate::history::Moment;
use crate::verdict::{Invariant, time};

pub(super) fn judge(bench: &mut Bench<'_>, token: &Token<'_>, read: &Read) -> Finding {
    let facts = bench.facts;
    if read.end >= token.expires || read.begin <= token.end || can_have_been_ended(facts, token, read, read.begin) {
        return Finding::Right;
    }
    // What it has heard to be over a node may say to be over for as long as a fault keeps it from hearing more.
    let heard = facts.faults.heard_until(asked(token, read));
    if heard < read.begin && can_have_been_ended(facts, token, read, heard) {
        return Finding::Right;
    }
    if token.lost_from <= read.end {
        bench.lost_tokens.insert(token.event);
        return Finding::Lost;
    }
    let overreach = token.bulks.iter().find_map(|&place| facts.bulks[place].last_answered_before(token.origin.0));
    if let Some(bulk) = overreach {
        return bench.broken(Invariant::Bulk, &[bulk.event, token.event, read.event], || {
            let (node, name, late) = (read.node, token.name, time(token.origin.0 - bulk.end));
            format!(
                "node {node} said inactive of {name}, which was issued {late} after the last bulk revocation was \
                 answered and which nothing else can have ended"
            )
        });
    }
    bench.broken(Invariant::Guess, &[token.event, read.event], || {
        format!("node {} said inactive of {}, which nothing can have ended", read.node, token.name)
    })
}

/// Whether anything can have ended the token, if only for a while, when the answer was given by a node that has heard
/// of all approvals up to `heard`.
fn can_have_been_ended(facts: &Facts<'_>, token: &Token<'_>, read: &Read, heard: Moment) -> bool {
    let sure_before = heard.saturating_sub(facts.history.mode.approved_within);
    let by_itself = token.registers.iter().any(|&place| {
        let register = &facts.registers[place];
        let Some(revoked) = register.revokes.latest_end_begun_by(read.end) else { return false };
        let outlasts =
            |approved: Option<_>| approved.is_none_or(|by: crate::facts::operations::Operation| revoked >= by.begin);
        outlasts(register.approves.last_answered_before(sure_before))
            || outlasts(register.approves.last_kept_before(sure_before, read.end))
    });
    let covers = |bulk: &Operations| bulk.latest_end_begun_by(read.end).is_some_and(|end| end >= token.origin.0);
    by_itself || token.bulks.iter().any(|&place| covers(&facts.bulks[place]))
}

//! A node that says active after it has said inactive.

use super::{Bench, Finding, asked};
use crate::facts::operations::Operations;
use crate::facts::{Read, Token};
use crate::history::Moment;
use crate::history::event::Answer;
use crate::verdict::{Invariant, time};

/// Judges the answers about one token, in the order in which they were asked for, with what was found of each.
pub(super) fn judge(bench: &mut Bench<'_>, token: &Token<'_>, answers: &[Read], findings: &[Finding]) {
    // An answer that is wrong or a loss by itself proves nothing of others. Nor does inactive of what may not have been
    // there yet, or may have expired.
    let proves = |read: &Read| read.answer == Answer::Inactive && read.begin > token.end && read.end < token.expires;
    let judged =
        || answers.iter().zip(findings).filter(|(_, finding)| **finding == Finding::Right).map(|(read, _)| read);
    let mut ended: Vec<&Read> = judged().filter(|read| proves(read)).collect();
    ended.sort_unstable_by_key(|read| read.end);
    let mut ended = ended.into_iter().peekable();
    // Of each node the inactive answer that was asked for last, of those that were there by now.
    let mut last: Vec<(u16, &Read)> = Vec::new();
    for read in judged().filter(|read| read.answer == Answer::Active) {
        while let Some(inactive) = ended.next_if(|inactive| inactive.end < read.begin) {
            match last.iter_mut().find(|(node, _)| *node == inactive.node) {
                Some((_, known)) if known.begin < inactive.begin => *known = inactive,
                Some(_) => {}
                None => last.push((inactive.node, inactive)),
            }
        }
        if let Some(&(_, inactive)) = last.iter().find(|(node, _)| *node == read.node)
            && !can_have_been_approved(bench, token, inactive, read)
            && !can_have_been_lost(bench, token, inactive, read)
        {
            bench.broken(Invariant::Again, &[inactive.event, read.event], || {
                let (node, name, later) = (read.node, token.name, time(read.begin - inactive.end));
                format!("node {node} said inactive of {name}, and active {later} later, with no approval between")
            });
        }
    }
}

fn can_have_been_approved(bench: &Bench<'_>, token: &Token<'_>, inactive: &Read, active: &Read) -> bool {
    let facts = bench.facts;
    let heard = facts.faults.heard_until(asked(token, inactive));
    let seen_by = |end: Moment| end.saturating_add(facts.history.mode.approved_within) >= heard;
    token.registers.iter().map(|&place| &facts.registers[place]).any(|register| {
        !register.revokes.is_empty() && register.approves.latest_end_begun_by(active.end).is_some_and(seen_by)
    })
}

/// Whether a failover can have undone what ended the token, between the two answers. What was not answered by then may
/// be lost in every mode, the rest where the mode allows it.
fn can_have_been_lost(bench: &Bench<'_>, token: &Token<'_>, inactive: &Read, active: &Read) -> bool {
    let facts = bench.facts;
    let may_lose = facts.history.mode.durability.may_lose();
    let revokes = token.registers.iter().map(|&place| &facts.registers[place].revokes);
    let bulks = token.bulks.iter().map(|&place| &facts.bulks[place]);
    facts.faults.has_failover(inactive.begin.saturating_sub(facts.history.mode.grace), active.end)
        && revokes
            .chain(bulks)
            .flat_map(Operations::iter)
            .any(|operation| operation.lost_from <= active.end && (may_lose || operation.end >= active.begin))
}

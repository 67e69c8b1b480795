//! Requests that were refused with 503, or not answered.

use super::{Bench, Finding, asked};
use crate::facts::faults::{Asked, Excuse, Shards};
use crate::facts::{Read, Token};
use crate::history::Event;
use crate::history::event::{Answer, Outcome};
use crate::verdict::Invariant;

pub(super) fn judge(bench: &mut Bench<'_>, token: &Token<'_>, read: &Read) -> Finding {
    let how = if read.answer == Answer::None { "nothing" } else { "503" };
    match bench.facts.faults.excuse(asked(token, read)) {
        Excuse::Fault => Finding::Right,
        Excuse::OtherShard(fault) => bench.broken(Invariant::Shards, &[fault, read.event], || {
            let (node, name) = (read.node, token.name);
            format!("node {node} answered {how} about {name}, which has no keys on a shard with a fault")
        }),
        Excuse::None => bench.broken(Invariant::Guess, &[read.event], || {
            format!("node {} answered {how} about {} with no fault under way", read.node, token.name)
        }),
    }
}

/// Judges the requests that issue and revoke.
///
/// Those that approve are left out: an approval is refused as well when it is overtaken by a revocation.
pub(super) fn judge_changes(bench: &mut Bench<'_>) {
    for (event, what) in bench.facts.history.events.iter().enumerate() {
        let (kind, begin, end, node, outcome) = match what {
            Event::Issue(issue) => ("issue", issue.begin, issue.end, issue.node, issue.outcome),
            Event::Revoke(change) => ("revoke", change.begin, change.end, change.node, change.outcome),
            _ => continue,
        };
        let asked = Asked { begin, end, node, shards: Shards::ALL };
        if outcome != Outcome::Done && bench.facts.faults.excuse(asked) != Excuse::Fault {
            bench.broken(Invariant::Guess, &[event], || {
                format!("node {node} did not {kind} when it was asked to, with no fault under way")
            });
        }
    }
}

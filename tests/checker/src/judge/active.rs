//! Answers that say active.

use super::{Bench, Finding, asked};
use crate::facts::operations::Operation;
use crate::facts::{Facts, Read, Token};
use crate::history::Moment;
use crate::verdict::{Invariant, time};

/// Which revocations count.
#[derive(Clone, Copy)]
enum Count {
    /// All that were answered.
    All,
    /// Without those that a failover may have undone.
    Kept,
}

/// An answered revocation that leaves no room for the answer.
struct Ended {
    by: Operation,
    in_bulk: bool,
}

pub(super) fn judge(bench: &mut Bench<'_>, token: &Token<'_>, read: &Read) -> Finding {
    let (facts, mode) = (bench.facts, &bench.facts.history.mode);
    if read.end < token.begin {
        return bench.broken(Invariant::Life, &[token.event, read.event], || {
            format!("node {} said active of {}, which was not issued yet", read.node, token.name)
        });
    }
    if read.begin >= token.expires {
        return bench.broken(Invariant::Life, &[token.event, read.event], || {
            let late = time(read.begin - token.expires);
            format!("node {} was asked about {} {late} after it had expired, and said active", read.node, token.name)
        });
    }
    if let Some(ended) = ended(facts, token, read, Count::All) {
        return contradiction(bench, token, read, &ended);
    }
    if bench.has_silence
        && let Some(fault) = facts.faults.silence(asked(token, read), mode.lease)
    {
        return bench.broken(Invariant::Guess, &[fault, read.event], || {
            let name = token.name;
            format!("node {} said active of {name} though nobody can have vouched for it for a lease", read.node)
        });
    }
    Finding::Right
}

fn contradiction(bench: &mut Bench<'_>, token: &Token<'_>, read: &Read, ended: &Ended) -> Finding {
    let (facts, mode) = (bench.facts, &bench.facts.history.mode);
    let by = ended.by;
    bench.contradicted.insert(by.event);
    let undone = self::ended(facts, token, read, Count::Kept).is_none();
    if undone {
        bench.lost.insert(by.event);
        if mode.durability.may_lose() {
            return Finding::Lost;
        }
    }
    let invariant = if facts.faults.has_failover(by.begin, read.end) {
        Invariant::Failover
    } else if ended.in_bulk {
        Invariant::Bulk
    } else {
        Invariant::Revoked
    };
    bench.broken(invariant, &[by.event, read.event], || {
        let (name, late) = (token.name, time(read.begin - by.end));
        let bulk = if ended.in_bulk { "bulk " } else { "" };
        let bound = match mode.bound() {
            0 => String::new(),
            bound => format!(" (allowed: {})", time(bound)),
        };
        let node = read.node;
        format!(
            "node {node} was asked about {name} {late} after its {bulk}revocation was answered{bound}, and said active"
        )
    })
}

/// The answered revocation of a token, or of what it belongs to, that this answer contradicts whatever else happened.
fn ended(facts: &Facts<'_>, token: &Token<'_>, read: &Read, count: Count) -> Option<Ended> {
    let sure_before: Moment = read.begin.saturating_sub(facts.history.mode.bound());
    let last = |operations: &crate::facts::operations::Operations| match count {
        Count::All => operations.last_answered_before(sure_before),
        Count::Kept => operations.last_kept_before(sure_before, read.end),
    };
    for &place in &token.registers {
        let register = &facts.registers[place];
        let Some(by) = last(&register.revokes) else { continue };
        // An approval that was over before the revocation began cannot have undone it.
        let approved = register.approves.latest_end_begun_by(read.end);
        if approved.is_none_or(|end| end < by.begin) {
            return Some(Ended { by, in_bulk: false });
        }
    }
    token.bulks.iter().find_map(|&place| {
        let by = last(&facts.bulks[place]).filter(|by| token.origin.1 < by.begin)?;
        Some(Ended { by, in_bulk: true })
    })
}

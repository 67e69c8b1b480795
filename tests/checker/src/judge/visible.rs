//! How long a revocation takes until it is seen everywhere.

use super::Bench;
use crate::facts::{Read, Token};
use crate::history::Moment;
use crate::history::event::Answer;

/// Measures from the request for the first revocation of a token by itself, and from its answer: until the last node was first found to say
/// inactive, and until any node was last found to say active.
///
/// Only tokens that were never approved again, and about which every node has been asked often enough to say so.
pub(super) fn measure(bench: &mut Bench<'_>, token: &Token<'_>, answers: &[Read]) {
    if !token.has_own_register {
        return;
    }
    let register = &bench.facts.registers[token.registers[0]];
    let revoked = register.revokes.iter().filter(|by| by.is_answered()).min_by_key(|by| by.end);
    let Some(by) = revoked.filter(|_| register.approves.is_empty()) else { return };
    let mut first = vec![None::<Moment>; usize::from(bench.facts.history.mode.nodes)];
    let mut last_active = by.end;
    for read in answers.iter().filter(|read| read.end >= by.begin) {
        match read.answer {
            Answer::Active => last_active = last_active.max(read.begin),
            Answer::Inactive => {
                let known = &mut first[usize::from(read.node)];
                *known = Some(known.map_or(read.end, |known| known.min(read.end)));
            }
            Answer::Unavailable | Answer::None => {}
        }
    }
    let Some(first) = first.into_iter().collect::<Option<Vec<_>>>() else { return };
    let everywhere = first.into_iter().max().unwrap_or_default();
    bench.seen_since_asked.push(everywhere - by.begin);
    bench.seen_everywhere.push(everywhere.saturating_sub(by.end));
    bench.still_active.push(last_active - by.end);
}

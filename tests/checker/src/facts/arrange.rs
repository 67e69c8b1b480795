//! Making facts of a history.

use std::collections::HashMap;

use super::faults::{Faults, Shards};
use super::operations::{Operation, Operations};
use super::{Facts, Read, Register, Token};
use crate::history::event::{Change, Issue, Outcome, Owner, Target};
use crate::history::{Event, History, Moment};

/// Why a history makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("event {event}: {what}")]
pub struct Nonsense {
    /// Which event, from 1.
    pub event: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl<'h> Facts<'h> {
    /// Arranges a history.
    ///
    /// # Errors
    /// [`Nonsense`] when an event ends before it begins, or names a token that is never issued, a shard or a node that
    /// there cannot be.
    pub fn new(history: &'h History) -> Result<Self, Nonsense> {
        let mut desk = Desk::default();
        let mut faults = Faults::new(history.mode.grace);
        for (event, what) in history.events.iter().enumerate() {
            let nonsense = |what| Nonsense { event: event + 1, what };
            check(what, history.mode.nodes).map_err(nonsense)?;
            match what {
                Event::Fault(fault) => faults.push(fault, event).ok_or_else(|| nonsense(SHARD))?,
                Event::Issue(issue) => desk.issue(issue, event).map_err(nonsense)?,
                _ => {}
            }
        }
        let mut reads = Vec::new();
        for (event, what) in history.events.iter().enumerate() {
            let nonsense = |what| Nonsense { event: event + 1, what };
            match what {
                Event::Revoke(change) => desk.change(change, event, &faults, true).map_err(nonsense)?,
                Event::Approve(change) => desk.change(change, event, &faults, false).map_err(nonsense)?,
                Event::Keys(keys) => {
                    let token = desk.token(&keys.token).ok_or_else(|| nonsense(TOKEN))?;
                    let shards = Shards::of(&keys.shards).ok_or_else(|| nonsense(SHARD))?;
                    let known = desk.keys.entry(token).or_insert(Shards(0));
                    known.0 |= shards.0;
                }
                Event::Introspect(read) => {
                    let token = desk.token(&read.token).ok_or_else(|| nonsense(TOKEN))?;
                    let (begin, end, node, answer) = (read.begin, read.end, read.node, read.answer);
                    reads.push(Read { token, begin, end, node, answer, event });
                }
                Event::Issue(_) | Event::Fault(_) => {}
            }
        }
        reads.sort_unstable_by_key(|read: &Read| (read.token, read.begin, read.event));
        Ok(desk.finish(history, faults, reads))
    }
}

const SHARD: &str = "shards are numbered from 0 to 63";
const TOKEN: &str = "the token is never issued";

/// What can be said of an event by itself.
fn check(event: &Event, nodes: u16) -> Result<(), &'static str> {
    let (begin, end, node) = match event {
        Event::Issue(issue) => (issue.begin, issue.end, issue.node),
        Event::Revoke(change) | Event::Approve(change) => (change.begin, change.end, change.node),
        Event::Introspect(read) => (read.begin, read.end, read.node),
        Event::Fault(fault) => {
            let silent = fault.silent.unwrap_or((fault.begin, fault.begin));
            let end = fault.end.unwrap_or(Moment::MAX);
            return if fault.begin <= silent.0 && silent.0 <= silent.1 && silent.1 <= end {
                Ok(())
            } else {
                Err("a fault begins, is silent and ends in this order")
            };
        }
        Event::Keys(_) => return Ok(()),
    };
    if end < begin {
        return Err("it ends before it begins");
    }
    if node >= nodes {
        return Err("there are not so many nodes");
    }
    Ok(())
}

/// What is collected on the way.
#[derive(Default)]
struct Desk<'h> {
    issues: Vec<(&'h Issue, usize)>,
    tokens: HashMap<&'h str, usize>,
    keys: HashMap<usize, Shards>,
    registers: HashMap<(Kind, &'h str), usize>,
    kept: Vec<Register>,
    bulks: HashMap<(Option<&'h str>, Option<&'h str>), usize>,
    kept_bulks: Vec<Operations>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Token,
    Grant,
    Client,
    User,
}

impl<'h> Desk<'h> {
    fn token(&self, name: &str) -> Option<usize> {
        self.tokens.get(name).copied()
    }

    fn issue(&mut self, issue: &'h Issue, event: usize) -> Result<(), &'static str> {
        if self.tokens.insert(&issue.token, self.issues.len()).is_some() {
            return Err("the token has been issued before");
        }
        self.issues.push((issue, event));
        Ok(())
    }

    fn change(&mut self, change: &'h Change, event: usize, faults: &Faults, revokes: bool) -> Result<(), &'static str> {
        let end = if change.outcome == Outcome::Done { change.end } else { Moment::MAX };
        let lost_from =
            if revokes { faults.lost_from(change.begin, end) } else { faults.undone_from(change.begin, end) };
        let operation = Operation { begin: change.begin, end, lost_from, event };
        for target in &change.targets {
            let (kind, name) = match target {
                Target::Token(name) if !self.tokens.contains_key(name.as_str()) => return Err(TOKEN),
                Target::Token(name) => (Kind::Token, name),
                Target::Grant(name) => (Kind::Grant, name),
                Target::Client(name) => (Kind::Client, name),
                Target::User(name) => (Kind::User, name),
                Target::Issued(_) if !revokes => return Err("what was issued up to a moment is revoked for good"),
                Target::Issued(Owner { client, user }) => {
                    let place = self.bulks.entry((client.as_deref(), user.as_deref())).or_insert_with(|| {
                        self.kept_bulks.push(Operations::default());
                        self.kept_bulks.len() - 1
                    });
                    self.kept_bulks[*place].push(operation);
                    continue;
                }
            };
            let place = *self.registers.entry((kind, name)).or_insert_with(|| {
                self.kept.push(Register::default());
                self.kept.len() - 1
            });
            let register = &mut self.kept[place];
            if revokes { &mut register.revokes } else { &mut register.approves }.push(operation);
        }
        Ok(())
    }

    fn finish(mut self, history: &'h History, faults: Faults, reads: Vec<Read>) -> Facts<'h> {
        for register in &mut self.kept {
            register.revokes.sort();
            register.approves.sort();
        }
        self.kept_bulks.iter_mut().for_each(Operations::sort);
        let mut families: HashMap<&str, (Moment, Moment)> = HashMap::new();
        for (issue, _) in &self.issues {
            if let Some(grant) = &issue.grant {
                let (begin, end) = (issue.begin, sure_end(issue));
                let family = families.entry(grant).or_insert((begin, end));
                *family = (family.0.min(begin), family.1.min(end));
            }
        }
        let tokens = self.issues.iter().enumerate().map(|(place, &(issue, event))| {
            let (begin, end) = (issue.begin, sure_end(issue));
            let (client, user) = (Some(issue.client.as_str()), issue.user.as_deref());
            let kinds = [
                (Kind::Token, Some(issue.token.as_str())),
                (Kind::Grant, issue.grant.as_deref()),
                (Kind::Client, client),
                (Kind::User, user),
            ];
            let registers = kinds.into_iter().filter_map(|(kind, name)| self.registers.get(&(kind, name?)).copied());
            let mut owners = vec![(None, None), (client, None)];
            if user.is_some() {
                owners.extend([(None, user), (client, user)]);
            }
            Token {
                name: &issue.token,
                begin,
                end,
                origin: issue.grant.as_deref().map_or((begin, end), |grant| families[grant]),
                lost_from: faults.lost_from(issue.begin, issue.end),
                expires: issue.expires,
                shards: self.keys.get(&place).copied().unwrap_or(Shards::ALL),
                registers: registers.collect(),
                has_own_register: self.registers.contains_key(&(Kind::Token, issue.token.as_str())),
                bulks: owners.iter().filter_map(|owner| self.bulks.get(owner).copied()).collect(),
                event,
            }
        });
        let tokens = tokens.collect();
        Facts { history, tokens, registers: self.kept, bulks: self.kept_bulks, faults, reads }
    }
}

fn sure_end(issue: &Issue) -> Moment {
    if issue.outcome == Outcome::Done { issue.end } else { Moment::MAX }
}

//! A history arranged for questions: names are numbers, operations stand by what they change, answers by their token.
//!
//! - [`operations`] when changes can have taken effect; [`faults`] when something was broken
//! - [`arrange`] making this of a history

pub mod arrange;
pub mod faults;
pub mod operations;

use self::faults::{Faults, Shards};
use self::operations::Operations;
use crate::history::event::Answer;
use crate::history::{History, Moment};

/// Everything that is known.
#[derive(Debug)]
pub struct Facts<'h> {
    /// What it was made of.
    pub history: &'h History,
    /// The tokens.
    pub tokens: Vec<Token<'h>>,
    /// What can be revoked and approved: tokens, grants, clients, users.
    pub registers: Vec<Register>,
    /// Bulk revocations, by whose tokens they cover.
    pub bulks: Vec<Operations>,
    /// What was broken, and when.
    pub faults: Faults,
    /// The answers to introspection, in the order of the tokens, and for each in the order in which it was asked.
    pub reads: Vec<Read>,
}

/// A token.
#[derive(Debug)]
pub struct Token<'h> {
    /// What the history calls it.
    pub name: &'h str,
    /// Before this moment it was not there.
    pub begin: Moment,
    /// After this one it was; [`Moment::MAX`] when issuing it was not answered with success.
    pub end: Moment,
    /// Between these moments its grant came to be, or itself when it has none: what bulk revocations go by.
    pub origin: (Moment, Moment),
    /// From when on a failover may have lost it altogether; [`Moment::MAX`] when none may.
    pub lost_from: Moment,
    /// The moment from which on it has expired.
    pub expires: Moment,
    /// Where its keys are.
    pub shards: Shards,
    /// What can end it and bring it back: places in [`Facts::registers`], the token's own first if anything was ever
    /// done to it.
    pub registers: Vec<usize>,
    /// Whether the first of these is its own.
    pub has_own_register: bool,
    /// The bulk revocations that can cover it: places in [`Facts::bulks`].
    pub bulks: Vec<usize>,
    /// Which event issued it.
    pub event: usize,
}

/// Something that can be revoked and approved any number of times.
#[derive(Debug, Default)]
pub struct Register {
    /// Its revocations.
    pub revokes: Operations,
    /// Its approvals.
    pub approves: Operations,
}

/// An answer to introspection.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Of which token: a place in [`Facts::tokens`].
    pub token: usize,
    /// Before it was asked.
    pub begin: Moment,
    /// After it was answered.
    pub end: Moment,
    /// Who answered.
    pub node: u16,
    /// What it said.
    pub answer: Answer,
    /// Which event it is.
    pub event: usize,
}

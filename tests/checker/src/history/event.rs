//! What was asked of the nodes, and what they answered.
//!
//! `begin` is a moment before the request was sent, `end` one after its answer came, or after waiting for it was given
//! up. `node` is who was asked.

use serde::{Deserialize, Serialize};

use super::Moment;

/// A token was issued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// Before it was asked for.
    pub begin: Moment,
    /// After it was there.
    pub end: Moment,
    /// Who was asked.
    pub node: u16,
    /// What the history calls it. Each is issued once.
    pub token: String,
    /// The client that it was issued to.
    pub client: String,
    /// Its grant, if it belongs to one. Of its tokens the first decides which bulk revocations cover them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The user that it speaks for, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The moment from which on it has expired.
    pub expires: Moment,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
}

/// Tokens were revoked, or approved again.
///
/// A request that is refused for good, as approving what has been revoked for good is, does not belong in a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Before it was asked for.
    pub begin: Moment,
    /// After it was answered, or given up.
    pub end: Moment,
    /// Who was asked.
    pub node: u16,
    /// Everything that the one request revokes or approves.
    pub targets: Vec<Target>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What is revoked or approved.
///
/// A token is active when none of those that it belongs to is revoked. Approving one of them brings back nothing that
/// another one ends; where an approval cascades, the history names all that it approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A token by itself.
    Token(String),
    /// Every token of a grant, those that are still to be issued included.
    Grant(String),
    /// A client: every token of it, those that are still to be issued included.
    Client(String),
    /// A user: every token of it, those that are still to be issued included.
    User(String),
    /// Every token that has been issued so far, to this client, for this user. For good: no approval undoes it.
    Issued(Owner),
}

/// Whose tokens a bulk revocation covers; everybody's when neither is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The client that they were issued to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The user that they speak for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// How a request that changes something ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Answered: it is done.
    #[default]
    Done,
    /// 503: it may be done, now or at any time later, or never.
    Unavailable,
    /// No answer: the same.
    Unanswered,
}

/// A token was introspected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introspect {
    /// Before it was asked.
    pub begin: Moment,
    /// After it was answered, or given up.
    pub end: Moment,
    /// Who was asked.
    pub node: u16,
    /// The token.
    pub token: String,
    /// What was said.
    pub answer: Answer,
}

/// What was said about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// `{"active":true}`.
    Active,
    /// `{"active":false}`.
    Inactive,
    /// 503.
    Unavailable,
    /// Nothing.
    None,
}

/// The shards on which the keys are that an answer about a token rests on: its own, its grant's, its client's, those of
/// its epochs, and those of the client that asks.
///
/// A token may have several of these, as keys move. It counts as hit by a fault that hits any of its shards; without
/// any, it counts as having keys everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The token.
    pub token: String,
    /// Numbers below 64.
    pub shards: Vec<u8>,
}

//! Histories: what was asked of the nodes and what they answered, what was done to the machines below them, and when.
//!
//! A history is a text of lines, each one event as JSON: an object with one member, named after the kind of event. All
//! moments are nanoseconds of **one** monotonic clock, on which the expiry of tokens is given as well. Lines may stand
//! in any order, but for `mode`, which comes first. Unknown members are errors.
//!
//! ```json
//! {"mode":{"acknowledge":"visible","durability":"replay","lease":200,"nodes":3,"grace":2000,"approved_within":200}}
//! {"issue":{"begin":10,"end":20,"node":0,"token":"t1","client":"app","grant":"g1","user":"ada","expires":99999}}
//! {"keys":{"token":"t1","shards":[0,2]}}
//! {"introspect":{"begin":30,"end":40,"node":1,"token":"t1","answer":"active"}}
//! {"revoke":{"begin":50,"end":60,"node":2,"targets":[{"token":"t1"}],"outcome":"done"}}
//! {"revoke":{"begin":70,"end":80,"node":0,"targets":[{"issued":{"user":"ada"}}],"outcome":"unavailable"}}
//! {"approve":{"begin":90,"end":99,"node":0,"targets":[{"token":"t1"},{"grant":"g1"}],"outcome":"unanswered"}}
//! {"fault":{"fault":"kill","begin":100,"end":900,"shards":[0],"loses_since":95,"undoes_since":85}}
//! ```
//!
//! - [`event`] what each kind of event says; [`mode`] what was promised; [`fault`] what was done to the machines
//! - [`lines`] reading and writing; [`recorder`] taking down what happens, with moments of which no two are alike

pub mod event;
pub mod fault;
pub mod lines;
pub mod mode;
pub mod recorder;

use serde::{Deserialize, Serialize};

use self::event::{Change, Introspect, Issue, Keys};
use self::fault::Fault;
use self::mode::Mode;

/// A moment: nanoseconds of the one clock of the history.
pub type Moment = u64;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A token was issued.
    Issue(Issue),
    /// Tokens were revoked.
    Revoke(Change),
    /// Tokens were approved again.
    Approve(Change),
    /// A token was introspected.
    Introspect(Introspect),
    /// Something was done to a machine or to the network.
    Fault(Fault),
    /// Where the keys of a token are.
    Keys(Keys),
}

/// What was promised, and everything that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The promise.
    pub mode: Mode,
    /// The events, in any order.
    pub events: Vec<Event>,
}

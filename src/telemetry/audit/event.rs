//! One line of the audit log.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value, json};

use super::act::Act;
use crate::token::time::Now;
use crate::user::id::UserId;

/// Somebody who did something, or tried to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// It is not known who.
    #[default]
    Unknown,
    /// Somebody who named itself as this client and did not prove it.
    Claimed(String),
    /// A client, and how it proved who it is.
    Client {
        /// `client_id`.
        id: String,
        /// As `client_secret_basic`.
        method: &'static str,
    },
    /// A user, with a token of its own.
    User(String),
    /// Whoever may send signals to the process or write its files.
    Host,
}

impl Actor {
    /// A user.
    pub fn user(id: UserId) -> Self {
        Self::User(id.to_text().as_str().to_owned())
    }

    fn view(&self) -> Value {
        match self {
            Self::Unknown => json!({"type": "unknown"}),
            Self::Claimed(id) => json!({"type": "claimed", "client_id": id}),
            Self::Client { id, method } => json!({"type": "client", "client_id": id, "method": method}),
            Self::User(id) => json!({"type": "user", "user_id": id}),
            Self::Host => json!({"type": "host"}),
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was so before.
    Unchanged,
    /// It was refused, and nothing has changed.
    Refused,
    /// It cannot be said whether it was done.
    Failed,
}

impl Outcome {
    /// The outcome of an answer with this status.
    pub fn of(status: http::StatusCode, changed: Option<bool>) -> Self {
        if status.is_server_error() {
            Self::Failed
        } else if !status.is_success() {
            Self::Refused
        } else if changed == Some(false) {
            Self::Unchanged
        } else {
            Self::Done
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The other end of the connection; none for a unix socket.
    pub peer: Option<SocketAddr>,
    /// The caller, where trusted proxies say that it is somebody else.
    pub forwarded_for: Option<IpAddr>,
}

/// What was acted on, and what else is to be known: members of the line, by name. Never a token, nor a secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details(Map<String, Value>);

/// Longer texts are cut: a line is read by people.
const MAX_TEXT_CHARACTERS: usize = 256;

impl Details {
    /// Adds a text, in the place of what had that name.
    pub fn text(&mut self, name: &'static str, text: &str) {
        self.0.insert(name.to_owned(), json!(text.chars().take(MAX_TEXT_CHARACTERS).collect::<String>()));
    }

    /// Adds what stands for a text that must not be written.
    pub fn withheld(&mut self, name: &'static str, pseudonym: &str) {
        self.0.insert(format!("{name}_withheld"), json!(pseudonym));
    }

    /// Adds any other value.
    pub fn value(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something to be recorded.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub now: Now,
    /// What.
    pub act: Act,
    /// How it ended.
    pub outcome: Outcome,
    /// The status of the answer; none where there was no request.
    pub status: Option<u16>,
    /// Why it was refused: the code that the caller was answered, else empty.
    pub code: &'static str,
    /// By whom.
    pub actor: Actor,
    /// From where; none where there was no request.
    pub origin: Option<Origin>,
    /// On what.
    pub target: Details,
    /// Whether room for it was promised before it was done.
    pub promised: bool,
}

impl Event {
    /// The line without its beginning, where its number stands, and its end.
    ///
    /// ASCII only: a terminal takes some other characters for commands, or shows them as what they are not, and many of
    /// them come from peers. What is no printable ASCII is escaped, line ends included.
    pub(super) fn render(self) -> String {
        // In the order in which people read it.
        let mut text = String::new();
        let mut add = |name: &str, value: Value| {
            let _ = write!(text, ",\"{name}\":{value}");
        };
        add("time", json!(timestamp(self.now)));
        add("event", json!(self.act.as_str()));
        add("outcome", json!(self.outcome.as_str()));
        if let Some(status) = self.status {
            add("status", json!(status));
        }
        if !self.code.is_empty() {
            add("reason", json!(self.code));
        }
        add("actor", self.actor.view());
        if let Some(Origin { peer, forwarded_for }) = self.origin {
            add("peer", peer.map_or_else(|| json!("unix"), |peer| json!(peer.to_string())));
            if let Some(address) = forwarded_for {
                add("forwarded_for", json!(address.to_string()));
            }
        }
        if !self.target.is_empty() {
            add("target", Value::Object(self.target.0));
        }
        text.push('}');
        let mut line = String::with_capacity(text.len());
        for character in text.chars() {
            if matches!(character, ' '..='~') {
                line.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
        line
    }
}

/// A moment as RFC 3339 has it, in UTC, to the microsecond.
fn timestamp(now: Now) -> String {
    let microseconds = now.stamp().0;
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The calendar repeats itself every 146097 days, and its years begin in March here, so that the leap day is the
    // last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(target: Details) -> Event {
        Event {
            now: Now::from_unix(Duration::from_micros(1_700_000_000_000_001)),
            act: Act::ClientCreate,
            outcome: Outcome::Done,
            status: Some(201),
            code: "",
            actor: Actor::Client { id: "operator".into(), method: "client_secret_basic" },
            origin: Some(Origin { peer: Some("127.0.0.1:4711".parse().unwrap()), forwarded_for: None }),
            target,
            promised: false,
        }
    }

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        for (microseconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_709_164_800_000_000, "2024-02-29T00:00:00.000000Z"),
            (1_700_000_000_000_001, "2023-11-14T22:13:20.000001Z"),
            (4_102_444_799_000_000, "2099-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(timestamp(Now::from_unix(Duration::from_micros(microseconds))), text);
        }
    }

    #[test]
    fn nothing_that_a_peer_sends_makes_a_line_of_its_own_or_a_member() {
        let hostile = "x\"}\r\n{\"event\":\"user.delete\"}\u{2028}\u{202e}\u{1b}[2J\u{7f}\u{9b}\u{1f600}\\";
        let mut target = Details::default();
        target.text("client_id", hostile);
        let line = format!("{{\"number\":1{}", event(target).render());
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["target"]["client_id"], hostile);
        assert_eq!(read["event"], "client.create");
        assert_eq!(read["actor"]["client_id"], "operator");
    }

    #[test]
    fn long_texts_are_cut() {
        let mut target = Details::default();
        target.text("sub", &"\u{e9}".repeat(10_000));
        assert!(event(target).render().len() < 2_000);
    }

    #[test]
    fn the_outcome_says_whether_anything_may_have_changed() {
        for (status, changed, outcome) in [
            (200, Some(true), Outcome::Done),
            (204, None, Outcome::Done),
            (200, Some(false), Outcome::Unchanged),
            (403, None, Outcome::Refused),
            (409, Some(true), Outcome::Refused),
            (503, None, Outcome::Failed),
        ] {
            assert_eq!(Outcome::of(http::StatusCode::from_u16(status).unwrap(), changed), outcome);
        }
    }
}

//! What went wrong between us and Redis, said in words that hold no key, value or password.
//!
//! Redis quotes arguments in some of its errors, a password in one of them (a server too old for `HELLO`). So its text
//! is never passed on: its code is, with words of our own beside it.

use std::borrow::Cow;
use std::io;

use redis::{ErrorKind, RedisError, ServerError};

use super::scripts;
use crate::store::{StoreError, StoreErrorKind};

/// A fault that can be kept, and handed to each caller that meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    kind: StoreErrorKind,
    detail: Cow<'static, str>,
}

const SILENCE: &str = "no answer from Redis in time";

impl Fault {
    pub(super) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: StoreErrorKind::Unavailable, detail: detail.into() }
    }

    pub(super) fn refused(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: StoreErrorKind::Refused, detail: detail.into() }
    }

    pub(super) fn damaged(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: StoreErrorKind::Damaged, detail: detail.into() }
    }

    /// A reply of a type that the command cannot have.
    pub(super) fn unexpected_reply() -> Self {
        Self::damaged("Redis answered with a reply of an unexpected type")
    }

    /// Nothing came back by the deadline.
    pub(super) fn silence() -> Self {
        Self::unavailable(SILENCE)
    }

    /// Whether it is [`Fault::silence`].
    pub(super) fn is_silence(&self) -> bool {
        self.detail == SILENCE
    }

    /// A server of before script flags.
    pub(super) fn too_old() -> Self {
        Self::refused("this Redis is too old: 7.0 or later is needed")
    }

    /// The store was closed.
    pub(super) fn closed() -> Self {
        Self::unavailable("the store is closed")
    }

    /// What the socket or the client library reports.
    pub(super) fn of_client(error: &RedisError) -> Self {
        if let Some(code) = error.code() {
            return Self::of_code(code, error.detail());
        }
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => Self::silence(),
            ErrorKind::Io => Self::unavailable("the connection to Redis was lost"),
            ErrorKind::Parse => Self::unavailable("what answered does not speak the Redis protocol"),
            ErrorKind::AuthenticationFailed => Self::refused("Redis did not accept the user name and password"),
            ErrorKind::RESP3NotSupported => Self::too_old(),
            _ => Self::refused("the Redis client library refused"),
        }
    }

    /// What the operating system or the TLS library reports while a connection is opened.
    pub(super) fn of_dialling(error: &io::Error) -> Self {
        Self::unavailable(format!("cannot connect to Redis: {error}"))
    }

    /// What Redis answers instead of a reply.
    pub(super) fn of_server(error: &ServerError) -> Self {
        Self::of_code(error.code(), error.details())
    }

    fn of_code(code: &str, text: Option<&str>) -> Self {
        let starts_with = |beginning: &str| text.is_some_and(|text| text.starts_with(beginning));
        let (kind, hint) = match code {
            "LOADING" => (StoreErrorKind::Unavailable, "it is still reading its data"),
            "BUSY" => (StoreErrorKind::Unavailable, "a script is blocking it"),
            "READONLY" => (StoreErrorKind::Unavailable, "it is a replica"),
            "MASTERDOWN" => (StoreErrorKind::Unavailable, "it is a replica that lost its primary"),
            "CLUSTERDOWN" => (StoreErrorKind::Unavailable, "the cluster is down"),
            "TRYAGAIN" => (StoreErrorKind::Unavailable, "keys are being moved"),
            "ERR" if starts_with("max number of clients") => (StoreErrorKind::Unavailable, "maxclients is reached"),
            "ERR" if starts_with("This instance has cluster support disabled") => {
                (StoreErrorKind::Refused, "it is not a node of a Redis Cluster")
            }
            "ERR" if starts_with("DB index") => (StoreErrorKind::Refused, "there is no database of this number"),
            "OOM" => (StoreErrorKind::Refused, "maxmemory is reached"),
            "NOAUTH" => (StoreErrorKind::Refused, "it asks for a password"),
            "WRONGPASS" => (StoreErrorKind::Refused, "wrong user name or password, or the user is disabled"),
            "NOPERM" => (StoreErrorKind::Refused, "the user lacks a permission on a command or key"),
            "MISCONF" => (StoreErrorKind::Refused, "it cannot save to its disk"),
            "NOREPLICAS" => (StoreErrorKind::Refused, "it has too few good replicas"),
            "MOVED" | "ASK" | "CROSSSLOT" => (StoreErrorKind::Refused, "it is one node of a Redis Cluster"),
            "WRONGTYPE" => (StoreErrorKind::Damaged, "a key holds a value of another type"),
            scripts::DAMAGED => (StoreErrorKind::Damaged, "a record is cut short or has lost its expiry"),
            _ => (StoreErrorKind::Refused, "unexpected here"),
        };
        // A code is one upper-case word. Anything else is text, which may quote what it should not.
        let known_form = (1..=24).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let code = if known_form { code } else { "an error" };
        Self { kind, detail: format!("Redis answered {code}: {hint}").into() }
    }

    /// For the log.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.kind, fault.detail)
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn of(reply: &str) -> Fault {
        let Ok(Value::ServerError(error)) = parse_redis_value(format!("-{reply}\r\n").as_bytes()) else {
            panic!("{reply} is not an error reply");
        };
        Fault::of_server(&error)
    }

    #[test]
    fn what_passes_by_itself_is_unavailable_and_what_does_not_is_refused() {
        for reply in ["LOADING x", "READONLY x", "MASTERDOWN x", "CLUSTERDOWN x", "TRYAGAIN x", "BUSY x"] {
            assert_eq!(of(reply).kind, StoreErrorKind::Unavailable, "{reply}");
        }
        for reply in ["OOM x", "NOAUTH x", "WRONGPASS x", "NOPERM x", "MISCONF x", "NOREPLICAS x", "ERR x", "ODD x"] {
            assert_eq!(of(reply).kind, StoreErrorKind::Refused, "{reply}");
        }
        for reply in ["WRONGTYPE x", "DAMAGED", "DAMAGED x"] {
            assert_eq!(of(reply).kind, StoreErrorKind::Damaged, "{reply}");
        }
        assert_eq!(of("ERR max number of clients reached").kind, StoreErrorKind::Unavailable);
    }

    #[test]
    fn no_text_of_redis_reaches_an_error() {
        let reply = "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `user`, `hunter2`";
        assert!(!of(reply).detail().contains("hunter2"));
        assert!(!of("hunter2 hunter2").detail().contains("hunter2"));
    }

    #[test]
    fn a_lost_connection_and_a_timeout_are_unavailable() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::TimedOut] {
            let fault = Fault::of_client(&RedisError::from(io::Error::from(kind)));
            assert_eq!(fault.kind, StoreErrorKind::Unavailable, "{kind}");
        }
    }
}

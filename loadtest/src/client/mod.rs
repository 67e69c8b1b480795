//! The client: small, strict and bounded, so that what is measured is the server.
//!
//! - [`target`] where requests go, and what is the same in all of them
//! - [`http1`] one connection of HTTP/1.1, over [`head`] and [`body`], which read answers
//! - [`http2`] one connection of HTTP/2, shared by its streams
//! - [`deadline`] a timer that costs nothing where it does not fire
//! - [`form`] form encoding

pub(crate) mod body;
pub(crate) mod deadline;
pub(crate) mod form;
pub(crate) mod head;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod target;

use serde::Serialize;

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// The connection could not be opened.
    Connect,
    /// It was closed before the answer was whole.
    Closed,
    /// The system or the protocol below reported an error.
    Transport,
    /// The status line is not one of HTTP/1.1.
    StatusLine,
    /// A header is malformed, or says two things at once.
    Header,
    /// The head is longer than [`head::MAX_HEAD_BYTES`].
    HeadTooLarge,
    /// The body's framing is malformed.
    Framing,
    /// The body is longer than [`body::MAX_BODY_BYTES`].
    BodyTooLarge,
    /// Something came that nobody had asked for.
    Unasked,
}

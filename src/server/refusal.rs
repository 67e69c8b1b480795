//! The answers that the server has to give without the handler.

use http::StatusCode;

/// Why the server answers in the handler's place. The closed list lets the handler word each body in its own style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// HTTP/1.1 without a `Host`, HTTP/2 with neither `:authority` nor `host` (RFC 9112 section 3.2).
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// A `Host`, `:authority` or absolute request target that is not `host[:port]`.
    HostInvalid,
    /// HTTP/2 with a `host` that names another authority than `:authority` (RFC 9113 section 8.3.1).
    HostMismatch,
    /// A request target in a form that its method does not allow (RFC 9112 section 3.2).
    TargetInvalid,
    /// A request target longer than [`MAX_TARGET_BYTES`](super::MAX_TARGET_BYTES).
    TargetTooLong,
    /// More header lines than `http.max_headers`.
    TooManyHeaders,
    /// A `Transfer-Encoding` that repeats `chunked` (RFC 9112 section 6.1).
    TransferEncodingInvalid,
    /// A `Transfer-Encoding` other than `chunked`.
    TransferEncodingUnknown,
    /// An `Expect` other than `100-continue` (RFC 9110 section 10.1.1).
    ExpectationUnknown,
    /// The handler took longer than `http.request_timeout`.
    TimedOut,
    /// The handler panicked.
    Panicked,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::TargetInvalid,
        Self::TargetTooLong,
        Self::TooManyHeaders,
        Self::TransferEncodingInvalid,
        Self::TransferEncodingUnknown,
        Self::ExpectationUnknown,
        Self::TimedOut,
        Self::Panicked,
    ];

    /// The status of the answer. The server enforces it, whatever the handler's answer says.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::HostMismatch
            | Self::TargetInvalid
            | Self::TransferEncodingInvalid => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TransferEncodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::ExpectationUnknown => StatusCode::EXPECTATION_FAILED,
            Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What was wrong, in words that may be shown to the peer: no part of the request is repeated.
    pub const fn description(self) -> &'static str {
        match self {
            Self::HostMissing => "the request names no host",
            Self::HostRepeated => "the request names more than one host",
            Self::HostInvalid => "the host is not a valid host[:port]",
            Self::HostMismatch => "host and :authority differ",
            Self::TargetInvalid => "the request target does not fit the method",
            Self::TargetTooLong => "the request target is too long",
            Self::TooManyHeaders => "the request has too many header fields",
            Self::TransferEncodingInvalid => "the transfer coding chunked may be applied only once",
            Self::TransferEncodingUnknown => "only the transfer coding chunked is known",
            Self::ExpectationUnknown => "only the expectation 100-continue is known",
            Self::TimedOut => "the request took too long",
            Self::Panicked => "the request could not be processed",
        }
    }
}

//! What redb reports, sorted into the three kinds that the contract knows.

use std::io;

use super::open::OpenError;
use crate::store::{StoreError, StoreErrorKind};

/// A fault of the whole file, told to everybody whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    kind: StoreErrorKind,
    detail: Box<str>,
    needs_reopening: bool,
}

impl Fault {
    /// A fault that passes by itself.
    pub(super) fn unavailable(detail: &str) -> Self {
        Self { kind: StoreErrorKind::Unavailable, detail: detail.into(), needs_reopening: false }
    }

    /// A panic inside redb: met when a file was changed by other hands, which it trusts not to happen.
    pub(super) fn panicked() -> Self {
        Self { kind: StoreErrorKind::Damaged, detail: "the database library panicked".into(), needs_reopening: true }
    }

    /// The file could not be opened again after a fault. That is tried again, so nothing more is to be asked for.
    pub(super) fn not_reopened(error: &OpenError) -> Self {
        Self { kind: error.kind(), detail: error.to_string().into(), needs_reopening: false }
    }

    pub(super) fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether redb refuses to go on with this file until it is closed and opened again.
    pub(super) fn needs_reopening(&self) -> bool {
        self.needs_reopening
    }

    pub(super) fn to_error(&self) -> StoreError {
        StoreError::new(self.kind, self.detail.clone())
    }
}

/// Why something in a transaction went no further.
#[derive(Debug)]
pub(super) enum Stop {
    /// This is the answer to whoever asked; the transaction is as good as before.
    Answer(StoreError),
    /// The file failed, and the transaction with it.
    Fault(Fault),
}

impl Stop {
    /// The answer, if the transaction can go on.
    pub(super) fn answer<T>(result: Result<T, Self>) -> Result<Result<T, StoreError>, Fault> {
        match result {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(Self::Answer(error)) => Ok(Err(error)),
            Err(Self::Fault(fault)) => Err(fault),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Answer(error)
    }
}

impl<E: Into<redb::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(Fault::from(error))
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        let error = error.into();
        let kind = match &error {
            redb::Error::Io(io) if is_damage(io) => StoreErrorKind::Damaged,
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_) => StoreErrorKind::Damaged,
            // An earlier call has failed and the writer is about to open the file again.
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Refused,
        };
        // After one failed call redb refuses every further one. A page that is damaged is another matter: the rest can
        // be read, and opening the file again would not mend it.
        let needs_reopening =
            matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::LockPoisoned(_));
        Self { kind, detail: error.to_string().into(), needs_reopening }
    }
}

/// Whether an input or output error says that the bytes are wrong, not that they could not be had.
pub(super) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

//! A write on its way: what to do, and whom to tell when it has happened for good.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::tables::Name;
use crate::client::ClientId;
use crate::store;
use crate::store::{DocumentWrite, Insertion, RotationOutcome, StoreError, StoreErrorKind, Transition, UserCreation};
use crate::token::codec::{self, EncodeError};
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::grant::GrantRecord;
use crate::token::record::{Reason, Record, State};
use crate::token::time::{Now, Stamp, UnixSeconds};
use crate::user::id::UserId;
use crate::user::name::{NameKind, UniqueName};

/// One write of the contract.
#[derive(Debug)]
pub(super) enum Write {
    Insert {
        tokens: Vec<NewToken>,
        grant: Option<NewEntry>,
        now: Now,
        reply: Reply<Insertion>,
    },
    SetState {
        digest: TokenDigest,
        state: State,
        now: Now,
        reply: Reply<Transition>,
    },
    SetSignedState {
        token: TokenDigest,
        state: State,
        expires_at: UnixSeconds,
        now: Now,
        reply: Reply<Transition>,
    },
    Rotate {
        from: TokenDigest,
        to: NewEntry,
        access: Option<NewToken>,
        now: Now,
        reply: Reply<RotationOutcome>,
    },
    MarkGrant {
        grant: GrantId,
        before: Vec<u8>,
        after: Vec<u8>,
        end: UnixSeconds,
        reply: Reply<bool>,
    },
    RaiseEpoch {
        name: Name,
        /// What near caches call it.
        announced: String,
        until: Option<Stamp>,
        reason: Reason,
        end: UnixSeconds,
        now: Now,
        reply: Reply<bool>,
    },
    ReserveStamps {
        reply: Reply<()>,
    },
    UseOnce {
        name: Name,
        end: UnixSeconds,
        now: Now,
        reply: Reply<bool>,
    },
    ReplaceDocument {
        name: &'static str,
        version: u64,
        body: Bytes,
        reply: Reply<bool>,
    },
    CreateClient {
        id: ClientId,
        body: Bytes,
        now: Now,
        reply: Reply<DocumentWrite>,
    },
    ReplaceClient {
        id: ClientId,
        version: u64,
        created: Stamp,
        body: Bytes,
        reply: Reply<DocumentWrite>,
    },
    DeleteClient {
        id: ClientId,
        reply: Reply<bool>,
    },
    CreateUser {
        id: UserId,
        names: [UserName; 2],
        body: Bytes,
        now: Now,
        reply: Reply<UserCreation>,
    },
    ReplaceUser {
        id: UserId,
        version: u64,
        created: Stamp,
        body: Bytes,
        reply: Reply<DocumentWrite>,
    },
    DeleteUser {
        id: UserId,
        names: [UserName; 2],
        reply: Reply<bool>,
    },
}

/// A token to keep, encoded by the caller's thread so that the one writer has less to do.
#[derive(Debug)]
pub(super) struct NewToken {
    pub(super) digest: TokenDigest,
    pub(super) expires_at: UnixSeconds,
    pub(super) record: Vec<u8>,
}

/// An entry to keep, encoded likewise.
#[derive(Debug)]
pub(super) struct NewEntry {
    pub(super) name: Name,
    pub(super) end: UnixSeconds,
    pub(super) value: Vec<u8>,
}

/// A name of a user, by its digest.
#[derive(Clone, Copy, Debug)]
pub(super) struct UserName {
    pub(super) kind: NameKind,
    pub(super) digest: [u8; store::NAME_DIGEST_BYTES],
}

impl UserName {
    pub(super) fn new(name: UniqueName<'_>) -> Self {
        Self { kind: name.kind, digest: store::name_digest(name) }
    }
}

impl NewToken {
    pub(super) fn new(digest: TokenDigest, record: &Record) -> Result<Self, StoreError> {
        let expires_at = record.expires_at;
        codec::encode(record).map(|record| Self { digest, expires_at, record }).map_err(unfit)
    }
}

impl NewEntry {
    pub(super) fn grant(id: GrantId, record: &GrantRecord, end: UnixSeconds) -> Result<Self, StoreError> {
        record.encode().map(|value| Self { name: Name::grant(id), end, value }).map_err(unfit)
    }
}

fn unfit(error: EncodeError) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, error.to_string())
}

impl Write {
    /// Tells whoever waits: the outcome when the transaction is on disk, or the fault that kept it from getting there.
    pub(super) fn answer(self, fault: Option<&Fault>) {
        match self {
            Self::Insert { reply, .. } => reply.send(fault),
            Self::SetState { reply, .. } | Self::SetSignedState { reply, .. } => reply.send(fault),
            Self::Rotate { reply, .. } => reply.send(fault),
            Self::ReserveStamps { reply } => reply.send(fault),
            Self::CreateUser { reply, .. } => reply.send(fault),
            Self::CreateClient { reply, .. } | Self::ReplaceClient { reply, .. } | Self::ReplaceUser { reply, .. } => {
                reply.send(fault);
            }
            Self::MarkGrant { reply, .. }
            | Self::RaiseEpoch { reply, .. }
            | Self::UseOnce { reply, .. }
            | Self::ReplaceDocument { reply, .. }
            | Self::DeleteClient { reply, .. }
            | Self::DeleteUser { reply, .. } => reply.send(fault),
        }
    }
}

/// Holds the outcome of a write from when it is applied until it is committed.
#[derive(Debug)]
pub(super) struct Reply<T> {
    sender: oneshot::Sender<Result<T, StoreError>>,
    outcome: Option<Result<T, StoreError>>,
}

impl<T> Reply<T> {
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, outcome: None }, receiver)
    }

    /// Notes how the write ended inside the transaction.
    pub(super) fn set(&mut self, outcome: Result<T, StoreError>) {
        self.outcome = Some(outcome);
    }

    fn send(self, fault: Option<&Fault>) {
        let answer = match (fault, self.outcome) {
            (Some(fault), _) => Err(fault.to_error()),
            (None, Some(outcome)) => outcome,
            // Never acknowledge what was not applied.
            (None, None) => Err(Fault::unavailable("the write was not carried out").to_error()),
        };
        // Whoever asked may have gone. The write is done all the same, as the contract allows.
        drop(self.sender.send(answer));
    }
}

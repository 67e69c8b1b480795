//! What is handed to a store, and what it hands back: the same over both.

use bytes::Bytes;

use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::Epochs;
use crate::token::grant::{GrantMark, GrantRecord};
use crate::token::record::{Reason, Record};
use crate::token::time::{Stamp, UnixSeconds};
use crate::user::name::NameKind;

/// The record of a client or a user as the store holds it: opaque to the store but for what it needs to replace it
/// safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedDocument {
    /// Counts the writes to this record, from 1: a replacement must name the version that it replaces.
    pub version: u64,
    /// When it was created: with its id, what tells a client from a deleted one of the same id.
    pub created: Stamp,
    /// The record as JSON.
    pub body: Bytes,
}

/// A client's record.
pub type ClientDocument = DatedDocument;
/// A user's record.
pub type UserDocument = DatedDocument;

/// A token whose surroundings are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The client that it was issued to.
    pub client_id: &'a str,
    /// Its `sub`.
    pub subject: Option<&'a str>,
    /// Its grant.
    pub grant: Option<GrantId>,
    /// For a token that has no record because it is signed.
    pub signed: Option<Signed<'a>>,
    /// Its origin: only epochs that cover it matter.
    pub origin: Stamp,
    /// Whether the client's record is wanted.
    pub with_client: bool,
    /// Whether it will do what the store remembers and is certain of. The names of what was looked at then are those of
    /// what would have been read, and the [group](crate::coherence::name::UserGroup) of the user.
    pub from_memory: bool,
}

impl<'a> Around<'a> {
    /// All that is to be read around a token of a client that belongs to no user and no grant.
    pub const fn of_client(client_id: &'a str) -> Self {
        Self {
            client_id,
            subject: None,
            grant: None,
            signed: None,
            origin: Stamp(0),
            with_client: true,
            from_memory: false,
        }
    }
}

/// A signed token, which has no record in the store unless it is revoked.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Its digest.
    pub token: TokenDigest,
    /// The `kid` of the key that signed it.
    pub key: &'a str,
}

/// What ends a token from outside, read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The client that owns the token; `None` when there is none of that id, or it was not wanted.
    pub client: Option<ClientDocument>,
    /// What of its grant is revoked; nothing when the token belongs to none.
    pub grant: GrantMark,
    /// The epochs that cover it, and maybe others. Those of a user, of a client and user, and of a key are read only for
    /// a token that has one.
    pub epochs: Epochs,
    /// Why a signed token is revoked; `None` when it is not, and for a token that is not signed.
    pub revoked: Option<Reason>,
}

/// A grant to be kept, with its first refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// Its id.
    pub id: GrantId,
    /// What is kept. Its stamp is written by the store.
    pub record: GrantRecord,
    /// Until when: the end of its refresh token or of its access token, whichever is later.
    pub keep_until: UnixSeconds,
}

/// One refresh token to take the place of another, with the access token that is issued beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The grant.
    pub grant: GrantId,
    /// The refresh token that must be the current one.
    pub from: TokenDigest,
    /// What the grant is replaced by: the store writes it as it is.
    pub to: GrantRecord,
    /// Until when to keep that, or for as long as it was to be kept before: an earlier access token may live longer
    /// than this one, and is revoked by what is kept here.
    pub keep_until: UnixSeconds,
    /// The access token; none when it is signed, and needs no record.
    pub access: Option<(TokenDigest, Record)>,
}

/// How a rotation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationOutcome {
    /// Done, once and for all.
    Done,
    /// Not done: another refresh token is the current one by now.
    Superseded,
    /// Not done: the refresh token is revoked.
    Revoked,
    /// Not done: there is no such grant.
    Absent,
}

/// A document that all nodes share, opaque to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Counts the writes, from 1.
    pub version: u64,
    /// The document.
    pub body: Bytes,
}

/// How putting tokens in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// All are kept.
    Done,
    /// One of the digests was there already; it is unchanged, and none of the others can be relied on.
    Exists,
}

/// How changing a token's state ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It was in another state before.
    Changed,
    /// It was in that state already.
    Unchanged,
    /// It was revoked for this reason, which is final: it cannot be approved.
    Final(Reason),
    /// It was not approved: it was revoked, or revoked once more, after the approval began.
    Overtaken,
    /// There is no such token, or it has expired.
    Absent,
}

/// How writing a record ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentWrite {
    /// Written, with this version.
    Done {
        /// The version to name in the next replacement.
        version: u64,
    },
    /// Not written: there is one of that id (creation), or it has another version or is gone (replacement).
    Conflict,
}

/// How writing a client ended.
pub type ClientWrite = DocumentWrite;

/// How creating a user ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserCreation {
    /// Created, with this version.
    Done {
        /// The version to name in the first replacement.
        version: u64,
    },
    /// Not created: this name is another user's. Of two that are, either may be told.
    Taken(NameKind),
}

//! What is known of a token: the record that a store keeps under its digest.

use super::claims::Claims;
use super::digest::GrantId;
use super::scope::Scope;
use super::time::{Stamp, UnixSeconds};
use super::value::TokenKind;

/// The metadata of one token. Immutable once issued, but for its [`State`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Approved or revoked: independent of expiry and of what else may end the token.
    pub state: State,
    /// When the store took the record in, by the store's clock; compared with epochs.
    pub stamp: Stamp,
    /// When the client was created to which the token was issued: a client of the same id that is created later, or
    /// declared, is another one, and the token is not its.
    pub owner_created: Stamp,
    /// Access or refresh.
    pub kind: TokenKind,
    /// `iat`.
    pub issued_at: UnixSeconds,
    /// `nbf`: not active before.
    pub not_before: Option<UnixSeconds>,
    /// `exp`: not active at or after. Every token has one; it is also when the store forgets the record.
    pub expires_at: UnixSeconds,
    /// `client_id`: the client the token was issued to, its owner.
    pub client_id: Box<str>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// `username`: there only if the issuer wants the resource servers of the token to see it.
    pub username: Option<Box<str>>,
    /// `scope`.
    pub scope: Scope,
    /// `aud`: the resource servers that may use it.
    pub audience: Vec<Box<str>>,
    /// The family the token belongs to; none for a token that stands alone.
    pub grant: Option<Grant>,
    /// `cnf`, `authorization_details` and every further claim.
    pub claims: Claims,
}

impl Record {
    /// `token_type` as resource servers must take the token: `DPoP` when it is bound to a key (RFC 9449 section 6.2);
    /// none for a refresh token, which is not for them.
    pub fn token_type(&self) -> Option<&'static str> {
        match self.kind {
            TokenKind::Access if self.claims.confirms("jkt") => Some("DPoP"),
            TokenKind::Access => Some("Bearer"),
            TokenKind::Refresh => None,
        }
    }

    /// The moment that epochs are compared with: the birth of its grant, else of the token.
    pub fn origin(&self) -> Stamp {
        match self.grant {
            Some(Grant { born, .. }) if born != Stamp(0) => born,
            _ => self.stamp,
        }
    }
}

/// The grant of a token, and how long its last token can live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names the grant.
    pub id: GrantId,
    /// No token of the grant outlives this second, and no rotation moves it: a mark that revokes the grant must be kept
    /// until then.
    pub expires_at: UnixSeconds,
    /// The stamp of the grant's birth, for tokens that a refresh token was exchanged for; 0 for those issued with it.
    /// Epochs are compared with it: what was revoked cannot be escaped by refreshing in the same moment.
    pub born: Stamp,
}

/// Approved or revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Usable as far as the token itself goes.
    Approved,
    /// Ended early, with the reason.
    Revoked(Reason),
}

/// Why a token was revoked, as one byte of the record.
///
/// Open-ended: a node of an older version must treat a reason it does not know as revoked all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(std::num::NonZeroU8);

impl Reason {
    /// Somebody entitled to asked for it: its client, or an operator. The only reason that approval can undo.
    pub const REQUESTED: Self = Self(std::num::NonZeroU8::MIN);
    /// A refresh token was used a second time: one of the two who hold it has stolen it.
    pub const REUSED: Self = Self(std::num::NonZeroU8::new(2).unwrap());
    /// A revocation of many at once.
    pub const BULK: Self = Self(std::num::NonZeroU8::new(3).unwrap());
    /// The user has another password since.
    pub const PASSWORD_CHANGED: Self = Self(std::num::NonZeroU8::new(4).unwrap());
    /// The user logged out.
    pub const LOGGED_OUT: Self = Self(std::num::NonZeroU8::new(5).unwrap());
    /// The key that signed it is not to be trusted any longer.
    pub const KEY_REMOVED: Self = Self(std::num::NonZeroU8::new(6).unwrap());

    /// Whether approval can never undo it. A reason that this version does not know is final.
    pub fn is_final(self) -> bool {
        self != Self::REQUESTED
    }

    /// This reason, unless the other is final and it is not: of two reasons the first stays, but a final one wins.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if !self.is_final() && other.is_final() { other } else { self }
    }

    /// What to call it towards an operator.
    pub fn name(self) -> &'static str {
        match self {
            Self::REQUESTED => "requested",
            Self::REUSED => "refresh token reused",
            Self::BULK => "bulk revocation",
            Self::PASSWORD_CHANGED => "password changed",
            Self::LOGGED_OUT => "logged out",
            Self::KEY_REMOVED => "signing key removed",
            Self(_) => "a reason of a newer version",
        }
    }

    /// The reason that a stored byte stands for; `None` for 0, which is the approved state.
    pub fn from_byte(byte: u8) -> Option<Self> {
        std::num::NonZeroU8::new(byte).map(Self)
    }

    /// The byte that is stored.
    pub fn to_byte(self) -> u8 {
        self.0.get()
    }
}

impl State {
    /// The state that a stored byte stands for.
    pub fn from_byte(byte: u8) -> Self {
        Reason::from_byte(byte).map_or(Self::Approved, Self::Revoked)
    }

    /// The byte that is stored: 0 for approved, else the reason.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Approved => 0,
            Self::Revoked(reason) => reason.to_byte(),
        }
    }
}

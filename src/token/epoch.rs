//! Epochs: "whatever was issued up to then is revoked", one value for any number of tokens.

use super::record::Reason;
use super::time::Stamp;

/// Which tokens an epoch covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EpochAxis<'a> {
    /// Every token.
    Issuer,
    /// Those of a client.
    Client(&'a str),
    /// Those that speak for a user: its `sub`.
    User(&'a str),
    /// Those of a client that speak for a user.
    ClientUser {
        /// The client.
        client_id: &'a str,
        /// The user's `sub`.
        subject: &'a str,
    },
    /// Those that a key has signed, by its `kid`.
    Key(&'a str),
}

/// One epoch: tokens whose origin is stamped at or before it are revoked, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The moment.
    pub until: Stamp,
    /// Why.
    pub reason: Reason,
}

impl Epoch {
    /// Size of the stored form: the stamp, big-endian, and the reason.
    pub const BYTES: usize = 9;

    /// Writes the stored form.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.until.0.to_be_bytes());
        bytes[8] = self.reason.to_byte();
        bytes
    }

    /// Reads the stored form; `None` when it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (until, [reason]) = bytes.split_first_chunk::<8>()? else { return None };
        Some(Self { until: Stamp(u64::from_be_bytes(*until)), reason: Reason::from_byte(*reason)? })
    }
}

/// All epochs that can cover one token. The latest decides, whichever it is and in whatever order they were raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Of every token.
    pub issuer: Option<Epoch>,
    /// Of the client's.
    pub client: Option<Epoch>,
    /// Of the user's.
    pub user: Option<Epoch>,
    /// Of the client's for this user.
    pub client_user: Option<Epoch>,
    /// Of what the token's key has signed.
    pub key: Option<Epoch>,
}

impl Epochs {
    /// The one that covers a token of this origin, if any does: the latest of them.
    pub fn covering(&self, origin: Stamp) -> Option<Epoch> {
        let all = [self.issuer, self.client, self.user, self.client_user, self.key];
        all.into_iter().flatten().filter(|epoch| origin <= epoch.until).max_by_key(|epoch| epoch.until)
    }
}

//! The names of what can end a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::EpochAxis;

/// Size of what stands in a name for a text of any size: 32 characters.
const NAME_BYTES: usize = 24;

/// Something that can end a token, or bring it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// What a token's own state is.
    Token(TokenDigest),
    /// What of a grant is revoked.
    Grant(GrantId),
    /// A client's record.
    Client(&'a str),
    /// An epoch.
    Epoch(EpochAxis<'a>),
    /// The latest epoch of any of the users of a group.
    Users(UserGroup),
    /// The signing keys.
    SigningKeys,
}

impl Name<'_> {
    /// The name as a text: the key under which Redis keeps it, without the configured prefix.
    ///
    /// What stands in braces is the hash tag: in Redis Cluster it decides on which node a key lives. Whoever registers
    /// a client chooses its id, braces and wildcards included. Encoded, none of them can move a key to another slot or
    /// be taken for a part of another key.
    pub fn text(&self) -> String {
        match *self {
            Self::Token(digest) => tagged("r:{", digest.to_text().as_str()),
            Self::Grant(grant) => tagged("e:g:{", grant.to_text().as_str()),
            Self::Client(client_id) => tagged("c:{", &URL_SAFE_NO_PAD.encode(client_id)),
            Self::Epoch(EpochAxis::Issuer) => ISSUER.to_owned(),
            Self::Epoch(EpochAxis::Client(client_id)) => tagged("e:c:{", &URL_SAFE_NO_PAD.encode(client_id)),
            Self::Epoch(EpochAxis::User(subject)) => named("e:s:{", &[subject.as_bytes()]),
            Self::Epoch(EpochAxis::ClientUser { client_id, subject }) => {
                named("e:cs:{", &[client_id.as_bytes(), subject.as_bytes()])
            }
            Self::Users(UserGroup(group)) => tagged("e:u:{", itoa::Buffer::new().format(group)),
            Self::Epoch(EpochAxis::Key(kid)) => tagged("e:k:{", &URL_SAFE_NO_PAD.encode(kid)),
            Self::SigningKeys => "k:signing".to_owned(),
        }
    }
}

/// Some of all users: which group one belongs to, its `sub` decides.
///
/// A store for which each read has its price raises the epoch of a user's group before that of the user, and of a client
/// and the user. Where the group's does not cover a token, neither of the two does, and a few thousand groups are easily
/// remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserGroup(u16);

impl UserGroup {
    /// How many there are. The more, the longer it takes until revocations of others in a user's group have to be looked
    /// at: with one in a second over all users, four and a half hours.
    pub const COUNT: u16 = 1 << 14;

    /// The group of the user with this `sub`.
    pub fn of(subject: &str) -> Self {
        Self(u16::from_be_bytes(fingerprint(&[b"group", subject.as_bytes()])) % Self::COUNT)
    }
}

/// The epoch of all tokens.
pub const ISSUER: &str = "e:i";

/// `{kind}{tag}}`: the brace is part of `kind`.
fn tagged(kind: &str, tag: &str) -> String {
    [kind, tag, "}"].concat()
}

/// The same for texts of any size, of which only a digest is kept.
fn named(kind: &str, parts: &[&[u8]]) -> String {
    tagged(kind, &URL_SAFE_NO_PAD.encode(fingerprint::<NAME_BYTES>(parts)))
}

/// A digest of several texts. No two different lists of texts have the same one: each is preceded by its length.
///
/// It hides nothing from somebody who can guess the texts. It bounds the size of names, and keeps what users are called
/// out of them.
pub fn fingerprint<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut name = [0; N];
    hasher.finalize_xof().fill(&mut name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_read_the_same_when_joined_have_different_names() {
        let lists: [&[&[u8]]; 6] = [&[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[b"", b"abc"], &[]];
        for (place, list) in lists.iter().enumerate() {
            for other in &lists[place + 1..] {
                assert_ne!(fingerprint::<16>(list), fingerprint::<16>(other), "{list:?} {other:?}");
            }
            assert_eq!(fingerprint::<24>(list), fingerprint::<24>(list));
        }
    }
}

//! The names of what can end a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::token::digest::{GrantId, TokenDigest, base64url};
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
        let mut text = String::with_capacity(USUAL_LENGTH);
        self.write(&mut text);
        text
    }

    /// Writes the name behind what `text` holds.
    pub fn write(&self, text: &mut String) {
        match *self {
            Self::Token(digest) => tagged(text, "r:{", digest.to_text().as_str()),
            Self::Grant(grant) => tagged(text, "e:g:{", grant.to_text().as_str()),
            Self::Client(client_id) => encoded(text, "c:{", client_id),
            Self::Epoch(EpochAxis::Issuer) => text.push_str(ISSUER),
            Self::Epoch(EpochAxis::Client(client_id)) => encoded(text, "e:c:{", client_id),
            Self::Epoch(EpochAxis::User(subject)) => named(text, "e:s:{", &[subject.as_bytes()]),
            Self::Epoch(EpochAxis::ClientUser { client_id, subject }) => {
                named(text, "e:cs:{", &[client_id.as_bytes(), subject.as_bytes()]);
            }
            Self::Users(UserGroup(group)) => tagged(text, "e:u:{", itoa::Buffer::new().format(group)),
            Self::Epoch(EpochAxis::Key(kid)) => encoded(text, "e:k:{", kid),
            Self::SigningKeys => text.push_str("k:signing"),
        }
    }
}

/// Room for a name whose texts are not unusually long.
pub const USUAL_LENGTH: usize = 64;

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
        Self(u16::from_be_bytes(fingerprint(&[subject.as_bytes()])) % Self::COUNT)
    }

    /// Its place among all groups, from 0.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// The epoch of all tokens.
pub const ISSUER: &str = "e:i";

/// `{kind}{tag}}`: the brace is part of `kind`.
fn tagged(text: &mut String, kind: &str, tag: &str) {
    text.push_str(kind);
    text.push_str(tag);
    text.push('}');
}

/// The same for a text of any characters.
fn encoded(text: &mut String, kind: &str, tag: &str) {
    text.push_str(kind);
    URL_SAFE_NO_PAD.encode_string(tag, text);
    text.push('}');
}

/// The same for texts of any size, of which only a digest is kept.
fn named(text: &mut String, kind: &str, parts: &[&[u8]]) {
    let tag = base64url::<NAME_BYTES, { NAME_BYTES / 3 * 4 }>(&fingerprint(parts));
    tagged(text, kind, str::from_utf8(&tag).expect("base64 text is ASCII"));
}

/// A digest of several texts. No two different lists of texts have the same one: each is preceded by its length.
///
/// It hides nothing from somebody who can guess the texts. It bounds the size of names, and keeps what users are called
/// out of them.
pub fn fingerprint<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= blake3::OUT_LEN, "as much as a digest has") };
    // One block, as most are, is hashed at once, without the state that longer ones need.
    let mut block = [0; 4 * blake3::BLOCK_LEN];
    let mut length = 0;
    let digest = if parts.iter().map(|part| 8 + part.len()).sum::<usize>() <= block.len() {
        for part in parts {
            block[length..length + 8].copy_from_slice(&(part.len() as u64).to_be_bytes());
            block[length + 8..length + 8 + part.len()].copy_from_slice(part);
            length += 8 + part.len();
        }
        blake3::hash(&block[..length])
    } else {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    };
    *digest.as_bytes().first_chunk().expect("as much as a digest has")
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

    #[test]
    fn it_makes_no_difference_how_much_is_hashed_at_once() {
        for length in [0, 1, 40, 240, 248, 249, 500, 3_000] {
            let long = vec![b'x'; length];
            let parts: [&[u8]; 2] = [&long, b"y"];
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
            }
            let mut expected = [0; 24];
            hasher.finalize_xof().fill(&mut expected);
            assert_eq!(fingerprint::<24>(&parts), expected, "{length}");
        }
    }
}

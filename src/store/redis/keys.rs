//! The names of everything kept in Redis: the one file that knows the layout.
//!
//! | key, after the prefix | value | expires |
//! |---|---|---|
//! | `t:{digest}` | a token's record, as `token/codec.rs` writes it | with the token |
//! | `p:{hash}` | what many tokens share and their records name: `token/profile.rs` | a while after the last of them |
//! | `r:{digest}` | tombstone of a revoked token: stamp (8 bytes, big-endian), reason (1 byte) | with the token |
//! | `g:{grant}` | what is kept of a grant, as `token/grant.rs` writes it | with its last token |
//! | `e:g:{grant}` | what of a grant is revoked, likewise | with the family |
//! | `m:{range}` | marker of the dataset, with the epoch of all tokens: see `dataset.rs` | never |
//! | `e:c:{client}` | epoch of a client's tokens: stamp, reason, as `token/epoch.rs` writes it | when told |
//! | `e:s:{user}` | epoch of a user's tokens | when told |
//! | `e:cs:{client and user}` | epoch of a client's tokens for a user | when told |
//! | `e:u:{group}` | the latest epoch of any user of a group, raised before that one is | when told |
//! | `e:k:{kid}` | epoch of what a key has signed | when told |
//! | `j:{what}` | something was used once: nothing | when told |
//! | `k:signing` | the signing keys: version (8 bytes), the sealed document | never |
//! | `c:{client}` | a client: version (8 bytes), creation stamp (8 bytes), JSON | never |
//! | `i:c` | the ids of all clients: a sorted set in which every score is 0 | never |
//! | `u:{user}` | a user: version (8 bytes), creation stamp (8 bytes), JSON | never, once created |
//! | `l:{kind and name}` | whose name it is: state (1 byte), stamp (8 bytes), user id (16 bytes) | never, once theirs |
//! | `i:u:{part}` | the ids of all users that begin with these four bits: a sorted set in which every score is 0 | never |
//!
//! A token that is signed has no record, only its tombstone once it is revoked. What is kept by the name of a user is
//! kept by a digest of it. How a user comes to be: see [`super::users`].
//!
//! What stands in braces is the hash tag: in Redis Cluster a token and its tombstone share a slot, and so do a grant
//! and its mark, so one script may touch both; everything else lies wherever it falls. Tombstones, marks and epochs
//! have prefixes of their own (`r:`, `e:`) because those are what a near cache must hear of.
//!
//! What ends tokens that may have no record is kept a little longer than told: see [`super::CLOCK_GRACE`].

use super::dataset;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::coherence::name::{self, Name, UserGroup, fingerprint};
use crate::store;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::EpochAxis;
use crate::token::profile::ProfileId;
use crate::user::id::UserId;
use crate::user::name::UniqueName;

/// Size of what stands in a key for something that may be used once: 32 characters.
const USED_BYTES: usize = 24;

/// How many parts the index of users has: one sorted set of millions would weigh on one slot.
pub(super) const USER_INDEXES: u8 = 16;

/// Which part of the index a user is in: the first four bits of the id, so that the parts in order are the users in
/// order.
pub(super) fn user_index_of(id: UserId) -> u8 {
    id.0[0] >> 4
}

/// Writes keys, all with the configured prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// A token's record.
    pub(super) fn token(&self, digest: TokenDigest) -> String {
        self.tagged("t:{", digest.to_text().as_str())
    }

    /// What many tokens have in common.
    pub(super) fn profile(&self, id: ProfileId) -> String {
        self.tagged("p:{", &id.to_text())
    }

    /// What says that a token is revoked: beside its record, or alone when it is signed.
    pub(super) fn tombstone(&self, digest: TokenDigest) -> String {
        self.of(Name::Token(digest))
    }

    /// What is kept of a grant.
    pub(super) fn grant(&self, grant: GrantId) -> String {
        self.tagged("g:{", grant.to_text().as_str())
    }

    /// What of a grant is revoked.
    pub(super) fn grant_mark(&self, grant: GrantId) -> String {
        self.of(Name::Grant(grant))
    }

    /// An epoch.
    pub(super) fn epoch(&self, axis: EpochAxis<'_>) -> String {
        self.of(Name::Epoch(axis))
    }

    /// The latest epoch of any of the users that this one shares a group with.
    pub(super) fn group_of(&self, subject: &str) -> String {
        self.of(Name::Users(UserGroup::of(subject)))
    }

    /// The marker of the dataset in a range of slots.
    pub(super) fn marker(&self, range: usize) -> String {
        dataset::key(&self.prefix, range)
    }

    /// Something that may be used once.
    pub(super) fn used(&self, what: &[u8; 32]) -> String {
        self.tagged("j:{", &URL_SAFE_NO_PAD.encode(fingerprint::<USED_BYTES>(&[what])))
    }

    /// The signing keys.
    pub(super) fn signing_keys(&self) -> String {
        self.of(Name::SigningKeys)
    }

    /// A client's record. The id may come from a stored record, so it is any text here.
    pub(super) fn client(&self, id: &str) -> String {
        self.of(Name::Client(id))
    }

    /// The index of clients. Its members are the ids as they are: equal scores sort by bytes, which is the order that
    /// pages are promised in.
    pub(super) fn client_index(&self) -> String {
        [&*self.prefix, "i:c"].concat()
    }

    /// A user's record.
    pub(super) fn user(&self, id: UserId) -> String {
        self.tagged("u:{", id.to_text().as_str())
    }

    /// Whose a name is.
    pub(super) fn user_name(&self, name: UniqueName<'_>) -> String {
        self.tagged("l:{", &URL_SAFE_NO_PAD.encode(store::name_digest(name)))
    }

    /// One of the [`USER_INDEXES`] parts of the index of users. Its members are the bytes of the ids, so that their order
    /// is that of the ids, which is not the order of their texts.
    pub(super) fn user_index(&self, part: u8) -> String {
        self.tagged("i:u:{", itoa::Buffer::new().format(part))
    }

    fn tagged(&self, kind: &str, name: &str) -> String {
        [&*self.prefix, kind, name, "}"].concat()
    }

    /// The key of something that near caches must hear of.
    pub(super) fn of(&self, name: Name<'_>) -> String {
        let mut key = String::with_capacity(self.prefix.len() + name::USUAL_LENGTH);
        key.push_str(&self.prefix);
        name.write(&mut key);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_script_touches_shares_its_hash_tag() {
        let keys = Keys::new("itd:");
        let (digest, grant) = (TokenDigest([7; 16]), GrantId([7; 16]));
        assert_eq!(keys.token(digest), "itd:t:{BwcHBwcHBwcHBwcHBwcHBw}");
        assert_eq!(keys.tombstone(digest), "itd:r:{BwcHBwcHBwcHBwcHBwcHBw}");
        assert_eq!(keys.grant(grant), "itd:g:{BwcHBwcHBwcHBwcHBwcHBw}");
        assert_eq!(keys.grant_mark(grant), "itd:e:g:{BwcHBwcHBwcHBwcHBwcHBw}");
    }

    #[test]
    fn no_client_id_can_look_like_another_key() {
        let keys = Keys::new("");
        for id in ["}", "{x}", "*", "a:{b}:*", " ", "i:c", "\u{0}"] {
            let key = keys.client(id);
            let tag = key.strip_prefix("c:{").and_then(|rest| rest.strip_suffix('}')).unwrap();
            assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{key}");
        }
        assert_ne!(keys.client("a"), keys.client("A"));
    }

    #[test]
    fn every_axis_has_a_key_of_its_own_and_no_user_is_named_in_one() {
        let keys = Keys::new("");
        let pair = |client_id, subject| EpochAxis::ClientUser { client_id, subject };
        let axes = [
            (EpochAxis::Issuer, "e:i"),
            (EpochAxis::Client("alice"), "e:c:{YWxpY2U}"),
            (EpochAxis::User("alice"), "e:s:{"),
            (EpochAxis::User("}alice{"), "e:s:{"),
            (pair("alice", ""), "e:cs:{"),
            (pair("", "alice"), "e:cs:{"),
            (pair("al", "ice"), "e:cs:{"),
            (EpochAxis::Key("alice"), "e:k:{YWxpY2U}"),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for (axis, start) in axes {
            let key = keys.epoch(axis);
            assert!(key.starts_with(start) && !key.contains("alice"), "{key}");
            assert!(key.len() <= "e:cs:{}".len() + 32, "{key}");
            assert!(seen.insert(key), "{axis:?}");
        }
        assert!(keys.used(&[0xFF; 32]).starts_with("j:{"));
    }
}

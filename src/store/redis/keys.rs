//! The names of everything kept in Redis: the one file that knows the layout.
//!
//! | key, after the prefix | value | expires |
//! |---|---|---|
//! | `t:{digest}` | a token's record, as `token/codec.rs` writes it | with the token |
//! | `r:{digest}` | tombstone of a revoked token: stamp (8 bytes, big-endian), reason (1 byte) | with the token |
//! | `e:g:{grant}` | mark of a revoked grant: stamp, reason | with the grant |
//! | `c:{client}` | a client: version (8 bytes), creation stamp (8 bytes), JSON | never |
//! | `i:c` | the ids of all clients: a sorted set in which every score is 0 | never |
//!
//! What stands in braces is the hash tag: in Redis Cluster a token and its tombstone share a slot, so one script may
//! touch both, and everything else lies wherever it falls. Tombstones and marks have prefixes of their own (`r:`, `e:`)
//! because those are what a near cache must hear of.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::token::digest::{GrantId, TokenDigest};

/// Writes keys, all with the configured prefix.
#[derive(Debug)]
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

    /// What stands beside the record of a revoked token.
    pub(super) fn tombstone(&self, digest: TokenDigest) -> String {
        self.tagged("r:{", digest.to_text().as_str())
    }

    /// The mark of a revoked grant.
    pub(super) fn grant_mark(&self, grant: GrantId) -> String {
        self.tagged("e:g:{", grant.to_text().as_str())
    }

    /// A client's record.
    ///
    /// Whoever registers a client chooses its id, braces and wildcards included. Encoded, none of them can move the key
    /// to another slot or be taken for a part of another key. The id may also come from a stored record, so it is any
    /// text here.
    pub(super) fn client(&self, id: &str) -> String {
        self.tagged("c:{", &URL_SAFE_NO_PAD.encode(id))
    }

    /// The index of clients. Its members are the ids as they are: equal scores sort by bytes, which is the order that
    /// pages are promised in.
    pub(super) fn client_index(&self) -> String {
        [&*self.prefix, "i:c"].concat()
    }

    fn tagged(&self, kind: &str, name: &str) -> String {
        [&*self.prefix, kind, name, "}"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_its_tombstone_share_their_hash_tag() {
        let keys = Keys::new("itd:");
        let digest = TokenDigest([7; 16]);
        assert_eq!(keys.token(digest), "itd:t:{BwcHBwcHBwcHBwcHBwcHBw}");
        assert_eq!(keys.tombstone(digest), "itd:r:{BwcHBwcHBwcHBwcHBwcHBw}");
        assert_eq!(keys.grant_mark(GrantId([7; 16])), "itd:e:g:{BwcHBwcHBwcHBwcHBwcHBw}");
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
}

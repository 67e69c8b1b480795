//! What may be shown once only, and the names under which that is remembered.

use crate::token::time::UnixSeconds;

/// Something that works once: to be given to [`crate::store::Store::use_once`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleUse {
    /// Its name. Of one length, so that a peer cannot choose how much memory it takes.
    pub name: [u8; 32],
    /// Until when it would work if it were shown again, with a margin for nodes whose clocks are behind.
    pub until: UnixSeconds,
}

/// How far the clocks of two nodes may be apart, in seconds.
const CLOCK_MARGIN: u64 = 60;

impl SingleUse {
    /// The use of `id`, which is unique for its `owner`, in this `context`; it would work again until `until`.
    pub(super) fn new(context: &str, owner: &str, id: &str, until: UnixSeconds) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [context, owner, id] {
            // The length keeps one triple from reading like another that is cut elsewhere.
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        Self { name: *hasher.finalize().as_bytes(), until: until.plus(CLOCK_MARGIN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_depend_on_where_texts_are_cut() {
        let name = |context, owner, id| SingleUse::new(context, owner, id, UnixSeconds(1)).name;
        assert_eq!(name("a", "b", "c"), name("a", "b", "c"));
        assert_ne!(name("a", "bc", "d"), name("a", "b", "cd"));
        assert_ne!(name("ab", "c", "d"), name("a", "bc", "d"));
    }
}

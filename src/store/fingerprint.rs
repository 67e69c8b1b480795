//! Names of a fixed size for what has a name of any size: what both stores keep by the name of a user, of a client and
//! user together, or of something used once.

/// A digest of several texts. No two different lists of texts have the same one: each is preceded by its length.
///
/// It hides nothing from somebody who can guess the texts. It bounds the size of keys, and keeps what users are called
/// out of them.
pub(super) fn fingerprint<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
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

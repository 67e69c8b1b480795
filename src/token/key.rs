//! One server key, and the name that the tokens made with it carry.

use std::fmt;

use zeroize::Zeroizing;

/// Names a key: two characters of `[0-9A-Za-z]`, carried in each token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; Self::LENGTH]);

impl KeyId {
    /// Length of the text form.
    pub const LENGTH: usize = 2;

    /// Reads a key id; `None` unless it is two characters of `[0-9A-Za-z]`.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id: [u8; Self::LENGTH] = bytes.try_into().ok()?;
        id.iter().all(u8::is_ascii_alphanumeric).then_some(Self(id))
    }

    /// The two characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("a key id is ASCII")
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One server key under its id, and the keys derived from it, one per purpose. Wiped when dropped.
pub struct Key {
    id: KeyId,
    pub(super) tokens: Zeroizing<[u8; 32]>,
    pub(super) imports: Zeroizing<[u8; 32]>,
    pub(super) secrets: Zeroizing<[u8; 32]>,
    pub(super) successors: Zeroizing<[u8; 32]>,
    pub(super) identifiers: Zeroizing<[u8; 32]>,
    pub(super) sealing: Zeroizing<[u8; 32]>,
    pub(super) names: Zeroizing<[u8; 32]>,
}

impl Key {
    /// Shortest key material taken, in bytes: the strength of the digests made from it.
    pub const MIN_MATERIAL_BYTES: usize = 32;

    /// Derives the keys from secret material of at least [`Key::MIN_MATERIAL_BYTES`]; `None` when it is shorter.
    pub fn derive(id: KeyId, material: &[u8]) -> Option<Self> {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, material));
        (material.len() >= Self::MIN_MATERIAL_BYTES).then(|| Self {
            id,
            tokens: derive("introspectd 2026 v1 token digest and check value"),
            imports: derive("introspectd 2026 v1 digest of imported tokens"),
            secrets: derive("introspectd 2026 v1 client secret digest"),
            successors: derive("introspectd 2026 v1 successor of a refresh token"),
            identifiers: derive("introspectd 2026 v1 identifier of a signed token"),
            sealing: derive("introspectd 2026 v1 sealing of signing keys"),
            names: derive("introspectd 2026 v1 text that is not written into a log"),
        })
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }
}

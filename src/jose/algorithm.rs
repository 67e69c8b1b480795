//! The algorithms that are signed and verified with (RFC 7518, RFC 8037): asymmetric ones only, so that whoever
//! verifies cannot sign.

use serde::{Deserialize, Serialize};

/// `EdDSA` leaves open which curve is meant. RFC 9864 section 2.2 registers this name in its place, and newer libraries
/// write it in headers and keys. What we sign ourselves keeps the name that every library knows.
const ED25519: &str = "Ed25519";

/// A signature algorithm, by its registered name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256 (RFC 7518 section 3.4): small keys and signatures, taken everywhere.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 (RFC 8037): the fastest to sign and to verify.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3): what RFC 9068 and RFC 9701 require to be supported.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256 (RFC 7518 section 3.5).
    #[serde(rename = "PS256")]
    Ps256,
}

impl Algorithm {
    /// All of them, in the order in which they are published.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Ps256];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// What the headers and keys of others may call them.
    pub const NAMES_OF_OTHERS: [&str; 5] = ["ES256", "EdDSA", ED25519, "RS256", "PS256"];

    /// The algorithm of this name; names are case-sensitive (RFC 7515 section 4.1.1).
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The same in what others have written, who may say `Ed25519` instead of `EdDSA`.
    pub fn of_name_of_others(name: &str) -> Option<Self> {
        if name == ED25519 { Some(Self::EdDsa) } else { Self::of_name(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9864_2_2_both_names_of_ed25519_are_read_and_one_is_written() {
        for name in Algorithm::NAMES_OF_OTHERS {
            let algorithm = Algorithm::of_name_of_others(name).unwrap();
            assert_eq!(Algorithm::of_name(name).is_some(), algorithm.name() == name, "{name}");
        }
        assert_eq!(Algorithm::of_name_of_others("Ed25519"), Some(Algorithm::EdDsa));
        assert_eq!(Algorithm::EdDsa.name(), "EdDSA");
        for name in ["ed25519", "Ed448", "ESP256", "none"] {
            assert_eq!(Algorithm::of_name_of_others(name), None, "{name}");
        }
    }
}

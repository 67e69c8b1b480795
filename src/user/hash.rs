//! Passwords at rest: argon2id (RFC 9106) as PHC strings.
//!
//! Hashing takes tens of milliseconds and as much memory as its parameters say, on purpose: all of it belongs on the
//! hashing pool, whose threads each keep one [`HashMemory`].

use std::fmt;

use argon2::password_hash::phc::{self, Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use constant_time_eq::constant_time_eq;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize as _, Zeroizing};

use super::password::Password;

/// What a hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashParameters {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// How often the memory is gone over.
    pub passes: u32,
    /// Lanes, which are computed one after the other here.
    pub lanes: u32,
}

impl Default for HashParameters {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// Memory in KiB and passes, each pair as dear to a guesser as the next (OWASP Password Storage Cheat Sheet).
const FLOORS: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

impl HashParameters {
    /// The most memory that a hash may ask for, in KiB: 256 MiB.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// The most passes.
    pub const MAX_PASSES: u32 = 32;
    /// The most lanes.
    pub const MAX_LANES: u32 = 16;

    /// Whether new hashes may be made with them: dear enough to a guesser (one of the combinations of the OWASP
    /// Password Storage Cheat Sheet is reached in memory and in passes), and not ruinous to the server.
    pub fn is_acceptable(&self) -> bool {
        let reached = |(memory_kib, passes)| self.memory_kib >= memory_kib && self.passes >= passes;
        self.is_bearable() && FLOORS.into_iter().any(reached)
    }

    /// Whether they can be computed with at all, and within bounds of memory and time.
    fn is_bearable(&self) -> bool {
        (1..=Self::MAX_LANES).contains(&self.lanes)
            && (1..=Self::MAX_PASSES).contains(&self.passes)
            && (8 * self.lanes..=Self::MAX_MEMORY_KIB).contains(&self.memory_kib)
    }
}

/// Why a password could not be hashed. Nothing that a peer sends leads to it.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// There is no randomness for a salt.
    #[error("no randomness for a salt")]
    Randomness(#[source] getrandom::Error),
    /// The parameters are out of bounds, or the memory for them is not to be had.
    #[error("argon2id cannot be computed: {0}")]
    Algorithm(argon2::Error),
    /// The hash cannot be written as a PHC string.
    #[error("a hash cannot be written: {0}")]
    Encoding(phc::Error),
}

/// The memory that hashes are computed in, kept from one to the next, so that the operating system need not map and
/// clear it anew each time. Wiped after each, so that nothing of a password outlives its use.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    /// At least so many blocks, of 1 KiB each.
    fn blocks(&mut self, count: usize) -> Result<&mut [Block], argon2::Error> {
        if let Some(missing) = count.checked_sub(self.0.len()) {
            self.0.try_reserve_exact(missing).map_err(|_| argon2::Error::OutOfMemory)?;
            self.0.resize(count, Block::new());
        }
        Ok(&mut self.0[..count])
    }

    /// argon2id of a password.
    fn argon2id(
        &mut self,
        parameters: HashParameters,
        password: &Password,
        salt: &[u8],
        tag: &mut [u8],
    ) -> Result<(), argon2::Error> {
        if !parameters.is_bearable() {
            return Err(argon2::Error::MemoryTooMuch);
        }
        let HashParameters { memory_kib, passes, lanes } = parameters;
        let params = Params::new(memory_kib, passes, lanes, Some(tag.len()))?;
        let blocks = self.blocks(params.block_count())?;
        let outcome = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            tag,
            &mut *blocks,
        );
        blocks.fill(Block::new());
        outcome
    }
}

impl Drop for HashMemory {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for HashMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HashMemory({} KiB)", self.0.len())
    }
}

/// A password at rest: a PHC string of argon2id, version 19.
#[derive(Clone, PartialEq)]
pub struct PasswordHash(Box<str>);

/// The text is not the hash of a password, or one whose parameters are out of all bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the hash of a password, or not one that may be computed")]
pub struct DamagedHash;

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;
/// The shortest tag that is believed: every bit less doubles what passes by chance.
const LEAST_TAG_BYTES: usize = 16;

/// What a PHC string says.
struct Parts {
    parameters: HashParameters,
    salt: Salt,
    tag: Output,
}

impl PasswordHash {
    /// Hashes a password with a fresh salt.
    ///
    /// # Errors
    /// [`HashError`].
    pub fn of(password: &Password, parameters: &HashParameters, memory: &mut HashMemory) -> Result<Self, HashError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(HashError::Randomness)?;
        let mut tag = Zeroizing::new([0; TAG_BYTES]);
        memory.argon2id(*parameters, password, &salt, tag.as_mut_slice()).map_err(HashError::Algorithm)?;
        Self::written(parameters, &salt, tag.as_slice()).map_err(HashError::Encoding)
    }

    /// The hash of no password, to compare with where there is no user: it costs what a hash with these parameters
    /// costs, so that time does not tell who exists (ASVS 6.3.8).
    ///
    /// # Errors
    /// [`HashError::Randomness`].
    pub fn of_nothing(parameters: &HashParameters) -> Result<Self, HashError> {
        let mut random = [0; SALT_BYTES + TAG_BYTES];
        getrandom::fill(&mut random).map_err(HashError::Randomness)?;
        let (salt, tag) = random.split_at(SALT_BYTES);
        Self::written(parameters, salt, tag).map_err(HashError::Encoding)
    }

    /// Reads a hash that was stored.
    ///
    /// # Errors
    /// [`DamagedHash`], also for parameters above [`HashParameters::MAX_MEMORY_KIB`] and its like: who can write a
    /// record must not make every login allocate gigabytes.
    pub fn from_stored(text: &str) -> Result<Self, DamagedHash> {
        let hash = Self(text.into());
        hash.parts().map(|_| hash)
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the hash of `password`. Takes as long for a wrong one as for the right one.
    pub fn matches(&self, password: &Password, memory: &mut HashMemory) -> bool {
        let Ok(Parts { parameters, salt, tag }) = self.parts() else { return false };
        let mut computed = Zeroizing::new(vec![0; tag.len()]);
        memory.argon2id(parameters, password, &salt, &mut computed).is_ok()
            && constant_time_eq(&computed, tag.as_bytes())
    }

    /// Whether it falls short of `parameters`, or of the sizes used here, in anything: then it is to be made anew as
    /// soon as its password is known again, which is at the next login.
    pub fn is_outdated(&self, parameters: &HashParameters) -> bool {
        self.parts().is_ok_and(|Parts { parameters: used, salt, tag }| {
            used.memory_kib < parameters.memory_kib
                || used.passes < parameters.passes
                || used.lanes < parameters.lanes
                || salt.len() < SALT_BYTES
                || tag.len() < TAG_BYTES
        })
    }

    fn written(parameters: &HashParameters, salt: &[u8], tag: &[u8]) -> Result<Self, phc::Error> {
        let mut params = ParamsString::new();
        params.add_decimal("m", parameters.memory_kib)?;
        params.add_decimal("t", parameters.passes)?;
        params.add_decimal("p", parameters.lanes)?;
        let hash = phc::PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(tag)?),
        };
        Ok(Self(hash.to_string().into()))
    }

    fn parts(&self) -> Result<Parts, DamagedHash> {
        let hash = phc::PasswordHash::new(&self.0).map_err(|_| DamagedHash)?;
        let params = Params::try_from(&hash).map_err(|_| DamagedHash)?;
        let parameters =
            HashParameters { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        let is_ours = hash.algorithm == argon2::ARGON2ID_IDENT
            && hash.version == Some(Version::V0x13.into())
            && params.keyid().is_empty()
            && params.data().is_empty()
            && parameters.is_bearable();
        match (hash.salt, hash.hash) {
            (Some(salt), Some(tag)) if is_ours && tag.len() >= LEAST_TAG_BYTES => Ok(Parts { parameters, salt, tag }),
            _ => Err(DamagedHash),
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(redacted)")
    }
}

impl Serialize for PasswordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_stored(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashParameters = HashParameters { memory_kib: 64, passes: 1, lanes: 1 };

    fn password(text: &str) -> Password {
        Password::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn asvs_11_4_2_parameters_reach_one_of_the_combinations_of_owasp() {
        let acceptable = |memory_kib, passes, lanes| HashParameters { memory_kib, passes, lanes }.is_acceptable();
        assert!(HashParameters::default().is_acceptable());
        for (memory_kib, passes) in FLOORS {
            assert!(acceptable(memory_kib, passes, 1));
            assert!(acceptable(memory_kib, passes, 4));
            assert!(acceptable(memory_kib + 1, passes + 1, 1));
            assert!(!acceptable(memory_kib - 1, passes, 1));
            assert!(!acceptable(memory_kib, passes - 1, 1));
        }
        assert!(acceptable(65_536, 3, 4), "the second choice of RFC 9106");
        for (memory_kib, passes, lanes) in
            [(u32::MAX, 1, 1), (19_456, u32::MAX, 1), (19_456, 2, 0), (19_456, 2, u32::MAX), (0, 0, 0)]
        {
            assert!(!acceptable(memory_kib, passes, lanes));
        }
    }

    #[test]
    fn asvs_11_4_2_a_hash_names_its_parameters_and_has_salt_and_tag_of_full_size() {
        let (mut memory, word) = (HashMemory::default(), password("correct horse battery staple"));
        let hash = PasswordHash::of(&word, &HashParameters::default(), &mut memory).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        let parts = hash.parts().unwrap();
        assert_eq!((parts.salt.len(), parts.tag.len()), (16, 32));
        assert!(hash.matches(&word, &mut memory));
        assert!(!hash.matches(&password("correct horse battery stapl"), &mut memory));
        assert_ne!(PasswordHash::of(&word, &CHEAP, &mut memory).unwrap().as_str(), hash.as_str());
    }

    #[test]
    fn rfc9106_hashes_made_elsewhere_match() {
        // The library's own hashing, which is checked against the vectors of section 5.
        use argon2::PasswordHasher as _;
        let params = Params::new(64, 3, 2, Some(24)).unwrap();
        let made = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_with_salt("p\u{e4}ssword\0".as_bytes(), b"saltsalt")
            .unwrap();
        let hash = PasswordHash::from_stored(&made.to_string()).unwrap();
        let mut memory = HashMemory::default();
        assert!(hash.matches(&password("pa\u{308}ssword\0"), &mut memory));
        assert!(!hash.matches(&password("pa\u{308}ssword"), &mut memory));
        assert!(hash.is_outdated(&HashParameters { memory_kib: 64, passes: 3, lanes: 2 }), "short salt and tag");
    }

    #[test]
    fn asvs_11_4_2_a_hash_that_falls_short_in_anything_is_outdated() {
        let hash = PasswordHash::of_nothing(&HashParameters { memory_kib: 64, passes: 2, lanes: 1 }).unwrap();
        let outdated = |memory_kib, passes, lanes| hash.is_outdated(&HashParameters { memory_kib, passes, lanes });
        assert!(!outdated(64, 2, 1));
        assert!(!outdated(32, 1, 1), "one that is dearer than need be stays");
        assert!(outdated(65, 2, 1) && outdated(64, 3, 1) && outdated(64, 2, 2) && outdated(128, 1, 1));
    }

    #[test]
    fn asvs_6_3_8_the_hash_of_nothing_costs_the_same_and_matches_nothing() {
        let hash = PasswordHash::of_nothing(&CHEAP).unwrap();
        assert!(!hash.matches(&password(""), &mut HashMemory::default()));
        assert_eq!(hash.parts().unwrap().parameters, CHEAP);
        assert_ne!(hash.as_str(), PasswordHash::of_nothing(&CHEAP).unwrap().as_str());
    }

    #[test]
    fn memory_is_kept_for_the_next_hash_and_wiped_before_it() {
        let mut memory = HashMemory::default();
        let large = HashParameters { memory_kib: 128, passes: 1, lanes: 2 };
        for parameters in [CHEAP, large, CHEAP] {
            let hash = PasswordHash::of(&password("one"), &parameters, &mut memory).unwrap();
            assert!(memory.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
            assert!(hash.matches(&password("one"), &mut memory) && !hash.matches(&password("two"), &mut memory));
        }
        assert_eq!(format!("{memory:?}"), "HashMemory(128 KiB)");
    }

    #[test]
    fn what_is_no_hash_or_would_ruin_the_server_is_damage() {
        let salt_and_tag = "c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let read = |head: &str| PasswordHash::from_stored(&format!("{head}${salt_and_tag}")).is_ok();
        assert!(read("$argon2id$v=19$m=262144,t=32,p=16"));
        for head in [
            "$argon2id$v=19$m=262145,t=2,p=1",
            "$argon2id$v=19$m=4294967295,t=2,p=1",
            "$argon2id$v=19$m=4294967296,t=2,p=1",
            "$argon2id$v=19$m=19456,t=33,p=1",
            "$argon2id$v=19$m=19456,t=2,p=17",
            "$argon2id$v=19$m=19456,t=2,p=4294967295",
            "$argon2id$v=19$m=7,t=2,p=1",
            "$argon2id$v=19$m=19456,t=0,p=1",
            "$argon2id$v=19$m=19456,t=2,p=0",
            "$argon2id$v=19$m=-1,t=2,p=1",
            "$argon2id$v=19$m=19456,t=2,p=1,keyid=AAAA",
            "$argon2id$v=19$m=19456,t=2,p=1,data=AAAA",
            "$argon2id$v=16$m=19456,t=2,p=1",
            "$argon2id$m=19456,t=2,p=1",
            "$argon2i$v=19$m=19456,t=2,p=1",
            "$argon2d$v=19$m=19456,t=2,p=1",
            "$scrypt$ln=16,r=8,p=1",
        ] {
            assert!(!read(head), "{head}");
        }
        for text in [
            "",
            "plain",
            "$argon2id$v=19$m=64,t=1,p=1",
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA",
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=64,t=1,p=1$c2Fs$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(PasswordHash::from_stored(text), Err(DamagedHash), "{text}");
        }
        let ruinous = HashParameters { memory_kib: u32::MAX, passes: 1, lanes: 1 };
        assert!(PasswordHash::of(&password("x"), &ruinous, &mut HashMemory::default()).is_err());
    }

    #[test]
    fn hashes_are_written_as_text_and_never_printed() {
        let hash = PasswordHash::of_nothing(&CHEAP).unwrap();
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text, format!("\"{}\"", hash.as_str()));
        assert_eq!(serde_json::from_str::<PasswordHash>(&text).unwrap(), hash);
        assert!(serde_json::from_str::<PasswordHash>("\"$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdA$AAAA\"").is_err());
        assert_eq!(format!("{hash:?}"), "PasswordHash(redacted)");
    }
}

//! Passwords in the clear, on their way in: which are taken, and which may be chosen.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use zeroize::Zeroizing;

use super::common;

/// A password in the clear. Wiped when dropped, and never printed.
///
/// It is kept as received but for one thing: characters that can be typed as one code point or as several are composed
/// (Unicode NFC), because keyboards differ in which they send and nobody sees which. Nothing is trimmed, folded or cut
/// off (ASVS 6.2.8), and any character may be in it, even NUL (ASVS 6.2.5): the hash counts bytes and stops at none.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// A password longer than any that is taken. For the peer; repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has at most 256 characters, and 1024 bytes as UTF-8")]
pub struct PasswordError;

impl Password {
    /// The longest password, in code points.
    pub const MAX_LENGTH: usize = 256;
    /// The longest password, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 1024;

    /// Takes over a password as received. The limits hold for its composed form, so that how it was typed decides
    /// nothing.
    ///
    /// # Errors
    /// [`PasswordError`] when it is too long. Nothing is hashed, and little more than looked at.
    pub fn parse(text: String) -> Result<Self, PasswordError> {
        let text = Zeroizing::new(text);
        // Composing makes a text at most three times shorter: a longer one cannot come within the limit.
        if text.len() > 3 * Self::MAX_BYTES {
            return Err(PasswordError);
        }
        let nfc = ComposingNormalizerBorrowed::new_nfc();
        let composed = if nfc.is_normalized(&text) {
            text
        } else {
            // Room for the longest result from the start, so that growing leaves no copies behind.
            let mut composed = Zeroizing::new(String::with_capacity(3 * text.len()));
            nfc.normalize_to(&text, &mut *composed).map_err(|_| PasswordError)?;
            composed
        };
        if composed.len() > Self::MAX_BYTES || composed.chars().count() > Self::MAX_LENGTH {
            return Err(PasswordError);
        }
        Ok(Self(composed))
    }

    /// The text, for hashing and for comparing a new password with the current one.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(redacted)")
    }
}

/// Which passwords may be chosen: long ones that are not guessed first. Which characters they have is nobody's business
/// (ASVS 6.2.5), and they do not age (ASVS 6.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The shortest password, in code points: 15 where it is all that a login asks for (NIST SP 800-63B-4 section
    /// 3.1.1.2), at least 8 otherwise (ASVS 6.2.1).
    pub min_length: usize,
}

/// Why a password may not be chosen. The texts are for the peer and repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// It has fewer code points than the policy asks for.
    #[error("the password is too short")]
    TooShort,
    /// It is among the first that are guessed.
    #[error("the password is one of those that are guessed first: a well-known one, or a repetition or a plain run")]
    Common,
    /// It is little more than names that everybody knows.
    #[error(
        "the password is too close to a name of its user or of this service: \
         without these it still needs 8 characters"
    )]
    Context,
}

impl PasswordFault {
    /// A word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::Common => "common",
            Self::Context => "context",
        }
    }
}

impl PasswordPolicy {
    /// The least `min_length` that is any good (ASVS 6.2.1).
    pub const LEAST_MIN_LENGTH: usize = 8;
    /// What `min_length` is where nobody says otherwise.
    pub const DEFAULT_MIN_LENGTH: usize = 15;

    /// Whether a password may be chosen by somebody whom `context` names: username, email address, the service's name.
    /// Each counts as a whole and in its parts between signs, so that an address stands for its local part and the
    /// labels of its domain; parts of fewer than three code points do not count.
    ///
    /// # Errors
    /// The first [`PasswordFault`] that it has.
    pub fn check(&self, password: &Password, context: &[&str]) -> Result<(), PasswordFault> {
        if password.expose().chars().count() < self.min_length {
            return Err(PasswordFault::TooShort);
        }
        let lowered = lower(password.expose());
        if common::is_common(&lowered) {
            return Err(PasswordFault::Common);
        }
        if is_named_after(&lowered, context) {
            return Err(PasswordFault::Context);
        }
        Ok(())
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: Self::DEFAULT_MIN_LENGTH }
    }
}

/// Code points in lower case. No code point has more than three in lower case, so the room is never outgrown.
fn lower(text: &str) -> Zeroizing<Vec<char>> {
    let mut lowered = Zeroizing::new(Vec::with_capacity(3 * text.chars().count()));
    lowered.extend(text.chars().flat_map(char::to_lowercase));
    lowered
}

const SHORTEST_WORD: usize = 3;
const MUST_BE_LEFT: usize = 8;

fn is_named_after(lowered: &[char], context: &[&str]) -> bool {
    let mut taken_out = [false; 3 * Password::MAX_LENGTH];
    for name in context {
        let parts = name.split(|character: char| !character.is_alphanumeric());
        for word in std::iter::once(*name).chain(parts).map(lower).filter(|word| word.len() >= SHORTEST_WORD) {
            for (start, window) in lowered.windows(word.len()).enumerate() {
                if window == word.as_slice() {
                    taken_out[start..start + word.len()].fill(true);
                }
            }
        }
    }
    let taken = taken_out.iter().filter(|taken| **taken).count();
    taken > 0 && lowered.len() - taken < MUST_BE_LEFT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text.to_owned()).unwrap()
    }

    fn fault(min_length: usize, text: &str, context: &[&str]) -> Option<PasswordFault> {
        PasswordPolicy { min_length }.check(&password(text), context).err()
    }

    #[test]
    fn asvs_6_2_8_a_password_is_kept_as_received_but_composed() {
        for text in ["  spaces around  ", "CaSe", "tab\tnew\nline", "nul\0nul", "", "\u{feff}x", "\u{2126}"] {
            let expected = if text == "\u{2126}" { "\u{3a9}" } else { text };
            assert_eq!(password(text).expose(), expected);
        }
        assert_eq!(password("pa\u{308}ss").expose(), password("p\u{e4}ss").expose());
        assert_eq!(password("\u{1112}\u{1161}\u{11ab}").expose(), "\u{d55c}");
        assert_ne!(password("\u{fb01}").expose(), password("fi").expose(), "compatibility forms are kept apart");
        assert_ne!(password("nul\0one").expose(), password("nul\0two").expose());
    }

    #[test]
    fn asvs_6_2_9_long_passwords_are_taken_and_none_is_cut_off() {
        for length in [64, 128, 256] {
            assert_eq!(password(&"a".repeat(length)).expose().len(), length);
            assert_eq!(password(&"\u{1f511}".repeat(length)).expose().len(), 4 * length);
        }
        for text in ["a".repeat(257), "\u{1f511}".repeat(257), "a".repeat(1_000_000)] {
            assert_eq!(Password::parse(text).err(), Some(PasswordError));
        }
    }

    #[test]
    fn the_limits_are_those_of_the_composed_form() {
        for decomposed in ["e\u{302}\u{301}", "\u{1112}\u{1161}\u{11ab}"] {
            assert_eq!(password(&decomposed.repeat(256)).expose().chars().count(), 256);
            assert_eq!(Password::parse(decomposed.repeat(257)).err(), Some(PasswordError));
        }
        // Some become longer.
        assert_eq!(Password::parse("\u{1d160}".repeat(86)).err(), Some(PasswordError));
        assert!(Password::parse("\u{1d160}".repeat(85)).is_ok());
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", password("hunter2-hunter2")), "Password(redacted)");
    }

    #[test]
    fn asvs_6_2_1_length_counts_code_points() {
        assert_eq!(fault(8, "k9$Wq2z", &[]), Some(PasswordFault::TooShort));
        assert_eq!(fault(8, "k9$Wq2z!", &[]), None);
        assert_eq!(fault(8, "\u{1f511}\u{1f40b}\u{e4}7\u{1f3b8}q\u{df}", &[]), Some(PasswordFault::TooShort));
        assert_eq!(fault(8, "\u{1f511}\u{1f40b}\u{e4}7\u{1f3b8}q\u{df}x", &[]), None);
        assert_eq!(PasswordPolicy::default().min_length, 15);
    }

    #[test]
    fn asvs_6_2_5_any_character_may_be_used_and_none_must() {
        for text in [
            "correct horse battery staple",
            "mellow lantern brook",
            "               k q             j z w v   x ",
            "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{43c}\u{438}\u{440} \u{432}\u{44f}\u{437}\u{44b}",
            "\u{1f511}\u{1f40b}\u{1f3b8}\u{1f335}\u{1f9ca}\u{1f680}\
             \u{1f3ba}\u{1f34b}\u{1f984}\u{1f9e9}\u{1f4ce}\u{1f9f2}\u{1f52d}\u{1fa90}\u{1f30b}",
            "94711 30282 6618",
            "gnawednulbytes\0x",
        ] {
            assert_eq!(fault(15, text, &["alice", "alice@example.org", "introspectd"]), None, "{text:?}");
        }
    }

    #[test]
    fn asvs_6_2_11_names_of_the_user_and_of_the_service_add_nothing() {
        let context = ["alice.liddell", "Alice.Liddell+news@wonderland.example.org", "Looking-Glass"];
        for text in [
            "alice.liddell1234!",
            "ALICEliddell2026",
            "liddellalicewonderland",
            "Wonderland-Liddell!",
            "looking-glass-1865",
            "LookingGlass86q7x",
            "alice1alice2alice3",
        ] {
            assert_eq!(fault(15, text, &context), Some(PasswordFault::Context), "{text}");
        }
        for text in ["alice eats mushrooms", "wonderland k9$Wq2z!", "looking back in anger"] {
            assert_eq!(fault(15, text, &context), None, "{text}");
        }
        assert_eq!(fault(15, "a mushroom of mine", &["a", "mu", "of"]), None, "two letters are no word");
        assert_eq!(fault(8, "k9$Wq2z!", &[""]), None);
        assert_eq!(fault(8, "\u{c4}pfelchen7", &["\u{e4}pfelchen"]), Some(PasswordFault::Context));
    }

    #[test]
    fn owasp_faults_say_nothing_of_the_password() {
        for text in ["hunter2", "password", "alicehunter2"] {
            let told = fault(8, text, &["alice"]).unwrap().to_string();
            assert!(!told.contains("hunter2") && !told.contains("alice"), "{told}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in any::<String>(), name in any::<String>()) {
            if let Ok(password) = Password::parse(text.clone()) {
                prop_assert!(password.expose().len() <= Password::MAX_BYTES);
                let again = Password::parse(password.expose().to_owned()).unwrap();
                prop_assert_eq!(again.expose(), password.expose());
                let _ = PasswordPolicy { min_length: 1 }.check(&password, &[&name, &text]);
            } else {
                prop_assert!(text.chars().count() > 85);
            }
        }

        #[test]
        fn long_texts_of_few_letters_are_no_stranger(text in "[a1\u{130}\u{308}\u{1d160}]{0,1100}") {
            if let Ok(password) = Password::parse(text) {
                let _ = PasswordPolicy { min_length: 8 }.check(&password, &["a1a", "i\u{307}"]);
            }
        }
    }
}

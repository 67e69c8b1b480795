//! Usernames and email addresses, and the one form in which each is unique.
//!
//! A name is shown as its user typed it and compared in its canonical form, which is ASCII: two names that look alike
//! because they borrow letters from two scripts cannot both exist. A username holds no `@` and an email address always
//! does, so that one field takes either at login.

use icu_normalizer::ComposingNormalizerBorrowed;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// Which of a user's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// The username.
    Username,
    /// The email address.
    Email,
}

/// A name in its canonical form: what a store keeps apart, and what nobody else can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueName<'a> {
    /// Which of a user's names it is.
    pub kind: NameKind,
    /// Its canonical form.
    pub canonical: &'a str,
}

/// Why a text is not a name. The texts are for the peer and repeat nothing of what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a username.
    #[error(
        "a username has 1 to 64 letters a-z, digits, dots, underscores and hyphens, \
         and begins and ends with a letter or digit"
    )]
    Username,
    /// More than an email address may have.
    #[error("an email address has at most 254 bytes, and 64 of them before the @")]
    EmailTooLong,
    /// What stands before the `@` is not a local part.
    #[error(
        "what stands before the @ of an email address has ASCII letters, digits, single dots between them, \
         and the signs !#$%&'*+-/=?^_`{{|}}~"
    )]
    LocalPart,
    /// What follows the `@` is not a domain.
    #[error("what follows the @ of an email address is a domain name of two or more labels, not an IP address")]
    Domain,
}

/// What a user chose to be called: 1 to 64 of `a-z 0-9 . _ -`, beginning and ending with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    shown: Box<str>,
    canonical: Box<str>,
}

impl Username {
    /// The longest username, in characters, each of which is one byte.
    pub const MAX_LENGTH: usize = 64;

    /// Reads a username. Compatibility forms such as full-width letters are taken for what they stand for (NFKC), and
    /// upper case is kept for showing only.
    ///
    /// # Errors
    /// [`NameError::Username`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // Every form that stands for a letter has at most four bytes: more cannot become a username.
        if text.len() > 4 * Self::MAX_LENGTH {
            return Err(NameError::Username);
        }
        let shown = ComposingNormalizerBorrowed::new_nfkc().normalize(text);
        if !is_username(&shown) {
            return Err(NameError::Username);
        }
        Ok(Self { canonical: shown.to_ascii_lowercase().into(), shown: shown.into() })
    }

    /// As the user typed it, for showing.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The form in which it is compared.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// What a store keeps apart.
    pub fn unique(&self) -> UniqueName<'_> {
        UniqueName { kind: NameKind::Username, canonical: &self.canonical }
    }
}

fn is_username(text: &str) -> bool {
    let bytes = text.as_bytes();
    let at_the_ends = [bytes.first(), bytes.last()];
    bytes.len() <= Username::MAX_LENGTH
        && at_the_ends.iter().all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

/// An email address (RFC 5321 section 4.1.2, without quoted local parts and address literals).
///
/// Hosts may tell cases of the local part apart, and none that people use does: it is shown as typed, which is where
/// mail goes, and compared in lower case. The domain is kept as the labels that the DNS knows (RFC 5890 A-labels).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    shown: Box<str>,
    canonical: Box<str>,
}

impl Email {
    /// The longest address, in bytes (RFC 5321 section 4.5.3.1.3, without its angle brackets).
    pub const MAX_BYTES: usize = 254;
    /// The longest local part, in bytes (RFC 5321 section 4.5.3.1.1).
    pub const MAX_LOCAL_BYTES: usize = 64;

    /// Reads an address.
    ///
    /// # Errors
    /// [`NameError`] of the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::MAX_BYTES {
            return Err(NameError::EmailTooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(NameError::Domain)?;
        if local.len() > Self::MAX_LOCAL_BYTES {
            return Err(NameError::EmailTooLong);
        }
        if !local.split('.').all(is_atom) {
            return Err(NameError::LocalPart);
        }
        let domain = Uts46::new()
            .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| NameError::Domain)?;
        // No top level domain begins with a digit, and the last part of an IPv4 address does.
        let top = domain.rsplit_once('.').map(|(_, top)| top).ok_or(NameError::Domain)?;
        if !top.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Err(NameError::Domain);
        }
        // A-labels can be longer than the labels they stand for.
        if local.len() + 1 + domain.len() > Self::MAX_BYTES {
            return Err(NameError::EmailTooLong);
        }
        let shown = format!("{local}@{domain}");
        Ok(Self { canonical: shown.to_ascii_lowercase().into(), shown: shown.into() })
    }

    /// The local part as the user typed it, at the domain's A-labels: for showing, and for sending mail.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The form in which it is compared.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// What a store keeps apart.
    pub fn unique(&self) -> UniqueName<'_> {
        UniqueName { kind: NameKind::Email, canonical: &self.canonical }
    }
}

/// RFC 5322 section 3.2.3: `1*atext`.
fn is_atom(text: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_atext)
}

/// What somebody types where a username or an email address is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginName {
    /// It has no `@`.
    Username(Username),
    /// It has one.
    Email(Email),
}

impl LoginName {
    /// Reads either; `None` for what nobody can be called.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            Email::parse(text).ok().map(Self::Email)
        } else {
            Username::parse(text).ok().map(Self::Username)
        }
    }

    /// What to look for in the store.
    pub fn unique(&self) -> UniqueName<'_> {
        match self {
            Self::Username(username) => username.unique(),
            Self::Email(email) => email.unique(),
        }
    }

    /// Under which name attempts with this text are counted, whether or not anybody has it or could have it: the
    /// canonical form, or a digest of what has none. At most [`Email::MAX_BYTES`] bytes.
    pub fn throttle_key(text: &str) -> Box<str> {
        match Self::parse(text) {
            Some(name) => name.unique().canonical.into(),
            // No name has a space, so that this is nobody's.
            None => format!("no name {}", blake3::hash(text.as_bytes()).to_hex()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usernames_are_shown_as_typed_and_compared_in_lower_case() {
        for (typed, shown, canonical) in [
            ("Alice", "Alice", "alice"),
            ("a", "a", "a"),
            ("A.b_c-9", "A.b_c-9", "a.b_c-9"),
            ("\u{ff21}lice\u{ff11}", "Alice1", "alice1"),
            ("\u{212a}elvin", "Kelvin", "kelvin"),
            ("\u{fb01}sh", "fish", "fish"),
        ] {
            let username = Username::parse(typed).unwrap();
            assert_eq!((username.shown(), username.canonical()), (shown, canonical));
            assert_eq!(username.unique(), UniqueName { kind: NameKind::Username, canonical });
        }
        assert!(Username::parse(&"a".repeat(64)).is_ok());
        assert!(Username::parse(&"\u{ff41}".repeat(64)).is_ok());
    }

    #[test]
    fn what_could_be_confused_or_escape_is_no_username() {
        let too_long = ["a".repeat(65), "\u{ff41}".repeat(65), "a".repeat(1_000_000), "\u{fdfa}".repeat(64)];
        let wrong = [
            "",
            " ",
            ".",
            "-a",
            "a-",
            "_a",
            "a.",
            "al ice",
            " alice",
            "alice\n",
            "a\0b",
            "al/ice",
            "a@b",
            "a\u{ff20}b",
            "\u{430}lice",
            "alic\u{e9}",
            "\u{130}lk",
            "al\u{200b}ice",
            "alice\u{202e}",
            "\u{2460}\u{308}",
        ];
        for text in wrong.into_iter().chain(too_long.iter().map(String::as_str)) {
            assert_eq!(Username::parse(text), Err(NameError::Username), "{text:?}");
        }
    }

    #[test]
    fn rfc5321_addresses_are_compared_in_lower_case_at_the_labels_of_the_dns() {
        for (typed, shown, canonical) in [
            ("Alice@Example.ORG", "Alice@example.org", "alice@example.org"),
            ("a+b@example.org", "a+b@example.org", "a+b@example.org"),
            ("O'Neil.Jr@mail.example.co", "O'Neil.Jr@mail.example.co", "o'neil.jr@mail.example.co"),
            ("j@b\u{fc}cher.example", "j@xn--bcher-kva.example", "j@xn--bcher-kva.example"),
            ("j@bu\u{308}cher.example", "j@xn--bcher-kva.example", "j@xn--bcher-kva.example"),
            ("j@XN--BCHER-KVA.example", "j@xn--bcher-kva.example", "j@xn--bcher-kva.example"),
            ("j@example\u{3002}org", "j@example.org", "j@example.org"),
            ("j@\u{ff45}xample.org", "j@example.org", "j@example.org"),
        ] {
            let email = Email::parse(typed).unwrap();
            assert_eq!((email.shown(), email.canonical()), (shown, canonical));
            assert_eq!(email.unique(), UniqueName { kind: NameKind::Email, canonical });
        }
    }

    #[test]
    fn rfc5321_what_is_no_address_is_refused_by_its_part() {
        let long_domain = format!("a@{}example.org", "a.".repeat(121));
        assert_eq!(long_domain.len(), 255);
        let wide_labels = format!("a@{}org", "\u{fc}.".repeat(80));
        for (text, error) in [
            (long_domain.as_str(), NameError::EmailTooLong),
            (wide_labels.as_str(), NameError::Domain),
            (&format!("{}@example.org", "a".repeat(65)), NameError::EmailTooLong),
            ("", NameError::Domain),
            ("example.org", NameError::Domain),
            ("@example.org", NameError::LocalPart),
            ("a b@example.org", NameError::LocalPart),
            ("a..b@example.org", NameError::LocalPart),
            (".a@example.org", NameError::LocalPart),
            ("a.@example.org", NameError::LocalPart),
            ("\"a b\"@example.org", NameError::LocalPart),
            ("a@b@example.org", NameError::LocalPart),
            ("a,b@example.org", NameError::LocalPart),
            ("a\r\nBcc: x@example.org", NameError::LocalPart),
            ("\u{430}@example.org", NameError::LocalPart),
            ("a@", NameError::Domain),
            ("a@localhost", NameError::Domain),
            ("a@example.org.", NameError::Domain),
            ("a@.example.org", NameError::Domain),
            ("a@-example.org", NameError::Domain),
            ("a@exa_mple.org", NameError::Domain),
            ("a@exa mple.org", NameError::Domain),
            ("a@example.org\n", NameError::Domain),
            ("a@[127.0.0.1]", NameError::Domain),
            ("a@[IPv6:::1]", NameError::Domain),
            ("a@127.0.0.1", NameError::Domain),
            ("a@1.0x7f", NameError::Domain),
            ("a@xn--\u{0}.org", NameError::Domain),
            (&format!("a@{}.org", "b".repeat(64)), NameError::Domain),
        ] {
            assert_eq!(Email::parse(text), Err(error), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@example.org", "a".repeat(64))).is_ok());
        assert!(Email::parse(&long_domain.replacen("a.", "", 1)).is_ok());
    }

    #[test]
    fn one_field_takes_either_name_and_never_mistakes_one_for_the_other() {
        let unique = |text| LoginName::parse(text).map(|name| (name.unique().kind, name.unique().canonical.to_owned()));
        assert_eq!(unique("Alice"), Some((NameKind::Username, "alice".to_owned())));
        assert_eq!(unique("Alice@Example.org"), Some((NameKind::Email, "alice@example.org".to_owned())));
        for text in ["", "alice@", "a\u{ff20}example.org", "no name", &"a".repeat(100_000)] {
            assert_eq!(unique(text), None);
        }
    }

    #[test]
    fn owasp_every_text_has_a_bounded_name_to_count_attempts_under() {
        assert_eq!(LoginName::throttle_key("ALICE"), LoginName::throttle_key("\u{ff41}lice"));
        assert_eq!(LoginName::throttle_key("A@B\u{3002}example"), LoginName::throttle_key("a@b.example"));
        let (one, other) = ("a".repeat(100_000), "a".repeat(100_001));
        assert_eq!(LoginName::throttle_key(&one), LoginName::throttle_key(&one));
        assert_ne!(LoginName::throttle_key(&one), LoginName::throttle_key(&other));
        assert!(LoginName::throttle_key(&one).len() <= Email::MAX_BYTES);
        assert_eq!(LoginName::parse(&LoginName::throttle_key(&one)), None);
    }

    proptest! {
        #[test]
        fn the_canonical_form_of_a_username_is_its_own(
            text in "[a-zA-Z0-9._\u{ff21}-\u{ff3a}\u{1d400}-\u{1d433}-]{1,70}|\\PC{0,20}"
        ) {
            if let Ok(username) = Username::parse(&text) {
                for form in [username.canonical(), username.shown()] {
                    let again = Username::parse(form).unwrap();
                    prop_assert_eq!(again.canonical(), username.canonical());
                    prop_assert_eq!(again.shown(), form);
                }
                prop_assert!(username.canonical().len() <= Username::MAX_LENGTH);
            }
        }

        #[test]
        fn the_canonical_form_of_an_address_is_its_own(
            local in "[a-zA-Z0-9.+]{1,10}",
            domain in "[a-zA-Z\u{df}-\u{ff}\u{3b1}-\u{3c9}\u{5d0}-\u{5ea}-]{1,20}\\.[a-z]{2,5}|\\PC{0,20}"
        ) {
            if let Ok(email) = Email::parse(&format!("{local}@{domain}")) {
                for form in [email.canonical(), email.shown()] {
                    let again = Email::parse(form).unwrap();
                    prop_assert_eq!(again.canonical(), email.canonical());
                    prop_assert_eq!(again.shown(), form);
                }
            }
        }
    }
}

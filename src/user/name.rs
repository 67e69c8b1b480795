//! Usernames and email addresses, and the one form in which each is unique.

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

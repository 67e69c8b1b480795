//! What is kept of a user: one document, replaced as a whole.

use serde::{Deserialize, Serialize};

use super::hash::PasswordHash;
use super::name::{Email, NameKind, UniqueName, Username};
use crate::client::ClientId;
use crate::token::digest::GrantId;
use crate::token::time::UnixSeconds;

/// A user. A member that is not known is passed over: a newer node may have written it, and beside it an older one must
/// not take the whole record for damage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The username.
    pub username: StoredName,
    /// The email address.
    pub email: StoredName,
    /// What is kept of the password.
    pub password: PasswordHash,
    /// When that was set.
    pub password_set_at: UnixSeconds,
    /// When the account was made.
    pub created_at: UnixSeconds,
    /// Whether it can be used.
    #[serde(default)]
    pub state: UserState,
    /// Where the user is logged in, oldest first. One that has ended may still be among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
}

/// A name as its owner wrote it and as it is unique. Both are kept, so that what a name is does not hang on how names
/// are read one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredName {
    /// For people.
    pub shown: Box<str>,
    /// For comparing.
    pub canonical: Box<str>,
}

impl From<&Username> for StoredName {
    fn from(name: &Username) -> Self {
        Self { shown: name.shown().into(), canonical: name.canonical().into() }
    }
}

impl From<&Email> for StoredName {
    fn from(email: &Email) -> Self {
        Self { shown: email.shown().into(), canonical: email.canonical().into() }
    }
}

/// Whether a user can log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserState {
    /// Yes.
    #[default]
    Active,
    /// Not until an operator says otherwise.
    Disabled,
    /// Never again: what is left is about to be removed.
    Deleted,
}

/// Where a user is logged in: a grant of a first-party client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its grant, which names it.
    #[serde(with = "grant_text")]
    pub grant: GrantId,
    /// The client.
    pub client_id: ClientId,
    /// When the user logged in.
    pub created_at: UnixSeconds,
    /// When it ends, however often it is refreshed.
    pub expires_at: UnixSeconds,
    /// What the program said that it is, for the user to know it again: printable ASCII, cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Box<str>>,
}

impl Session {
    /// How much of a user agent is kept, in bytes.
    pub const MAX_USER_AGENT_BYTES: usize = 160;
}

impl User {
    /// The names that nobody else has.
    pub fn names(&self) -> [UniqueName<'_>; 2] {
        [
            UniqueName { kind: NameKind::Username, canonical: &self.username.canonical },
            UniqueName { kind: NameKind::Email, canonical: &self.email.canonical },
        ]
    }

    /// Whether the user may do what needs a session.
    pub fn is_active(&self) -> bool {
        self.state == UserState::Active
    }
}

mod grant_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::token::digest::GrantId;

    pub(super) fn serialize<S: Serializer>(grant: &GrantId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(grant.to_text().as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GrantId, D::Error> {
        let text = Box::<str>::deserialize(deserializer)?;
        GrantId::from_text(&text).ok_or_else(|| de::Error::custom("not the id of a grant"))
    }
}

//! First-party accounts: making them, sessions, passwords, and what operators do to them.
//!
//! - [`register`] a new user
//! - [`session`] opening one, and ending it; [`overview`] those that a user has
//! - [`password`] changing it; [`status`] disabling, enabling and deleting
//!
//! Whoever ends the sessions of a user writes the epoch first and the record then, and does both again when the record
//! was another by then. So whatever happens in between, sessions end and nothing else is changed, never the other way
//! round. A login, the other way round, makes its tokens first and lists them in the record then: it goes wrong when
//! the record is another by then, and the epoch of whoever changed it covers what it made.

pub mod overview;
pub mod password;
pub mod register;
pub mod session;
pub mod status;

use bytes::Bytes;

use super::Service;
use super::hashing::{Busy, HashingPool, Priority};
use crate::config::{AccountsConfig, Registration};
use crate::store::{DocumentWrite, StoreError, StoreErrorKind, UserDocument};
use crate::token::time::Stamp;
use crate::user::hash::{HashParameters, PasswordHash};
use crate::user::id::UserId;
use crate::user::password::{Password, PasswordPolicy};
use crate::user::record::User;

/// What accounts need beside the rest of the service.
#[derive(Debug)]
pub struct Accounts {
    /// Where passwords are hashed: a pool of its own, so that logins cannot keep clients waiting, and in the background,
    /// since logins are to be slow before introspection is.
    pub hashing: HashingPool,
    /// What passwords are hashed with from now on.
    pub parameters: HashParameters,
    /// What a password must be like.
    pub policy: PasswordPolicy,
    /// Who makes accounts.
    pub registration: Registration,
    /// How many sessions a user has at most.
    pub max_sessions: usize,
    /// Words that stand for this service, and make a password easy to guess.
    pub service_words: Vec<String>,
}

impl Accounts {
    /// What the configuration asks for; `None` when there are to be no accounts.
    ///
    /// # Errors
    /// When the operating system has no threads for hashing.
    pub fn new(config: &AccountsConfig, issuer: &str) -> std::io::Result<Option<Self>> {
        if !config.enabled {
            return Ok(None);
        }
        Ok(Some(Self {
            hashing: HashingPool::new(config.hashing_threads, config.hashing_queue, Priority::Background)?,
            parameters: config.hash,
            policy: PasswordPolicy { min_length: config.password_min_length },
            registration: config.registration,
            max_sessions: config.max_sessions,
            service_words: service_words(issuer),
        }))
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`AccountError::Busy`] when too many are waiting.
    pub(super) async fn hash(&self, password: Password) -> Result<PasswordHash, AccountError> {
        let parameters = self.parameters;
        let hashed = self.hashing.run(move |memory| PasswordHash::of(&password, &parameters, memory)).await?;
        hashed.map_err(|error| AccountError::Internal(error.to_string()))
    }
}

/// The labels of the host of the issuer, and our own name.
fn service_words(issuer: &str) -> Vec<String> {
    let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    host.split('.').chain(["introspectd"]).map(str::to_ascii_lowercase).collect()
}

/// A user as the store has it now.
#[derive(Clone, Debug)]
pub struct KnownUser {
    /// Who it is.
    pub id: UserId,
    /// What is kept.
    pub user: User,
    version: u64,
    created: Stamp,
}

impl KnownUser {
    /// Reads what the store has.
    ///
    /// # Errors
    /// A damaged record.
    pub fn read(id: UserId, document: &UserDocument) -> Result<Self, StoreError> {
        let user = serde_json::from_slice(&document.body).map_err(|error| {
            // Without quoting what was read: it holds a hash.
            let detail = format!("the record of a user does not parse: {:?}", error.classify());
            StoreError::new(StoreErrorKind::Damaged, detail)
        })?;
        Ok(Self { id, user, version: document.version, created: document.created })
    }
}

/// Why an account, a session or a password was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such user, or none that may do this: one answer for all reasons.
    #[error("there is no such user")]
    Unknown,
    /// The username is another user's.
    #[error("the username is taken")]
    UsernameTaken,
    /// The email address is another user's.
    #[error("the email address is taken")]
    EmailTaken,
    /// Too many hashes are waiting.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// No token could be made.
    #[error(transparent)]
    Issue(#[from] super::issue::IssueError),
    /// Something that should not fail did.
    #[error("{0}")]
    Internal(String),
    /// It cannot be said that it was kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a change of a record is tried that another one overtakes.
const ATTEMPTS: usize = 20;

impl Service {
    /// The user of this id; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user(&self, id: UserId) -> Result<Option<KnownUser>, StoreError> {
        self.store.user(id).await?.map(|document| KnownUser::read(id, &document)).transpose()
    }

    /// Changes the record of a user, however many others change it at the same time; `change` says what it is to be, or
    /// `None` when that is what it is.
    async fn change_user(&self, id: UserId, change: impl Fn(&User) -> Option<User>) -> Result<KnownUser, AccountError> {
        for _ in 0..ATTEMPTS {
            let known = self.user(id).await?.ok_or(AccountError::Unknown)?;
            let Some(changed) = change(&known.user) else { return Ok(known) };
            if let Some(written) = self.replace_user(&known, changed).await? {
                return Ok(written);
            }
        }
        Err(kept_changing())
    }

    /// Puts another record in the place of the one that was read; `None` when there is another by now.
    async fn replace_user(&self, known: &KnownUser, user: User) -> Result<Option<KnownUser>, StoreError> {
        let &KnownUser { id, version, created, .. } = known;
        let written = self.store.replace_user(id, version, created, to_bytes(&user)).await?;
        Ok(match written {
            DocumentWrite::Done { version } => Some(KnownUser { id, user, version, created }),
            DocumentWrite::Conflict => None,
        })
    }
}

/// What is said after that many attempts.
fn kept_changing() -> AccountError {
    StoreError::new(StoreErrorKind::Unavailable, "the record of a user kept changing").into()
}

fn to_bytes(user: &User) -> Bytes {
    serde_json::to_vec(user).expect("the record of a user has only text keys").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_service_are_those_of_its_host() {
        assert_eq!(service_words("https://login.Example.com:8443/x"), ["login", "example", "com", "introspectd"]);
    }
}

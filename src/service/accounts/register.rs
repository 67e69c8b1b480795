//! New users.

use super::{AccountError, KnownUser, to_bytes};
use crate::service::Service;
use crate::store::{StoreError, StoreErrorKind, UserCreation};
use crate::token::time::Now;
use crate::user::id::UserId;
use crate::user::name::{Email, NameKind, Username};
use crate::user::password::{Password, PasswordFault};
use crate::user::record::{User, UserState};

/// A user to be made.
#[derive(Debug)]
pub struct NewUser {
    /// The username.
    pub username: Username,
    /// The email address.
    pub email: Email,
    /// The password.
    pub password: Password,
}

impl Service {
    /// Whether a password will do for a user of these names (ASVS 5.0 section 6.2).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_password(&self, password: &Password, username: &str, email: &str) -> Result<(), PasswordFault> {
        let Some(accounts) = &self.accounts else { return Ok(()) };
        let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
        let context: Vec<&str> = [username, local]
            .into_iter()
            .chain(domain.split('.'))
            .chain(accounts.service_words.iter().map(String::as_str))
            .collect();
        accounts.policy.check(password, &context)
    }

    /// Makes a user whose password has been checked. It is hashed before it is known whether the names are free, so that
    /// it takes as long when they are not.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn register(&self, new: NewUser, now: Now) -> Result<KnownUser, AccountError> {
        let accounts = self.accounts.as_ref().ok_or(AccountError::Unknown)?;
        let password = accounts.hash(new.password).await?;
        let id = UserId::generate().map_err(|error| AccountError::Internal(error.to_string()))?;
        let user = User {
            username: (&new.username).into(),
            email: (&new.email).into(),
            password,
            password_set_at: now.seconds(),
            created_at: now.seconds(),
            state: UserState::Active,
            sessions: Vec::new(),
        };
        match self.store.create_user(id, user.names(), to_bytes(&user), now).await? {
            UserCreation::Done { .. } => {}
            UserCreation::Taken(NameKind::Username) => return Err(AccountError::UsernameTaken),
            UserCreation::Taken(NameKind::Email) => return Err(AccountError::EmailTaken),
        }
        tracing::info!(user = %id.to_text(), "a user was registered");
        // What the store stamped it with is told by reading it.
        let lost = || StoreError::new(StoreErrorKind::Unavailable, "a user who was just created is not there");
        Ok(self.user(id).await?.ok_or_else(lost)?)
    }
}

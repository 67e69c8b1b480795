//! Another password: every session and token of the user ends with the old one.

use std::sync::Arc;

use super::{AccountError, KnownUser};
use crate::service::Service;
use crate::token::record::Reason;
use crate::token::time::Now;
use crate::user::hash::PasswordHash;
use crate::user::id::UserId;
use crate::user::password::Password;
use crate::user::record::User;

impl Service {
    /// Sets a password that has been checked, and ends every session and token of the user.
    ///
    /// With `verified`, only if the password still is the one that its owner has shown to know: of two changes at the
    /// same time, one succeeds. An operator sets it whatever it was.
    ///
    /// # Errors
    /// [`AccountError::Unknown`] when it is another by now, or there is no such user.
    pub async fn set_password(
        self: &Arc<Self>,
        id: UserId,
        verified: Option<PasswordHash>,
        password: Password,
        now: Now,
    ) -> Result<KnownUser, AccountError> {
        let accounts = self.accounts.as_ref().ok_or(AccountError::Unknown)?;
        let hash = accounts.hash(password).await?;
        let expected = hash.clone();
        let change = move |user: &User| {
            let unchanged = verified.as_ref().is_none_or(|verified| user.is_active() && user.password == *verified);
            unchanged.then(|| User { password: hash.clone(), password_set_at: now.seconds(), ..user.clone() })
        };
        let written = self.end_all_and_change(id, Reason::PASSWORD_CHANGED, change, now).await?;
        if written.user.password != expected {
            return Err(AccountError::Unknown);
        }
        tracing::info!(user = %id.to_text(), "a password was changed");
        Ok(written)
    }
}

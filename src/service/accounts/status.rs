//! What operators do to users: disabling, enabling, deleting.

use std::sync::Arc;

use super::{AccountError, KnownUser};
use crate::service::Service;
use crate::token::record::Reason;
use crate::token::time::Now;
use crate::user::id::UserId;
use crate::user::record::{User, UserState};

impl Service {
    /// Lets a user log in again, or not any more: then every session and token of it ends. `false` when that was so
    /// already.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_user_state(self: &Arc<Self>, id: UserId, enabled: bool, now: Now) -> Result<bool, AccountError> {
        let before = self.listed(id).await?;
        let state = if enabled { UserState::Active } else { UserState::Disabled };
        let change = move |user: &User| (user.state != UserState::Deleted).then(|| User { state, ..user.clone() });
        if enabled {
            self.change_user(id, change).await?;
        } else {
            // Also when it is disabled already: whoever asks wants to be sure that nothing of it is alive.
            self.end_all_and_change(id, Reason::BULK, change, now).await?;
        }
        tracing::info!(user = %id.to_text(), enabled, "a user was enabled or disabled");
        Ok(before.user.state != state)
    }

    /// Deletes a user: every session and token of it ends, and its names are free again.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn delete_user(self: &Arc<Self>, id: UserId, now: Now) -> Result<(), AccountError> {
        // First so that nobody logs in any more: what is cut off here is carried on by deleting once more.
        let change = |user: &User| Some(User { state: UserState::Deleted, ..user.clone() });
        let known = self.end_all_and_change(id, Reason::BULK, change, now).await?;
        self.store.delete_user(id, known.user.names()).await?;
        tracing::info!(user = %id.to_text(), "a user was deleted");
        Ok(())
    }

    /// The user of this id, unless it is being deleted.
    ///
    /// # Errors
    /// [`AccountError::Unknown`].
    pub async fn listed(&self, id: UserId) -> Result<KnownUser, AccountError> {
        let known = self.user(id).await?.filter(|known| known.user.state != UserState::Deleted);
        known.ok_or(AccountError::Unknown)
    }
}

//! Revoking many tokens at once: one write, whatever their number.

use super::{Service, kept_until};
use crate::config::TokensConfig;
use crate::store::StoreError;
use crate::token::epoch::EpochAxis;
use crate::token::record::Reason;
use crate::token::time::{Now, Stamp, UnixSeconds};

impl Service {
    /// Revokes, for good, every token of an axis that was taken in before `before`, or up to now. Tokens that a refresh
    /// token was exchanged for count as taken in when their grant was. `false` when all of that was revoked already.
    ///
    /// What is issued after this has returned is not touched.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be said that the tokens are revoked.
    pub async fn revoke_all(
        &self,
        axis: EpochAxis<'_>,
        before: Option<UnixSeconds>,
        reason: Reason,
        now: Now,
    ) -> Result<bool, StoreError> {
        let until = match before {
            None => None,
            Some(second) => {
                let until = Stamp(second.milliseconds().saturating_mul(1000).saturating_sub(1));
                // Our clock may be ahead of the one that stamps, and what is still to come must not be covered.
                Some(until.min(self.store.clock(now).await?))
            }
        };
        self.revoke_until(axis, until, reason, now).await
    }

    /// The same up to a moment of the store's own clock; without one, up to now.
    pub(super) async fn revoke_until(
        &self,
        axis: EpochAxis<'_>,
        until: Option<Stamp>,
        reason: Reason,
        now: Now,
    ) -> Result<bool, StoreError> {
        // Nothing that was issued so far lives longer, even if it was issued when a longer lifetime was allowed than
        // now.
        let keep_until = kept_until(now.seconds().plus(TokensConfig::LONGEST_LIFETIME.as_secs()));
        let changed = self.store.raise_epoch(axis, until, reason, keep_until, now).await?;
        // Also when somebody else had revoked all of that just now.
        self.store.visible().await?;
        Ok(changed)
    }
}

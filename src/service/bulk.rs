//! Revoking many tokens at once: one write, whatever their number.

use super::{Service, kept_until};
use crate::store::StoreError;
use crate::token::epoch::EpochAxis;
use crate::token::record::Reason;
use crate::token::time::{Now, Stamp, UnixSeconds};

impl Service {
    /// Revokes, for good, every token of an axis that was taken in before `before`, or up to now. Tokens that a refresh token
    /// was exchanged for count as taken in when their grant was. `false` when all of that was revoked already.
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
        let until = before.map(|second| Stamp(second.milliseconds().saturating_mul(1000).saturating_sub(1)));
        // Nothing that was issued so far lives longer.
        let keep_until = kept_until(now.seconds().plus(self.tokens.max_lifetime.as_secs()));
        self.store.raise_epoch(axis, until, reason, keep_until, now).await
    }
}

//! What a caller may see of a token (RFC 7662).

use super::Service;
use super::lookup::ActiveToken;
use crate::client::Client;
use crate::client::policy;
use crate::store::StoreError;
use crate::token::answer;
use crate::token::decision::Inactive;
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::token::value::Presented;

impl Service {
    /// The answer for this caller: the rendered body for an active token, else the reason, which is for counting only.
    ///
    /// It changes nothing: no lifetime, no state (RFC 7662 asks a question). Safe to drop at any point.
    ///
    /// # Errors
    /// [`StoreError`] when the state could not be read.
    pub async fn introspect(
        &self,
        caller: &Client,
        presented: Presented<'_>,
        now: Now,
    ) -> Result<Result<Vec<u8>, Inactive>, StoreError> {
        Ok(self.lookup(presented, now).await?.and_then(|token| {
            let scope = policy::visible_scope(caller, &token.record).ok_or(Inactive::NotForCaller)?;
            Ok(self.render(&token, &scope))
        }))
    }

    fn render(&self, token: &ActiveToken, scope: &Scope) -> Vec<u8> {
        answer::render(token.digest, &token.record, scope, &self.issuer)
    }
}

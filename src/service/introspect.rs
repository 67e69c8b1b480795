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

/// What a caller wants to be checked or told beyond RFC 7662. Nothing, by default.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The token must carry all of this scope, as far as the caller may see it.
    pub scope: Scope,
    /// The token must be made for this audience.
    pub audience: Option<&'a str>,
    /// `active` is all that is asked.
    pub minimal: bool,
    /// For how many seconds the token is active.
    pub expires_in: bool,
}

/// The answer for an active token.
#[derive(Clone, Debug)]
pub struct ActiveAnswer {
    /// The rendered body.
    pub body: Vec<u8>,
    /// The token that it is about.
    pub token: ActiveToken,
}

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
        wanted: &Wanted<'_>,
        now: Now,
    ) -> Result<Result<ActiveAnswer, Inactive>, StoreError> {
        Ok(self.lookup(presented, now).await?.and_then(|token| {
            let scope = policy::visible_scope(caller, &token.record).ok_or(Inactive::NotForCaller)?;
            let intended = |audience: &str| token.record.audience.iter().any(|name| **name == *audience);
            if !wanted.scope.is_subset_of(&scope) || wanted.audience.is_some_and(|audience| !intended(audience)) {
                return Err(Inactive::Insufficient);
            }
            let mut body = if wanted.minimal {
                answer::ACTIVE.to_vec()
            } else {
                answer::render(&token.identity, &token.record, &scope, &self.issuer)
            };
            if wanted.expires_in {
                body = answer::with_expires_in(body, token.record.expires_at.since(now.seconds()));
            }
            drop(scope);
            Ok(ActiveAnswer { body, token })
        }))
    }
}

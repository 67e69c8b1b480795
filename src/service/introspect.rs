//! What a caller may see of a token (RFC 7662).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Service;
use super::lookup::{ActiveToken, Found, Freshness};
use crate::client::Client;
use crate::client::policy;
use crate::store::StoreError;
use crate::token::answer;
use crate::token::decision::Inactive;
use crate::token::keyring::Candidates;
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::token::value::Presented;

/// How many tokens of a batch are read at the same time: as many as travel together to the store anyway.
const READS_AT_ONCE: usize = 64;

/// How many tokens of all batches are read at the same time. What waits for the store is bounded, and whoever asks about
/// thousands must leave room there for those who ask about one.
pub const BATCH_READS: usize = 256;

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
    /// Where the answer may come from.
    pub freshness: Freshness,
}

impl Wanted<'_> {
    /// Whether the usual answer is asked for, which is the same as long as the token is.
    fn is_usual(&self) -> bool {
        self.scope.is_empty() && self.audience.is_none() && !self.minimal && !self.expires_in
    }
}

/// The answer for an active token.
#[derive(Clone, Debug)]
pub struct ActiveAnswer {
    /// The rendered body.
    pub body: Bytes,
    /// The token that it is about.
    pub token: Arc<ActiveToken>,
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
        let Found { token, remembered } = match self.find(presented, wanted.freshness, now).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let remembered = remembered.filter(|_| wanted.is_usual());
        if let Some((_, kept)) = &remembered
            && let Some(body) = kept.value.body_for(caller)
        {
            return Ok(Ok(ActiveAnswer { body, token }));
        }
        let body = match self.render(caller, &token, wanted, now) {
            Ok(body) => body,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some((key, kept)) = &remembered {
            self.remembered.keep_body(*key, kept, caller, &body);
        }
        Ok(Ok(ActiveAnswer { body, token }))
    }

    /// The answers about many tokens, in their order, as of [`Service::introspect`].
    ///
    /// What is remembered is answered first and at once; what has to be read is read together.
    ///
    /// # Errors
    /// [`StoreError`] when the state of one of them could not be read.
    pub async fn introspect_all(
        &self,
        caller: &Client,
        presented: &[Presented<'_>],
        wanted: &Wanted<'_>,
        now: Now,
    ) -> Result<Vec<Result<Bytes, Inactive>>, StoreError> {
        let mut answers: Vec<_> =
            presented.iter().map(|presented| self.remembered_answer(caller, *presented, wanted, now)).collect();
        let missing: Vec<_> = (0..answers.len()).filter(|place| answers[*place].is_none()).collect();
        let read = missing.clone().into_iter().map(async |place| {
            // Signatures are slow to check, and others wait for this thread.
            tokio::task::coop::consume_budget().await;
            let _turn = self.batch_reads.acquire().await;
            self.introspect(caller, presented[place], wanted, now).await
        });
        let read: Vec<_> = stream::iter(read).buffered(READS_AT_ONCE).try_collect().await?;
        for (place, answer) in missing.into_iter().zip(read) {
            answers[place] = Some(answer.map(|active| active.body));
        }
        Ok(answers.into_iter().map(|answer| answer.expect("what was missing has been read")).collect())
    }

    /// The answer about an opaque token of ours, if it is remembered.
    fn remembered_answer(
        &self,
        caller: &Client,
        presented: Presented<'_>,
        wanted: &Wanted<'_>,
        now: Now,
    ) -> Option<Result<Bytes, Inactive>> {
        if wanted.freshness == Freshness::Read || !wanted.is_usual() {
            return None;
        }
        let Candidates::One(digest) = self.keys.recognise(presented) else { return None };
        let kept = self.remembered.get(digest)?;
        match kept.value.judge(now)? {
            Ok(_) => kept.value.body_for(caller).map(Ok),
            Err(reason) => Some(Err(reason)),
        }
    }

    fn render(&self, caller: &Client, token: &ActiveToken, wanted: &Wanted<'_>, now: Now) -> Result<Bytes, Inactive> {
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
        // Exactly as large as it is: it may be kept.
        Ok(body.into_boxed_slice().into())
    }
}

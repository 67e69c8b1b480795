//! Which sessions a user has.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{AccountError, KnownUser};
use crate::service::Service;
use crate::service::lookup::Freshness;
use crate::store::StoreError;
use crate::token::decision::decide;
use crate::token::identity::Identity;
use crate::token::time::{Now, UnixSeconds};
use crate::user::record::Session;

/// How many sessions are looked up at the same time.
const READS_AT_ONCE: usize = 8;

/// A session that is alive.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// What is kept of it.
    pub session: Session,
    /// When it was refreshed last; when the user logged in, if never.
    pub refreshed_at: UnixSeconds,
}

impl Service {
    /// The sessions of a user that are alive, oldest first.
    ///
    /// One that has ended otherwise than by its user, as by reuse of a refresh token, is still in the record: so each is
    /// looked up, at most as many as a user may have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_sessions(self: &Arc<Self>, known: &KnownUser, now: Now) -> Result<Vec<LiveSession>, StoreError> {
        let sessions: Vec<Session> = known.user.sessions.clone();
        let found = sessions.into_iter().map(|session| self.live(session, now));
        let live: Vec<Option<LiveSession>> = stream::iter(found).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(live.into_iter().flatten().collect())
    }

    async fn live(self: &Arc<Self>, session: Session, now: Now) -> Result<Option<LiveSession>, StoreError> {
        let Some(grant) = self.store.grant(session.grant).await? else { return Ok(None) };
        let identity = Identity::Refresh { grant: session.grant, digest: grant.current };
        let surrounded = self.surround(&identity, grant.token.clone(), Freshness::Read).await?;
        let is_live = decide(grant.current, &surrounded.record, &surrounded.parents, now.seconds()).is_ok();
        Ok(is_live.then_some(LiveSession { session, refreshed_at: grant.rotated_at }))
    }

    /// The user of this id, if it is one who may do something.
    ///
    /// # Errors
    /// [`AccountError::Unknown`] for everybody else.
    pub async fn active_user(&self, id: crate::user::id::UserId) -> Result<KnownUser, AccountError> {
        self.user(id).await?.filter(|known| known.user.is_active()).ok_or(AccountError::Unknown)
    }
}

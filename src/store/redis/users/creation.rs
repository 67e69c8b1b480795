//! How a user comes to be: both names and the record, or nothing.
//!
//! 1. Both names are claimed, for a while. One that somebody else has ends it. One that somebody else claims is waited
//!    for a little: either it becomes theirs, or it is free again. Where it does not come to either, it is not known
//!    whether it is taken.
//! 2. The record is kept, for a while, and under a version that nobody is shown.
//! 3. Both names become this user's, for good. One that is no longer claimed ends it.
//! 4. The record gets its first version, for good: from then on there is such a user.
//!
//! Whatever ends it, what was claimed or kept is given back at once. Where that cannot be done, because this process
//! has died or Redis cannot be reached, claims and records without a version expire by themselves, and a name that
//! belongs to a user without a record may be taken over. No record comes back that has gone: the last step writes only
//! what is there, ids are never used again, and what a primary has lost is not written again by anybody.
//!
//! Names are claimed in the order of their keys, by everybody. So among creations that want the same names crosswise
//! there is always one that finds the rest of its names free: the one that has got the last name which any of them has.

use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;

use super::{Holder, present, release, unlist};
use crate::store::UserCreation;
use crate::store::redis::call::Call;
use crate::store::redis::fault::Fault;
use crate::store::redis::fleet::Fleet;
use crate::store::redis::keys::{Keys, user_index_of};
use crate::store::redis::{decimal, document, is_done, scripts};
use crate::user::id::UserId;
use crate::user::name::{NameKind, UniqueName};

/// For how many milliseconds a claim, or a record without a version, is kept: much longer than the steps take, which
/// have one deadline together, and as short as somebody can be asked to wait whose registration was cut off.
const PENDING: u64 = 120_000;
/// How often a name is claimed that was given back, or taken over, between two looks.
const ATTEMPTS: usize = 3;

/// How many milliseconds a claim of somebody else is waited for at most, each time that it is found not to be settled:
/// in all some times what a creation takes.
const WAITS: [u64; 7] = [10, 20, 40, 80, 160, 320, 640];

/// What has become of claiming a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is this creation's.
    Ours,
    /// It is somebody's.
    Theirs,
    /// Somebody else's creation is under way, or was cut off.
    Unsettled,
}

/// How far the steps up to the last one got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prepared {
    All,
    Taken(NameKind),
    Unsettled,
}

/// One creation.
pub(super) struct Creation {
    fleet: Arc<Fleet>,
    keys: Keys,
    id: UserId,
    record: String,
    index: String,
    /// In the order in which they are claimed.
    names: [(String, NameKind); 2],
}

/// What there is to be given back.
#[derive(Default)]
struct Progress {
    /// How many names were claimed, or may have been.
    names: usize,
    /// Whether the record was written, or may have been.
    has_record: bool,
}

impl Creation {
    pub(super) fn new(fleet: &Arc<Fleet>, keys: &Keys, id: UserId, names: [UniqueName<'_>; 2]) -> Self {
        let mut names = names.map(|name| (keys.user_name(name), name.kind));
        names.sort();
        let (record, index) = (keys.user(id), keys.user_index(user_index_of(id)));
        Self { fleet: Arc::clone(fleet), keys: keys.clone(), id, record, index, names }
    }

    /// All steps, from the beginning for as long as a claim of somebody else is worth waiting for.
    pub(super) async fn run(self, body: Bytes) -> Result<UserCreation, Fault> {
        // Those that wait for each other are not to come back together: an id is random.
        for (wait, chance) in WAITS.into_iter().zip(self.id.0) {
            if let Some(outcome) = self.attempt(body.clone()).await? {
                return Ok(outcome);
            }
            tokio::time::sleep(Duration::from_millis(wait * u64::from(chance) / u64::from(u8::MAX))).await;
        }
        let unsettled = || Fault::unavailable("a name is claimed by a registration that has not come to its end");
        self.attempt(body).await?.ok_or_else(unsettled)
    }

    /// All steps; nothing when a claim of somebody else is not settled.
    async fn attempt(&self, body: Bytes) -> Result<Option<UserCreation>, Fault> {
        let call = Call::begin(&self.fleet)?;
        let mut progress = Progress::default();
        let prepared = self.prepare(&call, body, &mut progress).await;
        if !matches!(prepared, Ok(Prepared::All)) {
            self.give_back(&progress).await;
        }
        match prepared? {
            Prepared::All => {}
            Prepared::Taken(kind) => return Ok(Some(UserCreation::Taken(kind))),
            Prepared::Unsettled => return Ok(None),
        }
        // Where it is not known how this ends, nothing is given back: there may be such a user.
        if self.finish(&call).await? {
            return Ok(Some(UserCreation::Done { version: document::FIRST_VERSION }));
        }
        self.give_back(&progress).await;
        Err(Fault::unavailable("the new user's record was lost before it was complete"))
    }

    /// The steps up to the last one.
    async fn prepare(&self, call: &Call, body: Bytes, progress: &mut Progress) -> Result<Prepared, Fault> {
        for (name, kind) in &self.names {
            progress.names += 1;
            let claim = self.claim(call, name).await?;
            if claim != Claim::Ours {
                progress.names -= 1;
                return Ok(if claim == Claim::Theirs { Prepared::Taken(*kind) } else { Prepared::Unsettled });
            }
        }
        progress.has_record = true;
        if !self.begin(call, body).await? {
            progress.has_record = false;
            return Err(Fault::refused("a user of this id is there already"));
        }
        Ok(self.keep_names(call).await?.map_or(Prepared::All, Prepared::Taken))
    }

    /// Claims a name.
    pub(super) async fn claim(&self, call: &Call, name: &str) -> Result<Claim, Fault> {
        let mut from = Vec::new();
        for _ in 0..ATTEMPTS {
            let arguments = [self.id.0.to_vec(), from, decimal(PENDING)];
            if is_done(call.script(scripts::users::CLAIM.on([name.to_owned()], arguments)).await?)? {
                return Ok(Claim::Ours);
            }
            let Some(row) = call.value(name.to_owned()).await? else {
                from = Vec::new();
                continue;
            };
            let holder = Holder::decode(&row)?;
            if !holder.is_theirs {
                return Ok(Claim::Unsettled);
            }
            let mut reading = call.read(vec![self.keys.user(holder.id)]).await?;
            if let Some(record) = reading.values.pop().flatten() {
                let is_there = present(Some(record))?.is_some();
                return Ok(if is_there { Claim::Theirs } else { Claim::Unsettled });
            }
            // Whoever has just come by way of another primary is not to lose the name.
            call.confirm(&reading).await?;
            from = row;
        }
        Ok(Claim::Unsettled)
    }

    /// Keeps the record for a while; `false` when there is one.
    ///
    /// The index is written before it, so that no record is ever without its entry.
    pub(super) async fn begin(&self, call: &Call, body: Bytes) -> Result<bool, Fault> {
        let mut list = redis::cmd("ZADD");
        list.arg(&self.index).arg(0).arg(&self.id.0[..]);
        call.command(&self.index, &list).await?;
        let begin = scripts::users::BEGIN.on([self.record.clone()], [body.into(), decimal(PENDING)]);
        is_done(call.script(begin).await?)
    }

    /// Makes the names this user's, so that they last; the one that is not.
    pub(super) async fn keep_names(&self, call: &Call) -> Result<Option<NameKind>, Fault> {
        let keep = |(name, _): &(String, NameKind)| scripts::users::KEEP_NAME.on([name.clone()], [self.id.0.to_vec()]);
        let outcomes = call.endings(&[keep(&self.names[0]), keep(&self.names[1])]).await?;
        for (outcome, (_, kind)) in outcomes.into_iter().zip(&self.names) {
            if !is_done(outcome)? {
                return Ok(Some(*kind));
            }
        }
        Ok(None)
    }

    /// Lets the user be, so that it lasts; `false` when the record has gone.
    pub(super) async fn finish(&self, call: &Call) -> Result<bool, Fault> {
        let version = document::FIRST_VERSION.to_be_bytes().to_vec();
        is_done(call.ending(scripts::users::FINISH.on([self.record.clone()], [version])).await?)
    }

    /// Gives back what was claimed or kept. What cannot be given back expires, or is taken over.
    async fn give_back(&self, progress: &Progress) {
        // Whatever this call could not be told in time, another one may do.
        if let Err(fault) = self.try_to_give_back(progress).await {
            tracing::debug!(fault = fault.detail(), "what a registration had claimed is left to expire");
        }
    }

    /// The key of the name that is claimed at this place.
    #[cfg(test)]
    pub(super) fn name(&self, place: usize) -> &str {
        &self.names[place].0
    }

    /// Gives back all that a creation can have kept.
    #[cfg(test)]
    pub(super) async fn give_back_all(&self) {
        self.give_back(&Progress { names: self.names.len(), has_record: true }).await;
    }

    async fn try_to_give_back(&self, progress: &Progress) -> Result<(), Fault> {
        let call = Call::begin(&self.fleet)?;
        if progress.has_record {
            if !is_done(call.script(scripts::users::WITHDRAW.on([self.record.clone()], [])).await?)? {
                return Ok(());
            }
            unlist(&call, &self.index, self.id).await?;
        }
        let claimed = self.names.iter().take(progress.names);
        let releases: Vec<_> = claimed.map(|(name, _)| release(name.clone(), self.id)).collect();
        call.scripts(&releases).await.map(drop)
    }
}

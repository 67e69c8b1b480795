//! That an approval holds though slots move while it is made.
//!
//! A node remembers what was revoked lately, and hears of an approval when it happens, but reads it a little later (see
//! [`super::durability`]). When the slot has come to another primary by then, the node cannot tell what was approved from
//! what was lost on the way, and revokes it again. So whoever approves waits until all nodes have read it, looks whether
//! it still holds, and approves once more if not.

use tokio::time::sleep;

use super::durability::merge::union;
use super::fault::Fault;
use super::scripts::Invocation;
use super::tokens::decode_mark;
use super::{RedisStore, is_done, scripts};
use crate::config::{Acknowledge, Durability};
use crate::store::stored_mark;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::grant::GrantMark;

/// How often something is approved once more.
const ATTEMPTS: usize = 5;
/// The bytes of a tombstone that are its stamp.
const STAMP_BYTES: usize = 8;

impl RedisStore {
    /// Returns when the approval of a token, which undid the tombstone `undone`, has outlived what nodes remember.
    /// `approve` makes the script that approves it, given the tombstone that it undoes.
    ///
    /// # Errors
    /// [`Fault`] when it is not known whether it holds.
    pub(super) async fn token_stays_approved(
        &self,
        token: TokenDigest,
        undone: &[u8],
        approve: impl Fn(Vec<u8>) -> Invocation,
    ) -> Result<(), Fault> {
        if undone.is_empty() || !self.remembered_by_others() {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            sleep(self.fleet.common.longest_lease()).await;
            let call = self.begin()?;
            let found = self.tombstone(&call, token).await?;
            // Nothing, or a revocation that came after the approval: then that holds.
            let is_older = |found: &[u8]| found.get(..STAMP_BYTES) <= undone.get(..STAMP_BYTES);
            if found.is_empty() || !is_older(&found) {
                return Ok(());
            }
            call.script(approve(found)).await?;
        }
        Err(undone_again())
    }

    /// The same of a grant, of which `after` is approved in place of `before`.
    ///
    /// # Errors
    /// [`Fault`] when it is not known whether it holds.
    pub(super) async fn grant_stays_approved(
        &self,
        id: GrantId,
        before: &GrantMark,
        after: &GrantMark,
        kept_until: Vec<u8>,
    ) -> Result<(), Fault> {
        if !approves(before, after) || !self.remembered_by_others() {
            return Ok(());
        }
        let undone = union(before, after);
        for _ in 0..ATTEMPTS {
            sleep(self.fleet.common.longest_lease()).await;
            let call = self.begin()?;
            let stored = call.value(self.keys.grant_mark(id)).await?;
            if stored.map_or(Ok(GrantMark::default()), |stored| decode_mark(&stored))? != undone {
                return Ok(());
            }
            let arguments = [stored_mark(&undone), stored_mark(after), kept_until.clone()];
            is_done(call.ending(scripts::grants::MARK.on([self.keys.grant_mark(id)], arguments)).await?)?;
        }
        Err(undone_again())
    }

    /// Whether other nodes may write again what they remember, in the life that a primary is in.
    fn remembered_by_others(&self) -> bool {
        let revocation = self.fleet.common.revocation;
        revocation.durability == Durability::Replay
            && revocation.acknowledge == Acknowledge::Visible
            && self.fleet.members().primaries.len() > 1
    }
}

/// Whether a change of a mark approves anything.
fn approves(before: &GrantMark, after: &GrantMark) -> bool {
    let access = before.access.is_some() && after.access.is_none();
    let refresh = before.refresh.is_some() && after.refresh.is_none();
    access || refresh || after.exempt.iter().any(|token| !before.exempt.contains(token))
}

fn undone_again() -> Fault {
    Fault::unavailable("other nodes keep writing again that it was revoked")
}

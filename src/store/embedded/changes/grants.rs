//! Grants: one refresh token in the place of another, and what of a grant is revoked.

use super::Changes;
use crate::coherence;
use crate::store::embedded::fault::Stop;
use crate::store::embedded::tables::{Name, damaged};
use crate::store::embedded::write::{NewEntry, NewToken};
use crate::store::{RotationOutcome, StoreError, StoreErrorKind};
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::grant::{GrantMark, GrantRecord};
use crate::token::time::{Now, UnixSeconds};

impl Changes<'_> {
    pub(super) fn rotate(
        &mut self,
        from: TokenDigest,
        to: &NewEntry,
        access: Option<&NewToken>,
        now: Now,
    ) -> Result<RotationOutcome, Stop> {
        if let Some(mark) = self.kept.entry(Name::mark(GrantId(to.name.id)))? {
            let reason = mark.value.get(GrantMark::REFRESH_OFFSET);
            if *reason.ok_or_else(|| damaged("the mark of a grant is cut short"))? != 0 {
                return Ok(RotationOutcome::Revoked);
            }
        }
        let grant = self.kept.entry(to.name)?.filter(|grant| grant.end > now.seconds());
        let Some(grant) = grant else { return Ok(RotationOutcome::Absent) };
        let current = grant.value.get(GrantRecord::CURRENT_RANGE);
        if current.ok_or_else(|| damaged("what is kept of a grant is cut short"))? != from.0 {
            return Ok(RotationOutcome::Superseded);
        }
        if let Some(access) = access {
            if self.is_kept(access.digest, now)? {
                return Err(StoreError::new(StoreErrorKind::Refused, "the new access token is there already").into());
            }
            self.put_token(access, now)?;
        }
        self.kept.put(to.name, grant.end.max(to.end), &to.value)?;
        Ok(RotationOutcome::Done)
    }

    /// Nothing stands for no mark, in `before` and in `after`.
    pub(super) fn mark_grant(
        &mut self,
        grant: GrantId,
        before: &[u8],
        after: &[u8],
        end: UnixSeconds,
    ) -> Result<bool, Stop> {
        let name = Name::mark(grant);
        let kept = self.kept.entry(name)?;
        if kept.as_ref().map_or(&[][..], |mark| &mark.value) != before {
            return Ok(false);
        }
        if after.is_empty() {
            self.kept.remove(name)?;
        } else {
            self.kept.put(name, kept.map_or(end, |mark| mark.end.max(end)), after)?;
        }
        self.announce(coherence::name::Name::Grant(grant));
        Ok(true)
    }
}

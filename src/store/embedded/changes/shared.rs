//! What is about many tokens at once, or about none: epochs, what was used once, documents.

use redb::ReadableTable as _;

use super::Changes;
use crate::coherence;
use crate::store::StoreError;
use crate::store::embedded::fault::Stop;
use crate::store::embedded::tables::{Entry, Name, SIGNING_KEYS, damaged, document, document_row};
use crate::token::epoch::Epoch;
use crate::token::record::Reason;
use crate::token::time::{Now, Stamp, UnixSeconds};

impl Changes<'_> {
    pub(super) fn raise_epoch(
        &mut self,
        name: Name,
        until: Option<Stamp>,
        reason: Reason,
        end: UnixSeconds,
        now: Now,
    ) -> Result<bool, Stop> {
        let kept = self.kept.entry(name)?;
        let before = kept.as_ref().map(epoch).transpose()?;
        let asked = Epoch { until: until.unwrap_or_else(|| self.stamps.next(now)), reason };
        let after = before.map_or(asked, |before| later(before, asked));
        let end = kept.as_ref().map_or(end, |kept| kept.end.max(end));
        if before != Some(after) || kept.is_none_or(|kept| kept.end != end) {
            self.kept.put(name, end, &after.encode())?;
        }
        Ok(before.is_none_or(|before| before.until < asked.until))
    }

    pub(super) fn use_once(&mut self, name: Name, end: UnixSeconds, now: Now) -> Result<bool, Stop> {
        let used = self.kept.entry(name)?.is_some_and(|used| used.end > now.seconds());
        if used || end <= now.seconds() {
            return Ok(false);
        }
        self.kept.put(name, end, &[])?;
        Ok(true)
    }

    pub(super) fn write_document(&mut self, name: &str, version: u64, body: &[u8]) -> Result<bool, Stop> {
        let kept = self.documents.get(name)?.map(|row| document(row.value())).transpose()?;
        let Some(next) = version.checked_add(1) else { return Ok(false) };
        if kept.map_or(0, |document| document.version) != version {
            return Ok(false);
        }
        self.documents.insert(name, document_row(next, body).as_slice())?;
        self.changed = true;
        if name == SIGNING_KEYS {
            self.announce(coherence::name::Name::SigningKeys);
        }
        Ok(true)
    }
}

/// Reads an epoch.
pub(in crate::store::embedded) fn epoch(entry: &Entry) -> Result<Epoch, StoreError> {
    Epoch::decode(&entry.value).ok_or_else(|| damaged("an epoch is not as written"))
}

/// Of two epochs of the same axis the later one; of two of the same moment, the one that cannot be undone.
fn later(one: Epoch, other: Epoch) -> Epoch {
    match one.until.cmp(&other.until) {
        std::cmp::Ordering::Greater => one,
        std::cmp::Ordering::Less => other,
        std::cmp::Ordering::Equal => Epoch { until: one.until, reason: one.reason.or(other.reason) },
    }
}

//! Clients: replaced only by whoever knows the version that is there.

use redb::ReadableTable as _;

use super::Changes;
use crate::client::ClientId;
use crate::coherence::name::Name;
use crate::store::embedded::fault::Stop;
use crate::store::embedded::tables::{dated_document, dated_row};
use crate::store::{ClientWrite, DatedDocument};
use crate::token::time::{Now, Stamp};

/// The version and the row that take the place of a record, if it is the one that was named.
pub(super) fn replacement(
    document: Option<DatedDocument>,
    version: u64,
    created: Stamp,
    body: &[u8],
) -> Option<(u64, Vec<u8>)> {
    // A deleted client and one created after it may have the same version, and never the same stamp.
    document.filter(|document| (document.version, document.created) == (version, created))?;
    let next = version.checked_add(1)?;
    Some((next, dated_row(next, created, body)))
}

impl Changes<'_> {
    pub(super) fn create_client(&mut self, id: &ClientId, body: &[u8], now: Now) -> Result<ClientWrite, Stop> {
        let key = id.as_str().as_bytes();
        if self.clients.get(key)?.is_some() {
            return Ok(ClientWrite::Conflict);
        }
        let created = self.stamps.next(now);
        self.clients.insert(key, dated_row(1, created, body).as_slice())?;
        self.changed = true;
        self.announce(Name::Client(id.as_str()));
        Ok(ClientWrite::Done { version: 1 })
    }

    pub(super) fn replace_client(
        &mut self,
        id: &ClientId,
        version: u64,
        created: Stamp,
        body: &[u8],
    ) -> Result<ClientWrite, Stop> {
        let key = id.as_str().as_bytes();
        let document = self.clients.get(key)?.map(|row| dated_document(row.value())).transpose()?;
        let Some((next, row)) = replacement(document, version, created, body) else {
            return Ok(ClientWrite::Conflict);
        };
        self.clients.insert(key, row.as_slice())?;
        self.changed = true;
        self.announce(Name::Client(id.as_str()));
        Ok(ClientWrite::Done { version: next })
    }

    pub(super) fn delete_client(&mut self, id: &ClientId) -> Result<bool, Stop> {
        let existed = self.clients.remove(id.as_str().as_bytes())?.is_some();
        if existed {
            self.changed = true;
            self.announce(Name::Client(id.as_str()));
        }
        Ok(existed)
    }
}

//! The stored forms of what has a version: eight bytes of version, big-endian, first; then, of a client and a user, the
//! stamp of the creation, eight bytes; then the document itself.

use bytes::Bytes;

use super::fault::Fault;
use crate::store::{DatedDocument, Document};
use crate::token::time::Stamp;

/// The version of a client or a user that was just created.
pub(super) const FIRST_VERSION: u64 = 1;

const VERSION_BYTES: usize = 8;
const DATED_HEAD_BYTES: usize = 16;

/// Reads a client or a user.
pub(super) fn decode_dated(stored: Vec<u8>) -> Result<DatedDocument, Fault> {
    let short = || Fault::damaged("the record of a client or a user is cut short");
    let (version, rest) = stored.split_first_chunk().ok_or_else(short)?;
    let (created, _) = rest.split_first_chunk().ok_or_else(short)?;
    let version = u64::from_be_bytes(*version);
    let created = Stamp(u64::from_be_bytes(*created));
    Ok(DatedDocument { version, created, body: Bytes::from(stored).slice(DATED_HEAD_BYTES..) })
}

/// Reads a document.
pub(super) fn decode(stored: Vec<u8>) -> Result<Document, Fault> {
    let (version, _) = stored.split_first_chunk().ok_or_else(|| Fault::damaged("a document is cut short"))?;
    let version = u64::from_be_bytes(*version);
    Ok(Document { version, body: Bytes::from(stored).slice(VERSION_BYTES..) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreError, StoreErrorKind};

    #[test]
    fn a_client_is_read_and_a_cut_one_is_damaged() {
        let mut stored = Vec::new();
        stored.extend(3_u64.to_be_bytes());
        stored.extend(9_u64.to_be_bytes());
        stored.extend(b"{}");
        let document = decode_dated(stored.clone()).unwrap();
        assert_eq!(document, DatedDocument { version: 3, created: Stamp(9), body: Bytes::from_static(b"{}") });
        for length in 0..DATED_HEAD_BYTES {
            let error = StoreError::from(decode_dated(stored[..length].to_vec()).unwrap_err());
            assert_eq!(error.kind(), StoreErrorKind::Damaged);
        }
    }

    #[test]
    fn a_document_is_read_and_a_cut_one_is_damaged() {
        let stored = [&3_u64.to_be_bytes()[..], b"keys"].concat();
        assert_eq!(decode(stored.clone()).unwrap(), Document { version: 3, body: Bytes::from_static(b"keys") });
        for length in 0..VERSION_BYTES {
            let error = StoreError::from(decode(stored[..length].to_vec()).unwrap_err());
            assert_eq!(error.kind(), StoreErrorKind::Damaged);
        }
    }
}

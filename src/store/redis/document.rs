//! The stored form of a client: version and creation stamp, eight bytes each, big-endian, then its JSON.

use bytes::Bytes;

use super::fault::Fault;
use crate::store::ClientDocument;
use crate::token::time::Stamp;

/// The version of a client that was just created.
pub(super) const FIRST_VERSION: u64 = 1;

const HEAD_BYTES: usize = 16;

/// Reads a client.
pub(super) fn decode(stored: Vec<u8>) -> Result<ClientDocument, Fault> {
    let (version, rest) = stored.split_first_chunk().ok_or_else(too_short)?;
    let (created, _) = rest.split_first_chunk().ok_or_else(too_short)?;
    let version = u64::from_be_bytes(*version);
    let created = Stamp(u64::from_be_bytes(*created));
    Ok(ClientDocument { version, created, body: Bytes::from(stored).slice(HEAD_BYTES..) })
}

fn too_short() -> Fault {
    Fault::damaged("a client's record is cut short")
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
        let document = decode(stored.clone()).unwrap();
        assert_eq!(document, ClientDocument { version: 3, created: Stamp(9), body: Bytes::from_static(b"{}") });
        for length in 0..HEAD_BYTES {
            let error = StoreError::from(decode(stored[..length].to_vec()).unwrap_err());
            assert_eq!(error.kind(), StoreErrorKind::Damaged);
        }
    }
}

//! The reads of the contract.
//!
//! Reads run right here, on the thread that asks. They take 1 to 2 us, a page that is not in memory included as long as
//! the kernel has it; handing each to a thread for blocking work would cost ten times as much and help only while a
//! cold file is read from a slow disk for the first time.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction};

use super::EmbeddedStore;
use super::changes::shared::epoch;
use super::changes::tokens::signed_reason;
use super::fault::Stop;
use super::kept::decode;
use super::tables::{
    CLIENTS, DOCUMENTS, ENTRIES, Entry, META, META_SCHEMA, NAME_BYTES, NAMES, Name, SIGNING_KEYS, TOKENS, USERS,
    damaged, dated_document, document,
};
use crate::client::ClientId;
use crate::store::{self, Around, ClientDocument, Document, StoreError, StoreErrorKind, Surroundings, UserDocument};
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::epoch::{Epoch, EpochAxis, Epochs};
use crate::token::grant::{GrantMark, GrantRecord};
use crate::token::record::Record;
use crate::user::id::UserId;
use crate::user::name::UniqueName;

/// What each does is said at [`crate::store::Store`].
#[expect(clippy::unused_async, reason = "the contract is asynchronous, for the store that talks to another process")]
#[allow(missing_docs, reason = "documented once, at the contract")]
impl EmbeddedStore {
    pub async fn token(&self, digests: &[TokenDigest]) -> Result<Option<(TokenDigest, Record)>, StoreError> {
        self.shared.read(|transaction| {
            let tokens = transaction.open_table(TOKENS)?;
            for digest in digests {
                if let Some(row) = tokens.get(&digest.0)? {
                    return Ok(Some((*digest, decode(row.value())?)));
                }
            }
            Ok(None)
        })
    }

    pub async fn surroundings(&self, around: Around<'_>) -> Result<Surroundings, StoreError> {
        // A read costs about as much as a look into a memory would.
        let Around { client_id, subject, grant, signed, with_client, origin: _, from_memory: _ } = around;
        self.shared.read(|transaction| {
            let entries = Entries::open(transaction)?;
            let epochs = Epochs {
                issuer: entries.epoch(EpochAxis::Issuer)?,
                client: entries.epoch(EpochAxis::Client(client_id))?,
                user: entries.some_epoch(subject.map(EpochAxis::User))?,
                client_user: entries.some_epoch(subject.map(|subject| EpochAxis::ClientUser { client_id, subject }))?,
                key: entries.some_epoch(signed.map(|signed| EpochAxis::Key(signed.key)))?,
            };
            let revoked = match signed {
                Some(signed) => entries.get(Name::signed(signed.token))?.as_ref().map(signed_reason).transpose()?,
                None => None,
            };
            let grant = match grant {
                Some(grant) => entries.mark(grant)?,
                None => GrantMark::default(),
            };
            let client = if with_client { read_client(transaction, client_id)? } else { None };
            Ok(Surroundings { client, grant, epochs, revoked })
        })
    }

    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantRecord>, StoreError> {
        self.shared.read(|transaction| {
            let Some(entry) = Entries::open(transaction)?.get(Name::grant(id))? else { return Ok(None) };
            Ok(Some(GrantRecord::decode(&entry.value).map_err(|error| damaged(error.to_string()))?))
        })
    }

    pub async fn grant_mark(&self, id: GrantId) -> Result<GrantMark, StoreError> {
        self.shared.read(|transaction| Entries::open(transaction)?.mark(id))
    }

    pub async fn signing_keys(&self) -> Result<Option<Document>, StoreError> {
        self.shared.read(|transaction| {
            let row = transaction.open_table(DOCUMENTS)?.get(SIGNING_KEYS)?;
            Ok(row.map(|row| document(row.value())).transpose()?)
        })
    }

    pub async fn client(&self, client_id: &str) -> Result<Option<ClientDocument>, StoreError> {
        self.shared.read(|transaction| read_client(transaction, client_id))
    }

    pub async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        self.shared.read(|transaction| {
            let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str().as_bytes()));
            let clients = transaction.open_table(CLIENTS)?;
            let mut page = Vec::new();
            for row in clients.range::<&[u8]>((start, Bound::Unbounded))?.take(limit) {
                let (id, row) = row?;
                let id = str::from_utf8(id.value()).ok().and_then(ClientId::parse);
                page.push((id.ok_or_else(|| damaged("the id of a client is not one"))?, dated_document(row.value())?));
            }
            Ok(page)
        })
    }

    pub async fn user(&self, id: UserId) -> Result<Option<UserDocument>, StoreError> {
        self.shared.read(|transaction| read_user(transaction, id))
    }

    pub async fn user_named(&self, name: UniqueName<'_>) -> Result<Option<(UserId, UserDocument)>, StoreError> {
        let digest = store::name_digest(name);
        self.shared.read(|transaction| {
            let owner = transaction.open_table(NAMES)?.get(&digest)?.map(|owner| UserId(*owner.value()));
            // Where nobody has the name somebody is looked for who is not there.
            let document = read_user(transaction, owner.unwrap_or_else(|| store::nobody(name)))?;
            Ok(owner.zip(document))
        })
    }

    pub async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<(UserId, UserDocument)>, StoreError> {
        self.shared.read(|transaction| {
            let start = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(&id.0));
            let users = transaction.open_table(USERS)?;
            let mut page = Vec::new();
            for row in users.range::<&[u8; UserId::BYTES]>((start, Bound::Unbounded))?.take(limit) {
                let (id, row) = row?;
                page.push((UserId(*id.value()), dated_document(row.value())?));
            }
            Ok(page)
        })
    }

    /// Answers as long as reads work and the writer lives. It does not write: readiness is asked for every second or
    /// so, and a full disk must not take a node away that can still introspect.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if self.shared.queue.is_closed() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is closed"));
        }
        self.shared.read(|transaction| {
            let layout = transaction.open_table(META)?.get(META_SCHEMA)?;
            Ok(layout.map(drop).ok_or_else(|| damaged("the layout version is gone"))?)
        })
    }
}

/// The table of entries, open in a transaction that reads.
struct Entries(ReadOnlyTable<&'static [u8; NAME_BYTES], &'static [u8]>);

impl Entries {
    fn open(transaction: &ReadTransaction) -> Result<Self, Stop> {
        Ok(Self(transaction.open_table(ENTRIES)?))
    }

    fn get(&self, name: Name) -> Result<Option<Entry>, Stop> {
        Ok(self.0.get(&name.to_bytes())?.map(|row| Entry::from_row(row.value())).transpose()?)
    }

    fn epoch(&self, axis: EpochAxis<'_>) -> Result<Option<Epoch>, Stop> {
        Ok(self.get(Name::epoch(axis))?.as_ref().map(epoch).transpose()?)
    }

    fn some_epoch(&self, axis: Option<EpochAxis<'_>>) -> Result<Option<Epoch>, Stop> {
        axis.map_or(Ok(None), |axis| self.epoch(axis))
    }

    fn mark(&self, grant: GrantId) -> Result<GrantMark, Stop> {
        let Some(entry) = self.get(Name::mark(grant))? else { return Ok(GrantMark::default()) };
        Ok(GrantMark::decode(&entry.value).map_err(|error| damaged(error.to_string()))?)
    }
}

fn read_client(transaction: &ReadTransaction, client_id: &str) -> Result<Option<ClientDocument>, Stop> {
    let row = transaction.open_table(CLIENTS)?.get(client_id.as_bytes())?;
    Ok(row.map(|row| dated_document(row.value())).transpose()?)
}

fn read_user(transaction: &ReadTransaction, id: UserId) -> Result<Option<UserDocument>, Stop> {
    let row = transaction.open_table(USERS)?.get(&id.0)?;
    Ok(row.map(|row| dated_document(row.value())).transpose()?)
}

//! How clients are found: those that the configuration declares, else those in the store.
//!
//! Nothing is remembered that could be out of date. A stored client is read from the store for each request; what is
//! kept is only the outcome of parsing its bytes, and it is used only while the bytes are the same.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::client::{Client, ClientId};
use crate::store::{ClientDocument, Store, StoreError, StoreErrorKind};
use crate::token::time::Stamp;

/// Finds clients.
#[derive(Debug)]
pub struct Registry {
    declared: HashMap<ClientId, Arc<Client>>,
    store: Arc<Store>,
    parsed: Cache<ClientId, (Bytes, Arc<Client>)>,
}

/// A client as it stands at this moment.
#[derive(Clone, Debug)]
pub struct KnownClient {
    /// The record.
    pub client: Arc<Client>,
    /// When it was created; 0 for a declared client. Tokens that name another moment are another client's.
    pub created: Stamp,
    /// The version that a replacement must name; `None` for a declared client, which cannot be replaced.
    pub version: Option<u64>,
}

/// How many parsed records are kept.
const PARSED_CLIENTS: usize = 10_000;

impl Registry {
    /// A registry over the declared clients and the store.
    pub fn new(declared: impl IntoIterator<Item = Client>, store: Arc<Store>) -> Self {
        let declared = declared.into_iter().map(|client| (client.client_id.clone(), Arc::new(client))).collect();
        Self { declared, store, parsed: Cache::new(PARSED_CLIENTS) }
    }

    /// The client of this id; `None` when there is none.
    pub async fn find(&self, id: &ClientId) -> Result<Option<KnownClient>, StoreError> {
        if let Some(client) = self.declared(id.as_str()) {
            return Ok(Some(client));
        }
        self.resolve(id.as_str(), self.store.client(id.as_str()).await?)
    }

    /// The declared client of this id. It needs no store, and takes precedence over a stored one.
    pub fn declared(&self, id: &str) -> Option<KnownClient> {
        let client = self.declared.get(&ClientId::parse(id)?)?;
        Some(KnownClient { client: Arc::clone(client), created: Stamp(0), version: None })
    }

    /// All declared clients, in the order of their ids.
    pub fn all_declared(&self) -> Vec<Arc<Client>> {
        let mut clients: Vec<_> = self.declared.values().cloned().collect();
        clients.sort_by(|one, other| one.client_id.cmp(&other.client_id));
        clients
    }

    /// The client of this id, given what the store has just said of it.
    pub fn resolve(&self, id: &str, document: Option<ClientDocument>) -> Result<Option<KnownClient>, StoreError> {
        if let Some(client) = self.declared(id) {
            return Ok(Some(client));
        }
        let (Some(id), Some(document)) = (ClientId::parse(id), document) else { return Ok(None) };
        let ClientDocument { version, created, body } = document;
        if let Some((bytes, client)) = self.parsed.get(&id)
            && bytes == body
        {
            return Ok(Some(KnownClient { client, created, version: Some(version) }));
        }
        let client: Client = serde_json::from_slice(&body).map_err(|error| {
            StoreError::new(StoreErrorKind::Damaged, format!("client record does not parse: {}", position(&error)))
        })?;
        let client = Arc::new(client);
        self.parsed.insert(id, (body, Arc::clone(&client)));
        Ok(Some(KnownClient { client, created, version: Some(version) }))
    }
}

/// Where a parser stopped, without quoting what it read: the text may hold a hash.
fn position(error: &serde_json::Error) -> String {
    format!("{:?} at line {} column {}", error.classify(), error.line(), error.column())
}

//! How clients are found: those that the configuration declares, else those in the store.
//!
//! Nothing is used that could be out of date. A stored client is read from the store unless it is certain that it is
//! still as it was; and the outcome of parsing its bytes is used only while the bytes are the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::cache::near::{Kept, NearCache, Weigh};
use crate::cache::sample::Sample;
use crate::client::{Client, ClientId};
use crate::coherence::name::Name;
use crate::store::{ClientDocument, Store, StoreError, StoreErrorKind};
use crate::token::time::{Stamp, UnixSeconds};

/// Finds clients.
#[derive(Debug)]
pub struct Registry {
    declared: ArcSwap<HashMap<ClientId, Arc<Client>>>,
    /// Counts how often other clients were declared.
    generation: AtomicU64,
    store: Arc<Store>,
    parsed: Cache<ClientId, (Bytes, Arc<Client>)>,
    near: Option<NearCache<ClientId, KnownClient>>,
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

impl Weigh for KnownClient {
    /// They are counted, not weighed.
    fn weight(&self) -> u64 {
        1
    }
}

/// What shows that a client is still as it was found: to be asked of [`Registry::holds`].
#[derive(Clone, Debug)]
pub struct Lasting(Witness);

#[derive(Clone, Debug)]
enum Witness {
    /// It is declared, and nothing else was since then.
    Declared { generation: u64 },
    /// It was read, and no change was heard of.
    Stored(Arc<Kept<KnownClient>>),
}

/// How many clients are remembered, and how many parsed records are kept.
pub const MOST_CLIENTS: u64 = 10_000;

impl Registry {
    /// A registry over the declared clients and the store; without `near`, it reads the store each time.
    pub fn new(
        declared: impl IntoIterator<Item = Client>,
        store: Arc<Store>,
        near: Option<NearCache<ClientId, KnownClient>>,
    ) -> Self {
        let declared = declared.into_iter().map(|client| (client.client_id.clone(), Arc::new(client))).collect();
        let parsed = Cache::new(usize::try_from(MOST_CLIENTS).unwrap_or(usize::MAX));
        Self { declared: ArcSwap::from_pointee(declared), generation: AtomicU64::new(0), store, parsed, near }
    }

    /// Declares these clients in the place of those that were declared before. What is remembered of tokens of a client
    /// that is another one by then, or none, is not answered again.
    pub fn declare(&self, clients: impl IntoIterator<Item = Client>) {
        let before = self.declared.load_full();
        let mut after = HashMap::new();
        let mut changed = Vec::new();
        for client in clients {
            let id = client.client_id.clone();
            // One that says the same stays the one that it is, with the moment at which it was declared first.
            let same = before.get(&id).filter(|same| as_of(&client, same.client_id_issued_at) == ***same);
            if same.is_none() {
                changed.push(id.clone());
            }
            after.insert(id, same.cloned().unwrap_or_else(|| Arc::new(client)));
        }
        changed.extend(before.keys().filter(|id| !after.contains_key(*id)).cloned());
        self.declared.store(Arc::new(after));
        self.generation.fetch_add(1, Ordering::Release);
        // After the swap: whoever looks it up from now on finds the new one.
        for id in changed {
            self.store.coherence().heard(Name::Client(id.as_str()).text().as_bytes());
        }
    }

    /// The client of this id; `None` when there is none.
    pub async fn find(&self, id: &ClientId) -> Result<Option<KnownClient>, StoreError> {
        if let Some(client) = self.declared(id.as_str()) {
            return Ok(Some(client));
        }
        let Some(near) = &self.near else { return self.read(id).await };
        let coherence = self.store.coherence();
        if let Some(kept) = near.get(id, coherence.now()) {
            return Ok(Some(kept.value.clone()));
        }
        let sample = Sample::take(coherence, [Name::Client(id.as_str())]);
        let known = self.read(id).await?;
        // Whether there is a client is asked for by whoever guesses; that there is none is not worth a place.
        if let Some(known) = &known {
            self.learn(sample, known);
        }
        Ok(known)
    }

    /// The client of this id, when it need not be read.
    pub fn certain(&self, id: &str) -> Option<KnownClient> {
        let id = ClientId::parse(id)?;
        if let Some(client) = self.declared(id.as_str()) {
            return Some(client);
        }
        self.near.as_ref()?.get(&id, self.store.coherence().now()).map(|kept| kept.value.clone())
    }

    /// Remembers a client that was read after the sample of its name was taken. One that is declared need not be.
    pub fn learn(&self, sample: Sample, known: &KnownClient) {
        if let Some(near) = self.near.as_ref().filter(|_| known.version.is_some()) {
            near.keep(known.client.client_id.clone(), Arc::new(Kept { sample, value: known.clone() }));
        }
    }

    /// What shows that this is still what is known of the client; `None` when that has to be found out each time.
    pub fn lasting(&self, client: &Arc<Client>) -> Option<Lasting> {
        // Before it is looked up: what is declared meanwhile is of another generation.
        let generation = self.generation.load(Ordering::Acquire);
        let declared = self.declared.load();
        if declared.get(&client.client_id).is_some_and(|declared| Arc::ptr_eq(declared, client)) {
            return Some(Lasting(Witness::Declared { generation }));
        }
        let kept = self.near.as_ref()?.get(&client.client_id, self.store.coherence().now())?;
        Arc::ptr_eq(&kept.value.client, client).then_some(Lasting(Witness::Stored(kept)))
    }

    /// Whether a client is still as it was: at this moment, and without asking the store.
    pub fn holds(&self, lasting: &Lasting) -> bool {
        match (&lasting.0, &self.near) {
            (Witness::Declared { generation }, _) => *generation == self.generation.load(Ordering::Acquire),
            (Witness::Stored(kept), Some(near)) => near.again(kept, self.store.coherence().now()),
            (Witness::Stored(_), None) => false,
        }
    }

    /// The client of this id as the store has it now: for those who are going to change it.
    pub async fn read(&self, id: &ClientId) -> Result<Option<KnownClient>, StoreError> {
        self.resolve(id.as_str(), self.store.client(id.as_str()).await?)
    }

    /// The stored clients that are remembered; `None` when none are to be.
    pub fn near(&self) -> Option<&NearCache<ClientId, KnownClient>> {
        self.near.as_ref()
    }

    /// The declared client of this id. It needs no store, and takes precedence over a stored one.
    pub fn declared(&self, id: &str) -> Option<KnownClient> {
        let client = self.declared.load().get(&ClientId::parse(id)?).cloned()?;
        Some(KnownClient { client, created: Stamp(0), version: None })
    }

    /// All declared clients, in the order of their ids.
    pub fn all_declared(&self) -> Vec<Arc<Client>> {
        let mut clients: Vec<_> = self.declared.load().values().cloned().collect();
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

/// The same client as if it had been declared at another moment.
fn as_of(client: &Client, declared_at: UnixSeconds) -> Client {
    let mut client = Client { client_id_issued_at: declared_at, ..client.clone() };
    client.secrets.iter_mut().for_each(|secret| secret.created_at = declared_at);
    client
}

/// Where a parser stopped, without quoting what it read: the text may hold a hash.
fn position(error: &serde_json::Error) -> String {
    format!("{:?} at line {} column {}", error.classify(), error.line(), error.column())
}

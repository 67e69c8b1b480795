//! Creating, changing and deleting clients, and rotating their secrets.

use bytes::Bytes;

use super::Service;
use super::hashing::Busy;
use super::registry::KnownClient;
use super::signing::Purpose;
use crate::client::metadata::{self, ClientMetadata, MetadataError};
use crate::client::secret::{Secret, SecretHash, StoredSecret};
use crate::client::{Client, ClientId, ClientState};
use crate::store::{ClientWrite, StoreError};
use crate::token::epoch::EpochAxis;
use crate::token::grant::TokenFormat;
use crate::token::record::Reason;
use crate::token::time::Now;

/// A client to be created.
#[derive(Debug, Default)]
pub struct NewClient {
    /// Its identifier; made up when not given.
    pub id: Option<ClientId>,
    /// A secret that it has already; made when not given.
    pub secret: Option<Secret>,
    /// Everything else.
    pub metadata: ClientMetadata,
}

/// How the old secrets fare when a new one is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// For how many seconds the newest of them keeps working. Older ones stop at once: two are live at most.
    pub seconds: u64,
}

/// Why a client was not written.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The metadata cannot be accepted.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// There is one of that id already.
    #[error("a client of this id exists already")]
    Exists,
    /// There is none of that id.
    #[error("there is no such client")]
    Unknown,
    /// It is declared in the configuration, and only changed there.
    #[error("the client is declared in the configuration, and is changed there")]
    Declared,
    /// Somebody else changed it at the same time.
    #[error("the client was changed by somebody else at the same time")]
    Conflict,
    /// A public client, or one that authenticates otherwise, has no secret.
    #[error("the client has no secret by registration")]
    Public,
    /// The pool for slow hashes is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Something that should not fail did.
    #[error("{0}")]
    Internal(String),
    /// It cannot be said that it was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Service {
    /// Creates a client. Its secret, if it has one, is returned and then known to nobody but its holder.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_client(&self, new: NewClient, now: Now) -> Result<(Client, Option<Secret>), ClientError> {
        let id = match new.id {
            Some(id) => id,
            None => random_id()?,
        };
        if self.registry.declared(id.as_str()).is_some() {
            return Err(ClientError::Exists);
        }
        let mut client = metadata::blank(id, now.seconds());
        new.metadata.apply(&mut client)?;
        if !client.has_secret() && new.secret.is_some() {
            return Err(ClientError::Public);
        }
        let mut shown = None;
        if client.has_secret() {
            let (secret, hash) = match new.secret {
                Some(secret) => (secret.clone(), self.hash_slowly(secret).await?),
                None => self.new_secret()?,
            };
            client.secrets = vec![StoredSecret { hash, created_at: now.seconds(), expires_at: None }];
            shown = Some(secret);
        }
        match self.store.create_client(&client.client_id, to_bytes(&client), now).await? {
            ClientWrite::Done { .. } => {
                self.prepare_keys(&client, now).await;
                Ok((client, shown))
            }
            ClientWrite::Conflict => Err(ClientError::Exists),
        }
    }

    /// Changes the members that `metadata` holds; with `replace`, the others go back to what a new client has.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_client(
        &self,
        id: &ClientId,
        metadata: ClientMetadata,
        replace: bool,
        now: Now,
    ) -> Result<Client, ClientError> {
        let change = |client: &mut Client| {
            if replace {
                let kept = client.clone();
                *client = Client {
                    secrets: kept.secrets,
                    state: kept.state,
                    ..metadata::blank(kept.client_id, kept.client_id_issued_at)
                };
            }
            metadata.apply(client)?;
            if !client.has_secret() {
                client.secrets.clear();
            }
            Ok(())
        };
        let client = self.change_client(id, change).await?;
        self.store.visible().await?;
        self.prepare_keys(&client, now).await;
        Ok(client)
    }

    /// Makes the keys that are going to sign for this client. A verifier that fetched the published keys some time
    /// between now and the first text then knows the one that signs it.
    ///
    /// That it fails is no reason to refuse the client: the first text makes them otherwise.
    async fn prepare_keys(&self, client: &Client, now: Now) {
        let signs_tokens = client.access_token_format == TokenFormat::Jwt || client.access_token_signing_alg.is_some();
        let token = client.access_token_signing_alg.unwrap_or(self.signing.usual_algorithm());
        let wanted = [
            signs_tokens.then_some((Purpose::AccessToken, token)),
            client.introspection_signed_response_alg.map(|algorithm| (Purpose::Introspection, algorithm)),
        ];
        for (purpose, algorithm) in wanted.into_iter().flatten() {
            if let Err(error) = self.signing.prepare(purpose, algorithm, now).await {
                tracing::warn!(%error, algorithm = algorithm.name(), "no signing keys could be made ahead of their use");
            }
        }
    }

    /// Makes a new secret; the newest of the old ones keeps working for a while, so that nothing has to stop.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_secret(
        &self,
        id: &ClientId,
        overlap: Overlap,
        now: Now,
    ) -> Result<(Client, Secret), ClientError> {
        let (secret, hash) = self.new_secret()?;
        let client = self
            .change_client(id, |client| {
                if !client.has_secret() {
                    return Err(ClientError::Public);
                }
                let end = now.seconds().plus(overlap.seconds);
                let old = client.secrets.iter().find(|old| old.is_live(now.seconds())).cloned();
                client.secrets = vec![StoredSecret { hash, created_at: now.seconds(), expires_at: None }];
                if let Some(old) = old.filter(|_| overlap.seconds > 0) {
                    let expires_at = Some(old.expires_at.map_or(end, |earlier| earlier.min(end)));
                    client.secrets.push(StoredSecret { expires_at, ..old });
                }
                Ok(())
            })
            .await?;
        self.store.visible().await?;
        Ok((client, secret))
    }

    /// Revokes a client with all its tokens, or approves it again; `false` when it was in that state already.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_client_state(&self, id: &ClientId, state: ClientState) -> Result<bool, ClientError> {
        let mut changed = false;
        self.change_client(id, |client| {
            changed = client.state != state;
            client.state = state;
            Ok(())
        })
        .await?;
        // Also when it was approved: another node may remember that its tokens were revoked.
        self.store.visible().await?;
        Ok(changed)
    }

    /// Deletes a client. Its tokens are inactive from then on, also if a client of the same id is created later; those,
    /// too, that were issued elsewhere before now and are imported for that one.
    ///
    /// # Errors
    /// [`ClientError`]. When it cannot be said that it was deleted, its tokens may be revoked for good all the same.
    pub async fn delete_client(&self, id: &ClientId, now: Now) -> Result<(), ClientError> {
        if self.registry.declared(id.as_str()).is_some() {
            return Err(ClientError::Declared);
        }
        // First: of a client that is gone nobody would know any more that there is something left to be done.
        if self.registry.read(id).await?.is_some() {
            self.revoke_all(EpochAxis::Client(id.as_str()), None, Reason::BULK, now).await?;
        }
        let existed = self.store.delete_client(id).await?;
        // Also when somebody else has deleted it just now.
        self.store.visible().await?;
        if existed { Ok(()) } else { Err(ClientError::Unknown) }
    }

    async fn change_client(
        &self,
        id: &ClientId,
        change: impl FnOnce(&mut Client) -> Result<(), ClientError>,
    ) -> Result<Client, ClientError> {
        let KnownClient { client, version, created } = self.registry.read(id).await?.ok_or(ClientError::Unknown)?;
        let version = version.ok_or(ClientError::Declared)?;
        let mut changed = Client::clone(&client);
        change(&mut changed)?;
        match self.store.replace_client(id, version, created, to_bytes(&changed)).await? {
            ClientWrite::Done { .. } => Ok(changed),
            ClientWrite::Conflict => Err(ClientError::Conflict),
        }
    }

    fn new_secret(&self) -> Result<(Secret, SecretHash), ClientError> {
        let secret = Secret::generate().map_err(internal)?;
        let hash = SecretHash::keyed(&self.keys, &secret);
        Ok((secret, hash))
    }

    async fn hash_slowly(&self, secret: Secret) -> Result<SecretHash, ClientError> {
        self.hashing.run(move |_| SecretHash::argon2id(&secret)).await?.map_err(internal)
    }
}

fn internal(error: impl std::fmt::Display) -> ClientError {
    ClientError::Internal(error.to_string())
}

/// 128 random bits as hexadecimal digits: no two alike, and nothing in them that any place would have to encode.
fn random_id() -> Result<ClientId, ClientError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(internal)?;
    ClientId::parse(&format!("{:032x}", u128::from_be_bytes(random))).ok_or_else(|| internal("a generated id is valid"))
}

fn to_bytes(client: &Client) -> Bytes {
    serde_json::to_vec(client).expect("a client record has only text keys").into()
}

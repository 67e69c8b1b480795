//! stub

use bytes::Bytes;

use super::{ClientDocument, ClientWrite, Insertion, StoreError, Surroundings, Transition};
use crate::client::ClientId;
use crate::token::digest::{GrantId, TokenDigest};
use crate::token::record::{Grant, Reason, Record, State};
use crate::token::time::Now;

/// Stub.
#[derive(Debug)]
pub struct RedisStore;

#[allow(missing_docs, clippy::unused_async, clippy::todo)]
impl RedisStore {
    pub async fn token(&self, _digests: &[TokenDigest]) -> Result<Option<(TokenDigest, Record)>, StoreError> {
        todo!()
    }
    pub async fn surroundings(&self, _client_id: &str, _grant: Option<GrantId>) -> Result<Surroundings, StoreError> {
        todo!()
    }
    pub async fn insert(&self, _tokens: &[(TokenDigest, Record)], _now: Now) -> Result<Insertion, StoreError> {
        todo!()
    }
    pub async fn set_state(&self, _d: TokenDigest, _s: State, _now: Now) -> Result<Transition, StoreError> {
        todo!()
    }
    pub async fn revoke_grant(&self, _g: Grant, _r: Reason, _now: Now) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn client(&self, _id: &str) -> Result<Option<ClientDocument>, StoreError> {
        todo!()
    }
    pub async fn clients(
        &self,
        _a: Option<&ClientId>,
        _l: usize,
    ) -> Result<Vec<(ClientId, ClientDocument)>, StoreError> {
        todo!()
    }
    pub async fn create_client(&self, _id: &ClientId, _body: Bytes, _now: Now) -> Result<ClientWrite, StoreError> {
        todo!()
    }
    pub async fn replace_client(&self, _id: &ClientId, _v: u64, _body: Bytes) -> Result<ClientWrite, StoreError> {
        todo!()
    }
    pub async fn delete_client(&self, _id: &ClientId) -> Result<bool, StoreError> {
        todo!()
    }
    pub async fn probe(&self) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn close(&self) {}
}

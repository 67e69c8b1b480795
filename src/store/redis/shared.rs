//! What is about many tokens at once, or about none: epochs, the clock, what was used once, the signing keys.

use ::bytes::Bytes;
use redis::Value;

use super::fault::Fault;
use super::{RedisStore, bytes, document, end_with_grace, get, is_done, milliseconds, moment, scripts};
use crate::store::{Document, StoreError};
use crate::token::epoch::EpochAxis;
use crate::token::record::Reason;
use crate::token::time::{Now, Stamp, UnixSeconds};

impl RedisStore {
    /// See [`crate::store::Store::raise_epoch`].
    pub async fn raise_epoch(
        &self,
        axis: EpochAxis<'_>,
        until: Option<Stamp>,
        reason: Reason,
        keep_until: UnixSeconds,
        _now: Now,
    ) -> Result<bool, StoreError> {
        let until = until.map_or(Vec::new(), |until| until.0.to_be_bytes().to_vec());
        let arguments = [until, vec![reason.to_byte()], end_with_grace(keep_until)];
        let invocation = scripts::shared::RAISE_EPOCH.on([self.keys.epoch(axis)], arguments);
        Ok(is_done(self.connections.begin()?.script(invocation).await?)?)
    }

    /// See [`crate::store::Store::clock`].
    ///
    /// A microsecond later than Redis says, since a stamp may have been given out in the present one. None is given out
    /// in the next one before the reply has left: running a script takes longer.
    pub async fn clock(&self, _now: Now) -> Result<Stamp, StoreError> {
        let reply = self.connections.begin()?.command(&redis::cmd("TIME")).await?;
        let Value::Array(parts) = reply else { return Err(Fault::unexpected_reply().into()) };
        let mut numbers = parts.into_iter().map(|part| {
            let digits = bytes(part)?.and_then(|digits| String::from_utf8(digits).ok());
            digits.and_then(|digits| digits.parse::<u64>().ok()).ok_or_else(Fault::unexpected_reply)
        });
        let (Some(seconds), Some(micros)) = (numbers.next().transpose()?, numbers.next().transpose()?) else {
            return Err(Fault::unexpected_reply().into());
        };
        Ok(Stamp(seconds.saturating_mul(1_000_000).saturating_add(micros).saturating_add(1)))
    }

    /// See [`crate::store::Store::use_once`].
    pub async fn use_once(&self, what: [u8; 32], expires_at: UnixSeconds, now: Now) -> Result<bool, StoreError> {
        let arguments = [moment(expires_at), milliseconds(now)];
        let invocation = scripts::shared::USE_ONCE.on([self.keys.used(&what)], arguments);
        Ok(is_done(self.connections.begin()?.script(invocation).await?)?)
    }

    /// See [`crate::store::Store::signing_keys`].
    pub async fn signing_keys(&self) -> Result<Option<Document>, StoreError> {
        let reply = self.connections.begin()?.command(&get(&self.keys.signing_keys())).await?;
        Ok(bytes(reply)?.map(document::decode).transpose()?)
    }

    /// See [`crate::store::Store::write_signing_keys`].
    pub async fn write_signing_keys(&self, version: u64, body: Bytes) -> Result<bool, StoreError> {
        let Some(next) = version.checked_add(1) else { return Ok(false) };
        let before = if version == 0 { Vec::new() } else { version.to_be_bytes().to_vec() };
        let arguments = [before, next.to_be_bytes().to_vec(), body.into()];
        let invocation = scripts::shared::WRITE_DOCUMENT.on([self.keys.signing_keys()], arguments);
        Ok(is_done(self.connections.begin()?.script(invocation).await?)?)
    }
}

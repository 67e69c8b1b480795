//! What is about many tokens at once, or about none: epochs, the clock, what was used once, the signing keys.

use std::time::Duration;

use ::bytes::Bytes;
use redis::Value;

use super::directory::slots::MARKERS;
use super::fault::Fault;
use super::{RedisStore, bytes, document, end_with_grace, is_done, milliseconds, moment, scripts};
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
        now: Now,
    ) -> Result<bool, StoreError> {
        let subject = match axis {
            EpochAxis::User(subject) | EpochAxis::ClientUser { subject, .. } => Some(subject),
            EpochAxis::Issuer | EpochAxis::Client(_) | EpochAxis::Key(_) => None,
        };
        // The present moment of whoever is asked would not do where several clocks give out stamps, nor where one moment
        // is written twice.
        let until = match until {
            None if self.fleet.common.has_one_clock() && subject.is_none() => None,
            None => Some(self.clock(now).await?),
            until => until,
        };
        let until = until.map_or(Vec::new(), |until| until.0.to_be_bytes().to_vec());
        let reason = vec![reason.to_byte()];
        let call = self.begin()?;
        if axis == EpochAxis::Issuer {
            let raise =
                |range| scripts::shared::RAISE_MARKER.on([self.keys.marker(range)], [until.clone(), reason.clone()]);
            let invocations: Vec<_> = (0..MARKERS).map(raise).collect();
            let mut raised = false;
            for outcome in call.endings(&invocations).await? {
                raised |= is_done(outcome)?;
            }
            return Ok(raised);
        }
        let arguments = [until, reason, end_with_grace(keep_until)];
        let raise = |key| scripts::shared::RAISE_EPOCH.on([key], arguments.clone());
        let invocation = raise(self.keys.epoch(axis));
        let Some(subject) = subject else { return Ok(is_done(call.ending(invocation).await?)?) };
        // First, and alone: whoever finds the user's may be told from then on that another node says otherwise, and that
        // node must be about to hear of it.
        let group = raise(self.keys.group_of(subject));
        call.script(group.clone()).await?;
        // Once more, to be made to last together with the other.
        let outcomes = call.endings(&[group, invocation]).await?;
        Ok(is_done(*outcomes.last().ok_or_else(Fault::unexpected_reply)?)?)
    }

    /// See [`crate::store::Store::clock`].
    ///
    /// A microsecond later than Redis says, since a stamp may have been given out in the present one. None is given out
    /// in the next one before the reply has left: running a script takes longer.
    ///
    /// Where several servers give out stamps, now or after one has taken the place of another, it is later than any of
    /// them by what their clocks may differ, and that moment has passed by all of them when this returns.
    pub async fn clock(&self, _now: Now) -> Result<Stamp, StoreError> {
        let replies = self.begin()?.everywhere(&redis::cmd("TIME")).await?;
        let times = replies.into_iter().map(time).collect::<Result<Vec<_>, _>>()?;
        let latest = times.into_iter().max().unwrap_or_default();
        if self.fleet.common.has_one_clock() {
            return Ok(Stamp(latest.saturating_add(1)));
        }
        let tolerance = u64::try_from(CLOCK_TOLERANCE.as_micros()).unwrap_or(u64::MAX);
        tokio::time::sleep(2 * CLOCK_TOLERANCE).await;
        Ok(Stamp(latest.saturating_add(tolerance)))
    }

    /// See [`crate::store::Store::use_once`].
    pub async fn use_once(&self, what: [u8; 32], expires_at: UnixSeconds, now: Now) -> Result<bool, StoreError> {
        let arguments = [moment(expires_at), milliseconds(now)];
        let invocation = scripts::shared::USE_ONCE.on([self.keys.used(&what)], arguments);
        Ok(is_done(self.begin()?.script(invocation).await?)?)
    }

    /// See [`crate::store::Store::signing_keys`].
    pub async fn signing_keys(&self) -> Result<Option<Document>, StoreError> {
        let stored = self.begin()?.value(self.keys.signing_keys()).await?;
        Ok(stored.map(document::decode).transpose()?)
    }

    /// See [`crate::store::Store::write_signing_keys`].
    pub async fn write_signing_keys(&self, version: u64, body: Bytes) -> Result<bool, StoreError> {
        let Some(next) = version.checked_add(1) else { return Ok(false) };
        let before = if version == 0 { Vec::new() } else { version.to_be_bytes().to_vec() };
        let arguments = [before, next.to_be_bytes().to_vec(), body.into()];
        let invocation = scripts::shared::WRITE_DOCUMENT.on([self.keys.signing_keys()], arguments);
        Ok(is_done(self.begin()?.ending(invocation).await?)?)
    }
}

/// How far the clocks of the servers may be apart. What is revoked "up to now" ends what any of them has stamped by then,
/// and nothing that is issued after it was answered.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);

/// What `TIME` answers, in microseconds.
fn time(reply: Value) -> Result<u64, Fault> {
    let Value::Array(parts) = reply else { return Err(Fault::unexpected_reply()) };
    let mut numbers = parts.into_iter().map(|part| {
        let digits = bytes(part)?.and_then(|digits| String::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse::<u64>().ok()).ok_or_else(Fault::unexpected_reply)
    });
    let (Some(seconds), Some(micros)) = (numbers.next().transpose()?, numbers.next().transpose()?) else {
        return Err(Fault::unexpected_reply());
    };
    Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

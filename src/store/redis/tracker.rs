//! The connection on which a primary tells us of every write that can end a token, and which proves that it has.
//!
//! Redis puts word of a write into the output of every tracking connection before it answers the writer, and an output
//! is a queue (`beforeSleep`: `trackingBroadcastInvalidationMessages` comes before `handleClientsWithPendingWrites`).
//! So whoever asks something on that connection and gets the answer has got word of everything that this primary had
//! acknowledged when the question was sent. One lease from that moment on, what this node has read and not heard of
//! again may be repeated; whoever ends a token waits that long before it answers.
//!
//! The question is what the primary is and whether its data is still there, so that one round trip shows all three.
//!
//! Before any of that a connection has to make sure of the life that the primary is in. What was revoked in its last
//! one may have been lost with it, and is written again before anybody reads.

use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::dataset::{self, DatasetId};
use super::endpoint;
use super::fault::Fault;
use super::get;
use super::incarnation::{self, Incarnation};
use super::lane::sends_elsewhere;
use super::link::{Line, Link, Listener, accept};
use super::primary::{Common, Primary};
use super::settings::{self, Severity};
use crate::coherence::name::ISSUER;

/// What near caches must hear of: tombstones, marks and epochs, clients, markers, signing keys. And what no cache
/// holds, but is written again when a primary has lost it: users and their names.
const PREFIXES: [&str; 7] = ["r:", "e:", "c:", "m:", "k:", "u:", "l:"];

/// How often a lease is renewed while it lasts.
const RENEWALS: u32 = 4;
/// How many questions in a row may get no answer in time before the connection is given up.
const MISSED: u32 = 4;

/// Keeps a tracking connection up. Never ends.
pub(super) async fn keep_up(primary: Arc<Primary>, common: Arc<Common>) {
    let mut backoff = Backoff::new(common.seed);
    let mut reported = false;
    loop {
        let began = Instant::now();
        let fault = attend(&primary, &common, &mut reported).await;
        common.leases.lose(&primary.address);
        // Another life is made sure of at once, unless one follows on the other.
        let changing = incarnation::is_changing(&fault) && began.elapsed() >= Backoff::SHORTEST;
        if reported || changing {
            tracing::debug!(server = %primary.address, fault = fault.detail(), "still not listening to Redis");
        } else {
            // Once per outage: the attempts go on for as long as it lasts.
            tracing::warn!(server = %primary.address, fault = fault.detail(), "no longer listening to Redis");
            reported = true;
        }
        primary.note(fault);
        common.progress.notify_waiters();
        // One that comes up and breaks at once is no progress.
        if began.elapsed() >= Backoff::LONGEST {
            backoff.reset();
        }
        if !changing {
            let _ = timeout(backoff.next(), primary.doubted()).await;
        }
    }
}

/// Listens until that can no longer be relied on; returns why.
async fn attend(primary: &Arc<Primary>, common: &Arc<Common>, reported: &mut bool) -> Fault {
    let deadline = Instant::now() + common.endpoint.connect_timeout();
    let mut link = match common.endpoint.open(&primary.address, Some(listener(primary, common)), deadline).await {
        Ok(link) => link,
        Err(fault) => return fault,
    };
    let mut line = link.line();
    let armed = tokio::select! {
        biased;
        fault = link.lost() => return fault,
        armed = arm(&mut line, primary, common) => armed,
    };
    let (incarnation, dataset) = match armed {
        Ok(armed) => armed,
        Err(fault) => {
            // Whoever still reads from it does so in a life that has ended, or without knowing what it holds.
            if !fault.is_silence() {
                primary.end(&fault);
            }
            return fault;
        }
    };
    if primary.is_in(&incarnation) {
        common.upkeep.doubt(primary, common);
    } else {
        if primary.was_alive() {
            common.observer.failed_over();
        }
        primary.end(&incarnation::changed());
        let caught_up = tokio::select! {
            biased;
            fault = link.lost() => return fault,
            caught_up = common.upkeep.catch_up(primary, common, &incarnation, &mut line) => caught_up,
        };
        if let Err(fault) = caught_up {
            return fault;
        }
        tracing::info!(server = %primary.address, life = incarnation.name(), %dataset, "relying on Redis");
        primary.begin(incarnation.clone());
        check_settings(primary, common, &mut line).await;
    }
    *reported = false;
    common.progress.notify_waiters();
    renew(&mut link, primary, common, &incarnation, dataset).await
}

/// Makes sure of what the primary is and holds, and has it tell us of changes.
async fn arm(line: &mut Line, primary: &Primary, common: &Common) -> Result<(Incarnation, DatasetId), Fault> {
    let deadline = Instant::now() + common.endpoint.connect_timeout().max(common.endpoint.response_timeout());
    endpoint::expect_primary(line.command(endpoint::hello(), deadline).await?)?;
    let mut no_evict = redis::cmd("CLIENT");
    no_evict.arg("NO-EVICT").arg("ON");
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in PREFIXES {
        tracking.arg("PREFIX").arg([&*common.prefix, prefix].concat());
    }
    for reply in line.pipeline([no_evict, tracking], deadline).await? {
        accept(reply)?;
    }
    let mut replies = line.pipeline(Incarnation::ask(), deadline).await?.into_iter();
    let (Some(server), Some(replication)) = (replies.next(), replies.next()) else {
        return Err(Fault::unexpected_reply());
    };
    let incarnation = Incarnation::read(server, replication)?;
    let dataset = common.bound().await?;
    expect_markers(line, primary, dataset, deadline).await?;
    Ok((incarnation, dataset))
}

/// Judges all markers that lie on a primary: of what is split between many ranges, a part may have been lost.
async fn expect_markers(
    line: &mut Line,
    primary: &Primary,
    dataset: DatasetId,
    deadline: Instant,
) -> Result<(), Fault> {
    for reply in line.pipeline(primary.markers().iter().map(|key| get(key)), deadline).await? {
        if !sends_elsewhere(&reply) {
            dataset::expect(reply, dataset)?;
        }
    }
    Ok(())
}

/// Makes sure of the slots that have come to a primary since it was caught up with.
async fn settle_slots(
    line: &mut Line,
    primary: &Primary,
    common: &Common,
    incarnation: &Incarnation,
    dataset: DatasetId,
) -> Result<(), Fault> {
    let Some(gained) = primary.unsure() else { return Ok(()) };
    expect_markers(line, primary, dataset, Instant::now() + common.endpoint.response_timeout()).await?;
    common.upkeep.catch_up_with_slots(primary, common, incarnation, line, &gained).await?;
    primary.be_sure_of(&gained);
    Ok(())
}

/// Renews the lease for as long as everything is as it was; returns what is not.
async fn renew(
    link: &mut Link,
    primary: &Primary,
    common: &Common,
    incarnation: &Incarnation,
    dataset: DatasetId,
) -> Fault {
    let mut missed = 0;
    let mut line = link.line();
    let mut duty = common.upkeep.duty(primary, common, incarnation);
    loop {
        if !primary.is_in(incarnation) {
            return incarnation::changed();
        }
        let lease = common.lease();
        let began = common.coherence.now();
        let question = async {
            settle_slots(&mut line, primary, common, incarnation, dataset).await?;
            let marker = primary.marker();
            let commands = [Incarnation::ask_again()].into_iter().chain(marker.as_deref().map(get));
            let mut replies = line.pipeline(commands, Instant::now() + lease).await?.into_iter();
            incarnation.expect(replies.next().unwrap_or(Value::Nil))?;
            match replies.next() {
                Some(reply) if sends_elsewhere(&reply) => primary.next_marker(),
                Some(reply) => drop(dataset::expect(reply, dataset)?),
                None => {}
            }
            Ok(())
        };
        let answered: Result<(), Fault> = tokio::select! {
            biased;
            fault = link.lost() => return fault,
            answered = question => answered,
        };
        match answered {
            Ok(()) => {
                missed = 0;
                common.observer.confirmed(common.coherence.now().since(began));
                common.leases.grant(&primary.address, began.plus(lease));
            }
            Err(fault) if fault.is_silence() => missed += 1,
            Err(fault) => {
                primary.end(&fault);
                return fault;
            }
        }
        if missed == MISSED {
            return Fault::unavailable("Redis hangs: the connection is open and nothing is answered");
        }
        let pause: Duration = lease / RENEWALS;
        let rest = async {
            if missed == 0 {
                duty.perform(primary, common, &mut line).await?;
            }
            let _ = timeout(pause, primary.doubted()).await;
            Ok(())
        };
        let rested: Result<(), Fault> = tokio::select! {
            biased;
            fault = link.lost() => return fault,
            rested = rest => rested,
        };
        match rested {
            Err(fault) if incarnation::is_changing(&fault) => {
                primary.end(&fault);
                return fault;
            }
            // The next question finds out.
            Err(_) | Ok(()) => {}
        }
    }
}

/// Asks what the primary's own settings mean, and says so once in each life.
async fn check_settings(primary: &Primary, common: &Common, line: &mut Line) {
    let deadline = Instant::now() + common.endpoint.response_timeout();
    let Ok(replies) = line.pipeline(settings::questions(), deadline).await else { return };
    let mut replies = replies.into_iter();
    let (Some(config), Some(info)) = (replies.next(), replies.next()) else { return };
    let findings = settings::judge(config, info).unwrap_or_default();
    for finding in &findings {
        match finding.severity {
            Severity::Unsafe => tracing::warn!(server = %primary.address, finding = finding.id, "{}", finding.text),
            Severity::Note => tracing::info!(server = %primary.address, finding = finding.id, "{}", finding.text),
        }
    }
    primary.set_findings(findings);
}

/// Something was written under a key, or may have been.
pub(super) fn hear(common: &Common, key: &[u8]) {
    if let Some(text) = key.strip_prefix(common.prefix.as_bytes()) {
        common.coherence.heard(if text.starts_with(b"m:") { ISSUER.as_bytes() } else { text });
    }
}

/// What is done with what a primary says unasked: at once, in the order in which it comes.
fn listener(primary: &Arc<Primary>, common: &Arc<Common>) -> Listener {
    let (primary, common) = (Arc::downgrade(primary), Arc::clone(common));
    Arc::new(move |push: PushInfo| match push.kind {
        PushKind::Invalidate => match push.data.first() {
            Some(Value::Array(keys)) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        hear(&common, key);
                        if let Some(text) = key.strip_prefix(common.prefix.as_bytes()) {
                            common.upkeep.heard(text);
                        }
                    }
                }
            }
            // Everything is gone: what that means, the tracker finds out.
            _ => {
                if let Some(primary) = primary.upgrade() {
                    common.leases.lose(&primary.address);
                    primary.doubt();
                }
            }
        },
        PushKind::Disconnection => {
            if let Some(primary) = primary.upgrade() {
                common.leases.lose(&primary.address);
            }
        }
        _ => {}
    })
}

//! What one call to the store works with: a deadline for all its round trips, and the way to the primary that has a
//! key.
//!
//! What was read counts only if the primary could still be believed when it was asked (see [`super::fence`]).
//!
//! A read is part of an introspection, whose future is made for each request and moved: what happens seldom is put on the
//! heap when it happens, so that it adds nothing to the size of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::{Cmd, ServerErrorKind, Value};
use tokio::time::{Duration, Instant, sleep};

use super::dataset::Marker;
use super::dial::Address;
use super::directory::slots::{Redirect, RedirectKind};
use super::durability::key::Key;
use super::fault::Fault;
use super::fleet::Fleet;
use super::incarnation;
use super::lane::{self, State};
use super::link::accept;
use super::primary::Primary;
use super::scripts::Invocation;
use super::tracker;
use super::{bytes, get};
use crate::coherence::clock::Moment;
use crate::token::epoch::Epoch;

/// One call.
pub(super) struct Call {
    fleet: Arc<Fleet>,
    deadline: Instant,
    /// Dropped when the call is over, for which whoever closes the store waits.
    _under_way: Arc<()>,
}

/// What a script has answered, and where.
struct Done {
    outcome: i64,
    primary: Arc<Primary>,
    state: Arc<State>,
}

/// What was read.
pub(super) struct Reading {
    /// The values of the keys, in their order; `None` for one that is not there.
    pub(super) values: Vec<Option<Vec<u8>>>,
    /// The markers that were read beside them.
    markers: Vec<Marker>,
    /// Who was asked.
    primaries: Vec<Arc<Primary>>,
}

/// How often a command is sent elsewhere without a pause.
const REDIRECTIONS: usize = 4;
/// How long to wait before a command is tried again whose keys are being moved.
const PAUSE: Duration = Duration::from_millis(5);

impl Call {
    /// Begins a call: its deadline runs from here.
    pub(super) fn begin(fleet: &Arc<Fleet>) -> Result<Self, Fault> {
        let deadline = Instant::now() + fleet.common.endpoint.response_timeout();
        Ok(Self { _under_way: fleet.enter()?, fleet: Arc::clone(fleet), deadline })
    }

    // --- reading ---

    /// The values of some keys, wherever they lie.
    pub(super) async fn read(&self, keys: Vec<String>) -> Result<Reading, Fault> {
        let members = self.fleet.members();
        let owner = members.owner_of(keys.first().map_or(b"", String::as_bytes))?;
        let mut others = keys.iter().skip(1).map(|key| members.owner_of(key.as_bytes()));
        let all_there = others.try_fold(true, |all, other| Ok::<_, Fault>(all && Arc::ptr_eq(&other?, &owner)))?;
        if all_there {
            let (values, marker) = self.read_of(&owner, keys).await?;
            return Ok(Reading { values, markers: marker.into_iter().collect(), primaries: vec![owner] });
        }
        Box::pin(self.read_of_several(keys)).await
    }

    /// The same of keys that lie on several primaries.
    async fn read_of_several(&self, keys: Vec<String>) -> Result<Reading, Fault> {
        let members = self.fleet.members();
        let mut by_primary = BTreeMap::<Address, (Arc<Primary>, Vec<usize>, Vec<String>)>::new();
        let count = keys.len();
        for (place, key) in keys.into_iter().enumerate() {
            let primary = members.owner_of(key.as_bytes())?;
            let (_, places, theirs) =
                by_primary.entry(primary.address.clone()).or_insert_with(|| (primary, Vec::new(), Vec::new()));
            places.push(place);
            theirs.push(key);
        }
        // All are asked before any is waited for.
        let asked = by_primary
            .into_values()
            .map(|(primary, places, keys)| async move { (self.read_of(&primary, keys).await, primary, places) });
        let mut reading = Reading { values: vec![None; count], markers: Vec::new(), primaries: Vec::new() };
        for (answered, primary, places) in join_all(asked).await {
            let (values, marker) = answered?;
            for (place, value) in places.into_iter().zip(values) {
                reading.values[place] = value;
            }
            reading.markers.extend(marker);
            reading.primaries.push(primary);
        }
        Ok(reading)
    }

    /// The values of some keys that all lie on one primary, and the marker that was read beside them.
    async fn read_of(
        &self,
        primary: &Arc<Primary>,
        keys: Vec<String>,
    ) -> Result<(Vec<Option<Vec<u8>>>, Option<Marker>), Fault> {
        let common = &self.fleet.common;
        let began = common.coherence.now();
        self.settled(primary, keys.iter().map(String::as_bytes)).await?;
        let state = self.lane(primary).await?;
        let State::Up(up) = &*state else { return Err(Fault::closed()) };
        let lane::Answer { keys, values, marker } = up.read(keys, self.deadline).await?;
        let mut found = Vec::with_capacity(keys.len());
        for (key, value) in keys.iter().zip(values) {
            if value != Value::Nil
                && let Some(text) = key.strip_prefix(&*common.prefix)
            {
                // Others may have seen it who tell nobody any more when this primary has gone.
                common.upkeep.seen(text);
            }
            found.push(if lane::sends_elsewhere(&value) {
                Box::pin(self.read_elsewhere(primary, key, value)).await?
            } else {
                bytes(accept(value)?)?
            });
        }
        self.believe(primary, began).await?;
        Ok((found, marker))
    }

    /// The value of a key that a primary has sent us elsewhere for.
    async fn read_elsewhere(&self, from: &Primary, key: &str, reply: Value) -> Result<Option<Vec<u8>>, Fault> {
        let (value, _, elsewhere) = self.follow(from, &get(key), key.as_bytes(), reply).await?;
        if let State::Up(up) = &*elsewhere {
            // Nothing but a marker: what was read there counts only if the data still is.
            up.read(Vec::new(), self.deadline).await?;
        }
        bytes(value)
    }

    /// Returns when it is certain that whoever was asked still was the primary when it had answered. Where something is
    /// not there, it may have been put in by way of another one, for the length of a lease.
    pub(super) async fn confirm(&self, reading: &Reading) -> Result<(), Fault> {
        self.confirm_all([reading]).await
    }

    /// The same of several readings at once.
    pub(super) async fn confirm_all<'a>(&self, readings: impl IntoIterator<Item = &'a Reading>) -> Result<(), Fault> {
        self.fleet.common.fence.passes(self.fleet.common.coherence.now(), self.deadline).await?;
        let mut primaries = readings.into_iter().flat_map(|reading| &reading.primaries);
        primaries.try_for_each(|primary| primary.expect_current())
    }

    /// The value of one key.
    pub(super) async fn value(&self, key: String) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.read(vec![key]).await?.values.pop().flatten())
    }

    /// Returns when what a primary answered to a question of `began` may be believed.
    async fn believe(&self, primary: &Primary, began: Moment) -> Result<(), Fault> {
        let fence = &self.fleet.common.fence;
        if !fence.covers_now(began) {
            Box::pin(fence.covers(began, self.deadline)).await?;
        }
        primary.expect_current()
    }

    // --- writing ---

    /// One command about one key.
    pub(super) async fn command(&self, key: &str, command: &Cmd) -> Result<Value, Fault> {
        let primary = self.fleet.owner_of(key.as_bytes())?;
        let reply = self.send(&primary, std::slice::from_ref(command)).await?.pop();
        let reply = reply.ok_or_else(Fault::unexpected_reply)?;
        if lane::sends_elsewhere(&reply) {
            return Ok(self.follow(&primary, command, key.as_bytes(), reply).await?.0);
        }
        accept(reply)
    }

    /// Several scripts; their replies in order. Those of one primary travel together, and those that Redis has
    /// forgotten are sent in full.
    pub(super) async fn scripts(&self, invocations: &[Invocation]) -> Result<Vec<i64>, Fault> {
        let done = self.run(invocations).await?;
        Ok(done.into_iter().map(|done| done.outcome).collect())
    }

    /// One script.
    pub(super) async fn script(&self, invocation: Invocation) -> Result<i64, Fault> {
        let replies = self.scripts(&[invocation]).await?;
        replies.first().copied().ok_or_else(Fault::unexpected_reply)
    }

    /// Several scripts that end something; returns when that will last as long as was asked for, and the primaries are
    /// known to have been the primaries then.
    pub(super) async fn endings(&self, invocations: &[Invocation]) -> Result<Vec<i64>, Fault> {
        let done = self.run(invocations).await?;
        let common = &self.fleet.common;
        let mut by_primary = BTreeMap::<Address, (&Done, Vec<Key>)>::new();
        for (done, invocation) in done.iter().zip(invocations) {
            let (_, keys) = by_primary.entry(done.primary.address.clone()).or_insert_with(|| (done, Vec::new()));
            let texts = invocation.keys().iter().filter_map(|key| key.strip_prefix(&*common.prefix));
            keys.extend(texts.filter_map(|text| Key::parse(text.as_bytes())));
        }
        for (done, keys) in by_primary.into_values() {
            let State::Up(up) = &*done.state else { return Err(Fault::closed()) };
            common.upkeep.make_last(&done.primary, common, up, keys, self.deadline).await?;
        }
        common.fence.passes(common.coherence.now(), self.deadline).await?;
        done.iter().try_for_each(|done| done.primary.expect_current())?;
        Ok(done.into_iter().map(|done| done.outcome).collect())
    }

    /// One script that ends something.
    pub(super) async fn ending(&self, invocation: Invocation) -> Result<i64, Fault> {
        let replies = self.endings(&[invocation]).await?;
        replies.first().copied().ok_or_else(Fault::unexpected_reply)
    }

    async fn run(&self, invocations: &[Invocation]) -> Result<Vec<Done>, Fault> {
        let members = self.fleet.members();
        let mut by_primary = BTreeMap::<Address, (Arc<Primary>, Vec<usize>)>::new();
        for (place, invocation) in invocations.iter().enumerate() {
            let primary = members.owner_of(invocation.key())?;
            by_primary.entry(primary.address.clone()).or_insert_with(|| (primary, Vec::new())).1.push(place);
        }
        // This node need not wait for word of what it does itself; and of a write whose outcome is unknown none may come.
        let _heard = Heard { fleet: &self.fleet, invocations };
        let mut all = Vec::new();
        for (primary, places) in by_primary.into_values() {
            self.settled(&primary, places.iter().map(|place| invocations[*place].key())).await?;
            let commands: Vec<_> = places.iter().map(|place| invocations[*place].by_hash()).collect();
            let state = self.lane(&primary).await?;
            let replies = self.send_through(&state, &commands).await?;
            let mut forgotten = Vec::new();
            for (place, reply) in places.into_iter().zip(replies) {
                if is_forgotten(&reply) {
                    forgotten.push(place);
                } else {
                    all.push((place, self.done(&primary, &state, &invocations[place], reply).await?));
                }
            }
            if !forgotten.is_empty() {
                let commands: Vec<_> = forgotten.iter().map(|place| invocations[*place].in_full()).collect();
                let replies = self.send_through(&state, &commands).await?;
                for (place, reply) in forgotten.into_iter().zip(replies) {
                    all.push((place, self.done(&primary, &state, &invocations[place], reply).await?));
                }
            }
        }
        all.sort_by_key(|(place, _)| *place);
        Ok(all.into_iter().map(|(_, done)| done).collect())
    }

    /// Makes sense of the reply to a script.
    async fn done(
        &self,
        primary: &Arc<Primary>,
        state: &Arc<State>,
        invocation: &Invocation,
        reply: Value,
    ) -> Result<Done, Fault> {
        let (reply, primary, state) = if lane::sends_elsewhere(&reply) {
            self.follow(primary, &invocation.in_full(), invocation.key(), reply).await?
        } else {
            (accept(reply)?, Arc::clone(primary), Arc::clone(state))
        };
        let Value::Int(outcome) = reply else { return Err(Fault::unexpected_reply()) };
        Ok(Done { outcome, primary, state })
    }

    // --- everywhere ---

    /// One command to every primary.
    pub(super) async fn everywhere(&self, command: &Cmd) -> Result<Vec<Value>, Fault> {
        let members = self.fleet.members();
        // Fails where there are none.
        members.owner_of(b"")?;
        let asked = members.primaries.iter().map(|primary| async move {
            let reply = self.send(primary, std::slice::from_ref(command)).await?.pop();
            accept(reply.ok_or_else(Fault::unexpected_reply)?)
        });
        join_all(asked).await.into_iter().collect()
    }

    // --- on the way ---

    /// A connection to a primary. While another life of it is being made sure of, that is waited for.
    async fn lane(&self, primary: &Primary) -> Result<Arc<State>, Fault> {
        loop {
            match primary.lane() {
                Err(fault) if incarnation::is_changing(&fault) && Instant::now() < self.deadline => {
                    primary.expect_current()?;
                    Box::pin(sleep(PAUSE)).await;
                }
                lane => return lane,
            }
        }
    }

    /// Returns when it is known what lies under these keys: of slots that have just come to a primary it is not at once.
    async fn settled<'a>(&self, primary: &Primary, keys: impl Iterator<Item = &'a [u8]>) -> Result<(), Fault> {
        for key in keys {
            while !primary.is_sure_of(key) {
                if Instant::now() >= self.deadline {
                    return Err(incarnation::changed());
                }
                Box::pin(sleep(PAUSE)).await;
            }
        }
        Ok(())
    }

    async fn send(&self, primary: &Primary, commands: &[Cmd]) -> Result<Vec<Value>, Fault> {
        let state = self.lane(primary).await?;
        self.send_through(&state, commands).await
    }

    async fn send_through(&self, state: &State, commands: &[Cmd]) -> Result<Vec<Value>, Fault> {
        let State::Up(up) = state else { return Err(Fault::closed()) };
        let replies = up.line.clone().pipeline(commands.iter().cloned(), self.deadline).await;
        match &replies {
            Ok(replies) if replies.iter().any(lane::is_of_a_replica) => up.doubt(),
            Err(fault) if fault.is_silence() => up.doubt(),
            _ => {}
        }
        replies
    }

    /// Sends a command where a node of a cluster says that it belongs, until one carries it out.
    async fn follow(
        &self,
        from: &Primary,
        command: &Cmd,
        key: &[u8],
        mut reply: Value,
    ) -> Result<(Value, Arc<Primary>, Arc<State>), Fault> {
        let mut target = from.address.clone();
        for round in 0.. {
            // While a slot changes hands, its nodes may send us to and fro for a moment.
            if round >= REDIRECTIONS {
                if Instant::now() >= self.deadline {
                    break;
                }
                sleep(PAUSE).await;
            }
            let Value::ServerError(error) = &reply else { return Err(Fault::unexpected_reply()) };
            let asking = match Redirect::of(error) {
                Some(Redirect { kind, host, port, .. }) => {
                    target = match (host, &target) {
                        (Some(host), _) => Address::tcp(host, port),
                        (None, Address::Tcp { host, .. }) => Address::tcp(host.clone(), port),
                        (None, Address::Unix(_)) => return Err(Fault::unexpected_reply()),
                    };
                    kind == RedirectKind::Ask
                }
                None if error.kind() == Some(ServerErrorKind::TryAgain) => {
                    sleep(PAUSE).await;
                    false
                }
                None => return Err(Fault::of_server(error)),
            };
            if !asking {
                // Somebody must find out who has the slot now.
                self.fleet.common.fence.ask();
            }
            let primary = self.reach(&from.address, &target, (!asking).then_some(key)).await?;
            let mut commands = Vec::new();
            if asking {
                commands.push(redis::cmd("ASKING"));
            }
            commands.push(command.clone());
            let state = self.lane(&primary).await?;
            reply = self.send_through(&state, &commands).await?.pop().ok_or_else(Fault::unexpected_reply)?;
            if !lane::sends_elsewhere(&reply) {
                self.believe(&primary, self.fleet.common.coherence.now()).await?;
                return Ok((accept(reply)?, primary, state));
            }
        }
        Err(Fault::unavailable("the nodes of the cluster send us from one to another"))
    }

    /// The primary at an address that a node named, or, when it goes by another name there, the new owner of the slot.
    /// One that is not known yet may be a moment later.
    async fn reach(&self, from: &Address, address: &Address, key: Option<&[u8]>) -> Result<Arc<Primary>, Fault> {
        loop {
            let members = self.fleet.members();
            let owner = key.and_then(|key| members.owner_of(key).ok()).filter(|owner| owner.address != *from);
            if let Some(primary) = members.at(address).or(owner)
                && primary.lane().is_ok()
            {
                return Ok(primary);
            }
            if Instant::now() >= self.deadline {
                return Err(Fault::unavailable("a node of the cluster that has a slot is not known yet"));
            }
            sleep(PAUSE).await;
        }
    }
}

/// Has this node hear of the keys of some scripts when it is dropped: after they were carried out, whatever became of
/// them.
struct Heard<'a> {
    fleet: &'a Fleet,
    invocations: &'a [Invocation],
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        for key in self.invocations.iter().flat_map(Invocation::keys) {
            tracker::hear(&self.fleet.common, key.as_bytes());
        }
    }
}

impl Reading {
    /// The epoch of all tokens, as far as it was read.
    pub(super) fn issuer_epoch(&self) -> Option<Epoch> {
        self.markers.iter().filter_map(|marker| marker.epoch).max_by_key(|epoch| epoch.until)
    }

    /// Whether a marker was read at all.
    pub(super) fn has_marker(&self) -> bool {
        !self.markers.is_empty()
    }
}

fn is_forgotten(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// Waits for all of some futures; their results in order.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_are_waited_for_and_come_back_in_order() {
        let (open, gate) = tokio::sync::oneshot::channel();
        let first = async { gate.await.unwrap_or(0) };
        let second = async {
            let _ = open.send(1);
            2
        };
        let all: Vec<std::pin::Pin<Box<dyn Future<Output = i32>>>> = vec![Box::pin(first), Box::pin(second)];
        assert_eq!(join_all(all).await, [1, 2]);
    }
}

//! The marks by which an emptied or foreign Redis is told from one that holds our tokens.
//!
//! Absence is an answer: no tombstone means "not revoked", no record "no such token". A server that has lost its data
//! answers the same, so that every batch of reads also reads a **marker**, last: it is there only if the data was still
//! there when the others were read, since no marker is ever made again.
//!
//! There is one marker for each of 128 ranges of slots, so that every primary of a cluster holds some. They are made
//! when a Redis without any is first used, and name the **dataset**, a number drawn at random. A marker also holds what
//! must be read with every token: the epoch of all tokens; and how long leases may be, the same for all nodes.
//!
//! ```text
//! version 1 | state 1 | dataset 16 | lease in milliseconds 4 | epoch 9 (a stamp of 0: none)
//! ```

use std::fmt;
use std::time::Duration;

use redis::{Cmd, Value};

use super::directory::slots::{self, MARKERS};
use super::fault::Fault;
use super::link::accept;
use crate::token::epoch::Epoch;

/// Names a dataset: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct DatasetId([u8; Self::BYTES]);

impl DatasetId {
    const BYTES: usize = 16;

    fn generate() -> Result<Self, Fault> {
        let mut bytes = [0; Self::BYTES];
        getrandom::fill(&mut bytes).map_err(|_| Fault::unavailable("there is no randomness to name a dataset with"))?;
        Ok(Self(bytes))
    }

    /// Reads what [`fmt::Display`] writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 2 * Self::BYTES).map(|id| Self(id.to_be_bytes()))
    }
}

impl fmt::Display for DatasetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for DatasetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Whether all others are there too.
    complete: bool,
    /// What everything beside it belongs to.
    pub(super) dataset: DatasetId,
    /// How long leases may be.
    pub(super) lease: Duration,
    /// The epoch of all tokens.
    pub(super) epoch: Option<Epoch>,
}

const VERSION: u8 = 2;
const INCOMPLETE: u8 = 0;
const COMPLETE: u8 = 1;
/// Size of the stored form.
const BYTES: usize = 31;
/// Where it says whether all are there.
const STATE_AT: usize = 1;
/// Where the epoch begins in it: also known to the script that raises it.
pub(super) const EPOCH_AT: usize = 22;

impl Marker {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.push(if self.complete { COMPLETE } else { INCOMPLETE });
        bytes.extend(self.dataset.0);
        bytes.extend(u32::try_from(self.lease.as_millis()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(self.epoch.map_or([0; Epoch::BYTES], Epoch::encode));
        bytes
    }

    /// Reads the reply to `GET`; `None` when there is none.
    pub(super) fn read(reply: Value) -> Result<Option<Self>, Fault> {
        let bytes = match accept(reply)? {
            Value::Nil => return Ok(None),
            Value::BulkString(bytes) => bytes,
            _ => return Err(Fault::unexpected_reply()),
        };
        Self::decode(&bytes).map(Some).ok_or_else(|| Fault::damaged("a marker of the dataset is not as written"))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let [VERSION, state @ (INCOMPLETE | COMPLETE), rest @ ..] = bytes else { return None };
        let (dataset, rest) = rest.split_first_chunk()?;
        let (lease, epoch) = rest.split_first_chunk()?;
        Some(Self {
            complete: *state == COMPLETE,
            dataset: DatasetId(*dataset),
            lease: Duration::from_millis(u32::from_be_bytes(*lease).into()),
            epoch: if epoch[..8] == [0; 8] { None } else { Some(Epoch::decode(epoch)?) },
        })
    }
}

/// Judges a marker that was read last in a batch: without it nothing that was read before it means anything.
pub(super) fn expect(reply: Value, dataset: DatasetId) -> Result<Marker, Fault> {
    match Marker::read(reply)? {
        Some(marker) if marker.dataset == dataset => Ok(marker),
        Some(_) => Err(Fault::unavailable("this Redis holds another dataset than before")),
        None => Err(lost()),
    }
}

/// What is said of a Redis that has lost its data.
pub(super) fn lost() -> Fault {
    Fault::unavailable("this Redis has lost its data: the marker of the dataset is missing")
}

/// The key of the marker of a range of slots.
pub(super) fn key(prefix: &str, place: usize) -> String {
    [prefix, "m:{", slots::marker_tag(place), "}"].concat()
}

/// What finding the dataset comes to.
#[derive(Debug)]
pub(super) enum Step {
    /// It is there.
    Found(Marker),
    /// These are to be written, each unless it is there, and then everything read again.
    Write(Vec<(usize, Cmd)>),
}

/// Decides, from all markers as they are now, what is to be done to have a dataset: find it, finish what another node
/// began, or make one.
///
/// One that is pinned by the configuration is only found: an empty Redis will not do.
pub(super) fn establish(
    prefix: &str,
    markers: &[Option<Marker>],
    pinned: Option<DatasetId>,
    lease: Duration,
) -> Result<Step, Fault> {
    let missing: Vec<usize> = (0..markers.len()).filter(|&place| markers[place].is_none()).collect();
    let set = |place: usize, marker: Marker, condition: &str| {
        let mut command = redis::cmd("SET");
        command.arg(key(prefix, place)).arg(marker.encode()).arg(condition);
        (place, command)
    };
    let Some(first) = markers.first().copied().flatten() else {
        if missing.len() < markers.len() || pinned.is_some() {
            return Err(lost());
        }
        let begun = Marker { complete: false, dataset: DatasetId::generate()?, lease, epoch: None };
        return Ok(Step::Write(vec![set(0, begun, "NX")]));
    };
    if pinned.is_some_and(|pinned| pinned != first.dataset)
        || markers.iter().flatten().any(|marker| marker.dataset != first.dataset)
    {
        return Err(Fault::unavailable("this Redis holds another dataset"));
    }
    match (first.complete, missing.is_empty()) {
        (true, true) => Ok(Step::Found(first)),
        (true, false) => Err(lost()),
        (false, false) => {
            let marker = Marker { complete: true, ..first };
            Ok(Step::Write(missing.into_iter().map(|place| set(place, marker, "NX")).collect()))
        }
        // Only now, so that whoever finds it complete may rely on the others; and nothing but this, since another node
        // may be further by now, and have raised the epoch.
        (false, true) => {
            let mut command = redis::cmd("SETRANGE");
            command.arg(key(prefix, 0)).arg(STATE_AT).arg(&[COMPLETE]);
            Ok(Step::Write(vec![(0, command)]))
        }
    }
}

/// The commands that read all markers, in the order of their ranges.
pub(super) fn reads(prefix: &str) -> Vec<Cmd> {
    (0..MARKERS).map(|place| super::get(&key(prefix, place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::record::Reason;
    use crate::token::time::Stamp;

    const LEASE: Duration = Duration::from_millis(200);

    fn marker(complete: bool, dataset: u8) -> Marker {
        Marker { complete, dataset: DatasetId([dataset; 16]), lease: LEASE, epoch: None }
    }

    /// The markers after the commands were carried out, as Redis does.
    fn write(markers: &mut [Option<Marker>], commands: Vec<(usize, Cmd)>) {
        for (place, command) in commands {
            let words: Vec<_> = command.args_iter().collect();
            match words[..] {
                [redis::Arg::Simple(b"SET"), _, redis::Arg::Simple(value), redis::Arg::Simple(b"NX")] => {
                    markers[place] = markers[place].or_else(|| Marker::decode(value));
                }
                [redis::Arg::Simple(b"SETRANGE"), _, redis::Arg::Simple(b"1"), redis::Arg::Simple([COMPLETE])] => {
                    markers[place] = markers[place].map(|marker| Marker { complete: true, ..marker });
                }
                _ => panic!("{command:?}"),
            }
        }
    }

    #[test]
    fn markers_are_read_as_they_are_written() {
        let epoch = Epoch { until: Stamp(7), reason: Reason::BULK };
        for marker in [marker(true, 1), marker(false, 2), Marker { epoch: Some(epoch), ..marker(true, 3) }] {
            let bytes = marker.encode();
            assert_eq!(bytes.len(), BYTES);
            assert_eq!(Marker::decode(&bytes), Some(marker));
            assert_eq!(Marker::decode(&bytes[..BYTES - 1]), None);
        }
        assert_eq!(&Marker { epoch: Some(epoch), ..marker(true, 3) }.encode()[EPOCH_AT..], epoch.encode());
        let id = DatasetId([0xA7; 16]);
        assert_eq!(DatasetId::parse(&id.to_string()), Some(id));
        assert_eq!(DatasetId::parse("a7"), None);
    }

    #[test]
    fn an_empty_redis_gets_a_dataset_in_three_steps_whoever_takes_them() {
        let mut markers = vec![None; MARKERS];
        let mut steps = 0;
        let found = loop {
            match establish("", &markers, None, LEASE).unwrap() {
                Step::Found(marker) => break marker,
                Step::Write(commands) => write(&mut markers, commands),
            }
            steps += 1;
        };
        assert_eq!(steps, 3);
        assert!(markers.iter().all(|marker| marker.unwrap().dataset == found.dataset));
    }

    #[test]
    fn one_marker_that_is_missing_is_a_loss() {
        for place in [0, 1, MARKERS - 1] {
            let mut markers = vec![Some(marker(true, 1)); MARKERS];
            markers[place] = None;
            assert!(establish("", &markers, None, LEASE).is_err(), "{place}");
        }
    }

    #[test]
    fn a_pinned_dataset_is_never_made_and_no_other_will_do() {
        let pinned = Some(DatasetId([1; 16]));
        assert!(establish("", &[None; MARKERS], pinned, LEASE).is_err());
        assert!(establish("", &[Some(marker(true, 2)); MARKERS], pinned, LEASE).is_err());
        assert!(matches!(establish("", &[Some(marker(true, 1)); MARKERS], pinned, LEASE), Ok(Step::Found(_))));
    }

    #[test]
    fn two_datasets_at_once_are_none() {
        let mut markers = vec![Some(marker(true, 1)); MARKERS];
        markers[5] = Some(marker(true, 2));
        assert!(establish("", &markers, None, LEASE).is_err());
    }

    #[test]
    fn what_was_read_before_a_marker_that_is_missing_or_foreign_means_nothing() {
        let id = DatasetId([1; 16]);
        let reply = |marker: Marker| Value::BulkString(marker.encode());
        assert!(expect(reply(marker(true, 1)), id).is_ok());
        assert!(expect(reply(marker(true, 2)), id).is_err());
        assert!(expect(Value::Nil, id).is_err());
        assert!(expect(Value::BulkString(vec![1]), id).is_err());
        assert!(expect(Value::Int(1), id).is_err());
    }
}

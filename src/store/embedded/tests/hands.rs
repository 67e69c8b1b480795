//! The hand in the disk: fills it, breaks it, and writes down what reaches it in which order.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::write::Write;
use crate::token::digest::TokenDigest;
use crate::token::record::State;

/// What happened, in order.
#[derive(Clone, Debug)]
pub(in crate::store::embedded) enum Event {
    Length(u64),
    Written {
        offset: u64,
        data: Vec<u8>,
    },
    Synced,
    /// A group of writes is about to be acknowledged.
    Acknowledged(Vec<(TokenDigest, State)>),
}

#[derive(Debug, Default)]
pub(in crate::store::embedded) struct Hands {
    full: AtomicBool,
    unreadable: AtomicBool,
    journal: Mutex<Vec<Event>>,
}

impl Hands {
    pub(super) fn fill_disk(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    pub(super) fn break_reading(&self, broken: bool) {
        self.unreadable.store(broken, Ordering::Release);
    }

    pub(super) fn journal(&self) -> Vec<Event> {
        self.journal.lock().unwrap().clone()
    }

    pub(in crate::store::embedded) fn read(&self) -> io::Result<()> {
        if self.unreadable.load(Ordering::Acquire) { Err(io::Error::other("broken by a test")) } else { Ok(()) }
    }

    pub(in crate::store::embedded) fn set_len(&self, length: u64) -> io::Result<()> {
        self.note_change(Event::Length(length))
    }

    pub(in crate::store::embedded) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note_change(Event::Written { offset, data: data.to_vec() })
    }

    pub(in crate::store::embedded) fn sync(&self) {
        self.journal.lock().unwrap().push(Event::Synced);
    }

    pub(in crate::store::embedded) fn answer(&self, writes: &[Write], committed: bool) {
        let states = writes.iter().flat_map(|write| match write {
            Write::Insert { tokens, .. } => tokens.iter().map(|token| (token.digest, State::Approved)).collect(),
            Write::SetState { digest, state, .. } => vec![(*digest, *state)],
            _ => vec![],
        });
        if committed {
            self.journal.lock().unwrap().push(Event::Acknowledged(states.collect()));
        }
    }

    fn note_change(&self, event: Event) -> io::Result<()> {
        if self.full.load(Ordering::Acquire) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.journal.lock().unwrap().push(event);
        Ok(())
    }
}

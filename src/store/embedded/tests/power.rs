//! A power loss, played out over the journal of what reached the disk: everything before the last sync is there; of
//! what came after it, any sectors are, and the others are not.
//!
//! Killing the process cannot show this, because the kernel writes out later what the process had written. What is
//! played here is still not a disk: it assumes one that has on it what was synced.

use std::collections::HashMap;
use std::fs;

use super::super::open::DATABASE_FILE;
use super::hands::Event;
use super::*;

const SECTOR: usize = 512;
const LOSSES: u64 = 150;

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// The file after a power loss right after `events`.
fn disk_after(events: &[Event], dice: &mut Dice) -> Vec<u8> {
    let synced = events.iter().rposition(|event| matches!(event, Event::Synced)).unwrap_or(0);
    let mut disk = Vec::new();
    for (position, event) in events.iter().enumerate() {
        match event {
            Event::Length(length) if position < synced || dice.roll(2) == 0 => {
                disk.resize(usize::try_from(*length).unwrap(), 0);
            }
            Event::Written { offset, data } => {
                let offset = usize::try_from(*offset).unwrap();
                for (sector, data) in data.chunks(SECTOR).enumerate() {
                    let start = offset + sector * SECTOR;
                    // Sectors beyond an end of the file that was not written down are lost with it.
                    if (position < synced || dice.roll(2) == 0) && start + data.len() <= disk.len() {
                        disk[start..start + data.len()].copy_from_slice(data);
                    }
                }
            }
            _ => {}
        }
    }
    disk
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_power_loss_at_any_moment() {
    let (_folder, clock, store) = open(Limits::default());
    let store = Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6 {
        let (store, now) = (Arc::clone(&store), clock.now());
        tasks.spawn(async move {
            for number in 0..40 {
                let token = token(task * 1000 + number, 60);
                store.insert(std::slice::from_ref(&token), None, now).await.unwrap();
                if number % 2 == 0 {
                    store.set_state(token.0, State::Revoked(Reason::REQUESTED), now).await.unwrap();
                }
            }
        });
    }
    while tasks.join_next().await.transpose().unwrap().is_some() {}
    let journal = store.shared.traffic.hands.journal();
    store.close().await;

    let first = journal.iter().position(|event| matches!(event, Event::Acknowledged(_))).unwrap();
    let mut dice = Dice(2026);
    let mut checked = 0;
    for loss in 0..LOSSES {
        // Every third right after an acknowledgement, when least of what follows can have helped it.
        let mut moment = first + 1 + usize::try_from(dice.roll((journal.len() - first) as u64)).unwrap();
        while loss % 3 == 0 && !matches!(journal[moment - 1], Event::Acknowledged(_)) {
            moment -= 1;
        }
        let events = &journal[..moment];
        let mut acknowledged = HashMap::new();
        for event in events {
            if let Event::Acknowledged(states) = event {
                acknowledged.extend(states.iter().copied());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(DATABASE_FILE), disk_after(events, &mut dice)).unwrap();
        let store = EmbeddedStore::open(folder.path(), clock.clone())
            .unwrap_or_else(|error| panic!("loss {loss} at event {moment}: {error}"));
        assert!(store.audit().unwrap().is_sound(), "loss {loss} at event {moment}");
        for (digest, state) in acknowledged {
            let (_, record) =
                store.token(&[digest]).await.unwrap().unwrap_or_else(|| panic!("loss {loss}: {digest:?}"));
            // A token that was revoked after its issue may be further than what had been acknowledged, never behind.
            if state != State::Approved {
                assert_eq!(record.state, state, "loss {loss} at event {moment}");
            }
            checked += 1;
        }
    }
    assert!(checked > LOSSES, "only {checked} acknowledged writes were looked at");
}

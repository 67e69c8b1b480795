//! The parent's book: what children said they did, and whether it is there.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{Around, Signed};
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::record::State;
use introspectd::token::time::{Clock, UnixSeconds};

use super::{CLOCK, PLAN, Plan, SEED, Tally};
use crate::child::{self, Role};
use crate::common::{Dice, START};

/// Something that is in the store or not, in one of its states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Token(TokenDigest),
    /// What is kept of a grant.
    Grant(GrantId),
    /// What of a grant is revoked.
    Mark(GrantId),
    /// The epoch of a user.
    Epoch(String),
    /// A signed token.
    Signed(TokenDigest),
    /// Something that can be used once.
    Used(GrantId),
    Client(String),
    Keys,
}

/// The state of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Absent,
    Approved,
    Revoked,
    /// What counts up: versions, moments, the exceptions in a mark.
    Version(u64),
    /// The refresh token of a grant.
    Current(TokenDigest),
}

/// One subject on its way to a condition, as child and parent speak of it: four words.
pub(super) fn to_words(subject: &Subject, condition: Condition, expires_at: UnixSeconds) -> String {
    let (kind, name) = match subject {
        Subject::Token(digest) => ("token", digest.to_text().to_string()),
        Subject::Grant(id) => ("grant", id.to_text().to_string()),
        Subject::Mark(id) => ("mark", id.to_text().to_string()),
        Subject::Epoch(user) => ("epoch", user.clone()),
        Subject::Signed(digest) => ("signed", digest.to_text().to_string()),
        Subject::Used(id) => ("used", id.to_text().to_string()),
        Subject::Client(id) => ("client", id.clone()),
        Subject::Keys => ("keys", "-".to_owned()),
    };
    let condition = match condition {
        Condition::Absent => "absent".to_owned(),
        Condition::Approved => "approved".to_owned(),
        Condition::Revoked => "revoked".to_owned(),
        Condition::Version(version) => format!("#{version}"),
        Condition::Current(digest) => format!("@{}", digest.to_text()),
    };
    format!(" {kind} {name} {condition} {}", expires_at.0)
}

fn from_words(words: &[&str]) -> Option<(Subject, Condition, UnixSeconds)> {
    let [kind, name, condition, expiry] = words else { return None };
    let subject = match *kind {
        "token" => Subject::Token(TokenDigest::from_text(name)?),
        "grant" => Subject::Grant(GrantId::from_text(name)?),
        "mark" => Subject::Mark(GrantId::from_text(name)?),
        "epoch" => Subject::Epoch((*name).to_owned()),
        "signed" => Subject::Signed(TokenDigest::from_text(name)?),
        "used" => Subject::Used(GrantId::from_text(name)?),
        "client" => Subject::Client((*name).to_owned()),
        "keys" => Subject::Keys,
        _ => return None,
    };
    let condition = match *condition {
        "absent" => Condition::Absent,
        "approved" => Condition::Approved,
        "revoked" => Condition::Revoked,
        other => match other.split_at_checked(1)? {
            ("#", version) => Condition::Version(version.parse().ok()?),
            ("@", digest) => Condition::Current(TokenDigest::from_text(digest)?),
            _ => return None,
        },
    };
    Some((subject, condition, UnixSeconds(expiry.parse().ok()?)))
}

#[derive(Debug)]
struct Known {
    condition: Condition,
    expires_at: UnixSeconds,
}

/// Everything that children said about one folder.
#[derive(Default)]
pub(super) struct Ledger {
    known: HashMap<Subject, Known>,
    /// Writes that were begun by the child that died, by task.
    begun: HashMap<u64, Vec<(Subject, Condition, UnixSeconds)>>,
    /// No child's clock was ever later.
    clock: UnixSeconds,
}

impl Ledger {
    /// Starts a child, notes what it says and kills it; says whether it died before it had opened the store.
    pub(super) fn live_through(&mut self, folder: &Path, plan: Plan, dice: &mut Dice, tally: &mut Tally) -> bool {
        self.clock = self.clock.max(START);
        let mut child = child::command(Role::Write, folder)
            .env(SEED, dice.next().to_string())
            .env(CLOCK, self.clock.0.to_string())
            .env(PLAN, format!("{plan:?}"))
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let mut pipe = BufReader::new(child.stderr.take().unwrap());
        let reader = thread::spawn(move || {
            let mut line = Vec::new();
            // A line without its end was cut off by the kill: nothing was said.
            while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) && line.last() == Some(&b'\n') {
                let text = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
                line.clear();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        // The child says when it begins to do what the plan wants it to die in.
        let (sign, moment) = match plan {
            Plan::Open => ("opening", dice.below(1_500)),
            Plan::Write => ("open", dice.below(60_000)),
            Plan::Sweep => ("piled", dice.below(30_000)),
        };
        let mut was_open = false;
        let mut end = None;
        loop {
            let patience = end.map_or(Duration::from_mins(1), |end: Instant| end.duration_since(Instant::now()));
            match lines.recv_timeout(patience) {
                Ok(line) => {
                    was_open |= line == "open";
                    if line == sign {
                        end = Some(Instant::now() + Duration::from_micros(moment));
                    }
                    self.note(&line, tally);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => panic!("the child ended by itself: {:?}", child.wait()),
            }
            if end.is_some_and(|end| end <= Instant::now()) {
                break;
            }
        }
        assert!(end.is_some(), "the child did not come as far as {sign:?}");
        child.kill().unwrap();
        let status = child.wait().unwrap();
        for line in lines {
            was_open |= line == "open";
            self.note(&line, tally);
        }
        reader.join().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "it ended before it was killed");
        !was_open
    }

    /// Takes one complete line down.
    fn note(&mut self, line: &str, tally: &mut Tally) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse().unwrap();
        match words.as_slice() {
            ["clock", second] => self.clock = UnixSeconds(number(second)),
            [">", task, writes @ ..] => {
                let writes =
                    writes.chunks(4).map(|write| from_words(write).unwrap_or_else(|| panic!("cannot read {line:?}")));
                assert!(self.begun.insert(number(task), writes.collect()).is_none(), "one write at a time: {line}");
            }
            ["<", task] => {
                tally.acknowledged += 1;
                for (subject, condition, expires_at) in self.begun.remove(&number(task)).unwrap() {
                    match (&subject, condition) {
                        (Subject::Client(_), _) => tally.clients += 1,
                        (Subject::Grant(_), _) if self.known.contains_key(&subject) => tally.rotated += 1,
                        (Subject::Mark(_) | Subject::Epoch(_), _) | (_, Condition::Revoked) => tally.revoked += 1,
                        (_, Condition::Approved) if !self.known.contains_key(&subject) => tally.issued += 1,
                        _ => {}
                    }
                    self.known.insert(subject, Known { condition, expires_at });
                }
            }
            ["opening" | "open" | "piled"] => {}
            _ => panic!("the child says: {line}"),
        }
    }

    /// Opens the folder and compares all that is known with what is there.
    pub(super) fn compare(&mut self, folder: &Path, tally: &mut Tally) -> Result<(), String> {
        let store = EmbeddedStore::open(folder, Clock::manual(self.clock)).map_err(|error| error.to_string())?;
        let audit = store.audit().map_err(|error| error.to_string())?;
        if !audit.is_sound() {
            return Err(format!("half done: {audit:?}"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            for writes in std::mem::take(&mut self.begun).into_values() {
                self.settle(&store, writes, tally).await?;
            }
            let (clock, mut gone) = (self.clock, Vec::new());
            for (subject, known) in &self.known {
                let found = look(&store, subject, clock).await;
                tally.compared += 1;
                if found == known.condition {
                    continue;
                }
                if found == Condition::Absent && known.expires_at <= clock {
                    gone.push(subject.clone());
                } else {
                    return Err(format!("{subject:?} is {found:?}, was acknowledged as {known:?}, clock {clock:?}"));
                }
            }
            tally.forgotten += gone.len() as u64;
            for subject in gone {
                self.known.remove(&subject);
            }
            store.close().await;
            Ok(())
        })
    }

    /// What was begun and not acknowledged: all of it is there, or none. From then on it is known.
    async fn settle(
        &mut self,
        store: &EmbeddedStore,
        writes: Vec<(Subject, Condition, UnixSeconds)>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        tally.begun += 1;
        let (mut done, mut undone) = (0, 0);
        for (subject, condition, expires_at) in writes {
            let before = self.known.get(&subject).map_or(Condition::Absent, |known| known.condition);
            let found = look(store, &subject, self.clock).await;
            let expired = expires_at <= self.clock;
            if found == condition {
                done += 1;
                self.known.insert(subject, Known { condition, expires_at });
            } else if found == before {
                undone += usize::from(!expired);
            } else if expired && found == Condition::Absent {
                self.known.remove(&subject);
            } else {
                return Err(format!("{subject:?} is {found:?}, was {before:?} and on its way to {condition:?}"));
            }
        }
        tally.begun_and_done += u64::from(done > 0);
        if done > 0 && undone > 0 { Err(format!("a write is half done: {done} and {undone}")) } else { Ok(()) }
    }
}

async fn look(store: &EmbeddedStore, subject: &Subject, clock: UnixSeconds) -> Condition {
    let nobody = Around::of_client("");
    match subject {
        Subject::Token(digest) => match store.token(&[*digest]).await.unwrap().map(|(_, record)| record.state) {
            None => Condition::Absent,
            Some(State::Approved) => Condition::Approved,
            Some(State::Revoked(_)) => Condition::Revoked,
        },
        Subject::Grant(id) => {
            store.grant(*id).await.unwrap().map_or(Condition::Absent, |kept| Condition::Current(kept.current))
        }
        Subject::Mark(id) => {
            let mark = store.grant_mark(*id).await.unwrap();
            if mark.is_empty() { Condition::Absent } else { Condition::Version(1 + mark.exempt.len() as u64) }
        }
        Subject::Epoch(user) => {
            let around = Around { subject: Some(user), ..nobody };
            let epoch = store.surroundings(around).await.unwrap().epochs.user;
            epoch.map_or(Condition::Absent, |epoch| Condition::Version(epoch.until.0))
        }
        Subject::Signed(token) => {
            let around = Around { signed: Some(Signed { token: *token, key: "" }), ..nobody };
            let revoked = store.surroundings(around).await.unwrap().revoked;
            revoked.map_or(Condition::Absent, |_| Condition::Revoked)
        }
        Subject::Used(id) => {
            // Asking is using: only who was told that it had not been used is told so now.
            let first = store.use_once(thing(*id), clock.plus(1), Clock::manual(clock).now()).await.unwrap();
            if first { Condition::Absent } else { Condition::Revoked }
        }
        Subject::Client(id) => store.client(id).await.unwrap().map_or(Condition::Absent, |document| {
            assert_eq!(document.body, document.version.to_string(), "version and body belong together");
            Condition::Version(document.version)
        }),
        Subject::Keys => store.signing_keys().await.unwrap().map_or(Condition::Absent, |document| {
            assert_eq!(document.body, document.version.to_string(), "version and body belong together");
            Condition::Version(document.version)
        }),
    }
}

/// What is used under this name.
pub(super) fn thing(id: GrantId) -> [u8; 32] {
    let mut thing = [0; 32];
    thing[..16].copy_from_slice(&id.0);
    thing
}

//! The child: says what it is about to do, does it, says that it was acknowledged, and goes on until it is killed.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use introspectd::client::ClientId;
use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{ClientWrite, Insertion, NewGrant, Rotation, RotationOutcome, Transition};
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::{GrantMark, GrantRecord, TokenFormat};
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::time::{Clock, Now, Stamp, UnixSeconds};
use introspectd::token::value::TokenKind;

use super::ledger::{Condition, Subject, thing, to_words};
use super::{CLOCK, PLAN, Plan, SEED};
use crate::child::say;
use crate::common::{Dice, START, created, record, until};

const TASKS: u64 = 8;
/// Far beyond anything that the clock of a child reaches.
const LONG: u64 = 1_000_000_000;
/// For what has no end.
const FOREVER: UnixSeconds = UnixSeconds(u32::MAX as u64);

/// Opens the store and writes until somebody kills this process.
pub(crate) fn write_until_killed(folder: &Path) {
    let variable = |name| env::var(name).unwrap();
    let seed: u64 = variable(SEED).parse().unwrap();
    let clock = Clock::manual(UnixSeconds(variable(CLOCK).parse().unwrap()));
    // So that no child outlives a parent that was itself killed.
    thread::spawn(|| {
        thread::sleep(Duration::from_mins(1));
        std::process::exit(1);
    });
    say("opening");
    let store = Arc::new(EmbeddedStore::open(folder, clock.clone()).unwrap());
    say("open");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        if variable(PLAN) == format!("{:?}", Plan::Sweep) {
            pile_up_and_forget(&store, &clock, seed).await;
        } else {
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..TASKS {
                let writer = Writer {
                    name: task,
                    dice: Dice(seed ^ (task << 56)),
                    clock: clock.clone(),
                    store: Arc::clone(&store),
                    tokens: Vec::new(),
                    grants: Vec::new(),
                    marks: Vec::new(),
                    epochs: Vec::new(),
                    signed: Vec::new(),
                    client: None,
                };
                tasks.spawn(writer.run());
            }
            loop {
                tokio::select! {
                    ended = tasks.join_next() => panic!("a writer ended: {ended:?}"),
                    () = tokio::time::sleep(Duration::from_millis(3)) => tick(&clock, 1),
                }
            }
        }
    });
}

/// Says how late it will be, then makes it so: the parent never believes it earlier than it was.
fn tick(clock: &Clock, seconds: u64) {
    say(&format!("clock {}", clock.now().seconds().plus(seconds).0));
    clock.advance(Duration::from_secs(seconds));
}

async fn pile_up_and_forget(store: &EmbeddedStore, clock: &Clock, seed: u64) {
    let mut dice = Dice(seed);
    let expires_at = clock.now().seconds().plus(60);
    for _ in 0..5 {
        let tokens: Vec<_> = (0..400).map(|_| (TokenDigest(dice.id()), record(expires_at))).collect();
        let line = tokens.iter().fold("> 0".to_owned(), |line, (digest, _)| {
            line + &to_words(&Subject::Token(*digest), Condition::Approved, expires_at)
        });
        say(&line);
        assert_eq!(store.insert(&tokens, None, clock.now()).await.unwrap(), Insertion::Done);
        say("< 0");
    }
    tick(clock, 61);
    say("piled");
    until("the parent kills", async || false).await;
}

/// One of several tasks that write at once, each to what is its own.
struct Writer {
    name: u64,
    dice: Dice,
    clock: Clock,
    store: Arc<EmbeddedStore>,
    tokens: Vec<(TokenDigest, bool)>,
    grants: Vec<(GrantId, GrantRecord)>,
    marks: Vec<(GrantId, GrantMark)>,
    epochs: Vec<(String, u64)>,
    signed: Vec<(TokenDigest, bool)>,
    client: Option<(ClientId, u64)>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            match self.dice.below(20) {
                0..=3 => self.issue().await,
                4..=5 => self.set_state(true).await,
                6 => self.set_state(false).await,
                7..=8 => self.issue_grant().await,
                9..=12 => self.rotate().await,
                13..=14 => self.mark().await,
                15 => self.raise_epoch().await,
                16 => self.set_signed_state().await,
                17 => self.use_once().await,
                // Whoever replaces what all share must be alone to know what becomes of it.
                18 if self.name == 0 => self.write_keys().await,
                _ => self.write_client().await,
            }
        }
    }

    fn begin(&self, writes: &[(Subject, Condition, UnixSeconds)]) {
        let writes = writes.iter().map(|(subject, condition, end)| to_words(subject, *condition, *end));
        say(&format!("> {}{}", self.name, writes.collect::<String>()));
    }

    fn acknowledged(&self) {
        say(&format!("< {}", self.name));
    }

    /// An end, and whether it is far away: the others come within seconds.
    fn end(&mut self) -> (UnixSeconds, bool) {
        self.end_after(self.clock.now())
    }

    fn end_after(&mut self, now: Now) -> (UnixSeconds, bool) {
        let long = self.dice.below(3) > 0;
        let lifetime = if long { LONG } else { 1 + self.dice.below(4) };
        (now.seconds().plus(lifetime), long)
    }

    /// One of so many.
    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.dice.below(count as u64)).unwrap()
    }

    /// One token, or two together.
    async fn issue(&mut self) {
        let (end, long) = self.end();
        let tokens: Vec<_> = (0..=self.dice.below(2)).map(|_| (TokenDigest(self.dice.id()), record(end))).collect();
        let writes: Vec<_> =
            tokens.iter().map(|(digest, _)| (Subject::Token(*digest), Condition::Approved, end)).collect();
        self.begin(&writes);
        assert_eq!(self.store.insert(&tokens, None, self.clock.now()).await.unwrap(), Insertion::Done);
        self.acknowledged();
        if long {
            self.tokens.extend(tokens.into_iter().map(|(digest, _)| (digest, false)));
        }
    }

    /// Revokes one that is approved, or approves one that is revoked.
    async fn set_state(&mut self, revoke: bool) {
        let of_use: Vec<usize> = (0..self.tokens.len()).filter(|position| self.tokens[*position].1 != revoke).collect();
        if of_use.is_empty() {
            return;
        }
        let chosen = of_use[self.pick(of_use.len())];
        let digest = self.tokens[chosen].0;
        let (state, condition) = if revoke {
            (State::Revoked(Reason::REQUESTED), Condition::Revoked)
        } else {
            (State::Approved, Condition::Approved)
        };
        self.begin(&[(Subject::Token(digest), condition, FOREVER)]);
        let outcome = self.store.set_state(digest, state, self.clock.now()).await.unwrap();
        assert_eq!(outcome, Transition::Changed);
        self.acknowledged();
        self.tokens[chosen].1 = revoke;
    }

    /// An access token and a grant in one write.
    async fn issue_grant(&mut self) {
        let (end, long) = self.end();
        let (id, current, access) = (GrantId(self.dice.id()), TokenDigest(self.dice.id()), TokenDigest(self.dice.id()));
        let kept = GrantRecord {
            current,
            previous: None,
            rotated_at: START,
            access,
            format: TokenFormat::Opaque,
            token: Record { kind: TokenKind::Refresh, ..record(end) },
        };
        self.begin(&[
            (Subject::Token(access), Condition::Approved, end),
            (Subject::Grant(id), Condition::Current(current), end),
        ]);
        let grant = NewGrant { id, record: kept.clone(), keep_until: end };
        let outcome = self.store.insert(&[(access, record(end))], Some(&grant), self.clock.now()).await.unwrap();
        assert_eq!(outcome, Insertion::Done);
        self.acknowledged();
        if long {
            self.grants.push((id, kept));
        }
    }

    /// One refresh token in the place of another, with an access token, in one write. The access token may end soon.
    async fn rotate(&mut self) {
        if self.grants.is_empty() {
            return;
        }
        let chosen = self.pick(self.grants.len());
        let (end, _) = self.end();
        let (id, kept) = self.grants[chosen].clone();
        let (current, access) = (TokenDigest(self.dice.id()), TokenDigest(self.dice.id()));
        let to = GrantRecord { current, previous: Some(kept.current), access, ..kept.clone() };
        self.begin(&[
            (Subject::Token(access), Condition::Approved, end),
            (Subject::Grant(id), Condition::Current(current), FOREVER),
        ]);
        let access = Some((access, record(end)));
        let rotation = Rotation { grant: id, from: kept.current, to: to.clone(), keep_until: end, access };
        assert_eq!(self.store.rotate(&rotation, self.clock.now()).await.unwrap(), RotationOutcome::Done);
        self.acknowledged();
        self.grants[chosen].1 = to;
    }

    /// Revokes a grant, approves single access tokens of one that is revoked, and approves all of it.
    async fn mark(&mut self) {
        let (end, long) = self.end();
        if self.marks.is_empty() || self.dice.below(3) == 0 {
            let id = GrantId(self.dice.id());
            let mark = GrantMark::default().revoked(Reason::REQUESTED);
            self.change_mark(id, &GrantMark::default(), &mark, end).await;
            if long {
                self.marks.push((id, mark));
            }
            return;
        }
        let chosen = self.pick(self.marks.len());
        let (id, before) = self.marks[chosen].clone();
        if before.exempt.len() < 5 {
            let after = before.exempted(TokenDigest(self.dice.id()), Stamp(1)).unwrap();
            self.change_mark(id, &before, &after, FOREVER).await;
            self.marks[chosen].1 = after;
        } else {
            self.change_mark(id, &before, &GrantMark::default(), FOREVER).await;
            self.marks.swap_remove(chosen);
        }
    }

    async fn change_mark(&self, id: GrantId, before: &GrantMark, after: &GrantMark, end: UnixSeconds) {
        let version = Condition::Version(1 + after.exempt.len() as u64);
        self.begin(&[(Subject::Mark(id), if after.is_empty() { Condition::Absent } else { version }, end)]);
        assert!(self.store.mark_grant(id, before, after, end).await.unwrap());
        self.acknowledged();
    }

    /// The epoch of a user, raised again and again, or one that ends soon.
    async fn raise_epoch(&mut self) {
        let (end, long) = self.end();
        if !long || self.epochs.len() < 3 {
            let user = GrantId(self.dice.id()).to_text().to_string();
            self.raise(&user, 1, end).await;
            if long {
                self.epochs.push((user, 1));
            }
            return;
        }
        let chosen = self.pick(self.epochs.len());
        let (user, until) = self.epochs[chosen].clone();
        self.raise(&user, until + 1, FOREVER).await;
        self.epochs[chosen].1 = until + 1;
    }

    async fn raise(&self, user: &str, until: u64, end: UnixSeconds) {
        self.begin(&[(Subject::Epoch(user.to_owned()), Condition::Version(until), end)]);
        let (axis, until, now) = (EpochAxis::User(user), Some(Stamp(until)), self.clock.now());
        assert!(self.store.raise_epoch(axis, until, Reason::BULK, end, now).await.unwrap());
        self.acknowledged();
    }

    /// Revokes a signed token, and approves it again.
    async fn set_signed_state(&mut self) {
        // Read once: the end may have come by the clock of a moment later.
        let now = self.clock.now();
        let (end, long) = self.end_after(now);
        let (token, revoked) = match self.signed.pop() {
            Some(known) if self.dice.below(2) == 0 => known,
            _ => (TokenDigest(self.dice.id()), false),
        };
        let (state, condition) = if revoked {
            (State::Approved, Condition::Absent)
        } else {
            (State::Revoked(Reason::REQUESTED), Condition::Revoked)
        };
        self.begin(&[(Subject::Signed(token), condition, end)]);
        let outcome = self.store.set_signed_state(token, state, end, now).await.unwrap();
        assert_eq!(outcome, Transition::Changed);
        self.acknowledged();
        if long && !revoked {
            self.signed.push((token, true));
        }
    }

    async fn use_once(&mut self) {
        let now = self.clock.now();
        let (end, _) = self.end_after(now);
        let id = GrantId(self.dice.id());
        self.begin(&[(Subject::Used(id), Condition::Revoked, end)]);
        assert!(self.store.use_once(thing(id), end, now).await.unwrap());
        self.acknowledged();
    }

    async fn write_keys(&mut self) {
        let version = self.store.signing_keys().await.unwrap().map_or(0, |document| document.version);
        let next = version + 1;
        self.begin(&[(Subject::Keys, Condition::Version(next), FOREVER)]);
        assert!(self.store.write_signing_keys(version, next.to_string().into()).await.unwrap());
        self.acknowledged();
    }

    /// Creates a client, replaces it a few times, deletes it.
    async fn write_client(&mut self) {
        let begin = |this: &Self, id: &ClientId, condition| {
            this.begin(&[(Subject::Client(id.to_string()), condition, FOREVER)]);
        };
        match self.client.take() {
            None => {
                let id = ClientId::parse(&GrantId(self.dice.id()).to_text().to_string()).unwrap();
                begin(self, &id, Condition::Version(1));
                let outcome = self.store.create_client(&id, "1".into(), self.clock.now()).await.unwrap();
                assert_eq!(outcome, ClientWrite::Done { version: 1 });
                self.client = Some((id, 1));
            }
            Some((id, version)) if self.dice.below(4) > 0 => {
                let next = version + 1;
                begin(self, &id, Condition::Version(next));
                let created = created(&self.store, &id).await;
                let outcome = self.store.replace_client(&id, version, created, next.to_string().into()).await.unwrap();
                assert_eq!(outcome, ClientWrite::Done { version: next });
                self.client = Some((id, next));
            }
            Some((id, _)) => {
                begin(self, &id, Condition::Absent);
                assert!(self.store.delete_client(&id).await.unwrap());
            }
        }
        self.acknowledged();
    }
}

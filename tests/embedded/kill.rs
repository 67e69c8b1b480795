//! The proof that `kill -9` loses nothing that was acknowledged.
//!
//! A child process opens a store and writes with several tasks at once: it issues, revokes, approves, revokes grants,
//! creates, replaces and deletes clients, while its clock runs fast so that tokens expire and are forgotten all the
//! time. Before each write it says what it is about to do, and after the store's answer that it was acknowledged. The
//! parent reads that, kills it at a random moment, opens the folder, and compares: what was acknowledged must be there,
//! what was only begun must be there wholly or not at all, and no row may miss its counterpart.
//!
//! A folder is killed in many times before a new one is begun, and everything ever written to it is compared each time.
//!
//! This shows what the end of the process does. It does not show a power loss, since the kernel lives on and writes out
//! what it was given: for that, see `src/store/embedded/tests/power.rs`.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use introspectd::client::ClientId;
use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{ClientWrite, Insertion, Transition};
use introspectd::token::decision::Standing;
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::record::{Grant, Reason, State};
use introspectd::token::time::{Clock, UnixSeconds};

use crate::child::{self, Role, say};
use crate::common::{Dice, START, created, record, until};

/// How often the child is killed: a minute's worth. `INTROSPECTD_TEST_FULL=1` asks for ten.
const ROUNDS: u64 = 1_000;
const FULL_ROUNDS: u64 = 10_000;
/// How often in one folder.
const ROUNDS_PER_FOLDER: u64 = 20;
const TASKS: u64 = 8;
/// Far beyond anything that the clock of a child reaches.
const LONG: u64 = 1_000_000_000;

const SEED: &str = "INTROSPECTD_TEST_SEED";
const FULL: &str = "INTROSPECTD_TEST_FULL";
const CLOCK: &str = "INTROSPECTD_TEST_CLOCK";
const PLAN: &str = "INTROSPECTD_TEST_PLAN";

/// What the child is doing when it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    /// Opening the store, which repairs it when the last child was killed too.
    Open,
    /// Issuing, revoking and so on from several tasks.
    Write,
    /// Forgetting a pile of expired tokens, with no other writes.
    Sweep,
}

#[test]
fn killed_at_any_moment_it_has_every_acknowledged_write() {
    let rounds = if env::var(FULL).is_ok_and(|value| value == "1") { FULL_ROUNDS } else { ROUNDS };
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(rounds) >> 32);
    say(&format!("kill -9: {rounds} rounds, {SEED}={seed}"));
    let start = Instant::now();
    let mut dice = Dice(seed);
    let mut tally = Tally::default();
    let mut folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for round in 0..rounds {
        if round % ROUNDS_PER_FOLDER == 0 {
            folder = tempfile::tempdir().unwrap();
            ledger = Ledger::default();
        }
        let plan = match dice.below(10) {
            0 | 1 => Plan::Open,
            // Making the database is the opening that happens once, so every other folder is killed in it.
            _ if round % ROUNDS_PER_FOLDER == 0 && dice.below(2) == 0 => Plan::Open,
            2 => Plan::Sweep,
            _ => Plan::Write,
        };
        let died_early = ledger.live_through(folder.path(), plan, &mut dice, &mut tally);
        tally.plans.entry(plan).or_default().0 += 1;
        tally.plans.entry(plan).or_default().1 += u64::from(died_early);
        ledger.compare(folder.path(), &mut tally).unwrap_or_else(|lost| {
            // What was left is worth looking at.
            folder.disable_cleanup(true);
            panic!("round {round} of seed {seed}, killed in {plan:?}: {lost}");
        });
    }
    say(&format!(
        "proof: kill -9: {rounds} rounds in {:.1} s, seed {seed}: {tally}: 0 lost, 0 half done",
        start.elapsed().as_secs_f64()
    ));
    assert!(tally.acknowledged > rounds, "too little was written for the test to mean anything: {tally}");
}

/// What was seen over all rounds.
#[derive(Default)]
struct Tally {
    acknowledged: u64,
    issued: u64,
    revoked: u64,
    clients: u64,
    begun: u64,
    begun_and_done: u64,
    compared: u64,
    forgotten: u64,
    plans: BTreeMap<Plan, (u64, u64)>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} writes acknowledged ({} issues, {} revocations, {} of clients), {} begun and not acknowledged (of which \
             {} were there), {} comparisons, {} expired and forgotten, kills",
            self.acknowledged,
            self.issued,
            self.revoked,
            self.clients,
            self.begun,
            self.begun_and_done,
            self.compared,
            self.forgotten
        )?;
        for (plan, (kills, early)) in &self.plans {
            write!(formatter, " in {plan:?} {kills} ({early} before it was open)")?;
        }
        Ok(())
    }
}

// === the parent ===

/// Something that is in the store or not, in one of its states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Token(TokenDigest),
    Grant(GrantId),
    Client(String),
}

/// The state of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Absent,
    Approved,
    Revoked,
    Version(u64),
}

#[derive(Debug)]
struct Known {
    condition: Condition,
    expires_at: UnixSeconds,
}

/// Everything that children said about one folder.
#[derive(Default)]
struct Ledger {
    known: HashMap<Subject, Known>,
    /// Writes that were begun by the child that died, by task.
    begun: HashMap<u64, Vec<(Subject, Condition, UnixSeconds)>>,
    /// No child's clock was ever later.
    clock: UnixSeconds,
}

impl Ledger {
    /// Starts a child, notes what it says and kills it; says whether it died before it had opened the store.
    fn live_through(&mut self, folder: &Path, plan: Plan, dice: &mut Dice, tally: &mut Tally) -> bool {
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
                let writes = writes.chunks(4).map(|write| {
                    let [kind, name, condition, expiry] = write else { panic!("cannot read {line:?}") };
                    let subject = match *kind {
                        "token" => Subject::Token(TokenDigest::from_text(name).unwrap()),
                        "grant" => Subject::Grant(GrantId::from_text(name).unwrap()),
                        _ => Subject::Client((*name).to_owned()),
                    };
                    let condition = match *condition {
                        "absent" => Condition::Absent,
                        "approved" => Condition::Approved,
                        "revoked" => Condition::Revoked,
                        version => Condition::Version(number(version)),
                    };
                    (subject, condition, UnixSeconds(number(expiry)))
                });
                assert!(self.begun.insert(number(task), writes.collect()).is_none(), "one write at a time: {line}");
            }
            ["<", task] => {
                tally.acknowledged += 1;
                for (subject, condition, expires_at) in self.begun.remove(&number(task)).unwrap() {
                    match (&subject, condition) {
                        (Subject::Client(_), _) => tally.clients += 1,
                        (_, Condition::Revoked) => tally.revoked += 1,
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
    fn compare(&mut self, folder: &Path, tally: &mut Tally) -> Result<(), String> {
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
                let found = look(&store, subject).await;
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
            let found = look(store, &subject).await;
            let expired = expires_at <= self.clock;
            if found == condition {
                done += 1;
            } else if found == before {
                undone += usize::from(!expired);
            } else if !(expired && found == Condition::Absent) {
                return Err(format!("{subject:?} is {found:?}, was {before:?} and on its way to {condition:?}"));
            }
            if found == Condition::Absent && before == Condition::Absent {
                self.known.remove(&subject);
            } else {
                self.known.insert(subject, Known { condition: found, expires_at });
            }
        }
        tally.begun_and_done += u64::from(done > 0);
        if done > 0 && undone > 0 { Err(format!("a write is half done: {done} and {undone}")) } else { Ok(()) }
    }
}

async fn look(store: &EmbeddedStore, subject: &Subject) -> Condition {
    match subject {
        Subject::Token(digest) => match store.token(&[*digest]).await.unwrap().map(|(_, record)| record.state) {
            None => Condition::Absent,
            Some(State::Approved) => Condition::Approved,
            Some(State::Revoked(_)) => Condition::Revoked,
        },
        Subject::Grant(id) => match store.surroundings("", Some(*id)).await.unwrap().grant {
            Standing::Approved => Condition::Absent,
            Standing::Revoked => Condition::Revoked,
        },
        Subject::Client(id) => store.client(id).await.unwrap().map_or(Condition::Absent, |document| {
            assert_eq!(document.body, document.version.to_string(), "version and body belong together");
            Condition::Version(document.version)
        }),
    }
}

// === the child ===

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
            format!("{line} token {} approved {}", digest.to_text(), expires_at.0)
        });
        say(&line);
        assert_eq!(store.insert(&tokens, clock.now()).await.unwrap(), Insertion::Done);
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
    client: Option<(ClientId, u64)>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            match self.dice.below(12) {
                0..=4 => self.issue().await,
                5..=7 => self.set_state(true).await,
                8 => self.set_state(false).await,
                9 => self.revoke_grant().await,
                _ => self.write_client().await,
            }
        }
    }

    fn begin(&self, what: &str) {
        say(&format!("> {}{what}", self.name));
    }

    fn acknowledged(&self) {
        say(&format!("< {}", self.name));
    }

    /// One token, or an access and a refresh token together, sometimes with only seconds to live.
    async fn issue(&mut self) {
        let long = self.dice.below(3) > 0;
        let lifetime = if long { LONG } else { 1 + self.dice.below(4) };
        let expires_at = self.clock.now().seconds().plus(lifetime);
        let tokens: Vec<_> =
            (0..=self.dice.below(2)).map(|_| (TokenDigest(self.dice.id()), record(expires_at))).collect();
        let mut line = String::new();
        for (digest, _) in &tokens {
            write!(line, " token {} approved {}", digest.to_text(), expires_at.0).unwrap();
        }
        self.begin(&line);
        assert_eq!(self.store.insert(&tokens, self.clock.now()).await.unwrap(), Insertion::Done);
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
        let chosen = of_use[usize::try_from(self.dice.below(of_use.len() as u64)).unwrap()];
        let digest = self.tokens[chosen].0;
        let (state, word) =
            if revoke { (State::Revoked(Reason::REQUESTED), "revoked") } else { (State::Approved, "approved") };
        self.begin(&format!(" token {} {word} {}", digest.to_text(), u32::MAX));
        let outcome = self.store.set_state(digest, state, self.clock.now()).await.unwrap();
        assert_eq!(outcome, Transition::Changed);
        self.acknowledged();
        self.tokens[chosen].1 = revoke;
    }

    async fn revoke_grant(&mut self) {
        let lifetime = if self.dice.below(2) == 0 { LONG } else { 1 + self.dice.below(4) };
        let grant = Grant { id: GrantId(self.dice.id()), expires_at: self.clock.now().seconds().plus(lifetime) };
        self.begin(&format!(" grant {} revoked {}", grant.id.to_text(), grant.expires_at.0));
        self.store.revoke_grant(grant, Reason::REQUESTED).await.unwrap();
        self.acknowledged();
    }

    /// Creates a client, replaces it a few times, deletes it.
    async fn write_client(&mut self) {
        let forever = u32::MAX;
        match self.client.take() {
            None => {
                let id = ClientId::parse(&GrantId(self.dice.id()).to_text().to_string()).unwrap();
                self.begin(&format!(" client {id} 1 {forever}"));
                let outcome = self.store.create_client(&id, "1".into(), self.clock.now()).await.unwrap();
                assert_eq!(outcome, ClientWrite::Done { version: 1 });
                self.client = Some((id, 1));
            }
            Some((id, version)) if self.dice.below(4) > 0 => {
                let next = version + 1;
                self.begin(&format!(" client {id} {next} {forever}"));
                let created = created(&self.store, &id).await;
                let outcome = self.store.replace_client(&id, version, created, next.to_string().into()).await.unwrap();
                assert_eq!(outcome, ClientWrite::Done { version: next });
                self.client = Some((id, next));
            }
            Some((id, _)) => {
                self.begin(&format!(" client {id} absent {forever}"));
                assert!(self.store.delete_client(&id).await.unwrap());
            }
        }
        self.acknowledged();
    }
}

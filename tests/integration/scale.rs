//! What holds at any number of tokens: revoking a million costs one write, and what has expired leaves nothing behind.
//!
//! Epochs are the exception that is meant: they are kept for as long as a token may live, which is ten years, and there
//! is one for each client, user or key that was ever named, however often that was.
//!
//! `INTROSPECTD_TEST_FULL=1` asks for the numbers that the promise is made for; less shows the same on every run.

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use introspectd::config::{RedisConfig, TokensConfig};
use introspectd::store::redis::{CLOCK_GRACE, RedisStore};
use introspectd::store::{Around, Insertion, NewGrant, Rotation, RotationOutcome, Transition};
use introspectd::token::decision::{Inactive, Parents, decide};
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::{GrantMark, GrantRecord};
use introspectd::token::record::{Reason, Record, State};
use introspectd::token::time::{Clock, Now, UnixSeconds};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::node::{Node, Registered};
use crate::support::redis::{PREFIX, RedisServer};
use crate::support::{eventually, grant_record, record};

/// How many tokens go to Redis in one piece.
const BATCH: u64 = 500;
/// Callers at the same time: enough to keep Redis busy on a small machine.
const CALLERS: u64 = 4;

fn now() -> Now {
    Clock::System.now()
}

fn at_full_length(short: u64, full: u64) -> u64 {
    if env::var("INTROSPECTD_TEST_FULL").is_ok_and(|value| value == "1") { full } else { short }
}

fn say(line: &str) {
    // Past the harness, which keeps what a test that passes has said.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).expect("somebody listens");
}

/// An id of its own for each number.
fn id(number: u64) -> [u8; 16] {
    id_of_kind(0, number)
}

/// The same where several things have one number.
fn id_of_kind(kind: u8, number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[0] = kind;
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

/// A store that is patient: what is measured here is not how long a call may take.
async fn patient(server: &RedisServer) -> Arc<RedisStore> {
    let config = RedisConfig { response_timeout: PATIENT, ..server.config() };
    Arc::new(RedisStore::open(&config).await.unwrap())
}

const PATIENT: Duration = Duration::from_secs(10);

/// Puts in access tokens of a client, those with these numbers.
async fn fill(store: &Arc<RedisStore>, client_id: &'static str, numbers: std::ops::Range<u64>, end: UnixSeconds) {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, numbers) = (Arc::clone(store), numbers.clone());
        callers.spawn(async move {
            let record = Record { client_id: client_id.into(), grant: None, ..record(end) };
            let mine: Vec<_> = numbers.filter(|number| number % CALLERS == caller).collect();
            for batch in mine.chunks(usize::try_from(BATCH).expect("a small number")) {
                let tokens: Vec<_> = batch.iter().map(|number| (TokenDigest(id(*number)), record.clone())).collect();
                assert_eq!(store.insert(&tokens, None, now()).await.unwrap(), Insertion::Done);
            }
        });
    }
    callers.join_all().await;
}

/// How often each command has run, those left out by which connections are watched and this is asked.
async fn commands(server: &RedisServer) -> BTreeMap<String, u64> {
    let text: String = server.command(&["INFO", "commandstats"]).await;
    let counts = text.lines().filter_map(|line| {
        let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let count = figures.split_once(',')?.0.parse().ok()?;
        (!["hello", "info", "client|setinfo", "config|resetstat"].contains(&name)).then(|| (name.to_owned(), count))
    });
    counts.collect()
}

/// Decides on a token as introspection does, from what is read there and then.
async fn verdict(store: &RedisStore, number: u64) -> Result<(), Inactive> {
    let (digest, record) = store.token(&[TokenDigest(id(number))]).await.unwrap().expect("it has not expired");
    let around = Around { subject: record.subject.as_deref(), ..Around::of_client(&record.client_id) };
    let surroundings = store.surroundings(around).await.unwrap();
    let parents = Parents { grant: surroundings.grant, epochs: surroundings.epochs, ..Parents::APPROVED };
    decide(digest, &record, &parents, now().seconds())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_all_tokens_of_a_client_is_one_write_whatever_their_number() {
    let tokens = at_full_length(20_000, 1_000_000);
    let server = RedisServer::start().await;
    let store = patient(&server).await;
    let end = now().seconds().plus(24 * 3600);
    let few = 10;
    let asked = Asked::start(&server).await;
    let beside = server.command::<u64>(&["DBSIZE"]).await;
    fill(&store, "small", tokens..tokens + few, end).await;
    let begun = Instant::now();
    fill(&store, "large", 0..tokens, end).await;
    let filled = begun.elapsed();
    // What the tokens of either client have in common is kept once.
    let profiles = 2;
    assert_eq!(server.command::<u64>(&["DBSIZE"]).await, beside + tokens + few + profiles);

    let raise = async |client_id| {
        let axis = EpochAxis::Client(client_id);
        // The node reads the signing keys every few seconds: right after that it asks for nothing by itself.
        server.command::<()>(&["CONFIG", "RESETSTAT"]).await;
        eventually("the node has read the signing keys", async || !commands(&server).await.is_empty()).await;
        server.command::<()>(&["CONFIG", "RESETSTAT"]).await;
        let begun = Instant::now();
        assert!(store.raise_epoch(axis, None, Reason::BULK, end, now()).await.unwrap());
        (commands(&server).await, begun.elapsed())
    };
    // Somebody else's first, which also makes Redis know the script.
    raise("other").await;
    let (for_few, _) = raise("small").await;
    let sample: Vec<_> = (0..1_000).map(|place| place * (tokens - 1) / 999).collect();
    for number in &sample {
        assert_eq!(verdict(&store, *number).await, Ok(()));
    }
    assert_eq!(asked.active().await, Asked::TOKENS);
    let (for_all, took) = raise("large").await;
    assert_eq!(asked.active().await, 0, "right after, over HTTP");
    for number in &sample {
        assert_eq!(verdict(&store, *number).await, Err(Inactive::ParentRevoked));
    }
    // Besides, the nodes read what they have just heard of, a few keys whenever they come to it.
    let writes = |commands: &BTreeMap<String, u64>| {
        let reads = ["get", "pexpiretime", "time"];
        commands.iter().filter(|(name, _)| !reads.contains(&name.as_str())).map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!((writes(&for_few), writes(&for_all)), (2, 2), "a script and its one write, for {few} as for {tokens}");
    let count: u64 = for_all.values().sum();
    assert!(count <= 20, "{for_all:?}");
    assert_eq!(server.command::<u64>(&["DBSIZE"]).await, beside + tokens + few + profiles + 3, "three epochs, no more");

    // What comes after it lives.
    fill(&store, "large", tokens + few..tokens + few + 1, end).await;
    assert_eq!(verdict(&store, tokens + few).await, Ok(()));
    say(&format!(
        "proof: bulk revocation: {tokens} tokens of one client (put in within {:.1} s) ended by {count} commands in \
         Redis ({}), {:.1} ms with the asking, as many as for {few} tokens; {} tokens asked for over HTTP right after, \
         then {} in the store, of all of them: none active",
        filled.as_secs_f64(),
        for_all.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", "),
        took.as_secs_f64() * 1e3,
        Asked::TOKENS,
        sample.len(),
    ));
}

/// A node, and tokens of the client that are asked for over HTTP.
struct Asked {
    node: Node,
    server: Registered,
    tokens: Vec<String>,
}

impl Asked {
    const TOKENS: usize = 100;

    async fn start(server: &RedisServer) -> Self {
        let patience = format!("{}s", PATIENT.as_secs());
        let settings = [("redis.response_timeout", patience.as_str()), ("tokens.access_lifetime", "24h")];
        let node = Node::over(("redis.url", server.url()), Clock::System, &settings).await;
        let owner = node.client(json!({"client_id": "large", "scope": "read write"})).await;
        let server = node.resource_server().await;
        let mut tokens = Vec::new();
        for _ in 0..Self::TOKENS {
            tokens.push(node.token(&owner).await);
        }
        Self { node, server, tokens }
    }

    /// How many of them are active.
    async fn active(&self) -> usize {
        let mut active = 0;
        for token in &self.tokens {
            active += usize::from(self.node.api.is_active(self.server.pair(), token).await);
        }
        active
    }
}

/// What Redis holds: keys, and bytes in use.
async fn size(server: &RedisServer) -> (u64, u64) {
    let text: String = server.command(&["INFO", "memory"]).await;
    let used = text.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().parse().unwrap();
    (server.command(&["DBSIZE"]).await, used)
}

/// What says that the data is still there: kept for ever.
const MARKERS: u64 = 128;

/// What is revoked in bulk all the time.
const AXES: [EpochAxis<'static>; 5] = [
    EpochAxis::Issuer,
    EpochAxis::Client("app"),
    EpochAxis::User("alice"),
    EpochAxis::ClientUser { client_id: "app", subject: "alice" },
    EpochAxis::Key("k"),
];

/// Lets a grant live through all that can happen to one: issued, refreshed, its first access token revoked, then all of
/// it; and beside it a signed token revoked, an assertion used, and something revoked in bulk. All of it ends then, but
/// for the epochs. Every key but theirs is counted by [`KEYS_PER_GRANT`].
async fn live(store: &RedisStore, number: u64, end: UnixSeconds) {
    let [refresh, next, access, renewed, signed] = [0, 1, 2, 3, 4].map(|kind| TokenDigest(id_of_kind(kind, number)));
    // What ends tokens is kept for so long beyond the end that is named.
    let end_of_mark = UnixSeconds(end.0 - CLOCK_GRACE);
    let grant = GrantId(id(number));
    let kept = GrantRecord { current: refresh, access, ..grant_record(1, end) };
    let new = NewGrant { id: grant, record: kept.clone(), keep_until: end };
    assert_eq!(store.insert(&[(access, record(end))], Some(&new), now()).await.unwrap(), Insertion::Done);
    let to = GrantRecord { current: next, previous: Some(refresh), access: renewed, ..kept };
    let rotation = Rotation { grant, from: refresh, to, keep_until: end, access: Some((renewed, record(end))) };
    assert_eq!(store.rotate(&rotation, now()).await.unwrap(), RotationOutcome::Done);

    let revoked = State::Revoked(Reason::REQUESTED);
    assert_eq!(store.set_state(access, revoked, now()).await.unwrap(), Transition::Changed);
    let mark = GrantMark::default().revoked(Reason::REQUESTED);
    assert!(store.mark_grant(grant, &GrantMark::default(), &mark, end_of_mark).await.unwrap());
    assert_eq!(store.set_signed_state(signed, revoked, end_of_mark, now()).await.unwrap(), Transition::Changed);
    let mut what = [0; 32];
    what[..16].copy_from_slice(&id(number));
    assert!(store.use_once(what, end, now()).await.unwrap());
    let axis = AXES[usize::try_from(number % 5).expect("a small number")];
    let keep_until = now().seconds().plus(TokensConfig::LONGEST_LIFETIME.as_secs());
    store.raise_epoch(axis, None, Reason::BULK, keep_until, now()).await.unwrap();
}

/// Two access tokens, the tombstone of one, the grant, its mark, the tombstone of a signed token, what was used once.
const KEYS_PER_GRANT: u64 = 7;

/// The same for many grants at a time.
async fn live_all(store: &Arc<RedisStore>, numbers: std::ops::Range<u64>, end: UnixSeconds) {
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let (store, numbers) = (Arc::clone(store), numbers.clone());
        callers.spawn(async move {
            for number in numbers.filter(|number| number % 16 == caller) {
                live(&store, number, end).await;
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_tokens_have_expired_the_memory_of_redis_is_what_it_was() {
    let grants = at_full_length(2_000, 100_000);
    // Tables that Redis shrinks in steps, and what its allocator keeps beside them.
    let tolerance = 256 * 1024;
    let server = RedisServer::start().await;
    let store = patient(&server).await;
    store.create_client(&introspectd::client::ClientId::parse("app").unwrap(), "{}".into(), now()).await.unwrap();
    store.write_signing_keys(0, "{}".into()).await.unwrap();
    // Once in small, so that scripts are known, buffers are as large as they get, and every epoch is there.
    live_all(&store, 0..64, now().seconds().plus(3)).await;
    let patience = Duration::from_mins(1);
    // That of all tokens is kept in the markers of the dataset, and that of a user's group beside the user's own.
    let epochs = u64::try_from(AXES.len()).expect("a small number");
    // What the tokens have in common outlasts them by some minutes.
    let profiles = 1;
    let lasting = 3 + epochs + profiles + MARKERS;
    wait(&server, patience, "the first few are forgotten", |(keys, _)| keys == lasting).await;
    let (keys, baseline) = size(&server).await;

    let lifetime = 10 + grants / 500;
    let end = now().seconds().plus(lifetime);
    live_all(&store, 0..grants, end).await;
    let (most, peak) = size(&server).await;
    assert!(
        now().seconds() < end && most == keys + KEYS_PER_GRANT * grants,
        "{most} keys: the machine is too slow for this test"
    );
    let endless = endless_keys(&server).await;
    assert_eq!(endless, ["c:{YXBw}", "i:c", "k:signing"].map(|key| format!("{PREFIX}{key}")));

    wait(
        &server,
        patience + Duration::from_secs(lifetime),
        "everything is forgotten, and memory given back",
        |(keys, used)| keys == lasting && used <= baseline + tolerance,
    )
    .await;
    let (left, after) = size(&server).await;
    assert_eq!(left, keys);
    expect_epochs_alone(&server).await;
    let kib = |bytes: u64| bytes / 1024;
    say(&format!(
        "proof: memory of Redis: {grants} grants, each refreshed once and revoked, with a signed token revoked, an \
         assertion used and something revoked in bulk: {most} keys and {} KiB at the most ({} bytes per grant with all \
         of that); after all had expired {left} keys and {} KiB, before {keys} and {} KiB: {epochs} epochs, \
         raised {grants} times and kept for ten years, and without an end a client, the index of clients and the \
         signing keys",
        kib(peak),
        (peak - baseline) / grants,
        kib(after),
        kib(baseline),
    ));
}

/// One epoch per axis is what is left with an end, and that is as far off as a token can live; and for some minutes what the
/// tokens had in common.
async fn expect_epochs_alone(server: &RedisServer) {
    let (mut epochs, longest) = (0, TokensConfig::LONGEST_LIFETIME.as_secs());
    for key in server.keys().await {
        let left: i64 = server.command(&["TTL", &key]).await;
        match u64::try_from(left) {
            Ok(left) if key.starts_with(&format!("{PREFIX}p:")) => assert!(left < 3600, "{key} for {left} s"),
            Ok(left) => {
                assert!(key.starts_with(&format!("{PREFIX}e:")) && !key.starts_with(&format!("{PREFIX}e:g:")), "{key}");
                assert!((longest - 3600..=longest + CLOCK_GRACE + 1).contains(&left), "{key} for {left} s");
                epochs += 1;
            }
            Err(_) => assert_eq!(left, -1, "{key} has no end"),
        }
    }
    assert_eq!(epochs, AXES.len(), "all but that of all tokens, and that of a group of users");
}

/// The keys that Redis would keep for ever, in order. Asked page by page: no reply may take as long as a timeout.
async fn endless_keys(server: &RedisServer) -> Vec<String> {
    let mut endless = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let (next, page): (String, Vec<String>) = server.command(&["SCAN", &cursor, "COUNT", "5000"]).await;
        let mut asked = redis::pipe();
        for key in &page {
            asked.cmd("PTTL").arg(key);
        }
        let left: Vec<i64> = if page.is_empty() { vec![] } else { server.pipeline(&asked).await };
        endless.extend(page.into_iter().zip(left).filter(|(_, left)| *left == -1).map(|(key, _)| key));
        endless.retain(|key: &String| !key.starts_with(&format!("{PREFIX}m:")));
        if next == "0" {
            break;
        }
        cursor = next;
    }
    endless.sort();
    endless.dedup();
    endless
}

async fn wait(server: &RedisServer, patience: Duration, what: &str, done: impl Fn((u64, u64)) -> bool) {
    let begun = Instant::now();
    loop {
        let size = size(server).await;
        if done(size) {
            return;
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}: {size:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

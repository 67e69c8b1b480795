//! What a read of Redis costs, with the way there and back: alone, and 64 that are under way at once.
//!
//! Redis is another process: its share is in these times, and on a machine with few cores it takes turns with ours.

mod support;
mod timing;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use introspectd::config::{Config, RedisConfig, Sources, StoreConfig};
use introspectd::store::redis::RedisStore;
use introspectd::store::{Around, Insertion};
use introspectd::token::digest::TokenDigest;
use introspectd::token::time::Clock;
use tempfile::TempDir;
use tokio::runtime;

use support::{Content, NOW, Numbers};
use timing::each;

const TOKENS: usize = 20_000;
/// How many go into one write.
const BATCH: usize = 1_000;
/// How many reads are under way at once: those of as many requests that came together.
const AT_ONCE: usize = 64;

/// A server of the bench's own, ended with it.
struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .arg("--dir")
            .arg(folder.path());
        let process = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("this bench needs a Redis 7 server: apt-get install redis-server")
            }
            Err(error) => panic!("redis-server does not start: {error}"),
        };
        let mut server = Self { process, port, _folder: folder };
        for _ in 0..200 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return server;
            }
            if let Ok(Some(status)) = server.process.try_wait() {
                panic!("redis-server ended at once: {status}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server takes no connections");
    }

    fn config(&self) -> RedisConfig {
        let overrides = [
            ("redis.url", format!("redis://127.0.0.1:{}", self.port)),
            ("redis.connect_timeout", "5s".to_owned()),
            ("keys.digest", r#"[{"id": "01", "secret": "a secret of the benches, long enough for a key"}]"#.to_owned()),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value)).into();
        let config = Config::load(&Sources { files: vec![], environment: BTreeMap::new(), overrides });
        match config.expect("these settings are good ones").store {
            StoreConfig::Redis(config) => *config,
            StoreConfig::Embedded { .. } => unreachable!("a URL was given"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(criterion: &mut Criterion) {
    let server = Server::start();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let store = runtime.block_on(RedisStore::open(&server.config())).expect("the settings are good ones");
    let clock = Clock::manual(NOW);
    let mut numbers = Numbers::new();
    let [kept, unknown] = [(); 2].map(|()| (0..TOKENS).map(|_| numbers.digest()).collect::<Vec<TokenDigest>>());
    // Redis lets records go at the end of the token by its own clock.
    let record = Content::Usual.record();
    let mut record_kept = record.clone();
    record_kept.expires_at = Clock::System.now().seconds().plus(86_400);
    for batch in kept.chunks(BATCH) {
        let tokens: Vec<_> = batch.iter().map(|digest| (*digest, record_kept.clone())).collect();
        let insertion = runtime.block_on(store.insert(&tokens, None, clock.now()));
        assert_eq!(insertion.expect("Redis answers"), Insertion::Done);
    }
    let mut group = criterion.benchmark_group("store/redis");
    group.throughput(Throughput::Elements(1));
    for (name, digests, is_kept) in [("hit", &kept, true), ("miss", &unknown, false)] {
        each(&mut group, &runtime, name, async || {
            let digest = digests[numbers.below(TOKENS)];
            let found = store.token(black_box(&[digest])).await.expect("Redis answers");
            assert_eq!(found.map(|(found, _)| found), is_kept.then_some(digest));
        });
    }
    each(&mut group, &runtime, "surroundings", async || {
        let around = Around {
            subject: record.subject.as_deref(),
            grant: record.grant.map(|grant| grant.id),
            ..Around::of_client(black_box("s6BhdRkqt3"))
        };
        assert_eq!(store.surroundings(around).await.expect("Redis answers").client, None);
    });
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    each(&mut group, &runtime, "64 hits at once", async || {
        let digests: [TokenDigest; AT_ONCE] = std::array::from_fn(|_| kept[numbers.below(TOKENS)]);
        let found = join_all(digests.chunks(1).map(|digest| store.token(black_box(digest)))).await;
        for (found, digest) in found.into_iter().zip(digests) {
            assert_eq!(found.expect("Redis answers").map(|(found, _)| found), Some(digest));
        }
    });
    group.finish();
    runtime.block_on(store.close());
}

criterion_group!(benches, read);
criterion_main!(benches);

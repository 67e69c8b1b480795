//! What a read of the embedded store costs, on the thread of the caller.

mod support;
mod timing;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::{Around, Insertion};
use introspectd::token::digest::TokenDigest;
use introspectd::token::time::Clock;
use tempfile::TempDir;
use tokio::runtime;

use support::{Content, NOW, Numbers};
use timing::each;

/// Enough for a tree of several levels; all of it stays in memory.
const TOKENS: usize = 20_000;
/// How many go into one write.
const BATCH: usize = 1_000;

fn read(criterion: &mut Criterion) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let folder = TempDir::new().expect("there is room for a folder");
    let clock = Clock::manual(NOW);
    let store = EmbeddedStore::open(folder.path(), clock.clone()).expect("the folder is new");
    let mut numbers = Numbers::new();
    let kept: Vec<TokenDigest> = (0..TOKENS).map(|_| numbers.digest()).collect();
    let unknown: Vec<TokenDigest> = (0..TOKENS).map(|_| numbers.digest()).collect();
    let record = Content::Usual.record();
    for batch in kept.chunks(BATCH) {
        let tokens: Vec<_> = batch.iter().map(|digest| (*digest, record.clone())).collect();
        let insertion = runtime.block_on(store.insert(&tokens, None, clock.now()));
        assert_eq!(insertion.expect("the store is open"), Insertion::Done);
    }
    let mut group = criterion.benchmark_group("store/embedded");
    group.throughput(Throughput::Elements(1));
    for (name, digests, is_kept) in [("hit", &kept, true), ("miss", &unknown, false)] {
        each(&mut group, &runtime, name, async || {
            let digest = digests[numbers.below(digests.len())];
            let found = store.token(black_box(&[digest])).await.expect("the store is open");
            assert_eq!(found.map(|(found, _)| found), is_kept.then_some(digest));
        });
    }
    // An imported token is looked for under each of at most four keys.
    each(&mut group, &runtime, "hit under the last of four keys", async || {
        let place = numbers.below(TOKENS);
        let digests = [unknown[place], unknown[(place + 1) % TOKENS], unknown[(place + 2) % TOKENS], kept[place]];
        let found = store.token(black_box(&digests)).await.expect("the store is open");
        assert_eq!(found.map(|(found, _)| found), Some(kept[place]));
    });
    each(&mut group, &runtime, "surroundings", async || {
        let around = Around {
            subject: record.subject.as_deref(),
            grant: record.grant.map(|grant| grant.id),
            ..Around::of_client(black_box("s6BhdRkqt3"))
        };
        let found = store.surroundings(around).await;
        assert_eq!(found.expect("the store is open").client, None);
    });
    group.finish();
    runtime.block_on(store.close());
}

criterion_group!(benches, read);
criterion_main!(benches);

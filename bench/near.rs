//! What a question to the near cache of ours costs, everything included that makes its answer one to rely on: the
//! clock, the lease, and the counters of the seven names that a token of a user rests on.

mod memory;
mod support;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use introspectd::token::digest::TokenDigest;

use memory::{Answer, Memory};
use support::Numbers;

/// Tokens that are asked about: as many as the service remembers by default.
const TOKENS: usize = 50_000;

fn near(criterion: &mut Criterion) {
    let mut numbers = Numbers::new();
    let [kept, missing, others] = [(); 3].map(|()| (0..TOKENS).map(|_| numbers.digest()).collect::<Vec<_>>());
    let memory = Memory::holding(&kept, &missing);
    let mut group = criterion.benchmark_group("near");
    group.throughput(Throughput::Elements(1));
    let mut ask =
        |group: &mut BenchmarkGroup<'_, WallTime>, name: &str, memory: &Memory, digests: &[TokenDigest], expected| {
            group.bench_function(name, |bencher| {
                bencher.iter(|| assert_eq!(memory.ask(black_box(&digests[numbers.below(TOKENS)])), expected));
            });
        };
    ask(&mut group, "hit", &memory, &kept, Answer::Known);
    ask(&mut group, "negative", &memory, &missing, Answer::Missing);
    ask(&mut group, "miss", &memory, &others, Answer::Nothing);
    for (name, what) in [("hit beside hits", Beside::Hits), ("hit beside fills", Beside::Fills)] {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| other_thread(&memory, &kept, what, &ended));
            ask(&mut group, name, &memory, &kept, Answer::Known);
            ended.store(true, Ordering::Relaxed);
        });
    }
    let revoked = Memory::holding(&kept, &[]);
    for digest in &kept {
        revoked.hear(*digest);
    }
    ask(&mut group, "revoked meanwhile", &revoked, &kept, Answer::Nothing);
    drop(revoked);
    group.bench_function("fill", |bencher| {
        bencher.iter(|| memory.keep(black_box(kept[numbers.below(TOKENS)])));
    });
    group.finish();
}

/// What another thread does all the while.
#[derive(Clone, Copy)]
enum Beside {
    Hits,
    Fills,
}

fn other_thread(memory: &Memory, kept: &[TokenDigest], what: Beside, ended: &AtomicBool) {
    let mut numbers = Numbers::new();
    while !ended.load(Ordering::Relaxed) {
        let digest = kept[numbers.below(TOKENS)];
        match what {
            Beside::Hits => assert_eq!(memory.ask(&digest), Answer::Known),
            Beside::Fills => memory.keep(digest),
        }
    }
}

criterion_group!(benches, near);
criterion_main!(benches);

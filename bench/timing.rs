//! How calls are timed that have to be awaited.

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, measurement::WallTime};
use tokio::runtime::Runtime;

/// Times many calls inside one runtime: entering it for each would cost about as much as a read.
pub(crate) fn each(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    mut call: impl AsyncFnMut(),
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| -> Duration {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..times {
                    call().await;
                }
                begin.elapsed()
            })
        });
    });
}

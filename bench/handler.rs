//! What an introspection costs from a parsed head and a whole body to its answer: all that is ours, and no socket.

mod site;
mod timing;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime;

use site::{FORM, JSON, Site};
use timing::each;

/// As many as a batch may have.
const TOKENS: usize = 1_000;

fn introspect(criterion: &mut Criterion) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let site = runtime.block_on(Site::open());
    let mut group = criterion.benchmark_group("handler");
    let (hot, revoked) = runtime.block_on(async { (site.token().await, site.token().await) });
    runtime.block_on(site.post("/revoke", FORM, format!("token={revoked}")));
    group.throughput(Throughput::Elements(1));
    for (name, token, active) in
        [("hot", &*hot, true), ("revoked", &revoked, false), ("garbage", "itd_at_and_nothing", false)]
    {
        let (body, expected) = (Bytes::from(format!("token={token}")), format!("{{\"active\":{active}"));
        each(&mut group, &runtime, name, async || {
            let answer = site.post("/introspect", FORM, black_box(body.clone())).await;
            assert!(answer.starts_with(expected.as_bytes()));
        });
    }
    let tokens = runtime.block_on(async {
        let mut tokens = Vec::new();
        for _ in 0..TOKENS {
            tokens.push(site.token().await);
        }
        for token in &tokens {
            site.post("/introspect", FORM, format!("token={token}")).await;
        }
        tokens
    });
    let body = Bytes::from(serde_json::json!({ "tokens": tokens }).to_string());
    group.throughput(Throughput::Elements(TOKENS as u64));
    each(&mut group, &runtime, "batch", async || {
        let answer = site.post("/introspect/batch", JSON, black_box(body.clone())).await;
        assert!(answer.starts_with(b"{\"results\":[{\"active\":true") && answer.len() > TOKENS * 100);
    });
    group.finish();
}

criterion_group!(benches, introspect);
criterion_main!(benches);

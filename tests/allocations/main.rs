//! What a hot introspection takes from the allocator, so that nothing is added to it unnoticed.
//!
//! Counted is the handler alone, from a parsed head and a whole body to the answer: what hyper takes before and after is
//! the same for everybody. The requests are put together outside of what is counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../bench/site.rs"]
mod site;

use allocation_counter::measure;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use introspectd::server::Handler as _;

use site::{FORM, JSON, Site, request};

/// How often the allocator is asked for an answer that contains `expected`.
fn allocations(site: &Site, path: &str, kind: &str, body: &str, expected: &str) -> u64 {
    let mut request = request(path, kind, body.to_owned());
    let mut answer = None;
    let taken = measure(|| answer = site.face.handle(&mut request, &site.peer).now_or_never());
    let answer = answer.expect("what is remembered is answered without waiting");
    let body = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
    assert!(std::str::from_utf8(&body).unwrap().contains(expected), "{body:?}");
    taken.count_total
}

/// The headers of the answer: a list, and the places of its names.
const OF_THE_ANSWER: u64 = 2;

#[tokio::test]
async fn a_hot_introspection_takes_no_more_than_the_headers_of_its_answer() {
    const ACTIVE: &str = "\"active\":true";
    let site = Site::open().await;
    let form = format!("token={}", site.token().await);
    for _ in 0..3 {
        site.post("/introspect", FORM, form.clone()).await;
    }
    let counts: Vec<_> = (0..5).map(|_| allocations(&site, "/introspect", FORM, &form, ACTIVE)).collect();
    assert!(counts.iter().all(|count| *count <= OF_THE_ANSWER), "{counts:?}");
    let inactive = allocations(&site, "/introspect", FORM, "token=itd_at_garbage", "false");
    assert!(inactive <= OF_THE_ANSWER, "{inactive}");
}

#[tokio::test]
async fn a_batch_takes_no_more_for_many_tokens_than_for_few() {
    let site = Site::open().await;
    let token = site.token().await;
    let of = |count: usize| format!("{{\"tokens\":[{}]}}", vec![format!("\"{token}\""); count].join(","));
    for _ in 0..3 {
        site.post("/introspect", FORM, format!("token={token}")).await;
        site.post("/introspect/batch", JSON, of(3)).await;
    }
    let few = allocations(&site, "/introspect/batch", JSON, &of(10), "true");
    let many = allocations(&site, "/introspect/batch", JSON, &of(1000), "true");
    // Lists grow in steps.
    assert!(few < 30 && many < few + 20, "{few} for ten, {many} for a thousand");
}

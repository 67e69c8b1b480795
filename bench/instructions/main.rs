//! How many instructions the steps of the hot path take, counted by callgrind, each with the most that it may take.
//!
//! A count does not depend on who else uses the machine, so a build server can hold it where it could hold no time. It
//! says nothing about caches, branches and the kernel: that is what the other benches are for.
//!
//! Each step is counted once, after it was done some times: what is made at first use is not its own. Its answer is
//! checked outside of what is counted.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "of what the macros write")]

#[path = "../memory.rs"]
mod memory;
#[path = "../site.rs"]
mod site;
#[path = "../support.rs"]
mod support;

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::FutureExt as _;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use introspectd::auth::credentials::{BasicPair, BodyCredentials, Credentials};
use introspectd::form::{self, Form, Parameter};
use introspectd::http::Answer;
use introspectd::server::{Handler as _, RequestBody};
use introspectd::token::digest::TokenDigest;
use introspectd::token::identity::Identity;
use introspectd::token::keyring::{Candidates, KeyRing};
use introspectd::token::record::Record;
use introspectd::token::value::{Presented, TokenValue};
use introspectd::token::{answer, codec};
use tokio::runtime::{self, Runtime};

use memory::Memory;
use site::{FORM, JSON, Site, request};
use support::{Content, Numbers, keys};

/// Tokens of the batch.
const TOKENS: usize = 1_000;
/// How often a step is done before it is counted.
const BEFORE: usize = 5;

/// Fails the run when a step takes more instructions than this.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

// --- a token's text ---

struct Presentation {
    keys: KeyRing,
    text: String,
    expected: fn(&Candidates) -> bool,
}

fn valid() -> Presentation {
    let keys = keys(1);
    let (value, _) = keys.mint().expect("there is randomness");
    presentation(keys, value.expose().to_owned(), |found| matches!(found, Candidates::One(_)))
}

fn altered() -> Presentation {
    let Presentation { keys, mut text, .. } = valid();
    let other = if text.ends_with('A') { "B" } else { "A" };
    text.replace_range(TokenValue::LENGTH - 1.., other);
    presentation(keys, text, |found| *found == Candidates::Garbage)
}

fn foreign() -> Presentation {
    let text = "eyJhbGciOiJIUzI1NiJ9.aGVsbG8.".to_owned() + &"x".repeat(43);
    presentation(keys(4), text, |found| found.digests().len() == KeyRing::MAX_KEYS)
}

fn presentation(keys: KeyRing, text: String, expected: fn(&Candidates) -> bool) -> Presentation {
    for _ in 0..BEFORE {
        black_box(keys.recognise(Presented::new(&text)));
    }
    Presentation { keys, text, expected }
}

#[library_benchmark(teardown = recognised)]
#[bench::valid(args = (valid()), config = at_most(1_220))]
#[bench::altered(args = (altered()), config = at_most(1_210))]
#[bench::foreign_under_four_keys(args = (foreign()), config = at_most(6_210))]
fn recognise(given: Presentation) -> (Presentation, Candidates) {
    let found = given.keys.recognise(Presented::new(black_box(&given.text)));
    (given, found)
}

fn recognised((given, found): (Presentation, Candidates)) {
    assert!((given.expected)(&found), "{found:?}");
}

// --- what a request says ---

struct Body {
    text: String,
    token: String,
}

fn body(before: &str, token: &str) -> Body {
    let body = Body { text: format!("{before}token={}", form::encode(token)), token: token.to_owned() };
    for _ in 0..BEFORE {
        black_box(Form::parse(body.text.as_bytes()).is_ok());
    }
    body
}

const TOKEN: &str = "itd_at_01dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk01234567";

#[library_benchmark(teardown = parsed)]
#[bench::token_alone(args = (body("", TOKEN)), config = at_most(1_380))]
#[bench::secret_in_the_body(args = (body("client_id=rs&client_secret=q3hGv0yK5nU8cVtBz1dRf7wXp2mJ4sLa&", TOKEN)), config = at_most(3_220))]
#[bench::escaped(args = (body("", &"a+b/c==".repeat(20))), config = at_most(6_950))]
fn parse_form(given: Body) -> (Body, bool) {
    let form = Form::parse(black_box(given.text.as_bytes())).expect("it is well-formed");
    let found = form.get(Parameter::Token) == Some(&given.token);
    drop(form);
    (given, found)
}

fn parsed((_, found): (Body, bool)) {
    assert!(found);
}

fn basic() -> HeaderMap {
    let pair = BasicPair::encode("rs", "q3hGv0yK5nU8cVtBz1dRf7wXp2mJ4sLa9eTi6oYb_-A");
    let mut headers = HeaderMap::new();
    let value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 fits into a header");
    headers.insert(AUTHORIZATION, value);
    for _ in 0..BEFORE {
        black_box(Credentials::find(&headers, BodyCredentials::default()).is_ok());
    }
    headers
}

#[library_benchmark(teardown = authenticated)]
#[bench::usual(args = (basic()), config = at_most(4_680))]
fn read_basic(given: HeaderMap) -> (HeaderMap, bool) {
    let found = match Credentials::find(black_box(&given), BodyCredentials::default()) {
        Ok(Credentials::Basic { pair, .. }) => pair.forms().any(|form| form.id == "rs"),
        _ => false,
    };
    (given, found)
}

fn authenticated((_, found): (HeaderMap, bool)) {
    assert!(found);
}

// --- what is remembered, and what is kept ---

struct Question {
    memory: Memory,
    digest: TokenDigest,
    expected: memory::Answer,
}

fn question(kept: bool, missing: bool) -> Question {
    let mut numbers = Numbers::new();
    let digests: Vec<_> = (0..TOKENS).map(|_| numbers.digest()).collect();
    let (known, unknown) = digests.split_at(TOKENS / 2);
    let memory = Memory::holding(known, unknown);
    let (digest, expected) = match (kept, missing) {
        (true, _) => (known[7], memory::Answer::Known),
        (false, true) => (unknown[7], memory::Answer::Missing),
        (false, false) => (numbers.digest(), memory::Answer::Nothing),
    };
    for _ in 0..BEFORE {
        black_box(memory.ask(&digest));
    }
    Question { memory, digest, expected }
}

#[library_benchmark(teardown = asked)]
#[bench::hit(args = (question(true, false)), config = at_most(414))]
#[bench::negative(args = (question(false, true)), config = at_most(540))]
#[bench::miss(args = (question(false, false)), config = at_most(400))]
fn ask_memory(given: Question) -> (Question, memory::Answer) {
    let answer = given.memory.ask(black_box(&given.digest));
    (given, answer)
}

fn asked((given, answer): (Question, memory::Answer)) {
    assert_eq!(answer, given.expected);
}

fn stored(content: Content) -> (Vec<u8>, Record) {
    let record = content.record();
    let bytes = codec::encode(&record).expect("it fits");
    for _ in 0..BEFORE {
        black_box(codec::decode(&bytes).is_ok());
    }
    (bytes, record)
}

#[library_benchmark(teardown = decoded)]
#[bench::usual(args = (stored(Content::Usual)), config = at_most(3_250))]
#[bench::large(args = (stored(Content::Large)), config = at_most(21_200))]
fn decode((bytes, record): (Vec<u8>, Record)) -> (Vec<u8>, Record, Record) {
    let decoded = codec::decode(black_box(&bytes)).expect("it was encoded before");
    (bytes, record, decoded)
}

fn decoded((_, record, decoded): (Vec<u8>, Record, Record)) {
    assert_eq!(decoded, record);
}

fn answered(content: Content) -> (Identity, Record) {
    let given = (Identity::Opaque(Numbers::new().digest()), content.record());
    for _ in 0..BEFORE {
        black_box(answer::render(&given.0, &given.1, &given.1.scope, ISSUER));
    }
    given
}

const ISSUER: &str = "https://issuer.example.com";

#[library_benchmark(teardown = rendered)]
#[bench::usual(args = (answered(Content::Usual)), config = at_most(3_330))]
#[bench::large(args = (answered(Content::Large)), config = at_most(11_200))]
fn render((identity, record): (Identity, Record)) -> (Identity, Record, Vec<u8>) {
    let body = answer::render(black_box(&identity), black_box(&record), &record.scope, ISSUER);
    (identity, record, body)
}

fn rendered((_, record, body): (Identity, Record, Vec<u8>)) {
    let body: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
    assert_eq!((&body["active"], &body["client_id"]), (&true.into(), &(*record.client_id).into()));
}

// --- all of it ---

struct Asked {
    site: &'static Site,
    request: Request<RequestBody>,
    expected: &'static str,
    /// How long the body of the answer is at least.
    bytes: usize,
}

/// A node on a runtime that is never ended: the process is.
fn site() -> (&'static Runtime, &'static Site) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    let site = runtime.block_on(Site::open());
    (runtime, Box::leak(Box::new(site)))
}

fn hot() -> Asked {
    let (runtime, site) = site();
    let token = runtime.block_on(site.token());
    introspection(runtime, site, &token, "{\"active\":true")
}

fn revoked() -> Asked {
    let (runtime, site) = site();
    let token = runtime.block_on(site.token());
    runtime.block_on(site.post("/revoke", FORM, format!("token={token}")));
    introspection(runtime, site, &token, "{\"active\":false}")
}

fn garbage() -> Asked {
    let (runtime, site) = site();
    introspection(runtime, site, "itd_at_and_nothing", "{\"active\":false}")
}

fn introspection(runtime: &Runtime, site: &'static Site, token: &str, expected: &'static str) -> Asked {
    let body = Bytes::from(format!("token={token}"));
    for _ in 0..BEFORE {
        runtime.block_on(site.post("/introspect", FORM, body.clone()));
    }
    Asked { site, request: request("/introspect", FORM, body), expected, bytes: expected.len() }
}

fn batch() -> Asked {
    let (runtime, site) = site();
    let body = runtime.block_on(async {
        let mut tokens = Vec::new();
        for _ in 0..TOKENS {
            let token = site.token().await;
            site.post("/introspect", FORM, format!("token={token}")).await;
            tokens.push(token);
        }
        let body = Bytes::from(serde_json::json!({ "tokens": tokens }).to_string());
        for _ in 0..BEFORE {
            site.post("/introspect/batch", JSON, body.clone()).await;
        }
        body
    });
    let expected = "{\"results\":[{\"active\":true";
    Asked { site, request: request("/introspect/batch", JSON, body), expected, bytes: TOKENS * 100 }
}

#[library_benchmark(teardown = handled)]
#[bench::hot(args = (hot()), config = at_most(7_730))]
#[bench::revoked(args = (revoked()), config = at_most(7_520))]
#[bench::garbage(args = (garbage()), config = at_most(5_580))]
#[bench::batch_of_a_thousand(args = (batch()), config = at_most(2_690_000))]
fn handle(mut given: Asked) -> (Asked, Option<Answer>) {
    let Asked { site, request, .. } = &mut given;
    // Polled where it is: it would be a copy of its size to hand it to somebody who polls it once.
    let answer = match pin!(site.face.handle(request, &site.peer)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    };
    (given, answer)
}

fn handled((given, answer): (Asked, Option<Answer>)) {
    let answer = answer.expect("what is remembered is answered without waiting");
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().now_or_never().expect("it is all there").expect("it is in memory");
    let body = body.to_bytes();
    assert!(body.starts_with(given.expected.as_bytes()) && body.len() >= given.bytes, "{}", body.escape_ascii());
}

library_benchmark_group!(name = steps, benchmarks = [recognise, parse_form, read_basic, ask_memory, decode, render]);
library_benchmark_group!(name = handler, benchmarks = [handle]);
main!(library_benchmark_groups = [steps, handler]);

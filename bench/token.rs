//! What the token room costs: making and recognising a text, the stored form, and the answer.

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use introspectd::token::answer;
use introspectd::token::codec;
use introspectd::token::identity::Identity;
use introspectd::token::keyring::{Candidates, KeyRing};
use introspectd::token::value::{Presented, TokenValue};

use support::{Content, Numbers, keys};

/// The check value at the end of a token: 6 bytes in base64url.
const CHECK_CHARACTERS: usize = 8;

fn mint(criterion: &mut Criterion) {
    let keys = keys(1);
    criterion.bench_function("token/mint", |bencher| {
        bencher.iter(|| {
            let (value, digest) = keys.mint().expect("there is randomness");
            assert_eq!(value.expose().len(), TokenValue::LENGTH);
            digest
        });
    });
}

type Expected = fn(&Candidates) -> bool;

/// What a presented text turns out to be, before any look-up.
fn recognise(criterion: &mut Criterion) {
    let (one, four) = (keys(1), keys(4));
    let (value, digest) = one.mint().expect("there is randomness");
    let ours = value.expose().to_owned();
    let mut altered = ours.clone();
    altered.replace_range(20..21, if &ours[20..21] == "A" { "B" } else { "A" });
    let short = ours[..ours.len() - 1].to_owned();
    let foreign = "eyJhbGciOiJIUzI1NiJ9.aGVsbG8.".to_owned() + &"x".repeat(43);
    let long = "x".repeat(*TokenValue::IMPORT_BYTES.end());
    let scenarios: [(&str, &KeyRing, &str, Expected); 6] = [
        ("valid", &one, &ours, |found| matches!(found, Candidates::One(_))),
        ("altered", &one, &altered, |found| *found == Candidates::Garbage),
        ("garbage", &one, &short, |found| *found == Candidates::Garbage),
        ("foreign", &one, &foreign, |found| found.digests().len() == 1),
        ("foreign, four keys", &four, &foreign, |found| found.digests().len() == 4),
        ("foreign, longest", &one, &long, |found| found.digests().len() == 1),
    ];
    assert_eq!(one.recognise(Presented::new(&ours)), Candidates::One(digest));
    let mut group = criterion.benchmark_group("token/recognise");
    for (name, keys, text, expected) in scenarios {
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let found = keys.recognise(Presented::new(black_box(text)));
                assert!(expected(&found));
                found
            });
        });
    }
    group.finish();
}

/// Digest and check value apart. Both come of one keyed hash over the part of the text before the check value.
fn digest(criterion: &mut Criterion) {
    let (keys, others) = (keys(1), keys(4));
    let (value, _) = keys.mint().expect("there is randomness");
    let mut group = criterion.benchmark_group("token/digest");
    group.throughput(Throughput::Elements(1));
    let body = &value.expose().as_bytes()[..TokenValue::LENGTH - CHECK_CHARACTERS];
    let expected = blake3::keyed_hash(&[7; blake3::KEY_LEN], body);
    group.bench_function("the hash alone", |bencher| {
        bencher.iter(|| {
            let hash = blake3::keyed_hash(black_box(&[7; blake3::KEY_LEN]), black_box(body));
            assert_eq!(hash.as_bytes(), expected.as_bytes());
        });
    });
    let import = TokenValue::import(&"x".repeat(300)).expect("it could be a Bearer token");
    let expected = keys.digest_of_import(&import);
    group.bench_function("of an import", |bencher| {
        bencher.iter(|| assert_eq!(keys.digest_of_import(black_box(&import)), expected));
    });
    let secret = "q3hGv0yK5nU8cVtBz1dRf7wXp2mJ4sLa9eTi6oYb_-A";
    let (id, kept) = keys.digest_secret(secret);
    group.bench_function("of a client secret, compared", |bencher| {
        bencher.iter(|| assert!(keys.secret_matches(id, &kept, black_box(secret))));
    });
    group.finish();
    // A ring without its key reads the text and its check value, and hashes nothing.
    let stranger = value.expose().replacen("00", "99", 1);
    criterion.bench_function("token/check value/read", |bencher| {
        bencher.iter(|| {
            let found = others.recognise(Presented::new(black_box(&stranger)));
            assert!(matches!(found, Candidates::UnknownKey(_)));
        });
    });
}

fn stored_form(criterion: &mut Criterion) {
    for (name, content) in Content::ALL {
        let record = content.record();
        let bytes = codec::encode(&record).expect("it fits");
        let length = bytes.len();
        criterion.bench_function(&format!("token/encode/{name}"), |bencher| {
            bencher.iter(|| {
                let bytes = codec::encode(black_box(&record)).expect("it fits");
                assert_eq!(bytes.len(), length);
                bytes
            });
        });
        assert_eq!(codec::decode(&bytes).as_ref(), Ok(&record));
        criterion.bench_function(&format!("token/decode/{name}"), |bencher| {
            bencher.iter(|| {
                let decoded = codec::decode(black_box(&bytes)).expect("it was encoded above");
                assert_eq!(decoded.expires_at, record.expires_at);
                decoded
            });
        });
    }
}

fn answer_render(criterion: &mut Criterion) {
    let identity = Identity::Opaque(Numbers::new().digest());
    for (name, content) in Content::ALL {
        let record = content.record();
        let render = || answer::render(&identity, black_box(&record), &record.scope, "https://issuer.example.com");
        let body = render();
        let parsed: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
        assert_eq!(parsed["active"], true);
        assert_eq!(parsed["client_id"], &*record.client_id);
        let mut group = criterion.benchmark_group("token/answer");
        group.throughput(Throughput::Bytes(body.len().try_into().expect("a length fits")));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let rendered = render();
                assert_eq!(rendered.len(), body.len());
                rendered
            });
        });
        group.finish();
    }
}

criterion_group!(benches, mint, recognise, digest, stored_form, answer_render);
criterion_main!(benches);

//! What a signed text costs: its form, its signature by each algorithm, and its claims.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use introspectd::jose::algorithm::Algorithm;
use introspectd::jose::compact::Compact;
use introspectd::jose::error::JoseError;
use introspectd::jose::signing::SigningKey;

const TYP: &str = "at+jwt";
const KID: &str = "2026-11";

/// What an access token of ours says (RFC 9068 section 2.2).
const CLAIMS: &str = r#"{"iss":"https://auth.example.com","sub":"248289761001","aud":"https://api.example.com","client_id":"s6BhdRkqt3","scope":"read write","iat":1790000000,"exp":1790000900,"jti":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"}"#;

fn signed(criterion: &mut Criterion) {
    let keys = Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).expect("there is randomness"));
    let mut group = criterion.benchmark_group("jose/verify");
    group.throughput(Throughput::Elements(1));
    for key in &keys {
        let text = key.sign(TYP, KID, CLAIMS.as_bytes()).expect("the key is whole");
        let compact = Compact::parse(&text).expect("it was written above");
        group.bench_function(key.public().algorithm().name(), |bencher| {
            bencher.iter(|| assert_eq!(black_box(&compact).verify(key.public()), Ok(())));
        });
    }
    for key in &keys {
        // Another text under the same header and with the same signature.
        let text = key.sign(TYP, KID, CLAIMS.as_bytes()).expect("the key is whole");
        let other = key.sign(TYP, KID, b"{}").expect("the key is whole");
        let [(signed, _), (_, signature)] =
            [&text, &other].map(|text| text.rsplit_once('.').expect("it has three parts"));
        let forged = format!("{signed}.{signature}");
        let compact = Compact::parse(&forged).expect("its form is right");
        group.bench_function(format!("{}, forged", key.public().algorithm().name()), |bencher| {
            bencher.iter(|| assert_eq!(black_box(&compact).verify(key.public()), Err(JoseError::Signature)));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("jose/sign");
    group.throughput(Throughput::Elements(1));
    for key in &keys {
        group.bench_function(key.public().algorithm().name(), |bencher| {
            bencher.iter(|| {
                let text = key.sign(TYP, KID, black_box(CLAIMS.as_bytes())).expect("the key is whole");
                assert!(text.len() > CLAIMS.len());
                text
            });
        });
    }
    group.finish();
}

fn form(criterion: &mut Criterion) {
    let key = SigningKey::generate(Algorithm::Es256).expect("there is randomness");
    let text = key.sign(TYP, KID, CLAIMS.as_bytes()).expect("the key is whole");
    let mut group = criterion.benchmark_group("jose/form");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("header", |bencher| {
        bencher.iter(|| {
            let compact = Compact::parse(black_box(&text)).expect("it was written above");
            assert!(compact.header().is_typ(TYP));
        });
    });
    let compact = Compact::parse(&text).expect("it was written above");
    group.bench_function("claims", |bencher| {
        bencher.iter(|| assert_eq!(black_box(&compact).claims().expect("an object was signed").len(), 8));
    });
    let long = "A".repeat(Compact::MAX_BYTES + 1);
    group.throughput(Throughput::Elements(1));
    group.bench_function("too long", |bencher| {
        bencher.iter(|| assert!(matches!(Compact::parse(black_box(&long)), Err(JoseError::TooLong))));
    });
    group.finish();
}

criterion_group!(benches, signed, form);
criterion_main!(benches);
